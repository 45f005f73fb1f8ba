"""Holds a stack with faults in force until it is killed: the victim of the tests about residue."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path

from tests.contract.stage import DATA, WRITE, scene, service, stack_of, until


async def main(folder: Path) -> None:
    """Have every kind of fault in force, one with a write that hangs, say so, and wait for the end."""
    stack = stack_of(service(), service("other", "second"), service("mute", "third"), service("still", "fourth"))
    stack = dataclasses.replace(stack, carrier=True)
    async with scene(stack, folder) as made:
        rules = [{"fail": ["read", "write", "flush"], "times": None, "first": 0, "end": None}]
        hold = [{"hold": ["read", "write", "flush"]}]
        await made.does(f"echo dirty > {DATA}/dirty", "other")
        await made.running.agent.call(
            "apply",
            luns={
                "disk": {"power": False, "lost": False, "rules": []},
                "second": {"power": True, "lost": False, "rules": rules},
                "third": {"power": True, "lost": False, "rules": hold},
            },
            kill=["box"],
            pause={"still": True},
            links=[("other", "mute", False), ("mute", "other", False)],
            lease_seconds=60.0,
        )
        assert made.running.carrier is not None
        await made.running.carrier.apply(False, [])
        writing = asyncio.create_task(made.tries(WRITE, "mute"))

        async def hangs() -> bool:
            counters = await made.running.agent.call("counters", luns=["third"])
            return int(counters["third"]["held"]) > 0

        await until(hangs, "nothing hangs")
        assert not writing.done()
        sys.stdout.write("in force\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

"""Holds a stack with faults in force until it is killed: the victim of the tests about residue."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path

from tests.contract.stage import DATA, scene, service, stack_of


async def main(folder: Path) -> None:
    """Cut the power of one LUN, fail the I/O of another, close the carrier, say so, and wait for the end."""
    stack = dataclasses.replace(stack_of(service(), service("other", "second")), carrier=True)
    async with scene(stack, folder) as made:
        rules = [{"fail": ["read", "write", "flush"], "times": None, "first": 0, "end": None}]
        await made.does(f"echo dirty > {DATA}/dirty", "other")
        await made.running.agent.call(
            "apply",
            luns={
                "disk": {"power": False, "lost": False, "rules": []},
                "second": {"power": True, "lost": False, "rules": rules},
            },
            kill=["box"],
            lease_seconds=60.0,
        )
        assert made.running.carrier is not None
        await made.running.carrier.apply(False, [])
        sys.stdout.write("in force\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

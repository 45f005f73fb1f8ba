"""Holds a stack with faults in force until it is killed: the victim of the tests about residue."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path

from chaos.agent.states import Fail, Flap, Hold, LinkState, LunState, ServiceState
from chaos.agent.wire_states import ApplyLinks, ApplyLuns, ApplyServices, CountIos
from chaos.faults.lun.disk import ALL
from tests.contract.stage import DATA, WRITE, scene, service, stack_of, until

LEASE_SECONDS = 60.0


async def main(folder: Path) -> None:
    """Have every kind of fault in force, two with a write that hangs, say so, and wait for the end."""
    stack = stack_of(
        service(),
        service("other", "second"),
        service("mute", "third"),
        service("still", "fourth"),
        service("stalled", "fifth"),
    )
    stack = dataclasses.replace(stack, carrier=True)
    async with scene(stack, folder) as made:
        await made.does(f"echo dirty > {DATA}/dirty", "other")
        agent, cut = made.running.agent, LinkState(open=False)
        wanted = {
            "disk": LunState(power=False),
            "second": LunState(effects=(Fail(ALL),)),
            "third": LunState(effects=(Hold(ALL),)),
            "fifth": LunState(effects=(Flap(600 * 10**9),)),
        }
        await agent.call(ApplyLuns(wanted, LEASE_SECONDS, kill=("box",)))
        await agent.call(ApplyServices({"still": ServiceState(paused=True)}, LEASE_SECONDS))
        await agent.call(ApplyLinks(((("other", "mute"), cut), (("mute", "other"), cut)), LEASE_SECONDS))
        assert made.running.carrier is not None
        await made.running.carrier.apply(False, [])
        writing = [asyncio.create_task(made.tries(WRITE, name)) for name in ("mute", "stalled")]

        async def hang() -> bool:
            counts = await agent.call(CountIos(("third", "fifth")))
            return all(each.ios.get("held_ios", 0) > 0 for each in counts.luns.values())

        await until(hang, "nothing hangs")
        assert not any(each.done() for each in writing)
        sys.stdout.write("in force\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

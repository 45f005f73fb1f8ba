"""Faults that strike at the nth flush or write of a LUN, on the real engine: what that I/O came to."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from chaos.agent.wire_states import CountIos
from chaos.experiment.plan import ScheduledFault, Target, Trigger
from chaos.faults.injector import Injector
from tests.contract.stage import DATA, Play, Scene, until

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

DISK = Target("lun", "disk")
DIRECT = f"dd of={DATA}/kept bs=4096 count=1 oflag=direct status=none"
ROUND = f"printf '%04096d' {{}} | {DIRECT} iflag=fullblock conv=notrunc,fdatasync"
"""Puts a number where it was written before, past the page cache, and flushes: one write and one flush.

With fsync it would be one or two: ext4 commits its journal for a new time of modification, and two rounds within one
tick of its clock have the same.
"""
NUMBER = f"head -c 4096 {DATA}/kept | sed 's/^0*//'"


async def flushes(scene: Scene) -> int:
    """Flushes of the LUN so far."""
    return (await scene.running.agent.call(CountIos(("disk",)))).luns["disk"].traffic.flushes


async def prepared(scene: Scene) -> None:
    """The file and its place are durable, and it holds 2; a round is one flush from now on."""
    await scene.does(ROUND.format(1))
    await scene.running.settle()
    before = await flushes(scene)
    await scene.does(ROUND.format(2))
    assert await flushes(scene) == before + 1


async def armed(scene: Scene, fault: str, at: Trigger) -> Injector:
    """An injector with one fault whose trigger is armed."""
    injector = Injector(
        [ScheduledFault(fault, DISK, at)], scene.surroundings, scene.recorder, scene.faults.append, scene.mended
    )
    injector.begin_load()
    await injector.arm()
    return injector


async def injected(scene: Scene) -> None:
    """Wait until a fault has been injected."""

    async def is_told() -> bool:
        return bool(scene.faults)

    await until(is_told, "the fault strikes")


@pytest.mark.parametrize(("when", "found"), [("before", "4"), ("after", "5")])
def test_disk_power_cut_before_a_flush_takes_what_it_would_have_made_durable_and_after_it_nothing(
    play: Play, when: Literal["before", "after"], found: str
) -> None:
    async def act(scene: Scene) -> None:
        await prepared(scene)
        injector = await armed(scene, "disk.power_cut", Trigger(flush=3, lun="disk", when=when))
        code, _ = await scene.tries("set -e; " + "; ".join(ROUND.format(n) for n in (3, 4, 5, 6)))
        assert code != 0, "who waits for that flush is told of no success"
        await injected(scene)
        await injector.end_load()
        await injector.heal_all()
        await scene.mend()
        assert await scene.does(NUMBER) == found
        struck, healed = scene.faults
        assert str(struck.evidence["fell_on"]).startswith(f"{when} flush 3 of disk (3 writes before it")
        assert (healed.bit, healed.evidence["closed"], healed.evidence["killed"]) == (True, 1, 1)

    play(act)


def test_disk_hang_after_a_write_leaves_that_write_alone_and_holds_the_next(play: Play) -> None:
    direct = f"{DIRECT} if=/dev/zero conv=notrunc"

    async def act(scene: Scene) -> None:
        await prepared(scene)
        injector = await armed(scene, "disk.hang", Trigger(write=1, lun="disk", when="after"))
        await scene.does(direct)
        await injected(scene)
        assert str(scene.faults[0].evidence["fell_on"]).startswith("after write 1 of disk (4096 bytes at ")
        waiting = asyncio.create_task(scene.does(direct))

        async def is_held() -> bool:
            counts = await scene.running.agent.call(CountIos(("disk",), 0))
            return counts.luns["disk"].ios.get("held_ios", 0) > 0

        await until(is_held, "the next write is held")
        await injector.end_load()
        await injector.heal_all()
        await waiting
        assert scene.faults[-1].bit

    play(act)


def test_a_trigger_that_does_not_come_leaves_the_disk_alone_and_tells_what_there_was(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await prepared(scene)
        injector = await armed(scene, "disk.power_cut", Trigger(flush=1000, lun="disk", when="before"))
        await scene.does(ROUND.format(3))
        await injector.end_load()
        assert scene.faults[0].happened == "missed"
        assert "after 1 of 1,000 flushes of disk: ask for fewer" in scene.faults[0].why
        assert await scene.does(f"{ROUND.format(4)}; {NUMBER}") == "4"

    play(act)


def test_the_same_work_is_struck_at_the_same_io_twice(play: Play) -> None:
    fell_on = []

    async def act(scene: Scene) -> None:
        await prepared(scene)
        injector = await armed(scene, "disk.power_cut", Trigger(flush=3, lun="disk", when="before"))
        await scene.tries("; ".join(ROUND.format(n) for n in (3, 4, 5, 6)))
        await injected(scene)
        fell_on.append(scene.faults[0].evidence["fell_on"])
        await injector.end_load()

    for _ in range(2):
        play(act)
    assert fell_on[0] == fell_on[1]

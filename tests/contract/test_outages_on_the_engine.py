"""Disks that give no answer, or are gone for good, on the real engine."""

from __future__ import annotations

import asyncio

import pytest

from chaos.agent.wire_states import CountIos
from chaos.experiment.plan import Target
from chaos.stack.spec import Stack
from tests.contract.stage import (
    DATA,
    KEEP,
    READ,
    WRITE,
    Play,
    Scene,
    service,
    stack_of,
    until,
)

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]
DISK = Target("lun", "disk")


def pair() -> Stack:
    """Two services, each on a LUN of its own, both of the array "core"."""
    return stack_of(service(), service("other", "second"))


async def held(scene: Scene, lun: str = "disk") -> int:
    counts = await scene.running.agent.call(CountIos((lun,)))
    return counts.luns[lun].ios.get("held_ios", 0)


async def hangs(scene: Scene, command: str) -> asyncio.Task[str]:
    """Begin a command whose I/O is held; it is still under way when this returns."""
    before = await held(scene)
    begun = asyncio.create_task(scene.does(command))

    async def is_held() -> bool:
        return await held(scene) > before

    await until(is_held, "no I/O was held")
    assert not begun.done()
    return begun


def test_disk_hang_holds_the_io_of_one_lun_and_lets_go_of_it_at_heal(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        injector = scene.injector("disk.hang", target=DISK)
        await injector.enter_phase("now")
        write_other = f"dd if=/dev/zero of={DATA}/more bs=4096 count=1 oflag=direct status=none && echo written"
        waiting = [await hangs(scene, f"{READ} && echo read"), await hangs(scene, write_other)]
        assert await scene.does(f"{KEEP} && {WRITE} && {READ} && echo on", "other") == "on", "the other LUN goes on"
        assert injector.damage.held == {"box"}
        await injector.heal_all()
        assert [await each for each in waiting] == ["read", "written"]
        assert await scene.mend() == [], "nothing failed"
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.why) == ("healed", True, "")
        assert int(event.evidence["held_ios"]) >= 2
        assert "failed_reads" not in event.evidence

    play(act, pair())


def test_disk_hang_under_many_writes_leaves_the_other_luns_their_turn(play: Play) -> None:
    """More requests than a FUSE connection has under way by default, 12; writing back takes 96 of the 128 of a LUN."""
    file = f"{DATA}/many"
    apart = f'open F, "+<", "{file}"; for (1..200) {{ sysseek F, 16384 * $_, 0; syswrite F, "x" x 4096 }}'

    async def act(scene: Scene) -> None:
        await scene.does(f"dd if=/dev/zero of={file} bs=64k count=64 status=none && sync {file}")
        injector = scene.injector("disk.hang", target=DISK, operations=["write", "flush"])
        await injector.enter_phase("now")
        waiting = asyncio.create_task(scene.does(f"perl -e '{apart}' && sync {file} && echo all"))

        async def many() -> bool:
            return await held(scene) > 64

        await until(many, "the writes are not held")
        assert await scene.does(f"{KEEP} && {WRITE} && {READ} && echo on", "other") == "on"
        await injector.heal_all()
        assert await waiting == "all"

    play(act, pair())


def test_disk_hang_whose_lun_loses_power_ends_in_io_errors(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        hang, cut = scene.injector("disk.hang", target=DISK), scene.injector("disk.power_cut")
        await hang.enter_phase("now")
        waiting = await hangs(scene, WRITE)
        await cut.enter_phase("now")
        await asyncio.wait([waiting], timeout=10)
        assert waiting.exception() is not None
        await hang.heal_all()
        await cut.heal_all()
        assert [topic for topic, _ in await scene.mend()] == ["fsck"]
        assert await scene.does(f"cat {DATA}/kept") == "kept"

    play(act)


def test_san_unavailable_holds_every_lun_of_the_array_until_its_paths_are_back(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await asyncio.gather(*(scene.does(KEEP, name) for name in ("box", "other")))
        injector = scene.injector("san.unavailable")
        await injector.enter_phase("now")
        waiting = await hangs(scene, f"{WRITE} && {READ} && echo back")
        second = asyncio.create_task(scene.does(f"{WRITE} && {READ} && echo back", "other"))

        async def both() -> bool:
            return await held(scene, "second") > 0

        await until(both, "the second LUN does not hang")
        await injector.heal_all()
        assert [await waiting, await second] == ["back", "back"]
        assert await scene.mend() == []
        assert scene.faults[-1].bit

    play(act, pair())


def test_san_unavailable_that_fails_gives_errors_until_it_is_healed(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        injector = scene.injector("san.unavailable", mode="fail")
        await injector.enter_phase("now")
        for io in (READ, WRITE):
            code, words = await scene.tries(io)
            assert (code, "Input/output error" in words or "Read-only" in words) == (1, True), words
        await injector.heal_all()
        assert [topic for topic, _ in await scene.mend()] == ["fsck"], "a journal may have been aborted unseen"
        assert await scene.does(f"cat {DATA}/kept && {WRITE} && echo written") == "kept\nwritten"
        event = scene.faults[-1]
        assert event.bit
        assert "held_ios" not in event.evidence

    play(act)


def test_disk_lose_takes_one_lun_for_good_and_leaves_the_others_of_its_array(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("disk.lose", target=DISK)
        await asyncio.gather(*(scene.does(KEEP, name) for name in ("box", "other")))
        await injector.enter_phase("now")
        code, words = await scene.tries(READ)
        assert (code, "Input/output error" in words) == (1, True), words
        assert await scene.does(f"{READ} && {WRITE} && echo on", "other") == "on"
        await injector.heal_all()
        assert injector.damage.lost == {"disk"}
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.why) == ("lasting", True, "")
        said = [text for topic, text in await scene.mend(injector.damage) if topic == "runbook"]
        assert said == ["no usable backup; disk replaced by blank LUNs, box started on them"]
        assert await scene.does(f"ls -A {DATA} && {KEEP} && cat {DATA}/kept") == "kept"
        assert await scene.does(f"cat {DATA}/kept | tr -d '\\0'", "other") in ("kept", "")

    play(act, pair())


def test_a_trial_that_breaks_off_while_a_disk_hangs_leaves_nothing(play: Play) -> None:
    """`residue_checked` looks afterwards; a container whose I/O hangs could not be removed."""

    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        await scene.injector("disk.hang", target=DISK).enter_phase("now")
        waiting = await hangs(scene, WRITE)
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play(act)

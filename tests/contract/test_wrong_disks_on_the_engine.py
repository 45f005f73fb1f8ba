"""Disks that are slow, and disks that answer and are wrong, on the real engine: what a service sees of them."""

from __future__ import annotations

import time

import pytest

from tests.contract.stage import DATA, KEEP, READ, WRITE, Play, Scene

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

BIG = f"{DATA}/big"
BLOCK = f"dd if={BIG} bs=4096 count=1 iflag=direct status=none"
MAKE_BIG = f"yes | tr -d '\\n' | head -c 8388608 > {BIG} && sync {BIG} {DATA}"
"""8 MiB of the letter y, which ext4 lays down in one piece on an empty disk."""
CLEAR = f"dd if=/dev/zero of={BIG} bs=4096 count=1 oflag=direct conv=notrunc status=none"


async def first_bytes(scene: Scene, *blocks: int) -> str:
    """The first byte of each of these blocks of the big file, as od shows it, read past the page cache."""
    each = "; ".join(f"{BLOCK} skip={block} | od -An -N1 -tu1 | tr -d ' '" for block in blocks)
    return (await scene.does(each)).replace("\n", " ")


def test_disk_slow_delays_what_it_names_and_no_longer_when_it_is_healed(play: Play) -> None:
    timed = f"begun=$(date +%s%N) && {WRITE} && echo $((($(date +%s%N) - begun) / 1000000))"

    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        injector = scene.injector("disk.slow", operations=["write"], latency_ms=1500)
        await injector.enter_phase("now")
        assert int(await scene.does(timed)) >= 1500
        await scene.does(READ)
        await injector.heal_all()
        assert int(await scene.does(timed)) < 1500
        assert await scene.mend() == [], "nothing failed"
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.why) == ("healed", True, "")
        assert int(event.evidence["delayed_ios"]) >= 1

    play(act)


def test_disk_lying_flush_leaves_what_was_flushed_to_a_power_cut_and_no_longer_when_it_is_healed(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        lie = scene.injector("disk.lying_flush")
        await lie.enter_phase("now")
        await scene.does(f"echo lost > {DATA}/lost && sync {DATA}/lost {DATA}")
        assert await cut_and_listed(scene) == "kept", "both were flushed, and one of them before"
        await lie.heal_all()
        assert scene.faults[-1].bit, scene.faults[-1]
        assert int(scene.faults[-1].evidence["ignored_flushes"]) >= 1

        await scene.does(f"echo again > {DATA}/again && sync {DATA}/again {DATA}")
        assert await cut_and_listed(scene) == "again\nkept"

    play(act)


async def cut_and_listed(scene: Scene) -> str:
    """Cut the power; what is there when it is back."""
    cut = scene.injector("disk.power_cut")
    await cut.enter_phase("now")
    await cut.heal_all()
    await scene.mend()
    return await scene.does(f"ls {DATA} | grep -v lost+found")


def test_disk_lost_write_is_answered_and_leaves_what_was_there(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(MAKE_BIG)
        injector = scene.injector("disk.lost_write", times=1)
        await injector.enter_phase("now")
        await scene.does(f"{CLEAR} seek=1024")
        assert await first_bytes(scene, 1024) == "121"
        await scene.does(f"{CLEAR} seek=1025")
        assert await first_bytes(scene, 1025) == "0", "it was one write"
        await injector.heal_all()
        await scene.does(f"{CLEAR} seek=1024")
        assert await first_bytes(scene, 1024) == "0"
        assert (scene.faults[-1].bit, scene.faults[-1].evidence["ignored_writes"]) == (True, 1)

    play(act)


def test_disk_misdirected_write_is_answered_and_lands_before_its_place(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(MAKE_BIG)
        injector = scene.injector("disk.misdirected_write", times=1, shift_sectors=2048)
        await injector.enter_phase("now")
        await scene.does(f"{CLEAR} seek=1024")
        assert await first_bytes(scene, 1024, 1024 - 256) == "121 0", "1 MiB before"
        await injector.heal_all()
        await scene.does(f"{CLEAR} seek=1024")
        assert await first_bytes(scene, 1024) == "0"
        assert (scene.faults[-1].bit, scene.faults[-1].evidence["misdirected_writes"]) == (True, 1)

    play(act)


def test_disk_corrupt_read_returns_wrong_bits_and_what_is_stored_is_right(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(MAKE_BIG)
        injector = scene.injector("disk.corrupt_read")
        assert await first_bytes(scene, 7) == "121"
        await injector.enter_phase("now")
        assert await first_bytes(scene, 7) == "120"
        await injector.heal_all()
        assert await first_bytes(scene, 7) == "121"
        assert scene.faults[-1].bit
        assert int(scene.faults[-1].evidence["corrupted_reads"]) >= 1

    play(act)


def test_disk_stale_read_returns_what_was_there_and_the_write_is_kept(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(MAKE_BIG)
        injector = scene.injector("disk.stale_read")
        await injector.enter_phase("now")
        await scene.does(f"{CLEAR} seek=1024")
        assert await first_bytes(scene, 1024) == "121"
        await injector.heal_all()
        assert await first_bytes(scene, 1024) == "0"
        assert scene.faults[-1].bit
        assert int(scene.faults[-1].evidence["stale_reads"]) >= 1

    play(act)


def test_disk_bit_rot_turns_bits_over_that_stay_so_until_they_are_written_again(play: Play) -> None:
    differing = f"yes | tr -d '\\n' | head -c 8388608 | cmp -l - <(dd if={BIG} bs=1M iflag=direct status=none) | wc -l"

    async def act(scene: Scene) -> None:
        await scene.does(MAKE_BIG)
        injector = scene.injector("disk.bit_rot", blocks=300, draw=5)
        assert await scene.does(differing) == "0"
        await injector.enter_phase("now")
        rotten = int(await scene.does(differing))
        assert 100 < rotten <= 300, "most of what was written is this file"
        await injector.heal_all()
        assert int(await scene.does(differing)) == rotten
        assert (scene.faults[-1].bit, scene.faults[-1].evidence["rotten_blocks"]) == (True, 300)
        await scene.does(MAKE_BIG)
        assert await scene.does(differing) == "0"

    play(act)


def test_disk_rollback_brings_back_what_was_there_some_seconds_ago(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(MAKE_BIG)
        begun = time.monotonic()
        await scene.does(f"{CLEAR} seek=1024 && sync {BIG}")
        assert await first_bytes(scene, 1024) == "0"
        disarmed = scene.injector("disk.rollback", seconds=0.001)
        await disarmed.enter_phase("now")
        assert await first_bytes(scene, 1024) == "0", "nothing was written in the last millisecond"
        await disarmed.heal_all()
        assert (scene.faults[-1].bit, scene.faults[-1].why) == (False, "nothing had been written in that time")
        injector = scene.injector("disk.rollback", seconds=time.monotonic() - begun)
        await injector.enter_phase("now")
        assert await first_bytes(scene, 1024) == "121"
        await injector.heal_all()
        assert await first_bytes(scene, 1024) == "121", "it stays"
        assert scene.faults[-1].bit
        assert int(scene.faults[-1].evidence["rolled_back_bytes"]) >= 4096

    play(act)


def test_san_cache_loss_takes_what_was_flushed_in_the_last_seconds_and_what_was_flushed_before_is_there(
    play: Play,
) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        begun = time.monotonic()
        await scene.does(f"echo cached > {DATA}/cached && sync {DATA}/cached {DATA}")
        injector = scene.injector("san.cache_loss", seconds=time.monotonic() - begun)
        await injector.enter_phase("now")
        code, _ = await scene.tries(WRITE)
        assert code != 0, "the array is off"
        await injector.heal_all()
        await scene.mend()
        assert await scene.does(f"ls {DATA}") == "kept"
        assert scene.faults[-1].bit, scene.faults[-1]

    play(act)


def test_disk_full_fails_writes_where_nothing_was_written_before(play: Play) -> None:
    more = f"dd if=/dev/zero of={DATA}/more bs=1M count=4 oflag=direct status=none"

    async def act(scene: Scene) -> None:
        await scene.does(MAKE_BIG)
        injector = scene.injector("disk.full", room_bytes=1 << 20)
        await injector.enter_phase("now")
        await scene.does(f"{CLEAR} seek=1024")
        code, words = await scene.tries(more)
        assert (code, "No space left on device" in words) == (1, True), words
        assert await first_bytes(scene, 1024) == "0"
        await injector.heal_all()
        await scene.mend()
        assert await scene.does(f"{more} && echo written") == "written"
        assert scene.faults[-1].bit
        assert int(scene.faults[-1].evidence["failed_writes"]) >= 1

    play(act)

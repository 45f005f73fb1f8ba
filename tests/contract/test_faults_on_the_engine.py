"""Every fault on the real engine: injected, seen by the service, healed, and gone."""

from __future__ import annotations

import time

import pytest

from chaos.experiment.plan import Target
from chaos.stack.spec import Mount
from tests.contract.stage import (
    DATA,
    KEEP,
    READ,
    WRITE,
    Play,
    Scene,
    greeted,
    greets,
    service,
    stack_of,
    talk_until_counted,
)

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

CHANGE_NAMES = (
    f"cd {DATA} && rm -f created after && echo kept > kept && echo old > before && echo there > doomed && sync && "
    "echo lost > created && mv before after && rm doomed && echo more >> kept && "
    "test -e created && test -e after && test ! -e doomed"
)
COMMIT_SECONDS = 5.0
"""ext4 commits its journal so long after the first change; then the change is durable, fsync or not."""


def test_disk_power_cut_takes_what_was_not_flushed_names_included(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("disk.power_cut")
        await do_within_a_commit_interval(scene, CHANGE_NAMES)
        await injector.enter_phase("now")
        assert await scene.heard("exited") == {"event": "exited", "service": "box"}
        assert not await greeted(*scene.running.front_door)
        assert injector.damage.held == {"box"}
        await injector.heal_all()
        assert injector.damage.held == set()
        done = await scene.mend()
        assert [topic for topic, _ in done] == ["fsck"]
        assert await scene.does(f"cd {DATA} && ls && cat kept before") == "before\ndoomed\nkept\nkept\nold"
        await greets(*scene.running.front_door)
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.why) == ("healed", True, "")
        assert event.evidence["closed"] == 1
        assert event.evidence["killed"] == 1

    play(act)


def test_disk_power_cut_keeps_everything_that_was_flushed(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("disk.power_cut")
        await scene.does(
            f"cd {DATA} && seq 100000 > numbers && sync numbers . && sha256sum numbers > sum && sync sum ."
        )
        await injector.enter_phase("now")
        await injector.heal_all()
        await scene.mend()
        assert await scene.does(f"cd {DATA} && sha256sum -c sum") == "numbers: OK"

    play(act)


def test_disk_power_cut_of_one_lun_takes_the_machine_s_page_cache_of_the_others(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("disk.power_cut", target=Target(lun="disk"))
        await do_within_a_commit_interval(
            scene, f"echo on > {DATA}/on && cd /more && rm -f cached && echo kept > kept && sync && echo lost > cached"
        )
        await injector.enter_phase("now")
        states = [await scene.running.agent.call("health", lun=lun) for lun in ("disk", "second")]
        assert all(state["closed"] for state in states)
        await injector.heal_all()
        assert [topic for topic, _ in await scene.mend()] == ["fsck", "fsck"]
        assert await scene.does("ls /more && cat /more/kept") == "kept\nkept"
        assert (scene.faults[-1].bit, scene.faults[-1].evidence["closed"]) == (True, 1)

    two = (Mount("lun", "disk", DATA), Mount("lun", "second", "/more"))
    play(act, stack_of(service(mounts=two)))


def test_disk_io_error_fails_what_it_names_and_stops_when_it_is_healed(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        injector = scene.injector("disk.io_error", operations=["read"])
        await injector.enter_phase("now")
        code, words = await scene.tries(READ)
        assert (code, "Input/output error" in words) == (1, True), words
        await scene.does(f"echo more >> {DATA}/other")
        await injector.heal_all()
        await scene.does(READ)
        assert await scene.mend() == []
        event = scene.faults[-1]
        assert (event.happened, event.bit) == ("healed", True)
        assert int(event.evidence["failed_reads"]) >= 1
        assert "failed_writes" not in event.evidence

    play(act)


def test_disk_io_error_on_some_sectors_leaves_the_others(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(f"dd if=/dev/zero of={DATA}/big bs=1M count=20 oflag=direct conv=fsync status=none")
        first_half = {"first": 0, "count": scene.stack.luns["disk"].size_bytes // 2 // 512}
        injector = scene.injector("disk.io_error", operations=["read"], sectors=first_half)
        readable = (
            f"n=0; for i in $(seq 0 19); do dd if={DATA}/big of=/dev/null iflag=direct bs=1M count=1 skip=$i "
            "status=none 2> /dev/null && n=$((n + 1)); done; echo $n"
        )
        assert await scene.does(readable) == "20"
        await injector.enter_phase("now")
        assert 0 < int(await scene.does(readable)) < 20
        await injector.heal_all()
        assert await scene.does(readable) == "20"
        assert scene.faults[-1].bit

    play(act)


def test_a_file_system_that_gave_up_is_checked_and_mounted_again(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        injector = scene.injector("disk.io_error", operations=["write", "flush"])
        await injector.enter_phase("now")
        code, words = await scene.tries(
            f"cd {DATA} && touch new && sync; for i in 1 2 3; do touch n$i; sync; done; touch x"
        )
        assert (code, "Read-only file system" in words) == (1, True), words
        await injector.heal_all()
        assert (await scene.running.agent.call("health", lun="disk"))["gave_up"]
        code, words = await scene.tries(f"touch {DATA}/still")
        assert "Read-only file system" in words
        done = await scene.mend()
        assert [topic for topic, _ in done] == ["fsck"]
        assert not (await scene.running.agent.call("health", lun="disk"))["gave_up"]
        assert await scene.does(f"cat {DATA}/kept && {WRITE} && echo written") == "kept\nwritten"

    play(act)


def test_san_lose_fails_every_io_for_good_and_the_runbook_brings_blank_disks(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("san.lose")
        await scene.does(KEEP)
        await injector.enter_phase("now")
        for io in (READ, WRITE):
            code, words = await scene.tries(io)
            assert (code, "Input/output error" in words or "Read-only" in words) == (1, True), words
        assert await greeted(*scene.running.front_door), "services on a lost array keep running"
        await injector.heal_all()
        assert injector.damage.lost == {"disk"}
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.why) == ("lasting", True, "")
        code, _ = await scene.tries(READ)
        assert code == 1, "it is for good"
        said = [text for topic, text in await scene.mend(injector.damage) if topic == "runbook"]
        assert said == ["no usable backup; disk replaced by blank LUNs, box started on them"]
        assert await scene.does(f"ls -A {DATA} && {KEEP} && cat {DATA}/kept") == "kept"

    play(act)


def test_process_kill_ends_the_service_and_spares_the_page_cache(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("process.kill", service="box")
        await scene.does(f"echo cached > {DATA}/cached")
        await talk_until_counted(scene)
        await injector.enter_phase("now")
        await scene.heard("exited")
        assert not await greeted(*scene.running.front_door)
        assert injector.damage.held == {"box"}
        await injector.heal_all()
        assert await scene.mend() == [("started", "box")]
        await greets(*scene.running.front_door)
        assert await scene.does(f"cat {DATA}/cached") == "cached"
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.why) == ("healed", True, "")
        assert event.evidence["killed"] == 1

    play(act)


async def do_within_a_commit_interval(scene: Scene, command: str) -> None:
    """Run a command that begins with a sync; again when a slow host took so long that it may be durable by now."""
    for _ in range(5):
        began = time.monotonic()
        await scene.does(command)
        if time.monotonic() - began < COMMIT_SECONDS / 2:
            return
    pytest.fail(f"this host is too slow: five times it took more than {COMMIT_SECONDS / 2} s")

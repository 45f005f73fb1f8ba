"""Every fault on the real engine: injected, seen by the service, healed, and gone."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from chaos.agent.wire import Event, Health
from chaos.agent.wire_states import ApplyServices
from chaos.experiment.plan import Target
from chaos.stack.live.disks import Unrecoverable
from chaos.stack.spec import Build, Mount
from tests.contract.stage import (
    DATA,
    KEEP,
    LISTENER,
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
        assert await scene.heard("exited") == Event("exited", service="box", killed=True)
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


@pytest.mark.parametrize(("keep", "least", "most"), [(0.0, 0, 0), (0.5, 8, 56), (1.0, 64, 64)])
def test_disk_power_cut_keeps_the_share_of_unflushed_blocks_that_it_is_told(
    play: Play, keep: float, least: int, most: int
) -> None:
    direct = "dd bs=4096 count=1 conv=notrunc status=none"
    overwrite = f"for n in $(seq 0 63); do {direct} if=/dev/zero of=big seek=$n oflag=direct; done"
    count = f"cd {DATA} && for n in $(seq 0 63); do {direct} if=big skip=$n iflag=direct | od -An -N1 -tu1; done"

    async def act(scene: Scene) -> None:
        await scene.does(f"cd {DATA} && yes | head -c 262144 > big && sync big .")
        injector = scene.injector("disk.power_cut", keep=keep, draw=7)
        await do_within_a_commit_interval(scene, f"cd {DATA} && {overwrite}")
        await injector.enter_phase("now")
        await injector.heal_all()
        await scene.mend()
        survived = (await scene.does(count)).split().count("0")
        assert least <= survived <= most
        evidence = scene.faults[-1].evidence
        assert scene.faults[-1].bit
        assert int(evidence.get("kept_bytes", 0)) >= survived * 4096
        assert int(evidence["discarded_bytes"]) >= (64 - survived) * 4096

    play(act)


def test_disk_power_cut_of_one_lun_takes_the_machine_s_page_cache_of_the_others(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("disk.power_cut", target=Target("lun", "disk"))
        await do_within_a_commit_interval(
            scene, f"echo on > {DATA}/on && cd /more && rm -f cached && echo kept > kept && sync && echo lost > cached"
        )
        await injector.enter_phase("now")
        states = [await scene.running.agent.call(Health(lun)) for lun in ("disk", "second")]
        assert all(state.closed for state in states)
        await injector.heal_all()
        assert [topic for topic, _ in await scene.mend()] == ["fsck", "fsck"]
        assert await scene.does("ls /more && cat /more/kept") == "kept\nkept"
        assert (scene.faults[-1].bit, scene.faults[-1].evidence["closed"]) == (True, 1)

    two = (Mount("lun", "disk", DATA), Mount("lun", "second", "/more"))
    play(act, stack_of(service(mounts=two)))


@pytest.mark.parametrize("fault", ["disk.power_cut", "disk.lose"])
def test_what_a_service_never_flushed_is_a_write_under_way_and_what_was_written_back_is_none(
    play: Play, fault: str
) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(f"dd if=/dev/zero of=/layer bs=64k count=1 status=none && {KEEP}")
        await scene.running.settle()
        injector = scene.injector(fault, target=Target("service", "box"))
        await injector.enter_phase("now")
        await scene.tries(READ)
        await injector.heal_all()
        assert "no write of the load in the 5 s before, no dirty pages" in scene.faults[-1].why, scene.faults[-1]
        await scene.mend(injector.damage)

        await scene.does(KEEP)
        await scene.running.settle()
        await scene.does(f"dd if=/dev/zero of={DATA}/cached bs=64k count=10 status=none")
        injector = scene.injector(fault, target=Target("service", "box"))
        await injector.enter_phase("now")
        await scene.tries(READ)
        await injector.heal_all()
        assert scene.faults[-1].bit, scene.faults[-1]
        assert int(scene.faults[-1].evidence["dirty_bytes"]) >= 10 * 65536
        await scene.mend(injector.damage)

    play(act)


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
        assert (await scene.running.agent.call(Health("disk"))).gave_up
        code, words = await scene.tries(f"touch {DATA}/still")
        assert "Read-only file system" in words
        done = await scene.mend()
        assert [topic for topic, _ in done] == ["fsck"]
        assert not (await scene.running.agent.call(Health("disk"))).gave_up
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


def test_process_recreate_stops_in_order_and_starts_a_new_container_on_the_same_volumes(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("process.recreate", service="box")
        before = await scene.does(
            f"hostname && cat {DATA}/called && echo layer > /layer && echo cached > {DATA}/cached"
        )
        assert len(set(before.splitlines())) == 1, "as it was called when it was initialised"
        await talk_until_counted(scene)
        await injector.enter_phase("now")
        assert injector.damage.held == {"box"}
        assert not await greeted(*scene.running.front_door)
        assert await scene.mend_held(injector) == [], "nobody starts it while the fault is in force"
        await injector.heal_all()
        assert await scene.mend() == [("started", "box")]
        await greets(*scene.running.front_door)
        found = await scene.does(f"cat {DATA}/cached {DATA}/asked; test -e /layer || echo gone")
        assert found == "cached\nasked to stop\ngone"
        called = await scene.does("hostname && getent hosts box $(hostname)")
        assert before.splitlines()[0] not in called
        assert len({line.split()[0] for line in called.splitlines()[1:]}) == 1, "its names are its own address"
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.why) == ("healed", True, "")
        assert event.evidence["recreated"] == 1

    asked = f"exit 0 if system 'echo asked to stop > {DATA}/asked'; exit 0"
    listener = LISTENER.replace("exit 0", asked)
    first = f'test -e {DATA}/called || hostname > {DATA}/called; exec perl -e "$0"'
    play(act, stack_of(service(command=("bash", "-c", first, listener))))


def test_a_service_on_a_lost_disk_is_not_made_anew_until_the_disk_is_replaced(play: Play, tmp_path: Path) -> None:
    """Nor does it end the trial: an upgrade on a broken disk fails, and the operators bring both back.

    Where the image has a folder at the mount point, the engine mounts the disk when it makes the container.
    """
    (tmp_path / "Dockerfile").write_text(f"FROM debian:bookworm-slim\nRUN mkdir {DATA} && echo seed > {DATA}/seed\n")

    async def act(scene: Scene) -> None:
        lose, anew = scene.injector("san.lose"), scene.injector("process.recreate", service="box")
        await lose.enter_phase("now")
        await anew.enter_phase("now")
        await anew.heal_all()
        assert scene.faults[-1].why == "0 of 1 services were running and made anew"
        assert await scene.mend_held(lose) == [], "its disk is not there yet"
        await lose.heal_all()
        assert [topic for topic, _ in await scene.mend(lose.damage)] == ["runbook"]
        await greets(*scene.running.front_door)

    play(act, stack_of(service(build=Build(tmp_path), image="")))


def test_a_container_that_was_made_when_nobody_waited_any_more_is_in_nobodys_way(play: Play, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM debian:bookworm-slim\nRUN mkdir {DATA} && echo seed > {DATA}/seed\n")

    async def act(scene: Scene) -> None:
        hang = scene.injector("disk.hang", target=Target("lun", "disk"))
        await scene.running._remove(["box"])
        await hang.enter_phase("now")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scene.running._create("box", 99), 1.0)  # the engine mounts the disk
        await hang.heal_all()
        assert [topic for topic, _ in await scene.mend()] == ["fsck"]
        await greets(*scene.running.front_door)

    play(act, stack_of(service(build=Build(tmp_path), image="")))


def test_a_service_whose_disk_is_lost_before_it_is_started_does_not_come_back_until_the_disk_is_replaced(
    play: Play,
) -> None:
    async def act(scene: Scene) -> None:
        await scene.running.agent.call(ApplyServices({}, 60.0, kill=("box",)))
        await scene.heard("exited")
        lose = scene.injector("san.lose")
        await lose.enter_phase("now")
        with pytest.raises(Unrecoverable, match="box cannot be started"):
            await scene.running.start(["box"], 30.0)
        await lose.heal_all()
        assert [topic for topic, _ in await scene.mend(lose.damage)] == ["runbook"]
        await greets(*scene.running.front_door)

    play(act)


def test_a_host_name_outlives_kills_cuts_and_cold_restarts_but_not_a_blank_disk(play: Play) -> None:
    """A real machine boots the same container; on a blank disk operators make another one."""

    async def act(scene: Scene) -> None:
        called = await scene.does("hostname")
        assert len(called) == 12
        for fault in ("process.kill", "disk.power_cut"):
            injector = scene.injector(fault, target=Target("service", "box"))
            await injector.enter_phase("now")
            await injector.heal_all()
            await scene.mend()
            assert await scene.does("hostname") == called
        await scene.running.cold_restart(30.0)
        assert await scene.does("hostname") == called
        injector = scene.injector("san.lose")
        await injector.enter_phase("now")
        await injector.heal_all()
        await scene.mend(injector.damage)
        anew = await scene.does("hostname")
        assert (len(anew), anew != called) == (12, True)

    play(act)


def test_a_stated_host_name_stays_and_others_reach_a_service_by_a_drawn_one(play: Play) -> None:
    async def act(scene: Scene) -> None:
        drawn = await scene.does("hostname")
        reached = await scene.does(f"getent hosts {drawn} box", "other")
        assert len({line.split()[0] for line in reached.splitlines()}) == 1
        injector = scene.injector("process.recreate", service="other")
        await injector.enter_phase("now")
        await injector.heal_all()
        await scene.mend()
        assert await scene.does("hostname", "other") == "stated"

    play(act, stack_of(service(), service("other", lun="second", hostname="stated", ports=())))


async def do_within_a_commit_interval(scene: Scene, command: str) -> None:
    """Run a command that begins with a sync; again when a slow host took so long that it may be durable by now."""
    for _ in range(5):
        began = time.monotonic()
        await scene.does(command)
        if time.monotonic() - began < COMMIT_SECONDS / 2:
            return
    pytest.fail(f"this host is too slow: five times it took more than {COMMIT_SECONDS / 2} s")

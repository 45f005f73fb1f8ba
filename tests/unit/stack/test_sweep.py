"""What is removed, in which order, and what is never touched."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.agent.disk import loop, mounted
from chaos.stack.cache import left_to, scratch_of, socket_of, unfinished
from chaos.stack.cleanup import kept
from chaos.stack.cleanup import sweep as module
from chaos.stack.cleanup.guard import hand_over
from chaos.stack.cleanup.sweep import SweepReport, sweep, sweep_orphans, sweep_run, sweep_until_clean
from chaos.stack.engine.identity import BASE_LABEL, Run, is_alive, is_left_over, owner_of
from chaos.stack.engine.images import Image
from chaos.stack.images.base import BASE
from tests.unit.stack.engines import ListEngine

MINE = Run.begin(1)


def dead(run_id: str = "20260101-000000-1-dead") -> Run:
    boot = MINE.owner.split(":")[0]
    return Run(run_id, f"{boot}:{os.getpid()}:1")


class Clock:
    """A clock on which sleeping is jumping."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> ListEngine:
    made = ListEngine()
    monkeypatch.setattr(module, "connect", lambda: made.client)
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "holdfast_loops", lambda: iter(()))
    return made


def test_copies_of_bound_files_go_with_their_run_and_no_others_do(
    engine: ListEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    for run in ("one", "other"):
        scratch_of(run).mkdir(parents=True)
        (scratch_of(run) / "0-conf").touch()
    sweep_run(engine.client, "one")
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["other"]


def test_what_a_killed_process_left_unfinished_is_removed_once_it_is_gone(
    engine: ListEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    code = (
        "import sys; from chaos.stack.cache import cache_folder, unfinished; at = cache_folder()\n"
        "folders = [unfinished(at / 'scratch' / 'readers') / '1' / 'tmp', unfinished(at / 'golden' / '0abc')]\n"
        "for folder in folders: folder.mkdir(parents=True); (folder / 'x').touch()\n"
        "unfinished(at / 'golden' / 'blank-ext4-1.img').touch()\n"
        "print('made', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"made\n"
        mine = unfinished(tmp_path / "scratch" / "readers")
        mine.mkdir()
        whole = tmp_path / "golden" / "blank-ext4-2.img"
        whole.touch()
        assert str(sweep()) == "nothing to clean"
        other.kill()
    removed = sweep().removed
    assert [Path(each).name.partition(".of-")[0] for each in removed] == ["0abc", "blank-ext4-1", "readers"]
    assert {path for path in tmp_path.glob("*/*") if path.parent.name != "locks"} == {mine, whole}
    assert str(sweep()) == "nothing to clean"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_stamp_is_of_one_boot_one_pid_and_one_start(part: int) -> None:
    parts = unfinished(Path("/a/readers")).name.removeprefix("readers.of-").split("-")
    assert not is_left_over(f"readers.of-{'-'.join(parts)}")
    parts[part] = {0: "00000000", 1: "4194304", 2: "1"}[part]
    assert is_left_over(f"readers.of-{'-'.join(parts)}")
    assert not is_left_over("readers-abc"), "nobody knows of whom this is"


def test_the_files_of_a_dead_run_go_with_its_objects_and_those_of_others_stay(
    engine: ListEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    populate(engine, MINE, "mine")
    populate(engine, dead(), "dead")
    engine.objects["volume"]["garbled"] = {"holdfast.run": "", "holdfast.owner": "nonsense"}
    for run in (MINE.id, dead().id):
        scratch_of(run).mkdir(parents=True)
        socket_of(run).touch()
    sweep_orphans(engine.client)
    assert {path.name for path in (tmp_path / "scratch").iterdir()} == {MINE.id, f"{MINE.id}.sock"}


def populate(engine: ListEngine, run: Run, prefix: str) -> None:
    engine.make("container", f"{prefix}-agent", run, "agent")
    engine.make("container", f"{prefix}-db", run)
    engine.make("network", f"{prefix}-net", run, "network")
    engine.make("volume", f"{prefix}-lun", run, "lun")


def test_services_go_before_the_agent_then_networks_then_volumes(engine: ListEngine) -> None:
    populate(engine, MINE, "a")
    report = sweep_run(engine.client, MINE.id)
    assert engine.removed == ["a-db", "a-agent", "a-net", "a-lun"]
    assert report.removed == ["container a-db", "container a-agent", "network a-net", "volume a-lun"]


def test_objects_of_other_runs_and_of_nobody_are_never_touched(engine: ListEngine) -> None:
    populate(engine, MINE, "mine")
    populate(engine, dataclasses.replace(MINE, id=f"{MINE.id}0"), "other")
    engine.objects["container"]["users"] = {"com.example": "holdfast"}
    sweep_run(engine.client, MINE.id)
    assert engine.left() == {"other-agent", "other-db", "other-net", "other-lun", "users"}


def test_orphans_are_those_whose_controller_is_gone(engine: ListEngine) -> None:
    populate(engine, MINE, "mine")
    populate(engine, dead(), "dead")
    engine.objects["volume"]["garbled"] = {**MINE.labels("lun"), "holdfast.owner": "nonsense"}
    sweep_orphans(engine.client)
    assert engine.left() == {"mine-agent", "mine-db", "mine-net", "mine-lun"}


def test_a_stack_that_is_left_to_a_guard_is_no_orphan_while_that_one_lives(
    engine: ListEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    run = dead()
    populate(engine, run, "dead")
    left_to(run.id).parent.mkdir()
    left_to(run.id).write_text(MINE.owner)
    sweep_orphans(engine.client)
    assert engine.left() == {"dead-agent", "dead-db", "dead-net", "dead-lun"}

    left_to(run.id).write_text(run.owner)
    sweep_orphans(engine.client)
    assert engine.left() == set()
    assert not left_to(run.id).exists()


def test_a_guard_keeps_the_agent_of_a_stack_that_is_left_alive_until_it_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")  # there is nothing that it could sweep
    (tmp_path / "scratch").mkdir()
    run = Run.begin(1)
    near, far = socket.socketpair()
    far.settimeout(30)
    with far:
        pid = hand_over(run, near, 3600)
        try:
            assert near.fileno() == -1
            assert far.recv(64).startswith(b'{"do": "beat"}\n')
            assert is_alive(left_to(run.id).read_text())
        finally:
            os.kill(pid, signal.SIGTERM)
        while far.recv(64):
            pass  # until the end: then the agent would let go of everything, too
        os.waitpid(pid, 0)


def test_a_guard_ends_when_the_time_of_a_stack_that_is_left_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    (tmp_path / "scratch").mkdir()
    near, far = socket.socketpair()
    far.settimeout(30)
    with far:
        pid = hand_over(Run.begin(1), near, 0.1)
        while far.recv(64):
            pass
        os.waitpid(pid, 0)


@pytest.mark.parametrize(("name", "code"), [("a-db", 404), ("a-db", 409), ("a-net", 404), ("a-lun", 404)])
def test_what_is_gone_already_or_on_its_way_out_is_no_failure(engine: ListEngine, name: str, code: int) -> None:
    populate(engine, MINE, "a")
    engine.refusals[name] = [code]
    assert sweep_run(engine.client, MINE.id).failed == []


@pytest.mark.parametrize(("name", "code"), [("a-lun", 409), ("a-net", 403), ("a-db", 500), ("a-lun", 500)])
def test_what_is_in_use_or_refused_is_a_failure_and_named(engine: ListEngine, name: str, code: int) -> None:
    populate(engine, MINE, "a")
    engine.refusals[name] = [code]
    failed = sweep_run(engine.client, MINE.id).failed
    assert len(failed) == 1
    assert failed[0].endswith(f"{name}: {name} is busy")


def test_a_dead_run_is_looked_at_again_until_nothing_more_turns_up(
    engine: ListEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    populate(engine, MINE, "a")
    engine.refusals["a-lun"] = [409]
    late = iter([None, None, lambda: engine.make("network", "late", MINE, "network")])
    sleep = clock.sleep

    def and_meanwhile(seconds: float) -> None:
        sleep(seconds)
        if happens := next(late, None):
            happens()

    monkeypatch.setattr(clock, "sleep", and_meanwhile)
    report = sweep_until_clean(engine.client, MINE.id)
    assert engine.left() == set()
    assert report.failed == []
    assert "network late" in report.removed


def test_a_dead_run_that_cannot_be_removed_is_given_up_in_time_and_named(engine: ListEngine) -> None:
    populate(engine, MINE, "a")
    engine.refusals["a-lun"] = [500] * 100
    report = sweep_until_clean(engine.client, MINE.id)
    assert [line.split(":")[0] for line in report.failed] == ["volume a-lun"]


def test_a_sweep_tries_again_what_somebody_else_is_removing(engine: ListEngine) -> None:
    populate(engine, dead(), "dead")
    engine.refusals["dead-lun"] = [409, 409]
    report = sweep(all_=False)
    assert report.failed == []
    assert engine.left() == set()
    assert sweep(all_=False) == SweepReport()


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Loop devices, by what is true of each: "held" by a living agent, "mounted", or "" where nobody has it."""
    uses: dict[str, str] = {}
    shown = f"/holdfast-{dead().id}-disk-1"
    monkeypatch.setattr(module, "holdfast_loops", lambda: iter([(device, shown) for device in uses]))
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    monkeypatch.setattr(loop, "is_open", lambda device: uses[device] == "held")
    monkeypatch.setattr(loop, "detach", lambda device: uses[device] == "")
    monkeypatch.setattr(mounted, "holders", lambda device: ("db (pid 7)",) if uses[device] == "mounted" else ())
    return uses


def test_a_loop_device_that_nobody_has_is_freed(engine: ListEngine, loops: dict[str, str]) -> None:
    loops["/dev/loop2"] = ""
    assert sweep_orphans(engine.client) == SweepReport(["loop device /dev/loop2"])


def test_a_loop_device_of_a_run_that_lives_on_this_engine_is_spared(
    engine: ListEngine, loops: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    populate(engine, MINE, "mine")
    loops["/dev/loop1"] = ""
    monkeypatch.setattr(module, "holdfast_loops", lambda: iter([("/dev/loop1", f"/holdfast-{MINE.id}-disk-1")]))
    assert sweep_orphans(engine.client) == SweepReport()


def test_a_loop_device_whose_agent_lives_on_another_engine_is_neither_freed_nor_said_to_be(
    engine: ListEngine, loops: dict[str, str]
) -> None:
    loops["/dev/loop1"] = "held"
    assert sweep_orphans(engine.client) == SweepReport()


def test_a_loop_device_that_is_still_mounted_is_not_said_to_be_freed(engine: ListEngine, loops: dict[str, str]) -> None:
    loops["/dev/loop1"] = "mounted"
    report = sweep_orphans(engine.client)
    assert report.removed == []
    assert [line.split(";")[0] for line in report.failed] == ["loop device /dev/loop1: mounted, as db (pid 7) sees it"]


def test_a_user_who_may_not_free_a_loop_device_says_nothing_of_it(
    engine: ListEngine, loops: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loops["/dev/loop2"] = ""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert sweep_orphans(engine.client) == SweepReport()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with golden LUNs of one stack, twice, and a base image."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HOLDFAST_CACHE", str(folder))
    for name in ("one", "two"):
        (folder / "golden" / name).mkdir(parents=True)
        (folder / "golden" / name / "golden.json").write_text('{"stack": "shop"}')
        (folder / "golden" / name / "lun.img").write_bytes(bytes(1 << 16))
    (folder / "images").mkdir()
    (folder / "images" / "base.tar").write_bytes(bytes(1 << 17))
    return folder


@pytest.mark.parametrize(
    ("option", "left", "images_left"),
    [
        ("images", {"golden", "images"}, False),
        ("golden", {"images"}, True),
        ("all_", None, False),
    ],
)
def test_more_is_removed_only_where_it_is_asked_for(
    engine: ListEngine, cache: Path, option: str, left: set[str] | None, images_left: bool
) -> None:
    engine.layers = {"holdfast/db:1": []}
    assert sweep() == SweepReport()
    report = sweep(**{option: True})
    assert report.failed == []
    assert ({path.name for path in cache.iterdir()} - {"locks"} if cache.exists() else None) == left
    assert bool(engine.layers) == images_left


@pytest.mark.parametrize("option", ["golden", "all_"])
def test_the_disks_that_a_living_run_begins_from_stay_and_that_is_said(
    engine: ListEngine, cache: Path, option: str
) -> None:
    populate(engine, MINE, "mine")
    populate(engine, dead(), "dead")
    report = sweep(**{option: True})
    assert len(list(cache.glob("golden/*/lun.img"))) == 2
    assert len(report.failed) == 1
    assert report.failed[0].endswith(f"while runs are under way: {MINE.id}")
    assert engine.left() == {"mine-agent", "mine-db", "mine-net", "mine-lun"}


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_run_on_another_engine_that_has_the_same_cache_folder_keeps_it_and_one_that_has_another_does_not(
    engine: ListEngine, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(module, "CACHE_IN_AGENT", str(cache if is_shared else tmp_path / "other"))
    monkeypatch.setattr(module, "holdfast_loops", lambda: iter([("/dev/loop9", "/holdfast-other-disk-1")]))
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    monkeypatch.setattr(loop, "opener", lambda device: os.getpid())
    report = sweep(all_=True)
    assert cache.exists() is is_shared
    assert [line.rpartition(" ")[2] for line in report.failed] == ["holdfast-other-disk-1"] * is_shared


def test_an_image_that_is_in_use_stays_and_is_no_failure(engine: ListEngine) -> None:
    engine.layers, engine.refusals = {"holdfast/db:1": [], "holdfast/web:1": []}, {"holdfast/db:1": [409]}
    report = sweep(images=True)
    assert report == SweepReport(["image holdfast/web:1"], in_use=["image holdfast/db:1"])
    assert "left image holdfast/db:1: it is in use" in str(report)


def test_what_is_kept_is_told_with_its_size_and_how_to_remove_it(
    engine: ListEngine, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"Created": 1, "CreatedBy": "apt-get install", "Size": 100_000_000}
    engine.layers = {
        "holdfast/web:1": [shared, {"Created": 2, "CreatedBy": "COPY", "Size": 5_000_000}],
        "holdfast/db:1": [shared, {"Created": 3, "CreatedBy": "COPY", "Size": 6_000_000}],
    }
    monkeypatch.setattr(kept, "connect", lambda: engine.client)
    found = kept.look()
    assert (found.images, found.images_bytes) == (("holdfast/db:1", "holdfast/web:1"), 111_000_000)
    assert found.golden == {"shop": 2}
    assert found.golden_bytes >= 2 << 16
    assert found.cache_bytes - found.golden_bytes >= 1 << 17
    assert "111.0 MB  2 images  (holdfast clean --images)" in str(found)
    assert "golden LUNs of shop  (holdfast clean --golden)" in str(found)


def test_a_base_that_was_made_here_is_kept_too(
    engine: ListEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr(kept, "connect", lambda: engine.client)
    base = Image("sha256:b", (BASE,), {BASE_LABEL: "1"})
    monkeypatch.setattr("chaos.stack.engine.images.find", lambda client, name: base if name == BASE else None)
    monkeypatch.setattr(
        "chaos.stack.engine.images.size_bytes", lambda client, ids: 122_000_000 if ids == [base.id] else 0
    )
    assert "122.0 MB  1 image  (holdfast clean --images)" in str(kept.look())


@pytest.mark.parametrize(("stays", "failed"), [(True, 1), (False, 0)])
def test_a_cache_folder_that_cannot_be_removed_is_not_said_to_be_gone(
    engine: ListEngine, cache: Path, monkeypatch: pytest.MonkeyPatch, stays: bool, failed: int
) -> None:
    """Where a volume is mounted at it, it is emptied, and that is all that was wanted."""
    remove = shutil.rmtree

    def refused(path: Path, onerror: Callable[[object, str, object], None]) -> None:
        if not stays:
            for each in path.iterdir():
                remove(each)
        error = PermissionError(13, "Permission denied")
        onerror(os.rmdir, str(path), (type(error), error, None))

    monkeypatch.setattr("shutil.rmtree", refused)
    report = sweep(all_=True)
    assert [f"cache folder {cache}: {cache}: Permission denied" in each for each in report.failed] == [True] * failed
    assert len(report.failed) == failed


def test_where_nothing_is_kept_that_is_said(
    engine: ListEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr(kept, "connect", lambda: engine.client)
    assert str(kept.look()) == "nothing is kept"
    assert not (tmp_path / "none").exists()


def test_a_report_says_what_was_done_line_by_line() -> None:
    assert str(SweepReport()) == "nothing to clean"
    assert str(SweepReport(["volume a"], ["network b: busy"])) == "removed volume a\ncould not remove network b: busy"


class TestIdentity:
    """Who owns what."""

    def test_this_process_is_alive_and_its_run_is_told_apart(self) -> None:
        assert is_alive(MINE.owner)
        assert Run.begin(1).id != Run.begin(1).id

    def test_a_reused_pid_another_boot_and_nonsense_are_dead(self) -> None:
        boot, pid, started = MINE.owner.split(":")
        assert not is_alive(f"{boot}:{pid}:{int(started) + 1}")
        assert not is_alive(f"another-boot:{pid}:{started}")
        for nonsense in ("", ":", "a:b:c", "::::", f"{boot}:99999999:1"):
            assert not is_alive(nonsense)

    def test_a_process_that_ended_and_was_not_waited_for_is_dead(self) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            owner = owner_of(process.pid)
            assert is_alive(owner)
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert not is_alive(owner)

    def test_a_name_with_spaces_and_brackets_confuses_nobody(self, tmp_path: Path) -> None:
        program = tmp_path / "a ) R (b"
        program.symlink_to("/bin/sleep")
        with subprocess.Popen([program, "60"]) as process:
            assert is_alive(owner_of(process.pid))
            process.kill()

"""Whatever a service mounts and may write to lies on a LUN, and the user's own files are never written to."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from chaos.experiment.plan import Target
from chaos.stack.live.mending import Damage
from chaos.stack.spec import LOCAL, Build, Mount, Service, Stack
from tests.contract.stage import DATA, KEEP, LISTENER, Play, Scene, service, stack_of

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]
FLUSHED = "echo flushed > {0}/flushed && sync {0}/flushed {0}"
CACHED = "echo cached > {0}/cached"


def mounting(*mounts: Mount, **changes: object) -> Service:
    """The service with these mounts and no others."""
    return dataclasses.replace(service(), mounts=mounts, **changes)  # type: ignore[arg-type]  # the fields' own types


def bound(folder: Path, **files: str) -> Path:
    """A folder of the user's, with these files."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def state_of(folder: Path) -> Mapping[str, tuple[object, ...]]:
    """Everything about a folder of the user's that a run could have changed."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        told = path.lstat()
        text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (told.st_mode, told.st_uid, told.st_gid, told.st_ino, told.st_mtime_ns, text)
    return found


def with_volume(folder: Path, path: str, *mounts: Mount) -> Stack:
    """A service whose image declares a volume with something in it."""
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        f"FROM debian:bookworm-slim\nRUN install -d -o 1234 -m 0750 {path} && echo image > {path}/seed\nVOLUME {path}\n"
    )
    return stack_of(mounting(*mounts, build=Build(folder), image=""))


def test_the_volume_of_an_image_is_on_a_lun_with_what_the_image_has_there(tmp_path: Path, play: Play) -> None:
    async def act(scene: Scene) -> None:
        assert await scene.does("stat -c '%u %a' /records && cat /records/seed") == "1234 750\nimage"
        assert scene.stack.luns["box:/records"].array == LOCAL
        injector = scene.injector("disk.power_cut", service="box")
        await scene.does(f"{FLUSHED.format('/records')} && {CACHED.format('/records')}")
        await injector.enter_phase("now")
        await injector.heal_all()
        assert scene.faults[-1].bit, scene.faults[-1].why
        await scene.mend()
        assert await scene.does("ls /records") == "flushed\nseed"
        assert await scene.running.not_covered() == ()

    play(act, with_volume(tmp_path / "image", "/records", Mount("volume", "notes", "/other")))


@pytest.mark.parametrize("kind", ["bind", "volume", "missing"])
def test_a_power_cut_takes_what_was_not_flushed_from_every_mount_and_nothing_else(
    kind: str, tmp_path: Path, play: Play
) -> None:
    """Counts a log on a LUN of a SAN that keeps its power, which is what the cut is aimed at."""
    folder = bound(tmp_path / "folder", first="first\n") if kind == "bind" else tmp_path / "missing"
    beside = Mount("volume", "plain", "/more") if kind == "volume" else Mount("bind", str(folder), "/more")
    before = state_of(tmp_path)

    async def act(scene: Scene) -> None:
        injector = scene.injector("disk.power_cut", target=Target("lun", "disk"))
        await scene.does(f"{FLUSHED.format('/more')} && {FLUSHED.format(DATA)} && {CACHED.format('/more')}")
        await injector.enter_phase("now")
        await injector.heal_all()
        assert scene.faults[-1].bit, scene.faults[-1].why
        assert scene.faults[-1].evidence["services"] == 1
        assert [topic for topic, _ in await scene.mend()] == ["fsck", "fsck"]
        assert await scene.does("ls /more") == ("first\nflushed" if kind == "bind" else "flushed")
        assert await scene.running.not_covered() == ()

    play(act, stack_of(mounting(Mount("lun", "disk", DATA), beside)))
    assert state_of(tmp_path).keys() >= before.keys()
    assert {path: found for path, found in state_of(tmp_path).items() if str(folder) in path} == {
        path: found for path, found in before.items() if str(folder) in path
    }


def test_a_kill_takes_nothing_from_a_local_disk(tmp_path: Path, play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(CACHED.format("/more"))
        injector = scene.injector("process.kill", service="box")
        await injector.enter_phase("now")
        await scene.heard("exited")
        await injector.heal_all()
        assert await scene.mend() == [("started", "box")]
        assert await scene.does("cat /more/cached") == "cached"

    play(act, stack_of(mounting(Mount("bind", str(bound(tmp_path / "folder")), "/more"))))


def test_every_trial_has_its_own_copy_of_a_bound_folder_with_owners_modes_and_links(tmp_path: Path, play: Play) -> None:
    folder = bound(tmp_path / "folder", kept="kept\n")
    (folder / "link").symlink_to("kept")
    (folder / "inner").mkdir()
    os.chown(folder / "kept", 1234, 4321)
    (folder / "kept").chmod(0o640)
    folder.chmod(0o711)
    before = state_of(folder)

    async def act(scene: Scene) -> None:
        told = "cd /more && stat -c '%n %u:%g %a' . kept && readlink link && ls -A"
        for _ in range(2):
            assert (await scene.does(told)).splitlines() == [
                ". 0:0 711",
                "kept 1234:4321 640",
                "kept",
                "inner",
                "kept",
                "link",
            ]
            await scene.does("echo changed > /more/kept && rm -r /more/inner && sync /more/kept")
            await scene.running.clear()
            await scene.running.up(scene.lab.golden.bases(), 30.0)

    play(act, stack_of(mounting(Mount("bind", str(folder), "/more"))))
    assert state_of(folder) == before


def test_an_empty_bound_folder_hides_what_the_image_has_there(tmp_path: Path, play: Play) -> None:
    async def act(scene: Scene) -> None:
        assert await scene.does("ls -A /records") == ""

    folder = bound(tmp_path / "folder")
    play(act, with_volume(tmp_path / "image", "/records", Mount("bind", str(folder), "/records")))


def test_a_lost_disk_comes_back_with_what_the_bound_folder_has(tmp_path: Path, play: Play) -> None:
    folder = bound(tmp_path / "folder", conf="conf\n")

    async def act(scene: Scene) -> None:
        await scene.does(FLUSHED.format("/more"))
        lost = scene.injector("disk.lose", service="box")
        await lost.enter_phase("now")
        await scene.tries("echo on > /more/on && sync /more/on")
        await lost.count_lasting()
        told = await scene.mend(Damage(lost={"box:/more"}, replaceable={"box:/more"}))
        assert told[-1] == (
            "runbook",
            "no usable backup; box:/more replaced by LUNs with what the bound folders hold, box started on them",
        )
        assert await scene.does("ls /more") == "conf"

    play(act, stack_of(mounting(Mount("bind", str(folder), "/more"))))


def test_services_that_bind_one_folder_see_the_same_disk_and_are_one_machine(tmp_path: Path, play: Play) -> None:
    folder = str(bound(tmp_path / "folder"))
    writer = mounting(Mount("bind", folder, "/out"))
    reader = mounting(Mount("bind", folder, "/in", read_only=True), name="reader")

    async def act(scene: Scene) -> None:
        await scene.does("echo shared > /out/shared")
        assert await scene.does("cat /in/shared", "reader") == "shared"
        assert (await scene.tries("touch /in/own", "reader"))[0] == 1
        assert scene.stack.joined(("box:/out",))[0] == ("box", "reader")

    play(act, stack_of(writer, reader))


def test_a_bound_file_is_copied_and_named_when_its_service_changes_it(tmp_path: Path, play: Play) -> None:
    files = bound(tmp_path / "files", conf="conf\n", still="still\n")
    before = state_of(files)
    box = mounting(Mount("bind", str(files / "conf"), "/etc/conf"), Mount("bind", str(files / "still"), "/etc/still"))

    async def act(scene: Scene) -> None:
        assert await scene.running.not_covered() == ()
        await scene.does("echo changed > /etc/conf")
        assert await scene.running.not_covered() == ("box:/etc/conf",)
        await scene.running.clear()
        await scene.running.up(scene.lab.golden.bases(), 30.0)
        assert await scene.does("cat /etc/conf") == "conf"

    play(act, stack_of(box))
    assert state_of(files) == before


@pytest.mark.parametrize("may_look", [True, False], ids=["told by the layer's folder", "told by the engine"])
def test_what_is_written_above_a_mount_point_is_named_and_what_the_engine_makes_is_not(
    may_look: bool, tmp_path: Path, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not may_look:  # as where this process is not root
        monkeypatch.setattr("chaos.stack.engine.layer.os.access", lambda path, mode: False)
    (tmp_path / "secret").write_text("secret")
    box = mounting(
        Mount("lun", "disk", "/srv/shelf/data"),
        Mount("volume", "logs", "/var/run/logs"),  # /var/run is a link to /run
        Mount("tmpfs", "", "/srv/quick"),
        init=True,
        working_dir="/srv/shelf/data/work",
        secrets={"pass": tmp_path / "secret"},
    )

    async def act(scene: Scene) -> None:
        assert await scene.running.not_covered() == ()
        await scene.does("echo 1 > /srv/shelf/records && echo 1 > /srv/quick/gone && echo 1 > /srv/shelf/data/kept")
        await scene.does("mkdir /srv/shelfdata && echo 1 > /srv/shelfdata/records && touch /etc/own && rm /etc/own")
        assert await scene.running.not_covered() == ("box:/srv/shelf/records", "box:/srv/shelfdata/records")
        scene.running.stack = dataclasses.replace(scene.stack, may_lose=("box:/srv/shelf",))
        assert await scene.running.not_covered() == ("box:/srv/shelfdata/records",)

    play(act, stack_of(box))


def test_an_ended_container_on_a_lun_is_in_nobodys_way(play: Play) -> None:
    """A job that sets permissions, and a sidecar that has finished: on the service's LUN, and on one of its own."""
    chown = ("bash", "-c", f"chown 1234 {DATA}")
    job = service("job", command=chown, ports=(), mounts=(Mount("lun", "disk", DATA), Mount("lun", "own", "/own")))
    sidecar = service("sidecar", command=("true",), ports=())
    box = service(
        command=("bash", "-c", f'[ $(stat -c %u {DATA}) = 1234 ] && exec perl -e "$0"', LISTENER),
        depends_on={"job": "service_completed_successfully"},
    )

    async def act(scene: Scene) -> None:
        await scene.running.settle()
        injector = scene.injector("disk.power_cut", target=Target("lun", "disk"))
        await scene.does(KEEP)
        await injector.enter_phase("now")
        await injector.heal_all()
        event = scene.faults[-1]
        assert event.bit, event.why
        assert (event.evidence["services"], event.evidence["killed"]) == (1, 1)
        await scene.mend()
        assert await scene.does(f"cat {DATA}/kept") == "kept"

    play(act, stack_of(box, job, sidecar))


def test_the_smallest_disk_takes_a_file_system_and_one_that_is_too_small_for_its_image_says_so(
    tmp_path: Path, play: Play
) -> None:
    smallest = stack_of(mebibytes=16)

    async def act(scene: Scene) -> None:
        await scene.does(KEEP)

    play(act, smallest)
    (tmp_path / "Dockerfile").write_text(
        f"FROM debian:bookworm-slim\nRUN mkdir {DATA} && head -c 24M /dev/urandom > {DATA}/big\n"
    )
    with pytest.raises(Exception, match=r"no space left on device.*give that a greater size under x-chaos\.arrays"):
        play(act, stack_of(service(build=Build(tmp_path), image=""), mebibytes=16))

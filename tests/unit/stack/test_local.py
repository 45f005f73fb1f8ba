"""Mounts as they become local disks, copies of files, or read-only binds."""

from __future__ import annotations

import dataclasses
import socket
import tempfile
from pathlib import Path

import pytest

from chaos.errors import HarnessError
from chaos.stack.live.files import BoundFiles
from chaos.stack.local import KEPT_FROM_WRITING, SIZE_BYTES, on_local_disks
from chaos.stack.spec import NOCOPY, Lun, Mount, Service, Stack


def stack_of(*mounts: Mount, **others: tuple[Mount, ...]) -> Stack:
    services = {name: Service(name, mounts=each) for name, each in {"db": mounts, **others}.items()}
    luns = {"pgdata": Lun("pgdata", "core", 8 << 20)}
    return Stack("unit", Path("compose.yaml"), services, luns, ("plain",), ("db", 1))


def test_what_is_on_a_lun_already_or_in_memory_stays_as_it_is() -> None:
    made = stack_of(Mount("lun", "pgdata", "/data"), Mount("tmpfs", "", "/run", options="size=1"))
    assert on_local_disks(made) == dataclasses.replace(made, volumes=())


def test_a_volume_lies_on_a_local_disk_of_its_name_that_its_services_share() -> None:
    made = on_local_disks(stack_of(Mount("volume", "plain", "/a"), more=(Mount("volume", "plain", "/b", True),)))
    assert made.luns["plain"] == Lun("plain", "local", SIZE_BYTES)
    assert made.services["more"].mounts == (Mount("lun", "plain", "/b", True),)
    assert on_local_disks(made) == made


def test_the_volumes_of_an_image_lie_on_disks_but_where_something_is_mounted_at_the_very_path() -> None:
    mounts = Mount("lun", "pgdata", "/data"), Mount("tmpfs", "", "/quick/")
    made = on_local_disks(stack_of(*mounts), {"db": ["/data/", "/quick", "/data/inner", "/dat"]})
    assert [(mount.source, mount.target) for mount in made.services["db"].mounts[2:]] == [
        ("db:/dat", "/dat"),
        ("db:/data/inner", "/data/inner"),
    ]
    assert made.luns["db:/dat"].file_name.startswith("db-dat-")
    assert len({lun.file_name for lun in made.luns.values()}) == 3


def test_names_that_become_the_same_file_name_are_told_apart() -> None:
    assert Lun("db:/a-b", "local", 1).file_name != Lun("db:/a/b", "local", 1).file_name
    assert Lun("plain", "local", 1).file_name == "plain"
    assert len(Lun("db:/" + "long/" * 200, "local", 1).file_name) < 80


@pytest.mark.parametrize(
    ("source", "read_only", "expected"),
    [
        ("folder", False, Mount("lun", "db:/x", "/x", options=NOCOPY)),
        ("folder", True, Mount("bind", "{}/folder", "/x", True)),
        ("file", False, Mount("file", "{}/file", "/x")),
        ("file", True, Mount("bind", "{}/file", "/x", True)),
        ("nowhere", False, Mount("lun", "db:/x", "/x", options=NOCOPY)),
        ("nowhere", True, Mount("lun", "db:/x", "/x", True, options=NOCOPY)),
        ("socket", False, Mount("bind", "{}/socket", "/x", True, options=KEPT_FROM_WRITING)),
        ("socket", True, Mount("bind", "{}/socket", "/x", True)),
    ],
)
def test_a_bind_is_made_such_that_nothing_of_the_users_is_written_to(
    source: str, read_only: bool, expected: Mount, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    made = on_local_disks(stack_of(Mount("bind", str(tmp_path / source), "/x", read_only)))
    assert made.services["db"].mounts == (dataclasses.replace(expected, source=expected.source.format(tmp_path)),)


@pytest.mark.parametrize("source", ["/", "/dev/null", "/dev", "/proc/sys", "/sys", "/run"])
def test_of_the_hosts_own_folders_nobody_makes_a_copy(source: str) -> None:
    made = on_local_disks(stack_of(Mount("bind", source, "/x")))
    assert made.services["db"].mounts == (Mount("bind", source, "/x", True, options=KEPT_FROM_WRITING),)


def test_a_folder_in_shared_memory_is_one_as_any_other() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        assert on_local_disks(stack_of(Mount("bind", folder, "/x"))).luns["db:/x"].contents == folder


def test_whoever_binds_a_folder_that_is_written_to_sees_the_same_disk(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    reads = (Mount("bind", str(tmp_path / "real"), "/in", read_only=True),)
    made = on_local_disks(stack_of(Mount("bind", str(tmp_path / "link"), "/out"), reader=reads))
    assert made.services["reader"].mounts == (Mount("lun", "db:/out", "/in", True, options=NOCOPY),)
    assert made.luns["db:/out"].contents == str(tmp_path / "link")


def test_a_disk_has_room_for_twice_of_what_is_bound(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("large", "inner/large"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(700 << 20)
    (tmp_path / "broken").symlink_to("nowhere")
    made = on_local_disks(stack_of(Mount("bind", str(tmp_path), "/x")))
    assert made.luns["db:/x"].size_bytes == (2800 << 20) + (1 << 20), "in whole MiB"


def test_bound_files_are_copied_for_each_trial_and_begin_as_the_golden_copy_left_them(tmp_path: Path) -> None:
    user, copies, golden = tmp_path / "conf", tmp_path / "copies", tmp_path / "golden"
    user.write_text("user")
    user.chmod(0o640)
    files = BoundFiles(on_local_disks(stack_of(Mount("bind", str(user), "/etc/conf"))), copies)
    [copy] = [Path(path) for path in files.paths.values()]
    files.lay_out()
    assert (copy.read_text(), copy.stat().st_mode & 0o777, files.changed()) == ("user", 0o640, set())
    copy.write_text("initialised")
    assert files.changed() == {str(user)}
    files.keep(golden)
    files.begin_with(golden)
    files.lay_out()
    assert (copy.read_text(), files.changed(), user.read_text()) == ("initialised", set(), "user")
    copy.chmod(0o600)
    assert files.changed() == {str(user)}
    files.clear()
    assert not copies.exists()


def test_a_bound_file_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    user = tmp_path / "conf"
    user.touch()
    files = BoundFiles(on_local_disks(stack_of(Mount("bind", str(user), "/etc/conf"))), tmp_path / "copies")
    user.unlink()
    with pytest.raises(HarnessError, match=f"the bound file {user} cannot be copied: No such file"):
        files.lay_out()

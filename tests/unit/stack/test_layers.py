"""What of a container's own layer its service has written, and what the engine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.stack.engine.layer import KNOWN, NEW, Overlay, in_layer, overlay_of
from chaos.stack.live.layers import mount_points, written
from chaos.stack.spec import Mount, Service


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ({"/srv": KNOWN, "/srv/data": NEW, "/srv/records": ""}, ["/srv/records"]),
        ({"/srv/data": NEW, "/srv/data/work": NEW}, []),
        ({"/srv/data": NEW, "/srv/data/file": ""}, ["/srv/data/file"]),
        ({"/srv/database": ""}, ["/srv/database"]),
        ({"/etc": KNOWN}, []),
        ({"/etc": KNOWN, "/etc/conf": ""}, []),
        ({"/made": NEW, "/made/inner": NEW}, ["/made/inner"]),
    ],
    ids=[
        "beside a mount point",
        "a working folder below one",
        "a file below one",
        "a name that begins as one",
        "a folder that the engine has changed, as Podman tells of /etc",
        "a mounted file",
        "an empty folder of its own",
    ],
)
def test_paths_are_told_by_their_parts(paths: dict[str, str], found: list[str]) -> None:
    assert written(paths, ["/", "/srv/data", "/etc/conf"]) == found


def test_what_the_engine_mounts_by_itself_is_a_mount_point(tmp_path: Path) -> None:
    service = Service("db", mounts=(Mount("lun", "a", "/a"),), secrets={"pass": tmp_path}, init=True)
    assert {"/a", "/run/secrets/pass", "/sbin/docker-init", "/usr/sbin/docker-init"} <= set(mount_points(service))
    assert mount_points(Service("db")) == []


ROOT = "1096 1064 0:81 / / rw,relatime master:3 - overlay overlay rw,{},workdir=/store/9/work,nouserxattr"


@pytest.mark.parametrize(
    ("options", "below"),
    [
        ("lowerdir=/store/2/fs:/store/1/fs,upperdir=/store/9/fs", ("/store/2/fs", "/store/1/fs")),
        ("lowerdir+=/store/2/fs,lowerdir+=/store/1/fs,upperdir=/store/9/fs", ("/store/2/fs", "/store/1/fs")),
        ("lowerdir=2/fs:1/fs,upperdir=/store/9/fs", ("/store/2/fs", "/store/1/fs")),
    ],
    ids=["as one list", "one by one", "relative to the folder of layers"],
)
def test_the_kernel_tells_of_which_folders_a_container_consists(options: str, below: tuple[str, ...]) -> None:
    mounts = f"{ROOT.format(options)}\n1097 1096 0:84 / /proc rw,nosuid - proc proc rw\n"
    assert overlay_of(mounts) == Overlay(Path("/store/9/fs"), tuple(map(Path, below)))


@pytest.mark.parametrize(
    "mounts",
    [
        "1096 1064 254:0 / / rw,relatime - ext4 /dev/vda rw",
        ROOT.format("lowerdir=/store/1/fs"),
        ROOT.format("lowerdir=/store/1/fs,upperdir=9/fs"),
        ROOT.format(r"lowerdir=/store/a\072b/fs,upperdir=/store/9/fs"),
        f"{ROOT.format('lowerdir=/store/1/fs,upperdir=/store/9/fs')}\n1098 1096 0:9 / / rw - tmpfs tmpfs rw",
        "",
    ],
    ids=["no overlay", "nothing can be written to", "a relative layer", "a colon in a path", "mounted over", "nothing"],
)
def test_a_root_that_cannot_be_told_is_asked_of_the_engine(mounts: str) -> None:
    assert overlay_of(mounts) is None


def test_what_lies_in_a_layer_is_told_but_for_the_link_that_podman_makes(tmp_path: Path) -> None:
    image, layer = tmp_path / "image", tmp_path / "layer"
    for folder in (image / "etc", layer / "etc", layer / "srv"):
        folder.mkdir(parents=True)
    (layer / "etc/mtab").symlink_to("/proc/mounts")
    (layer / "etc/passwd").write_text("kept")
    assert in_layer(Overlay(layer, (image,))) == {"/etc": KNOWN, "/etc/passwd": "", "/srv": NEW}
    (layer / "etc/mtab").unlink()
    (layer / "etc/mtab").symlink_to("/srv/own")
    assert "/etc/mtab" in in_layer(Overlay(layer, (image,)))

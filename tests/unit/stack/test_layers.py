"""What of a container's own layer its service has written, and what the engine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.stack.engine.layer import KNOWN, NEW
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

"""The disks of a copy: what is said of mount options that the kernel refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from chaos.experiment.drivers import DriverChoice
from chaos.stack.engine.identity import Run
from chaos.stack.live.disks import Disks
from chaos.stack.spec import Lun, Stack

DOCKER = (
    "the engine refuses to create db: failed to mount local volume: mount /dev/loop7:/var/lib/docker/volumes/"
    "holdfast-run-pgdata-1/_data, flags: 0x400, data: bogus: invalid argument"
)
PODMAN = "mounting volume holdfast-run-pgdata-1: mount: wrong fs type, bad option, bad superblock on /dev/loop7"


def disks(**options: tuple[str, ...]) -> Disks:
    """Of LUNs that are mounted with these options."""
    stack = Stack(
        name="unit",
        source=Path("compose.yaml"),
        services={},
        luns={name: Lun(name, "core", 1 << 20, mount_options=given) for name, given in options.items()},
        volumes=(),
        front_door=("db", 5432),
        driver=DriverChoice("http"),
    )
    made = Disks(cast(Any, None), stack, Run("run", ""), cast(Any, None))
    made.names = {name: f"holdfast-run-{name}-1" for name in stack.luns}
    return made


@pytest.mark.parametrize("refusal", [DOCKER, PODMAN])
def test_mount_options_that_the_kernel_refuses_are_told_with_their_lun_and_the_remedy(refusal: str) -> None:
    assert disks(pgdata=("noatime", "bogus"), pgwal=("discard",)).about_options(refusal) == (
        "the kernel does not take one of the mount_options [noatime, bogus] of pgdata under x-chaos.arrays, or its "
        "value: correct it or leave it out; `dmesg` names it"
    )


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ((), DOCKER),
        (("noatime",), DOCKER.replace("invalid argument", "structure needs cleaning")),
        (("noatime",), "db cannot be started: exec: invalid argument"),
    ],
)
def test_nothing_is_said_of_options_where_they_are_not_why(options: tuple[str, ...], refusal: str) -> None:
    assert disks(pgdata=options).about_options(refusal) == ""

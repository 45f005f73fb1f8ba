"""The disks of a copy: those that are gone are replaced; what is said of mount options that the kernel refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.agent.request import Done
from chaos.agent.wire import Attach, Check, Checked, Create, Device, Health, LunHealth
from chaos.experiment.drivers import DriverChoice
from chaos.stack.engine import volumes
from chaos.stack.engine.identity import Run
from chaos.stack.live.disks import Disks, Unrecoverable
from chaos.stack.spec import Lun, Stack

DOCKER = (
    "the engine refuses to create db: failed to mount local volume: mount /dev/loop7:/var/lib/docker/volumes/"
    "holdfast-run-pgdata-1/_data, flags: 0x400, data: bogus: invalid argument"
)
PODMAN = "mounting volume holdfast-run-pgdata-1: mount: wrong fs type, bad option, bad superblock on /dev/loop7"


class Sick:
    """An agent whose LUNs all need more than a boot-time check; it keeps which ones it makes."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def call(self, request: object) -> object:
        match request:
            case Create(lun=name):
                self.made.append(name)
            case Health():
                return LunHealth(closed=True, gave_up=False)
            case Attach():
                return Device("/dev/loop9")
            case Check():
                return Checked("/dev/loop9: input/output error", ok=False)
        return Done()


def disks(agent: object = None, **options: tuple[str, ...]) -> Disks:
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
    made = Disks(cast(Any, None), stack, Run("run", ""), cast(Any, agent))
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


def test_a_disk_that_is_gone_is_replaced_whatever_the_check_of_another_one_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(volumes, "create_on_lun", lambda *_: None)
    agent = Sick()

    async def scene() -> None:
        unmounting = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(unmounting.set_result, None)
        with pytest.raises(Unrecoverable, match="pgdata: pgdata: input/output error; it needs more"):
            await disks(agent, pgdata=(), pgwal=()).put_in_place(["pgdata"], {"pgwal": "blank"}, unmounting)

    asyncio.run(scene())
    assert agent.made == ["pgwal"]

"""Which copies have caught up, with services that are healthy and steady when a test says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

from chaos.stack.live.readiness import Behind, Failure, Readiness
from chaos.stack.spec import Lun, Mount, Service, Stack

NAMES = ("pg1", "pg2")
STACK = Stack(
    "unit",
    Path("compose.yaml"),
    {name: Service(name, mounts=(Mount("lun", name, "/data"),)) for name in NAMES},
    {name: Lun(name, "core", 4096) for name in NAMES},
    (),
    ("pg1", 5432),
    "http",
    steady={"pg1": ("is.sh", "sync")},
)


class Ready:
    """Services that are not there yet."""

    def __init__(self) -> None:
        self.is_healthy = {name: asyncio.Event() for name in NAMES}
        self.is_steady = asyncio.Event()
        self.ended: set[str] = set()

    async def healthy(self, service: Service, deadline: float, error: Failure) -> None:
        await self.is_healthy[service.name].wait()
        if service.name in self.ended:
            raise error(f"{service.name} ended with code 1")

    async def steady(self, service: str, command: tuple[str, ...], deadline: float, error: Failure) -> None:
        assert (service, command) == ("pg1", ("is.sh", "sync"))
        await self.is_steady.wait()


async def pause() -> None:
    """Let every task go on as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_copy_on_a_blank_disk_is_behind_until_its_services_are_healthy_and_steady() -> None:
    async def act() -> None:
        ready = Ready()
        behind = Behind(STACK, cast(Readiness, ready))
        behind.watch({"pg1"})
        ready.is_healthy["pg1"].set()
        await pause()
        assert behind.luns == {"pg1"}, "it is healthy and not steady"
        behind.watch({"pg2"})
        assert behind.luns == {"pg1", "pg2"}
        ready.is_healthy["pg2"].set()
        await pause()
        assert behind.luns == {"pg1"}, "nothing but its health tells of pg2"
        ready.is_steady.set()
        await pause()
        assert behind.luns == set()

    asyncio.run(act())


def test_a_copy_whose_service_ends_before_is_behind_until_somebody_brought_it_back() -> None:
    async def act() -> None:
        ready = Ready()
        behind = Behind(STACK, cast(Readiness, ready))
        ready.ended = {"pg2"}
        ready.is_healthy["pg2"].set()
        behind.watch({"pg2"})
        await pause()
        assert behind.luns == {"pg2"}
        ready.ended = set()
        behind.watch(set())
        await pause()
        assert behind.luns == set()

    asyncio.run(act())


def test_a_copy_that_is_replaced_again_is_behind_again_and_nobody_waits_once_all_is_cleared() -> None:
    async def act() -> None:
        ready = Ready()
        behind = Behind(STACK, cast(Readiness, ready))
        ready.is_healthy["pg2"].set()
        for _ in range(2):
            behind.watch({"pg2"})
            assert behind.luns == {"pg2"}
            await pause()
            assert behind.luns == set()
        behind.watch({"pg1"})
        behind.clear()
        assert behind.luns == set()
        await pause()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(act())

"""What operators do when faults are over, with a stack that only takes notes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.stack.mending import mend, run_the_runbook
from chaos.stack.running import RunningStack
from chaos.stack.spec import Lun, Mount, RunbookStep, Service, Stack

HEALTHY = {"closed": False, "gave_up": False}


class NotingStack:
    """db on pgdata and wal, files on photos; `joined` is the real one's."""

    joined = RunningStack.joined

    def __init__(self, *runbook: RunbookStep) -> None:
        db = Service("db", mounts=(Mount("lun", "pgdata", "/data"), Mount("lun", "wal", "/wal")))
        files = Service("files", mounts=(Mount("lun", "photos", "/photos"),))
        luns = (Lun("pgdata", "core", 4096), Lun("wal", "core", 4096), Lun("photos", "media", 4096))
        self.stack = Stack(
            name="unit",
            source=Path("compose.yaml"),
            services={"db": db, "files": files, "gateway": Service("gateway")},
            luns={lun.name: lun for lun in luns},
            volumes=(),
            front_door=("gateway", 8080),
            driver="http",
            runbook=runbook,
        )
        self.agent = self
        self.health = {name: dict(HEALTHY) for name in self.stack.luns}
        self.ended: list[str] = []
        self.did: list[tuple[object, ...]] = []
        self.exit_codes = {"restore": 0}

    @property
    def made(self) -> RunningStack:
        return cast(RunningStack, self)

    async def call(self, do: str, *, lun: str) -> dict[str, bool]:
        assert do == "health"
        return self.health[lun]

    async def reboot(self, services: Iterable[str], luns: Iterable[str], seconds_max: float) -> list[str]:
        luns = tuple(luns)
        self.did.append(("reboot", tuple(services), luns))
        return [f"{lun}: clean" for lun in luns]

    async def restart(self, services: Iterable[str], seconds_max: float) -> None:
        self.did.append(("restart", tuple(services)))

    async def replace(
        self, services: Iterable[str], blanks: dict[str, str], keep: Iterable[str], seconds_max: float
    ) -> None:
        self.did.append(("replace", tuple(services), tuple(blanks), tuple(keep)))

    async def not_running(self) -> list[str]:
        return self.ended

    async def execute(self, service: str, command: Iterable[str], seconds_max: float) -> tuple[int, str]:
        command = tuple(command)
        self.did.append(("execute", service, command))
        return self.exit_codes[command[0]], "last words"


def mended(running: NotingStack, lost: set[str] = frozenset(), held: set[str] = frozenset()) -> Any:  # type: ignore[assignment]
    return asyncio.run(mend(running.made, lost, held, 10.0))


def followed(running: NotingStack, *lost: str) -> list[str]:
    async def follow() -> list[str]:
        blanks = {name: f"/blank-{name}" for name in running.stack.luns}
        return [said async for said in run_the_runbook(running.made, set(lost), blanks, 10.0)]

    return asyncio.run(follow())


def test_a_healthy_stack_is_left_alone() -> None:
    running = NotingStack()
    assert mended(running) == []
    assert running.did == []


@pytest.mark.parametrize("trouble", ["closed", "gave_up"])
def test_a_sick_lun_is_rebooted_with_all_that_hangs_on_its_services(trouble: str) -> None:
    running = NotingStack()
    running.health["wal"][trouble] = True
    assert mended(running) == [("fsck", "pgdata: clean"), ("fsck", "wal: clean")]
    assert running.did == [("reboot", ("db",), ("pgdata", "wal"))]


def test_a_service_that_merely_ended_is_started_again() -> None:
    running = NotingStack()
    running.ended = ["gateway"]
    assert mended(running) == [("started", "gateway")]
    assert running.did == [("restart", ("gateway",))]


def test_what_an_active_fault_holds_down_stays_down() -> None:
    running = NotingStack()
    running.health["pgdata"]["closed"] = True
    running.ended = ["db", "gateway"]
    assert mended(running, held={"db"}) == [("started", "gateway")]
    assert running.did == [("restart", ("gateway",))]


def test_lost_luns_and_their_services_are_left_to_the_runbook() -> None:
    running = NotingStack()
    running.health["pgdata"]["closed"] = running.health["wal"]["closed"] = True
    running.ended = ["db"]
    assert mended(running, lost={"pgdata"}) == []
    assert running.did == []


def test_blank_disks_take_the_place_of_lost_ones_and_the_others_are_kept() -> None:
    running = NotingStack()
    assert followed(running, "pgdata") == [
        "no usable backup; pgdata replaced by blank LUNs, db initialised empty",
    ]
    assert running.did == [("replace", ("db",), ("pgdata",), ("wal",))]


RESTORE = RunbookStep("from backup", "restore", "db", ("restore",))
INITIALISE = RunbookStep("initialise", "initialise")


def test_a_restore_that_succeeds_ends_the_runbook() -> None:
    running = NotingStack(RESTORE, INITIALISE)
    assert followed(running, "pgdata", "wal") == ["from backup: restored"]


def test_a_restore_that_fails_is_told_and_the_next_step_is_tried() -> None:
    running = NotingStack(RESTORE, INITIALISE)
    running.exit_codes["restore"] = 7
    said = followed(running, "pgdata")
    assert said[0] == "from backup: failed with 7: last words"
    assert said[-1].startswith("no usable backup")


REBUILD = RunbookStep("rebuild", "rebuild", services=("db", "files"))


def copies(running: NotingStack, **stores: tuple[str, ...]) -> NotingStack:
    running.stack = dataclasses.replace(running.stack, copies=stores)
    return running


def test_a_lost_copy_is_rebuilt_from_one_that_is_left_and_nothing_is_restored_or_initialised() -> None:
    running = copies(NotingStack(REBUILD, RESTORE, INITIALISE), records=("pgdata", "photos"))
    assert followed(running, "photos") == ["rebuild: files on a blank photos, from pgdata"]
    assert running.did == [("replace", ("files",), ("photos",), ())]


def test_a_store_of_which_no_copy_is_left_is_restored() -> None:
    running = copies(NotingStack(REBUILD, RESTORE, INITIALISE), records=("pgdata", "photos"))
    assert followed(running, "photos", "pgdata") == ["from backup: restored"]


def test_what_is_rebuilt_is_told_from_what_is_initialised_empty() -> None:
    running = copies(NotingStack(REBUILD, INITIALISE), records=("pgdata", "wal"), blobs=("photos",))
    assert followed(running, "pgdata", "photos") == [
        "rebuild: db on a blank pgdata, from wal",
        "no usable backup; photos replaced by blank LUNs, files initialised empty",
    ]


def test_a_lun_that_held_copies_of_two_stores_is_rebuilt_only_if_both_are_left() -> None:
    running = copies(NotingStack(REBUILD, INITIALISE), records=("pgdata", "wal"), blobs=("pgdata",))
    assert followed(running, "pgdata") == ["no usable backup; pgdata replaced by blank LUNs, db initialised empty"]


def test_a_service_that_no_rebuild_step_names_is_initialised_empty() -> None:
    running = copies(
        NotingStack(RunbookStep("r", "rebuild", services=("files",)), INITIALISE), records=("pgdata", "wal")
    )
    assert followed(running, "pgdata")[-1].startswith("no usable backup; pgdata")

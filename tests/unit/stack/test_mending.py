"""What operators do when faults are over, with a stack that only takes notes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.agent.request import Done
from chaos.agent.wire import Health, LunHealth
from chaos.agent.wire_states import TakeApart
from chaos.experiment.drivers import DriverChoice
from chaos.stack.live.disks import Unrecoverable
from chaos.stack.live.mending import Damage, mend
from chaos.stack.live.running import RunningStack
from chaos.stack.spec import Lun, Mount, RunbookStep, Service, Stack

HEALTHY = LunHealth(closed=False, gave_up=False)
CLOSED = LunHealth(closed=True, gave_up=False)
NOTHING: Set[str] = frozenset()
Said = list[tuple[str, str]]


class NotingStack:
    """db on pgdata and wal, files on photos."""

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
            driver=DriverChoice("http"),
            runbook=runbook,
        )
        self.agent = self
        self.health = dict.fromkeys(self.stack.luns, HEALTHY)
        self.running = dict.fromkeys(self.stack.services)
        self.blank: Set[str] = NOTHING
        self.behind = self
        self.luns: Set[str] = NOTHING
        """Those on which a copy is behind."""
        self.ended: list[str] = []
        self.did: list[tuple[object, ...]] = []
        self.taken_apart: list[tuple[str, ...]] = []
        self.exit_codes = {"restore": 0}
        self.changing = asyncio.Lock()
        self.unhealthy: set[str] = set()
        self.is_beyond_a_check = False

    @property
    def made(self) -> RunningStack:
        return cast(RunningStack, self)

    async def call(self, request: Health | TakeApart) -> LunHealth | Done:
        if isinstance(request, TakeApart):
            assert self.changing.locked()
            self.taken_apart.append(request.luns)
            return Done()
        return self.health[request.lun]

    async def put_in_place(self, *, anew: Iterable[str], checked: Iterable[str], blanks: dict[str, str]) -> list[str]:
        assert self.changing.locked(), "a fault could strike what is just put in place"
        checked = tuple(checked)
        taken_apart, self.taken_apart = self.taken_apart, []
        assert taken_apart == ([tuple(sorted({*checked, *blanks}))] if checked or blanks else [])
        work = {"anew": tuple(sorted(anew)), "checked": checked, "blank": tuple(blanks)}
        if any(work.values()):
            self.did.append(("put in place", {name: names for name, names in work.items() if names}))
        if self.is_beyond_a_check:
            raise Unrecoverable("a file system needs more than a boot-time check")
        return [f"{lun}: clean" for lun in checked]

    async def start(self, names: Iterable[str], seconds_max: float, *, wait: bool) -> None:
        assert not self.changing.locked(), "no fault could strike before the last service is started"
        if names := tuple(sorted(names)):
            self.did.append(("start", *names))

    def watch(self, luns: Set[str]) -> None:
        self.luns = self.luns | luns

    async def healthy(self, services: Iterable[str], seconds_max: float) -> None:
        services = tuple(services)
        self.did.append(("healthy", *services))
        if self.unhealthy.intersection(services):
            raise Unrecoverable(f"{', '.join(services)} does not get healthy in time")

    async def not_running(self) -> list[str]:
        return self.ended

    async def execute(self, service: str, command: Iterable[str], seconds_max: float) -> tuple[int, str]:
        command = tuple(command)
        self.did.append(("execute", service, command))
        return self.exit_codes[command[0]], "last words"


def mended(running: NotingStack, lost: Set[str] = NOTHING, held: Set[str] = NOTHING, **more: Any) -> Said:
    damage = Damage(lost=lost, held=held, replaceable=more.pop("replaceable", NOTHING))
    blanks = {name: f"/blank-{name}" for name in running.stack.luns}

    async def act() -> Said:
        return [said async for said in mend(running.made, lambda: damage, blanks, 10.0, **more)]

    return asyncio.run(act())


def followed(running: NotingStack, *lost: str) -> list[str]:
    said = mended(running, lost=set(lost), replaceable=set(lost))
    return [text for topic, text in said if topic == "runbook"]


def test_a_healthy_stack_is_left_alone() -> None:
    running = NotingStack()
    assert mended(running) == []
    assert running.did == []


@pytest.mark.parametrize("trouble", ["closed", "gave_up"])
def test_a_sick_lun_is_checked_with_all_that_hangs_on_its_services(trouble: str) -> None:
    running = NotingStack()
    running.health["wal"] = replace(HEALTHY, **{trouble: True})
    assert mended(running) == [("fsck", "pgdata: clean"), ("fsck", "wal: clean")]
    assert running.did == [("put in place", {"anew": ("db",), "checked": ("pgdata", "wal")}), ("start", "db")]


def test_a_service_that_merely_ended_is_started_again() -> None:
    running = NotingStack()
    running.ended = ["gateway"]
    assert mended(running) == [("started", "gateway")]
    assert running.did == [("start", "gateway")]


def test_a_service_without_a_container_is_made_anew_with_its_disks() -> None:
    running = NotingStack()
    del running.running["db"], running.running["gateway"]
    mended(running)
    work = {"anew": ("db", "gateway"), "checked": ("pgdata", "wal")}
    assert running.did == [("put in place", work), ("start", "db", "gateway")]


def test_everything_is_put_in_place_before_anybody_waits_for_a_service_to_be_healthy() -> None:
    running = NotingStack(INITIALISE)
    running.health["photos"] = CLOSED
    running.ended = ["gateway"]
    mended(running, lost={"pgdata"}, replaceable={"pgdata"})
    work = {"anew": ("db", "files"), "checked": ("wal", "photos"), "blank": ("pgdata",)}
    assert running.did == [("put in place", work), ("start", "db", "files", "gateway")]


def test_what_a_fault_in_force_holds_down_stays_down() -> None:
    running = NotingStack()
    running.health["pgdata"] = running.health["photos"] = CLOSED
    running.ended = ["db", "gateway"]
    assert mended(running, held={"db"}) == [("fsck", "photos: clean"), ("started", "gateway")]
    work = {"anew": ("files",), "checked": ("photos",)}
    assert running.did == [("put in place", work), ("start", "files", "gateway")]


def test_what_is_lost_and_not_to_be_replaced_yet_is_left_alone_with_its_services() -> None:
    running = NotingStack()
    running.health["pgdata"] = running.health["wal"] = CLOSED
    running.ended = ["db"]
    assert mended(running, lost={"pgdata"}) == []
    assert running.did == []


def test_nothing_is_replaced_under_a_service_that_a_fault_holds() -> None:
    running = NotingStack(INITIALISE)
    assert mended(running, lost={"pgdata"}, replaceable={"pgdata"}, held={"db"}, replacing=pytest.fail) == []
    assert running.did == []


def test_what_is_lost_after_the_blank_disks_were_made_ready_is_replaced_the_next_time() -> None:
    running = NotingStack(INITIALISE)
    damage = Damage(lost={"photos"}, replaceable={"photos"})

    async def act() -> Said:
        return [said async for said in mend(running.made, lambda: damage, {}, 10.0)]

    assert asyncio.run(act()) == []
    assert running.did == []


def test_whoever_asks_is_told_of_what_is_replaced_before_it_is() -> None:
    running, told = NotingStack(INITIALISE), list[tuple[Set[str], int]]()
    mended(
        running, lost={"pgdata"}, replaceable={"pgdata"}, replacing=lambda luns: told.append((luns, len(running.did)))
    )
    assert told == [({"pgdata"}, 0)]


def test_blank_disks_take_the_place_of_lost_ones_and_the_others_are_kept() -> None:
    running = NotingStack()
    assert followed(running, "pgdata") == [
        "no usable backup; pgdata replaced by blank LUNs, db started on them",
    ]
    assert running.did == [
        ("put in place", {"anew": ("db",), "checked": ("wal",), "blank": ("pgdata",)}),
        ("start", "db"),
    ]


RESTORE = RunbookStep("from backup", "restore", "db", ("restore",))
INITIALISE = RunbookStep("initialise", "initialise")


def test_a_restore_waits_for_its_service_and_ends_the_runbook_when_it_succeeds() -> None:
    running = NotingStack(RESTORE, INITIALISE)
    assert followed(running, "pgdata", "wal") == ["from backup: restored"]
    assert running.did[2:] == [("healthy", "db"), ("execute", "db", ("restore",))]


def test_a_restore_that_fails_is_told_and_the_next_step_is_tried() -> None:
    running = NotingStack(RESTORE, INITIALISE)
    running.exit_codes["restore"] = 7
    said = followed(running, "pgdata")
    assert said[0] == "from backup: failed with 7: last words"
    assert said[-1].startswith("no usable backup")


@pytest.mark.parametrize("trouble", ["a disk that needs more than a check", "the restore's service is not healthy"])
def test_a_runbook_that_could_not_be_followed_is_followed_the_next_time(trouble: str) -> None:
    running = NotingStack(RESTORE, INITIALISE)
    running.is_beyond_a_check = trouble.startswith("a disk")
    running.unhealthy = {"db"}
    with pytest.raises(Unrecoverable):
        mended(running, lost={"pgdata"}, replaceable={"pgdata"})
    running.is_beyond_a_check, running.unhealthy = False, set()
    assert mended(running) == [("runbook", "from backup: restored")]
    assert mended(running) == []


def test_a_restore_in_a_service_that_a_fault_holds_waits_until_that_is_over() -> None:
    running = NotingStack(RunbookStep("from files", "restore", "files", ("restore",)), INITIALISE)
    said = mended(running, lost={"pgdata"}, replaceable={"pgdata"}, held={"files"})
    assert said == [("fsck", "wal: clean")]
    assert mended(running) == [("runbook", "from files: restored")]


def test_a_restore_that_failed_while_a_fault_hindered_it_is_tried_again_afterwards() -> None:
    running = NotingStack(RESTORE, INITIALISE)
    running.exit_codes["restore"] = 7
    said = mended(running, lost={"pgdata"}, replaceable={"pgdata"}, hindered=lambda: True)
    assert said[1:] == [("runbook", "from backup: failed with 7: last words")]
    running.exit_codes["restore"] = 0
    assert mended(running) == [("runbook", "from backup: restored")]


def test_a_restore_counts_as_hindered_by_a_fault_that_struck_meanwhile() -> None:
    running, in_force = NotingStack(RESTORE, INITIALISE), iter((False, True))
    running.exit_codes["restore"] = 7
    said = mended(running, lost={"pgdata"}, replaceable={"pgdata"}, hindered=lambda: next(in_force))
    assert said[1:] == [("runbook", "from backup: failed with 7: last words")]


def test_a_restore_that_failed_unhindered_is_not_tried_again_over_what_came_since() -> None:
    running = NotingStack(RESTORE, INITIALISE)
    running.exit_codes["restore"] = 7
    assert followed(running, "pgdata")[-1].startswith("no usable backup")
    running.exit_codes["restore"] = 0
    assert mended(running) == []


def test_a_blank_disk_that_is_lost_before_the_runbook_came_to_its_end_waits_for_another_one() -> None:
    running = NotingStack(RESTORE, INITIALISE)
    running.unhealthy = {"db"}
    with pytest.raises(Unrecoverable):
        mended(running, lost={"pgdata"}, replaceable={"pgdata"})
    running.unhealthy = set()
    assert mended(running, lost={"pgdata"}) == []
    assert followed(running, "pgdata") == ["from backup: restored"]


REBUILD = RunbookStep("rebuild", "rebuild", services=("db", "files"))


def copies(running: NotingStack, **stores: tuple[str, ...]) -> NotingStack:
    running.stack = dataclasses.replace(running.stack, copies=stores)
    return running


def test_a_lost_copy_is_rebuilt_from_one_that_is_left_and_nothing_is_restored_or_initialised() -> None:
    running = copies(NotingStack(REBUILD, RESTORE, INITIALISE), records=("pgdata", "photos"))
    assert followed(running, "photos") == ["rebuild: files on a blank photos, from pgdata"]
    assert running.did == [("put in place", {"anew": ("files",), "blank": ("photos",)}), ("start", "files")]


def test_a_store_of_which_no_copy_is_left_is_restored() -> None:
    running = copies(NotingStack(REBUILD, RESTORE, INITIALISE), records=("pgdata", "photos"))
    assert followed(running, "photos", "pgdata") == ["from backup: restored"]


def test_a_copy_that_is_lost_and_not_replaced_yet_is_no_copy_to_rebuild_from() -> None:
    running = copies(NotingStack(REBUILD, RESTORE, INITIALISE), records=("pgdata", "photos"))
    said = mended(running, lost={"pgdata", "photos"}, replaceable={"pgdata"})
    assert said[-1] == ("runbook", "from backup: restored")


def test_a_copy_that_was_replaced_is_one_to_rebuild_from_once_it_has_caught_up() -> None:
    running = copies(NotingStack(REBUILD, RESTORE, INITIALISE), records=("pgdata", "photos"))
    assert followed(running, "photos") == ["rebuild: files on a blank photos, from pgdata"]
    assert followed(running, "pgdata") == ["from backup: restored"], "photos had nothing yet"
    running.luns = NOTHING
    assert followed(running, "pgdata") == ["rebuild: db on a blank pgdata, from photos"]


def test_a_disk_that_waits_for_the_restore_is_no_copy_however_healthy_its_service_is() -> None:
    running = copies(NotingStack(REBUILD, RESTORE, INITIALISE), records=("pgdata", "photos"))
    running.exit_codes["restore"] = 7
    mended(running, lost={"pgdata", "photos"}, replaceable={"pgdata", "photos"}, hindered=lambda: True)
    running.luns, running.exit_codes["restore"] = NOTHING, 0
    assert mended(running) == [("runbook", "from backup: restored")]


def test_what_is_rebuilt_is_told_from_what_no_copy_is_left_of() -> None:
    running = copies(NotingStack(REBUILD, INITIALISE), records=("pgdata", "wal"), blobs=("photos",))
    assert followed(running, "pgdata", "photos") == [
        "rebuild: db on a blank pgdata, from wal",
        "no usable backup; photos replaced by blank LUNs, files started on them",
    ]


def with_local_disk(running: NotingStack, contents: str = "") -> NotingStack:
    """db has a local disk as well, of which nobody has a copy."""
    db, made = running.stack.services["db"], running.stack
    running.stack = dataclasses.replace(
        made,
        services={**made.services, "db": dataclasses.replace(db, mounts=(*db.mounts, Mount("lun", "log", "/log")))},
        luns={**made.luns, "log": Lun("log", "local", 4096, contents=contents)},
    )
    running.health["log"] = HEALTHY
    return running


@pytest.mark.parametrize(
    ("contents", "said"), [("", "blank LUNs"), ("/user/log", "LUNs with what the bound folders hold")]
)
def test_a_local_disk_that_is_no_copy_of_anything_calls_for_no_backup(contents: str, said: str) -> None:
    running = copies(NotingStack(REBUILD, RESTORE, INITIALISE), records=("pgdata", "photos"))
    assert followed(with_local_disk(running, contents), "pgdata", "log") == [
        f"log replaced by {said}, db started on them",
        "rebuild: db on a blank pgdata, from photos",
    ]


def test_where_nothing_says_what_holds_the_data_a_local_disk_may(tmp_path: Path) -> None:
    running = with_local_disk(NotingStack(RESTORE, INITIALISE))
    assert followed(running, "log") == ["from backup: restored"]


def test_a_lun_that_held_copies_of_two_stores_is_rebuilt_only_if_both_are_left() -> None:
    running = copies(NotingStack(REBUILD, INITIALISE), records=("pgdata", "wal"), blobs=("pgdata",))
    assert followed(running, "pgdata") == ["no usable backup; pgdata replaced by blank LUNs, db started on them"]


def test_a_service_that_no_rebuild_step_names_is_started_on_a_blank_disk() -> None:
    running = copies(
        NotingStack(RunbookStep("r", "rebuild", services=("files",)), INITIALISE), records=("pgdata", "wal")
    )
    assert followed(running, "pgdata")[-1].startswith("no usable backup; pgdata")

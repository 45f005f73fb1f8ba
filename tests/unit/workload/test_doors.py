from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chaos.errors import DriverError, HarnessError
from chaos.experiment.drivers import DriverChoice
from chaos.experiment.plan import RecordType
from chaos.history.events import CANARY_OWNER, DoorRead, is_unasked
from chaos.workload.canaries import CANARIES, plant
from chaos.workload.drivers import load_driver
from chaos.workload.logbook import Logbook
from chaos.workload.reads.doors import Door, Reader, Readers, copy_doors, fresh_doors, read_doors, reset_doors
from chaos.workload.records import digest, make, size_of
from chaos.workload.session import FrontDoor
from tests.unit.workload import elsewhere_drivers
from tests.unit.workload.fakes import Events, Service, served

HERE = Path(__file__).parent
SECONDS_MAX = 20.0
FOR_EVER = 1e12
CHEATS = ("WrittenBySession", "WrittenByProcess", "ReadOncePerSession", "ReadOncePerProcess")


def play(
    scene: Callable[[Reader, FrontDoor, Service], Awaitable[None]], driver: str = "http", folder: Path | None = None
) -> None:
    async def scenery() -> None:
        service = Service()
        async with served(service) as front_door, Readers.open(DriverChoice(driver), folder) as readers:
            reader = await readers.new()
            try:
                await asyncio.wait_for(scene(reader, front_door, service), SECONDS_MAX)
            finally:
                await reader.close()

    asyncio.run(scenery())


def test_a_fresh_device_of_every_owner_and_the_canaries_owner_reads_until_two_rounds_agree() -> None:
    async def scene(reader: Reader, front_door: FrontDoor, service: Service) -> None:
        photo = make("u-01", "ada-1", "w-1", "photo", size_bytes=300_000)
        service.write(photo, None, "k")
        sink = Events()
        begun = time.monotonic_ns()
        doors = fresh_doors(["u-00", "u-01"])
        assert await read_doors(reader, front_door, 1, doors, sink, deadline=time.monotonic() + SECONDS_MAX)
        reads = [event for event in sink.events if isinstance(event, DoorRead)]
        by_owner = {read.owner: read for read in reads}
        assert set(by_owner) == {"u-00", "u-01", CANARY_OWNER}
        assert all(begun < read.invoked <= read.t < time.monotonic_ns() for read in reads)
        assert [(r.round, r.settled) for r in reads if r.owner == "u-01"] == [(1, False), (2, True)]
        (row,) = by_owner["u-01"].rows
        assert (row.hash, row.blob, row.row) == (digest(photo), "ok", "1")

    play(scene)


def test_every_device_has_a_door_after_its_reset() -> None:
    doors = reset_doors([("d-00", "u-00"), ("d-01", "u-00")])
    assert [(door.door, door.owner) for door in doors] == [
        ("reset d-00", "u-00"),
        ("reset d-01", "u-00"),
        ("reset d-canary", CANARY_OWNER),
    ]


def test_each_copy_is_read_for_every_owner_by_the_drivers_own_class_until_two_rounds_agree(tmp_path: Path) -> None:
    (tmp_path / "two_copies.py").write_text(
        "from chaos.workload.drivers.http import HttpSession\n"
        "class Copy(HttpSession):\n"
        "    def __init__(self, front_door, at, *, user):\n"
        "        super().__init__(front_door, user=user, device='')\n"
        "        self.at = at\n"
        "    async def everything(self):\n"
        "        if self.at == 'db-c:5432': raise RuntimeError('has not replayed')\n"
        "        return [r for r in await super().everything() if self.at == 'db-a:5432' or r.name != 'ada-1']\n"
        "class Phone(HttpSession):\n"
        "    doors = {'replica': Copy}\n"
    )

    async def scene(reader: Reader, front_door: FrontDoor, service: Service) -> None:
        for name in ("ada-1", "ada-2"):
            service.write(make("u-01", name, f"w-{name}", "contact"), None, f"k-{name}")
        places = [("replica", "db-a", 5432), ("replica", "db-b", 5432), ("replica", "db-c", 5432)]
        doors = copy_doors(places, ["u-01"])
        assert len({door.device for door in doors}) == len(doors)
        reads = await reader.read(front_door, 4, doors, seconds_max=0.5)
        shown = {(r.door, r.owner): [row.record for row in r.rows] for r in reads if r.settled}
        assert shown == {
            ("replica db-a", "u-01"): ["ada-1", "ada-2"],
            ("replica db-b", "u-01"): ["ada-2"],
            ("replica db-a", CANARY_OWNER): [],
            ("replica db-b", CANARY_OWNER): [],
        }
        assert {(r.outcome, r.why) for r in reads if r.door == "replica db-c"} == {
            ("fail", "RuntimeError: has not replayed")
        }

    play(scene, "two_copies:Phone", tmp_path)


def test_a_door_that_cannot_be_read_by_the_deadline_is_a_failed_read_with_its_reason() -> None:
    async def scene(reader: Reader, _front_door: FrontDoor, _service: Service) -> None:
        nobody = FrontDoor("127.0.0.1", 1)
        (read,) = await reader.read(nobody, 1, [Door("fresh", "u-00", "x")], seconds_max=0.2)
        assert (read.outcome, read.round, read.rows) == ("fail", 1, ())
        assert "the front door cannot be reached" in read.why

    play(scene)


def test_a_driver_that_prints_does_not_get_between_the_answers() -> None:
    async def scene(reader: Reader, front_door: FrontDoor, _service: Service) -> None:
        reads = await reader.read(front_door, 1, fresh_doors(["u-00"]), seconds_max=5)
        assert all(read.outcome == "ok" for read in reads)

    play(scene, "cheating_drivers:Chatty", HERE)


def test_a_reader_that_cannot_import_its_driver_says_why() -> None:
    async def scene(reader: Reader, front_door: FrontDoor, _service: Service) -> None:
        with pytest.raises(HarnessError, match="no_such_module"):
            await reader.read(front_door, 1, fresh_doors([]), seconds_max=5)

    play(scene, "no_such_module:Driver")


def only_child(readers: Readers) -> int:
    """The one process that was forked for a reader."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    (found,) = [pid for pid in pids if parent_of(pid) == readers._process.pid]
    return found


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_a_reader_that_is_killed_is_a_harness_error() -> None:
    async def scene(reader: Reader, front_door: FrontDoor, _service: Service) -> None:
        await reader.read(front_door, 1, fresh_doors([]), seconds_max=5)
        os.kill(only_child(reader._readers), signal.SIGKILL)
        with pytest.raises(HarnessError, match="reader"):
            await reader.read(front_door, 1, fresh_doors([]), seconds_max=5)

    play(scene)


def test_the_canaries_are_planted_and_the_service_holds_what_the_history_denies() -> None:
    async def scene(reader: Reader, front_door: FrontDoor, service: Service) -> None:
        sink = Events()
        await plant(load_driver("http"), front_door, Logbook(sink), reader, deadline=time.monotonic() + SECONDS_MAX)
        a, b, update = sink.acts("create", "update")
        assert (a.record, b.record, update.record) == (CANARIES["A"], CANARIES["B"], CANARIES["B"])
        assert [sink.outcomes(act.op) for act in (a, b, update)] == [["ok"]] * 3
        (there,) = service.live(CANARY_OWNER)
        assert there.name == CANARIES["B"]
        assert there.write == update.write
        assert digest(there) != update.hash

    play(scene)


def test_the_canaries_are_of_a_type_that_the_service_stores() -> None:
    async def scene(reader: Reader, front_door: FrontDoor, service: Service) -> None:
        driver, deadline = load_driver("honest_drivers:InvoicesAlone", HERE), time.monotonic() + SECONDS_MAX
        kind = RecordType("invoice", 300, 900)
        await plant(driver, front_door, Logbook(Events()), reader, kind=kind, deadline=deadline)
        assert [(there.type, size_of(there)) for there in service.live(CANARY_OWNER)] == [("invoice", 300)]

    play(scene, "honest_drivers:InvoicesAlone", HERE)


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_driver_whose_full_read_answers_from_a_cache_is_found_out_before_the_load(cheat: str) -> None:
    name = f"cheating_drivers:{cheat}"

    async def scene(reader: Reader, front_door: FrontDoor, _service: Service) -> None:
        driver = load_driver(name, HERE)
        with pytest.raises(HarnessError, match="from a cache"):
            await plant(driver, front_door, Logbook(Events()), reader, deadline=time.monotonic() + 1.5)

    play(scene, name, HERE)


@pytest.mark.parametrize("cheat", ["Shelf", "SharedMemory"])
def test_a_driver_whose_full_read_is_kept_elsewhere_is_found_out_where_nobody_listens(
    cheat: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = f"elsewhere_drivers:{cheat}"
    monkeypatch.setenv("SHELF", str(tmp_path))

    async def scene(reader: Reader, front_door: FrontDoor, _service: Service) -> None:
        driver = load_driver(name, HERE)
        if cheat != "SharedMemory":
            monkeypatch.setattr(driver, "place", tmp_path / elsewhere_drivers.SHELF.name)
        with pytest.raises(DriverError, match=f"{name}: .*returned 1 record from an address where nobody listens"):
            await plant(driver, front_door, Logbook(Events()), reader, deadline=time.monotonic() + SECONDS_MAX)

    try:
        play(scene, name, HERE)
    finally:
        shutil.rmtree(elsewhere_drivers.SharedMemory.place, ignore_errors=True)


def test_what_a_phone_keeps_under_home_a_reader_does_not_find(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    async def scene(reader: Reader, front_door: FrontDoor, _service: Service) -> None:
        driver = load_driver("elsewhere_drivers:SqliteAtHome", HERE)
        with pytest.raises(HarnessError, match="from a cache"):
            await plant(driver, front_door, Logbook(Events()), reader, deadline=time.monotonic() + 3.0)

    play(scene, "elsewhere_drivers:SqliteAtHome", HERE)
    assert [path.suffix for path in tmp_path.iterdir()] == [".sqlite"]


def test_a_read_that_the_service_did_not_answer_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHELF", str(tmp_path))
    name = "elsewhere_drivers:EverySecondOwner"

    async def scene(reader: Reader, front_door: FrontDoor, service: Service) -> None:
        phones = load_driver(name, HERE)
        monkeypatch.setattr(phones, "place", tmp_path / elsewhere_drivers.SHELF.name)
        for owner in ("u-00", "u-01"):
            phone = phones(front_door, user=owner, device="d")
            await phone.put(make(owner, "ada-1", f"w-{owner}", "contact"), None, f"k-{owner}")
            await phone.close()
        reads = await reader.read(front_door, 1, fresh_doors(["u-00", "u-01"]), seconds_max=5)
        counts = {r.owner: not is_unasked(r.asked_bytes, r.answered_bytes, len(r.rows)) for r in reads}
        assert counts == {"u-00": True, "u-01": False, CANARY_OWNER: True}
        assert all(len(r.rows) == 1 for r in reads if r.owner != CANARY_OWNER)

    play(scene, name, HERE)


def test_every_reader_has_a_folder_a_home_and_a_tmpdir_of_its_own_that_go_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    monkeypatch.setenv("SAID", str(said))
    (tmp_path / "where.py").write_text(
        "import os, pathlib, tempfile\n"
        "from chaos.workload.drivers.http import HttpSession\n"
        "AT_IMPORT = pathlib.Path.home()\n"
        "class Driver(HttpSession):\n"
        "    async def everything(self):\n"
        "        said = [AT_IMPORT, os.getcwd(), pathlib.Path.home(), tempfile.gettempdir()]\n"
        "        pathlib.Path(os.environ['SAID']).open('a').write('|'.join(map(str, said)) + '\\n')\n"
        "        raise RuntimeError\n"
    )
    scratch = tmp_path / "scratch"

    async def scenery() -> None:
        async with Readers.open(DriverChoice("where:Driver"), tmp_path, scratch) as readers:
            for _ in range(2):
                reader = await readers.new()
                await reader.read(FrontDoor("127.0.0.1", 1), 1, [Door("fresh", "u", "x")], seconds_max=0)
                await reader.close()

    asyncio.run(scenery())
    places = [Path(place) for line in said.read_text().splitlines() for place in line.split("|")]
    assert all(place.is_relative_to(scratch) for place in places)
    assert len(set(places)) == 5, "folder and HOME are one, TMPDIR is another; each reader has its own, and the import"
    assert not scratch.exists()


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("honest_drivers:MisspellsAField", r"KeyError: 'servd_by', honest_drivers\.py:\d+ in put"),
        ("bad_drivers:NoAck", "put returned None, not an Ack"),
        ("bad_drivers:WrongArgument", r"TypeError: Record\.__init__.*, bad_drivers\.py:\d+ in "),
    ],
)
def test_a_defect_of_the_driver_ends_the_planting_at_once_with_its_line(driver: str, words: str) -> None:
    async def scene(reader: Reader, front_door: FrontDoor, _service: Service) -> None:
        with pytest.raises(DriverError, match=f"driver {driver}: {words}"):
            await plant(load_driver(driver, HERE), front_door, Logbook(Events()), reader, deadline=FOR_EVER)

    play(scene, driver, HERE)


def test_canaries_that_the_service_does_not_take_end_the_trial_as_a_harness_error() -> None:
    async def scene(reader: Reader, _front_door: FrontDoor, _service: Service) -> None:
        nobody = FrontDoor("127.0.0.1", 1)
        with pytest.raises(HarnessError, match="cannot be planted"):
            await plant(load_driver("http"), nobody, Logbook(Events()), reader, deadline=time.monotonic() + 0.1)

    play(scene)


def test_a_reader_ends_by_itself_when_the_controller_is_gone() -> None:
    async def scene(reader: Reader, front_door: FrontDoor, _service: Service) -> None:
        await reader.read(front_door, 1, fresh_doors([]), seconds_max=5)
        ending = os.pidfd_open(only_child(reader._readers))
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(ending, ended.set)
        # What the kernel does for a controller that was killed: the socket ends.
        await reader.close()
        await ended.wait()
        asyncio.get_running_loop().remove_reader(ending)
        os.close(ending)

    play(scene)

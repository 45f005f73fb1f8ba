from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.checks.verdict import judge
from chaos.errors import DriverError, HarnessError
from chaos.experiment.mix import mix_without
from chaos.experiment.plan import RecordType, Workload
from chaos.history.events import Act, Back, DoorRead, Header
from chaos.history.reader import read_history
from chaos.history.recorder import Recorder
from chaos.workload import fleet as module
from chaos.workload.fleet import DRAIN_PATIENCE_SECONDS, Fleet
from chaos.workload.generator import draw
from chaos.workload.logbook import Logbook
from chaos.workload.session import Changes, FrontDoor, Session
from tests.unit.workload.fakes import DOOR, Events, Service, session_of

# Photos of the smallest size that counts: a test has no use for megabytes.
LOAD = Workload(operations=300, rate_per_second=5000, photo_bytes_max=50_001, request_seconds_max=0.5)
SECONDS_MAX = 20.0
PHONES = LOAD.users * LOAD.devices_per_user + 1
"""With the canaries' phone, which has a cache but no load."""


async def run_load(
    workload: Workload, seed: int, driver: type[Session], front_door: FrontDoor, logbook: Logbook
) -> Fleet:
    """Carry out the whole workload; the fleet is closed if that fails."""
    fleet = Fleet(workload, draw(workload, seed), driver, front_door, logbook, "reject")
    try:
        await fleet.work()
    except BaseException:
        await fleet.close()
        raise
    return fleet


async def _loaded(service: Service, sink: Events, workload: Workload = LOAD, seed: int = 7) -> Fleet:
    return await asyncio.wait_for(run_load(workload, seed, session_of(service), DOOR, Logbook(sink)), SECONDS_MAX)


@pytest.mark.parametrize("seed", range(5))
def test_a_whole_load_is_a_well_formed_history_with_the_mix_that_a_counted_trial_needs(
    tmp_path: Path, seed: int
) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.append(Header("x", seed, "reject", "keyed"))

    async def scene() -> None:
        fleet = await asyncio.wait_for(
            run_load(LOAD, seed, session_of(Service()), DOOR, Logbook(recorder)), SECONDS_MAX
        )
        await fleet.flush_and_sync(time.monotonic() + SECONDS_MAX)
        await fleet.close()

    asyncio.run(scene())
    recorder.close()
    history = read_history(recorder.path)
    assert judge(history).mix.thin() == ()
    assert sum(len(operations) for operations in history.records.values()) == LOAD.operations
    doors = [rounds[-1] for rounds in history.doors.values()]
    assert len(doors) == PHONES
    assert all(door.settled and not door.odd for door in doors)


def test_a_load_of_types_of_the_users_own_without_photos_and_resets_has_the_mix_and_their_sizes(tmp_path: Path) -> None:
    types = (RecordType("invoice", 300, 900), RecordType("event", 2_000, 2_000))
    workload = replace(LOAD, photos=0.0, resets=0, types=types)
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.append(Header("x", 7, "reject", "keyed", mix_without=mix_without(workload)))

    async def scene() -> None:
        fleet = await asyncio.wait_for(
            run_load(workload, 7, session_of(Service()), DOOR, Logbook(recorder)), SECONDS_MAX
        )
        await fleet.close()

    asyncio.run(scene())
    recorder.close()
    history = read_history(recorder.path)
    assert judge(history).mix.thin(history.header.mix_without) == ()
    writes = [each for of_one in history.records.values() for each in of_one]
    sizes = {
        name: {each.size_bytes for each in writes if each.type == name and each.kind != "delete"}
        for name in {each.type for each in writes}
    }
    assert sizes.keys() == {"invoice", "event"}
    assert sizes["event"] == {2_000}
    assert min(sizes["invoice"]) >= 300
    assert max(sizes["invoice"]) <= 900
    assert len(sizes["invoice"]) > 10


def test_every_drawn_operation_is_invoked_though_the_service_is_down_and_is_flushed_when_it_is_back() -> None:
    service, sink = Service(down=True), Events()

    async def scene() -> None:
        fleet = await _loaded(service, sink)
        assert len(sink.acts("create", "update", "delete")) == LOAD.operations
        assert not service.keys
        unsent = sum(device.unsent for device in fleet.devices)
        assert unsent
        service.down = False
        await fleet.flush_and_sync(time.monotonic() + SECONDS_MAX)
        assert sum(device.unsent for device in fleet.devices) == 0
        assert service.keys
        await fleet.close()

    asyncio.run(scene())


@pytest.mark.parametrize("awaited", [True, False])
def test_a_load_that_is_awaited_has_patience_with_a_slow_service(awaited: bool) -> None:
    """As on a busy machine: no answer for longer than the usual patience, and operations left."""
    service, asked = Service(down=True), []

    def awaits(unsent: int) -> bool:
        asked.append(unsent)
        return awaited

    async def scene() -> None:
        fleet = Fleet(LOAD, draw(LOAD, 7), session_of(service), DOOR, Logbook(Events()))
        loading = asyncio.create_task(fleet.work(awaits))
        await asyncio.sleep(3 * DRAIN_PATIENCE_SECONDS)
        assert loading.done() is not awaited
        service.down = False
        await asyncio.wait_for(loading, SECONDS_MAX)
        assert (sum(device.unsent for device in fleet.devices) == 0) is awaited
        await fleet.close()

    asyncio.run(scene())
    assert asked[0] > 100


def test_an_awaited_load_ends_when_nobody_answers_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAITED_PATIENCE_SECONDS", 1.0)

    async def scene() -> None:
        fleet = Fleet(LOAD, draw(LOAD, 7), session_of(Service(down=True)), DOOR, Logbook(Events()))
        await asyncio.wait_for(fleet.work(lambda unsent: True), SECONDS_MAX)
        assert sum(device.unsent for device in fleet.devices) > 100
        await fleet.close()

    asyncio.run(scene())


def test_each_cache_is_read_after_every_flush_and_two_rounds_agree() -> None:
    service, sink = Service(), Events()

    async def scene() -> None:
        fleet = await _loaded(service, sink)
        await fleet.flush_and_sync(time.monotonic() + SECONDS_MAX)
        await fleet.close()

    asyncio.run(scene())
    reads = [event for event in sink.events if isinstance(event, DoorRead)]
    last = {(read.door, read.owner): read for read in reads}
    assert len(last) == PHONES
    for read in last.values():
        assert read.settled
        assert read.step == 2
        live = {record.write for record in service.live(read.owner)}
        assert {row.write for row in read.rows} == live


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_cache_is_read_alone_and_what_reached_the_service_meanwhile_is_noted(rewritten: bool) -> None:
    service, sink = Service(), Events()
    asked, marks = 0, itertools.count()

    class Counted(session_of(service)):  # type: ignore[misc]
        async def changes(self, cursor: str | None) -> Changes:
            nonlocal asked
            found: Changes = await super().changes(cursor)
            asked += self.user != "u-00"  # it answers that one from elsewhere
            return found

    async def heard() -> tuple[int, int]:
        return asked, next(marks) if rewritten else 0

    async def scene() -> None:
        fleet = await run_load(LOAD, 1, Counted, DOOR, Logbook(sink))
        await fleet.flush_and_sync(time.monotonic() + SECONDS_MAX, heard)
        await fleet.close()

    asyncio.run(scene())
    reads = [event for event in sink.events if isinstance(event, DoorRead)]
    wanted = {read.door: None if rewritten else int(read.owner != "u-00") for read in reads}
    assert len(wanted) == PHONES
    assert {read.door: read.asked_packets for read in reads} == wanted


def test_a_sync_that_returns_where_nobody_listens_is_told() -> None:
    async def scene() -> None:
        fleet = await _loaded(Service(), Events())
        with pytest.raises(
            DriverError, match=r"Memory: a sync of u-\d+ returned .* from an address where nobody listens"
        ):
            await fleet.ask_nobody()
        await fleet.close()

    asyncio.run(scene())


def test_a_cache_that_cannot_be_synced_by_the_deadline_is_a_failed_read_with_its_reason() -> None:
    service, sink = Service(), Events()

    async def scene() -> None:
        fleet = await _loaded(service, sink)
        service.down = True
        await fleet.flush_and_sync(time.monotonic() + 0.2)
        await fleet.close()

    asyncio.run(scene())
    reads = [event for event in sink.events if isinstance(event, DoorRead)]
    assert len(reads) == PHONES
    assert all(read.outcome == "fail" and "lost" in read.why and not read.rows for read in reads)


def test_a_cancelled_load_leaves_no_task_behind() -> None:
    async def scene() -> None:
        load = asyncio.create_task(_loaded(Service(), Events(), Workload(operations=300, rate_per_second=100)))
        await asyncio.sleep(0.05)
        load.cancel()
        await asyncio.wait([load])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scene())


def test_a_history_that_cannot_be_written_ends_the_load() -> None:
    class Full(Events):
        def append(self, event: object) -> None:
            if len(self.events) > 200:
                raise HarnessError("no space left")
            self.events.append(event)  # type: ignore[arg-type]

    with pytest.raises(HarnessError, match="no space left"):
        asyncio.run(_load_into(Full()))


async def _load_into(sink: Events) -> None:
    await _loaded(Service(), sink)


def test_a_witness_reads_beside_the_carrier_what_phones_wait_for() -> None:
    service, sink = Service(), Events()

    async def scene() -> None:
        fleet = Fleet(LOAD, draw(LOAD, 7), session_of(service), DOOR, Logbook(sink))
        waiting, content = fleet.devices[3], fleet.devices[0]
        assert not waiting.unheard
        service.trouble.append("lost answer")
        waiting.create("todo")
        waiting.resume()
        [created] = sink.acts("create")
        while sink.outcomes(created.op) != ["info"]:  # noqa: ASYNC110 - nothing else is awaited here than the phone
            await asyncio.sleep(0)
        assert waiting.unheard
        before = len(sink.events)
        await fleet.witness(DOOR)
        acts = [event for event in sink.events[before:] if isinstance(event, Act) and event.kind == "sync"]
        assert [(act.device, act.owner) for act in acts] == [(f"d-witness-{waiting.owner}", waiting.owner)]
        assert waiting.owner != content.owner, "of those who wait for nothing nobody is read"
        [answer] = [event for event in sink.events[before:] if isinstance(event, Back) and event.op == acts[0].op]
        assert [row.write for row in answer.rows] == [created.write]
        await fleet.close()

    asyncio.run(asyncio.wait_for(scene(), SECONDS_MAX))

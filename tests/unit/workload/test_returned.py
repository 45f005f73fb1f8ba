"""Whatever a driver returns is a finding: no value of any type stops a reader, a phone or the history."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.checks.verdict import Judgement, judge
from chaos.experiment.drivers import DriverChoice
from chaos.history.events import Act, Back, DoorRead, Event, Header, Row, Send
from chaos.history.reader import read_history
from chaos.workload.device import Device, Habits
from chaos.workload.logbook import Logbook
from chaos.workload.reads.doors import Door, Readers
from chaos.workload.records import digest, make, observe, observed
from chaos.workload.returned import TEXT_MAX
from chaos.workload.session import Ack, Changes, FrontDoor, Record
from tests.unit.checks.files import written
from tests.unit.workload.fakes import DOOR, Events, MemorySession
from tests.unit.workload.odd_drivers import UnspeakableError

HERE = Path(__file__).parent
TEXTS = st.text() | st.sampled_from(
    ["", "\0", "\ud800", "[u-1|ada-1|w-1]", "[u-2|bob-1|w-9]", "x" * 100_000, "[" * 1000, "ada-1", "w-1", "photo"]
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(1 << 14_000)
    | st.floats()
    | st.binary()
    | st.sampled_from([bytearray(b"b"), memoryview(b"m"), object(), ..., int, math.nan, {1, 2}, 1j])
    | TEXTS
)
ANYTHING = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
PARTS = ("owner", "name", "type", "write", "fields", "blob", "row")
DEEP: Any = []
for _ in range(100_000):
    DEEP = [DEEP]
WHOLE = make("u-1", "ada-1", "w-1", "photo", size_bytes=2_000)


@dataclass(frozen=True)
class Likeness(Mapping[Any, Any]):
    """A mapping with names of any kind."""

    pairs: tuple[tuple[Any, Any], ...]

    def __getitem__(self, name: Any) -> Any:
        return dict(self.pairs)[name]

    def __iter__(self) -> Any:
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(dict(self.pairs))


NAMES = st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | TEXTS
FIELDS = ANYTHING | st.builds(Likeness, st.lists(st.tuples(NAMES, ANYTHING), max_size=3).map(tuple))
RECORDS = (
    st.builds(Record, *(FIELDS if part == "fields" else ANYTHING for part in PARTS))
    | st.dictionaries(st.sampled_from(PARTS), ANYTHING).map(lambda parts: SimpleNamespace(**parts))
    | st.dictionaries(st.sampled_from(PARTS), ANYTHING).map(lambda parts: changed(parts))
    | ANYTHING
)


def changed(parts: Mapping[str, Any]) -> Any:
    """The whole record with some of its parts replaced."""
    return replace(WHOLE, **parts)


def holds(row: Row) -> bool:
    texts = [row.record, row.owner, row.write, row.hash, row.row, *(part for stamp in row.stamps for part in stamp)]
    return all(type(each) is str and len(each) <= TEXT_MAX and each.encode() is not None for each in texts)


@given(RECORDS)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_came_back_is_a_row_that_a_history_can_hold_and_the_same_one_each_time(record: Any) -> None:
    row = observe(record, "u-1")
    assert holds(row)
    assert row == observe(record, "u-1")


BIG = {
    "deep": DEEP,
    "deep within": {"a": DEEP},
    "large": 10**6_000,
    "small": -(10**6_000),
    "no number": math.nan,
    "no text": b"\xff",
    "no name": {"\ud800": 1},
}


@pytest.mark.parametrize("value", BIG.values(), ids=BIG)
@pytest.mark.parametrize("part", PARTS)
def test_a_value_of_any_depth_or_size_has_a_hash_of_its_own_in_every_part(part: str, value: Any) -> None:
    row = observe(changed({part: value}), "u-1")
    assert holds(row)
    assert part == "row" or row.hash != digest(WHOLE)


def test_nothing_is_told_from_an_empty_text_and_a_number_from_its_digits() -> None:
    odd: list[Any] = [None, "", 0, "0", False, 0.0, b"0", [], {}]
    hashes = {digest(changed({"fields": {"title": value}})) for value in odd}
    assert len(hashes) == len(odd)


def judged(tmp_path: Path, *records: Any, owner: str = "u-1") -> Judgement:
    """A history of one acknowledged photo and of an answer with these records at the fresh door."""
    act = Act(1, 10, "d-1#1", "d-1", "u-1", "create", "ada-1", "photo", "w-1", digest(WHOLE), "k")
    rows = tuple(row for row, _ in observed(records, owner))
    doors = [DoorRead(1, "fresh", owner, n, 100 * n, 100 * n + 5, "ok", n == 2, rows) for n in (1, 2)]
    sync: list[Event] = [Act(2, 20, "d-2#1", "d-2", owner, "sync"), Send(2, 1, 21), Back(2, 1, 30, "ok", rows=rows)]
    header = Header("x", 1, "reject", "keyed", canaries={"A": "a", "B": "b"}, require_mix=False)
    return judge(read_history(written([header, act, Send(1, 1, 11), Back(1, 1, 12, "ok"), *sync, *doors], tmp_path)))


WRONG = {"corrupted", "misattributed", "torn", "dangling-blob", "phantom", "lost", "duplicated"}


@given(parts=st.dictionaries(st.sampled_from([part for part in PARTS if part != "row"]), FIELDS, min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
def test_a_record_with_any_part_replaced_by_anything_is_a_finding(parts: dict[str, Any], tmp_path: Path) -> None:
    record = changed(parts)
    verdict = judged(tmp_path, record)
    if digest(record) == digest(WHOLE):
        return
    assert WRONG & set(verdict.anomalies), (parts, verdict)
    assert "unreadable" not in verdict.anomalies


@given(records=st.lists(RECORDS, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
def test_a_history_with_anything_beside_the_record_is_read_and_judged(records: list[Any], tmp_path: Path) -> None:
    assert "unreadable" not in judged(tmp_path, WHOLE, *records).anomalies


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (changed({"fields": dict.fromkeys(WHOLE.fields)}), {"corrupted"}),
        (changed({"fields": None}), {"corrupted"}),
        (changed({"name": None}), {"corrupted"}),
        (changed({"fields": None, "name": None}), {"corrupted"}),
        (changed({"fields": None, "write": None}), {"corrupted"}),
        (changed({"fields": None, "owner": None}), {"corrupted"}),
        (changed({"fields": {name: f"{text}\ud800" for name, text in WHOLE.fields.items()}}), {"corrupted"}),
        (changed({"fields": {name: text.encode() for name, text in WHOLE.fields.items()}}), {"corrupted"}),
        (changed({"type": 7}), {"corrupted"}),
        (changed({"blob": "no bytes"}), {"corrupted"}),
        (changed({"blob": None}), {"dangling-blob"}),
        (changed({"fields": None, "owner": "u-2"}), {"misattributed"}),
        (changed({"name": "bob-9"}), {"misattributed"}),
        (SimpleNamespace(name="ada-1", write="w-1"), {"corrupted"}),
        (None, {"corrupted", "lost"}),
    ],
)
def test_a_damaged_record_is_of_the_class_that_says_what_is_wrong(record: Any, found: set[str], tmp_path: Path) -> None:
    assert set(judged(tmp_path, record).anomalies) - {"never-read"} == found


def test_a_number_as_the_services_own_identity_of_a_row_is_one_and_a_copy_of_the_bytes_a_content(
    tmp_path: Path,
) -> None:
    kept = changed({"row": 17, "blob": bytearray(WHOLE.blob or b"")})
    assert observe(kept) == replace(observe(WHOLE), row="17")
    assert set(judged(tmp_path, kept).anomalies) == {"never-read"}


class Answering(MemorySession):
    """Tells a phone anything."""

    said: Any
    ack: Any = Ack()

    async def put(self, record: Record, base: str | None, key: str) -> Ack:
        return self.ack  # type: ignore[no-any-return]

    async def delete(self, name: str, base: str | None, key: str) -> Ack:
        return self.ack  # type: ignore[no-any-return]

    async def changes(self, cursor: str | None) -> Changes:
        return self.said  # type: ignore[no-any-return]

    async def everything(self) -> Any:
        return self.said.records


def used(session: type[Answering], folder: Path) -> tuple[Device, Judgement]:
    """A phone that syncs, is reset, and whose user then changes and deletes whatever is offered."""
    sink = Events()

    async def scene() -> Device:
        device = Device("d-1", "u-1", lambda: session(DOOR, user="u-1", device="d-1"), Logbook(sink), Habits())
        device.resume()
        device.create("contact")
        device.sync()
        await device.idle()
        for name in device.choices():
            device.update(name, 600)
        await device.idle()
        device.reset()
        await device.idle()
        for name in device.choices():
            device.delete(name)
        await device.idle()
        await device.close()
        return device

    device = asyncio.run(asyncio.wait_for(scene(), 20))
    sink.append(DoorRead(2, "cache d-1", "u-1", 1, 1 << 60, 1 << 61, "ok", rows=device.cache.rows()))
    header = Header("x", 1, "reject", "keyed", canaries={"A": "a", "B": "b"}, require_mix=False)
    return device, judge(read_history(written([header, *sink.events], folder)))


@given(records=st.lists(RECORDS, max_size=3), deleted=st.lists(ANYTHING, max_size=3), cursor=ANYTHING, by=ANYTHING)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40,
          deadline=None)  # fmt: skip
def test_a_phone_that_is_told_anything_goes_on_and_its_history_is_read(
    records: list[Any], deleted: list[Any], cursor: Any, by: Any, tmp_path: Path
) -> None:
    said = Changes(records, deleted, cursor, by)
    device, _ = used(type("Told", (Answering,), {"said": said, "ack": Ack(by, by)}), tmp_path)
    assert device.broken is None


@pytest.mark.parametrize("said", [None, 7, Changes(None, [], ""), Changes([], None, ""), Changes({}, "ada-1", "")])  # type: ignore[arg-type]
def test_an_answer_that_is_none_is_an_unknown_outcome_of_the_sync(said: Any, tmp_path: Path) -> None:
    sink = Events()

    async def scene() -> str:
        session = type("Told", (Answering,), {"said": said})
        device = Device("d-1", "u-1", lambda: session(DOOR, user="u-1", device="d-1"), Logbook(sink), Habits())
        return await device.sync_now()

    assert asyncio.run(scene())
    assert [event.outcome for event in sink.events if isinstance(event, Back)] == ["info"]


def test_a_phone_offers_no_record_that_it_could_not_have_asked_for() -> None:
    good = make("u-1", "ada-7", "w-7", "contact")
    odd = [
        replace(good, name="a]b[", fields={}),
        replace(good, name="", fields={}),
        replace(good, write="", fields={}),
        replace(good, name="ada-8", type="unheard", fields={}),
        make("u-2", "bob-9", "w-9", "contact"),
        replace(good, name="\ud800", fields={}),
    ]

    async def scene() -> tuple[Device, Device]:
        found = []
        for records in ([good], odd):
            session = type("Told", (Answering,), {"said": Changes(records, [], "")})
            made = partial(session, DOOR, user="u-1", device="d-1")
            device = Device("d-1", "u-1", made, Logbook(Events()), Habits())
            await device.sync_now()
            found.append(device)
        return found[0], found[1]

    sound, strange = asyncio.run(scene())
    assert list(sound.choices()) == list(sound.settled_choices()) == ["ada-7"]
    assert list(strange.choices()) == list(strange.settled_choices()) == []
    assert len(strange.cache.rows()) == 6, "what it has been told it shows, and door 2 reads"


def doors_of(driver: str, seconds_max: float, hush: Callable[[bytes], bytes] = bytes) -> list[DoorRead]:
    async def scene() -> list[DoorRead]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        async with server, Readers.open(DriverChoice(f"odd_drivers:{driver}"), HERE) as readers:
            readers.hush = hush
            reader = await readers.new()
            try:
                return list(
                    await reader.read(FrontDoor(host, port), 1, [Door("fresh", "u-01", "x")], seconds_max=seconds_max)
                )
            finally:
                await reader.close()

    return asyncio.run(asyncio.wait_for(scene(), 60))


@pytest.mark.parametrize(("driver", "rows"), [("Nulls", 3), ("Surrogates", 2), ("Huge", 2), ("Lazy", 1)])
def test_a_final_read_of_damaged_records_succeeds_with_a_row_for_each(driver: str, rows: int) -> None:
    reads = doors_of(driver, 20)
    assert [(read.outcome, len(read.rows), read.settled) for read in reads] == [("ok", rows, False), ("ok", rows, True)]


@pytest.mark.parametrize(
    ("driver", "why"),
    [
        ("NoList", "the list of records is of the type dict, not a list"),
        ("Nothing", "the list of records is of the type NoneType, not a list"),
        ("Streamed", "the list of records is of the type async_generator, not a list"),
        ("Endless", "more than the history can hold"),
        ("Exits", "no service, no driver"),
        ("Cancels", "the driver cancelled itself"),
        ("Unspeakable", "UnspeakableError"),
        ("Surrogate", "the service said \\ud800"),
    ],
)
def test_what_a_driver_itself_does_wrong_is_a_door_that_could_not_be_read_and_says_why(driver: str, why: str) -> None:
    (read,) = doors_of(driver, 0.3)
    assert (read.outcome, read.rows) == ("fail", ())
    assert why in read.why


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), ValueError("\ud800"), UnspeakableError()])
def test_a_driver_that_exits_cancels_itself_or_says_nothing_leaves_an_unknown_outcome_and_a_phone_that_goes_on(
    error: BaseException,
) -> None:
    tries: list[str] = []

    async def put(_session: Answering, _record: Record, _base: str | None, key: str) -> Ack:
        tries.append(key)
        if len(tries) == 1:
            raise error
        return Ack()

    sink = Events()

    async def scene() -> Device:
        made = partial(type("Failing", (Answering,), {"put": put}), DOOR, user="u-1", device="d-1")
        device = Device("d-1", "u-1", made, Logbook(sink), Habits())
        device.resume()
        device.create("contact")
        await device.idle()
        return device

    device = asyncio.run(asyncio.wait_for(scene(), 20))
    assert device.broken is None
    assert [event.outcome for event in sink.events if isinstance(event, Back)] == ["info", "ok"]
    assert len(set(tries)) == 1


class Confiding(Answering):
    """Says a secret in every way that it has, the last time where the text is cut."""

    ack = Ack("degraded: sword-and-fish", "gateway-1")

    async def delete(self, name: str, base: str | None, key: str) -> Ack:
        raise ValueError(f"{'x' * 170} sword-and-fish")

    async def changes(self, cursor: str | None) -> Changes:
        raise ValueError("password sword-and-fish\nis wrong")


def test_a_secret_that_a_service_says_is_in_no_line_of_the_history_nor_is_a_part_of_it() -> None:
    sink = Events()

    def hush(words: bytes) -> bytes:
        return words.replace(b"sword-and-fish", b"***")

    async def scene() -> str:
        made = partial(Confiding, DOOR, user="u-1", device="d-1")
        device = Device("d-1", "u-1", made, Logbook(sink, hush=hush), Habits(policy="last-writer-wins"))
        device.resume()
        device.create("contact")
        await device.idle()
        (name,) = device.choices()
        device.delete(name)
        device.sync()
        await asyncio.sleep(0)
        await device.pause()
        return await device.sync_now()

    assert asyncio.run(asyncio.wait_for(scene(), 20)) == "ValueError: password *** is wrong"
    whys = [event.why for event in sink.events if isinstance(event, Back)]
    assert whys[0] == "degraded: ***"
    assert whys[1].endswith("x ***")
    assert not any("sword-and" in why for why in whys)


def test_a_secret_that_a_driver_says_at_a_door_is_blanked_before_its_text_is_cut() -> None:
    (read,) = doors_of("Confiding", 0.3, lambda words: words.replace(b"sword-and-fish", b"***"))
    assert read.why.endswith("x ***")
    assert "\n" not in read.why

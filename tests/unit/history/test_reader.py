"""The reader: whatever the bytes, a history or `MalformedHistory` with the place."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.checks.verdict import judge
from chaos.errors import HoldfastError, MalformedHistory
from chaos.history import reader
from chaos.history.events import Act, Back, DoorRead, End, Event, FaultEvent, Header, Note, Row, Send
from chaos.history.model import History
from chaos.history.reader import read_history
from chaos.history.recorder import encode
from tests.unit.checks.files import closed, written
from tests.unit.checks.service import Load, legal_history

FUZZ_CASES = int(os.environ.get("HOLDFAST_FUZZ_CASES", "2000"))
HEADER = Header("x", 1, "reject", "keyed", faults=("disk.power_cut",))


def create(op: int, t: int, **changes: Any) -> Act:
    act = Act(op, t, "d-1#1", "d-1", "u-1", "create", f"r-{op}", "todo", f"w-{op}", f"h-{op}", f"k-{op}")
    return replace(act, **changes)


def read(folder: Path, *events: Event) -> History:
    return read_history(written([HEADER, *events], folder))


def refused(folder: Path, events: Iterable[Event], match: str) -> None:
    with pytest.raises(MalformedHistory, match=match) as caught:
        read(folder, *events)
    assert "history.jsonl:" in str(caught.value)
    assert "run the trial again" in str(caught.value)


def test_a_legal_history_comes_back_as_it_was_written(tmp_path: Path) -> None:
    row = Row("r-1", "u-1", "w-1", "h-1", "row-1")
    history = read(
        tmp_path,
        create(1, 10),
        Send(1, 1, 11),
        Back(1, 1, 12, "info", why="timed out"),
        Send(1, 2, 13),
        Back(1, 2, 14, "ok", by="gateway-1"),
        Act(2, 15, "d-2#1", "d-2", "u-1", "sync"),
        Send(2, 1, 16),
        Back(2, 1, 17, "ok", rows=(row, Row("r-9", "u-1", "w-9", "h")), gone=("r-5",)),
        DoorRead(1, "fresh", "u-1", 1, 20, 21, "ok", rows=(row,)),
        DoorRead(1, "fresh", "u-1", 2, 22, 23, "ok", settled=True, rows=(row,)),
        Note("copies", 30, "pgdata on core"),
    )
    (operation,) = history.records["u-1", "r-1"]
    assert [(a.outcome, a.back, a.by) for a in operation.attempts] == [("info", 12, ""), ("ok", 14, "gateway-1")]
    assert operation.seen_first == 17
    assert (operation.seen_last, operation.seen_by) == (17, "d-2")
    assert history.gone == {("u-1", "r-5"): 17}
    assert [sight.row.write for sight in history.odd_sights.values()] == ["w-9"]
    last = history.doors[1, "u-1", "fresh"][-1]
    assert last.settled
    assert last.whole == {"r-1": operation}


def test_a_cached_answer_proves_nothing(tmp_path: Path) -> None:
    row = Row("r-1", "u-1", "w-1", "h-1")
    sync = Act(2, 15, "d-2#1", "d-2", "u-1", "sync")
    history = read(
        tmp_path, create(1, 10), Send(1, 1, 11), sync, Send(2, 1, 16), Back(2, 1, 17, "ok", cached=True, rows=(row,))
    )
    assert history.writes["w-1"].seen_last == 0


def test_a_round_that_claims_to_be_settled_and_differs_is_not(tmp_path: Path) -> None:
    row = Row("r-1", "u-1", "w-1", "h-1")
    history = read(
        tmp_path,
        create(1, 10),
        DoorRead(1, "fresh", "u-1", 1, 20, 21, "ok"),
        DoorRead(1, "fresh", "u-1", 2, 22, 23, "ok", settled=True, rows=(row,)),
    )
    assert not history.doors[1, "u-1", "fresh"][-1].settled


def test_a_history_cut_at_any_line_is_refused(tmp_path: Path) -> None:
    lines = [encode(event) for event in closed(legal_history(Load(3, users=2, operations=20)))]
    path = tmp_path / "history.jsonl"
    for kept in range(len(lines)):
        path.write_bytes(b"".join(lines[:kept]))
        with pytest.raises(MalformedHistory, match="cut short"):
            read_history(path)


def test_a_history_cut_at_any_byte_near_its_end_is_refused(tmp_path: Path) -> None:
    whole = b"".join(encode(event) for event in closed(legal_history(Load(3, users=2, operations=20))))
    path = tmp_path / "history.jsonl"
    for kept in range(len(whole) - 300, len(whole)):
        path.write_bytes(whole[:kept])
        with pytest.raises(MalformedHistory):
            read_history(path)


def test_a_line_that_is_missing_in_the_middle_is_noticed(tmp_path: Path) -> None:
    lines = [encode(event) for event in closed(legal_history(Load(3, users=2, operations=20)))]
    path = tmp_path / "history.jsonl"
    for dropped in range(len(lines)):
        path.write_bytes(b"".join(lines[:dropped] + lines[dropped + 1 :]))
        with pytest.raises(MalformedHistory):
            read_history(path)


GOOD_HEADER = b'"event":"header","experiment":"x","seed":1,"policy":"reject","idempotency":"keyed"'
ACT, SEND = create(1, 10), Send(1, 1, 11)
DOOR = DoorRead(1, "fresh", "u-1", 1, 20, 21, "ok")


@pytest.mark.parametrize(
    ("events", "match"),
    [
        ([HEADER], "second header"),
        ([ACT, replace(ACT, write="w-2", key="k-2")], "a second time"),
        ([ACT, create(2, 11, write="w-1")], "acted before, and otherwise"),
        ([ACT, create(2, 11, key="k-1")], "used for another write"),
        ([create(1, 10, base="w-1", kind="update")], "based on itself"),
        ([create(1, 10, key="")], "needs owner, record, write and key"),
        ([SEND], "field 1"),
        ([ACT, Send(1, 2, 11)], "follows 0 attempts"),
        ([ACT, Send(1, 1, 9)], "sent before"),
        ([ACT, SEND, Back(1, 2, 12, "ok")], "never sent"),
        ([ACT, Back(1, 1, 12, "ok")], "never sent"),
        ([ACT, SEND, Back(1, 1, 10, "ok")], "came back before"),
        ([ACT, SEND, Back(1, 1, 12, "ok"), Back(1, 1, 13, "ok")], "came back a second time"),
        ([replace(DOOR, round=2)], "follows round 0"),
        ([DOOR, DOOR], "follows round 1"),
        ([replace(DOOR, invoked=30)], "ended before it began"),
        ([DOOR, replace(DOOR, round=2, invoked=19, t=22)], "before the one before it ended"),
        ([FaultEvent(1, 5, "disk.power_cut", "core", "injected")], "not in the header"),
        ([FaultEvent(0, 5, "disk.io_error", "core", "injected")], "not in the header"),
        ([FaultEvent(0, 5, "disk.power_cut", "core", "healed")], "never injected"),
        (
            [create(1, 1, kind="update", base="w-2"), Send(1, 1, 2), Back(1, 1, 5, "ok"), create(2, 10)],
            "invoked after it returned",
        ),
        ([create(1, 10, owner="u-2", session=7)], "another type"),
        ([create(1, -1)], "another type or range"),
        ([create(1, 1 << 63)], "another type or range"),
        ([create(1, 10, size_bytes=-5)], "another type or range"),
        ([create(1, 10, base=5)], "another type"),
        ([create([], 10)], "another type"),  # type: ignore[arg-type]
        ([create(1, 10, kind="steal")], "steal"),
        ([replace(DOOR, rows=(Row("r", "u", "w", 5),))], "hash is 5"),  # type: ignore[arg-type]
        ([Note("x", True, "y")], "t is True"),
    ],
)
def test_what_contradicts_itself_is_refused_with_its_place(events: list[Event], match: str, tmp_path: Path) -> None:
    refused(tmp_path, events, match)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "cut short"),
        (b"\n", "not JSON"),
        (b"{}\n", "unknown event None"),
        (b"[]\n", "not a JSON object"),
        (b'{"event":"act"}\n', "not with a header"),
        (b'{"event":"surprise"}\n', "unknown event 'surprise'"),
        (b'{"event":["act"]}\n', "unknown event"),
        (b"\xff\xfe\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{' + GOOD_HEADER + b',"format":2}\n', "format 2"),
        (b'{"event":"header","experiment":"x","seed":1,"policy":"merge","idempotency":"keyed"}\n', "policy"),
        (b'{"event":"header","experiment":"x","seed":1,"policy":["reject"],"idempotency":"keyed"}\n', "policy"),
        (b'{"event":"header","experiment":"x","policy":"reject","idempotency":"keyed"}\n', "'seed' is absent"),
        (b'{' + GOOD_HEADER + b',"colour":1}\n', "colour"),
        (b'{' + GOOD_HEADER + b',"canaries":[1]}\n', "canar"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_history_are_refused(content: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(content)
    with pytest.raises(MalformedHistory, match=match):
        read_history(path)


def test_nothing_may_follow_the_end(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"".join([encode(HEADER), encode(End(1, 1)), encode(ACT)]))
    with pytest.raises(MalformedHistory, match="after the end"):
        read_history(path)


def test_a_hostile_line_length_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LINE_BYTES_MAX", 1 << 16)
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"x" * (3 << 20))
    with pytest.raises(MalformedHistory, match="longer than"):
        read_history(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedHistory, match="no such history"):
        read_history(tmp_path / "nowhere.jsonl")
    with pytest.raises(MalformedHistory, match="no such history"):
        read_history(tmp_path)


def survives(path: Path) -> None:
    """It is judged, or refused with an error of ours."""
    with contextlib.suppress(MalformedHistory):
        history = read_history(path)
        try:
            judge(history)
        except HoldfastError as error:
            if "the check itself failed" in str(error):
                raise AssertionError(path.read_bytes()) from error


def _line_changed(lines: list[bytes], draw: random.Random) -> list[bytes]:
    at = draw.randrange(len(lines))
    event = orjson.loads(lines[at])
    name = draw.choice(list(event))
    values: list[Any] = [None, True, -1, 0, 1 << 62, 1.5, "", "w-1", [], {}, [[]], [None], {"a": 1}, "u-00"]
    event[name] = draw.choice(values)
    if draw.random() < 0.2:
        del event[name]
    return [*lines[:at], orjson.dumps(event) + b"\n", *lines[at + 1 :]]


def _rows_changed(lines: list[bytes], draw: random.Random) -> list[bytes]:
    with_rows = [i for i, line in enumerate(lines) if b'"rows":[{' in line]
    at = draw.choice(with_rows)
    event = orjson.loads(lines[at])
    row = draw.choice(event["rows"])
    row[draw.choice([*row, "stamps", "blob"])] = draw.choice(
        [None, 5, "", "x", "missing", [], [["u", "r", "w"]], [[1, 2, 3]], {}, [["u"]]]
    )
    if draw.random() < 0.2:
        event["rows"][0] = draw.choice([None, 1, [], "row"])
    return [*lines[:at], orjson.dumps(event) + b"\n", *lines[at + 1 :]]


def _swapped(lines: list[bytes], draw: random.Random) -> list[bytes]:
    one, other = draw.sample(range(len(lines)), 2)
    lines = list(lines)
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def _bytes_changed(lines: list[bytes], draw: random.Random) -> list[bytes]:
    at = draw.randrange(len(lines))
    line = bytearray(lines[at])
    for _ in range(draw.randint(1, 3)):
        line[draw.randrange(len(line))] = draw.randrange(256)
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


@pytest.mark.parametrize("change", [_line_changed, _rows_changed, _swapped, _bytes_changed])
def test_a_damaged_history_is_judged_or_refused_and_never_crashes(
    change: Callable[[list[bytes], random.Random], list[bytes]], tmp_path: Path
) -> None:
    lines = [encode(event) for event in closed(legal_history(Load(4, users=2, operations=40)))]
    path = tmp_path / "history.jsonl"
    draw = random.Random(1)
    for _ in range(FUZZ_CASES // 5):
        path.write_bytes(b"".join(change(lines, draw)))
        survives(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_no_bytes_crash_the_reader(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(encode(HEADER) + content)
    survives(path)

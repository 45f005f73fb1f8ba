"""What reads of the load and repeated acts prove, case by case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chaos.checks.verdict import judge
from chaos.history.events import Act, Back, DoorRead, Event, Header, Idempotency, Row, Send
from chaos.history.reader import read_history
from tests.unit.checks.files import written
from tests.unit.checks.service import payload_hash


def write(op: int, t: int, kind: str = "create", base: str | None = None) -> Act:
    w = f"w-{op}"
    return Act(op, t, "d-1#1", "d-1", "u-1", kind, "r-1", "todo", w, payload_hash(w), w, base)  # type: ignore[arg-type]


def row(w: str, owner: str = "u-1") -> Row:
    return Row("r-1", owner, w, payload_hash(w), "row-1")


def read(t: int, *rows: Row) -> list[Event]:
    act = Act(90, t, "d-2#1", "d-2", "u-1", "sync")
    return [act, Send(90, 1, t), Back(90, 1, t + 1, "ok", rows=rows)]


def doors(*rows: Row, step: int = 1, t: int = 500) -> list[Event]:
    return [DoorRead(step, "fresh", "u-1", n, t + 10 * n, t + 5 + 10 * n, "ok", n == 2, rows) for n in (1, 2)]


def found(tmp_path: Path, *events: Event, idempotency: Idempotency = "keyed") -> dict[str, int]:
    header = Header("x", 1, "reject", idempotency, canaries={"A": "a", "B": "b"}, require_mix=False)
    anomalies = judge(read_history(written([header, *events], tmp_path))).anomalies
    return {name: count for name, count in anomalies.items() if name != "never-read"}


def test_a_read_of_a_write_that_nobody_made_is_a_phantom(tmp_path: Path) -> None:
    made: list[Event] = [write(1, 10), Send(1, 1, 11), Back(1, 1, 12, "ok")]
    assert found(tmp_path, *made, *read(20, row("w-1")), *doors(row("w-1"))) == {}
    assert found(tmp_path, *made, *read(20, row("w-1"), row("w-9")), *doors(row("w-1"))) == {"phantom": 1}
    for other in ("u-0", "u-2"):
        other_owner: list[Event] = [*made, *read(20, row("w-9", other)), *doors(row("w-1"))]
        assert found(tmp_path, *other_owner) == {}, "that is for the doors to tell"


def test_a_read_of_a_write_before_it_was_sent_is_a_phantom(tmp_path: Path) -> None:
    late: list[Event] = [write(1, 10), *read(20, row("w-1")), Send(1, 1, 30), Back(1, 1, 32, "ok")]
    assert found(tmp_path, *late, *doors(row("w-1"))) == {"phantom": 1}


def test_a_read_of_a_write_that_was_refused_for_good_is_aborted_visible(tmp_path: Path) -> None:
    refused: list[Event] = [write(1, 10), Send(1, 1, 11), Back(1, 1, 12, "fail"), *read(20, row("w-1"))]
    assert found(tmp_path, *refused, *doors()) == {"aborted-visible": 1}
    again: list[Event] = [write(1, 10), Send(1, 1, 11), Back(1, 1, 12, "fail"), Send(1, 2, 13), Back(1, 2, 14, "ok")]
    assert found(tmp_path, *again, *read(20, row("w-1")), *doors(row("w-1"))) == {}


def test_a_write_that_acts_again_was_made_when_it_acted_first_wherever_its_lines_stand(tmp_path: Path) -> None:
    """A phone pushes its cache back: of two updates the one whose first act is older may still be the last."""
    made: list[Event] = [write(1, 1), Send(1, 1, 2), Back(1, 1, 3, "ok")]
    second: list[Event] = [write(3, 20, "update"), Send(3, 1, 21), Back(3, 1, 24, "ok")]
    pushed = replace(write(2, 30, "update"), op=4)
    twice: list[Event] = [pushed, Send(4, 1, 31), write(2, 10, "update"), Send(2, 1, 22), Back(2, 1, 25, "ok")]
    assert found(tmp_path, *made, *twice, *second, *doors(row("w-3"))) == {}
    assert found(tmp_path, *made, *twice, *second, *doors(row("w-2"))) == {}


def test_what_no_order_explains_is_that_and_nothing_else(tmp_path: Path) -> None:
    made: list[Event] = [write(1, 1), Send(1, 1, 2), Back(1, 1, 3, "ok")]
    for op in (2, 3):
        made += [write(op, 10 * op, "update", "w-1"), Send(op, 1, 10 * op), Back(op, 1, 10 * op + 1, "ok")]
    assert found(tmp_path, *made, *doors(row("w-2"))) == {"lost-update": 1}
    assert found(tmp_path, *made, *doors(row("w-3"))) == {"lost-update": 1}


def test_a_blob_without_a_row_is_told_and_is_no_row(tmp_path: Path) -> None:
    header = Header("x", 1, "reject", "keyed", canaries={"A": "a", "B": "b"}, require_mix=False)
    orphan = replace(row("w-1"), blob="orphan", row="blob-7")
    events = [header, write(1, 10), Send(1, 1, 11), Back(1, 1, 12, "ok"), *doors(row("w-1"), orphan)]
    judgement = judge(read_history(written(events, tmp_path)))
    assert "duplicated" not in judgement.anomalies
    assert judgement.reported["orphan-blob"] == 1


def test_a_row_of_another_user_is_misattributed_even_if_nobody_wrote_it(tmp_path: Path) -> None:
    made: list[Event] = [write(1, 10), Send(1, 1, 11), Back(1, 1, 12, "ok")]
    foreign = Row("r-9", "u-2", "w-9", payload_hash("w-9"), "row-9")
    assert found(tmp_path, *made, *doors(row("w-1"), foreign)) == {"misattributed": 1}
    assert found(tmp_path, *made, *doors(row("w-1"), replace(foreign, owner="u-1"))) == {"phantom": 1}
    assert found(tmp_path, *made, *doors(row("w-1"), replace(foreign, owner="u-1", write=""))) == {"corrupted": 1}


def test_a_row_in_our_records_place_with_another_users_name_is_misattributed_and_not_lost_as_well(
    tmp_path: Path,
) -> None:
    made: list[Event] = [write(1, 10), Send(1, 1, 11), Back(1, 1, 12, "ok")]
    theirs = Row("r-1", "u-2", "w-9", payload_hash("w-9"), "row-1")
    assert found(tmp_path, *made, *doors(theirs)) == {"misattributed": 1}


def test_another_users_write_under_our_records_name_is_misattributed_and_not_lost_as_well(tmp_path: Path) -> None:
    made: list[Event] = [write(1, 10), Send(1, 1, 11), Back(1, 1, 12, "ok")]
    other = replace(write(2, 20), owner="u-2", record="r-2")
    theirs: list[Event] = [other, Send(2, 1, 21), Back(2, 1, 22, "ok")]
    assert found(tmp_path, *made, *theirs, *doors(row("w-2"))) == {"misattributed": 1}

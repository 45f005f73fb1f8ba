"""A photo without its blob in a read of the load, case by case: when it should have been whole, and when not yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.checks.explain import explain_record, explain_verdict
from chaos.checks.verdict import judge
from chaos.history.events import Act, Back, Event, Row, Send
from chaos.history.reader import read_history
from tests.unit.checks.one_owner import after_a_loss, closer_look, create, judgement, loss, recorded, sent, twice

PHOTO = create(1, 10, type="photo")
"""Acknowledged at 12."""


def update(op: int, t: int, base: str | None = None, **changes: Any) -> Act:
    return create(op, t, type="photo", kind="update", base=base, **changes)


def delete(op: int, t: int, base: str | None = None) -> Act:
    return replace(update(op, t, base), kind="delete", hash="")


def read(op: int, t: int, of: Act = PHOTO, *, back: int = 0, blob: Any = "missing", **said: Any) -> list[Event]:
    """Another phone's read that left at `t`."""
    row = Row(of.record, of.owner, of.write, "0" * 16 if blob == "missing" else of.hash, "row-1", (), blob)
    row = replace(row, **said.pop("row", {}))
    return [
        Act(op, t, "d-2#1", "d-2", "u-1", "read"),
        Send(op, 1, t),
        Back(op, 1, back or t + 5, said.pop("outcome", "ok"), rows=(row,), **said),
    ]


def found(tmp_path: Path, *parts: list[Event], **changes: Any) -> bool:
    """Whether it is told, or violates under strict sessions; with columns as without."""
    events = [event for part in parts for event in part]
    strict = "dangling-in-load" in judgement(tmp_path, *events, sessions="strict", **changes).anomalies
    told = judgement(tmp_path, *events, **changes)
    assert ("dangling-in-load" in told.reported) == strict
    assert "dangling-in-load" not in told.anomalies
    _, looked = closer_look(tmp_path, *events, **changes)
    assert looked.reported.get("dangling-in-load") == told.reported.get("dangling-in-load")
    return strict


def test_an_acknowledged_photo_that_a_read_finds_without_its_blob_is_told_whatever_covers_it_later(
    tmp_path: Path,
) -> None:
    whole = read(9, 40, blob="ok")
    assert found(tmp_path, sent(PHOTO), read(8, 20))
    assert found(tmp_path, sent(PHOTO), read(8, 20), whole), "it was missing all the same"
    for cover in (delete(2, 50, "w-1"), update(2, 50, "w-1"), delete(2, 50), update(2, 50)):
        assert found(tmp_path, sent(PHOTO), read(8, 20), sent(cover))
    assert not found(tmp_path, sent(PHOTO), read(8, 20, blob="ok"))


def test_a_read_that_was_asked_for_before_the_acknowledgement_proves_nothing(tmp_path: Path) -> None:
    """A service may store the row first and the blob later, as long as it answers when both are there."""
    assert not found(tmp_path, sent(PHOTO, t=25), read(8, 20))
    assert not found(tmp_path, sent(PHOTO, t=20), read(8, 20))
    assert found(tmp_path, sent(PHOTO, t=19), read(8, 20))
    for outcome in ("info", "degraded", "fail", None):
        assert not found(tmp_path, sent(PHOTO, outcome), read(8, 20))


def test_the_first_read_may_come_too_early_and_the_next_one_tells(tmp_path: Path) -> None:
    assert found(tmp_path, sent(PHOTO, t=30), read(7, 20), read(8, 40))


def test_a_photo_that_a_read_has_shown_whole_counts_as_acknowledged(tmp_path: Path) -> None:
    assert found(tmp_path, sent(PHOTO, "info"), read(7, 20, blob="ok"), read(8, 40))
    assert not found(tmp_path, sent(PHOTO, "info"), read(7, 20, blob="ok", back=41), read(8, 40))


@pytest.mark.parametrize("outcome", ["ok", "info", "degraded", None])
@pytest.mark.parametrize("cover", [delete(2, 22, "w-1"), update(2, 22, "w-1"), delete(2, 22), update(2, 22)])
def test_what_may_replace_it_while_it_is_read_may_take_its_blob_away(
    cover: Act, outcome: str | None, tmp_path: Path
) -> None:
    assert not found(tmp_path, sent(PHOTO), sent(cover, outcome, t=60), read(8, 20))
    assert found(tmp_path, sent(PHOTO), sent(cover, outcome, t=60), read(8, 16, back=22))


def test_where_keys_are_not_kept_another_attempt_may_be_storing_it_again(tmp_path: Path) -> None:
    again = [*sent(PHOTO), Send(1, 2, 18), Back(1, 2, 25, "ok")]
    assert found(tmp_path, again, read(8, 20))
    assert not found(tmp_path, again, read(8, 20), idempotency="none")
    assert found(tmp_path, again, read(8, 26), idempotency="none"), "it is over"
    assert found(tmp_path, sent(PHOTO), read(8, 20), idempotency="none")


def test_a_write_that_was_refused_or_waits_in_an_outbox_or_has_another_base_replaces_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, sent(PHOTO), sent(update(2, 14, "w-1"), "fail"), read(8, 20))
    assert found(tmp_path, sent(PHOTO), [update(2, 14, "w-1")], read(8, 20))
    late: list[Event] = [update(2, 14, "w-1"), Send(2, 1, 30), Back(2, 1, 40, "ok")]
    assert found(tmp_path, sent(PHOTO), late, read(8, 20))
    second, rival = update(2, 20, "w-1"), update(3, 21, "w-1")
    assert found(tmp_path, sent(PHOTO), sent(second), sent(rival, "info"), read(8, 40, second))


def test_an_older_version_is_no_excuse_unless_it_may_come_late(tmp_path: Path) -> None:
    second = update(2, 20, "w-1")
    assert found(tmp_path, sent(PHOTO), sent(second), read(8, 30, second))
    unknown = update(3, 14)
    assert not found(tmp_path, sent(PHOTO), sent(unknown, "info"), sent(second), read(8, 30, second))
    unconditional = update(2, 20)
    for policy in ("reject", "last-writer-wins"):
        assert found(tmp_path, sent(PHOTO), sent(unconditional), read(8, 30, unconditional), policy=policy)
    twice_sent: list[Event] = [PHOTO, Send(1, 1, 11), Back(1, 1, 12, "info"), Send(1, 2, 13), Back(1, 2, 14, "ok")]
    assert found(tmp_path, twice_sent, sent(unconditional), read(8, 30, unconditional))
    assert not found(tmp_path, twice_sent, sent(unconditional), read(8, 30, unconditional), idempotency="none")


def test_beside_a_conflicting_version_a_photo_stays_whole(tmp_path: Path) -> None:
    second, beside = update(2, 20, "w-1"), update(3, 21, "w-1")
    assert found(tmp_path, sent(PHOTO), sent(second), sent(beside), read(8, 30, second), policy="keep-both")
    on_it = update(4, 25, "w-2")
    assert not found(tmp_path, sent(PHOTO), sent(second), sent(on_it), read(8, 30, second), policy="keep-both")


def test_a_damaged_or_foreign_row_a_cached_answer_and_a_failed_read_say_nothing_of_the_blob(tmp_path: Path) -> None:
    assert not found(tmp_path, sent(PHOTO), read(8, 20, cached=True))
    assert not found(tmp_path, sent(PHOTO), read(8, 20, outcome="info"))
    for row in ({"record": "r-2"}, {"owner": "u-2"}, {"write": "w-9"}, {"stamps": (("u-1", "r-1", "w-0"),)}):
        assert not found(tmp_path, sent(PHOTO), read(8, 20, row=row))


def test_what_a_declared_loss_takes_is_not_owed_to_reads_after_it(tmp_path: Path) -> None:
    strict: dict[str, Any] = {"sessions": "strict", "rpo": 95}
    doors = [*twice(1, "fresh", 400, PHOTO)]
    load = sent(PHOTO)
    assert "dangling-in-load" in after_a_loss(tmp_path, *load, *read(8, 90), *loss(PHOTO), *doors, **strict)
    assert "dangling-in-load" not in after_a_loss(tmp_path, *load, *loss(PHOTO), *read(8, 300), *doors, **strict)
    second = update(2, 250, "w-1")
    again = [*loss(PHOTO), *sent(second), *read(8, 300, second), *twice(1, "fresh", 400, second)]
    assert "dangling-in-load" in after_a_loss(tmp_path, *load, *again, **strict)


def test_the_record_is_named_and_its_own_story_tells_of_each_read(tmp_path: Path) -> None:
    events = [*sent(PHOTO), *read(7, 20), *read(8, 30), *sent(delete(2, 50, "w-1"))]
    history = read_history(recorded(tmp_path, *events))
    text = "\n".join(explain_verdict(judge(history)))
    assert "1 dangling-in-load: a read of the load returned an acknowledged photo without its blob" in text
    assert "; the first is u-1/r-1" in text
    told = "\n".join(explain_record(history, ("u-1", "r-1")))
    assert "photo r-1 of u-1: dangling-in-load" in told
    assert told.count("d-2 read it") == 2
    assert told.count("w-1, its blob was missing") == 2

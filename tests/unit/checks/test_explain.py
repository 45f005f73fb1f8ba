"""Why each version was or was not allowed, in words that name the operation behind it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.checks import classes
from chaos.checks.explain import explain_record, explain_verdict, find_record
from chaos.checks.verdict import judge
from chaos.errors import UsageError
from chaos.history.events import Act, Back, DoorRead, Event, Header, Idempotency, Policy, Row, Send
from chaos.history.model import History
from chaos.history.reader import read_history
from tests.unit.checks.files import written
from tests.unit.checks.service import payload_hash

PAGE = Path(__file__).parents[3] / "docs" / "checks.md"


def act(op: int, kind: str, base: str | None, outcome: str | None, t: int = 0, *, owner: str = "u-1") -> list[Event]:
    hash_ = "" if kind == "delete" else payload_hash(f"w-{op}")
    t = t or 10 * op
    acted = Act(op, t, "d-1#1", "d-1", owner, kind, "r-1", "todo", f"w-{op}", hash_, f"k-{op}", base)  # type: ignore[arg-type]
    return [acted, Send(op, 1, t), Back(op, 1, t + 2, outcome)] if outcome else [acted]  # type: ignore[arg-type]


def history(
    tmp_path: Path,
    *parts: list[Event],
    shown: int | None,
    policy: Policy = "reject",
    idempotency: Idempotency = "keyed",
) -> History:
    rows = () if shown is None else (Row("r-1", "u-1", f"w-{shown}", payload_hash(f"w-{shown}"), "row-1"),)
    doors = [DoorRead(1, "fresh", "u-1", n, 500 + 10 * n, 505 + 10 * n, "ok", n == 2, rows) for n in (1, 2)]
    header = Header("x", 1, policy, idempotency, canaries={"A": "a", "B": "b"})
    return read_history(written([header, *(e for part in parts for e in part), *doors], tmp_path))


def told(of: History) -> str:
    return "\n".join(explain_record(of, ("u-1", "r-1")))


def test_each_version_has_its_reason(tmp_path: Path) -> None:
    text = told(
        history(
            tmp_path,
            act(1, "create", None, "ok"),
            act(2, "update", "w-1", "ok"),
            act(3, "update", "w-1", "fail"),
            act(4, "update", "w-2", "info"),
            act(5, "update", "w-4", None),
            act(6, "update", "w-1", "info"),
            shown=1,
        )
    )
    assert "r-1 of u-1: lost" in text
    assert "step 1, fresh: w-1: lost (an acknowledged version is not there, or an older one is in its place)" in text
    assert re.search(r"w-1 +not allowed: acknowledged, and w-2 replaced it", text)
    assert re.search(r"w-2 +allowed: acknowledged, and nothing acknowledged must have come after it", text)
    assert re.search(r"w-3 +not allowed: refused, so it must never be there", text)
    assert re.search(r"w-4 +allowed: unknown: it may have taken effect, even late", text)
    assert re.search(r"w-5 +not allowed: never sent, so it must never be there", text)
    assert re.search(r"w-6 +not allowed: unknown, and w-1, on which it is based, cannot be the last version", text)
    assert re.search(r"absence +not allowed: it was acknowledged, and nobody deleted it", text)


def test_a_write_that_another_one_came_after_says_which(tmp_path: Path) -> None:
    text = told(history(tmp_path, act(1, "create", None, "ok"), act(2, "update", None, "ok"), shown=2))
    assert re.search(r"w-1 +not allowed: acknowledged, and w-2 was made after it had returned", text)


def test_absence_has_its_reason_too(tmp_path: Path) -> None:
    deleted = history(tmp_path, act(1, "create", None, "ok"), act(2, "delete", "w-1", "info"), shown=None)
    assert "absence      allowed: the delete w-2 may be the last" in told(deleted)
    never = history(tmp_path, act(1, "create", None, "info"), shown=None)
    assert "absence      allowed: no create or update is known to have taken effect" in told(never)


def test_what_no_order_explains_says_so(tmp_path: Path) -> None:
    both = history(
        tmp_path, act(1, "create", None, "ok"), act(2, "update", "w-1", "ok"), act(3, "update", "w-1", "ok"), shown=3
    )
    assert "lost-update: two acknowledged writes replaced one version" in told(both)
    assert "no order explains what was acknowledged" in told(both)


def history_without_keys(tmp_path: Path, *parts: list[Event], shown: int | None) -> History:
    return history(tmp_path, *parts, shown=shown, idempotency="none")


def test_where_no_order_explains_it_no_version_is_called_allowed_and_refused_at_once(tmp_path: Path) -> None:
    both = history(
        tmp_path,
        act(1, "create", None, "ok"),
        act(2, "update", "w-1", "ok"),
        act(3, "update", "w-1", "ok"),
        act(4, "update", "w-1", "fail"),
        act(5, "update", "w-1", None),
        act(6, "delete", "w-3", "info"),
        shown=3,
    )
    lines = told(both)
    assert " allowed: " not in lines.replace("not allowed: ", "")
    assert re.search(r"fresh: w-3: not judged", lines)
    assert re.search(r"w-3 +not judged: acknowledged; no order explains what was acknowledged", lines)
    assert re.search(r"w-4 +not (judged: refused; no order|allowed: refused, so it must never)", lines)
    assert re.search(r"w-5 +not allowed: never sent, so it must never be there", lines)
    assert re.search(r"absence +not judged: no order explains what was acknowledged", lines)


def test_where_keys_are_not_kept_each_write_is_told_once_by_the_attempt_of_which_most_is_known(tmp_path: Path) -> None:
    refused_first = [*act(1, "create", None, "fail"), Send(1, 2, 13), Back(1, 2, 14, "ok")]
    text = told(history_without_keys(tmp_path, refused_first, shown=1))
    assert re.findall(r"w-1 +(?:not )?(?:allowed|judged): .*", text) == [
        "w-1          allowed: acknowledged, and nothing acknowledged must have come after it"
    ]


def test_a_version_that_another_attempt_may_have_brought_back_says_so(tmp_path: Path) -> None:
    unanswered_first = [*act(1, "create", None, "info"), Send(1, 2, 13), Back(1, 2, 14, "ok")]
    text = told(history_without_keys(tmp_path, unanswered_first, act(2, "update", None, "ok"), shown=2))
    assert re.search(r"w-1 +allowed: acknowledged, and another attempt at it may have taken effect later", text)


def test_absence_names_the_delete_that_may_be_the_last_and_no_other(tmp_path: Path) -> None:
    made, deleted = act(1, "create", None, "ok"), act(3, "delete", "w-1", "ok")
    for before in ("info", "fail"):
        text = told(history(tmp_path, made, act(2, "delete", "w-1", before), deleted, shown=None))
        assert "absence      allowed: the delete w-3 may be the last" in text
    refused = told(history(tmp_path, made, act(2, "delete", "w-1", "fail"), shown=None))
    assert "absence      not allowed: it was acknowledged, and every delete was refused" in refused


def test_under_keep_both_a_version_on_a_refused_one_is_not_said_to_be_possible(tmp_path: Path) -> None:
    parts = (act(1, "create", None, "ok"), act(2, "update", "w-1", "fail"), act(3, "update", "w-2", "info"))
    text = told(history(tmp_path, *parts, shown=1, policy="keep-both"))
    assert re.search(r"w-3 +not allowed: unknown, and w-2, on which it is based, cannot be the last version", text)


def test_a_name_that_several_owners_have_must_say_whose(tmp_path: Path) -> None:
    of = history(tmp_path, act(1, "create", None, "ok"), act(2, "create", None, "ok", owner="u-2"), shown=1)
    with pytest.raises(UsageError, match="2 owners have a record 'r-1'"):
        find_record(of, "r-1")
    assert find_record(of, "u-2/r-1") == ("u-2", "r-1")


def test_the_verdict_names_every_class_with_its_meaning(tmp_path: Path) -> None:
    text = "\n".join(explain_verdict(judge(history(tmp_path, act(1, "create", None, "ok"), shown=None))))
    assert "1 lost: an acknowledged version is not there, or an older one is in its place" in text
    assert text.endswith("""
  records that are not as they must be, the worst first
    u-1/r-1: lost
    the life of one: holdfast check RUN_DIR --record u-1/r-1""")


def test_of_many_records_the_first_are_listed_and_the_rest_is_counted(tmp_path: Path) -> None:
    judgement = judge(history(tmp_path, act(1, "create", None, "ok"), shown=None))
    lines = explain_verdict(replace(judgement, records=judgement.records * 300, records_total=1_234))
    assert lines.count("    u-1/r-1: lost") == 10
    assert lines[-2] == "    and 1,224 more; report.html tells of 300"


def test_a_verdict_without_such_records_has_no_list_of_them(tmp_path: Path) -> None:
    text = "\n".join(explain_verdict(judge(history(tmp_path, act(1, "create", None, "ok"), shown=1))))
    assert "mix" in text.splitlines()[-1]


def test_the_page_lists_every_class_with_its_meaning_and_what_it_makes_of_a_trial() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| (\w+)", PAGE.read_text(), re.MULTILINE)
    listed = {name: (meaning, makes) for name, meaning, makes in rows if name in classes.MEANING}
    makes = dict.fromkeys(classes.VIOLATING, "VIOLATED") | dict.fromkeys(classes.THIN, "INCONCLUSIVE")
    assert listed == {name: (meaning, makes.get(name, "reported")) for name, meaning in classes.MEANING.items()}
    assert {*classes.VIOLATING, *classes.THIN, *classes.REPORTED} == set(classes.MEANING)


def test_what_a_read_of_the_load_showed_or_another_users_door_is_told_of_the_record(tmp_path: Path) -> None:
    refused = act(1, "create", None, "fail")
    row = Row("r-1", "u-1", "w-1", payload_hash("w-1"), "row-1")
    read: list[Event] = [Act(9, 20, "d-2#1", "d-2", "u-1", "read"), Send(9, 1, 20), Back(9, 1, 25, "ok", rows=(row,))]
    text = told(history(tmp_path, refused, read, shown=None))
    assert "r-1 of u-1: aborted-visible" in text
    assert classes.MEANING["aborted-visible"] in text
    elsewhere: list[Event] = [
        DoorRead(1, "fresh", "u-2", n, 500 + 10 * n, 505 + 10 * n, "ok", n == 2, (row,)) for n in (1, 2)
    ]
    made = act(1, "create", None, "ok")
    assert "r-1 of u-1: misattributed" in told(history(tmp_path, made, elsewhere, shown=1))

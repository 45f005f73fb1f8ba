"""The rule of keep-both against every linearization, for every set of versions that a door might show."""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from chaos.checks.rules.keep_both import kept_both
from chaos.checks.verdict import judge
from chaos.history.events import Act, Back, DoorRead, Event, Header, Outcome, Row, Send
from chaos.history.reader import read_history
from tests.unit.checks.files import written
from tests.unit.checks.oracle import kept_sets, small_history
from tests.unit.checks.service import payload_hash

HISTORIES = int(os.environ.get("HOLDFAST_ORACLE_HISTORIES", "120000")) // 20


def test_exactly_the_sets_of_versions_in_which_a_linearization_ends_are_allowed() -> None:
    draw, verdicts = random.Random(3), Counter[str]()
    for number in range(HISTORIES):
        operations = small_history(draw, conditional=(0.5, 0.8, 1.0)[number % 3])
        truth, rule = kept_sets(operations), kept_both(operations)
        if not truth:
            assert rule.broken
            verdicts["broken"] += 1
            continue
        assert not rule.broken
        versions = sorted({o.write for o in operations if not o.delete})
        for size in range(len(versions) + 1):
            for states in map(frozenset, combinations(versions, size)):
                legal = states in truth
                verdicts["legal" if legal else "illegal"] += 1
                assert rule.permits(states) == legal, (states, truth, [vars_of(o) for o in operations])
                verdicts["two versions kept"] += legal and size > 1
                if not legal:
                    assert rule.intruders(states) or rule.missing(states)
    assert min(verdicts.values()) > HISTORIES // 50, verdicts
    assert len(verdicts) == 4


def vars_of(operation: object) -> str:
    names = ("write", "delete", "base", "inv", "ret", "standing")
    return " ".join(f"{name}={getattr(operation, name)}" for name in names)


def write(op: int, kind: str = "update", base: int | None = 1, outcome: Outcome = "ok") -> list[Event]:
    w, hash_ = f"w-{op}", "" if kind == "delete" else payload_hash(f"w-{op}")
    on = None if base is None else f"w-{base}"
    act = Act(op, 10 * op, "d-1#1", "d-1", "u-1", kind, "r-1", "todo", w, hash_, w, on)  # type: ignore[arg-type]
    return [act, Send(op, 1, 10 * op + 1), Back(op, 1, 10 * op + 2, outcome)]


def classes(folder: Path, parts: list[list[Event]], *shown: int) -> set[str]:
    header = Header("x", 1, "keep-both", "keyed", canaries={"A": "a", "B": "b"}, require_mix=False)
    rows = tuple(Row("r-1", "u-1", f"w-{w}", payload_hash(f"w-{w}"), f"row-{n}") for n, w in enumerate(shown))
    doors = [DoorRead(1, "fresh", "u-1", n, 500 + 10 * n, 505 + 10 * n, "ok", n == 2, rows) for n in (1, 2)]
    events = [header, *(event for part in parts for event in part), *doors]
    return set(judge(read_history(written(events, folder))).anomalies) - {"never-read"}


CREATED = write(1, "create", None)
CONFLICT = [CREATED, write(2), write(3)]


@pytest.mark.parametrize(
    ("parts", "shown", "expected"),
    [
        (CONFLICT, (2, 3), set()),
        (CONFLICT, (3, 2), set()),
        (CONFLICT, (2,), {"lost-update"}),
        (CONFLICT, (), {"lost"}),
        (CONFLICT, (1,), {"lost"}),
        (CONFLICT, (1, 2, 3), {"resurrected"}),
        (CONFLICT, (2, 3, 3), {"duplicated"}),
        ([CREATED, write(2, outcome="info"), write(3, "delete", 2, "info")], (), set()),
        ([CREATED, write(2), write(3, base=None)], (2,), {"lost"}),
        ([CREATED, write(2), write(3), write(4, base=None)], (2, 4), {"lost-update"}),
        ([CREATED, write(2), write(3), write(4, base=None)], (2,), {"lost", "lost-update"}),
        (CONFLICT, (2, 3, 9), {"phantom"}),
        ([CREATED, write(2)[:1]], (2,), {"phantom", "lost"}),
        ([CREATED, write(2, outcome="fail")], (2,), {"aborted-visible", "lost"}),
        ([CREATED, write(2, outcome="fail")], (1, 2), {"aborted-visible"}),
        ([CREATED, write(2, outcome="fail")], (1,), set()),
        ([CREATED, write(2, outcome="info")], (1,), set()),
        ([CREATED, write(2, outcome="info")], (2,), set()),
        ([CREATED, write(2), write(3, "delete")], (2,), set()),
        ([CREATED, write(3, "delete"), write(4, "delete")], (), set()),
        ([CREATED, write(3, "delete")], (1,), {"resurrected"}),
    ],
)
def test_a_door_must_show_every_version_that_was_not_replaced_once_and_no_other(
    parts: list[list[Event]], shown: tuple[int, ...], expected: set[str], tmp_path: Path
) -> None:
    assert classes(tmp_path, parts, *shown) == expected


def test_a_version_that_only_a_read_proves_is_seen_then_lost(tmp_path: Path) -> None:
    sync = Act(90, 50, "d-2#1", "d-2", "u-1", "sync")
    row = Row("r-1", "u-1", "w-3", payload_hash("w-3"), "row-9")
    read: list[Event] = [sync, Send(90, 1, 50), Back(90, 1, 51, "ok", rows=(row,))]
    load = [CREATED, write(2), write(3, outcome="info"), read]
    assert classes(tmp_path, load, 2, 3) == set()
    assert classes(tmp_path, load, 2) == {"seen-then-lost"}
    assert classes(tmp_path, load, 3) == {"lost-update"}
    assert classes(tmp_path, load) == {"seen-then-lost", "lost"}

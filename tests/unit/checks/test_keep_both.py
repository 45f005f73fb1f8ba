"""The rule of keep-both against every linearization, for every set of versions that a door might show."""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import combinations

from chaos.checks.keep_both import kept_both
from tests.unit.checks.oracle import kept_sets, small_history

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

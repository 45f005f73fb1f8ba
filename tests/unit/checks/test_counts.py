"""The counts of records that need no closer look, added up over parts of a history."""

from __future__ import annotations

from collections import Counter

from chaos.checks.conditions.traffic import Traffic
from chaos.checks.counts import Counts, summed


def test_the_counts_of_several_parts_are_added_up() -> None:
    one = Counts(
        operations=Counter(ok=5, fail=1), reported=Counter(stale=2), mixed=Counter(create=3, update=3),
        acknowledged=Counter({"u-1": 2}), devices={"u-1": {"d-1"}}, must=2, must_before=1,
        traffic={0: Traffic(5, 9, 20)}, covered=3, doors=5, steps={1, 2},
    )  # fmt: skip
    other = Counts(
        operations=Counter(ok=2), reported=Counter(stale=1), mixed=Counter(update=1, delete=1),
        acknowledged=Counter({"u-1": 1, "u-2": 1}), devices={"u-1": {"d-2"}, "u-2": {"d-3"}}, must=1, must_before=1,
        traffic={0: Traffic(3, 7, 30), 1: Traffic(4)}, covered=1, doors=2, steps={1, 4},
    )  # fmt: skip
    assert summed([one, Counts(), other]) == Counts(
        operations=Counter(ok=7, fail=1), reported=Counter(stale=3),
        mixed=Counter(create=3, update=4, delete=1), acknowledged=Counter({"u-1": 3, "u-2": 1}),
        devices={"u-1": {"d-1", "d-2"}, "u-2": {"d-3"}}, must=3, must_before=2,
        traffic={0: Traffic(3, 9, 20), 1: Traffic(4)}, covered=4, doors=7, steps={1, 2, 4},
    )  # fmt: skip
    assert summed([]) == Counts()

"""The rule against every linearization; set HOLDFAST_ORACLE_HISTORIES to compare more."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from chaos.checks.rules.allowed import Logical, allowed
from chaos.errors import MalformedHistory
from chaos.history.model import INFINITY
from tests.unit.checks.oracle import ABSENT, final_states, small_history

HISTORIES = int(os.environ.get("HOLDFAST_ORACLE_HISTORIES", "120000"))
LEAST = 1_000 if HISTORIES >= 1_000_000 else 100 if HISTORIES >= 100_000 else 1
"""How often each hard case is made."""
SHARES = (0.0, 0.3, 0.6, 0.9, 1.0)


def shown(operations: Sequence[Logical]) -> str:
    return "\n".join(
        f"{'delete' if o.delete else 'write '} {o.write} base={o.base} inv={o.inv} "
        f"ret={o.ret if o.ret < INFINITY else '-'} {o.standing} seen={o.seen if o.seen < INFINITY else '-'}"
        for o in operations
    )


def compare(operations: Sequence[Logical], *, conditional: bool, verdicts: Counter[str]) -> None:
    truth = final_states(operations, conditional=conditional)
    rule = allowed(operations, conditional=conditional)
    if not truth:
        assert rule.broken, f"no order explains this, and the rule sees nothing:\n{shown(operations)}"
        verdicts["broken"] += 1
        return
    assert not rule.broken, f"{rule.broken}, though an order explains this:\n{shown(operations)}"
    said = set(rule.writes) | ({ABSENT} if rule.absence else set())
    assert said == truth, f"rule {sorted(said)}, truth {sorted(truth)}:\n{shown(operations)}"
    possible = {o.write for o in operations if not o.delete} | {ABSENT}
    verdicts["legal"] += len(truth)
    verdicts["illegal"] += len(possible - truth)


@pytest.mark.parametrize("share", SHARES)
def test_the_rule_allows_exactly_the_states_in_which_a_linearization_ends(share: float) -> None:
    draw, cases, verdicts = random.Random(int(share * 100)), Counter[str](), Counter[str]()
    for _ in range(HISTORIES // len(SHARES)):
        compare(small_history(draw, conditional=share, cases=cases), conditional=True, verdicts=verdicts)
    assert verdicts["legal"]
    assert verdicts["illegal"]
    if share > 0:
        assert verdicts["broken"]
        for case in (
            "two writes on one base",
            "two acknowledged writes on one base",
            "delete against update",
            "acknowledged on an unknown base",
            "unknown on an unknown base",
            "acknowledged on a failed base",
            "acknowledged on a base that never was",
            "write on a delete",
        ):
            assert cases[case] >= LEAST, f"{case} was made {cases[case]} times"
    for case in (
        "unknown before a later acknowledgement",
        "unknown but seen",
        "unknown delete",
        "degraded",
        *(["overlapping unconditional writes"] if share < 1 else []),
    ):
        assert cases[case] >= LEAST, f"{case} was made {cases[case]} times"


def test_it_is_exact_where_every_attempt_is_an_operation_of_its_own() -> None:
    draw, cases, verdicts = random.Random(7), Counter[str](), Counter[str]()
    for _ in range(HISTORIES // 10):
        operations = small_history(draw, conditional=0.6, keyed=False, cases=cases)
        compare(operations, conditional=True, verdicts=verdicts)
    assert cases["unknown attempt of an acknowledged write"] > 100
    assert verdicts["broken"]
    assert verdicts["legal"]
    assert verdicts["illegal"]


def test_it_is_exact_under_last_writer_wins_where_bases_mean_nothing() -> None:
    draw, verdicts = random.Random(8), Counter[str]()
    for _ in range(HISTORIES // 10):
        compare(small_history(draw, conditional=0.6), conditional=False, verdicts=verdicts)
    assert verdicts["legal"]
    assert verdicts["illegal"]
    assert not verdicts["broken"]


def naive(operations: Sequence[Logical]) -> set[str]:
    """What looks right at first: no state older than the latest acknowledged invocation, unknown ones at will."""
    latest = max((o.inv for o in operations if o.standing == "ok"), default=-1)
    last = {o for o in operations if (o.ret >= latest if o.standing == "ok" else o.standing == "info")}
    made = any(o.standing == "ok" and not o.delete for o in operations)
    absent = {ABSENT} if not made or any(o.delete for o in last) else set()
    return {o.write for o in last if not o.delete} | absent


def test_the_oracle_catches_a_rule_that_only_looks_right_in_both_directions() -> None:
    draw, wrong = random.Random(11), Counter[str]()
    for _ in range(5_000):
        operations = small_history(draw, conditional=0.6)
        truth = final_states(operations)
        wrong["false alarm"] += bool(truth - naive(operations))
        wrong["false HELD"] += bool(naive(operations) - truth)
    assert wrong["false alarm"] > 100
    assert wrong["false HELD"] > 100


def test_the_order_in_which_operations_are_given_does_not_matter() -> None:
    draw = random.Random(9)
    for _ in range(2_000):
        operations = small_history(draw, conditional=0.6, keyed=False)
        before = allowed(operations)
        assert allowed(draw.sample(operations, len(operations))) == before


def test_a_cut_that_forgets_acknowledgements_never_forbids_what_was_allowed() -> None:
    draw = random.Random(10)
    for _ in range(5_000):
        operations = small_history(draw, conditional=0.5)
        rule = allowed(operations)
        if rule.broken:
            continue
        index = draw.randrange(len(operations))
        known = operations[index]
        if known.standing == "ok":
            operations[index] = Logical(known.write, known.delete, known.base, known.inv, INFINITY, "info")
            weaker = allowed(operations)
            assert rule.writes <= weaker.writes
            assert weaker.absence or not rule.absence


def test_a_write_that_returned_before_its_base_was_invoked_is_no_history() -> None:
    base = Logical("w-1", False, None, 10, 12, "ok")
    early = Logical("w-2", False, "w-1", 1, 5, "ok")
    with pytest.raises(MalformedHistory, match="w-2"):
        allowed([base, early])


def test_writes_based_on_each_other_are_no_history() -> None:
    one = Logical("w-1", False, "w-2", 1, 9, "ok")
    two = Logical("w-2", False, "w-1", 1, 9, "ok")
    with pytest.raises(MalformedHistory, match="circle"):
        allowed([one, two])


def test_a_long_chain_of_unknown_writes_needs_no_recursion() -> None:
    chain = [Logical("w-0", False, None, 0, 1, "ok")]
    chain += [Logical(f"w-{i}", False, f"w-{i - 1}", i, INFINITY, "info") for i in range(1, 20_000)]
    rule = allowed(chain)
    assert len(rule.writes) == 20_000
    assert not rule.absence


@pytest.mark.parametrize(
    ("base", "broken"),
    [
        ([Logical("w-1", False, None, 0, 5, "fail")], "aborted-visible"),
        ([Logical("w-1", False, None, 0, INFINITY, "unsent")], "phantom"),
        ([], "phantom"),
    ],
)
def test_a_write_acknowledged_on_what_never_took_effect_tells_what_the_service_showed(
    base: list[Logical], broken: str
) -> None:
    after = Logical("w-2", False, "w-1", 10, 12, "ok")
    beside = [
        Logical("w-3", False, "w-2", 20, INFINITY, "info"),
        Logical("w-4", False, "w-2", 20, INFINITY, "unsent"),
        Logical("w-5", True, "w-2", 20, INFINITY, "info"),
    ]
    rule = allowed([*base, after, *beside])
    assert rule.broken == {broken}
    tried = {o.write for o in (*base, after, *beside) if o.standing != "unsent" and not o.delete}
    assert rule.writes == tried  # nothing else is held against it
    assert rule.absence


def test_without_keys_a_late_attempt_counts_though_an_earlier_one_came_too_early() -> None:
    attempts = [Logical("w-1", False, None, 0, ret, "ok") for ret in (10, 20, 100)]
    rule = allowed([*attempts, Logical("w-2", False, None, 50, 60, "ok")])
    assert rule.writes == {"w-1", "w-2"}
    assert rule.late == {"w-1"}


@pytest.mark.parametrize("chains", [1, 2, 3])
def test_a_write_cannot_have_come_between_two_that_build_on_each_other(chains: int) -> None:
    operations: list[Logical] = []
    for n in range(chains):  # one pair after the other
        t = 100 * n
        operations.append(Logical(f"a-{n}", False, None, t, t + 10, "ok"))
        operations.append(Logical(f"b-{n}", False, f"a-{n}", t + 50, t + 60, "ok"))
    assert not allowed(operations).broken
    for n in range(chains):
        between = Logical("c", False, None, 100 * n + 20, 100 * n + 30, "ok")
        assert allowed([*operations, between]).broken == {"lost-update"}
        beside = Logical("c", False, None, 100 * n + 20, 100 * n + 90, "ok")
        assert not allowed([*operations, beside]).broken

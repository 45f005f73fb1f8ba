"""Drawn records before all their doors against every linearization; HOLDFAST_DOORS_HISTORIES compares more."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pytest

from chaos.checks import file
from chaos.checks.bulk import large
from chaos.checks.verdict import judge
from chaos.history.events import DoorRead, Event, FaultEvent, PhaseEvent, Policy
from chaos.history.reader import read_history, read_lines
from chaos.history.recorder import encode
from tests.unit.checks.drawn_cases import STACKS, Stack, calm, drawn, drawn_stack, events_of, header
from tests.unit.checks.files import closed, judged, written
from tests.unit.checks.oracle_doors import NEVER, NOBODY, Case, Look, Oracle, Try

HISTORIES = int(os.environ.get("HOLDFAST_DOORS_HISTORIES", "12000"))
TOGETHER = 200
"""Records of one owner, each a history of its own: fewer than a verdict tells by name."""
LOAD = PhaseEvent("load", 0, "begun")
OWNERS = 8
BEGAN_AT = int(os.environ.get("HOLDFAST_DOORS_SEED", "0"))


def told(oracle: Oracle) -> str:
    case = oracle.case
    lines = [f"{case.policy}, {'keyed' if case.keyed else 'none'}; the oracle: {sorted(oracle.wrong) or 'legal'}"]
    lines += [str(each) for each in (*case.writes, *case.glances)]
    lines += [f"{look}: {sorted(state)}" for look, state in case.shown]
    return "\n".join(lines)


HARD = (
    "legal",
    "wrong",
    "a delete proven by absence",
    "a delete proven by absence, a write acknowledged between doors",
    "an absence that several deletes may explain",
    "broken by what an absence proved",
    "doors of one step that show different states",
    "wrong: doors disagree",
    "wrong: no linearization ends so",
    "wrong: no linearization at a door",
    "wrong: no linearization at the end",
    "wrong: shown though nothing can have applied it",
    "an unknown or refused attempt of an acknowledged write",
    "two writes on one base",
)
HARD_WITHOUT_KEYS = (
    "an attempt shown before the next one left",
    "an attempt shown, the next one acknowledged, another write later",
)
HARD_KEPT = ("two versions beside each other", "a delete proven by absence under keep-both")
NEVER_SO = {
    "last-writer-wins": {
        "wrong: no linearization at a door",
        "wrong: no linearization at the end",
        "broken by what an absence proved",
    },
    "keep-both": {"wrong: doors disagree", "broken by what an absence proved"},
}
"""What cannot be under a policy: without bases, or where time orders nothing."""


@pytest.mark.parametrize(("policy", "keyed"), STACKS)
def test_a_record_is_anomalous_exactly_where_no_linearization_explains_its_doors(policy: Policy, keyed: bool) -> None:
    cases = Counter[str]()
    for number in range(HISTORIES // len(STACKS) // TOGETHER):
        draw = random.Random(f"{policy} {keyed} {BEGAN_AT + number}")
        stack = drawn_stack(draw, policy, keyed)
        oracles = [drawn(draw, stack, cases) for _ in range(TOGETHER)]
        events: list[Event] = [header(stack), LOAD, *events_of(stack, [oracle.case for oracle in oracles])]
        lines = [encode(event).rstrip(b"\n") for event in closed(events)]
        found = {one.record: one.classes for one in judge(read_lines(Path("drawn"), lines)).records}
        for at, oracle in enumerate(oracles):
            classes = found.get(f"r-0-{at}", ())
            assert bool(classes) == bool(oracle.wrong), f"number {number}, {at}: {classes}\n{told(oracle)}"
    wanted = {*HARD, *(() if keyed else HARD_WITHOUT_KEYS), *(HARD_KEPT if policy == "keep-both" else ())}
    for case in wanted - NEVER_SO.get(policy, set()):
        assert cases[case] >= max(1, HISTORIES // 100_000), f"{case} was made {cases[case]} times, of {sorted(cases)}"


def large_file(folder: Path, stack: Stack, oracles: Sequence[Oracle], least_bytes: int) -> Path:
    """Drawn records of several owners, and calm ones of theirs and of others until the file is large."""
    share = len(oracles) // OWNERS
    owned = [[oracle.case for oracle in oracles[n * share : (n + 1) * share]] for n in range(OWNERS)]
    events: list[Event] = [header(stack), LOAD]
    size = 0
    while size < least_bytes:
        n = len(events)
        for number, cases in enumerate(owned or [[], []]):
            first = len(events) * 10
            events += events_of(stack, [*cases, *calm(stack, 400)], f"u-{number}-{n}", first)
        size += sum(len(encode(event)) for event in events[n:])
        owned = []
    return written(events, folder)


@pytest.mark.parametrize(("policy", "keyed"), STACKS)
def test_columns_dismiss_no_record_that_the_oracle_finds_wrong(
    policy: Policy, keyed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if keyed:  # in shares, else in one piece
        monkeypatch.setattr(large, "CHUNK_BYTES", 1 << 20)
        monkeypatch.setattr(large, "SHARE_BYTES", 3 << 20)
    draw, cases = random.Random(f"large {policy} {keyed} {BEGAN_AT}"), Counter[str]()
    for _ in range(max(1, HISTORIES // 1_000_000)):
        stack = drawn_stack(draw, policy, keyed)
        oracles = [drawn(draw, stack, cases) for _ in range(max(320, HISTORIES // 100))]
        path = large_file(tmp_path, stack, oracles, file.SMALL_BYTES)
        assert path.stat().st_size > file.SMALL_BYTES
        history, further = large.looked(path, processes=1)
        found = judge(history, further)
        assert found == judge(read_history(path))
        assert found.records_total == sum(bool(oracle.wrong) for oracle in oracles)
        assert len(history.records) < 1.1 * len(oracles), "calm records are dismissed"


STRUCK, RESTORED = 100, Look(0, "restored pgdata", 121, 122, 123)


def as_of(case: Case, t: int, later: int | None = None) -> Case:
    """A record as a store knows it that came back as of an instant; what was refused was never there to be lost.

    What was acted or sent between that and a later one may be pushed back.
    """
    later = t if later is None else later
    writes = []
    for write in case.writes:
        if write.t <= later:
            tries = [
                one if one.back <= t or one.outcome == "fail" else Try(one.sent, NEVER, "info")
                for one in write.tries
                if one.sent <= later
            ]
            writes.append(replace(write, tries=tuple(tries)))
    return Case(case.policy, case.keyed, writes, [glance for glance in case.glances if glance.t <= t])


def consistent_after(case: Case, t: int) -> bool:
    """Whether anything explains what was restored as of an instant together with what is known from before it."""
    oracle = Oracle(as_of(case, t, STRUCK))
    oracle.case.shown.extend(case.shown)
    return oracle.end()


@pytest.mark.parametrize(("policy", "keyed"), STACKS[:4])
def test_a_restored_store_is_excused_exactly_where_one_instant_within_the_rpo_explains_it(
    policy: Policy, keyed: bool, tmp_path: Path
) -> None:
    draw, cases = random.Random(f"restored {policy} {keyed} {BEGAN_AT}"), Counter[str]()
    for number in range(HISTORIES // 60):
        stack = replace(drawn_stack(draw, policy, keyed), doors=())
        rpo = draw.choice((0, 5, 30, 80))
        found = [drawn(draw, stack, Counter[str]()).case for _ in range(draw.randint(1, 3))]
        some = [replace(c, writes=[replace(w, tries=tuple(a for a in w.tries if a.sent <= STRUCK)) for w in c.writes])
                for c in found]  # fmt: skip
        back = draw.choice((STRUCK - rpo, STRUCK, draw.randint(0, STRUCK)))
        for case in some:
            possible = sorted(Oracle(as_of(case, back)).allowed(RESTORED), key=sorted) or [NOBODY]
            names = [w.name for w in case.writes if w.kind != "delete"]
            state = draw.choice(possible) if draw.random() < 0.9 else frozenset({draw.choice(names)})
            case.shown.append((RESTORED, state))
        explained = [
            all(case.shown[0][1] in Oracle(as_of(case, t)).allowed(RESTORED) for case in some)
            for t in range(STRUCK + 1)
        ]
        instants = [t for t in range(STRUCK - rpo, STRUCK + 1) if explained[t]]
        wrong = "" if instants else "lost-suffix" if any(explained) else "hole"
        broken = any(not Oracle(as_of(case, STRUCK)).allowed(Look(0, "", 0, STRUCK, STRUCK)) for case in some)
        broken |= any(list(Oracle(case).shown_too_early()) for case in some)
        if instants and not any(all(map(consistent_after, some, repeat(t))) for t in instants):
            broken = True
        struck = FaultEvent(0, STRUCK, "san.lose", "core", "injected", exceeds=True)
        faults = [struck, replace(struck, t=STRUCK + 1, happened="healed", bit=True)]
        told_of = replace(header(stack), rpo_seconds=rpo / 1e9, faults=("san.lose",))
        events = events_of(replace(stack, doors=(RESTORED,)), some)
        at = next(i for i, event in enumerate(events) if isinstance(event, DoorRead))
        anomalies = set(judged([told_of, LOAD, *events[:at], *faults, *events[at:]], tmp_path).anomalies)
        where = f"number {number}, rpo {rpo}: {anomalies}\n" + "\n".join(map(str, some))
        if not broken:
            assert anomalies & {"hole", "lost-suffix"} == {wrong} - {""}, where
        assert bool(anomalies - {"never-read"}) == bool(wrong or broken), where
        cases[wrong or ("broken" if broken else "explained")] += 1
        cases["something was lost"] += not wrong and not explained[STRUCK]
    for case_of in (
        "lost-suffix",
        "hole",
        "explained",
        "something was lost",
        *(["broken"] if policy == "reject" else []),
    ):
        assert cases[case_of] >= max(1, HISTORIES // 100_000), f"{case_of} was made {cases[case_of]} times"

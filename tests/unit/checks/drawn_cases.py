"""Random small records before doors: what is drawn, the hard cases counted, and the history that says so."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

from chaos.history.events import Act, Back, DoorRead, Event, Header, Idempotency, Policy, Row, Send
from tests.unit.checks.oracle_doors import NEVER, NOBODY, Case, Glance, Look, Oracle, Try, Write
from tests.unit.checks.service import payload_hash

STACKS: tuple[tuple[Policy, bool], ...] = (
    ("reject", True),
    ("reject", False),
    ("last-writer-wins", True),
    ("last-writer-wins", False),
    ("keep-both", True),
    ("keep-both", False),
)
"""Conflict policy, and whether idempotency keys are kept."""
LOAD_ENDS = 48
DOORS = (
    Look(1, "fresh", 51, 53, 54),
    Look(2, "cache d-1", 61, 62, 63, cache=True),
    Look(4, "reset d-1", 71, 72, 73),
    Look(4, "reset d-2", 81, 82, 83),
    Look(5, "copy", 91, 92, 93),
)


@dataclass(frozen=True)
class Stack:
    """What all records of one history share."""

    policy: Policy
    keyed: bool
    conditional: float
    doors: tuple[Look, ...]


def drawn_stack(draw: random.Random, policy: Policy, keyed: bool) -> Stack:
    """Some stack with some of the doors, at least one."""
    doors = tuple(door for door in DOORS if draw.random() < 0.75) or DOORS[:1]
    share = 1.0 if policy == "keep-both" else draw.choice((0.0, 0.5, 0.9, 1.0))
    return Stack(policy, keyed, share, doors)


def drawn(draw: random.Random, stack: Stack, cases: Counter[str]) -> Oracle:
    """One record, its doors shown; most doors show what they may."""
    writes = _writes(draw, stack)
    oracle = Oracle(Case(stack.policy, stack.keyed, writes, tuple(_glances(draw, writes))))
    for look in stack.doors:
        possible = [w.name for w in writes if w.kind != "delete" and w.t <= look.first_ended]
        allowed = sorted(oracle.allowed(look), key=sorted)
        fitting = [state for state in allowed if state <= set(possible)]
        if fitting and draw.random() < 0.85:
            found = draw.choice(fitting)
            if NOBODY in fitting and draw.random() < 0.4:
                found = NOBODY
        else:
            sizes = (0, 1, 1, 2) if stack.policy == "keep-both" else (0, 1)
            found = frozenset(draw.sample(possible, min(draw.choice(sizes), len(possible))))
        oracle.show(look, found)
    oracle.end()
    cases.update(hard_cases(oracle, stack))
    return oracle


def _writes(draw: random.Random, stack: Stack) -> list[Write]:
    clock = draw.choice((8, 20, LOAD_ENDS - 4))
    acted = sorted(
        draw.randint(48, 92) if draw.random() < 0.15 else draw.randint(0, clock) for _ in range(_count(draw))
    )
    found: list[Write] = []
    for number, t in enumerate(acted):
        base = None
        if found and draw.random() < stack.conditional:
            base = draw.choice(found[-3:]).name
        elif found and draw.random() < 0.02:
            base = "w-nowhere"
        kind: Literal["create", "update", "delete"] = (
            "create" if not found else "delete" if draw.random() < 0.35 else "update"
        )
        if stack.policy == "keep-both" and base is None:
            kind = "create" if not found else "update"
        found.append(Write(f"w-{number}", kind, base, t, tuple(_tries(draw, t))))
    return found


def _count(draw: random.Random) -> int:
    return draw.choices((1, 2, 3, 4, 5), (5, 20, 35, 28, 12))[0]


def _tries(draw: random.Random, t: int) -> Iterator[Try]:
    """None to three requests; a later one leaves when the one before was answered or given up."""
    at = t + draw.choice((0, 0, 1, 2, 9))
    if draw.random() < 0.03:
        return
    for _ in range(3):
        outcome = draw.choices(("ok", "info", "degraded", "fail"), (56, 30, 4, 10))[0]
        waits = draw.choice((0, 1, 2, 5, 14))
        yield Try(at, NEVER if outcome == "info" and draw.random() < 0.5 else at + waits, outcome)
        if draw.random() < (0.85 if outcome == "ok" else 0.55):
            return
        at += waits + draw.choice((0, 1, 3, 12))


def _glances(draw: random.Random, writes: Sequence[Write]) -> Iterator[Glance]:
    for write in writes:
        if not write.tries or draw.random() < 0.65:
            continue
        t = write.tries[0].sent + draw.choice((0, 1, 3, 10))
        if len(write.tries) > 1 and draw.random() < 0.5:
            t = max(write.tries[0].sent, write.tries[1].sent - draw.choice((0, 1)))
        if t < LOAD_ENDS:
            yield Glance(max(0, t - draw.choice((0, 1, 4))), t, None if write.kind == "delete" else write.name)


def hard_cases(oracle: Oracle, stack: Stack) -> Iterator[str]:
    """Which of the cases that a checker gets wrong this one is."""
    case = oracle.case
    yield "legal" if not oracle.wrong else "wrong"
    yield from (f"wrong: {why}" for why in oracle.wrong)
    yield f"{'legal' if not oracle.wrong else 'wrong'} under {stack.policy}"
    if oracle.lessons:
        yield "a delete proven by absence"
        if any(w.t > LOAD_ENDS and any(a.outcome == "ok" for a in w.tries) for w in case.writes):
            yield "a delete proven by absence, a write acknowledged between doors"
        if oracle.wrong & {"no linearization at a door", "no linearization at the end"}:
            yield "broken by what an absence proved"
        if stack.policy == "keep-both":
            yield "a delete proven by absence under keep-both"
    if oracle.open:
        yield "an absence that several deletes may explain"
    if len({state for _, state in case.shown}) > 1:
        yield "doors that show different states"
    if any(a.step == b.step and s != z for (a, s), (b, z) in combinations(case.shown, 2)):
        yield "doors of one step that show different states"
    if stack.policy == "keep-both" and any(len(state) > 1 for _, state in case.shown):
        yield "two versions beside each other"
    seen = {g.showed: g.t for g in case.glances}
    for write in case.writes:
        shown = seen.get(write.name if write.kind != "delete" else None, NEVER)
        until, later = ([a for a in write.tries if (a.sent <= shown) == early] for early in (True, False))
        if not stack.keyed and shown < NEVER and len(until) == 1 and later and until[0].outcome != "ok":
            yield "an attempt shown before the next one left"
            if any(a.outcome == "ok" for a in later) and any(o.t > later[0].back for o in case.writes):
                yield "an attempt shown, the next one acknowledged, another write later"
        if any(a.outcome != "ok" for a in write.tries) and any(a.outcome == "ok" for a in write.tries):
            yield "an unknown or refused attempt of an acknowledged write"
    for one, other in pairwise(case.writes):
        if one.base == other.base is not None:
            yield "two writes on one base"


def header(stack: Stack) -> Header:
    """The header of a history of such records."""
    idempotency: Idempotency = "keyed" if stack.keyed else "none"
    return Header("x", 1, stack.policy, idempotency, canaries={"A": "a", "B": "b"}, require_mix=False)


def events_of(stack: Stack, cases: Sequence[Case], owner: str = "u-1", first: int = 0) -> list[Event]:
    """What a trial would have recorded of these records of one owner, without header; operations count from `first`."""
    timed: list[tuple[int, int, Event]] = []
    number = first
    for at, case in enumerate(cases):
        record = f"r-{first}-{at}"
        for write in case.writes:
            number += 1
            name = f"{record} {write.name}"
            base = None if write.base is None else f"{record} {write.base}"
            hash_ = "" if write.kind == "delete" else payload_hash(name)
            device = f"d-{owner}"
            act = Act(
                number, write.t, f"{device}#1", device, owner, write.kind, record, "todo", name, hash_, name, base
            )
            timed.append((write.t, 0, act))
            for n, one in enumerate(write.tries, 1):
                timed.append((one.sent, n, Send(number, n, one.sent)))
                if one.back < NEVER:
                    timed.append((one.back, n, Back(number, n, one.back, one.outcome)))  # type: ignore[arg-type]
        for glance in case.glances:
            number += 1
            session = f"d-9{number}#1"
            timed.append((glance.invoked, 0, Act(number, glance.invoked, session, session[:-2], owner, "read")))
            timed.append((glance.invoked, 1, Send(number, 1, glance.invoked)))
            rows = () if glance.showed is None else (_row(owner, record, glance.showed),)
            gone = () if rows else (record,)
            timed.append((glance.t, 9, Back(number, 1, glance.t, "ok", rows=rows, gone=gone)))
    for which, look in enumerate(stack.doors):
        shown = tuple(
            _row(owner, f"r-{first}-{at}", version)
            for at, case in enumerate(cases)
            for version in sorted(case.shown[which][1])
        )
        rounds = ((1, look.first_ended - 1, look.first_ended), (2, look.invoked, look.t))
        for n, invoked, t in rounds:
            read = DoorRead(look.step, look.door, owner, n, invoked, t, "ok", n == 2, shown)
            timed.append((t, 10, read))
    timed.sort(key=lambda one: one[:2])
    return [event for _, _, event in timed]


def _row(owner: str, record: str, version: str) -> Row:
    name = f"{record} {version}"
    return Row(record, owner, name, payload_hash(name), f"row of {name}")


def calm(stack: Stack, number: int) -> list[Case]:
    """Records with nothing odd about them."""
    chain = [Write(f"w-{n}", "update" if n else "create", f"w-{n - 1}" if n else None, 10 * n,
                   (Try(10 * n, 10 * n + 1, "ok"),)) for n in range(4)]  # fmt: skip
    last = frozenset({"w-3"})
    return [Case(stack.policy, stack.keyed, chain, (), [(door, last) for door in stack.doors]) for _ in range(number)]

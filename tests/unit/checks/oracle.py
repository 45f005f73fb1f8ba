"""The brute-force oracle: every linearization of a register with conditional writes, and random small histories.

It shares nothing with the rule but the operations that both are given.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from chaos.checks.rules.allowed import Logical, Standing
from chaos.history.model import INFINITY

ABSENT = "(absent)"


@dataclass(frozen=True)
class Effect:
    """Something that takes effect at one point of time, or not at all.

    Attributes:
        required: Whether it certainly did.
        again: Whether it is a further operation of a write that has one already: it comes after all that is
            acknowledged, since order never passes through an unacknowledged operation.
    """

    write: str
    delete: bool
    base: str | None
    inv: int
    ret: int
    required: bool
    again: bool = False


def effects(operations: Sequence[Logical], *, conditional: bool) -> list[Effect]:
    """What may take effect: one effect a write, and the further operations of one where attempts stand alone."""
    by_write: dict[str, list[Logical]] = {}
    for operation in operations:
        if operation.standing not in ("fail", "unsent"):
            by_write.setdefault(operation.write, []).append(operation)
    found = []
    for write, carriers in by_write.items():
        base = carriers[0].base if conditional else None
        delete = carriers[0].delete
        ret = min(min(o.ret, o.seen) for o in carriers)
        required = any(o.standing == "ok" or o.seen < INFINITY for o in carriers)
        found.append(Effect(write, delete, base, min(o.inv for o in carriers), ret, required))
        rest = sorted(carriers, key=lambda o: o.ret)[1:]
        found.extend(Effect(write, delete, base, o.inv, o.ret, False, again=True) for o in rest)
    return found


def acknowledged(found: Sequence[Effect]) -> set[str]:
    """Writes that certainly took effect, and those that they were based on."""
    bases = {effect.write: effect.base for effect in found}
    known: set[str] = set()
    for effect in found:
        write: str | None = effect.write if effect.required else None
        while write is not None and write not in known:
            known.add(write)
            write = bases.get(write)
    return known


def final_states(operations: Sequence[Logical], *, conditional: bool = True) -> set[str]:
    """Every state in which some linearization ends; empty when none explains the operations."""
    found = effects(operations, conditional=conditional)
    first = acknowledged(found)
    must = sum(1 << i for i, effect in enumerate(found) if effect.required)
    known = sum(1 << i for i, effect in enumerate(found) if effect.write in first and not effect.again)
    too_late = [sum(1 << j for j, other in enumerate(found) if effect.ret < other.inv) for effect in found]
    ends: set[str] = set()
    reached = {(0, ABSENT, False)}
    agenda = list(reached)
    while agenda:
        applied, current, deleted = agenda.pop()
        if applied & must == must:
            ends.add(ABSENT if deleted else current)
        for i, effect in enumerate(found):
            if applied >> i & 1 or applied & too_late[i] or (effect.again and known & ~applied):
                continue
            if effect.base is not None and (deleted or current != effect.base):
                continue
            after = (applied | 1 << i, effect.write, effect.delete)
            if after not in reached:
                reached.add(after)
                agenda.append(after)
    return ends


def kept_sets(operations: Sequence[Logical]) -> set[frozenset[str]]:
    """Under `keep-both`: every set of versions in which some linearization ends."""
    found = [effect for effect in effects(operations, conditional=True) if not effect.again]
    must = sum(1 << i for i, effect in enumerate(found) if effect.required)
    ends: set[frozenset[str]] = set()
    reached: set[tuple[int, frozenset[str], frozenset[str]]] = {(0, frozenset(), frozenset())}
    agenda = list(reached)
    while agenda:
        applied, live, known = agenda.pop()
        if applied & must == must:
            ends.add(live)
        for i, effect in enumerate(found):
            if applied >> i & 1 or (effect.base is not None and effect.base not in known):
                continue
            if any(effect.ret < other.inv and applied >> j & 1 for j, other in enumerate(found)):
                continue
            there = live - {effect.base} if effect.delete else live - {effect.base} | {effect.write}
            after = (applied | 1 << i, frozenset(there - {None}), known | {effect.write})
            if after not in reached:
                reached.add(after)
                agenda.append(after)
    return ends


def small_history(
    draw: random.Random, *, conditional: float, keyed: bool = True, cases: Counter[str] | None = None
) -> list[Logical]:
    """Two to six operations at random times, well-formed: a base is invoked before what builds on it returns."""
    while True:
        operations = _drawn(draw, conditional, keyed)
        if well_formed(operations):
            if cases is not None:
                cases.update(hard_cases(operations))
            return operations


def _drawn(draw: random.Random, conditional: float, keyed: bool) -> list[Logical]:
    count = draw.randint(1, 6)
    # A short clock makes ties and overlaps likely; a base is invoked before what builds on it, mostly.
    clock = draw.choice((6, 12, 30))
    calm = draw.random() < 0.5
    operations: list[Logical] = []
    now = 0
    for i in range(count):
        now = now + draw.randint(0, 3) if calm else draw.randint(0, clock)
        standing: Standing = draw.choices(("ok", "info", "degraded", "fail", "unsent"), (60, 22, 6, 9, 3))[0]
        ret = now + draw.randint(0, 3 if calm else clock) if standing == "ok" else INFINITY
        seen = INFINITY
        if draw.random() < 0.2 and standing in ("ok", "info", "degraded"):
            seen = now + draw.randint(0, clock)
        base = None
        if operations and draw.random() < conditional:
            base = draw.choice(operations[-3:]).write if draw.random() < 0.8 else draw.choice(operations).write
        if i and draw.random() < conditional * 0.04:
            base = "w-nowhere"
        delete = i > 0 and draw.random() < 0.2
        operations.append(Logical(f"w-{i}", delete, base, now, ret, standing, seen))
    if not keyed:
        for operation in list(operations):
            if operation.standing != "unsent" and draw.random() < 0.4:
                operations.append(_attempt(draw, operation, clock))
    if not calm and draw.random() < 0.3:
        draw.shuffle(operations)
    return operations


def _attempt(draw: random.Random, of: Logical, clock: int) -> Logical:
    standing: Standing = draw.choices(("ok", "info", "fail"), (35, 45, 20))[0]
    ret = of.inv + draw.randint(0, clock) if standing == "ok" else INFINITY
    seen = of.seen if standing != "fail" else INFINITY
    return Logical(of.write, of.delete, of.base, of.inv, ret, standing, seen)


def well_formed(operations: Sequence[Logical]) -> bool:
    """No write builds on one that was invoked after it returned, however far back; nor on itself."""
    by_write = {operation.write: operation for operation in operations}
    inv = {w: min(o.inv for o in operations if o.write == w) for w in by_write}
    for operation in operations:
        ret = min(min(o.ret, o.seen) for o in operations if o.write == operation.write)
        passed = {operation.write}
        base = operation.base
        while base is not None and base in by_write:
            if base in passed or inv[base] > ret:
                return False
            passed.add(base)
            base = by_write[base].base
    return True


def hard_cases(operations: Sequence[Logical]) -> set[str]:
    """Which of the cases that a checker gets wrong this history holds."""
    cases: set[str] = set()
    done = [o for o in operations if o.standing == "ok"]
    unknown = [o for o in operations if o.standing == "info" and o.seen == INFINITY]
    for one, other in combinations(operations, 2):
        if one.write != other.write and one.base is not None and one.base == other.base:
            cases.add("two writes on one base")
            if one.delete != other.delete:
                cases.add("delete against update")
            if one.standing == other.standing == "ok":
                cases.add("two acknowledged writes on one base")
    for info in unknown:
        if any(info.inv < o.inv for o in done):
            cases.add("unknown before a later acknowledgement")
        if any(o.base == info.write for o in done):
            cases.add("acknowledged on an unknown base")
        if any(o.base == info.write for o in unknown):
            cases.add("unknown on an unknown base")
        if info.delete:
            cases.add("unknown delete")
        if any(o.write == info.write for o in done):
            cases.add("unknown attempt of an acknowledged write")
    if any(o.seen < INFINITY and o.standing != "ok" for o in operations):
        cases.add("unknown but seen")
    if any(o.standing == "degraded" for o in operations):
        cases.add("degraded")
    if any(o.base == failed.write for failed in operations if failed.standing in ("fail", "unsent") for o in done):
        cases.add("acknowledged on a failed base")
    if any(o.base == "w-nowhere" for o in done):
        cases.add("acknowledged on a base that never was")
    if any(a.ret >= b.inv and b.ret >= a.inv and a.base is b.base is None for a, b in combinations(done, 2)):
        cases.add("overlapping unconditional writes")
    if any(o.delete and any(p.base == o.write for p in operations) for o in operations):
        cases.add("write on a delete")
    return cases

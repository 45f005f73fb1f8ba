"""The brute-force oracle of one record before all its doors: every linearization, whatever reads had shown until then.

It reads attempts, reads and doors as they were drawn, and shares no code with the checks. What it takes from the
contract: a door is judged by the history cut at its own read; a version that a read showed took effect by the read's
return; what a final read of the service did not find was deleted by one of the deletes with which a linearization
can end there; doors of different steps are not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

NEVER = 1 << 40
NOBODY = frozenset[str]()
State = frozenset[str]
Known = frozenset[tuple[str, int]]
"""Deletes that took effect, and by when."""


@dataclass(frozen=True)
class Try:
    """One request: when it left, when it was answered (NEVER), and with what."""

    sent: int
    back: int
    outcome: str


@dataclass(frozen=True)
class Write:
    """A create, update or delete with all its requests, acted at `t`."""

    name: str
    kind: Literal["create", "update", "delete"]
    base: str | None
    t: int
    tries: tuple[Try, ...]


@dataclass(frozen=True)
class Glance:
    """A read of the load: it showed one version, or reported the record deleted (None)."""

    invoked: int
    t: int
    showed: str | None


@dataclass(frozen=True)
class Look:
    """A door: its last round, the return of the first one, which showed the same, and what they showed."""

    step: int
    door: str
    first_ended: int
    invoked: int
    t: int
    cache: bool = False


@dataclass
class Case:
    """One record of a stack with its load."""

    policy: str
    keyed: bool
    writes: Sequence[Write]
    glances: Sequence[Glance]
    shown: list[tuple[Look, State]] = field(default_factory=list)


@dataclass(frozen=True)
class _Effect:
    """Something that takes effect once between `inv` and `ret`, or, if not `required`, perhaps never.

    Attributes:
        again: A further request of a write that has taken effect: only after all that is acknowledged.
        at: For a read among the effects: the state that it found.
        done: Likewise what was acknowledged then.
        refused: Whether it can have taken effect only as far as that read knew.
    """

    write: str
    delete: bool
    base: str | None
    inv: int
    ret: int
    required: bool
    again: bool = False
    at: State | None = None
    done: frozenset[str] = frozenset()
    refused: bool = False


Ends = dict[State, set[frozenset[str]]]
"""States in which linearizations end, each with the deletes beside A that brought them about."""


class Oracle:
    """Judges a case door after door, and remembers what every door has proven."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.wrong: set[str] = set()
        """Why the case is no legal one; empty while it is."""
        self.lessons = 0
        """How often a door proved a delete; `open` how often it left open which one."""
        self.open = 0
        gone = min((g.t for g in case.glances if g.showed is None), default=NEVER)
        deletes = [w.name for w in case.writes if w.kind == "delete"
                   and any(a.sent < gone and a.outcome != "fail" for a in w.tries)]  # fmt: skip
        self.known: list[Known] = (
            [frozenset({(d, gone)}) for d in deletes] if gone < NEVER and deletes else [frozenset()]
        )
        self.open += len(self.known) > 1
        self._cache: dict[tuple[_Effect, ...], Ends] = {}

    def allowed(self, look: Look) -> Iterable[State]:
        """What this door may show; anything where the operations contradict each other already."""
        return set().union(*(self._ends(known, look.invoked, look.t) for known in self._worlds(look.invoked)))

    def show(self, look: Look, found: State) -> None:
        """This door showed that."""
        case = self.case
        case.shown.append((look, found))
        each = {known: self._ends(known, look.invoked, look.t) for known in self._worlds(look.invoked)}
        if not any(each.values()):
            self.wrong.add("no linearization at a door")
            return
        if not any(found in ends for ends in each.values()):
            self.wrong.add("no linearization ends so")
            return
        for before, there in case.shown[:-1]:
            if before.step == look.step and there != found and not self._may_turn(before, there, look, found):
                self.wrong.add("doors disagree")
        if not look.cache and not self.wrong:
            self._learn(look, found, each)

    def end(self) -> bool:
        """Whether the case is a legal one, once all is over."""
        if not any(self._ends(known, NEVER - 1, NEVER - 1) for known in self._worlds(NEVER - 1)):
            self.wrong.add("no linearization at the end")
        self.wrong.update(self.shown_too_early())
        return not self.wrong

    def _worlds(self, begun: int) -> list[Known]:
        """What may have happened, unless it takes a delete that has been refused by then; where all do, any of it."""
        refused = {w.name for w in self.case.writes if all(a.outcome == "fail" and a.back <= begun for a in w.tries)}
        return [known for known in self.known if refused.isdisjoint(name for name, _ in known)] or self.known

    def _learn(self, look: Look, found: State, each: Mapping[Known, Ends]) -> None:
        learned: list[Known] = []
        for known, ends in each.items():
            for deletes in ends.get(found, ()):
                names = {name for name, _ in known}
                learned.append(known | {(name, look.t) for name in deletes - names})
        self.lessons += set(learned) != set(self.known)
        self.open += len(set(learned)) > 1
        self.known = list(dict.fromkeys(learned))

    def shown_too_early(self) -> Iterator[str]:
        """Versions that a read showed before anything was sent, or that were refused for good."""
        for write in self.case.writes:
            seen = self._seen(write, NEVER)
            until_then = [a for a in write.tries if a.sent <= seen]
            if seen < NEVER and (not until_then or all(a.outcome == "fail" for a in write.tries)):
                yield "shown though nothing can have applied it"

    def _seen(self, write: Write, begun: int) -> int:
        """The return of the first read that showed a version."""
        times = [g.t for g in self.case.glances if g.showed == write.name]
        times += [look.first_ended for look, states in self.case.shown if write.name in states and not look.cache]
        first = min(times, default=NEVER)
        return first if first <= begun else NEVER

    def _may_turn(self, before: Look, there: State, look: Look, found: State) -> bool:
        """Whether some linearization passes the one state at the one door and ends in the other at the other."""
        for known in self._worlds(look.invoked):
            done = {
                name for some in self._effects(dict(known), before.invoked, before.t) for name in _acknowledged(some)
            }
            # What had returned when the read was invoked came before it, were it at that very instant.
            read = _Effect("", False, None, before.invoked + 1, before.t, True, at=there, done=frozenset(done))
            if found in self._ends(known, look.invoked, look.t, (read, *self._refused_between(before, look))):
                return True
        return False

    def _refused_between(self, before: Look, look: Look) -> Iterator[_Effect]:
        """What a read at the one door took for unknown, and that is known not to have taken effect at the other one."""
        for write in self.case.writes:
            known = [a for a in write.tries if a.sent <= look.t and a.outcome == "fail" and a.back <= look.invoked]
            if self.case.keyed and len(known) < sum(a.sent <= look.t for a in write.tries):
                continue
            if any(a.sent <= before.t and a.back > before.invoked for a in known):
                base = None if self.case.policy == "last-writer-wins" else write.base
                yield _Effect(write.name, write.kind == "delete", base, write.t, NEVER, False, refused=True)

    def _ends(self, known: Known, begun: int, ended: int, reads: tuple[_Effect, ...] = ()) -> Ends:
        found: Ends = {}
        for effects in self._effects(dict(known), begun, ended):
            every = (*effects, *reads)
            if every not in self._cache:
                brute = _kept if self.case.policy == "keep-both" else _register
                self._cache[every] = brute(every)
            for state, ways in self._cache[every].items():
                found.setdefault(state, set()).update(ways)
        return {state: _least(ways) for state, ways in found.items()}

    def _effects(self, known: Mapping[str, int], begun: int, ended: int) -> Iterator[tuple[_Effect, ...]]:
        """What may have taken effect as a read of these times sees it, for each request that reads may have shown."""
        choices: list[list[tuple[_Effect, ...]]] = []
        for write in self.case.writes:
            tries = [
                a if a.back <= begun else Try(a.sent, NEVER, "info")
                for a in write.tries if a.sent <= ended
            ]  # fmt: skip
            possible = [a for a in tries if a.outcome != "fail"]
            if write.t > ended or not possible:
                continue
            seen = known.get(write.name, NEVER) if write.kind == "delete" else self._seen(write, begun)
            choices.append(list(self._choices(write, possible, seen if seen <= begun else NEVER)))
        for chosen in product(*choices):
            yield tuple(effect for effects in chosen for effect in effects)

    def _choices(self, write: Write, possible: Sequence[Try], seen: int) -> Iterator[tuple[_Effect, ...]]:
        delete = write.kind == "delete"
        base = None if self.case.policy == "last-writer-wins" else write.base
        answered = {a: a.back if a.outcome == "ok" else NEVER for a in possible}
        ret = min(seen, *answered.values())
        if self.case.keyed or self.case.policy == "keep-both":
            yield (_Effect(write.name, delete, base, write.t, ret, ret < NEVER),)
            return
        until_then = [a.sent <= ret for a in possible]
        for number, early in enumerate(until_then):
            if any(until_then) and not early:
                continue  # it cannot have been the one that is known
            others = [a for n, a in enumerate(possible) if n != number]
            yield (
                _Effect(write.name, delete, base, write.t, ret, ret < NEVER),
                *(_Effect(write.name, delete, base, write.t, answered[a], False, again=True) for a in others),
            )


def _acknowledged(effects: Sequence[_Effect]) -> set[str]:
    bases = {effect.write: effect.base for effect in effects}
    found: set[str] = set()
    for effect in effects:
        write: str | None = effect.write if effect.required and effect.at is None else None
        while write is not None and write not in found:
            found.add(write)
            write = bases.get(write)
    return found


def _least(ways: set[frozenset[str]]) -> set[frozenset[str]]:
    """Those that hold no other one."""
    return {way for way in ways if not any(other < way for other in ways)}


def _register(effects: Sequence[_Effect]) -> Ends:
    known = _acknowledged(effects)
    must = sum(1 << i for i, e in enumerate(effects) if e.required)
    read = next((i for i, e in enumerate(effects) if e.at is not None), None)
    if read is not None:
        known = set(effects[read].done)
    first = sum(1 << i for i, e in enumerate(effects) if e.write in known and not e.again and not e.refused)
    late = [sum(1 << j for j, other in enumerate(effects) if e.ret < other.inv) for e in effects]
    ends: Ends = {}
    start: tuple[int, State, str] = (0, NOBODY, "")
    reached, agenda = {start}, [start]
    while agenda:
        applied, state, last = agenda.pop()
        if applied & must == must:
            ends.setdefault(state, set()).add(frozenset({last} if last else ()))
        for i, effect in enumerate(effects):
            if applied >> i & 1 or applied & late[i] or (effect.again and first & ~applied):
                continue
            if effect.refused and read is not None and applied >> read & 1:
                continue
            if effect.at is not None:
                if state != effect.at:
                    continue
                after = (applied | 1 << i, state, last)
            elif effect.base is not None and state != {effect.base}:
                continue
            elif effect.delete:
                after = (applied | 1 << i, NOBODY, "" if effect.write in known else effect.write)
            else:
                after = (applied | 1 << i, frozenset({effect.write}), "")
            if after not in reached:
                reached.add(after)
                agenda.append(after)
    return ends


def _kept(effects: Sequence[_Effect]) -> Ends:
    known = _acknowledged(effects)
    must = sum(1 << i for i, e in enumerate(effects) if e.required)
    read = next((i for i, e in enumerate(effects) if e.at is not None), None)
    late = [sum(1 << j for j, other in enumerate(effects) if e.ret < other.inv) for e in effects]
    ends: Ends = {}
    start: tuple[int, State] = (0, NOBODY)
    reached, agenda = {start}, [start]
    while agenda:
        applied, live = agenda.pop()
        if applied & must == must:
            beside = {e.write for i, e in enumerate(effects) if applied >> i & 1 and e.delete} - known
            ends.setdefault(live, set()).add(frozenset(beside))
        names = {e.write for i, e in enumerate(effects) if applied >> i & 1}
        for i, effect in enumerate(effects):
            if applied >> i & 1 or applied & late[i] or (effect.base is not None and effect.base not in names):
                continue
            if effect.refused and read is not None and applied >> read & 1:
                continue
            if effect.at is not None:
                if live != effect.at:
                    continue
                after = (applied | 1 << i, live)
            else:
                there = live - {effect.base} if effect.base is not None else live
                after = (applied | 1 << i, there if effect.delete else there | {effect.write})
            if after not in reached:
                reached.add(after)
                agenda.append(after)
    return ends

"""Which versions of a record may be there under `keep-both`: a conflict keeps both versions beside each other.

Every update and delete names the version that it replaces, so versions form a forest. What took effect is all of A
(see `allowed.py`) and some of the rest, closed under bases; what is there are the versions on which nothing that took
effect is based. Hence the rule, for a set of versions S:

1. Nothing in S was refused or never sent, no member of A is based on one of S, and no two of S lie on one path.
2. Whatever else must have taken effect and has no follower has been replaced by an unknown operation: by one that is
   in S, by a delete, or by one that was replaced itself.

Time orders nothing here, since an operation names what it replaces. `tests/unit/checks` holds the rule against every
linearization.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Final

from chaos.checks.rules.allowed import MAYBE, Logical, acknowledged
from chaos.history.model import INFINITY

WAYS_MAX: Final = 64
"""Of more ways in which something may have vanished only what is sure is minded."""


@dataclass(frozen=True, slots=True)
class _Version:
    """A write id that took effect (`sure`), or may have."""

    delete: bool
    base: str | None
    sure: bool


@dataclass(frozen=True, slots=True)
class KeptBoth:
    """What a read after the given operations may find.

    Attributes:
        broken: Anomalies that the operations show by themselves, whatever is found.
        acknowledged: The write ids of A.
        late: Versions and deletes outside A that may have taken effect.
        deletes: Deletes that may have taken effect.
    """

    broken: frozenset[str]
    acknowledged: frozenset[str]
    late: frozenset[str]
    deletes: frozenset[str]
    _versions: Mapping[str, _Version] = field(repr=False)
    _followers: Mapping[str, Sequence[str]] = field(repr=False)

    @property
    def writes(self) -> frozenset[str]:
        """Versions that may be there, alone or beside others."""
        return frozenset(write for write in self._versions if self._may_be_there(write))

    @property
    def absence(self) -> bool:
        """Whether the record may be absent."""
        return self.permits(frozenset())

    def permits(self, states: frozenset[str]) -> bool:
        """Whether exactly these versions may be there."""
        return not self.intruders(states) and not self.missing(states)

    def intruders(self, states: Iterable[str]) -> frozenset[str]:
        """Those of these versions that must not be there, at least not beside the others."""
        there = set(states)
        passed = {before for state in there for before in self._before(state)}
        return frozenset(state for state in there if state in passed or not self._may_be_there(state))

    def missing(self, states: Iterable[str]) -> frozenset[str]:
        """Versions that must be there and are not among these."""
        return frozenset(write for write in self._lacking(states) if not self._deletes_behind(write))

    def ways_to(self, states: frozenset[str]) -> Sequence[frozenset[str]]:
        """What else must have taken effect if exactly these versions are there: one of these sets of deletes."""
        behind = [self._deletes_behind(write) for write in self._lacking(states)]
        if prod(map(len, behind)) > WAYS_MAX:
            behind = [deletes for deletes in behind if len(deletes) == 1]
        return [frozenset(chosen) for chosen in product(*behind)]

    def without(self, writes: frozenset[str]) -> KeptBoth:
        """The rule where these versions, and what replaced them, had not taken effect yet."""
        gone = {write for write in self._versions if not writes.isdisjoint([write, *self._before(write)])}
        return _rule_of({w: v for w, v in self._versions.items() if w not in gone}, self.acknowledged, self.broken)

    def _lacking(self, states: Iterable[str]) -> Iterable[str]:
        """Versions that took effect, are not among these, and that nothing known has replaced."""
        there = set(states)
        happened = set(self.acknowledged).union(there, *(self._before(state) for state in there))
        replaced = {version.base for write, version in self._versions.items() if write in happened}
        return (
            write
            for write in happened & self._versions.keys()
            if write not in there and write not in replaced and not self._versions[write].delete
        )

    def _may_be_there(self, write: str) -> bool:
        version = self._versions.get(write)
        if version is None or version.delete:
            return False
        if any(self._versions[follower].sure for follower in self._followers.get(write, ())):
            return False
        return version.base is None or all(before in self._versions for before in self._before(write))

    def _before(self, write: str) -> list[str]:
        """What this version replaced, what that replaced, and so on."""
        path: list[str] = []
        version = self._versions.get(write)
        while version is not None and version.base is not None and version.base not in path:
            path.append(version.base)
            version = self._versions.get(version.base)
        return path

    def _deletes_behind(self, write: str) -> Sequence[str]:
        """Deletes by which it may have vanished: each replaced it, or what had replaced it."""
        ready = [write]
        passed = {write}
        found: list[str] = []
        while ready:
            for follower in self._followers.get(ready.pop(), ()):
                version = self._versions[follower]
                if version.delete:
                    found.append(follower)
                elif follower not in passed:
                    passed.add(follower)
                    ready.append(follower)
        return found


def may_follow(
    before: Sequence[Logical], invoked: int, there: frozenset[str], operations: Sequence[Logical], found: frozenset[str]
) -> bool:
    """Whether a later read may find these versions where one has found those.

    Args:
        before: All operations of the record as that read saw them.
        invoked: When it was invoked.
        there: What it found.
        operations: All operations as the later read sees them.
        found: What the later read found.
    """
    known_by: dict[str, int] = {}
    for o in operations:
        if o.standing == "ok" or o.standing in MAYBE:
            known_by[o.write] = min(o.ret, o.seen, known_by.get(o.write, INFINITY))
    first = kept_both([_known(o) if known_by.get(o.write, INFINITY) <= invoked else o for o in before])
    # A version that was replaced is never there again: one that came since had not taken effect before.
    came = found - there
    if not came.isdisjoint(first.acknowledged):
        return False
    latest = min((known_by.get(write, INFINITY) for write in came), default=INFINITY)
    came |= {o.write for o in operations if o.inv > latest}  # these came later still
    later = kept_both([_known(o) if o.write in there else o for o in operations])
    return first.without(came).permits(there) and later.permits(found)


def _known(operation: Logical) -> Logical:
    """The same, and it took effect."""
    return Logical(operation.write, operation.delete, operation.base, operation.inv, operation.ret, "ok")


def kept_both(operations: Sequence[Logical], *, seen: bool = True) -> KeptBoth:
    """Apply the rule to one record.

    Args:
        operations: All its creates, updates and deletes, in any order.
        seen: False judges as if no read had shown anything.
    """
    members, broken = acknowledged(operations, True, seen)
    versions = {write: _Version(member.delete, member.base, sure=True) for write, member in members.items()}
    for operation in operations:
        if operation.standing in MAYBE and operation.write not in versions:
            versions[operation.write] = _Version(operation.delete, operation.base, sure=False)
    return _rule_of(versions, frozenset(members), frozenset(broken))


def _rule_of(versions: Mapping[str, _Version], members: frozenset[str], broken: frozenset[str]) -> KeptBoth:
    followers: dict[str, list[str]] = {}
    for write, version in versions.items():
        if version.base is not None:
            followers.setdefault(version.base, []).append(write)
    late = frozenset(write for write, version in versions.items() if not version.sure)
    return KeptBoth(
        broken=broken,
        acknowledged=members,
        late=late,
        deletes=frozenset(write for write, version in versions.items() if version.delete),
        _versions=versions,
        _followers=followers,
    )

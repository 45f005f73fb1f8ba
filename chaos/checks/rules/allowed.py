"""Which final states of one record are allowed: a pure function of its logical operations.

The model is a register with conditional writes. Its value is absence or a write id. Every acknowledged write
took effect once between its invocation and its return; one whose outcome is unknown took effect at some time
after its invocation, perhaps late, or never. A conditional write takes effect only on the very version it names,
and never on a deleted record.

*Acknowledged* (A) are the operations with an `ok`, those that a read has shown, and the bases of all these. A
conditional write must directly follow its base, so A falls into *chains* that cannot be interleaved, each begun
by an unconditional write. A chain must come before another one when one of its members returned before a member
of the other was invoked: only its earliest return and the other's latest invocation matter. Hence the rule:

1. Two members of A on one base, or one on a delete: no order explains it, `lost-update`.
2. Two chains that must each come before the other: `lost-update`.
3. The tail of a chain may be last if the chain need not come before any other. An operation outside A may be
   last if it is unconditional, or if its base may be. One that definitely failed may not.
4. The record may be absent if A never made it, or if a delete may be last.
5. Order never passes through an operation outside A. Where keys are not kept and a stale retry brought an old
   version back, an acknowledged write on top of that is a second one on the same base: `lost-update`.

Under `last-writer-wins` no write is conditional. The rule is linear in the operations, but for a sort of the
chains; `tests/unit/checks` holds it against every linearization.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from chaos.errors import MalformedHistory
from chaos.history.model import INFINITY

Standing = Literal["ok", "degraded", "info", "fail", "unsent"]


class Logical:
    """One logical operation as it stands at some instant.

    Attributes:
        write: Its write id; under `idempotency: none` several operations may carry one.
        delete: Whether it removes the record.
        base: The write id that it is conditional on, or None.
        inv: When the user acted.
        ret: When it was first acknowledged, else INFINITY.
        standing: ok, degraded (acknowledged with a warning), info (unknown), fail, or unsent (never attempted).
        seen: When a read that showed its effect, or may have, returned, else INFINITY.
    """

    __slots__ = ("base", "delete", "inv", "ret", "seen", "standing", "write")

    def __init__(
        self,
        write: str,
        delete: bool,
        base: str | None,
        inv: int,
        ret: int,
        standing: Standing,
        seen: int = INFINITY,
    ) -> None:
        self.write = write
        self.delete = delete
        self.base = base
        self.inv = inv
        self.ret = ret
        self.standing = standing
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a read after the given operations may find.

    Attributes:
        writes: Versions that may be there.
        absence: Whether nothing may be there.
        broken: Anomalies that the operations show by themselves, whatever is found.
        acknowledged: The write ids of A.
        late: Those of `writes`, and of deletes, that may be last only as an operation outside A.
        made: Whether A made it.
        deletes: Deletes that may be last, for which nothing may be there.
        unknown_deletes: Deletes outside A of which one took effect if nothing is there; empty if none need have.
    """

    writes: frozenset[str]
    absence: bool
    broken: frozenset[str] = frozenset()
    acknowledged: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    made: bool = True
    deletes: frozenset[str] = frozenset()
    unknown_deletes: frozenset[str] = frozenset()

    def permits(self, states: frozenset[str]) -> bool:
        """Whether exactly these versions may be there."""
        return self.absence if not states else len(states) == 1 and states <= self.writes

    def ways_to(self, states: frozenset[str]) -> Sequence[frozenset[str]]:
        """What else must have taken effect if exactly these versions are there: one of these sets of deletes."""
        if states or not self.unknown_deletes:
            return (frozenset(),)
        return [frozenset((write,)) for write in self.unknown_deletes]


NOTHING: Final = Allowed(frozenset(), absence=True, made=False)
MAYBE: Final = frozenset({"info", "degraded"})


@dataclass(slots=True)
class Member:
    """A write id of A: earliest invocation, earliest return of whatever carries it."""

    write: str
    delete: bool
    base: str | None
    inv: int
    ret: int


@dataclass(slots=True)
class _Chain:
    """Members linked by base, from an unconditional one to `tail`."""

    tail: Member
    latest_inv: int
    earliest_ret: int


def allowed(operations: Sequence[Logical], *, conditional: bool = True, seen: bool = True) -> Allowed:
    """Apply the rule to one record.

    Args:
        operations: All its creates, updates and deletes, in any order.
        conditional: False under `last-writer-wins`: bases are only what the device knew.
        seen: False judges as if no read had shown anything.

    Raises:
        MalformedHistory: A write was based on one that was invoked after it returned, or on its own successor.
    """
    if not operations:
        return NOTHING
    if len(operations) == 1 or conditional:
        simple = _one_chain(operations, conditional)
        if simple is not None:
            return simple
    members, broken = acknowledged(operations, conditional, seen)
    chains, unordered = _chains(members)
    broken |= unordered
    if broken:
        attempted = frozenset(o.write for o in operations if not o.delete and o.standing != "unsent")
        return Allowed(attempted, absence=True, broken=frozenset(broken), acknowledged=frozenset(members))
    tails = _tails(chains)
    outside = _outside(operations, members, conditional)
    last_inv = max((chain.latest_inv for chain in chains), default=-1)
    deletes = {o.write for o in operations if o.delete}
    late = _late(outside, tails, deletes, last_inv)
    final = tails | late
    last_deletes = deletes & final
    made = any(not member.delete for member in members.values())
    return Allowed(
        writes=frozenset(final - deletes),
        absence=bool(last_deletes) or not made,
        acknowledged=frozenset(members),
        late=frozenset(late - tails),
        made=made,
        deletes=frozenset(last_deletes),
        unknown_deletes=frozenset(last_deletes if made and last_deletes.isdisjoint(members) else ()),
    )


def _one_chain(operations: Sequence[Logical], conditional: bool) -> Allowed | None:
    """The answer for the usual record, one chain of acknowledged writes; None for any other record.

    All that did not fail is acknowledged, each based on the one before.
    """
    before: str | None = None
    least_inv = -1
    listed = [o for o in operations if o.standing != "fail" and o.standing != "unsent"]
    for operation in listed:
        if (
            operation.standing != "ok"
            or (operation.base if conditional else None) != before
            or operation.inv < least_inv
        ):
            return None
        before, least_inv = operation.write, operation.inv
        if operation.delete and operation is not listed[-1]:
            return None
    if before is None:
        return None
    acknowledged = frozenset([o.write for o in listed])
    if listed[-1].delete:
        return Allowed(frozenset(), absence=True, acknowledged=acknowledged, deletes=frozenset((before,)))
    return Allowed(frozenset((before,)), absence=False, acknowledged=acknowledged)


def acknowledged(operations: Sequence[Logical], conditional: bool, seen: bool) -> tuple[dict[str, Member], set[str]]:
    """A by write id, and what its bases show to be broken."""
    by_write: dict[str, list[Logical]] = {}
    for operation in operations:
        by_write.setdefault(operation.write, []).append(operation)
    members: dict[str, Member] = {}
    broken: set[str] = set()
    wanted = [o.write for o in operations if o.standing == "ok" or (seen and o.standing in MAYBE and o.seen < INFINITY)]
    while wanted:
        write = wanted.pop()
        if write in members:
            continue
        carriers = by_write.get(write, [])
        possible = [o for o in carriers if o.standing == "ok" or o.standing in MAYBE]
        if not possible:
            failed = any(o.standing == "fail" for o in carriers)
            broken.add("aborted-visible" if failed else "phantom")
            continue
        first = possible[0]
        members[write] = member = Member(
            write,
            first.delete,
            first.base if conditional else None,
            inv=min(o.inv for o in possible),
            ret=min(min(o.ret, o.seen if seen else INFINITY) for o in possible),
        )
        if member.base is not None:
            wanted.append(member.base)
    return members, broken


def _chains(members: Mapping[str, Member]) -> tuple[list[_Chain], set[str]]:
    """The chains of A; `lost-update` where A cannot be ordered at all."""
    successor: dict[str, Member] = {}
    starts: list[Member] = []
    for member in members.values():
        if member.base is None or member.base not in members:
            starts.append(member)
        elif members[member.base].delete or member.base in successor:
            return [], {"lost-update"}
        else:
            successor[member.base] = member
    chains: list[_Chain] = []
    reached = 0
    for start in starts:
        chain = _Chain(start, start.inv, start.ret)
        reached += 1
        while (follower := successor.get(chain.tail.write)) is not None:
            reached += 1
            # What follows may not have returned before this one was invoked; nor may what follows that.
            if follower.ret < chain.latest_inv:
                raise MalformedHistory(
                    f"write {follower.write} returned before a write that it builds on was invoked; "
                    "the history is not one that Holdfast recorded, run the trial again"
                )
            chain.tail = follower
            chain.latest_inv = max(chain.latest_inv, follower.inv)
            chain.earliest_ret = min(chain.earliest_ret, follower.ret)
        chains.append(chain)
    if reached != len(members):
        raise MalformedHistory("writes are based on each other in a circle; run the trial again")
    return chains, {"lost-update"} if _entangled(chains) else set()


def _entangled(chains: Sequence[_Chain]) -> bool:
    """Whether two chains must each come before the other.

    A chain whose earliest return precedes its latest invocation fills the time between: nothing fits in there.
    Two chains conflict when both fill and overlap, or when one fills and the other must happen within.
    """
    filled = sorted((c.earliest_ret, c.latest_inv) for c in chains if c.earliest_ret < c.latest_inv)
    if not filled:
        return False
    if any(begin < ended for (_, ended), (begin, _) in pairwise(filled)):
        return True
    begins = [begin for begin, _ in filled]
    for chain in chains:
        if chain.earliest_ret >= chain.latest_inv:
            at = bisect_left(begins, chain.latest_inv) - 1
            if at >= 0 and chain.earliest_ret < filled[at][1]:
                return True
    return False


def _tails(chains: Sequence[_Chain]) -> set[str]:
    """Tails of the chains that need not come before any other chain."""
    if len(chains) == 1:
        return {chains[0].tail.write}
    invocations = sorted(chain.latest_inv for chain in chains)
    tails: set[str] = set()
    for chain in chains:
        latest_other = invocations[-2] if chain.latest_inv == invocations[-1] else invocations[-1]
        if chain.earliest_ret >= latest_other:
            tails.add(chain.tail.write)
    return tails


def _outside(
    operations: Iterable[Logical], members: Mapping[str, Member], conditional: bool
) -> dict[str, list[tuple[str | None, int]]]:
    """(base, latest time of effect) of operations outside A that may have taken effect, by write id.

    A write id of A uses up one of its operations, the one that is known first: a read may have shown its effect before
    another one was answered. Where every attempt is an operation of its own, its others may take effect too.
    """
    outside: dict[str, list[tuple[str | None, int]]] = {}
    for operation in beside(operations, members):
        base = operation.base if conditional else None
        outside.setdefault(operation.write, []).append((base, operation.ret))
    return outside


def beside(operations: Iterable[Logical], members: Container[str]) -> list[Logical]:
    """Which other operations may have taken effect."""
    used: dict[str, Logical] = {}
    listed = [o for o in operations if o.standing == "ok" or o.standing in MAYBE]
    for operation in listed:
        if operation.write in members:
            before = used.get(operation.write)
            if before is None or _known(operation) < _known(before):
                used[operation.write] = operation
    return [operation for operation in listed if used.get(operation.write) is not operation]


def _known(operation: Logical) -> tuple[int, int]:
    """When it is known to have taken effect; of several that one read may have shown, the answered one is."""
    return min(operation.ret, operation.seen), operation.ret


def _late(
    outside: Mapping[str, Sequence[tuple[str | None, int]]],
    tails: set[str],
    deletes: set[str],
    last_inv: int,
) -> set[str]:
    """Write ids that may be last by an operation outside A: breadth first from what may be last before it."""
    on_base: dict[str, list[str]] = {}
    ready: list[str] = []
    for write, carriers in outside.items():
        for base, ret in carriers:
            if ret < last_inv:
                continue
            if base is None:
                ready.append(write)
            else:
                on_base.setdefault(base, []).append(write)
    ready.extend(write for tail in tails for write in on_base.pop(tail, ()) if tail not in deletes)
    late: set[str] = set()
    while ready:
        write = ready.pop()
        if write not in late:
            late.add(write)
            if write not in deletes:
                ready.extend(on_base.pop(write, ()))
    return late

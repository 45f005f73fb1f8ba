"""How a later read may differ from an earlier one of the same record.

All that the earlier read showed had taken effect by then. Every operation that became known since took effect before
that read as well, or between the two, or a late request of it did.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import compress, product
from typing import Final

from chaos.checks.rules.allowed import Allowed, Logical, acknowledged, allowed, beside

EITHER_MAX: Final = 6
"""Of more groups of operations than this the rest is taken to have come after a read."""


def allowed_after(
    first: Allowed,
    last: Logical | None,
    read: tuple[int, int],
    operations: Sequence[Logical],
    *,
    conditional: bool = True,
) -> Iterator[Allowed]:
    """What a later read may find after an earlier one found the state that `last` left: what any of these rules allows.

    Args:
        first: What that read might have found.
        last: The operation, None where nothing was made yet.
        read: When the read was invoked, and when it returned.
        operations: All operations of the record as the later read sees them.
        conditional: As for `allowed`.
    """
    found = Logical("", True, None, 0, read[1], "ok") if last is None else last
    spent = _late_path(first, found.write, operations, conditional)
    before, either = _come_to_be_known(first.acknowledged | spent, found.write, read[0], operations, conditional)
    for chosen in product((True, False), repeat=min(len(either), EITHER_MAX)):
        early = before.union(*compress(either, chosen))
        way = spent
        if early:
            then = _just_before(first.acknowledged | early, spent, operations, conditional)
            if not _left(then, last) or any(o.inv > read[1] for o in operations if o.write in early):
                continue
            way = _late_path(then, found.write, operations, conditional)
        since = frozenset().union(*either) - early
        yield allowed(_rest(found, read, first.acknowledged | early, way, since, operations), conditional=conditional)


def _rest(
    found: Logical,
    read: tuple[int, int],
    before: Container[str],
    spent: Iterable[str],
    since: Container[str],
    operations: Iterable[Logical],
) -> list[Logical]:
    """What a read found, and what took effect since, or may have, beside what came before it."""
    invoked, t = read
    rest = [Logical(found.write, found.delete, None, 0, t, "ok")]
    spent = set(spent)
    last_inv = max((o.inv for o in operations if o.write in before), default=-1)
    for operation in sorted(beside(operations, before), key=lambda o: o.ret):
        if operation.write in spent and operation.ret >= last_inv:
            spent.remove(operation.write)  # of several one took effect by then; the others may for longer
        elif operation.inv > t or operation.write in since:
            rest.append(operation)
        elif operation.ret > invoked:
            rest.append(_unknown(operation))  # it may have taken effect before the read, too
    return rest


def _unknown(operation: Logical) -> Logical:
    """The same operation with an unknown outcome."""
    return Logical(operation.write, operation.delete, operation.base, operation.inv, operation.ret, "info")


def _come_to_be_known(
    known: Container[str], found: str, invoked: int, operations: Sequence[Logical], conditional: bool
) -> tuple[frozenset[str], list[frozenset[str]]]:
    """What is known by now, and was not when a read began, with what it was based on: what came before the read.

    Returns:
        What was shown before the read; and groups that replaced a version of before the read other than the one found.
        Each of these came before the read, too, or a late request of that version has brought it back since.
    """
    members, _ = acknowledged(operations, conditional, True)
    before: set[str] = set()
    groups: dict[str, set[str]] = {}
    for member in members.values():
        path = [member.write]
        while path[-1] not in known and (base := members[path[-1]].base) in members and base not in path:
            path.append(base)
        new = [write for write in path if write not in known]
        if member.ret <= invoked:
            before.update(new)
        elif new and path[-1] in known and path[-1] != found:
            groups.setdefault(path[-1], set()).update(new)
    return frozenset(before), [frozenset(group) for group in groups.values() if group.isdisjoint(before)]


def _just_before(
    known: Container[str], spent: Container[str], operations: Sequence[Logical], conditional: bool
) -> Allowed:
    """What a read might have found with all that came before it, and with what it found where that came late."""
    past = [o for o in operations if o.write in known]
    past += [_unknown(o) for o in operations if o.write in spent and o.write not in known]
    return allowed(past, conditional=conditional)


def _left(rule: Allowed, last: Logical | None) -> bool:
    """Whether an operation may have been the last one; None: whether nothing was made yet."""
    if rule.broken or last is None:
        return not rule.broken and not rule.made
    return last.write in (rule.deletes if last.delete else rule.writes)


def _late_path(rule: Allowed, write: str | None, operations: Iterable[Logical], conditional: bool) -> set[str]:
    """The operations outside A that must have taken effect one on the other until this one was last."""
    bases = {o.write: o.base for o in operations} if conditional else {}
    path: set[str] = set()
    while write is not None and write in rule.late and write not in path:
        path.add(write)
        write = bases.get(write)
    return path

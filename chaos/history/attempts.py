"""Operations in columns: each act of a user with what became of its attempts, checked for contradictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chaos.history.columns import IrregularError, Table
from chaos.history.layout import hash_of
from chaos.history.model import INFINITY

NEVER: Final = np.int64(INFINITY - 1)
"""INFINITY of the columns: no time of a history reaches it."""

KINDS: Final = ("create", "update", "delete", "read", "list", "sync", "reset")
CREATE, UPDATE, DELETE, READ, LIST, SYNC, RESET = range(7)
OUTCOMES: Final = ("ok", "degraded", "info", "fail")
OK, DEGRADED, INFO, FAIL = range(4)
_EMPTY: Final = np.uint64(hash_of(""))


@dataclass(slots=True)
class Operations:
    """Acts ordered by number; attempts ordered by operation and number.

    Attributes:
        acts: The columns of the acts, with `kind` as a number.
        first, count: Where each one's attempts begin, and how many there are.
        of, sent, back, outcome, session, lines: Per attempt: its operation, times, how it ended and for which session;
            `lines` are those of its send and its back (-1: none).
    """

    acts: Table
    first: Any
    count: Any
    of: Any
    sent: Any
    back: Any
    outcome: Any
    session: Any
    send_line: Any
    back_line: Any
    flags: Any

    def least(self, values: Any) -> Any:
        """The least of each operation's values, NEVER where it has no attempt."""
        found = np.full(len(self.first), NEVER)
        some = np.flatnonzero(self.count)
        if len(some):
            found[some] = np.minimum.reduceat(values, self.first[some])
        return found

    def most(self, values: Any) -> Any:
        """The greatest of each operation's values, -1 where it has no attempt."""
        found = np.full(len(self.first), -1)
        some = np.flatnonzero(self.count)
        if len(some):
            found[some] = np.maximum.reduceat(values, self.first[some])
        return found

    def counted(self, mask: Any) -> Any:
        """How many of each operation's attempts are so."""
        return np.bincount(self.of[mask], minlength=len(self.first))


def operations_of(acts: Table, sends: Table, backs: Table) -> Operations:
    """Put acts, sends and backs together.

    Raises:
        IrregularError: They contradict each other.
    """
    order = np.argsort(acts["op"], kind="stable")
    acts = {name: column[order] for name, column in acts.items()}
    numbers = acts["op"]
    _demand(np.all(numbers[1:] != numbers[:-1]), "an operation acts twice")
    acts["kind"] = _coded(acts["kind"], KINDS)
    of = _found(numbers, sends["op"])
    order = np.lexsort((sends["n"], of))
    of, sends = of[order], {name: column[order] for name, column in sends.items()}
    count = np.bincount(of, minlength=len(numbers))
    first = np.concatenate((np.zeros(1, np.int64), np.cumsum(count)[:-1])) if len(numbers) else count
    place = np.arange(len(of)) - first[of]
    _demand(np.all(sends["n"] == place + 1), "attempts are not numbered from 1")
    _demand(np.all(sends["line"] > acts["line"][of]) and np.all(sends["t"] >= acts["t"][of]), "sent before it acted")
    same = of[1:] == of[:-1]
    _demand(np.all(~same | (sends["line"][1:] > sends["line"][:-1])), "attempts out of order")
    _demand(np.all(~same | (sends["t"][1:] >= sends["t"][:-1])), "attempts out of order")
    back_of = _found(numbers, backs["op"])
    _demand(np.all((backs["n"] >= 1) & (backs["n"] <= count[back_of])), "came back and was never sent")
    at = first[back_of] + backs["n"] - 1
    _demand(np.bincount(at, minlength=1).max(initial=0) <= 1, "came back twice")
    _demand(np.all(backs["t"] >= sends["t"][at]), "came back before it was sent")
    _demand(np.all(backs["line"] > sends["line"][at]), "came back before it was sent")
    back = np.full(len(of), NEVER)
    back[at] = backs["t"]
    outcome = np.full(len(of), INFO)
    outcome[at] = _coded(backs["outcome"], OUTCOMES)
    back_line = np.full(len(of), -1)
    back_line[at] = backs["line"]
    flags = np.zeros(len(of), np.int64)
    flags[at] = backs["flags"]
    session = np.where((sends["session"] != 0) & (sends["session"] != _EMPTY), sends["session"], acts["session"][of])
    changes = acts["kind"] <= DELETE
    for name in ("record", "write", "key", "owner"):
        _demand(np.all((acts[name][changes] != 0) & (acts[name][changes] != _EMPTY)), f"no {name}")
    _demand(np.all(acts["base"][changes] != acts["write"][changes]), "based on itself")
    return Operations(acts, first, count, of, sends["t"], back, outcome, session, sends["line"], back_line, flags)


def _demand(holds: Any, what: str) -> None:
    if not holds:
        raise IrregularError(what)


def _found(sorted_numbers: Any, wanted: Any) -> Any:
    """Places of numbers that must all be there."""
    if not len(wanted):
        return np.zeros(0, np.int64)
    _demand(len(sorted_numbers) > 0, "an operation that never acted")
    places = np.minimum(np.searchsorted(sorted_numbers, wanted), len(sorted_numbers) - 1)
    _demand(np.all(sorted_numbers[places] == wanted), "an operation that never acted")
    return places


def _coded(hashes: Any, names: tuple[str, ...]) -> Any:
    """Hashes of one of a few texts as its number."""
    codes = np.full(len(hashes), -1, np.int64)
    for number, name in enumerate(names):
        codes[hashes == np.uint64(hash_of(name))] = number
    _demand(np.all(codes >= 0), "a word that is not known")
    return codes

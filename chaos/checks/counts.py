"""The counts of records that columns have dismissed: what the exact rule would have counted, had it seen them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from chaos.checks.beside import Beside
from chaos.checks.bite import QUIET_NS_MAX
from chaos.checks.mix import PHOTO_BYTES_MAX, PHOTO_BYTES_MIN
from chaos.checks.plain import Records
from chaos.history.attempts import CREATE, DELETE, NEVER, OK, UPDATE
from chaos.history.layout import hash_of, paired

_PHOTO: Final = np.uint64(hash_of("photo"))


def counted(records: Records, names: Callable[[int], tuple[str, str]]) -> Beside:
    """The counts of the records that are not doubtful.

    Args:
        records: The records.
        names: The owner and the device of the act in a line.
    """
    plain = ~records.doubtful[records.of]
    found = Beside()
    ok, tried = records.ok & plain, (records.tries > 0) & plain
    if records.rules.keyed:
        found.operations["ok"] = int(ok.sum())
        found.operations["fail"] = int((plain & ~records.ok).sum())
    else:
        found.operations["ok"] = int(records.oks[plain].sum())
        found.operations["fail"] = int(records.fails[plain].sum() + (plain & (records.tries == 0)).sum())
    acknowledged = np.zeros(records.size, np.bool_)
    acknowledged[records.of[ok]] = True
    places = np.flatnonzero(plain)
    pairs = paired(records.column("owner")[places], records.column("device")[places])
    _, first = np.unique(pairs, return_index=True)
    owners: dict[int, str] = {}
    for place in places[first].tolist():
        owner, device = names(int(records.column("line")[place]))
        owners[int(records.column("owner")[place])] = owner
        found.devices.setdefault(owner, set()).add(device)
    hashes, count = np.unique(records.owner[acknowledged & ~records.doubtful], return_counts=True)
    found.acknowledged.update({owners[name]: n for name, n in zip(hashes.tolist(), count.tolist(), strict=True)})
    must = acknowledged & ~records.deleted
    found.must = int(must.sum())
    if records.size:
        since = np.minimum.reduceat(records.ret, records.begin)
        found.must_before = int((must & (since <= records.rules.first_struck)).sum())
    found.reported["policy-overwritten"] = 0 if records.rules.conditional else _overwritten(records, ok)
    _mix(records, tried, found.mixed)
    _busy(records, plain, found.busy)
    return found


def _overwritten(records: Records, ok: Any) -> int:
    base = records.column("base")
    some = ok & (base != 0)
    pairs = paired(records.name_of_op[some], base[some])
    return int(len(pairs) - len(np.unique(pairs)))


def _mix(records: Records, tried: Any, mixed: Counter[str]) -> None:
    kind = records.column("kind")
    for name, code in (("create", CREATE), ("update", UPDATE), ("delete", DELETE)):
        mixed[name] = int((tried & (kind == code)).sum())
    size = records.column("size_bytes")
    photo = (records.column("type") == _PHOTO) & (size >= PHOTO_BYTES_MIN) & (size <= PHOTO_BYTES_MAX)
    mixed["photo"] = int((tried & (kind == CREATE) & photo).sum())
    mixed["contended"] = int(_contended(records, np.flatnonzero(tried & (kind != CREATE))).sum())


def _contended(records: Records, some: Any) -> Any:
    """Which of these updates raced with another device: on one base, or at one time."""
    record, device = records.of[some], records.column("device")[some]
    base, t = records.column("base")[some], records.column("t")[some]
    until = records.given_up[some]
    update = records.column("kind")[some] == UPDATE
    raced = np.zeros(len(some), np.bool_)
    if not len(some):
        return raced
    # On one base: where a record and base have more than one device.
    order = np.lexsort((device, base, record))
    same = (record[order][1:] == record[order][:-1]) & (base[order][1:] == base[order][:-1]) & (base[order][1:] != 0)
    begin = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), ~same)))
    differs = np.concatenate(([False], same & (device[order][1:] != device[order][:-1])))
    several = np.add.reduceat(differs, begin, dtype=np.int64) > 0
    raced[order] = np.repeat(several, np.diff(np.concatenate((begin, [len(some)]))))
    # At one time: with the next operation of another device, or with the longest one before.
    change = np.concatenate(((record[1:] != record[:-1]) | (device[1:] != device[:-1]), [True]))
    upcoming = np.flatnonzero(change)[np.searchsorted(np.flatnonzero(change), np.arange(len(some)))] + 1
    there = upcoming < len(some)
    upcoming = np.minimum(upcoming, len(some) - 1)
    raced |= there & (record[upcoming] == record) & (t[upcoming] <= until)
    first = np.concatenate((np.ones(1, np.bool_), record[1:] != record[:-1]))
    begin = np.flatnonzero(first)[np.cumsum(first) - 1]
    for place in np.flatnonzero(~raced & update & _overlapped(t, until, first)).tolist():
        before = slice(int(begin[place]), place)
        raced[place] = bool(np.any((device[before] != device[place]) & (until[before] >= t[place])))
    return raced & update


def _overlapped(t: Any, until: Any, first: Any) -> Any:
    """Whether anything earlier of the same record was still under way; it may be of the same device."""
    group = np.cumsum(first)
    order = np.argsort(until, kind="stable")
    rank = np.empty(len(until), np.int64)
    rank[order] = np.arange(len(until))
    running = np.maximum.accumulate(rank + group * (len(until) + 1)) - group * (len(until) + 1)
    longest = until[order[running]]
    return ~first & (np.concatenate(([0], longest[:-1])) >= t)


def _busy(records: Records, plain: Any, busy: set[int]) -> None:
    operations = records.operations
    chosen = np.zeros(len(operations.first), np.bool_)
    chosen[records.op[plain]] = True
    some = chosen[operations.of]
    sent, back, ok = operations.sent[some], operations.back[some], operations.outcome[some] == OK
    until = np.where(back < NEVER, back, sent + QUIET_NS_MAX)
    for index, t in records.rules.struck:
        under_way = (sent <= t) & (t < until)
        just_done = ok & (t - QUIET_NS_MAX <= back) & (back <= t)
        if np.any(under_way | just_done):
            busy.add(index)

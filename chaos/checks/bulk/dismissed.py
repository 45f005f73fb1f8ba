"""The counts of records that columns have dismissed: what the exact rule would have counted, had it seen them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from chaos.checks.bulk.columns.attempts import CREATE, DELETE, FAIL, NEVER, OK, UPDATE
from chaos.checks.bulk.columns.compiled import compiled
from chaos.checks.bulk.columns.hashes import hash_of, numbered, paired
from chaos.checks.bulk.columns.tables import entries
from chaos.checks.bulk.records import Records, in_groups
from chaos.checks.conditions.traffic import NEVER as NO_ANSWER
from chaos.checks.conditions.traffic import Traffic
from chaos.checks.counts import Counts
from chaos.experiment.mix import PHOTO_BYTES_MAX, PHOTO_BYTES_MIN

_PHOTO: Final = np.uint64(hash_of("photo"))


def counted(records: Records, names: Callable[[int], tuple[str, str]]) -> Counts:
    """The counts of the records that are not doubtful.

    Args:
        records: The records.
        names: The owner and the device of the act in a line.
    """
    plain = ~records.doubtful[records.of]
    found = Counts()
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
    _, first = numbered(paired(records.acts["owner"][places], records.acts["device"][places]))
    owners: dict[int, str] = {}
    for act in entries(records.acts, places[first]):
        owner, device = names(int(act["line"]))
        owners[int(act["owner"])] = owner
        found.devices.setdefault(owner, set()).add(device)
    hashes, count = np.unique(records.owner[acknowledged & ~records.doubtful], return_counts=True)
    found.acknowledged.update({owners[name]: n for name, n in zip(hashes.tolist(), count.tolist(), strict=True)})
    must = acknowledged & ~records.deleted
    found.must = int(must.sum())
    if records.size:
        found.must_before = int((must & (records.acknowledged <= records.rules.first_struck)).sum())
    found.reported["policy-overwritten"] = 0 if records.rules.conditional else _overwritten(records, ok)
    _mix(records, tried, found.mixed)
    found.traffic = _traffic(records, plain)
    return found


def _overwritten(records: Records, ok: Any) -> int:
    some = ok & (records.acts["base"] != 0)
    _, first = numbered(paired(records.names[records.of[some]], records.acts["base"][some]))
    return int(some.sum()) - len(first)


def _mix(records: Records, tried: Any, mixed: Counter[str]) -> None:
    kind, acts = records.kind, records.acts
    for name, code in (("create", CREATE), ("update", UPDATE), ("delete", DELETE)):
        mixed[name] = int((tried & (kind == code)).sum())
    size = acts["size_bytes"]
    photo = (acts["type"] == _PHOTO) & (size >= PHOTO_BYTES_MIN) & (size <= PHOTO_BYTES_MAX)
    mixed["photo"] = int((tried & (kind == CREATE) & photo).sum())
    some = np.flatnonzero(tried & (kind != CREATE))
    if len(some):
        some = some[in_groups(records.of[some], records.size, some, some)[0]]
        record, base = records.of[some], acts["base"][some]
        on_one_base, _ = numbered(paired(records.names[record], base))
        raced = _contended(record, on_one_base, base, acts["device"][some], acts["t"][some], records.given_up[some])
        mixed["contended"] = int((raced & (kind[some] == UPDATE)).sum())


@compiled
def _contended(record: Any, on_one_base: Any, base: Any, device: Any, t: Any, until: Any) -> Any:
    """Which of these updates and deletes raced with another device: on one base, or at one time."""
    size = len(record)
    one_device, several = np.zeros(size, np.uint64), np.zeros(size, np.bool_)
    met = np.zeros(size, np.bool_)
    raced = np.zeros(size, np.bool_)
    # Of those before: the longest under way, and the longest of another device than that one's.
    longest, of, other = np.int64(-1), np.uint64(0), np.int64(-1)
    for i in range(size):
        group = on_one_base[i]
        several[group] |= met[group] and one_device[group] != device[i]
        met[group], one_device[group] = True, device[i]
        if i == 0 or record[i] != record[i - 1]:
            longest, of, other = np.int64(-1), device[i], np.int64(-1)
        raced[i] = (longest if of != device[i] else other) >= t[i]
        if device[i] == of:
            longest = max(longest, until[i])
        elif until[i] > longest:
            longest, of, other = until[i], device[i], longest
        else:
            other = max(other, until[i])
    # Of those behind: the first of another device.
    upcoming = size
    for i in range(size - 1, -1, -1):
        if i + 1 < size and device[i + 1] != device[i]:
            upcoming = i + 1
        if upcoming < size and record[upcoming] == record[i] and t[upcoming] <= until[i]:
            raced[i] = True
        raced[i] |= base[i] != np.uint64(0) and several[on_one_base[i]]
    return raced


def _traffic(records: Records, plain: Any) -> dict[int, Traffic]:
    operations = records.operations
    chosen = np.zeros(len(operations.first), np.bool_)
    chosen[records.op[plain]] = True
    some = chosen[operations.of]
    sent, back, outcome = operations.sent[some], operations.back[some], operations.outcome[some]
    found = {}
    for index, t in records.rules.struck:
        before = sent <= t
        acknowledged = (outcome == OK) & (back <= t)
        under_way = before & (outcome != FAIL) & (t < back)  # all are over: the unknown needs a closer look
        found[index] = Traffic(
            begun=int(sent[before].min(initial=NEVER)),
            acknowledged=int(back[acknowledged].max(initial=NO_ANSWER)),
            under_way=int(sent[under_way].min(initial=NEVER)),
        )
    return found

"""Histories of any length for measurements: a calm service, with the trouble of a fault in the middle.

Users act on two phones each; seven in ten of their operations change a record, the others are syncs that bring what
the other phone did. One operation in a hundred meets the fault: its answer is lost and it is asked again, or it stays
unknown. Final reads are as in a trial: five doors of each user, two rounds each.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

USERS_PER_MILLION = 400
CHANGES_PER_RECORD = 4
_STEP = 10_000


def write_history(path: Path, operations: int, seed: int = 1) -> int:
    """Write a history of so many operations, and have it on disk; returns the number of its records."""
    lines = 0
    with path.open("wb", buffering=1 << 22) as file:
        maker = _Maker(operations, seed)
        for part in maker.lines():
            file.write(part)
            lines += part.count(b"\n")
        file.write(b'{"event":"end","t":%d,"events":%d}\n' % (maker.now, lines))
        file.flush()
        os.fsync(file.fileno())  # or the kernel writes it while the check is measured
    return maker.records


class _Maker:
    def __init__(self, operations: int, seed: int) -> None:
        self.operations = operations
        self.random = random.Random(seed)
        self.users = max(2, operations * USERS_PER_MILLION // 1_000_000)
        self.now = 10**12
        self.op = 3
        self.records = 0
        self.versions: list[dict[int, int]] = [{} for _ in range(self.users)]
        self.news: list[tuple[set[int], set[int]]] = [(set(), set()) for _ in range(self.users)]

    def lines(self) -> Iterator[bytes]:
        yield (
            b'{"event":"header","experiment":"bench","seed":1,"policy":"reject","idempotency":"keyed",'
            b'"require_mix":false,"canaries":{"A":"canary-a","B":"canary-b"},"faults":["disk.power_cut"]}\n'
        )
        yield from _canaries(self.now)
        yield b'{"event":"phase","name":"load","t":%d,"happened":"begun"}\n' % self.now
        half = self.operations // 2
        while self.op < self.operations:
            part = []
            for _ in range(min(2000, self.operations - self.op)):
                self.op += 1
                self.now += _STEP
                part.append(self._operation())
                if self.op == half:
                    part.append(_fault(self.now, "injected"))
            yield b"".join(part)
        self.now += 10**9
        yield _fault(self.now, "healed")
        yield b'{"event":"phase","name":"load","t":%d,"happened":"ended"}\n' % self.now
        for step, name in ((1, b"fresh"), (2, b"cache d-%05d-0"), (2, b"cache d-%05d-1"), (4, b"reset d-%05d-0"),
                           (4, b"reset d-%05d-1")):  # fmt: skip
            for user in range(self.users):
                yield self._door(step, name % user if b"%" in name else name, user)
            yield _canary_door(step, name.decode()[:5], self.now)

    def _operation(self) -> bytes:
        draw = self.random.random
        user, device = int(draw() * self.users), int(draw() * 2)
        known = self.versions[user]
        if draw() < 0.3:
            return self._sync(user, device)
        op, t = self.op, self.now
        change = known and draw() > 1 / CHANGES_PER_RECORD
        if change:
            # The young ones are worked on, as people do.
            record = len(known) - 1 - int(draw() ** 3 * len(known))
            base = b',"base":"w-%d"' % known[record]
            kind = b"update"
        else:
            record, base, kind = len(known), b"", b"create"
            self.records += 1
        known[record] = op
        self.news[user][1 - device].add(record)
        act = (
            b'{"event":"act","op":%d,"t":%d,"session":"d-%05d-%d#1","device":"d-%05d-%d","owner":"u-%05d","kind":"%b",'
            b'"record":"ada-%d-%d","type":"contact","write":"w-%d","hash":"%016x","key":"d-%05d-%d#1/%d"%b,'
            b'"size_bytes":212}\n{"event":"send","op":%d,"n":1,"t":%d}\n'
            % (op, t, user, device, user, device, user, kind, user, record, op, _hash(op), user, device, op, base,
               op, t + 100)
        )  # fmt: skip
        n = 1
        if draw() < 0.01:
            act += b'{"event":"back","op":%d,"n":1,"t":%d,"outcome":"info","why":"no answer in 2 s"}\n' % (op, t + 4000)
            act += b'{"event":"send","op":%d,"n":2,"t":%d}\n' % (op, t + 5000)
            n = 2
        return act + b'{"event":"back","op":%d,"n":%d,"t":%d,"outcome":"ok","by":"gateway-1"}\n' % (op, n, t + 9000)

    def _sync(self, user: int, device: int) -> bytes:
        op, t = self.op, self.now
        news = self.news[user][device]
        rows = [self._row(user, record) for record in news]
        news.clear()
        shown = b',"rows":[' + b",".join(rows) + b"]" if rows else b""
        return (
            b'{"event":"act","op":%d,"t":%d,"session":"d-%05d-%d#1","device":"d-%05d-%d","owner":"u-%05d","kind":"sync"}\n'
            b'{"event":"send","op":%d,"n":1,"t":%d}\n{"event":"back","op":%d,"n":1,"t":%d,"outcome":"ok"%b}\n'
            % (op, t, user, device, user, device, user, op, t + 100, op, t + 9000, shown)
        )

    def _row(self, user: int, record: int) -> bytes:
        write = self.versions[user][record]
        return b'{"record":"ada-%d-%d","owner":"u-%05d","write":"w-%d","hash":"%016x","row":"%d"}' % (
            user, record, user, write, _hash(write), record,
        )  # fmt: skip

    def _door(self, step: int, name: bytes, user: int) -> bytes:
        rows = b",".join(self._row(user, record) for record in self.versions[user])
        shown = b',"rows":[' + rows + b"]" if rows else b""
        found = b""
        for number in (1, 2):
            self.now += 1000
            found += b'{"event":"door","step":%d,"door":"%b","owner":"u-%05d","round":%d,"invoked":%d,"t":%d,' % (
                step, name, user, number, self.now, self.now + 500,
            )  # fmt: skip
            found += b'"outcome":"ok"%b%b}\n' % (b',"settled":true' if number == 2 else b"", shown)
        return found


def _hash(write: int) -> int:
    return write * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF


def _fault(t: int, happened: str) -> bytes:
    bit = b',"bit":true' if happened == "healed" else b""
    return b'{"event":"fault","index":0,"t":%d,"fault":"disk.power_cut","target":"core","happened":"%b"%b}\n' % (
        t, happened.encode(), bit,
    )  # fmt: skip


def _canaries(now: int) -> Iterator[bytes]:
    for op, record, write, base in ((1, "a", "a1", ""), (2, "b", "b1", ""), (3, "b", "b2", ',"base":"b1"')):
        kind = "update" if base else "create"
        yield (
            f'{{"event":"act","op":{op},"t":{now - 100 + op},"session":"d-canary#1","device":"d-canary",'
            f'"owner":"u-canary","kind":"{kind}","record":"canary-{record}","type":"todo","write":"{write}",'
            f'"hash":"{write}","key":"{write}"{base},"size_bytes":9}}\n'
            f'{{"event":"send","op":{op},"n":1,"t":{now - 50}}}\n'
            f'{{"event":"back","op":{op},"n":1,"t":{now - 40},"outcome":"ok"}}\n'
        ).encode()


def _canary_door(step: int, door: str, now: int) -> bytes:
    row = '{"record":"canary-b","owner":"u-canary","write":"b2","hash":"true","row":"1"}'
    return "".join(
        f'{{"event":"door","step":{step},"door":"{door} {now}","owner":"u-canary","round":{number},'
        f'"invoked":{now + number},"t":{now + number},"outcome":"ok"{settled},"rows":[{row}]}}\n'
        for number, settled in ((1, ""), (2, ',"settled":true'))
    ).encode()

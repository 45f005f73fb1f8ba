"""A correct sync service and its phones in virtual time: makes legal histories, with every hard case.

The service is a register per record with conditional writes and tombstones; with idempotency keys it answers a
repeated key as it did at first. It keeps photos' blobs by themselves: a blob is uploaded after its row and before the
answer, goes at once when its version is replaced, and is fetched at the end of a read. What makes it hard to judge is
between it and the phones: requests that are refused, lost, stuck and applied late, replies that are lost, warnings,
phones that give up or are reset.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from chaos.history.events import (
    CANARY_OWNER,
    Act,
    Back,
    DoorRead,
    End,
    Event,
    FaultEvent,
    Header,
    Idempotency,
    Kind,
    Outcome,
    PhaseEvent,
    Policy,
    Row,
    Send,
)

MS = 1_000_000


@dataclass(frozen=True)
class Load:
    """What a history is like; shares are probabilities."""

    seed: int
    users: int = 5
    devices: int = 2
    operations: int = 400
    conditional: float = 0.8
    trouble: float = 0.15
    policy: Policy = "reject"
    idempotency: Idempotency = "keyed"
    faults: tuple[str, ...] = ("disk.power_cut",)
    require_mix: bool = True


def payload_hash(write: str) -> str:
    return f"{hash_of(write):016x}"


def hash_of(write: str) -> int:
    value = 1469598103934665603
    for letter in write.encode():
        value = (value ^ letter) * 1099511628211 % (1 << 64)
    return value


@dataclass
class Stored:
    write: str
    type: str
    deleted: bool
    row: str


@dataclass
class Pending:
    """An outbox entry."""

    act: Act
    attempts: int = 0
    done: bool = False


@dataclass
class Phone:
    owner: str
    name: str
    incarnation: int = 1
    cache: dict[str, Stored] = field(default_factory=dict)
    outbox: list[Pending] = field(default_factory=list)
    offline_until: int = 0

    @property
    def session(self) -> str:
        return f"{self.name}#{self.incarnation}"


class Service:
    """The store; every method takes effect at once."""

    def __init__(self, keyed: bool, conditional: bool) -> None:
        self.keyed = keyed
        self.conditional = conditional
        self.records: dict[tuple[str, str], Stored] = {}
        self.answers: dict[tuple[str, str], Outcome] = {}
        self.rows = 0

    def apply(self, act: Act) -> Outcome:
        name = (act.owner, act.key)
        if self.keyed and name in self.answers:
            return self.answers[name]
        outcome = self._write(act)
        if self.keyed:
            self.answers[name] = outcome
        return outcome

    def _write(self, act: Act) -> Outcome:
        there = self.records.get((act.owner, act.record))
        if there is not None and act.kind == "create":
            return "fail"
        if self.conditional and act.base is not None and (there is None or there.deleted or there.write != act.base):
            return "fail"
        if there is None:
            self.rows += 1
            there = self.records[(act.owner, act.record)] = Stored("", act.type, False, f"row-{self.rows}")
        there.write, there.deleted = act.write, act.kind == "delete"
        return "ok"

    def listing(self, owner: str) -> tuple[tuple[Row, ...], tuple[str, ...]]:
        rows, gone = [], []
        for (of, record), there in self.records.items():
            if of == owner and there.deleted:
                gone.append(record)
            elif of == owner:
                blob = "ok" if there.type == "photo" else ""
                rows.append(Row(record, owner, there.write, payload_hash(there.write), there.row, (), blob))  # type: ignore[arg-type]
        return tuple(rows), tuple(gone)


class Simulation:
    """One trial in virtual time; `events` is the history when `run` returns."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.random = random.Random(load.seed)
        self.service = Service(load.idempotency == "keyed", load.policy == "reject")
        self.events: list[Event] = []
        self.cases: Counter[str] = Counter()
        self._now = 1_000_000_000
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = 0
        self._records = 0
        self._stop = False
        self._newest: dict[tuple[str, str], str] = {}
        self._acknowledged: dict[tuple[str, str], int] = {}
        self._uploaded: dict[str, int] = {}
        self.phones = [Phone(f"u-{u:02}", f"d-{u:02}-{d}") for u in range(load.users) for d in range(load.devices)]

    def run(self) -> list[Event]:
        load = self.load
        canaries = {"A": "canary-a", "B": "canary-b"}
        self._say(
            Header("simulated", load.seed, load.policy, load.idempotency, canaries=canaries, faults=load.faults,
                   minimum_acknowledged=10, require_mix=load.require_mix, t=self._now)
        )  # fmt: skip
        self._canaries()
        self._say(PhaseEvent("load", self._now, "begun"))
        at = self._now
        for number in range(load.operations):
            at += self.random.randint(1, 6) * MS
            self._at(at, self._user_acts)
            if number == load.operations // 2:
                for index, fault in enumerate(load.faults):
                    self._at(at, lambda i=index, f=fault: self._fault(i, f, "injected"))  # type: ignore[misc]
        phone = self.phones[0]
        self._at(at - 200 * MS, lambda: self._full_reset(phone))
        self._drain(at + 3_000 * MS)
        for index, fault in enumerate(load.faults):
            self._fault(index, fault, "healed")
        self._say(PhaseEvent("load", self._now, "ended"))
        self._doors()
        self._say(End(self._now, len(self.events)))
        return self.events

    # -- time ---------------------------------------------------------------------------------------------

    def _at(self, t: int, do: Callable[[], None]) -> None:
        self._numbers += 1
        heapq.heappush(self._agenda, (t, self._numbers, do))

    def _drain(self, until: int) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            self._now, _, do = heapq.heappop(self._agenda)
            do()
        self._now = max(self._now, until)

    def _say(self, event: Event) -> None:
        self.events.append(event)

    def _fault(self, index: int, fault: str, happened: str) -> None:
        bit = happened == "healed"
        self._say(FaultEvent(index, self._now, fault, "core", happened, bit=bit, evidence={"failed_writes": 3}))  # type: ignore[arg-type]

    # -- what users do ------------------------------------------------------------------------------------

    def _user_acts(self) -> None:
        phone = self.random.choice(self.phones)
        draw = self.random.random()
        if draw < 0.18:
            self._read(phone)
        elif draw < 0.19:
            self._full_reset(phone) if phone.outbox else self._read(phone)
        elif draw < 0.23:
            phone.offline_until = self._now + self.random.randint(20, 200) * MS
            self._at(phone.offline_until, lambda: self._flush(phone))
        else:
            self._mutate(phone)

    def _mutate(self, phone: Phone) -> None:
        chosen = self._record_of(phone) if self.random.random() < 0.6 else None
        if chosen is None:
            self._records += 1
            record = f"r-{self._records}"
            type_ = "photo" if self._records % 9 == 0 else self.random.choice(["contact", "calendar", "todo"])
            act = self._act(phone, "create", record, type_, None)
        else:
            record, known = chosen
            kind: Kind = "delete" if self.random.random() < 0.18 else "update"
            base: str | None = known.write
            if self.load.policy == "reject" and self.random.random() >= self.load.conditional:
                base = None
            act = self._act(phone, kind, record, known.type, base)
        phone.outbox.append(Pending(act))
        self._flush(phone)

    def _record_of(self, phone: Phone) -> tuple[str, Stored] | None:
        waiting = {pending.act.record for pending in phone.outbox}
        known = [(record, there) for record, there in phone.cache.items() if record not in waiting]
        return self.random.choice(known[-6:]) if known else None

    def _act(self, phone: Phone, kind: Kind, record: str, type_: str, base: str | None) -> Act:
        self._numbers += 1
        write = f"w-{self._numbers}"
        act = Act(
            op=self._numbers, t=self._now, session=phone.session, device=phone.name, owner=phone.owner, kind=kind,
            record=record, type=type_, write=write, hash="" if kind == "delete" else payload_hash(write),
            key=f"k-{self._numbers}", base=base, size_bytes=60_000 if type_ == "photo" else 200,
        )  # fmt: skip
        self._say(act)
        return act

    def _full_reset(self, phone: Phone) -> None:
        if not phone.outbox:
            self._record_waits(phone)
        self._numbers += 1
        wiped = len(phone.outbox)
        self.cases["reset with a full outbox"] += wiped > 0
        self._say(Act(self._numbers, self._now, phone.session, phone.name, phone.owner, "reset", outbox=wiped))
        for pending in phone.outbox:
            pending.done = True
        phone.outbox.clear()
        phone.cache.clear()
        phone.incarnation += 1
        self._read(phone)

    def _record_waits(self, phone: Phone) -> None:
        self._records += 1
        phone.outbox.append(Pending(self._act(phone, "create", f"r-{self._records}", "todo", None)))

    # -- the wire -----------------------------------------------------------------------------------------

    def _flush(self, phone: Phone) -> None:
        if phone.outbox and self._now >= phone.offline_until and not phone.outbox[0].attempts:
            self._send(phone, phone.outbox[0])

    def _send(self, phone: Phone, pending: Pending) -> None:
        if pending.done:
            return
        pending.attempts += 1
        act, n, draw = pending.act, pending.attempts, self.random.random()
        self._say(Send(act.op, n, self._now))
        back = self._now + self.random.randint(2, 12) * MS
        fate = self.random.choice(
            ["refused", "request lost", "reply lost", "stuck", "silent", "kept with a warning", "erased with a warning"]
        ) if draw < self.load.trouble else "fine"  # fmt: skip
        answer: list[Outcome] = ["info"]

        def apply() -> None:
            answer[0] = self._applied(act)
            self._uploaded.setdefault(act.write, self.random.randint(self._now, max(self._now, back)))
            name = (act.owner, act.record)
            if fate == "stuck" and answer[0] == "ok":
                self.cases["applied after a later acknowledgement"] += self._acknowledged.get(name, 0) > act.t

        if fate in ("fine", "reply lost", "silent", "kept with a warning"):
            self._at(self._now + self.random.randint(1, back - self._now), apply)
        elif fate == "stuck":
            late = back + self.random.randint(1, 3_500) * MS
            self.cases["stuck request"] += 1
            self._at(late, apply)
        if fate == "silent" and n == 1:
            self.cases["no answer ever"] += 1
            self._at(back, lambda: self._done(phone, pending))
            return
        outcomes: dict[str, Outcome] = {
            "refused": "fail", "kept with a warning": "degraded", "erased with a warning": "degraded",
        }  # fmt: skip

        def come_back() -> None:
            outcome = answer[0] if fate == "fine" else outcomes.get(fate, "info")
            if fate == "kept with a warning" and answer[0] == "fail":
                outcome = "fail"
            self._say(Back(act.op, n, self._now, outcome, by="gateway-1", why="" if outcome == "ok" else fate))
            self.cases[fate] += 1
            if outcome == "ok":
                self._known(phone, act)
                self._uploaded[act.write] = min(self._now, self._uploaded.get(act.write, self._now))
                name = (act.owner, act.record)
                self._acknowledged[name] = max(act.t, self._acknowledged.get(name, 0))
            again = outcome == "info" or fate == "refused"
            if again and n < 3 and not pending.done and self.random.random() < 0.7:
                self._at(self._now + 10 * MS, lambda: self._send(phone, pending))
            else:
                self._done(phone, pending)

        self._at(back, come_back)

    def _applied(self, act: Act) -> Outcome:
        name = (act.owner, act.record)
        before = self._newest.get(name)
        outcome = self.service.apply(act)
        if outcome == "ok":
            self._newest[name] = act.write
        elif before is not None:
            self.cases["conflict"] += 1
        return outcome

    def _done(self, phone: Phone, pending: Pending) -> None:
        if not pending.done:
            pending.done = True
            phone.outbox.remove(pending)
        self._flush(phone)

    def _known(self, phone: Phone, act: Act) -> None:
        if act.kind == "delete":
            phone.cache.pop(act.record, None)
        else:
            phone.cache[act.record] = Stored(act.write, act.type, False, "")

    def _read(self, phone: Phone) -> None:
        if self._now < phone.offline_until:
            self._read_cache(phone)
            return
        self._numbers += 1
        op, back = self._numbers, self._now + self.random.randint(2, 8) * MS
        self._say(Act(op, self._now, phone.session, phone.name, phone.owner, "sync"))
        self._say(Send(op, 1, self._now))
        listing = self.service.listing(phone.owner)

        def come_back() -> None:
            rows, gone = tuple(map(self._with_its_blob, listing[0])), listing[1]
            self._say(Back(op, 1, self._now, "ok", by="gateway-1", full=True, rows=rows, gone=gone))
            for record in gone:
                phone.cache.pop(record, None)
            types = {record: there.type for (_, record), there in self.service.records.items()}
            for row in rows:
                phone.cache[row.record] = Stored(row.write, types[row.record], False, "")

        self._at(back, come_back)

    def _with_its_blob(self, row: Row) -> Row:
        """A photo as the end of a read finds its blob."""
        there = self.service.records[(row.owner, row.record)]
        if not row.blob or (there.write == row.write and self._uploaded[row.write] <= self._now):
            return row
        self.cases["a photo whose blob is not there yet or any more"] += 1
        return replace(row, blob="missing", hash=payload_hash(f"{row.write} bare"))

    def _read_cache(self, phone: Phone) -> None:
        """Offline, a phone shows what it has; that proves nothing, however old it is."""
        self._numbers += 1
        rows = tuple(
            Row(record, phone.owner, there.write, payload_hash(there.write)) for record, there in phone.cache.items()
        )
        self.cases["cached read"] += 1
        self._say(Act(self._numbers, self._now, phone.session, phone.name, phone.owner, "list"))
        self._say(Send(self._numbers, 1, self._now))
        self._say(Back(self._numbers, 1, self._now + 1, "ok", cached=True, full=True, rows=rows))

    # -- canaries and final reads -------------------------------------------------------------------------

    def _canaries(self) -> None:
        phone = Phone(CANARY_OWNER, "d-canary")
        for record, kind, really in (("canary-a", "create", False), ("canary-b", "create", True),
                                     ("canary-b", "update", True)):  # fmt: skip
            self._numbers += 1
            write = f"w-{self._numbers}"
            base = self._newest.get((CANARY_OWNER, record))
            act = Act(self._numbers, self._now, phone.session, phone.name, CANARY_OWNER, kind, record, "todo",  # type: ignore[arg-type]
                      write, payload_hash(write if kind == "create" else "wrong"), f"k-{write}", base, 100)  # fmt: skip
            self._say(act)
            self._say(Send(act.op, 1, self._now))
            if really:
                self._applied(act)
            self._say(Back(act.op, 1, self._now + MS, "ok"))
            self._now += 2 * MS

    def _doors(self) -> None:
        owners = sorted({phone.owner for phone in self.phones})
        for owner in (*owners, CANARY_OWNER):
            self._door(1, "fresh", owner)
        for phone in self.phones:
            phone.offline_until = 0
            self._flush(phone)
        self._drain(self._now + 500 * MS)
        for phone in (*self.phones, Phone(CANARY_OWNER, "d-canary")):
            self._door(2, f"cache {phone.name}", phone.owner)
        self._say(PhaseEvent("cold restart", self._now, "begun"))
        self._say(PhaseEvent("cold restart", self._now, "ended"))
        for phone in (*self.phones, Phone(CANARY_OWNER, "d-canary")):
            self._door(4, f"reset {phone.name}", phone.owner)

    def _door(self, step: int, door: str, owner: str) -> None:
        before: tuple[Row, ...] | None = None
        for number in range(1, 50):
            invoked = self._now
            self._drain(self._now + 3 * MS)
            rows, _ = self.service.listing(owner)
            self._drain(self._now + 3 * MS)
            settled = rows == before
            self._say(DoorRead(step, door, owner, number, invoked, self._now, "ok", settled, rows))
            if settled:
                return
            before = rows
        raise AssertionError("the simulated service never came to rest")


def legal_history(load: Load) -> list[Event]:
    return Simulation(load).run()

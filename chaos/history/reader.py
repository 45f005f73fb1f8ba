"""Reads a history: streaming, strict, and never trusting a byte of it.

Whatever is wrong ends in `MalformedHistory` with file:line, what was found and what to do. A history that was
cut short is no history: a missing tail could hold the very acknowledgement that was broken.

The order that is demanded is the one that causes dictate: within an operation act, send, back; within a fault
injected, healed; rounds of a door one after the other. Lines of different operations may stand in any order,
since final reads and faults are recorded by other processes on the same clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from chaos.errors import MalformedHistory
from chaos.history.events import FORMAT, MUTATIONS, TAGS, FaultEvent, Header, Note, PhaseEvent, is_unasked
from chaos.history.fields import (
    BadLineError,
    bare_copy,
    copies_of,
    evidence_of,
    flag,
    integer,
    one_of,
    row_of,
    text,
    texts,
    texts_by_name,
    whole_copy,
)  # fmt: skip
from chaos.history.model import CACHE_STEP, INFINITY, Answer, Attempt, Door, History, OddSight, Operation

LINE_BYTES_MAX: Final = 64 << 20
FILE_BYTES_MAX: Final = 16 << 30
ATTEMPTS_MAX: Final = 10_000
BLOCK_BYTES: Final = 1 << 20
SECONDS_MAX: Final = 1e9

REMEDY: Final = "run the trial again; only a history that Holdfast wrote to its end can be judged"

_KINDS: Final[Mapping[str, str]] = {
    kind: kind for kind in ("create", "update", "delete", "read", "list", "sync", "reset")
}
_OUTCOMES: Final[Mapping[str, str]] = {outcome: outcome for outcome in ("ok", "fail", "info", "degraded")}
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    tag: frozenset(f.name for f in dataclasses.fields(cls)) | {"event"} for tag, cls in TAGS.items()
}
_REQUIRED: Final[Mapping[str, int]] = {
    tag: 1 + sum(f.default is f.default_factory is dataclasses.MISSING for f in dataclasses.fields(cls))
    for tag, cls in TAGS.items()
}


def read_history(path: Path) -> History:
    """Read and validate a whole history.

    Raises:
        MalformedHistory: It is missing, cut short, not of this format, or contradicts itself.
    """
    return read_lines(path, _lines(path))


def read_lines(path: Path, lines: Iterable[bytes]) -> History:
    """Read and validate the lines of a history, or of an excerpt of one.

    Raises:
        MalformedHistory: They are cut short, not of this format, or contradict each other.
    """
    reader = _Reader(path)
    number = 0
    try:
        for line in lines:
            number += 1
            reader.line(line)
        reader.finish(number)
    except BadLineError as error:
        raise MalformedHistory(f"{path}:{number}: {error}; {REMEDY}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        # Fields are checked where they are used; what is left is a field that is absent or of another type.
        raise MalformedHistory(f"{path}:{number}: {_told(error)}; {REMEDY}") from None
    except OSError as error:
        raise MalformedHistory(f"{path}: cannot be read: {error.strerror}; {REMEDY}") from None
    return reader.history


def _told(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"field {error} is absent or has no such value"
    return f"not an event of this format ({error})"


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of the file without their ends; bounded memory whatever the file holds."""
    if not path.is_file():
        raise BadLineError("there is no such history")
    if path.stat().st_size > FILE_BYTES_MAX:
        raise BadLineError(f"larger than {FILE_BYTES_MAX} bytes")
    rest = b""
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            lines = (rest + block if rest else block).split(b"\n")
            rest = lines.pop()
            if len(rest) > LINE_BYTES_MAX:
                raise BadLineError(f"a line longer than {LINE_BYTES_MAX} bytes")
            yield from lines
    if rest:
        yield rest
        raise BadLineError("cut short: the last line has no end")


class _Reader:
    """Takes the lines one after the other and builds the `History`."""

    def __init__(self, path: Path) -> None:
        self.history = History(path, Header("", 0, "reject", "keyed"))
        self._open: dict[int, Operation] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._events = 0
        self._ended = False
        self._texts: dict[str, str] = {}
        self._injected: set[int] = set()
        self._take: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "act": self._act,
            "send": self._send,
            "back": self._back,
            "door": self._door,
            "fault": self._fault,
            "phase": self._phase,
            "note": self._note,
            "end": self._end,
            "header": self._header,
        }

    def line(self, line: bytes) -> None:
        """Take one line."""
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadLineError(f"not JSON ({error})") from None
        if type(event) is not dict:
            raise BadLineError("not a JSON object")
        tag = event.get("event")
        if type(tag) is not str or (take := self._take.get(tag)) is None:
            raise BadLineError(f"unknown event {tag!r:.60}")
        # A line of no more fields than the required ones holds an unknown one only in the place of one of these.
        if len(event) > _REQUIRED[tag] and not _FIELDS[tag].issuperset(event):
            raise BadLineError(f"unknown field {sorted(set(event) - _FIELDS[tag])[0]!r:.60} of event {tag}")
        if self._ended:
            raise BadLineError("a line after the end")
        if not self._events and tag != "header":
            raise BadLineError(f"begins with {tag}, not with a header")
        take(event)
        self._events += 1

    def finish(self, lines: int) -> None:
        """Check what only the whole can show."""
        if not self._ended:
            raise BadLineError(f"cut short: no end after {lines} lines")
        writes = self.history.writes
        for operations in self.history.records.values():
            for operation in operations:
                based_on = writes.get(operation.base) if operation.base is not None else None
                if based_on is None or based_on.t <= operation.t:
                    continue
                returned = operation.acknowledged_at
                if based_on.t > min(returned, operation.seen_first):
                    raise BadLineError(
                        f"operation {operation.number} is based on {operation.base}, invoked after it returned"
                    )

    def _header(self, event: dict[str, Any]) -> None:
        if self._events:
            raise BadLineError("a second header")
        if integer(event.get("format", FORMAT), "format") != FORMAT:
            raise BadLineError(f"format {event['format']}, this Holdfast reads format {FORMAT}")
        rpo_seconds = event.get("rpo_seconds", 0.0)
        if type(rpo_seconds) not in (int, float) or not 0 <= rpo_seconds <= SECONDS_MAX:
            raise BadLineError(f"rpo_seconds is {rpo_seconds!r:.60}, not a number from 0")
        canaries = event.get("canaries", {})
        if type(canaries) is not dict or not {"A", "B"}.issuperset(canaries):
            raise BadLineError("canaries is not a map of A and B to records")
        self.history.header = Header(
            experiment=text(event["experiment"], "experiment"),
            seed=integer(event["seed"], "seed", -INFINITY),
            policy=one_of(event["policy"], "policy", ("reject", "last-writer-wins", "keep-both")),  # type: ignore[arg-type]
            idempotency=one_of(event["idempotency"], "idempotency", ("keyed", "none")),  # type: ignore[arg-type]
            sessions=one_of(event.get("sessions", "report"), "sessions", ("report", "strict")),  # type: ignore[arg-type]
            rpo_seconds=float(rpo_seconds),
            minimum_acknowledged=integer(event.get("minimum_acknowledged", 1), "minimum_acknowledged"),
            require_mix=flag(event.get("require_mix", True), "require_mix"),
            mix_without=texts(event.get("mix_without", []), "mix_without"),
            canaries={name: text(record, "canaries") for name, record in canaries.items()},
            faults=texts(event.get("faults", []), "faults"),
            copies=texts(event.get("copies", []), "copies"),
            t=integer(event.get("t", 0), "t"),
            epoch_ns=integer(event.get("epoch_ns", 0), "epoch_ns"),
            versions=texts_by_name(event.get("versions", {}), "versions"),
            images=texts_by_name(event.get("images", {}), "images"),
        )

    def _act(self, event: dict[str, Any]) -> None:
        get = event.get
        number, t, kind = event["op"], event["t"], _KINDS[event["kind"]]
        session, device, owner = event["session"], event["device"], event["owner"]
        record, type_, write = get("record", ""), get("type", ""), get("write", "")
        hash_, key, base = get("hash", ""), get("key", ""), get("base")
        size_bytes, outbox = get("size_bytes", 0), get("outbox", 0)
        if not (
            type(number) is type(t) is type(size_bytes) is type(outbox) is int
            and type(session) is type(device) is type(owner) is type(record) is type(type_) is type(write) is str
            and type(hash_) is type(key) is str
            and (base is None or type(base) is str)
            and 0 <= t < INFINITY
            and -1 < size_bytes < INFINITY
            and -1 < outbox < INFINITY
        ):
            raise BadLineError("a field of the act has another type or range")
        if number in self._open:
            raise BadLineError(f"operation {number} acts a second time")
        shared = self._texts.setdefault
        operation = Operation(
            number, t, shared(session, session), shared(device, device), shared(owner, owner), kind, record,
            shared(type_, type_), write, hash_, key, base, size_bytes, outbox,
        )  # fmt: skip
        self._open[number] = operation
        self.history.operations += 1
        if kind in MUTATIONS:
            self._mutation(operation)
        elif kind == "reset":
            self.history.resets.append(operation)

    def _mutation(self, operation: Operation) -> None:
        if not (operation.record and operation.write and operation.key and operation.owner):
            raise BadLineError("a create, update or delete needs owner, record, write and key")
        if operation.base == operation.write:
            raise BadLineError(f"write {operation.write} is based on itself")
        first = self.history.writes.setdefault(operation.write, operation)
        if self._keys.setdefault((operation.owner, operation.key), operation.write) != operation.write:
            raise BadLineError(f"key {operation.key!r:.60} was used for another write")
        if first is not operation and (
            first.owner != operation.owner
            or first.record != operation.record
            or first.kind != operation.kind
            or first.key != operation.key
            or first.hash != operation.hash
            or first.base != operation.base
        ):
            raise BadLineError(f"write {operation.write!r:.60} was acted before, and otherwise")
        of_record = self.history.records.get((operation.owner, operation.record))
        if of_record is None:
            self.history.records[(operation.owner, operation.record)] = [operation]
        else:
            of_record.append(operation)

    def _send(self, event: dict[str, Any]) -> None:
        operation, t, session = self._open[event["op"]], event["t"], event.get("session", "")
        attempts = operation.attempts
        if type(t) is not int or type(session) is not str or not t < INFINITY:
            raise BadLineError("a field of the send has another type or range")
        if type(event["n"]) is not int or event["n"] != len(attempts) + 1 or len(attempts) >= ATTEMPTS_MAX:
            raise BadLineError(f"attempt {event['n']!r:.60} follows {len(attempts)} attempts")
        if t < (attempts[-1].sent if attempts else operation.t):
            raise BadLineError("sent before it was acted, or before the attempt before it")
        attempts.append(Attempt(t, session and self._texts.setdefault(session, session)))

    def _back(self, event: dict[str, Any]) -> None:
        operation, n, t = self._open[event["op"]], event["n"], event["t"]
        get = event.get
        outcome, by, why = _OUTCOMES[event["outcome"]], get("by", ""), get("why", "")
        if not (type(n) is type(t) is int and type(by) is type(why) is str and t < INFINITY):
            raise BadLineError("a field of the back has another type or range")
        if not 1 <= n <= len(operation.attempts):
            raise BadLineError(f"attempt {n} came back and was never sent")
        attempt = operation.attempts[n - 1]
        if attempt.back != INFINITY:
            raise BadLineError(f"attempt {n} came back a second time")
        if t < attempt.sent:
            raise BadLineError("came back before it was sent")
        attempt.back = t
        attempt.outcome = outcome
        if by:
            attempt.by = self._texts.setdefault(by, by)
        if why:
            attempt.why = self._texts.setdefault(why, why)
        if operation.kind not in MUTATIONS:
            self._answer(event, operation, attempt)

    def _answer(self, event: dict[str, Any], reader: Operation, attempt: Attempt) -> None:
        """What a read returned: marks on the writes that it proves to have taken effect."""
        ok, t = attempt.outcome == "ok", attempt.back
        cached, rows = flag(event.get("cached", False), "cached"), event.get("rows", [])
        full = flag(event.get("full", False), "full")
        gone = event.get("gone", [])
        if type(rows) is not list or type(gone) is not list:
            raise BadLineError("rows or gone is not a list")
        serves = ok and not cached
        showed: list[Operation] = []
        others: list[str] = []
        bare: list[Operation] = []
        writes, owner = self.history.writes, reader.owner
        for row in rows:
            write = whole_copy(row, owner, writes)
            if write is None:
                odd = row_of(row)
                others.append(odd.record)
                if (version := bare_copy(odd, owner, writes)) is not None:
                    bare.append(version)
                if serves:
                    name = (odd.record, odd.write, odd.hash)
                    self.history.odd_sights.setdefault(name, OddSight(odd, reader.device, owner, t))
            elif serves:
                write.saw(t, reader.device)
                showed.append(write)
        for record in gone:
            name_of = (owner, text(record, "gone"))
            if serves and t < self.history.gone.get(name_of, INFINITY):
                self.history.gone[name_of] = t
        if serves:
            session = attempt.session or reader.session
            single = reader.kind == "read"
            self.history.answers.append(
                Answer(
                    session,
                    owner,
                    attempt.sent,
                    t,
                    full=full,
                    single=single,
                    showed=tuple(showed),
                    odd=tuple(others),
                    gone=tuple(gone),
                    bare=tuple(bare),
                )
            )

    def _door(self, event: dict[str, Any]) -> None:
        outcome = one_of(event["outcome"], "outcome", ("ok", "fail"))
        rows = event.get("rows", [])
        if type(rows) is not list:
            raise BadLineError("rows is not a list")
        asked, answered, packets = (
            None if event.get(name) is None else integer(event[name], name)
            for name in ("asked_bytes", "answered_bytes", "asked_packets")
        )
        unasked = outcome == "ok" and is_unasked(asked, answered, len(rows), packets)
        door = Door(
            step=integer(event["step"], "step"),
            door=text(event["door"], "door"),
            owner=text(event["owner"], "owner"),
            round=integer(event["round"], "round", 1),
            invoked=integer(event["invoked"], "invoked"),
            t=integer(event["t"], "t"),
            ok=outcome == "ok" and not unasked,
            why=text(event.get("why", ""), "why"),
            unasked=unasked,
        )
        settled = flag(event.get("settled", False), "settled")
        if door.t < door.invoked:
            raise BadLineError("a final read ended before it began")
        writes, owner = self.history.writes, door.owner
        for row in rows:
            write = whole_copy(row, owner, writes)
            if write is None:
                door.odd.append(row_of(row))
            elif (first := door.whole.get(write.record)) is not None:
                door.beside.append(write)
                # one version in one row of the server's, told twice: pages of a list may overlap
                if write is not first or not row.get("row") or row["row"] != door.rows.get(write.record):
                    door.odd.append(row_of(row))
            else:
                door.whole[write.record] = write
                if server_row := row.get("row"):
                    door.rows[write.record] = server_row
        if door.ok and door.step != CACHE_STEP:
            # A final read is a read too: what it showed must not be gone at a later one.
            for write in (*door.whole.values(), *door.beside):
                if door.t < write.seen_first:
                    write.seen_first = door.t
        self._round(door, settled)

    def _round(self, door: Door, settled: bool) -> None:
        rounds = self.history.doors.setdefault((door.step, door.owner, door.door), [])
        last = rounds[-1] if rounds else None
        if door.round != (last.round + 1 if last else 1):
            raise BadLineError(f"round {door.round} of a final read follows round {last.round if last else 0}")
        if last and door.invoked < last.t:
            raise BadLineError("a round of a final read began before the one before it ended")
        if last and last.ok and door.ok and settled and last.whole == door.whole and last.odd == door.odd:
            door.settled = True
            last.whole, last.odd, last.rows = door.whole, door.odd, door.rows
        if last and not last.ok and not door.ok:
            rounds.pop()
        rounds.append(door)
        del rounds[:-2]

    def _fault(self, event: dict[str, Any]) -> None:
        index, name = integer(event["index"], "index"), text(event["fault"], "fault")
        happened = one_of(event["happened"], "happened", ("injected", "healed", "lasting", "missed"))
        faults = self.history.header.faults
        if index >= len(faults) or faults[index] != name:
            raise BadLineError(f"fault {index} {name!r:.60} is not in the header's schedule")
        if happened in ("healed", "lasting") and index not in self._injected:
            raise BadLineError(f"fault {index} ended and was never injected")
        if happened == "injected":
            self._injected.add(index)
        self.history.faults.append(
            FaultEvent(
                index=index,
                t=integer(event["t"], "t"),
                fault=name,
                target=text(event["target"], "target"),
                happened=happened,  # type: ignore[arg-type]
                phase=text(event.get("phase", "load"), "phase"),
                bit=flag(event.get("bit", False), "bit"),
                evidence=evidence_of(event.get("evidence", {})),
                why=text(event.get("why", ""), "why"),
                struck=texts(event.get("struck", []), "struck"),
                exceeds=flag(event.get("exceeds", False), "exceeds"),
            )
        )

    def _phase(self, event: dict[str, Any]) -> None:
        happened = one_of(event["happened"], "happened", ("begun", "ended"))
        self.history.phases.append(
            PhaseEvent(text(event["name"], "name"), integer(event["t"], "t"), happened)  # type: ignore[arg-type]
        )

    def _note(self, event: dict[str, Any]) -> None:
        self.history.notes.append(
            Note(
                text(event["topic"], "topic"),
                integer(event["t"], "t"),
                text(event["text"], "text"),
                text(event.get("role", ""), "role"),
                texts(event.get("services", []), "services"),
                text(event.get("store", ""), "store"),
                copies_of(event.get("copies", [])),
            )
        )

    def _end(self, event: dict[str, Any]) -> None:
        if integer(event["events"], "events") != self._events:
            raise BadLineError(f"cut short: the end counts {event['events']} lines, {self._events} are there")
        self.history.ended = integer(event["t"], "t")
        self._ended = True

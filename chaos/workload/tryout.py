"""Tries a driver against a service that no fault touches: each promise of `docs/drivers.md`, one check each.

A check that cannot be made, since an earlier one failed, is not tried. Everything here happens to users of its own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from chaos.errors import DriverError, NotNow, Refused
from chaos.history.events import Policy, is_unasked
from chaos.workload.drivers.blame import checked_ack, checked_changes, checked_records, defect_of
from chaos.workload.drivers.calls import answer_of, close
from chaos.workload.fleet import ask_nobody
from chaos.workload.logbook import quoted
from chaos.workload.reads.doors import Door, Reader, copy_door
from chaos.workload.reads.relay import DEAD_SECONDS_MAX, HOLD_SECONDS, Relays, dead, holding
from chaos.workload.records import digest, make
from chaos.workload.session import Changes, FrontDoor, Record, Session

PHOTO_BYTES: Final = 70_001
PATIENCE_SECONDS: Final = 0.3
_OWNER, _OTHER = "u-tryout", "u-tryout-2"

T = TypeVar("T")
Outcome = Literal["ok", "wrong", "not tried"]


@dataclass(frozen=True)
class Finding:
    """The result of one check; `remedy` says what to do where it is wrong."""

    check: str
    outcome: Outcome
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Promises:
    """The settings of stack and workload that the driver must honour."""

    policy: Policy
    keyed: bool
    photos: bool
    doors: tuple[tuple[str, str, int], ...]
    request_seconds_max: float


class _WrongError(Exception):
    """A check failed."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


class _NotTried(Exception):
    """A check that this stack does not ask for."""


class Tryout:
    """One driver before one service. The service must be up, and what is written stays there."""

    def __init__(
        self,
        driver: type[Session],
        service: FrontDoor,
        reader: Reader,
        promises: Promises,
        hush: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """Nothing is asked yet; `reader` is a process that has not seen the service, `hush` blanks out secrets."""
        self._hush = hush
        self._driver = driver
        self._service = service
        self._reader = reader
        self._promises = promises
        self._relays = Relays()
        self._open: list[Session] = []
        self._one: Session
        self._two: Session
        self._first = make(_OWNER, "first", "w-try-1", "contact")
        self._second = make(_OWNER, "first", "w-try-2", "contact")
        self._photo = make(_OWNER, "photo", "w-try-4", "photo", size_bytes=PHOTO_BYTES)
        self._cursor: str | None = None

    async def run(self) -> AsyncIterator[Finding]:
        """Make every check in its order."""
        missing: set[str] = set()
        try:
            for name, check, needs in self._checks():
                if needs & missing:
                    finding = Finding(name, "not tried", f"it needs: {', '.join(sorted(needs & missing))}")
                else:
                    finding = await self._made(name, check)
                if finding.outcome == "wrong" or needs & missing:
                    missing.add(name)
                yield finding
        finally:
            for session in self._open:
                await close(session, self._promises.request_seconds_max)

    async def _made(self, name: str, check: Callable[[], Awaitable[None]]) -> Finding:
        try:
            await check()
        except _NotTried as reason:
            return Finding(name, "not tried", str(reason))
        except _WrongError as error:
            return Finding(name, "wrong", str(error), error.remedy)
        except DriverError as error:
            return Finding(name, "wrong", str(error), "see docs/drivers.md")
        except Exception as error:  # noqa: BLE001  (whatever a driver raises is what its author has to know)
            remedy = "mend that line" if defect_of(error) else "see what the service says: no fault is in force"
            return Finding(name, "wrong", self._told(error), remedy)
        return Finding(name, "ok")

    def _checks(self) -> Iterable[tuple[str, Callable[[], Awaitable[None]], frozenset[str]]]:
        put, read = frozenset({"put creates"}), frozenset({"put creates", "everything shows what was put"})
        changes = read | {"changes tells everything from the beginning"}
        update = read | {"put updates on its base"}
        yield "put creates", self._put_creates, frozenset()
        yield "everything shows what was put", self._everything_shows_it, put
        yield "a photo comes back whole", self._a_photo_comes_back, read
        yield "the same put again changes nothing", self._the_same_put_again, read
        yield "put updates on its base", self._put_updates, read
        yield "a put on an old base is refused", self._an_old_base_is_refused, update
        yield "changes tells everything from the beginning", self._changes_from_the_beginning, read
        yield "changes tells what is new", self._changes_since, changes
        yield "delete deletes", self._delete_deletes, update
        yield "changes tells what was deleted", self._changes_tells_the_deleted, changes | {"delete deletes"}
        yield "another user sees nothing of it", self._another_user, read
        yield "a closed session can be used again", self._closed_and_used_again, read
        yield "a fresh process reads the service", self._a_fresh_process, read
        for kind, service, port in self._promises.doors:
            door = Door(copy_door(kind, service), _OWNER, f"{kind}-{service}", kind, f"{service}:{port}")
            yield f"the door {door.door} reads its copy", lambda door=door: self._a_copy(door), read  # type: ignore[misc]
        yield "where nobody listens every method raises", self._nobody_listens, put
        yield "a reply that is cut off is unknown", self._a_cut_reply, read
        yield "waiting does not block", self._waiting, put

    # --- the checks

    async def _put_creates(self) -> None:
        self._one, self._two = (self._session(device) for device in ("d-one", "d-two"))
        await self._put(self._one, self._first, None)

    async def _everything_shows_it(self) -> None:
        for session in (self._one, self._two):
            _same(await self._everything(session), [self._first])

    async def _a_photo_comes_back(self) -> None:
        if not self._promises.photos:
            raise _NotTried("the workload has no photos")
        await self._put(self._one, self._photo, None)
        there = await self._everything(self._two)
        _same([record for record in there if record.name == self._photo.name], [self._photo])

    async def _the_same_put_again(self) -> None:
        if not self._promises.keyed:
            raise _NotTried("x-chaos says idempotency: none")
        try:
            # a session that has not heard the first answer, as that of a phone whose answer was lost
            await self._put(self._session("d-one"), self._first, None)
        except Refused as error:
            raise _WrongError(
                f"it was refused ({error})",
                "a phone that heard no answer tries again with the same key, and the service has to answer as before; "
                "send `key`; if the service knows no keys, declare `idempotency: none` under x-chaos",
            ) from error
        _same([r for r in await self._everything(self._two) if r.name == self._first.name], [self._first])

    async def _put_updates(self) -> None:
        await self._put(self._one, self._second, self._base(self._first))
        if self._promises.keyed:
            try:
                await self._put(self._one, self._second, self._base(self._first))
            except Refused as error:
                raise _WrongError(
                    f"the same update with the same key again was refused ({error})",
                    "send `key`, and let a known key be answered before the base is compared",
                ) from error
        _same([r for r in await self._everything(self._two) if r.name == self._second.name], [self._second])

    async def _an_old_base_is_refused(self) -> None:
        if self._promises.policy != "reject":
            raise _NotTried(f"x-chaos says conflict: {self._promises.policy}")
        late = make(_OWNER, "first", "w-try-3", "contact")
        remedy = (
            "send the base that `put` was given (as If-Match, or in a WHERE clause) and raise Refused where it is "
            "old; if the service takes the last write, declare `conflict: last-writer-wins` under x-chaos"
        )
        try:
            await self._put(self._one, late, self._first.write)
        except NotNow as error:
            raise _WrongError(f"it raised NotNow ({error}): the phone would try again for ever", remedy) from error
        except Refused:
            pass
        except Exception as error:
            if defect_of(error):
                raise
            raise _WrongError(f"it raised {self._told(error)}, which means unknown, not Refused", remedy) from error
        else:
            raise _WrongError("it was acknowledged, so the base is not honoured", remedy)
        _same([r for r in await self._everything(self._two) if r.name == self._second.name], [self._second])

    async def _changes_from_the_beginning(self) -> None:
        found = await self._changes(self._two, None)
        whole = {digest(record) for record in found.records}
        for record in await self._everything(self._two):
            if digest(record) not in whole:
                raise _WrongError(
                    f"changes(None) lacks {record.name}, which everything() has", "a phone syncs once: return all pages"
                )
        if not isinstance(found.cursor, str):
            raise _WrongError(f"its cursor is a {type(found.cursor).__name__}", "give the cursor as text")
        self._cursor = found.cursor

    async def _changes_since(self) -> None:
        new = make(_OWNER, "later", "w-try-5", "todo")
        await self._put(self._one, new, None)
        found = await self._changes(self._two, self._cursor)
        if digest(new) not in {digest(record) for record in found.records}:
            raise _WrongError("a record put since the cursor is not there, or not whole", "ask from the cursor given")

    async def _delete_deletes(self) -> None:
        base = self._base(self._second)
        for again in range(2 if self._promises.keyed else 1):
            try:
                checked_ack(await self._bounded(lambda: self._one.delete("first", base, "k-try-delete")), "delete")
            except Refused as error:
                which = "the same delete with the same key again" if again else "it"
                raise _WrongError(f"{which} was refused ({error})", "honour base and key as put does") from error
        if any(record.name == "first" for record in await self._everything(self._two)):
            raise _WrongError("the record is there afterwards", "leave deleted records out of `everything`")

    async def _changes_tells_the_deleted(self) -> None:
        found = await self._changes(self._two, self._cursor)
        if "first" not in found.deleted:
            raise _WrongError(
                f"deleted is {list(found.deleted)!r:.80}, without it",
                "return the name of every record deleted since the cursor, or phones keep it for ever",
            )

    async def _another_user(self) -> None:
        other = self._session("d-three", _OTHER)
        if found := await self._everything(other):
            raise _WrongError(
                f"it was shown {found[0].name} of {_OWNER}", "ask for the user that the session was given"
            )

    async def _closed_and_used_again(self) -> None:
        await self._bounded(self._one.close)
        await self._everything(self._one)

    async def _a_fresh_process(self) -> None:
        await self._by_the_reader(Door("fresh", _OWNER, "d-fresh"))

    async def _a_copy(self, door: Door) -> None:
        await self._by_the_reader(door)

    async def _nobody_listens(self) -> None:
        await ask_nobody(self._driver, self._service, _OWNER, "d-nobody", None)
        with dead(self._service) as nobody:
            session = self._session("d-nobody", at=nobody)
            lost = make(_OWNER, "nowhere", "w-try-6", "contact")
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "put": lambda: session.put(lost, None, "k-try-nowhere"),
                "delete": lambda: session.delete("nowhere", None, "k-try-nowhere-2"),
            }
            for method, call in calls.items():
                try:
                    await answer_of(call, DEAD_SECONDS_MAX)
                except NotNow:
                    continue
                except Refused as error:
                    raise _WrongError(
                        f"{method} raised Refused ({error})", "raise NotNow, or the phone drops its user's change"
                    ) from error
                except Exception as error:
                    if defect_of(error):
                        raise
                    continue
                raise _WrongError(
                    f"{method} returned, which means acknowledged", "raise wherever the service has not said yes"
                )

    async def _a_cut_reply(self) -> None:
        record = make(_OWNER, "cut", "w-try-7", "contact")
        with self._relays.to(self._service) as relay:
            session = self._session("d-cut", at=relay.front_door)
            await self._everything(session)  # the connection is there, as a phone's is
            relay.cut()
            error = await _raised(self._put(session, record, None))
            asked = relay.asked_since_cut
        if error is None:
            raise _WrongError("put returned though no answer came through", "retry nothing yourself, and guess nothing")
        if defect_of(error):
            raise error
        if asked > 1:
            raise _WrongError(
                f"the request was sent {asked} times in one put",
                "switch the library's own retries off: the phone retries",
            )
        there = any(found.name == record.name for found in await self._everything(self._two))
        if isinstance(error, Refused) and (there or not isinstance(error, NotNow)):
            applied = ", and the record is there" if there else ""
            raise _WrongError(
                f"put raised {self._told(error)}, which means definitely not applied{applied}",
                "let the exception through: when the answer is missing, nobody knows",
            )

    async def _waiting(self) -> None:
        with holding(self._service) as hole:
            session = self._session("d-held", at=hole)
            begun = time.monotonic()
            with contextlib.suppress(Exception):
                await answer_of(session.everything, PATIENCE_SECONDS)
            held = time.monotonic() - begun
        if held > HOLD_SECONDS / 2:
            raise _WrongError(
                f"everything() held up the event loop for {held:.1f} s, and with it every other phone",
                "use a library that awaits, or put the call into `await asyncio.to_thread(...)`",
            )

    # --- what they are made of

    def _session(self, device: str, user: str = _OWNER, at: FrontDoor | None = None) -> Session:
        session = self._driver(at or self._service, user=user, device=device)
        self._open.append(session)
        return session

    def _base(self, record: Record) -> str | None:
        return None if self._promises.policy == "last-writer-wins" else record.write

    async def _put(self, session: Session, record: Record, base: str | None) -> None:
        checked_ack(await self._bounded(lambda: session.put(record, base, f"k-{record.write}")), "put")

    async def _everything(self, session: Session) -> Sequence[Record]:
        return checked_records(await self._bounded(session.everything), "everything")

    async def _changes(self, session: Session, cursor: str | None) -> Changes:
        return checked_changes(await self._bounded(lambda: session.changes(cursor)))

    async def _bounded(self, call: Callable[[], Awaitable[T]]) -> T:
        return await answer_of(call, self._promises.request_seconds_max)

    def _told(self, error: Exception) -> str:
        return quoted(defect_of(error) or error, self._hush)

    async def _by_the_reader(self, door: Door) -> None:
        """Read through a door in another process, as at the end of a trial, and compare it with what is there."""
        reads = await self._reader.read(self._service, 1, [door], seconds_max=5.0, impatient=True)
        last = reads[-1]
        if last.outcome == "fail":
            raise _WrongError(f"it could not be read: {last.why}", "see the error; a reader has a HOME of its own")
        if is_unasked(last.asked_bytes, last.answered_bytes, len(last.rows)):
            raise _WrongError(
                f"{len(last.rows)} records came of {last.asked_bytes} bytes asked and {last.answered_bytes} answered",
                _UNASKED.get(bool(door.kind), ""),
            )
        there = sorted(digest(record) for record in await self._everything(self._two))
        if (found := sorted(row.hash for row in last.rows)) != there:
            raise _WrongError(
                f"it returned {len(found)} records that are not those that the service has ({len(there)})",
                "return everything that is there now, unchanged",
            )
        if not last.settled:
            raise _WrongError("two reads one after the other differ", "return what is there, whole, each time")


_UNASKED: Final = {
    False: "let `everything` ask the address that the session was given, each time",
    True: "ask the copy at `front_door.others[at]`, each time; one that holds only blobs says `blobs_alone = True`",
}


def _same(found: Iterable[Record], wanted: Sequence[Record]) -> None:
    """Whether these are the records, each once and unchanged."""
    found = list(found)
    names = [record.name for record in found]
    for record in wanted:
        mine = [each for each in found if each.name == record.name]
        if not mine:
            raise _WrongError(
                f"{record.name} is not there, but {', '.join(names) or 'nothing'}",
                "return every live record of the user",
            )
        if len(mine) > 1:
            raise _WrongError(f"{record.name} is there {len(mine)} times", "honour `key`, and return each row once")
        if digest(mine[0]) != digest(record):
            raise _WrongError(
                f"{record.name} came back changed: {_difference(mine[0], record)}",
                "store name, type, write, every field and the blob as they are, and return them unchanged",
            )


def _difference(found: Record, wanted: Record) -> str:
    for name in ("owner", "type", "write"):
        if getattr(found, name) != getattr(wanted, name):
            return f"{name} is {getattr(found, name)!r:.60}, not {getattr(wanted, name)!r:.60}"
    for name, value in wanted.fields.items():
        if found.fields.get(name) != value:
            return f"field {name} is {found.fields.get(name)!r:.60}, not {value!r:.60}"
    if found.blob != wanted.blob:
        sizes = [None if blob is None else len(blob) for blob in (found.blob, wanted.blob)]
        return f"its blob has {sizes[0]} bytes, not {sizes[1]}" if sizes[0] != sizes[1] else "its blob has other bytes"
    return f"it has further fields {sorted(set(found.fields) - set(wanted.fields))}"


async def _raised(call: Awaitable[None]) -> Exception | None:
    try:
        await call
    except Exception as error:  # noqa: BLE001  (the caller looks at it)
        return error
    return None

"""Tries a driver against a service that no fault touches: each promise of `docs/drivers.md`, one check each.

A check that cannot be made, since an earlier one failed, is not tried. Everything here happens to users of its own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

from chaos.errors import DriverError, NotNow, Refused
from chaos.history.events import is_unasked
from chaos.workload.drivers.blame import defect_of
from chaos.workload.drivers.calls import answer_of
from chaos.workload.fleet import ask_nobody
from chaos.workload.logbook import quoted
from chaos.workload.reads.doors import Door, Reader, copy_door
from chaos.workload.reads.relay import DEAD_SECONDS_MAX, HOLD_SECONDS, Relays, dead, failing, holding
from chaos.workload.records import digest, make
from chaos.workload.session import Changes, FrontDoor, Session
from chaos.workload.tryout.findings import Finding, NotTried, Promises, WrongError, compare
from chaos.workload.tryout.giving_up import GivingUp
from chaos.workload.tryout.phones import OWNER, Phones

PHOTO_BYTES: Final = 70_001
PATIENCE_SECONDS: Final = 0.3
_OTHER: Final = "u-tryout-2"


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
        self._phones = Phones(driver, service, promises)
        self._one: Session
        self._two: Session
        self._first = self._phones.record("first", "w-try-1")
        self._second = self._phones.record("first", "w-try-2")
        self._photo = make(OWNER, "photo", "w-try-4", "photo", size_bytes=PHOTO_BYTES)
        self._cursor: str | None = None

    async def run(self) -> AsyncIterator[Finding]:
        """Make every check in its order."""
        missing: set[str] = set()
        try:
            for name, check, needs in self._checks():
                if lacking := tuple(sorted(needs & missing)):
                    finding = Finding(name, "not tried", f"it needs: {', '.join(lacking)}", needs=lacking)
                else:
                    finding = await self._made(name, check)
                if finding.outcome == "wrong" or lacking:
                    missing.add(name)
                yield finding
        finally:
            await self._phones.close_all()

    async def _made(self, name: str, check: Callable[[], Awaitable[None]]) -> Finding:
        try:
            await check()
        except NotTried as reason:
            return Finding(name, "not tried", str(reason))
        except WrongError as error:
            return Finding(name, "wrong", str(error), error.remedy)
        except DriverError as error:
            return Finding(name, "wrong", str(error), "see `holdfast docs drivers`")
        except Exception as error:  # noqa: BLE001  (whatever a driver raises is what its author has to know)
            remedy = "see what the service says: no fault is in force"
            if defect_of(error):
                remedy = "fill it in" if isinstance(error, NotImplementedError) else "mend that line"
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
            door = Door(copy_door(kind, service), OWNER, f"{kind}-{service}", kind, f"{service}:{port}")
            yield f"the door {door.door} reads its copy", lambda door=door: self._a_copy(door), read  # type: ignore[misc]
        yield "where nobody listens every method raises", self._nobody_listens, put
        yield "a reply that is cut off is unknown", self._a_cut_reply, read
        yield "a call that is given up leaves nothing open", self._given_up, changes | {"delete deletes"}
        yield "an error of the service is no yes", self._an_error, put
        yield "waiting does not block", self._waiting, put

    # --- the checks

    async def _put_creates(self) -> None:
        self._one, self._two = (self._phones.new(device) for device in ("d-one", "d-two"))
        await self._phones.put(self._one, self._first, None)

    async def _everything_shows_it(self) -> None:
        for session in (self._one, self._two):
            compare(await self._phones.everything(session), [self._first])

    async def _a_photo_comes_back(self) -> None:
        if not self._promises.photos:
            raise NotTried("the workload has no photos")
        await self._phones.put(self._one, self._photo, None)
        there = await self._phones.everything(self._two)
        compare([record for record in there if record.name == self._photo.name], [self._photo])

    async def _the_same_put_again(self) -> None:
        if not self._promises.keyed:
            raise NotTried("x-chaos says idempotency: none")
        try:
            # a session that has not heard the first answer, as that of a phone whose answer was lost
            await self._phones.put(self._phones.new("d-one"), self._first, None)
        except Refused as error:
            raise WrongError(
                f"it was refused ({error})",
                "a phone that heard no answer tries again with the same key, and the service has to answer as before; "
                "send `key`; if the service knows no keys, declare `idempotency: none` under x-chaos",
            ) from error
        compare([r for r in await self._phones.everything(self._two) if r.name == self._first.name], [self._first])

    async def _put_updates(self) -> None:
        await self._phones.put(self._one, self._second, self._phones.base(self._first))
        if self._promises.keyed:
            try:
                await self._phones.put(self._one, self._second, self._phones.base(self._first))
            except Refused as error:
                raise WrongError(
                    f"the same update with the same key again was refused ({error})",
                    "send `key`, and let a known key be answered before the base is compared",
                ) from error
        compare([r for r in await self._phones.everything(self._two) if r.name == self._second.name], [self._second])

    async def _an_old_base_is_refused(self) -> None:
        if self._promises.policy != "reject":
            raise NotTried(f"x-chaos says conflict: {self._promises.policy}")
        late = self._phones.record("first", "w-try-3")
        remedy = (
            "send the base that `put` was given (as If-Match, or in a WHERE clause) and raise Refused where it is "
            "old; if the service takes the last write, declare `conflict: last-writer-wins` under x-chaos"
        )
        try:
            await self._phones.put(self._one, late, self._first.write)
        except NotNow as error:
            raise WrongError(f"it raised NotNow ({error}): the phone would try again for ever", remedy) from error
        except Refused:
            pass
        except Exception as error:
            if defect_of(error):
                raise
            raise WrongError(f"it raised {self._told(error)}, which means unknown, not Refused", remedy) from error
        else:
            raise WrongError("it was acknowledged, so the base is not honoured", remedy)
        compare([r for r in await self._phones.everything(self._two) if r.name == self._second.name], [self._second])

    async def _changes_from_the_beginning(self) -> None:
        found = await self._phones.changes(self._two, None)
        await self._has_everything(found, "changes(None)", "a phone syncs once: return all pages")
        if not isinstance(found.cursor, str):
            raise WrongError(f"its cursor is a {type(found.cursor).__name__}", "give the cursor as text")
        self._cursor = found.cursor

    async def _changes_since(self) -> None:
        new = self._phones.record("later", "w-try-5", kind=-1)
        await self._phones.put(self._one, new, None)
        found = await self._phones.changes(self._two, self._cursor)
        if digest(new) not in {digest(record) for record in found.records}:
            raise WrongError("a record put since the cursor is not there, or not whole", "ask from the cursor given")
        if found.full:
            await self._has_everything(found, "a Changes with full=True", "say so only where all records are in it")

    async def _has_everything(self, found: Changes, what: str, remedy: str) -> None:
        whole = {digest(record) for record in found.records}
        for record in await self._phones.everything(self._two):
            if digest(record) not in whole:
                raise WrongError(f"{what} lacks {record.name}, which everything() has", remedy)

    async def _delete_deletes(self) -> None:
        base = self._phones.base(self._second)
        for again in range(2 if self._promises.keyed else 1):
            try:
                await self._phones.delete(self._one, "first", base)
            except Refused as error:
                which = "the same delete with the same key again" if again else "it"
                raise WrongError(f"{which} was refused ({error})", "honour base and key as put does") from error
        if any(record.name == "first" for record in await self._phones.everything(self._two)):
            raise WrongError("the record is there afterwards", "leave deleted records out of `everything`")

    async def _changes_tells_the_deleted(self) -> None:
        found = await self._phones.changes(self._two, self._cursor)
        if "first" not in found.deleted and not (found.full and "first" not in {each.name for each in found.records}):
            raise WrongError(
                f"deleted is {list(found.deleted)!r:.80}, without it",
                "return the name of every record deleted since the cursor, or phones keep it for ever; of a full read, "
                "say `full=True`",
            )

    async def _another_user(self) -> None:
        other = self._phones.new("d-three", user=_OTHER)
        if found := await self._phones.everything(other):
            raise WrongError(f"it was shown {found[0].name} of {OWNER}", "ask for the user that the session was given")

    async def _closed_and_used_again(self) -> None:
        await self._phones.bounded(self._one.close)
        await self._phones.everything(self._one)

    async def _a_fresh_process(self) -> None:
        await self._by_the_reader(Door("fresh", OWNER, "d-fresh"))

    async def _a_copy(self, door: Door) -> None:
        await self._by_the_reader(door)

    async def _nobody_listens(self) -> None:
        await ask_nobody(self._driver, self._service, OWNER, "d-nobody", None)
        with dead(self._service) as nobody:
            session = self._phones.new("d-nobody", at=nobody)
            lost = self._phones.record("nowhere", "w-try-6")
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "put": lambda: session.put(lost, None, "k-try-nowhere"),
                "delete": lambda: session.delete("nowhere", None, "k-try-nowhere-2"),
            }
            for method, call in calls.items():
                error = await _raised(answer_of(call, DEAD_SECONDS_MAX))
                if error is None:
                    raise WrongError(
                        f"{method} returned, which means acknowledged", "raise wherever the service has not said yes"
                    )
                if defect_of(error):
                    raise error
                if _is_final(error):
                    raise WrongError(
                        f"{method} raised Refused ({error})", "raise NotNow, or the phone drops its user's change"
                    ) from error

    async def _a_cut_reply(self) -> None:
        record = self._phones.record("cut", "w-try-7")
        with self._relays.to(self._service) as relay:
            session = self._phones.new("d-cut", at=relay.front_door)
            await self._phones.everything(session)  # the connection is there, as a phone's is
            relay.cut()
            error = await _raised(self._phones.put(session, record, None))
            asked = relay.asked_since_cut
        if error is None:
            raise WrongError("put returned though no answer came through", "retry nothing yourself, and guess nothing")
        if defect_of(error):
            raise error
        if asked > 1:
            raise WrongError(
                f"the request was sent {asked} times in one put",
                "switch the library's own retries off: the phone retries",
            )
        there = any(found.name == record.name for found in await self._phones.everything(self._two))
        if isinstance(error, Refused) and (there or not isinstance(error, NotNow)):
            applied = ", and the record is there" if there else ""
            raise WrongError(
                f"put raised {self._told(error)}, which means definitely not applied{applied}",
                "let the exception through: when the answer is missing, nobody knows",
            )

    async def _an_error(self) -> None:
        with failing(self._service) as door:
            session = self._phones.new("d-failing", at=door)
            record = self._phones.record("failing", "w-try-8")
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "put": lambda: session.put(record, None, "k-try-failing"),
                "delete": lambda: session.delete("failing", None, "k-try-failing-2"),
                "everything": session.everything,
            }
            for method, call in calls.items():
                error = await _raised(answer_of(call, DEAD_SECONDS_MAX))  # a defect, too, is no yes
                if error is None:
                    raise WrongError(
                        f"{method} returned although the service answered with status 500",
                        "look at the status before the body, and raise unless it says yes",
                    )
                if _is_final(error):
                    raise WrongError(
                        f"{method} raised Refused ({error}) where the service answered with status 500",
                        "raise something else: a request that ends in an error may have been applied",
                    ) from error

    async def _given_up(self) -> None:
        await GivingUp(self._phones, self._two, self._service, self._relays).check()

    async def _waiting(self) -> None:
        with holding(self._service) as hole:
            session = self._phones.new("d-held", at=hole)
            begun = time.monotonic()
            with contextlib.suppress(Exception):
                await answer_of(session.everything, PATIENCE_SECONDS)
            held = time.monotonic() - begun
        if held > HOLD_SECONDS / 2:
            raise WrongError(
                f"everything() held up the event loop for {held:.1f} s, and with it every other phone",
                "use a library that awaits, or put the call into `await asyncio.to_thread(...)`",
            )

    # --- what they are made of

    def _told(self, error: Exception) -> str:
        return quoted(defect_of(error) or error, self._hush)

    async def _by_the_reader(self, door: Door) -> None:
        """Read through a door in another process, as at the end of a trial, and compare it with what is there."""
        reads = await self._reader.read(self._service, 1, [door], seconds_max=5.0, impatient=True)
        last = reads[-1]
        if last.outcome == "fail":
            raise WrongError(f"it could not be read: {last.why}", "see the error; a reader has a HOME of its own")
        if is_unasked(last.asked_bytes, last.answered_bytes, len(last.rows)):
            raise WrongError(
                f"{len(last.rows)} records came of {last.asked_bytes} bytes asked and {last.answered_bytes} answered",
                _UNASKED.get(bool(door.kind), ""),
            )
        there = sorted(digest(record) for record in await self._phones.everything(self._two))
        if (found := sorted(row.hash for row in last.rows)) != there:
            raise WrongError(
                f"it returned {len(found)} records that are not those that the service has ({len(there)})",
                "return everything that is there now, unchanged",
            )
        if not last.settled:
            raise WrongError("two reads one after the other differ", "return what is there, whole, each time")


_UNASKED: Final = {
    False: "let `everything` ask the address that the session was given, each time",
    True: "ask the copy at `front_door.others[at]`, each time; one that holds only blobs says `blobs_alone = True`",
}


def _is_final(error: Exception) -> bool:
    """Whether it says that the request was not applied, and is not to be tried again."""
    return isinstance(error, Refused) and not isinstance(error, NotNow)


async def _raised(call: Awaitable[object]) -> Exception | None:
    try:
        await call
    except Exception as error:  # noqa: BLE001  (the caller looks at it)
        return error
    return None

"""All phones of a trial: they carry out the drawn actions in time, whatever the service does meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from chaos.errors import DriverError, HarnessError
from chaos.experiment.plan import PHOTO, Workload
from chaos.history.events import CANARY_DEVICE, CANARY_OWNER, DoorRead, Policy, Row
from chaos.workload.device import Device, Habits
from chaos.workload.drivers.calls import answer_of, close
from chaos.workload.generator import Action
from chaos.workload.logbook import Logbook
from chaos.workload.reads.relay import DEAD_SECONDS_MAX, dead
from chaos.workload.session import FrontDoor, Session

DRAIN_PATIENCE_SECONDS = 0.5
"""After the last drawn operation the outboxes are worked off as long as answers come at least this often."""
DRAIN_SECONDS_MAX = 30.0
AWAITED_PATIENCE_SECONDS, AWAITED_SECONDS_MAX = 10.0, 120.0
"""As long as something waits for what is still to be sent, the same is bounded by these."""
WITNESSES_MAX = 5
"""Users whose records a witness reads: enough to prove something, and few enough not to be a load."""
_WRITES = {"create": 1, "update": 1, "delete": 1, "contend": 2}
"""Operations of the workload in an action of each kind; others are none."""
Heard = Callable[[], Awaitable[tuple[int, int]]]
ROUNDS_MAX = 10
"""Reads of one door before it is called not quiescent."""


class Fleet:
    """The phones, and what the users do with them."""

    def __init__(
        self,
        workload: Workload,
        actions: Sequence[Action],
        driver: type[Session],
        front_door: FrontDoor,
        logbook: Logbook,
        policy: Policy = "reject",
    ) -> None:
        """Make the phones; nothing is sent yet."""
        self._actions = actions
        self._logbook = logbook
        self._front_door = front_door
        self._one_by_one = asyncio.Lock()
        self._driver = driver
        self._habits = Habits(
            policy, workload.request_seconds_max, types=(*(each.name for each in workload.record_types), PHOTO)
        )
        self._types = {each.name: each for each in workload.record_types}
        # How long two phones that are to contend wait for a version that both have.
        self._meet_seconds_max = workload.request_seconds_max
        self._tasks: set[asyncio.Task[None]] = set()
        self.devices = tuple(
            _device(number, workload, driver, front_door, logbook, self._habits)
            for number in range(workload.users * workload.devices_per_user)
        )
        # The canaries' phone does nothing but have its cache read, where the check must see them too.
        self._canary = Device(
            CANARY_DEVICE,
            CANARY_OWNER,
            lambda: driver(front_door, user=CANARY_OWNER, device=CANARY_DEVICE),
            logbook,
            self._habits,
        )
        self.performed = 0

    @property
    def owners(self) -> tuple[str, ...]:
        """The users, in order."""
        return tuple(dict.fromkeys(device.owner for device in self.devices))

    def waiting_records(self) -> set[tuple[str, str]]:
        """Owners and names of records of which a phone still has a write to send."""
        return {(device.owner, name) for device in self.devices for name in device.waiting}

    async def work(self, awaits: Callable[[int], bool] = lambda unsent: False) -> None:
        """Carry out every action at its time, then work off the outboxes while the service answers.

        So a load ends by its operations, and by time only where they find no answer. While something `awaits` that so
        many unsent writes are sent, such as the trigger of a fault on a slow machine, they are given more time. On
        return nothing is on its way and every connection is closed. What could not be sent is in the
        outboxes.
        """
        for device in self.devices:
            device.resume()
        begun = time.monotonic()
        for action in self._actions:
            ahead = begun + action.at_seconds - time.monotonic()
            # Always once, so that phones get the loop even when the load is late.
            await asyncio.sleep(max(0.0, ahead))
            self._perform(action)
            self.performed += _WRITES.get(action.kind, 0)
            self._raise_if_broken()
        for device in self.devices:
            device.go_online()
        await asyncio.gather(*self._tasks)
        await self._drain(time.monotonic() + DRAIN_SECONDS_MAX, DRAIN_PATIENCE_SECONDS, awaits)
        await self._together(device.pause() for device in self.devices)
        self._raise_if_broken()

    async def flush_and_sync(self, deadline: float, heard: Heard | None = None) -> None:
        """Door 2: phones flush their outboxes and sync without a reset; each cache is read until it is stable.

        Args:
            deadline: On `time.monotonic()`; half of what is left until then is for the flush.
            heard: Packets that have reached the service so far, and a mark: where that differs, counting began anew.
                Phones then sync one after the other, so that each is known to have asked.
        """
        for device in self.devices:
            device.resume()
        now = time.monotonic()
        await self._drain(now + (deadline - now) / 2, deadline - now)
        await self._together(device.pause() for device in self.devices)
        # A barrier: no write comes back once the first cache is read, so one read suffices to see them all.
        self._canary.resume()
        everyone = (*self.devices, self._canary)
        if heard is not None:  # connect all together: that takes longer than a sync
            await asyncio.gather(*(device.sync_now() for device in everyone))
        await self._together(self._read_cache(device, deadline, heard) for device in everyone)
        await self._together(device.pause() for device in everyone)
        self._raise_if_broken()

    async def ask_nobody(self) -> None:
        """Let a phone of every user sync once at an address where nobody listens, which has to fail.

        Raises:
            DriverError: It does not.
        """
        first = {device.owner: device for device in reversed(self.devices)}
        await asyncio.gather(
            *(ask_nobody(self._driver, self._front_door, each.owner, each.name, each.cursor) for each in first.values())
        )

    async def witness(self, beside: FrontDoor) -> None:
        """Read, past the carrier, the records of some users who wait for the outcome of a write.

        What such a read returns has been committed, whether its phone heard of it or not. One attempt for each; a
        service that does not answer is no failure here.
        """
        waiting = dict.fromkeys(device.owner for device in self.devices if device.unheard)
        witnesses = [
            Device(
                f"d-witness-{owner}",
                owner,
                lambda owner=owner: self._driver(beside, user=owner, device="d-witness"),  # type: ignore[misc]
                self._logbook,
                self._habits,
            )
            for owner in list(waiting)[:WITNESSES_MAX]
        ]
        await asyncio.gather(*(each.sync_now() for each in witnesses))
        await self._together(each.close() for each in witnesses)

    async def close(self) -> None:
        """Stop every phone at once."""
        for task in self._tasks:
            task.cancel()
        await self._together(device.close() for device in (*self.devices, self._canary))

    async def _synced(self, device: Device, heard: Heard | None) -> tuple[int, str, int | None]:
        """One sync: when it began, why it failed, and the packets that reached the service meanwhile."""
        if heard is None:
            return self._logbook.clock(), await device.sync_now(), None
        async with self._one_by_one:
            before, mark = await heard()
            invoked = self._logbook.clock()
            why = await device.sync_now()
            after, mark_after = await heard()
        return invoked, why, after - before if mark == mark_after else None

    async def _read_cache(self, device: Device, deadline: float, heard: Heard | None) -> None:
        before: tuple[Row, ...] | None = None
        number = 0
        while number < ROUNDS_MAX:
            invoked, why, packets = await self._synced(device, heard)
            if why and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
                continue
            number += 1
            rows = device.cache.rows()
            settled = not why and rows == before
            self._logbook.sink.append(
                DoorRead(
                    2,
                    f"cache {device.name}",
                    device.owner,
                    number,
                    invoked,
                    self._logbook.clock(),
                    "fail" if why else "ok",
                    settled=settled,
                    asked_packets=packets,
                    rows=() if why else rows,
                    why=why,
                )
            )
            if settled or why or time.monotonic() >= deadline:
                return
            before = rows

    async def _drain(
        self, deadline: float, patience_seconds: float, awaits: Callable[[int], bool] = lambda unsent: False
    ) -> None:
        """Wait until every outbox is empty, or no answer came for the given time, or the deadline.

        What is awaited moves the deadline: whatever comes of it needs a load, too.
        """
        begun, last = self._logbook.clock(), time.monotonic() + AWAITED_SECONDS_MAX
        while unsent := sum(device.unsent for device in self.devices):
            self._raise_if_broken()
            now = time.monotonic()
            awaited = now < last and awaits(unsent)
            if awaited:
                deadline = max(deadline, now + DRAIN_SECONDS_MAX)
            quiet = (self._logbook.clock() - max(begun, self._logbook.last_answer_at)) / 1e9
            if now >= deadline or quiet > (AWAITED_PATIENCE_SECONDS if awaited else patience_seconds):
                return
            waiting = [asyncio.create_task(device.idle()) for device in self.devices]
            _, left = await asyncio.wait(waiting, timeout=0.05)
            for task in left:
                task.cancel()

    def _perform(self, action: Action) -> None:
        device = self.devices[action.device]
        if action.kind == "sync":
            device.sync()
        elif action.kind == "reset":
            device.reset()
        elif action.kind == "offline":
            device.go_offline()
        elif action.kind == "online":
            device.go_online()
        elif action.kind == "contend":
            task = asyncio.create_task(self._contend(device, self.devices[action.rival], action))
            self._tasks.add(task)
        else:
            self._write(device, action)

    def _write(self, device: Device, action: Action) -> None:
        """A create, update or delete by one phone; where it knows nothing to update or delete, a create."""
        choices = device.choices()
        fitting = [name for name, known in choices.items() if known.type == action.type]
        if action.kind == "delete" or not fitting:
            # Without a content at hand, a photo is no record to change.
            fitting = [name for name, known in choices.items() if action.kind == "delete" or known.type != PHOTO]
        if action.kind == "create" or not fitting:
            device.create(action.type, self._size(action.type, action))
            return
        name = fitting[action.pick % len(fitting)]
        if action.kind == "delete":
            device.delete(name)
        else:
            device.update(name, self._size(choices[name].type, action))

    def _size(self, kind: str, action: Action) -> int:
        """Size of what an action writes: of a photo drawn with it, else within the bounds of the type."""
        return self._types[kind].size(action.pick) if kind in self._types else action.size_bytes

    async def _contend(self, one: Device, other: Device, action: Action) -> None:
        """Two phones of one user change the same version of a record, as two people with one account do."""
        if not _common(one, other):
            one.sync()
            other.sync()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._meet_seconds_max):
                    await asyncio.gather(one.idle(), other.idle())
        common = _common(one, other)
        if common:
            name, kind = common[action.pick % len(common)]
            one.update(name, self._size(kind, action))
            other.update(name, self._size(kind, action))
        else:
            self._write(one, action)
            self._write(other, action)

    async def _together(self, calls: Iterable[Awaitable[None]]) -> None:
        await asyncio.gather(*calls)

    def _raise_if_broken(self) -> None:
        for device in self.devices:
            if device.broken is not None:
                if isinstance(device.broken, HarnessError):
                    raise device.broken
                raise HarnessError(f"phone {device.name} broke down: {device.broken!r}") from device.broken


async def ask_nobody(driver: type[Session], service: FrontDoor, owner: str, device: str, cursor: str | None) -> None:
    """One delta sync at an address where nobody listens.

    Raises:
        DriverError: It returns, so the driver's syncs prove nothing of the service.
    """
    with dead(service) as nobody:
        session = driver(nobody, user=owner, device=device)
        try:
            found = await answer_of(lambda: session.changes(cursor), DEAD_SECONDS_MAX)
        except Exception:  # noqa: BLE001  (as it must be; in what words is the driver's)
            return
        finally:
            await close(session, DEAD_SECONDS_MAX)
    raise DriverError(
        f"driver {driver.__module__}:{driver.__qualname__}: a sync of {owner} returned {found!r:.60} from an address "
        f"where nobody listens, so it answers without the service and proves nothing; let `changes` ask the address "
        f"that the session was given, each time, and raise where nobody answers there"
    )


def _device(
    number: int,
    workload: Workload,
    driver: type[Session],
    front_door: FrontDoor,
    logbook: Logbook,
    habits: Habits,
) -> Device:
    name, owner = f"d-{number:02d}", f"u-{number // workload.devices_per_user:02d}"
    return Device(name, owner, lambda: driver(front_door, user=owner, device=name), logbook, habits)


def _common(one: Device, other: Device) -> list[tuple[str, str]]:
    """Names and types of records of which both phones have the same version, nothing of it waiting in an outbox."""
    others = other.settled_choices()
    return [
        (name, known.type)
        for name, known in one.settled_choices().items()
        if known.type != PHOTO and name in others and others[name].row.write == known.row.write
    ]

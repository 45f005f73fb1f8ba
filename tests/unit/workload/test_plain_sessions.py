"""The bases for drivers of services without delta sync: what a phone then knows, and when a connection is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from chaos.errors import NotNow, Refused, UsageError
from chaos.history.events import Back
from chaos.workload.device import Device, Habits
from chaos.workload.drivers import load_driver
from chaos.workload.drivers.blame import defect_of
from chaos.workload.drivers.plain import ConnectedSession, PlainSession
from chaos.workload.logbook import Logbook
from chaos.workload.session import Ack, Record, WriteId
from tests.unit.workload.fakes import DOOR, Events, MemorySession, Service, session_of

OWNER = "u-00"


class Plain(PlainSession):
    """Before a service in memory; subclasses set it."""

    service: Service

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        return await self._memory().put(record, base, key)

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        return await self._memory().delete(name, base, key)

    async def everything(self) -> Sequence[Record]:
        return await self._memory().everything()

    def _memory(self) -> MemorySession:
        return session_of(self.service)(DOOR, user=self.user, device=self.device)


def play(scene: Callable[[Service, Callable[[str], Device], Events], Awaitable[None]]) -> None:
    """A scene of a service, a maker of phones, and what the history got."""

    async def act() -> None:
        service, events = Service(), Events()
        logbook, driver = Logbook(events), type("Mine", (Plain,), {"service": service})
        phones: list[Device] = []

        def phone(name: str) -> Device:
            habits = Habits(backoff_seconds=(0.001, 0.002))
            made = Device(name, OWNER, lambda: driver(DOOR, user=OWNER, device=name), logbook, habits)
            made.resume()
            phones.append(made)
            return made

        await scene(service, phone, events)
        for each in phones:
            await each.close()

    asyncio.run(asyncio.wait_for(act(), 5))


def names(phone: Device) -> set[str]:
    return {row.record for row in phone.cache.rows()}


async def synced(phone: Device) -> None:
    phone.sync()
    await phone.idle()


def test_a_phone_knows_after_each_sync_what_the_service_has_and_nothing_else() -> None:
    async def scene(service: Service, phone: Callable[[str], Device], events: Events) -> None:
        one, two = phone("d-00"), phone("d-01")
        one.create("contact")
        one.create("todo")
        await one.idle()
        await synced(two)
        first, second = sorted(names(two))
        assert names(one) == names(two)
        two.delete(first)
        await synced(two)
        await synced(one)
        assert names(one) == {second}
        del service.records[OWNER][second]
        await synced(one)
        assert names(one) == set()

    play(scene)


def test_the_next_sync_after_a_reset_tells_everything() -> None:
    async def scene(service: Service, phone: Callable[[str], Device], events: Events) -> None:
        one = phone("d-00")
        one.create("contact")
        await synced(one)
        one.reset()
        await synced(one)
        assert len(names(one)) == 1

    play(scene)


def test_what_a_full_read_lacks_is_in_the_history_as_a_full_read_that_lacks_it_and_not_as_deleted() -> None:
    """A server that lags behind lacks records, too: only a service that says so has deleted one."""

    async def scene(service: Service, phone: Callable[[str], Device], events: Events) -> None:
        one = phone("d-00")
        one.create("contact")
        await synced(one)
        service.records[OWNER].clear()
        await synced(one)
        reads = [event for event in events.events if isinstance(event, Back) and event.full]
        assert [(len(read.rows), read.gone) for read in reads] == [(1, ()), (0, ())]

    play(scene)


def test_a_class_that_lacks_one_of_the_three_methods_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "poor.py").write_text(
        "from chaos import ConnectedSession\n"
        "class Poor(ConnectedSession):\n"
        "    async def put(self, record, base, key): ...\n"
        "    async def connect(self): ...\n"
    )
    with pytest.raises(UsageError) as caught:
        load_driver("poor:Poor", tmp_path)
    assert [line for line in str(caught.value).splitlines() if line.startswith("  - ")] == [
        "  - async method delete is missing",
        "  - async method everything is missing",
        "  - method disconnect is missing, which its base class asks for",
    ]


class Link:
    """A connection, which may break."""

    def __init__(self) -> None:
        self.ended = False
        self.broken = False


class Linked(ConnectedSession[Link]):
    """Keeps the connections that it made."""

    def __init__(self) -> None:
        super().__init__(DOOR, user=OWNER, device="d-00")
        self.made: list[Link] = []
        self.trouble: Exception | None = None

    async def connect(self) -> Link:
        if self.trouble:
            raise self.trouble
        self.made.append(Link())
        return self.made[-1]

    async def disconnect(self, link: Link) -> None:
        link.ended = True
        if link.broken:
            raise ConnectionError("broken pipe")

    def is_closed(self, link: Link) -> bool:
        return link.broken

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        raise AssertionError

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        raise AssertionError

    async def everything(self) -> Sequence[Record]:
        raise AssertionError

    async def used(self, error: BaseException | None = None) -> None:
        async with self.connected():
            if error:
                raise error


def test_a_connection_is_made_when_it_is_needed_and_kept_while_all_goes_well() -> None:
    session = Linked()
    assert session.made == []
    asyncio.run(session.used())
    asyncio.run(session.used())
    assert [link.ended for link in session.made] == [False]


@pytest.mark.parametrize("error", [Refused("no"), OSError("reset"), asyncio.CancelledError()], ids=repr)
def test_whatever_ends_a_call_out_of_order_ends_its_connection(error: BaseException) -> None:
    session = Linked()
    with pytest.raises(type(error)):
        asyncio.run(session.used(error))
    asyncio.run(session.used())
    assert [link.ended for link in session.made] == [True, False]


def test_what_ended_a_call_is_told_also_where_its_connection_cannot_be_ended() -> None:
    session = Linked()

    async def breaks() -> None:
        async with session.connected() as link:
            link.broken = True
            raise Refused("no")

    with pytest.raises(Refused, match="no"):
        asyncio.run(breaks())
    assert session.made[0].ended


def test_a_connection_that_is_known_to_have_ended_is_not_used_again() -> None:
    session = Linked()
    asyncio.run(session.used())
    session.made[0].broken = True
    asyncio.run(session.used())
    assert [link.ended for link in session.made] == [True, False]


def test_without_a_connection_nothing_was_sent_so_the_phone_tries_again() -> None:
    session = Linked()
    session.trouble = ConnectionRefusedError(111, "refused")
    with pytest.raises(NotNow, match=r"no connection: .*refused"):
        asyncio.run(session.used())


def test_a_defect_of_connect_is_told_as_one() -> None:
    class Misspelt(Linked):
        async def connect(self) -> Link:
            links: dict[str, Link] = {}
            return links["link"]

    with pytest.raises(KeyError) as caught:
        asyncio.run(Misspelt().used())
    assert defect_of(caught.value).startswith("KeyError: 'link', test_plain_sessions.py:")


def test_a_session_that_was_closed_connects_anew() -> None:
    session = Linked()
    asyncio.run(session.used())
    asyncio.run(session.close())
    asyncio.run(session.close())
    asyncio.run(session.used())
    assert [link.ended for link in session.made] == [True, False]


def test_an_error_within_a_compiled_library_is_no_defect_of_the_driver() -> None:
    """Its lines have a path relative to where it was built, and none on this host."""
    compiled = compile("def read(packet): return packet['row']", "asyncmy/protocol.pyx", "exec")
    library: dict[str, Callable[[object], object]] = {}
    exec(compiled, library)
    with pytest.raises(KeyError) as caught:
        library["read"]({})
    assert defect_of(caught.value) == ""

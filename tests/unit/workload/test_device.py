from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from chaos.workload.device import Device, Habits
from chaos.workload.logbook import Logbook
from chaos.workload.session import Ack, Record
from tests.unit.workload.fakes import DOOR, Events, Service, session_of

WAIT_SECONDS_MAX = 5.0


class Scene:
    """A service, its events, and phones of one user."""

    def __init__(self) -> None:
        self.service = Service()
        self.events = Events()
        self._logbook = Logbook(self.events)
        self._driver = session_of(self.service)

    def phone(self, name: str = "d-00", *, working: bool = True, seconds_max: float = 2.0) -> Device:
        habits = Habits(request_seconds_max=seconds_max, backoff_seconds=(0.001, 0.002))
        phone = Device(name, "u-00", lambda: self._driver(DOOR, user="u-00", device=name), self._logbook, habits)
        if working:
            phone.resume()
        return phone

    def names(self) -> list[str]:
        return [record.name for record in self.service.live("u-00")]


def play(scene: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a scene, bounded."""
    asyncio.run(asyncio.wait_for(_play(scene), WAIT_SECONDS_MAX))


async def _play(scene: Callable[[Scene], Awaitable[None]]) -> None:
    await scene(Scene())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (the loop is the clock here)
        await asyncio.sleep(0)


def test_what_is_done_offline_waits_in_the_outbox_and_is_sent_in_order() -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone()
        phone.go_offline()
        for _ in range(3):
            phone.create("todo")
        assert phone.unsent == 3
        assert s.service.keys == []
        phone.go_online()
        await phone.idle()
        assert s.service.keys == [act.key for act in s.events.acts("create")]
        assert phone.unsent == 0
        await phone.close()

    play(scene)


def test_a_lost_answer_is_tried_again_with_the_same_key_and_applied_once() -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone()
        s.service.trouble.extend(["lost answer", "lost request", "lost answer"])
        phone.create("contact")
        await phone.idle()
        (act,) = s.events.acts("create")
        assert s.events.outcomes(act.op) == ["info", "info", "info", "ok"]
        assert set(s.service.keys) == {act.key}
        assert len(s.names()) == 1
        await phone.close()

    play(scene)


def test_a_request_that_was_surely_not_applied_is_a_fail_and_tried_again() -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone()
        s.service.trouble.append("busy")
        phone.create("contact")
        await phone.idle()
        assert s.events.outcomes(s.events.acts("create")[0].op) == ["fail", "ok"]
        await phone.close()

    play(scene)


def test_an_attempt_without_answer_ends_as_unknown_after_the_time_allowed() -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone(seconds_max=0.01)
        s.service.trouble.append("hang")
        phone.create("contact")
        await phone.idle()
        assert s.events.outcomes(s.events.acts("create")[0].op) == ["info", "ok"]
        await phone.close()

    play(scene)


def test_an_update_is_based_on_the_write_before_it_even_while_that_is_still_in_the_outbox() -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone()
        phone.go_offline()
        phone.create("contact")
        (name,) = phone.choices()
        phone.update(name)
        phone.delete(name)
        create, update, delete = s.events.acts("create", "update", "delete")
        assert (create.base, update.base, delete.base) == (None, create.write, update.write)
        assert phone.choices() == {}
        phone.go_online()
        await phone.idle()
        assert [s.events.outcomes(act.op) for act in (create, update, delete)] == [["ok"]] * 3
        assert phone.cache.rows() == ()
        await phone.close()

    play(scene)


def test_a_refused_write_takes_what_is_based_on_it_along_and_the_phone_syncs() -> None:
    async def scene(s: Scene) -> None:
        one, other = s.phone("d-00"), s.phone("d-01")
        one.create("contact")
        await one.idle()
        other.sync()
        await other.idle()
        (name,) = other.choices()
        one.update(name)
        await one.idle()
        other.go_offline()
        other.update(name)
        other.update(name)
        other.create("todo")
        other.go_online()
        await other.idle()
        first, second = (act for act in s.events.acts("update") if act.device == "d-01")
        assert s.events.outcomes(first.op) == ["fail"]
        assert s.events.sent(second.op) == 0
        # It sees the winner's version now, and went on with the rest of its outbox.
        assert other.choices()[name].row.write == s.events.acts("update")[0].write
        assert len(s.names()) == 2
        await one.close()
        await other.close()

    play(scene)


def test_a_record_that_the_service_does_not_know_any_more_is_left_alone_but_kept() -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone()
        phone.create("contact")
        await phone.idle()
        s.service.records.clear()
        (name,) = phone.choices()
        phone.update(name)
        await phone.idle()
        assert phone.choices() == {}
        assert [row.record for row in phone.cache.rows()] == [name]
        await phone.close()

    play(scene)


def test_a_reset_wipes_cache_outbox_and_keys_and_starts_a_new_session_with_a_full_read() -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone()
        phone.create("contact")
        await phone.idle()
        phone.go_offline()
        phone.create("todo")
        phone.create("todo")
        phone.reset()
        assert phone.choices() == {}
        await phone.idle()
        phone.create("calendar")
        await phone.idle()
        (reset,) = s.events.acts("reset")
        assert (reset.session, reset.outbox) == ("d-00#1", 2)
        kept, *wiped, after = s.events.acts("create")
        assert [s.events.sent(act.op) for act in wiped] == [0, 0]
        assert (kept.session, after.session) == ("d-00#1", "d-00#2")
        assert len({act.key for act in s.events.acts("create")}) == 4
        assert [act.kind for act in s.events.acts("list", "sync")] == ["list"]
        assert set(phone.choices()) == {kept.record, after.record}
        await phone.close()

    play(scene)


def test_a_reset_gives_up_the_request_on_its_way_whose_outcome_stays_unknown() -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone()
        s.service.trouble.append("hang")
        phone.create("contact")
        (act,) = s.events.acts("create")
        await until(lambda: s.events.sent(act.op) == 1 and not s.service.trouble)
        phone.reset()
        await phone.idle()
        assert s.events.outcomes(act.op) == ["info"]
        await phone.close()

    play(scene)


def test_pausing_waits_for_the_request_on_its_way_and_sends_nothing_more() -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone()
        phone.create("contact")
        phone.create("contact")
        await asyncio.sleep(0)
        await phone.pause()
        sent = len(s.service.keys)
        assert sent + phone.unsent == 2
        phone.create("contact")
        assert len(s.service.keys) == sent
        phone.resume()
        await phone.idle()
        assert len(s.names()) == 3
        await phone.close()

    play(scene)


def test_under_last_writer_wins_the_history_has_what_a_phone_knew_and_the_service_is_told_of_no_base() -> None:
    events, service = Events(), Service()
    bases: list[str | None] = []

    async def scene() -> None:
        class Told(session_of(service)):  # type: ignore[misc]
            async def put(self, record: Record, base: str | None, key: str) -> Ack:
                bases.append(base)
                return cast(Ack, await super().put(record, base, key))

        phone = Device(
            "d-00",
            "u-00",
            lambda: Told(DOOR, user="u-00", device="d-00"),
            Logbook(events),
            Habits(policy="last-writer-wins"),
        )
        phone.create("contact")
        phone.update(next(iter(phone.choices())))
        phone.resume()
        await phone.idle()
        await phone.close()

    asyncio.run(scene())
    created, updated = events.acts("create", "update")
    assert (created.base, updated.base) == (None, created.write)
    assert bases == [None, None]


def test_a_phone_that_cannot_write_its_history_says_so_instead_of_hanging() -> None:
    class Full(Events):
        def append(self, event: object) -> None:
            if self.events:
                raise OSError("disk full")
            self.events.append(event)  # type: ignore[arg-type]

    async def scene() -> None:
        driver = session_of(Service())
        phone = Device("d-00", "u-00", lambda: driver(DOOR, user="u-00", device="d-00"), Logbook(Full()), Habits())
        phone.resume()
        phone.create("contact")
        await asyncio.wait_for(phone.idle(), WAIT_SECONDS_MAX)
        assert isinstance(phone.broken, OSError)
        await phone.close()

    asyncio.run(scene())

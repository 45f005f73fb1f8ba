"""The controller's end of the agent: lines over a socket."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.agent.wire import Beat, Drop, Event, Health, LunHealth, Save
from chaos.agent.wire_states import CountIos, Counts
from chaos.errors import AgentError
from chaos.stack.agent import link
from chaos.stack.agent.link import Agent, _door
from chaos.stack.engine.identity import Run


class Container:
    """The agent's container, from its own side."""

    def __init__(self) -> None:
        near, self._far = socket.socketpair()
        near.setblocking(False)
        self._far.setblocking(False)
        self.events: list[Event] = []
        self._told = asyncio.Semaphore(0)
        self.agent = Agent("container", near, self._hear)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(near.fileno(), self.agent._readable)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self._told.release()

    async def heard(self, count: int) -> None:
        """Wait until so many more events were handed on."""
        async with asyncio.timeout(5):
            for _ in range(count):
                await self._told.acquire()

    async def request(self) -> dict[str, Any]:
        line = await self._loop.sock_recv(self._far, 1 << 16)
        request: dict[str, Any] = json.loads(line)
        return request

    async def say(self, *pieces: bytes, split: bool = False) -> None:
        for piece in pieces:
            for part in [piece[i : i + 1] for i in range(len(piece))] if split else [piece]:
                await self._loop.sock_sendall(self._far, part)
                await asyncio.sleep(0)

    async def end(self) -> None:
        self._far.close()
        async with asyncio.timeout(5):
            await self.agent.lost.wait()


Act = Callable[[Container], Awaitable[None]]


def play(act: Act) -> None:
    async def scene() -> None:
        async with asyncio.timeout(10):
            container = Container()
            try:
                await act(container)
            finally:
                await container.agent.stop()
                container._far.close()

    asyncio.run(scene())


@pytest.mark.parametrize("split", [False, True])
def test_an_answer_finds_its_request_however_it_is_cut_up(split: bool) -> None:
    async def act(container: Container) -> None:
        first = asyncio.create_task(container.agent.call(CountIos(("a",))))
        asked = await container.request()
        second = asyncio.create_task(container.agent.call(Health("a")))
        other = await container.request()
        assert (asked["do"], asked["luns"], other["do"]) == ("count_ios", ["a"], "health")
        health, counts = '{"closed": true, "gave_up": false}', '{"luns": {}}'
        answers = f'{{"id": {other["id"]}, "ok": {health}}}\n{{"id": {asked["id"]}, "ok": {counts}}}\n'.encode()
        await container.say(answers[:7], answers[7:], split=split)
        assert (await first, await second) == (Counts({}), LunHealth(closed=True, gave_up=False))

    play(act)


def test_a_refusal_is_an_error_with_the_agents_reason_and_an_event() -> None:
    async def act(container: Container) -> None:
        asking = asyncio.create_task(container.agent.call(Drop("nosuch")))
        number = (await container.request())["id"]
        await container.say(f'{{"id": {number}, "error": "drop: KeyError: nosuch", "trace": "t"}}\n'.encode())
        with pytest.raises(AgentError, match="the agent refused drop: KeyError: nosuch"):
            await asking
        assert container.events[-1] == Event("refused", error="drop: KeyError: nosuch", trace="t")

    play(act)


def test_events_are_handed_on() -> None:
    async def act(container: Container) -> None:
        await container.say(b'{"event": "exited", "service": "db"}\n')
        await container.heard(1)
        assert container.events == [Event("exited", service="db")]

    play(act)


def test_who_is_told_of_a_strike_is_told_before_an_answer_that_came_after_it() -> None:
    async def act(container: Container) -> None:
        told: list[str] = []
        container.agent.on_struck[3] = lambda event: told.append(f"struck {event.cause}")

        async def ask() -> None:
            await container.agent.call(Drop("disk"))
            told.append("answered")

        asking = asyncio.create_task(ask())
        number = (await container.request())["id"]
        strike = '{"event": "struck", "cause": 3}\n'
        await container.say(f'{strike}{{"id": {number}, "ok": {{}}}}\n{strike}'.encode())
        await asking
        await container.heard(2)
        assert told == ["struck 3", "answered"], "once"
        assert container.events == [Event("struck", cause=3)] * 2

    play(act)


def test_a_line_that_cannot_be_taken_is_told_of_and_takes_none_of_those_that_came_with_it() -> None:
    async def act(container: Container) -> None:
        wrong: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))

        def fails(event: Event) -> None:
            raise ZeroDivisionError

        container.agent.on_struck[3] = fails
        asking = asyncio.create_task(container.agent.call(Drop("disk")))
        number = (await container.request())["id"]
        bad = b'no JSON\n{"event": "struck", "cause": 3}\n{"event": 7, "other": 1}\n'
        await container.say(bad + f'{{"id": {number}, "ok": {{}}}}\n{{"event": "exited", "service": "db"}}\n'.encode())
        await asking
        assert container.events[-1] == Event("exited", service="db")
        assert [type(each["exception"]).__name__ for each in wrong][:2] == ["JSONDecodeError", "ZeroDivisionError"]
        assert wrong[0]["message"] == "the agent said b'no JSON'"

    play(act)


def test_the_door_is_there_for_one_agent_and_gone_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 20)  # longer than an address may be
    folder.mkdir(parents=True)
    run = Run.begin(0)
    with _door(str(folder), run) as door:
        path = folder / f"{run.id}.sock"
        assert (door.family, path.is_socket(), path.stat().st_mode & 0o777) == (socket.AF_UNIX, True, 0o600)
    assert list(folder.iterdir()) == []


def starting(monkeypatch: pytest.MonkeyPatch, folder: Path, says: bytes, *, ends: bool) -> None:
    """Start an agent that connects, says this, and ends or stays silent."""
    (folder / "scratch").mkdir()
    monkeypatch.setattr(link, "_READY_SECONDS_MAX", 5.0 if ends else 0.1)
    with socket.socket(socket.AF_UNIX) as far:

        def launch(client: object, image: str, run: Run, cache: str) -> str:
            far.connect(str(folder / "scratch" / f"{run.id}.sock"))
            far.sendall(says)
            if ends:
                far.shutdown(socket.SHUT_RDWR)
            return "container"

        monkeypatch.setattr(link, "_launch", launch)
        asyncio.run(Agent.start(cast(Any, None), "", Run("run", ""), str(folder), lambda event: None))


def test_an_agent_that_ends_before_it_is_ready_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AgentError, match="ended before it was ready: OSError: no /dev/fuse; see"):
        starting(
            monkeypatch, tmp_path, b'{"event": "crashed", "trace": "Traceback\\nOSError: no /dev/fuse"}\n', ends=True
        )


def test_an_agent_that_connects_and_says_nothing_is_waited_for_no_longer_than_one_that_does_not_connect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AgentError, match="the agent was not ready in 0 s"):
        starting(monkeypatch, tmp_path, b"", ends=False)


def test_the_end_of_the_stream_fails_who_waits_and_who_comes_later() -> None:
    async def act(container: Container) -> None:
        asking = asyncio.create_task(container.agent.call(CountIos(())))
        await container.request()
        await container.end()
        with pytest.raises(AgentError, match="the agent is gone"):
            await asking
        with pytest.raises(AgentError, match="the agent is gone, beat cannot be done"):
            await container.agent.call(Beat())

    play(act)


def test_an_answer_to_a_request_that_was_given_up_is_nothing() -> None:
    async def act(container: Container) -> None:
        asking = asyncio.create_task(container.agent.call(Save("a", "a.img")))
        number = (await container.request())["id"]
        asking.cancel()
        await container.say(f'{{"id": {number}, "ok": 1}}\n'.encode())
        await container.say(b'{"event": "ready"}\n')
        await container.heard(1)
        assert not container.agent.lost.is_set()

    play(act)


def test_an_agent_that_is_handed_over_lives_on_and_is_nobodys_here() -> None:
    async def act(container: Container) -> None:
        with container.agent.hand_over() as link:
            assert container.agent.lost.is_set()
            with pytest.raises(AgentError, match="the agent is gone"):
                await container.agent.call(CountIos(("pgdata",)))
            link.sendall(b'{"do": "beat"}\n')
            assert await container.request() == {"do": "beat"}
        assert await asyncio.get_running_loop().sock_recv(container._far, 1) == b""

    play(act)

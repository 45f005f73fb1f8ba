"""The driver `redis` before a server of a few lines; tests/integration/test_stores.py has it before the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from chaos.errors import NotNow, Refused
from chaos.workload.drivers.redis import RedisOptions, RedisSession
from chaos.workload.records import make
from chaos.workload.session import FrontDoor
from chaos.workload.values import packed

SECONDS_MAX = 10.0
ONE = make("u-00", "ada-1", "w-1", "todo")
TWO = make("u-00", "ada-1", "w-2", "todo")


@dataclass
class Server:
    """Answers each command with what `answers` has for its name; nothing there: it ends the connection.

    Attributes:
        asked: All commands, each as its words.
        connections: How many there were.
    """

    answers: dict[str, bytes] = field(default_factory=dict)
    asked: list[list[bytes]] = field(default_factory=list)
    connections: int = 0
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.append(writer)
        while head := await reader.readline():
            words = [await self._word(reader) for _ in range(int(head[1:]))]
            self.asked.append(words)
            if not (answer := self.answers.get(words[0].decode())):
                break
            writer.write(answer)
        writer.close()

    async def _word(self, reader: asyncio.StreamReader) -> bytes:
        size = int((await reader.readline())[1:])
        return (await reader.readexactly(size + 2))[:-2]

    def hash_of(self, **values: bytes) -> bytes:
        words = [word for name, value in values.items() for word in (name.encode(), value)]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)

    @property
    def commands(self) -> list[bytes]:
        return [words[0] for words in self.asked]


def play(scene: Callable[[RedisSession, Server], Awaitable[None]], options: RedisOptions | None = None) -> None:
    async def act() -> None:
        server = Server()
        async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
            driver = type("Mine", (RedisSession,), {"options": options or RedisOptions()})
            session = driver(FrontDoor(*listening.sockets[0].getsockname()), user="u-00", device="d-00")
            await scene(session, server)
            await session.close()

    asyncio.run(asyncio.wait_for(act(), SECONDS_MAX))


def test_a_record_that_is_there_is_refused_and_nothing_is_overwritten() -> None:
    async def scene(session: RedisSession, server: Server) -> None:
        server.answers["HSETNX"] = b":0\r\n"
        with pytest.raises(Refused, match="exists") as refused:
            await session.put(ONE, None, "k-1")
        assert not isinstance(refused.value, NotNow)
        assert server.asked == [[b"HSETNX", b"holdfast:u-00", b"ada-1", packed(ONE)]]

    play(scene)


def test_a_create_that_is_tried_again_overwrites_nothing_though_a_read_has_shown_the_name_meanwhile() -> None:
    """Its first attempt took effect, and another phone has changed the record since."""

    async def scene(session: RedisSession, server: Server) -> None:
        with pytest.raises(Exception, match="closed"):
            await session.put(ONE, None, "k-1")
        server.answers |= {"HGETALL": server.hash_of(**{"ada-1": packed(TWO)}), "HSETNX": b":0\r\n"}
        await session.everything()
        with pytest.raises(Refused):
            await session.put(ONE, None, "k-1")
        assert server.commands == [b"HSETNX", b"HGETALL", b"HSETNX"]

    play(scene)


def test_a_record_that_was_read_is_overwritten_where_the_last_write_wins() -> None:
    async def scene(session: RedisSession, server: Server) -> None:
        server.answers |= {"HGETALL": server.hash_of(**{"ada-1": packed(ONE)}), "HSET": b":0\r\n"}
        await session.everything()
        await session.put(TWO, None, "k-2")
        assert server.commands == [b"HGETALL", b"HSET"]

    play(scene)


@pytest.mark.parametrize(
    "error",
    [
        "LOADING Redis is loading the dataset in memory",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk",
        "OOM command not allowed when used memory > 'maxmemory'",
        "READONLY You can't write against a read only replica.",
        "NOREPLICAS Not enough good replicas to write.",
        "BUSY Redis is busy running a script.",
        "NOAUTH Authentication required.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ],
)
def test_what_the_server_says_it_did_not_execute_is_tried_again(error: str) -> None:
    async def scene(session: RedisSession, server: Server) -> None:
        server.answers |= {"HSETNX": f"-{error}\r\n".encode(), "EVAL": f"-{error}\r\n".encode()}
        for put in (session.put(ONE, None, "k-1"), session.put(TWO, "w-1", "k-2")):
            with pytest.raises(NotNow):
                await put

    play(scene)


def test_any_other_error_leaves_the_outcome_unknown() -> None:
    async def scene(session: RedisSession, server: Server) -> None:
        server.answers["HSETNX"] = b"-ERR something\r\n"
        with pytest.raises(Exception, match="something") as unknown:
            await session.put(ONE, None, "k-1")
        assert not isinstance(unknown.value, Refused)

    play(scene)


def test_a_reply_that_was_cut_leaves_the_outcome_unknown_and_is_no_second_attempt() -> None:
    async def scene(session: RedisSession, server: Server) -> None:
        with pytest.raises(Exception, match="closed") as unknown:
            await session.put(ONE, None, "k-1")
        assert not isinstance(unknown.value, Refused)
        assert (server.commands, server.connections) == ([b"HSETNX"], 1)

    play(scene)


def test_a_connection_that_the_server_has_ended_costs_no_attempt() -> None:
    async def scene(session: RedisSession, server: Server) -> None:
        server.answers["HSETNX"] = b":1\r\n"
        await session.put(ONE, None, "k-1")
        server.open[0].close()
        await server.open[0].wait_closed()
        await asyncio.sleep(0)  # this end hears of it
        await session.put(make("u-00", "ben-2", "w-2", "todo"), None, "k-2")
        assert server.connections == 2

    play(scene)


def test_options_say_who_asks_and_where() -> None:
    async def scene(session: RedisSession, server: Server) -> None:
        server.answers |= {"AUTH": b"+OK\r\n", "SELECT": b"+OK\r\n", "HGETALL": b"*0\r\n"}
        assert await session.everything() == []
        assert server.asked == [
            [b"AUTH", b"notes", b"secret"], [b"SELECT", b"3"], [b"HGETALL", b"app/u-00"]
        ]  # fmt: skip

    play(scene, RedisOptions(user="notes", password="secret", database=3, prefix="app/"))


def test_a_wrong_password_is_no_connection() -> None:
    async def scene(session: RedisSession, server: Server) -> None:
        server.answers["AUTH"] = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        with pytest.raises(NotNow, match="invalid username-password"):
            await session.put(ONE, None, "k-1")

    play(scene, RedisOptions(password="wrong"))

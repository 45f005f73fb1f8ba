"""The carrier and its faults on the real engine: a phone's bytes through a real Toxiproxy to a service and back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos.errors import CarrierError
from chaos.experiment.plan import Parameter, ScheduledFault, Target, Trigger
from chaos.faults.injector import Injector
from chaos.stack.carrier.carrier import DOOR, Carrier
from chaos.stack.carrier.toxic import Toxic
from tests.contract.stage import DATA, Scene, scene, service, stack_of

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

_KEEPER = f"""
use IO::Socket::INET; $SIG{{TERM}} = sub {{ exit 0 }}; $SIG{{CHLD}} = "IGNORE";
my $door = IO::Socket::INET->new(LocalPort => 8080, Listen => 16, ReuseAddr => 1) or die "no port: $!";
while (1) {{
    my $phone = $door->accept or next;
    if (fork == 0) {{
        $phone->autoflush(1);
        while (my $line = <$phone>) {{
            open my $kept, ">>", "{DATA}/kept"; print $kept $line; close $kept;
            print $phone "kept $line";
        }}
        exit;
    }}
    close $phone;
}}
"""
"""Keeps every line that it is sent, and says so after it is kept."""
SILENCE_SECONDS = 0.5
ANSWER_SECONDS_MAX = 10.0
LATE_MS = 400


class Phone:
    """One connection through the front door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, line: str) -> None:
        self.writer.write(f"{line}\n".encode())
        await self.writer.drain()

    async def hears(self, seconds_max: float = ANSWER_SECONDS_MAX) -> str:
        """The next line; "" at the end of the connection, however it ends; "..." when nothing comes in time."""
        try:
            async with asyncio.timeout(seconds_max):
                return (await self.reader.readline()).decode().strip()
        except TimeoutError:
            return "..."
        except ConnectionError:
            return ""

    async def asks(self, line: str) -> str:
        try:
            await self.says(line)
        except ConnectionError:
            return ""
        return await self.hears()


@asynccontextmanager
async def phone(of: Scene) -> AsyncIterator[Phone]:
    reader, writer = await asyncio.open_connection(*of.running.front_door)
    try:
        yield Phone(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def carrier_of(of: Scene) -> Carrier:
    assert of.running.carrier is not None
    return of.running.carrier


def injector(of: Scene, fault: str, **parameters: Parameter) -> Injector:
    scheduled = ScheduledFault(fault, Target("carrier", True), Trigger(phase="now"), None, parameters)
    made = Injector([scheduled], of.surroundings, of.recorder, of.faults.append, of.mended)
    made.begin_load()
    return made


def is_clean(of: Scene) -> bool:
    """What the server itself says."""
    state = carrier_of(of)._api.state(DOOR)
    return state.enabled and not state.toxics


async def serves(of: Scene) -> None:
    """Wait until the service behind the carrier has kept a "hello"; it has no health check that would tell."""
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while True:
            async with phone(of) as first:
                if await first.asks("hello") == "kept hello":
                    return


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    """Plays a scene on one service behind a carrier."""
    keeper = service(command=("perl", "-e", _KEEPER))

    def run(act: Callable[[Scene], Awaitable[None]]) -> None:
        async def play() -> None:
            async with scene(dataclasses.replace(stack_of(keeper), carrier=True), tmp_path) as made:
                await serves(made)
                await act(made)

        asyncio.run(play())

    return run


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


def test_carrier_down_is_silence_both_ways_and_what_was_on_its_way_arrives_after_it(play: Play) -> None:
    async def act(scene: Scene) -> None:
        down = injector(scene, "carrier.down")
        async with phone(scene) as open_before:
            assert await open_before.asks("one") == "kept one"
            await down.enter_phase("now")
            await open_before.says("two")
            async with phone(scene) as opened_in_it:
                await opened_in_it.says("three")
                assert await opened_in_it.hears(SILENCE_SECONDS) == "..."
                assert await open_before.hears(SILENCE_SECONDS) == "..."
                assert await scene.does(f"cat {DATA}/kept") == "hello\none"
                await down.heal_all()
                assert await open_before.hears() == "kept two"
                assert await opened_in_it.hears() == "kept three"
        assert is_clean(scene)
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.evidence) == ("healed", True, {"carrier_changes": 2})

    play(act)


def test_carrier_down_by_cut_ends_every_connection_and_lets_nobody_in(play: Play) -> None:
    async def act(scene: Scene) -> None:
        down = injector(scene, "carrier.down", mode="cut")
        async with phone(scene) as open_before:
            assert await open_before.asks("one") == "kept one"
            await down.enter_phase("now")
            assert await open_before.hears() == ""
        with contextlib.suppress(ConnectionError):  # refused, or taken by the engine's own proxy and ended
            async with phone(scene) as refused:
                assert await refused.asks("two") == ""
        await down.heal_all()
        async with phone(scene) as after:
            assert await after.asks("three") == "kept three"
        assert await scene.does(f"cat {DATA}/kept") == "hello\none\nthree"
        assert is_clean(scene)

    play(act)


def test_carrier_latency_makes_replies_late_and_requests_not(play: Play) -> None:
    async def act(scene: Scene) -> None:
        async def took(line: str) -> float:
            asked = time.monotonic()
            assert await one.asks(line) == f"kept {line}"
            return (time.monotonic() - asked) * 1e3

        slow = injector(scene, "carrier.latency", latency_ms=LATE_MS)
        async with phone(scene) as one:
            await slow.enter_phase("now")
            assert await took("one") >= LATE_MS
            await slow.heal_all()
            assert min([await took(f"after {n}") for n in range(10)]) < LATE_MS
        assert is_clean(scene)
        assert scene.faults[-1].evidence == {"carrier_changes": 1, "delay_ms": LATE_MS}

    play(act)


def test_carrier_lose_replies_lets_requests_pass_and_not_a_byte_back(play: Play) -> None:
    async def act(scene: Scene) -> None:
        lost = injector(scene, "carrier.lose_replies")
        async with phone(scene) as open_before:
            assert await open_before.asks("one") == "kept one"
            await lost.enter_phase("now")
            assert await open_before.asks("two") == ""
        for line in ("three", "four"):
            async with phone(scene) as opened_in_it:
                assert await opened_in_it.asks(line) == ""
        assert await scene.does(f"cat {DATA}/kept") == "hello\none\ntwo\nthree\nfour", "the service has them all"
        await lost.heal_all()
        async with phone(scene) as after:
            assert await after.asks("five") == "kept five"
        assert is_clean(scene)
        assert scene.faults[-1].bit

    play(act)


def test_faults_laid_over_each_other_hold_until_each_is_taken_away(play: Play) -> None:
    async def act(scene: Scene) -> None:
        carrier, late = carrier_of(scene), Toxic("latency", "downstream", {"latency": LATE_MS, "jitter": 0})
        async with phone(scene) as one:
            await asyncio.gather(carrier.apply(True, [late]), carrier.apply(True, [late, late]))
            asked = time.monotonic()
            assert await one.asks("one") == "kept one"
            assert (time.monotonic() - asked) * 1e3 >= 2 * LATE_MS, "two of the same are two"
            await carrier.apply(True, [late])
            asked = time.monotonic()
            assert await one.asks("two") == "kept two"
            assert LATE_MS <= (time.monotonic() - asked) * 1e3 < 2 * LATE_MS
            await carrier.apply(True, [])
        assert is_clean(scene)

    play(act)


def test_what_somebody_else_changed_is_found_out_when_the_next_state_is_read_back(play: Play) -> None:
    async def act(scene: Scene) -> None:
        carrier = carrier_of(scene)
        carrier._api.add(DOOR, "strange", Toxic("latency", "upstream", {"latency": 5, "jitter": 0}))
        with pytest.raises(CarrierError, match="the carrier is not as it was told"):
            await carrier.apply(True, [])

    play(act)


def test_a_cold_restart_takes_the_carrier_along_and_brings_it_back_at_its_port(play: Play) -> None:
    async def act(scene: Scene) -> None:
        before, pid = scene.running.front_door, carrier_of(scene).pid
        assert before != scene.running.service_door
        await scene.running.cold_restart(30.0)
        assert scene.running.front_door == before
        assert carrier_of(scene).pid != pid
        await serves(scene)
        assert is_clean(scene)
        await carrier_of(scene).apply(False, [])
        await carrier_of(scene).apply(True, [])

    play(act)


def test_a_carrier_that_died_is_the_harness_s_failure(play: Play) -> None:
    async def act(scene: Scene) -> None:
        carrier = carrier_of(scene)
        assert carrier._container is not None
        carrier._client.api.kill(carrier._container.id)
        carrier._client.api.wait(carrier._container.id)
        with pytest.raises(CarrierError, match="nobody answers there"):
            await scene.running.answers(5.0)

    play(act)


def test_the_carrier_reaches_its_own_run_and_nobody_else(play: Play) -> None:
    async def act(scene: Scene) -> None:
        carrier = carrier_of(scene)
        with socket.create_server(("0.0.0.0", 0)) as outside:
            outside.settimeout(SILENCE_SECONDS)
            address = _an_address_of_this_host()
            with socket.create_connection((address, outside.getsockname()[1])):
                outside.accept()[0].close()
            await asyncio.to_thread(
                carrier._api.populate, DOOR, "0.0.0.0:8666", f"{address}:{outside.getsockname()[1]}"
            )
            async with phone(scene) as lost:
                await lost.says("out")
                with pytest.raises(TimeoutError):
                    await asyncio.to_thread(outside.accept)

    play(act)


def _an_address_of_this_host() -> str:
    """One that is not in a run's network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this host has no address but 127.0.0.1")
        return str(probe.getsockname()[0])

"""From the call to the effect on the carrier: how long after it the phone's exchanges still went through.

As in `takehold`: not by the call that returns, but by the traffic that stops, seen by a phone in another process.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from chaos.experiment.plan import Parameter, ScheduledFault, Target, Trigger
from chaos.faults import make
from chaos.faults.carrier.medium import CarrierFault, CarrierState
from chaos.stack.carrier.carrier import Carrier
from chaos.stack.spec import Port, Service, Stack
from tests.bench import phone
from tests.bench.bed import READY_SECONDS_MAX, ROOT, bed, cache_on, until
from tests.bench.figures import Bound, Figure, median, worst
from tests.bench.probe import Log

_BOUND = Bound("at most", 5.0)
_EXCHANGES_BETWEEN = 50
_QUIET_SECONDS = 0.05
"""No exchange went through for so long: the traffic has stopped."""
_ALL = ("carrier.down", "carrier.down cut", "carrier.lose_replies")


async def takehold(times: int) -> list[Figure]:
    """Every fault of the carrier that stops the traffic, so often each."""
    samples: dict[str, list[float]] = {name: [] for name in _ALL}
    async with _bench() as (carrier, log):
        for _ in range(times):
            for name in _ALL:
                samples[name].append(await _stopped(carrier, log, name))
    every = [each for of_one in samples.values() for each in of_one]
    return [
        worst("takehold.carrier.p99_ms", every, "ms", _BOUND),
        *(median(f"takehold.{name.replace(' ', '_')}_ms", found, "ms") for name, found in samples.items()),
    ]


@asynccontextmanager
async def _bench() -> AsyncIterator[tuple[Carrier, Log]]:
    service = Service("echo", image="debian:bookworm-slim", command=("perl", "-e", phone.ECHO), ports=(Port(8080),))
    stack = Stack("bench-carrier", ROOT, {"echo": service}, {}, (), ("echo", 8080), carrier=True)
    with cache_on("memory") as folder:
        async with bed(stack) as made:
            await made.running.up(made.golden.bases(), READY_SECONDS_MAX)
            assert made.running.carrier is not None
            log = Log(str(folder / "log"))
            with _phone(*made.running.front_door, folder / "log"):
                await _talking(log)
                yield made.running.carrier, log


@contextmanager
def _phone(host: str, port: int, file: Path) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.phone", host, str(port), str(file)], cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def _stopped(carrier: Carrier, log: Log, name: str) -> float:
    fault, _, mode = name.partition(" ")
    parameters: dict[str, Parameter] = {"mode": mode} if mode else {}
    scheduled = ScheduledFault(fault, Target("carrier", True), Trigger(seconds=0), parameters=parameters)
    made = make(scheduled)
    assert isinstance(made, CarrierFault)
    wanted = made.wanted(CarrierState())
    before = log.count
    called = time.monotonic_ns()
    await carrier.apply(wanted.listening, wanted.toxics)

    def last() -> int:
        return max((each.end_ns for each in log.since(before) if not each.errno), default=called)

    await until(lambda: time.monotonic_ns() - last() > _QUIET_SECONDS * 1e9, f"phones still get answers under {name}")
    stopped = last()
    await carrier.apply(True, ())
    await _talking(log)
    return max(0.0, (stopped - called) / 1e6)


async def _talking(log: Log) -> None:
    """Answers come again; then a little longer, so that calls come at any point of an exchange."""
    before = log.count
    wanted = _EXCHANGES_BETWEEN + random.SystemRandom().randrange(_EXCHANGES_BETWEEN)

    def answered() -> bool:
        return sum(not each.errno for each in log.since(before)) >= wanted

    await until(answered, "the phone gets no answer")

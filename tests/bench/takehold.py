"""From the call to the effect: how long after the controller's call the service's traffic still went through.

Not measured by the call that returns, but by the traffic that stops. A disk's fault: up to the end of the first
write that failed (I/O errors), or to the last that was answered (power cuts). A kill: up to the instant at which
the kernel says that the container's first process, and so every process of it, is gone.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.agent.states import Fail, LunState
from chaos.agent.wire_states import ApplyLuns, ApplyServices
from chaos.errors import HarnessError
from chaos.stack.live.lifecycle import Lab
from chaos.stack.spec import Build, Lun, Mount, Port, Service, Stack
from tests.bench import probe
from tests.bench.bed import READY_SECONDS_MAX, ROOT, bed, cache_on, until
from tests.bench.figures import Bound, Figure, median, worst
from tests.bench.probe import Attempt, Log

_LUN = "disk"
_SERVICE = "probe"
_LEASE_SECONDS = 30.0
_NS_IN_MS = 1e6
_GONE_SECONDS_MAX = 10.0
_WRITES_BETWEEN = 50
_DISK = Bound("at most", 2.0)
_KILL = Bound("at most", 5.0)


@dataclass(frozen=True)
class Times:
    """How often each is done."""

    errors: int
    cuts: int
    kills: int


async def disk(times: Times) -> list[Figure]:
    """I/O errors switched on and off under a writer, and power cuts."""
    async with _bench() as (made, log):
        errors = [await _io_error(made, log) for _ in range(times.errors)]
        cuts = [await _power_cut(made, log) for _ in range(times.cuts)]
    return [
        worst("takehold.disk.p99_ms", [*errors, *cuts], "ms", _DISK),
        median("takehold.disk.io_error_ms", errors, "ms"),
        median("takehold.disk.power_cut_ms", cuts, "ms"),
    ]


async def kill(times: Times) -> list[Figure]:
    """SIGKILL by pid, through the agent."""
    async with _bench() as (made, log):
        samples = [await _kill(made, log) for _ in range(times.kills)]
    return [worst("takehold.kill.p99_ms", samples, "ms", _KILL), median("takehold.kill_ms", samples, "ms")]


@asynccontextmanager
async def _bench() -> AsyncIterator[tuple[Lab, Log]]:
    with cache_on("memory") as folder:
        shared = folder / probe.FILE
        Log(str(shared))
        async with bed(_stack(shared)) as made:
            await made.running.up(made.golden.bases(), READY_SECONDS_MAX)
            log = Log(made.running.files.paths[str(shared)])
            await _writing(log)
            yield made, log


def _stack(shared: Path) -> Stack:
    service = Service(
        _SERVICE,
        build=Build(ROOT / "fixtures/minimal/gateway"),  # any image with Python will do
        entrypoint=("python3", "-c", Path(probe.__file__).read_text()),
        command=(),
        mounts=(Mount("lun", _LUN, probe.LUN_FOLDER), Mount("bind", str(shared), f"{probe.FOLDER}/{probe.FILE}")),
        ports=(Port(probe.PORT),),
        stop_grace_seconds=1,
    )
    lun = Lun(_LUN, "bench", 64 << 20)
    return Stack("bench-probe", ROOT, {_SERVICE: service}, {_LUN: lun}, (), (_SERVICE, probe.PORT))


async def _io_error(made: Lab, log: Log) -> float:
    """Fail the writes to the probe's file, and only those: the file system's own journal goes on."""
    fault = LunState().with_effect(Fail(frozenset({"write"}), None, *log.extent))
    before = log.count
    called = time.monotonic_ns()
    await _apply(made, fault)
    await until(lambda: _first_failed(log, before) is not None, "no write failed under disk.io_error")
    failed = _first_failed(log, before)
    assert failed is not None
    await _apply(made, LunState())
    await _writing(log)
    return (failed.end_ns - called) / _NS_IN_MS


def _first_failed(log: Log, before: int) -> Attempt | None:
    return next((each for each in log.since(before) if each.errno), None)


async def _power_cut(made: Lab, log: Log) -> float:
    before = log.count
    called = time.monotonic_ns()
    await _apply(made, LunState().powered_off(), _SERVICE)
    await _ended(made)
    answered = [each.end_ns for each in log.since(before) if not each.errno]
    await made.running.put_in_place(anew=[_SERVICE], checked=[_LUN])
    await made.running.start([_SERVICE], READY_SECONDS_MAX)
    await _writing(log)
    return max(0.0, (max(answered, default=called) - called) / _NS_IN_MS)


async def _kill(made: Lab, log: Log) -> float:
    handle = os.pidfd_open(made.running.running[_SERVICE].pid)
    looking = threading.Event()
    gone = asyncio.create_task(asyncio.to_thread(_gone_at, handle, looking))
    try:
        await asyncio.to_thread(looking.wait, _GONE_SECONDS_MAX)
        called = time.monotonic_ns()
        await made.running.agent.call(ApplyServices({}, _LEASE_SECONDS, kill=(_SERVICE,)))
        ended = await gone
    finally:
        os.close(handle)
    await _ended(made)
    await made.running.start([_SERVICE], READY_SECONDS_MAX)
    await _writing(log)
    return (ended - called) / _NS_IN_MS


def _gone_at(handle: int, looking: threading.Event) -> int:
    """Wait in a thread of its own, so that no other work of this process delays the reading of the clock."""
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    looking.set()
    if not waiting.poll(_GONE_SECONDS_MAX * 1000):
        raise HarnessError(f"a killed process was not gone in {_GONE_SECONDS_MAX:g} s")
    return time.monotonic_ns()


async def _apply(made: Lab, state: LunState, *kill: str) -> None:
    """As the injector does."""
    await made.running.agent.call(ApplyLuns({_LUN: state}, _LEASE_SECONDS, kill=kill, dirty=kill))


async def _writing(log: Log) -> None:
    """Writes go through again; then a little longer, so that calls come at any point of a write."""
    before = log.count
    wanted = _WRITES_BETWEEN + random.SystemRandom().randrange(_WRITES_BETWEEN)

    def written() -> bool:
        return log.count >= before + wanted and not any(each.errno for each in log.since(log.count - 1))

    await until(written, "the probe does not write")


async def _ended(made: Lab) -> None:
    """The engine has noticed: it starts nothing that it still takes for running."""

    async def noticed() -> bool:
        return _SERVICE in await made.running.not_running()

    await until(noticed, "the engine does not see that the probe ended")

"""From the call to the last traffic: arrays that become unavailable, pauses and partitions.

Each is put into force as the injector does, and the sample is the time from the call to the end of the last write that
was answered, or to the last datagram that arrived. Then it is healed, and traffic goes on.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaos.agent.request import Request
from chaos.agent.states import Hold, LinkState, LunState, ServiceState
from chaos.agent.wire_states import ApplyLinks, ApplyLuns, ApplyServices
from chaos.faults.lun.disk import ALL
from chaos.stack.live.lifecycle import Lab
from chaos.stack.spec import Build, Lun, Mount, Port, Service, Stack
from tests.bench import probe
from tests.bench.bed import READY_SECONDS_MAX, ROOT, bed, cache_on, until
from tests.bench.figures import Bound, Figure, median, worst
from tests.bench.probe import Log

_LUNS = 10
_LEASE_SECONDS = 30.0
_STILL_SECONDS = 0.05
"""So long nothing more must come; a sample is the last that came before."""
_EVENTS_BETWEEN = 50
_NS_IN_MS = 1e6


async def san(times: int) -> list[Figure]:
    """Ten LUNs of one array, each under a writer of its own, become unavailable at once."""
    luns = [f"disk{number}" for number in range(_LUNS)]
    mounts = tuple(Mount("lun", name, f"{probe.LUN_FOLDER}{number}") for number, name in enumerate(luns))
    files = [f"{probe.FILE}{number}" for number in range(_LUNS)]
    async with _bench([_service("probe", ("writers", str(_LUNS)), mounts)], luns, files) as (made, logs):
        taken, given = (
            ApplyLuns(dict.fromkeys(luns, state), _LEASE_SECONDS)
            for state in (LunState().with_effect(Hold(ALL)), LunState())
        )
        samples = [await _sample(made, logs, taken, given) for _ in range(times)]
    return _figures("san", samples, 2.0)


async def pause(times: int) -> list[Figure]:
    """All processes of a service stop, one of which writes without a break."""
    mount = Mount("lun", "disk", probe.LUN_FOLDER)
    async with _bench([_service("probe", (), (mount,))], ["disk"], [probe.FILE]) as (made, logs):
        taken, given = (
            ApplyServices({"probe": ServiceState(paused=is_paused)}, _LEASE_SECONDS) for is_paused in (True, False)
        )
        samples = [await _sample(made, logs, taken, given) for _ in range(times)]
    return _figures("pause", samples, 5.0)


async def partition(times: int) -> list[Figure]:
    """Two services are parted, both ways, one of which sends datagrams to the other."""
    ends = [_service("talker", ("talker", "listener"), ()), _service("listener", ("listener",), ())]
    links = [("talker", "listener"), ("listener", "talker")]
    async with _bench(ends, [], [probe.FILE]) as (made, logs):
        taken, given = (
            ApplyLinks(tuple((link, LinkState(open=is_open)) for link in links), _LEASE_SECONDS)
            for is_open in (False, True)
        )
        samples = [await _sample(made, logs, taken, given) for _ in range(times)]
    return _figures("partition", samples, 10.0)


def _figures(name: str, samples: Sequence[float], most_ms: float) -> list[Figure]:
    bound = Bound("at most", most_ms)
    return [
        worst(f"takehold.{name}.p99_ms", samples, "ms", bound),
        median(f"takehold.{name}_ms", samples, "ms"),
    ]


async def _sample(made: Lab, logs: Sequence[Log], taken: Request[Any], given: Request[Any]) -> float:
    """Milliseconds from the call to the end of the last traffic."""
    before = [log.count for log in logs]
    wanted = _EVENTS_BETWEEN + random.SystemRandom().randrange(_EVENTS_BETWEEN)
    await until(lambda: all(log.count >= b + wanted for log, b in zip(logs, before, strict=True)), "no traffic")
    before = [log.count for log in logs]
    called = time.monotonic_ns()
    await made.running.agent.call(taken)
    await _still(logs)
    ends = [each.end_ns for log, count in zip(logs, before, strict=True) for each in log.since(count)]
    await made.running.agent.call(given)
    return max(0.0, (max(ends, default=called) - called) / _NS_IN_MS)


async def _still(logs: Sequence[Log]) -> None:
    seen, since = -1, time.monotonic()

    def is_still() -> bool:
        nonlocal seen, since
        now = sum(log.count for log in logs)
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > _STILL_SECONDS

    await until(is_still, "the traffic does not stop")


def _service(name: str, command: tuple[str, ...], mounts: tuple[Mount, ...]) -> Service:
    return Service(
        name,
        build=Build(ROOT / "fixtures/minimal/gateway"),  # any image with Python will do
        entrypoint=("python3", "-c", Path(probe.__file__).read_text()),
        command=command,
        mounts=mounts,
        ports=(Port(probe.PORT),),
        stop_grace_seconds=1,
    )


@asynccontextmanager
async def _bench(
    services: Sequence[Service], luns: Sequence[str], files: Sequence[str]
) -> AsyncIterator[tuple[Lab, list[Log]]]:
    with cache_on("memory") as cache:
        for name in files:
            Log(str(cache / name))
        shared = [Mount("bind", str(cache / name), f"{probe.FOLDER}/{name}") for name in files]
        own = {each.name: replace(each, mounts=(*each.mounts, *shared)) for each in services}
        disks = {name: Lun(name, "bench", 64 << 20) for name in luns}
        stack = Stack("bench-stops", ROOT, own, disks, (), (services[0].name, probe.PORT))
        async with bed(stack) as made:
            await made.running.up(made.golden.bases(), READY_SECONDS_MAX)
            yield made, [Log(made.running.files.paths[str(cache / name)]) for name in files]

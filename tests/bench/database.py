"""PostgreSQL on a LUN: against the same file system on a plain loop device, and with its write log kept against
without; how soon it is back after a cut, and how much memory the agent takes for it.

Both sides start from one and the same disk, initialised by pgbench on a LUN; both containers run all the time, and
short runs alternate between them, so that what the machine does meanwhile meets both. A ratio is that of two
neighbouring runs. In memory both pay for the path alone; on the disk only the loop device waits for the disk at a
flush, since a LUN is durable against the cuts that are simulated, not against those of the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import asyncpg
import docker

from chaos.agent.states import LunState
from chaos.agent.wire import KeepLog
from chaos.agent.wire_states import ApplyLuns, CountIos
from chaos.errors import HarnessError
from chaos.stack.cache import CACHE_IN_AGENT, cache_folder
from chaos.stack.engine import containers
from chaos.stack.engine.client import connect
from chaos.stack.engine.containers import Container
from chaos.stack.live.lifecycle import Lab
from chaos.stack.spec import Build, Healthcheck, Lun, Mount, Port, Service, Stack
from tests.bench.bed import READY_SECONDS_MAX, ROOT, Storage, bed, cache_on, until
from tests.bench.figures import Bound, Figure, median
from tests.bench.plain import on_plain_loop

_LUN, _SERVICE, _USER, _PORT = "pgdata", "db", "bench", 5432
_OTHER_LUN, _OTHER = "pgdata2", "db2"
_DATA = "/var/lib/postgresql/data"
_SCALE = 20
_KEPT = "scratch/pgbench"
_BOUND = Bound("at least", 0.80)
_BACK = Bound("at most", 0.8)
_MEMORY = Bound("at most", 1024)
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_FSYNC_WRITES = 1500
_CUT_AFTER_FLUSHES = 200
_LEASE_SECONDS = 30.0
_CONNECT_SECONDS_MAX = 1.0
_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_COPIED = re.compile(r" copied, ([0-9.e-]+) s")


@dataclass(frozen=True)
class Rounds:
    """How many pairs of runs, how long each, and how many cuts."""

    pairs: int
    pairs_beside: int
    run_seconds: int
    fsync_pairs: int
    cuts: int


@dataclass(frozen=True)
class _Sides:
    """The two databases."""

    client: docker.DockerClient
    lun: Container
    plain: Container

    def run(self, side: Container, *command: str) -> str:
        """Run a command in one of them; return the end of its output."""
        code, said = containers.execute(self.client, side, list(command))
        if code:
            raise HarnessError(f"{command[0]} in {side.service} ended with {code}: {said}")
        return said

    def alternately(self, pairs: int, measure: Callable[[Container], float]) -> tuple[list[float], list[float]]:
        """Measure (LUN, plain) in pairs, each side first in turn; after each run its side is written back."""
        found: dict[str, list[float]] = {self.lun.service: [], self.plain.service: []}
        for number in range(pairs):
            for side in (self.lun, self.plain)[:: 1 if number % 2 else -1]:
                found[side.service].append(measure(side))
                self.run(side, "sync", "-f", _DATA)
        return found[self.lun.service], found[self.plain.service]


async def against_plain(rounds: Rounds) -> list[Figure]:
    """pgbench and raw flushes on both, in memory and on the disk."""
    async with _bench("memory") as (made, base), _sides(made, base) as sides:
        many = await asyncio.to_thread(sides.alternately, rounds.pairs, _pgbench(sides, 8, rounds.run_seconds))
        one = await asyncio.to_thread(sides.alternately, rounds.pairs_beside, _pgbench(sides, 1, rounds.run_seconds))
        raw = await asyncio.to_thread(sides.alternately, rounds.fsync_pairs, _flushes(sides))
    async with _bench("disk") as (made, base), _sides(made, base) as sides:
        slow = await asyncio.to_thread(sides.alternately, rounds.pairs_beside, _pgbench(sides, 8, rounds.run_seconds))
    return [
        _ratio("pgbench.lun_vs_loop", many, _BOUND),
        _ratio("pgbench.lun_vs_loop.1_client", one),
        _ratio("pgbench.lun_vs_loop.disk", slow),
        median("fdatasync.lun", raw[0], "1/s"),
        median("fdatasync.loop", raw[1], "1/s"),
    ]


async def recovery(rounds: Rounds) -> list[Figure]:
    """Cut the power under pgbench, power on at once, ask until a row comes back."""
    async with _bench("memory") as (made, base):
        await made.running.up({_LUN: base}, READY_SECONDS_MAX)
        samples = [await _cut_and_ask(made) for _ in range(rounds.cuts)]
    return [median("recovery.cut_to_first_row", samples, "s", _BACK)]


async def log_kept(rounds: Rounds) -> list[Figure]:
    """pgbench on a LUN of which every instant is kept, as for an exploration, against one that forgets."""
    async with _bench("memory", {_SERVICE: _LUN, _OTHER: _OTHER_LUN}) as (made, base):
        running = made.running
        await running.up({_LUN: base, _OTHER_LUN: base}, READY_SECONDS_MAX)
        await running.agent.call(KeepLog((_LUN,)))
        with contextlib.closing(connect(timeout_seconds=120)) as client:
            sides = _Sides(client, running.running[_SERVICE], running.running[_OTHER])
            await asyncio.to_thread(sides.alternately, 1, _pgbench(sides, 8, 2))  # fills the caches
            many = await asyncio.to_thread(
                sides.alternately, rounds.pairs_beside, _pgbench(sides, 8, rounds.run_seconds)
            )
    return [_ratio("pgbench.log_kept_vs_not", many)]


async def memory(seconds: int) -> list[Figure]:
    """The most that the agent takes while pgbench runs on a LUN of which every instant is kept."""
    async with _bench("disk") as (made, base):
        running = made.running
        await running.up({_LUN: base}, READY_SECONDS_MAX)
        await running.disks.keep_logs()
        with contextlib.closing(connect(timeout_seconds=seconds + READY_SECONDS_MAX)) as client:
            db = running.running[_SERVICE]
            rate = await asyncio.to_thread(_pgbench(_Sides(client, db, db), 8, seconds), db)
            most = _peak_mib(client.api.inspect_container(running.agent.container)["State"]["Pid"])
    note = f"{seconds} s of pgbench with 8 clients, {rate:.0f} transactions/s, the write log kept"
    return [Figure("agent.memory_mib", most, "MiB", _MEMORY, note=note)]


@asynccontextmanager
async def _bench(
    storage: Storage, luns: Mapping[str, str] = MappingProxyType({_SERVICE: _LUN})
) -> AsyncIterator[tuple[Lab, str]]:
    """A lab, and the path (in the agent) of a disk with the initialised tables on it; `luns` are by service."""
    with cache_on(storage) as folder:
        async with bed(_stack(luns)) as made:
            running = made.running
            await running.up(made.golden.bases(), READY_SECONDS_MAX)
            initialise = ["pgbench", "-q", "-i", "-s", str(_SCALE), "-U", _USER, _USER]
            code, said = await running.execute(_SERVICE, initialise, READY_SECONDS_MAX)
            if code:
                raise HarnessError(f"pgbench -i ended with {code}: {said}")
            await running.shut_down()
            (folder / _KEPT).mkdir()
            await running.disks.save(f"{CACHE_IN_AGENT}/{_KEPT}")
            await running.clear()
            yield made, f"{CACHE_IN_AGENT}/{_KEPT}/{_LUN}.img"


def _stack(luns: Mapping[str, str]) -> Stack:
    services = {
        name: Service(
            name,
            build=Build(ROOT / "fixtures/images/postgres"),  # as it comes: PostgreSQL's own defaults
            environment={"POSTGRES_USER": _USER, "POSTGRES_HOST_AUTH_METHOD": "trust"},
            mounts=(Mount("lun", lun, _DATA),),
            ports=(Port(_PORT),),
            healthcheck=Healthcheck(("pg_isready", "-q", "-h", "127.0.0.1", "-U", _USER)),
            stop_grace_seconds=30,
        )
        for name, lun in luns.items()
    }
    disks = {lun: Lun(lun, "bench", 2 << 30) for lun in luns.values()}
    return Stack("bench-pgbench", ROOT, services, disks, (), (_SERVICE, _PORT))


@asynccontextmanager
async def _sides(made: Lab, base: str) -> AsyncIterator[_Sides]:
    running, stack = made.running, made.running.stack
    service, source = stack.services[_SERVICE], Path(base.replace(CACHE_IN_AGENT, str(cache_folder()), 1))
    await running.up({_LUN: base}, READY_SECONDS_MAX)
    with contextlib.closing(connect(timeout_seconds=120)) as client:
        image = made.images[_SERVICE]
        async with on_plain_loop(client, made.run, service, image, stack.luns[_LUN], source) as plain:

            async def ready() -> bool:
                return await asyncio.to_thread(containers.is_healthy, client, plain, service, READY_SECONDS_MAX)

            await until(ready, "PostgreSQL on the plain loop device does not get ready")
            sides = _Sides(client, running.running[_SERVICE], plain)
            await asyncio.to_thread(sides.alternately, 1, _pgbench(sides, 8, 2))  # fills the caches
            yield sides


def _pgbench(sides: _Sides, clients: int, seconds: int) -> Callable[[Container], float]:
    command = ["pgbench", "-n", "-N", "-c", str(clients), "-j", "2", "-T", str(seconds), "-U", _USER, _USER]

    def measure(side: Container) -> float:
        said = sides.run(side, *command)
        rate = _RATE.search(said)
        if rate is None:
            raise HarnessError(f"pgbench printed no rate: {said}")
        return float(rate[1])

    return measure


def _flushes(sides: _Sides) -> Callable[[Container], float]:
    """8 KiB each, written over and over into a file that is there, each on disk before the next."""
    there = f"of={_DATA}/flushed"
    command = ["dd", "if=/dev/zero", there, "bs=8k", f"count={_FSYNC_WRITES}", "oflag=dsync", "conv=notrunc"]
    for side in (sides.lun, sides.plain):
        sides.run(side, *command)

    def measure(side: Container) -> float:
        said = sides.run(side, "env", "LC_ALL=C", *command)
        copied = _COPIED.search(said)
        if copied is None:
            raise HarnessError(f"dd told no time: {said}")
        return _FSYNC_WRITES / float(copied[1])

    return measure


def _ratio(name: str, rates: tuple[list[float], list[float]], bound: Bound | None = None) -> Figure:
    lun, plain = rates
    note = f"{statistics.median(lun):.0f} against {statistics.median(plain):.0f} transactions/s"
    return median(name, [a / b for a, b in zip(lun, plain, strict=True)], "ratio", bound, note)


def _peak_mib(pid: int) -> float:
    """The most memory that a process of this host has had so far."""
    peak = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    assert peak is not None
    return int(peak[1]) / 1024


async def _cut_and_ask(made: Lab) -> float:
    running = made.running
    load = ["pgbench", "-n", "-N", "-c", "8", "-T", "30", "-U", _USER, _USER]
    loading = asyncio.create_task(running.execute(_SERVICE, load, READY_SECONDS_MAX))
    begun = await _flushed(made)

    async def loaded() -> bool:
        return await _flushed(made) > begun + _CUT_AFTER_FLUSHES

    await until(loaded, "pgbench does not write")
    called = time.monotonic()
    off = ApplyLuns({_LUN: LunState().powered_off()}, _LEASE_SECONDS, kill=(_SERVICE,))
    await running.agent.call(off)

    async def bring_back() -> None:
        await running.put_in_place(anew=[_SERVICE], checked=[_LUN])
        await running.start([_SERVICE], READY_SECONDS_MAX)

    _, answered = await asyncio.gather(bring_back(), _first_row(made))
    await asyncio.gather(loading, return_exceptions=True)  # it ended with its container
    return answered - called


async def _flushed(made: Lab) -> int:
    return (await made.running.agent.call(CountIos((_LUN,)))).luns[_LUN].traffic.flushes


async def _first_row(made: Lab) -> float:
    host, port = made.running.published[f"{_SERVICE}:{_PORT}"]

    async def answered() -> bool:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS_MAX):
                connection = await asyncpg.connect(host=host, port=port, user=_USER, database=_USER, ssl=False)
                try:
                    return await connection.fetchval("SELECT bbalance FROM pgbench_branches LIMIT 1") is not None
                finally:
                    connection.terminate()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    await until(answered, "no row after the power cut", READY_SECONDS_MAX)
    return time.monotonic()

"""Measures, prints, writes reports/bench.json, and exits with 1 when a bound does not hold.

    python -m tests.bench [--only NAME] [--quick]

NAME is the beginning of figures' names, for example `takehold` or `pgbench`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.errors import EXIT_SIGINT, EXIT_USAGE, HoldfastError
from tests.bench import carrier, checker, database, explore, stops, takehold, trials
from tests.bench.bed import ROOT, loads
from tests.bench.figures import Figure, worst

_RESULT = ROOT / "reports" / "bench.json"
_QUIET_LOAD = 0.5
_QUIET_SECONDS_MAX = 60.0
_LOOK_SECONDS = 2.0
_TIMER_SAMPLES = 1000


@dataclass(frozen=True)
class _Bench:
    """One measurement, and the figures that it yields."""

    names: tuple[str, ...]
    measure: Callable[[], list[Figure]]


def _benches(quick: bool) -> list[_Bench]:
    times = takehold.Times(100, 5, 25) if quick else takehold.Times(150, 30, 100)
    rounds = database.Rounds(4, 2, 2, 2, 2) if quick else database.Rounds(20, 8, 3, 8, 7)
    return [
        _Bench(("takehold.disk.p99_ms",), lambda: asyncio.run(takehold.disk(times))),
        _Bench(("takehold.kill.p99_ms",), lambda: asyncio.run(takehold.kill(times))),
        _Bench(("takehold.san.p99_ms",), lambda: asyncio.run(stops.san(20 if quick else 120))),
        _Bench(("takehold.pause.p99_ms",), lambda: asyncio.run(stops.pause(20 if quick else 120))),
        _Bench(("takehold.partition.p99_ms",), lambda: asyncio.run(stops.partition(20 if quick else 120))),
        _Bench(("takehold.carrier.p99_ms",), lambda: asyncio.run(carrier.takehold(15 if quick else 60))),
        _Bench(("pgbench.lun_vs_loop", "fdatasync"), lambda: asyncio.run(database.against_plain(rounds))),
        _Bench(("pgbench.log_kept_vs_not",), lambda: asyncio.run(database.log_kept(rounds))),
        _Bench(("recovery.cut_to_first_row",), lambda: asyncio.run(database.recovery(rounds))),
        _Bench(("agent.memory_mib",), lambda: asyncio.run(database.memory(20 if quick else 600))),
        _Bench(("trials_per_minute.minimal",), lambda: trials.per_minute(4 if quick else 16)),
        _Bench(("trials_per_minute.syncstack",), lambda: trials.syncstack(4 if quick else 8)),
        _Bench(
            ("trials_per_minute.syncstack_failover", "failover_seconds"), lambda: trials.failover(3 if quick else 5)
        ),
        _Bench(("explore.",), lambda: explore.states_per_minute(12 if quick else 60)),
        _Bench(("checker.",), lambda: checker.figures(quick)),
    ]


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="NAME", help="figures whose names begin so")
    parser.add_argument("--quick", action="store_true", help="fewer samples: to see that it works")
    chosen = parser.parse_args()
    benches = [each for each in _benches(chosen.quick) if any(name.startswith(chosen.only) for name in each.names)]
    if not benches:
        names = ", ".join(name for each in _benches(False) for name in each.names)
        sys.stderr.write(f"no figure is called {chosen.only}; there are {names}\n")
        return EXIT_USAGE
    _wait_for_quiet()
    figures = [Figure("machine.load_average", os.getloadavg()[0], "processes", note="before the first figure")]
    figures.append(_timer_lateness())
    for figure in figures:
        _say(figure.line())
    for bench in benches:
        for figure in _measured(bench):
            figures.append(figure)
            _say(figure.line())
    _RESULT.parent.mkdir(exist_ok=True)
    _RESULT.write_text(json.dumps([each.document() for each in figures], indent=1) + "\n")
    _say(f"\nwritten to {_RESULT.relative_to(ROOT)}; load averages at the end {loads()}")
    return 0 if all(each.holds for each in figures) else 1


def _timer_lateness() -> Figure:
    """How late this machine wakes a process that has slept 1 ms: no figure in ms can be better than that."""
    samples = []
    for _ in range(_TIMER_SAMPLES):
        begun = time.monotonic()
        time.sleep(0.001)
        samples.append((time.monotonic() - begun) * 1e3 - 1)
    return worst("machine.timer_lateness.p99_ms", samples, "ms")


def _measured(bench: _Bench) -> list[Figure]:
    begun = time.monotonic()
    _say(f"\n{bench.names[0]} ... (load averages {loads()})")
    try:
        found = bench.measure()
    except HoldfastError as error:
        found = [Figure(bench.names[0], None, "", samples=0, note=f"{error}")]
    _say(f"measured in {time.monotonic() - begun:.0f} s")
    return found


def _wait_for_quiet() -> None:
    """Wait, bounded, until the machine has little else to do; there is nothing to be told by but the load average."""
    until = time.monotonic() + _QUIET_SECONDS_MAX
    while os.getloadavg()[0] > _QUIET_LOAD * (os.cpu_count() or 1) and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
    if os.getloadavg()[0] > _QUIET_LOAD * (os.cpu_count() or 1):
        _say(f"the machine is busy (load averages {loads()}): the figures will be worse than they should be")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(EXIT_SIGINT)  # everything has been removed on the way here

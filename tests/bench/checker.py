"""How fast the check is, how much memory it takes, and that both grow with the history in a straight line."""

from __future__ import annotations

import dataclasses
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.checks.bulk.columns.scan import scan
from chaos.checks.bulk.large import from_columns
from chaos.checks.file import judge_file
from chaos.checks.verdict import judge
from chaos.errors import HarnessError
from tests.bench.figures import Bound, Figure, median
from tests.bench.histories import write_history

FIXED_BYTES = 500 << 20
_LOOK_SECONDS = 0.05


def figures(quick: bool) -> list[Figure]:
    """All figures of the checker; `quick` takes a hundredth of the operations."""
    million = 10_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        path = Path(folder) / "history.jsonl"
        write_history(path, million)
        took = {million: _took(path, million, 3)}
        speeds = [1 / each.whole for each in took[million]]
        found = [
            _from_columns(path, million),
            median(
                "checker.jsonl_operations_per_second", speeds, "1/s", Bound("at least", 2.5e5), "one core, from disk"
            ),
        ]
        path.unlink()
        write_history(path, million // 10)
        took[million // 10] = _took(path, million // 10, 3)
        path.unlink()
        records = write_history(path, 10 * million)
        found += _ten_million(path, records)
        took[10 * million] = _took(path, 10 * million, 1)
    whole = {number: statistics.median(each.whole for each in of) for number, of in took.items()}
    own = {number: statistics.median(each.own for each in of) for number, of in took.items()}
    found.append(_linear("checker.linear", whole, Bound("at most", 1.5)))
    found.append(_linear("checker.linear.own_code", own, None))
    if quick:  # of a hundredth of the operations: nothing that a bound is for
        return [dataclasses.replace(each, name=f"{each.name}.quick", bound=None) for each in found]
    return found


def _from_columns(path: Path, operations: int) -> Figure:
    columns = scan(path, 0, path.stat().st_size)
    samples = [operations / _seconds(lambda: _held(judge(*from_columns(path, columns)).verdict)) for _ in range(5)]
    return median("checker.operations_per_second", samples, "1/s", Bound("at least", 1e6), "one core, from columns")


@dataclasses.dataclass(frozen=True)
class _Took:
    """Seconds an operation: all of them, and those outside of the kernel, which reads files and hands out memory."""

    whole: float
    own: float


def _took(path: Path, operations: int, times: int) -> list[_Took]:
    """Check a file, from disk and on one core, so often."""
    samples = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        whole = _seconds(lambda: _checked(path, 1))
        own = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
        samples.append(_Took(whole / operations, own / operations))
    return samples


def _linear(name: str, per_operation: dict[int, float], bound: Bound | None) -> Figure:
    """How much longer an operation takes in one history than in another."""
    note = ", ".join(f"{number:,}: {seconds * 1e6:.2f} us" for number, seconds in sorted(per_operation.items()))
    straight = max(per_operation.values()) / min(per_operation.values())
    return Figure(name, straight, "ratio", bound, note=f"{note} an operation")


def _ten_million(path: Path, records: int) -> list[Figure]:
    """Time with every core, and the greatest memory of all processes together, each page counted once."""
    begun = time.monotonic()
    run = subprocess.Popen([sys.executable, "-m", "tests.bench.checker", str(path)])
    with _peak(run.pid) as peak:
        code = run.wait()
    seconds = time.monotonic() - begun
    if code:
        raise HarnessError("the check of ten million operations failed; see above")
    bytes_a_record = max(0, peak[0] - FIXED_BYTES) / records
    note = f"{records:,} records, greatest {peak[0] / 2**20:.0f} MiB"
    return [
        Figure("checker.ten_million_seconds", seconds, "s", Bound("at most", 30), note=f"{os.cpu_count()} cores"),
        Figure("checker.bytes_per_record", bytes_a_record, "bytes", Bound("at most", 300), note=note),
    ]


@contextmanager
def _peak(pid: int) -> Iterator[list[int]]:
    """The greatest proportional memory of a process and its children, in bytes, looked at 20 times a second."""
    found, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            found[0] = max(found[0], sum(_bytes(each) for each in _family(pid)))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def _bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def _checked(path: Path, processes: int | None) -> None:
    _held(judge_file(path, processes=processes)[1].verdict)


def _held(verdict: str | None) -> None:
    if verdict != "HELD":
        raise HarnessError(f"a calm history was judged {verdict}; the check is broken, there is nothing to measure")


def _seconds(call: Callable[[], None]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


if __name__ == "__main__":
    _checked(Path(sys.argv[1]), None)

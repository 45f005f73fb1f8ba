"""Taking away what a run left on the engine. By label, idempotent, in the order that engines need.

Containers first (killed at once, not asked), then networks, then volumes. A request that a dead controller had
under way may still create something afterwards, so `sweep_until_clean` looks again before it believes.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from chaos.agent.disk import loop, mounted
from chaos.errors import EngineError
from chaos.stack.cache import CACHE_IN_AGENT, cache_place, golden_place, left_over, left_to, scratch_of, socket_of
from chaos.stack.engine import objects
from chaos.stack.engine.client import Engine, Refusal, connect, reason_of, status_of
from chaos.stack.engine.identity import OWNER_LABEL, ROLE_LABEL, RUN_LABEL, is_alive
from chaos.stack.images.leftover import all_of_ours, sweep_images

_GONE = 404
_ON_ITS_WAY_OUT = 409
_DONE = {"container": (_GONE, _ON_ITS_WAY_OUT), "network": (_GONE,), "volume": (_GONE,)}
"""By kind, the refusals of a removal after which nothing is left to do."""
_QUIET_SECONDS = 1.0
_RETRY_SECONDS = 0.2
_SECONDS_MAX = 8.0


@dataclass
class SweepReport:
    """What was removed, what could not be, and what stays since somebody uses it."""

    removed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    in_use: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line a thing."""
        lines = [f"removed {name}" for name in self.removed] + [f"could not remove {name}" for name in self.failed]
        lines += [f"left {name}: it is in use, or has a name that you gave it" for name in self.in_use]
        return "\n".join(lines) or "nothing to clean"


def sweep(*, all_: bool = False, images: bool = False, golden: bool = False) -> SweepReport:
    """Remove what dead runs left.

    Args:
        all_: Remove the images and the whole cache folder, too.
        images: Remove the images, too; those in use stay.
        golden: Remove the golden LUNs, too. Like the cache folder they stay while a run is under way.

    Raises:
        EngineError: No engine answers.
    """
    client = connect()
    try:
        report = sweep_orphans(client)
        until = time.monotonic() + _SECONDS_MAX
        while report.failed and time.monotonic() < until:
            time.sleep(_RETRY_SECONDS)  # a guard may be removing the very same things
            again = sweep_orphans(client)
            report = SweepReport(report.removed + again.removed, again.failed)
        for path in left_over():
            _remove(path, report)
        if all_ or images:
            _sweep_images(client, report)
        if all_ or golden:
            name, place = ("cache folder", cache_place()) if all_ else ("golden LUNs in", golden_place())
            if alive := _alive(client):
                report.failed.append(f"the {name} {place} while runs are under way: {', '.join(alive)}")
            elif place.exists():
                _remove(place, report, f"the {name} ")
        return report
    finally:
        client.close()


def _remove(path: Path, report: SweepReport, what: str = "") -> None:
    wrong: list[str] = []

    def failed(call: object, of: str, raised: tuple[type[BaseException], BaseException, object]) -> None:
        if not isinstance(raised[1], FileNotFoundError):  # another command removes the same
            wrong.append(f"{of}: {getattr(raised[1], 'strerror', None) or raised[1]}")

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=failed)
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            wrong.append(str(error.strerror))
    if wrong and (not path.is_dir() or any(path.iterdir())):  # a folder that a volume is mounted at is empty, and stays
        report.failed.append(f"{what}{path}: {wrong[0]}")
    else:
        report.removed.append(f"{what}{path}")


def sweep_run(client: Engine, run_id: str) -> SweepReport:
    """Remove every object of one run."""
    report = SweepReport()
    _sweep(client, f"{RUN_LABEL}={run_id}", lambda labels: True, report)
    _forget(run_id)
    return report


def sweep_until_clean(client: Engine, run_id: str, seconds_max: float = _SECONDS_MAX) -> SweepReport:
    """Remove a dead run's objects until two looks, a second apart, found none."""
    total = SweepReport()
    until = time.monotonic() + seconds_max
    while True:
        report = sweep_run(client, run_id)
        total.removed += report.removed
        total.failed = report.failed
        if time.monotonic() > until:
            return total
        if report.removed or report.failed:
            time.sleep(_RETRY_SECONDS)
            continue
        time.sleep(_QUIET_SECONDS)
        if not _exists(client, run_id):
            return total


def sweep_orphans(client: Engine) -> SweepReport:
    """Remove the objects of every run whose controller is gone, and the loop devices that are left of them."""
    report = SweepReport()
    for run_id in _sweep(client, RUN_LABEL, lambda labels: not _is_owned(labels), report):
        _forget(run_id)
    # devices before labels: a run that begins in between has its label, and is spared
    loops = list(holdfast_loops())
    alive = {each.labels.get(RUN_LABEL, "") for each in objects.labelled(client, "container", RUN_LABEL)}
    orphans = [each for each in loops if not any(run and f"holdfast-{run}-" in each[1] for run in alive)]
    if orphans:
        time.sleep(_RETRY_SECONDS)  # those of a run that is just ending free themselves
    for device, _ in sorted(set(orphans).intersection(holdfast_loops() if orphans else ())):
        _free(device, report)
    return report


def _free(device: str, report: SweepReport) -> None:
    """Free a loop device of which this engine knows no run that lives: another engine of this host may know it."""
    if not os.access(device, os.R_OK | os.W_OK):
        return  # who may not free it cannot see either who uses it
    if loop.is_open(device):
        return  # its agent lives
    if loop.detach(device):
        report.removed.append(f"loop device {device}")
    elif who := mounted.holders(device):
        report.failed.append(
            f"loop device {device}: mounted, as {who[0]} sees it; if that belongs to another engine of this host, "
            "run `holdfast clean` with DOCKER_HOST naming that one"
        )


def holdfast_loops() -> Iterator[tuple[str, str]]:
    """Yield (device, backing file) of every loop device over one of our ports."""
    for block in sorted(Path("/sys/block").glob("loop*")):
        try:
            file = (block / "loop" / "backing_file").read_text().strip()
        except OSError:
            continue
        if Path(file).name.startswith("holdfast-"):
            yield f"/dev/{block.name}", file


def _forget(run_id: str) -> None:
    """Remove the files of a run."""
    if not run_id:
        return  # a label that is not ours; without an id this would be the folder of all runs
    shutil.rmtree(scratch_of(run_id), ignore_errors=True)
    socket_of(run_id).unlink(missing_ok=True)
    left_to(run_id).unlink(missing_ok=True)


def _is_owned(labels: Mapping[str, str]) -> bool:
    """Whether the controller of a run lives, or the guard to which it left its stack."""
    if is_alive(labels.get(OWNER_LABEL, "")):
        return True
    try:
        return is_alive(left_to(labels.get(RUN_LABEL, "")).read_text(encoding="utf-8"))
    except OSError:
        return False


def _sweep(
    client: Engine, label: str, wanted: Callable[[Mapping[str, str]], bool], report: SweepReport
) -> Collection[str]:
    """Remove the objects with a label that are wanted; of which runs there were any."""
    runs: set[str] = set()
    for kind in objects.KINDS:
        found = [each for each in objects.labelled(client, kind, label) if wanted(each.labels)]
        runs |= {each.labels.get(RUN_LABEL, "") for each in found}
        # services before agents: a service that is stopped may still want to write to its LUN
        for each in sorted(found, key=lambda each: each.labels.get(ROLE_LABEL) == "agent"):
            with _reported(report, f"{kind} {each.name}", *_DONE[kind]):
                objects.remove(client, each)
    return runs


@contextmanager
def _reported(report: SweepReport, name: str, *done: int) -> Iterator[None]:
    try:
        yield
    except Refusal as error:
        if status_of(error) not in done:
            report.failed.append(f"{name}: {reason_of(error)}")
    else:
        report.removed.append(name)


def _sweep_images(client: Engine, report: SweepReport) -> None:
    try:
        report.removed += [f"image {name}" for name in sweep_images(client)]
        report.in_use += [f"image {(*each.tags, each.id)[0]}" for each in all_of_ours(client)]
    except EngineError as error:
        report.failed.append(str(error))


def _alive(client: Engine) -> list[str]:
    """Runs whose controller lives; and disks of runs on other engines of this host that have the same cache folder."""
    found = objects.labelled(client, "container", RUN_LABEL)
    runs = {each.labels.get(RUN_LABEL, "") for each in found if _is_owned(each.labels)}
    disks = {Path(file).name for device, file in holdfast_loops() if _has_our_cache(loop.opener(device))}
    return sorted(runs | {disk for disk in disks if not any(f"holdfast-{run}-" in disk for run in runs)})


def _has_our_cache(agent: int | None) -> bool:
    """Whether the agent with this pid has this process's cache folder."""
    with suppress(OSError):  # it has ended, or is another user's
        return agent is not None and Path(f"/proc/{agent}/root{CACHE_IN_AGENT}").samefile(cache_place())
    return False


def _exists(client: Engine, run_id: str) -> bool:
    return any(objects.labelled(client, kind, f"{RUN_LABEL}={run_id}") for kind in objects.KINDS)

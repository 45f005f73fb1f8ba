"""`holdfast audit`: records a run without faults, and tells where the copies of each record were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from chaos.agent.recording import DATA_SUFFIX
from chaos.audit.copymap import CopyMap, copy_map
from chaos.audit.predicted import Prediction, domains, predict
from chaos.explore.record import record
from chaos.explore.recorded import Recorded
from chaos.history.reader import read_history
from chaos.preflight.opening import Opened, open_experiment
from chaos.reporting.result import HISTORY_FILE, Document, jsonable
from chaos.reporting.terminal import terminal
from chaos.reporting.words import counted
from chaos.stack.engine.identity import Run
from chaos.stack.spec import Stack
from chaos.trial import RECORDING_FOLDER
from chaos.trials import with_sigterm

FOLDER: Final = Path("reports/audits")


@dataclass(frozen=True)
class Audit:
    """What an audit has come to."""

    stack: Stack
    copies: CopyMap
    predictions: Sequence[Prediction]
    folder: Path


def audit_file(file: Path, seed: int | None, out: TextIO, *, quiet: bool) -> Audit:
    """Record a run of an experiment, and look where everything was; `out` takes what is told meanwhile.

    Raises:
        UsageError: The experiment cannot be run.
        HarnessError: Anything but the service failed.
    """
    opened = open_experiment(file, seed)
    folder = FOLDER / Run.begin(opened.plans[0].seed).id
    folder.mkdir(parents=True)
    with asyncio.Runner() as runner:
        return runner.run(with_sigterm(audited(opened, folder, out, quiet=quiet)))


async def audited(opened: Opened, folder: Path, out: TextIO, *, quiet: bool) -> Audit:
    """The same in a folder that is there, of an experiment that is open."""
    await record(opened, folder, (terminal(out, "quiet" if quiet else "usual"),))
    return await asyncio.to_thread(read_audit, opened, folder)


def read_audit(opened: Opened, folder: Path) -> Audit:
    """The audit of a run that is recorded in a folder.

    Raises:
        UsageError, HarnessError: There is no recording that can be read.
    """
    recorded = Recorded.read(folder)
    data = {lun: folder / RECORDING_FOLDER / f"{name}{DATA_SUFFIX}" for lun, name in recorded.luns.items()}
    copies = copy_map(read_history(folder / HISTORY_FILE), recorded.recordings(folder), data)
    return Audit(opened.stack, copies, predict(copies, opened.stack), folder)


def told(audit: Audit) -> list[str]:
    """The map and the predictions in lines."""
    copies, of = audit.copies, domains(audit.stack)
    found = copies.acknowledged - copies.unseen
    lines = [f"{copies.acknowledged:,} acknowledged creates and updates, the bytes of {found:,} found on LUNs"]
    if copies.unseen:
        lines += [f"{copies.unseen:,} were found on none: compressed, encoded, encrypted, or not on a LUN"]
    lines += ["", "fault domains", *_domains(audit.stack), "", "flushed when it was acknowledged"]
    for each in copies.held:
        on = f"on {', '.join(sorted(each.luns))} ({_names(each.luns, of)})" if each.luns else "nowhere"
        also = "also " if each.luns else ""
        later = ", ".join(sorted(each.later - each.luns))
        lines += [f"  {each.part:<6} {each.writes:>6,} {on}" + (f"; later {also}on {later}" if later else "")]
    lines += ["", "expected to lose records, to be confirmed by `holdfast search --guided`"]
    lines += [f"  {_prediction(each)}" for each in audit.predictions] or ["  nothing that was seen"]
    return [*lines, f"folder {audit.folder}"]


def document(audit: Audit) -> Document:
    """The same as one document."""
    copies = audit.copies
    return {
        "verdict": None,
        "reason": "",
        "acknowledged": copies.acknowledged,
        "unseen": copies.unseen,
        "copies": [
            {
                "part": each.part,
                "luns": sorted(each.luns),
                "writes": each.writes,
                "first": each.first,
                "later": sorted(each.later),
            }
            for each in copies.held
        ],
        "predictions": jsonable(audit.predictions),
        "folder": str(audit.folder),
    }


def _domains(stack: Stack) -> Iterator[str]:
    for array, luns in stack.arrays.items():
        kind = "local disks" if all(stack.luns[lun].is_local for lun in luns) else "array"
        yield f"  {kind} {array}: {', '.join(luns)}"


def _names(luns: frozenset[str], of: dict[str, str]) -> str:
    return ", ".join(sorted({of[lun] for lun in luns}))


def _prediction(each: Prediction) -> str:
    faults = " and ".join(f"{fault.fault} {fault.target}" for fault in each.schedule)
    return f"{faults}: {counted(each.writes, 'write')}, the first {each.first}; {each.why}"

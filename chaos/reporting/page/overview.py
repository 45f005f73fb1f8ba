"""The page over all trials of one run: the worst first, each with a link to its own page."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.checks.classes import OF_SESSIONS, THIN, VIOLATING
from chaos.experiment.plan import Plan
from chaos.reporting.page.page import NO_VERDICT, environment
from chaos.reporting.result import REPORT_FILE, Broken, FaultOutcome, TrialResult
from chaos.reporting.words import counted, date, one_line

ROWS_MAX: Final = 2_000
_WORST_FIRST: Final = ("VIOLATED", NO_VERDICT, "INCONCLUSIVE", "HELD")
_FAULTS_MAX: Final = 3


@dataclass(frozen=True)
class Row:
    """One trial in the list.

    Attributes:
        of: The file that it was run from, or the experiment's name.
        expected: The verdict that its experiment expects, where it is another one.
        faults: The first faults, and when each was injected.
        page: Its own page, as seen from this one.
    """

    verdict: str
    of: str
    seed: int
    reason: str
    expected: str
    faults: tuple[str, ...]
    page: str


def overview(results: Sequence[TrialResult], broken: Sequence[Broken], at: Path, *, times: int) -> str:
    """The page over trials of any experiments.

    Args:
        results: Trials that have a verdict.
        broken: Those that broke off.
        at: Where the page will be; its links are relative to that.
        times: How many trials the run has, those that have not ended yet too.
    """
    rows = sorted(
        [*(_row(result, at) for result in results), *(_broken(each, at) for each in broken)],
        key=lambda row: (_WORST_FIRST.index(row.verdict), not row.expected, row.of, row.seed),
    )
    verdicts = Counter(row.verdict for row in rows)
    return (
        environment()
        .get_template("overview.html")
        .render(
            name=at.stem,
            worst=rows[0].verdict if rows else NO_VERDICT,
            verdicts=[(each, verdicts[each]) for each in _WORST_FIRST if verdicts[each]],
            trials=counted(len(rows), "trial"),
            missing=max(0, times - len(rows)),
            several=len({row.of for row in rows}) > 1,
            of=rows[0].of if rows else "",
            date=date(min((each.begun for each in results if each.begun), default=None)),
            versions=next((each.versions for each in results), {}),  # one run is on one host and one engine
            unexpected=sum(bool(row.expected) for row in rows),
            classes=_classes(results),
            rows=rows[:ROWS_MAX],
            rows_left_out=max(0, len(rows) - ROWS_MAX),
        )
    )


def _row(result: TrialResult, at: Path) -> Row:
    faults = [_fault(each) for each in result.faults]
    rest = len(faults) - _FAULTS_MAX
    return Row(
        result.verdict,
        _of(result.plan),
        result.plan.seed,
        one_line(result.reason),
        "" if result.as_expected else result.plan.expect,
        (*faults[:_FAULTS_MAX], *([f"and {rest} more"] if rest > 0 else [])),
        _page(result.run_dir, at),
    )


def _broken(trial: Broken, at: Path) -> Row:
    return Row(NO_VERDICT, _of(trial.plan), trial.plan.seed, one_line(trial.reason), "", (), _page(trial.run_dir, at))


def _of(plan: Plan) -> str:
    return plan.experiment


def _page(run_dir: Path, at: Path) -> str:
    return Path(os.path.relpath(run_dir / REPORT_FILE, at.parent)).as_posix()


def _fault(fault: FaultOutcome) -> str:
    if fault.injected_at is None:
        return f"{fault.name} {fault.target}, never injected"
    return f"{fault.name} {fault.target} at {fault.injected_at:,.3f} s"


def _classes(results: Sequence[TrialResult]) -> list[tuple[str, int, int]]:
    """(class, in how many trials, records in all of them) of the anomalies, the worst first."""
    trials: Counter[str] = Counter()
    records: Counter[str] = Counter()
    for result in results:
        if result.judgement is not None:
            trials.update(result.judgement.anomalies.keys())
            records.update(result.judgement.anomalies)
    return [(name, trials[name], records[name]) for name in (*VIOLATING, *OF_SESSIONS, *THIN) if trials[name]]

"""Finished trials in few words: one on a line, or all of a run by verdict."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.experiment.plan import Plan
from chaos.reporting.result import WORST_FIRST, TrialResult, worst
from chaos.reporting.words import DOT, counted, one_line

_NOT_RUN = "not run"


def verdict_line(result: TrialResult) -> str:
    """All of a finished trial on one line: verdict, what was run, why, and where the rest is."""
    plan = result.plan
    expected = "" if result.as_expected else f"expected {plan.expect}: "
    parts = [str(plan.file or plan.experiment), f"seed {plan.seed}", expected + one_line(result.reason)]
    return f"{result.verdict:<12} {DOT.join([*parts, str(result.run_dir)])}"


def came_again(results: Sequence[TrialResult]) -> list[str]:
    """Of a plan that ran several times how often it was violated, and whether its faults fell on the same I/Os."""
    if len(results) < 2 or results[0].plan.inputs is None:
        return []
    violated = sum(result.verdict == "VIOLATED" for result in results)
    same = [fault.evidence.get("same_io_as_before") for result in results for fault in result.faults]
    lines = [f"  VIOLATED in {violated} of {len(results)} trials of this plan"]
    if told := [each for each in same if each is not None]:
        lines += [f"  faults at an I/O fell on the same one as before in {told.count('yes')} of {len(told)} cases"]
    return lines


def summary(results: Sequence[TrialResult], not_run: Sequence[Plan] = (), *, by_file: bool = False) -> list[str]:
    """Several trials on one line each verdict, worst first, with the seeds that tell them apart.

    Args:
        results: At least one.
        not_run: The plans of trials that were left out.
        by_file: Have lines of its own for each file, and say on them which verdict is not the expected one.
    """
    found = [(result.plan, str(result.verdict)) for result in results] + [(plan, _NOT_RUN) for plan in not_run]
    files = dict.fromkeys(plan.file if by_file else None for plan, _ in found)
    of = f" of {counted(len(files), 'file')}" if by_file else ""
    lines = [f"{counted(len(found), 'trial')}{of}, the worst {worst(results).verdict}"]
    width = max(len(str(file)) for file in files)
    for file in files:
        name = f"{file!s:<{width}}  " if by_file else ""
        for what in (*WORST_FIRST, _NOT_RUN):
            plans = [plan for plan, each in found if each == what and (plan.file == file or not by_file)]
            if plans:
                seeds = ", ".join(str(plan.seed) for plan in plans)
                is_expected = not by_file or what in (_NOT_RUN, plans[0].expect)
                expected = "" if is_expected else f"  expected {plans[0].expect}"
                lines.append(f"  {name}{len(plans):>3} {what:<12} seeds {seeds}{expected}")
    return lines

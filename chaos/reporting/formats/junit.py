"""JUnit's XML, which most CI systems show: a case for each trial.

A verdict that is not the expected one is a failure, with the verdict block as its text. A trial that broke off is an
error: nothing is said about the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from chaos.errors import UsageError
from chaos.experiment.plan import Plan
from chaos.reporting.block import verdict_block
from chaos.reporting.listener import AtTheEnd
from chaos.reporting.result import Broken, TrialResult, number_in_run
from chaos.reporting.words import one_line, printable

_SUITE = "holdfast"


class JunitReport(AtTheEnd):
    """Writes one file, anew after each trial, so that it is there when a later one breaks off."""

    def __init__(self, path: Path) -> None:
        """Write a file without cases, which one of an earlier run must not stand for.

        Raises:
            UsageError: It cannot be written.
        """
        super().__init__()
        self._path = path
        self._cases: list[ElementTree.Element] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}; name another file for JUnit") from None

    def over(self, trial: TrialResult | Broken) -> None:
        """Add its case."""
        self._cases.append(_case(trial))
        self._write()

    def ended_early(self, trial: Broken, exit_code: int) -> None:
        """Leave it to `not_run`: it is one case."""

    def not_run(self, plan: Plan) -> None:
        """Add a case that was skipped."""
        case = ElementTree.Element("testcase", classname=_SUITE, name=f"{plan.experiment} seed {plan.seed}")
        ElementTree.SubElement(case, "skipped", message="not run, since the run was to end after another trial")
        self._cases.append(case)
        self._write()

    def _write(self) -> None:
        cases = sorted(self._cases, key=lambda case: case.get("name", ""))
        counts = {
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": str(sum(case.find("error") is not None for case in cases)),
            "skipped": str(sum(case.find("skipped") is not None for case in cases)),
            "time": f"{sum(float(case.get('time', 0)) for case in cases):.3f}",
        }
        root = ElementTree.Element("testsuites", counts)
        ElementTree.SubElement(root, "testsuite", {"name": _SUITE, **counts}).extend(cases)
        ElementTree.indent(root)
        part = self._path.with_name(f".{self._path.name}.part")
        ElementTree.ElementTree(root).write(part, encoding="utf-8", xml_declaration=True)
        part.replace(self._path)


def _case(trial: TrialResult | Broken) -> ElementTree.Element:
    """One trial. Its name has no seed, so that a CI system knows it again in the next run."""
    name = f"{trial.plan.experiment} trial {number_in_run(trial)}"
    seconds = 0.0 if isinstance(trial, Broken) else sum(trial.phases.values())
    case = ElementTree.Element("testcase", classname=_SUITE, name=name, time=f"{seconds:.3f}")
    facts = {"seed": str(trial.plan.seed), "expect": trial.plan.expect, "run_dir": str(trial.run_dir)}
    if isinstance(trial, Broken):
        _add(case, facts)
        ElementTree.SubElement(case, "error", type="harness", message=one_line(trial.reason))
        return case
    _add(case, {**facts, "verdict": trial.verdict})
    if not trial.as_expected:
        failure = ElementTree.SubElement(case, "failure", type=trial.verdict, message=one_line(trial.reason))
        failure.text = "\n".join(printable(line) for line in verdict_block(trial))
    return case


def _add(case: ElementTree.Element, facts: Mapping[str, str]) -> None:
    properties = ElementTree.SubElement(case, "properties")
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=value)

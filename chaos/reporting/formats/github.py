"""What GitHub Actions shows of a run: a line in the step's summary, and an annotation where a verdict is unexpected.

The summary is only ever appended to, in one write for each trial, since other steps and other processes do so, too.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Final, TextIO

from chaos.experiment.plan import Plan
from chaos.reporting.block import verdict_block
from chaos.reporting.listener import AtTheEnd
from chaos.reporting.result import Broken, TrialResult
from chaos.reporting.words import DOT, one_line, printable

SUMMARY_VARIABLE: Final = "GITHUB_STEP_SUMMARY"
"""Of the environment: the file of a step's summary."""
ACTIONS_VARIABLE: Final = "GITHUB_ACTIONS"
"""Of the environment: set where a runner of GitHub Actions reads what is printed."""
SUMMARY_BYTES_MAX: Final = 1024 * 1024
"""GitHub drops the whole summary of a step that is larger."""
_LEFT_OUT: Final = "- further trials are left out: the summary of a step has 1 MiB at most\n"


class StepSummary(AtTheEnd):
    """Appends a line of Markdown for each trial, and the verdict block where the verdict is not the expected one."""

    def __init__(self, path: Path) -> None:
        """Append to `path`."""
        super().__init__()
        self._path = path
        self._is_full = False

    def over(self, trial: TrialResult | Broken) -> None:
        """Append it: whole, or only its line, or what says that the rest is left out."""
        line, block = _line(trial), _block(trial)
        size_bytes = self._path.stat().st_size if self._path.exists() else 0
        room_bytes = SUMMARY_BYTES_MAX - size_bytes - len(_LEFT_OUT)
        fitting = [text for text in (line + block, line) if len(text.encode()) <= room_bytes]
        if fitting and not self._is_full:
            self._append(fitting[0])
        elif not self._is_full:
            self._is_full = True
            self._append(_LEFT_OUT)

    def _append(self, text: str) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(text.encode())


class Annotations(AtTheEnd):
    """Prints a command of GitHub Actions for each trial that is not as expected, at the line that expects it."""

    def __init__(self, out: TextIO) -> None:
        """Print to `out`, which the runner reads."""
        super().__init__()
        self._out = out

    def ended_early(self, trial: Broken, exit_code: int) -> None:
        """Print nothing: that is no error."""

    def over(self, trial: TrialResult | Broken) -> None:
        """Print it."""
        plan = trial.plan
        if isinstance(trial, Broken):
            title, told = f"no verdict: {plan.experiment}", trial.reason
        elif not trial.as_expected:
            title = f"{trial.verdict}: {plan.experiment}"
            told = f"{trial.reason}\nexpected: {plan.expect}\nagain: {trial.again}"
        else:
            return
        place = [f"file={_property(str(plan.file))}", f"line={_line_of(plan)}"] if plan.file is not None else []
        self._out.write(f"::error {','.join([*place, f'title={_property(title)}'])}::{_escaped(told)}\n")
        self._out.flush()


def _line(trial: TrialResult | Broken) -> str:
    if isinstance(trial, Broken):
        verdict, expected = "no verdict", ""
    else:
        verdict, expected = trial.verdict, "" if trial.as_expected else f"{DOT}expected {trial.plan.expect}"
    told = f"{trial.plan.experiment}{DOT}seed {trial.plan.seed}{expected}{DOT}{one_line(trial.reason)}"
    return f"- **{verdict}** {_markdown(told)}\n"


def _block(trial: TrialResult | Broken) -> str:
    if isinstance(trial, Broken):
        return f"\n  run: `{trial.run_dir}`\n\n"
    if trial.as_expected:
        return ""
    text = "\n".join(html.escape(printable(line), quote=False) for line in verdict_block(trial))
    # A blank line would end the HTML of the block, and what follows would be read as Markdown.
    return f"\n<pre>\n{re.sub(r'^$', '&#8203;', text, flags=re.MULTILINE)}\n</pre>\n\n"


def _markdown(text: str) -> str:
    """A text in which nothing is read as Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!@&])", r"\\\1", text)


def _line_of(plan: Plan) -> int:
    """The line of the user's file that expects a verdict, else its first key."""
    try:
        lines = plan.file.read_text(encoding="utf-8").splitlines() if plan.file is not None else []
    except (OSError, ValueError):
        lines = []
    for key in ("expect:", "experiment:", "plan:"):
        for number, line in enumerate(lines, start=1):
            if line.startswith(key):
                return number
    return 1


def _escaped(text: str) -> str:
    """The text of a command of GitHub Actions; it ends with the line."""
    printed = "\n".join(printable(line) for line in text.splitlines())
    return printed.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """The value of a command's property; it ends with a comma or a colon."""
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")

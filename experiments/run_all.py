"""Runs every experiment of this folder with several seeds and compares each verdict with the expected one.

    python experiments/run_all.py [--seeds N] [--first-seed N] [--jobs N] [FILE ...]

Prints a table; exits 0 when every trial came out as expected, else 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.experiment.files import is_experiment

FOLDER = Path(__file__).resolve().parent
TRIAL_SECONDS_MAX = 300


@dataclass(frozen=True)
class Row:
    """One experiment's outcome: its verdicts by seed, or why there are none."""

    name: str
    expect: str
    verdicts: tuple[str, ...]
    seconds: float
    trouble: str = ""

    @property
    def is_as_expected(self) -> bool:
        """Every trial came to the expected verdict, and there was at least one."""
        return not self.trouble and bool(self.verdicts) and set(self.verdicts) == {self.expect}


def main() -> int:
    """Run, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description="Run experiments and compare their verdicts with the expected ones.")
    parser.add_argument("--seeds", type=int, default=5, help="trials of each experiment")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="copies of the stack at once")
    parser.add_argument("files", nargs="*", type=Path, help="default: all of this folder")
    arguments = parser.parse_args()
    files = arguments.files or [file for file in sorted(FOLDER.rglob("*.yaml")) if is_experiment(file)]
    rows = []
    for file in files:
        row = run(file, arguments.first_seed, arguments.seeds, arguments.jobs)
        rows.append(row)
        say(shown(row))
    missed = [row.name for row in rows if not row.is_as_expected]
    trials = sum(len(row.verdicts) for row in rows)
    say(f"{len(rows)} experiments, {trials} trials; missed: {', '.join(missed) or 'none'}")
    return 1 if missed or not rows else 0


def run(file: Path, first_seed: int, seeds: int, jobs: int) -> Row:
    """Run one experiment `seeds` times."""
    began = time.monotonic()
    trials, trouble = documents(file, first_seed, seeds, jobs)
    verdicts = tuple(str(trial["verdict"]) for trial in trials)
    expect = str(trials[0]["expect"]) if trials else "?"
    return Row(name_of(file), expect, verdicts, time.monotonic() - began, trouble)


def documents(file: Path, first_seed: int, seeds: int, jobs: int) -> tuple[list[dict[str, Any]], str]:
    """The document of each of `seeds` trials of an experiment, and what went wrong if these are not all."""
    holdfast = Path(sys.executable).with_name("holdfast")
    command = [str(holdfast), "run", str(file), "--json", "--seed", str(first_seed), "--times", str(seeds)]
    command += ["--jobs", str(jobs)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=TRIAL_SECONDS_MAX * seeds,
            check=False,
        )
        document = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return [], f"not done in {TRIAL_SECONDS_MAX * seeds} s"
    except ValueError:
        return [], f"exit {done.returncode}: {last_line(done.stderr)}"
    trials = document.get("trials") or ([document] if document.get("verdict") else [])
    return trials, "" if len(trials) == seeds else str(document.get("reason"))


def name_of(file: Path) -> str:
    """An experiment's path below this folder."""
    return str(file.relative_to(FOLDER).with_suffix("")) if file.is_relative_to(FOLDER) else str(file)


def shown(row: Row) -> str:
    """One line of the table."""
    mark = "ok  " if row.is_as_expected else "MISS"
    counts = ", ".join(f"{row.verdicts.count(each)} {each}" for each in dict.fromkeys(row.verdicts))
    parts = [
        f"{mark} {row.name:28} expected {row.expect:12}",
        f"{counts or 'no trial':32} {row.seconds:7.1f} s",
    ]
    return "  ".join([*parts, *filter(None, [row.trouble])])


def last_line(output: bytes) -> str:
    """What a program said last."""
    lines: Sequence[str] = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

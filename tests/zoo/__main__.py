"""The zoo (docs/zoo.md) from the command line.

python -m tests.zoo show [--seeds N] [--first-seed N] [NAME ...]      known schedules, on variant and twin
python -m tests.zoo search [--way WAY] [--seeds N] [NAME ...]         by search, which is told nothing
python -m tests.zoo table                                            what was found, as docs/zoo.md has it
python -m tests.zoo write FOLDER [NAME ...]                          variants as experiments without a schedule
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.run_all import say
from tests.zoo.results import FOLDER, Results
from tests.zoo.shown import show
from tests.zoo.sought import Asked, seek
from tests.zoo.table import Variant, table, write
from tests.zoo.telling import rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked, and tell by the exit code whether all was as it must be."""
    given = _parser().parse_args(arguments)
    if given.command == "table":
        for line in rows(table().values(), Results()):
            say(line)
        return 0
    chosen = _chosen(given.names)
    if given.command == "write":
        write(chosen, given.folder)
        return 0
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    if given.command == "show":
        return show(chosen, given.first_seed, given.seeds, given.jobs)
    until = time.monotonic() + given.minutes * 60
    asked = Asked(given.way, seeds, given.trials, given.twin_trials, given.shrink, given.jobs, until)
    return seek(chosen, asked, Results(given.results))


def _chosen(names: Sequence[str]) -> list[Variant]:
    return [variant for name, variant in table().items() if name.startswith(tuple(names or [""]))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The bugs of fixtures/zoo and their fixed twins.")
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("show", help="under the schedules that show them")
    sought = commands.add_parser("search", help="by search")
    for each, seeds in ((shown, 3), (sought, 1)):
        each.add_argument("--seeds", type=int, default=seeds)
        each.add_argument("--first-seed", type=int, default=1)
        each.add_argument("--jobs", type=int, default=2, help="copies of a stack at once")
    sought.add_argument("--way", nargs="+", choices=("guided", "drawn", "uniform"), default=["guided"])
    sought.add_argument("--trials", type=int, default=30, help="of each search at most")
    sought.add_argument("--twin-trials", type=int, default=12, help="of each fixed twin; 0: none")
    sought.add_argument("--shrink", type=int, default=40, help="executions that a finding may be made smaller in")
    sought.add_argument("--minutes", type=float, default=110, help="after which nothing new is begun")
    sought.add_argument("--results", type=Path, default=FOLDER, help="folder that keeps results")
    commands.add_parser("table", help="what was found")
    written = commands.add_parser("write", help="as experiments without schedules")
    written.add_argument("folder", type=Path)
    for each in (shown, sought, written):
        each.add_argument("names", nargs="*", help="beginnings of names (default: all)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

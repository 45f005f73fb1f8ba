"""Cuts the power of servers whose settings are known to be safe, or known to be unsafe, and counts the verdicts.

    python -m tests.calibration [--cuts N] [--first-seed N] [--jobs N] [NAME ...]

NAME is the beginning of experiments' names, for example `redis` or `sqlite/wal`. A line for each setting is printed as
soon as it is there. `taking` are the cuts that took something: what the disk had not flushed, or what was still in the
page cache. Exits 1 where a safe setting alarms (VIOLATED), where an unsafe one does not although its cut took
something, or where no trial showed what the setting is; else 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.run_all import FOLDER, documents, say

SETTINGS = (
    "redis/power_cut",
    "redis/power_cut_everysec",
    "etcd/power_cut",
    "etcd/power_cut_unsafe_no_fsync",
    "postgresql/power_cut",
    "postgresql/power_cut_synchronous_commit_off",
    "postgresql/power_cut_torn_pages",
    "postgresql/power_cut_torn_pages_full_page_writes_off",
    "mariadb/power_cut",
    "mariadb/power_cut_flush_log_0",
    "radicale/power_cut",
    "radicale/power_cut_without_fsync",
    "sqlite/delete_extra_power_cut",
    "sqlite/delete_full_power_cut",
    "sqlite/wal_full_power_cut",
    "sqlite/wal_normal_power_cut",
)
"""Experiments with one power cut, in which a setting alone decides. It is safe where they expect HELD."""
HEAD = f"{'setting':52} {'known as':8} {'cuts':>5} {'taking':>6} {'HELD':>5} {'VIOLATED':>8} {'INCONCLUSIVE':>12}"


@dataclass(frozen=True)
class Trial:
    """What counts of one trial: its verdict, whether its cut bit, and how much that took."""

    verdict: str
    bit: bool
    taken_bytes: int


@dataclass(frozen=True)
class Row:
    """One setting: the verdict that it must have, its trials, and why these are not all."""

    name: str
    expect: str
    trials: tuple[Trial, ...]
    trouble: str = ""

    @property
    def misses(self) -> tuple[str, ...]:
        """What speaks against the check, or against this calibration."""
        others = [each for each in self.trials if each.verdict not in (self.expect, "INCONCLUSIVE")]
        # a cut right after a flush may take nothing, and then there is nothing to find
        wrong = [each for each in others if each.verdict == "VIOLATED" or each.taken_bytes]
        shown = any(each.verdict == self.expect and each.bit for each in self.trials)
        return (
            *([self.trouble] if self.trouble else []),
            *([f"{len(wrong)} not {self.expect}"] if wrong else []),
            *([] if shown else [f"no cut came to {self.expect}"]),
        )

    def __str__(self) -> str:
        """As a line of the table."""
        cuts = sum(each.bit for each in self.trials)
        taking = sum(each.taken_bytes > 0 for each in self.trials)
        held, violated, thin = (
            sum(each.verdict == verdict for each in self.trials) for verdict in ("HELD", "VIOLATED", "INCONCLUSIVE")
        )
        known = "safe" if self.expect == "HELD" else "unsafe"
        told = f"{self.name:52} {known:8} {cuts:5} {taking:6} {held:5} {violated:8} {thin:12}"
        return f"{told}  {'MISS: ' + '; '.join(self.misses) if self.misses else 'ok'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description="Count verdicts of settings that are known to be safe or unsafe.")
    parser.add_argument("--cuts", type=int, default=100, help="trials of each setting")
    parser.add_argument("--first-seed", type=int, default=1, help="to go on where an earlier call ended")
    parser.add_argument("--jobs", type=int, default=2, help="copies of a stack at once")
    parser.add_argument("names", nargs="*", default=[""])
    given = parser.parse_args(arguments)
    say(HEAD)
    missed = []
    chosen = [name for name in SETTINGS if name.startswith(tuple(given.names))]
    for name in chosen:
        trials, trouble = documents(FOLDER / f"{name}.yaml", given.first_seed, given.cuts, given.jobs)
        row = Row(name, trials[0]["expect"] if trials else "?", tuple(map(counted, trials)), trouble)
        say(str(row))
        missed += [name] if row.misses else []
    say(f"{len(chosen)} settings; missed: {', '.join(missed) or 'none'}")
    return 1 if missed or not chosen else 0


def counted(document: Mapping[str, Any]) -> Trial:
    """What counts of a trial's document."""
    [cut] = document["faults"]
    taken = sum(cut["evidence"].get(name, 0) for name in ("discarded_bytes", "dirty_bytes"))
    return Trial(document["verdict"], cut["bit"], taken)


if __name__ == "__main__":
    sys.exit(main())

"""Runs the bugs of fixtures/zoo and their fixed twins (docs/zoo.md), and counts the verdicts.

    python -m tests.zoo [--seeds N] [--first-seed N] [--jobs N] [NAME ...]
    python -m tests.zoo --write FOLDER [NAME ...]

A variant with the schedule that shows it must be VIOLATED with its class, and its twin HELD under the same schedule,
with every seed; exits 1 where one is not. With --write nothing is run: each variant is written as an experiment without
a schedule, in the space of its stack, for whoever looks for the schedule.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.run_all import documents, say

TABLE = Path(__file__).parents[1] / "fixtures" / "zoo" / "zoo.yaml"


@dataclass(frozen=True)
class Variant:
    """One bug of the table.

    Attributes:
        anomaly: The class that its trials end with.
        experiment: The file that shows it.
        fixed: What the twin has in the place of the experiment's `variables` or `stack`.
        space: What else an experiment has with which it is looked for.
    """

    name: str
    anomaly: str
    experiment: Path
    fixed: Mapping[str, Any]
    space: Mapping[str, Any]

    @property
    def shown(self) -> dict[str, Any]:
        """The experiment that shows it, as it stands in its file."""
        found: dict[str, Any] = yaml.safe_load(self.experiment.read_text())
        return found

    @property
    def twin(self) -> dict[str, Any]:
        """The same experiment on the fixed twin; a mix that is thin on a slow machine says nothing against it."""
        shown = self.shown
        checks = {**shown.get("checks", {}), "require_mix": False}
        return {**shown, "variables": {}, **self.fixed, "checks": checks, "expect": "HELD"}

    @property
    def sought(self) -> dict[str, Any]:
        """The variant without its schedule, in its space."""
        bug = {key: value for key, value in self.shown.items() if key in ("stack", "variables")}
        return {"experiment": f"zoo_{self.name}", **bug, **self.space}


@contextmanager
def beside(variant: Variant, experiment: Mapping[str, Any]) -> Iterator[Path]:
    """An experiment as a file for a while, where its relative paths and its driver are found."""
    with tempfile.NamedTemporaryFile("w", dir=variant.experiment.parent, prefix=".zoo-", suffix=".yaml") as file:
        yaml.safe_dump(dict(experiment), file, sort_keys=False)
        file.flush()
        yield Path(file.name)


def table(path: Path = TABLE) -> dict[str, Variant]:
    """Every variant by its name."""
    found = yaml.safe_load(path.read_text())
    return {
        name: Variant(
            name,
            entry["class"],
            (path.parent / entry["experiment"]).resolve(),
            entry.get("fixed", {}),
            found["spaces"][entry["space"]],
        )
        for name, entry in found["variants"].items()
    }


def misses(variant: Variant, shown: Sequence[Mapping[str, Any]], held: Sequence[Mapping[str, Any]]) -> int:
    """How many trials are not what they must be."""
    found = [each["verdict"] == "VIOLATED" and variant.anomaly in each["anomalies"] for each in shown]
    return [*found, *(each["verdict"] == "HELD" for each in held)].count(False)


def write(variants: Sequence[Variant], folder: Path) -> None:
    """Write each as an experiment without a schedule."""
    folder.mkdir(parents=True, exist_ok=True)
    for variant in variants:
        sought = variant.sought
        files = sought["stack"] if isinstance(sought["stack"], list) else [sought["stack"]]
        sought["stack"] = [str((variant.experiment.parent / file).resolve()) for file in files]
        (folder / f"{variant.name}.yaml").write_text(yaml.safe_dump(sought, sort_keys=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description="Run the bugs of the zoo and their fixed twins.")
    parser.add_argument("--seeds", type=int, default=3, help="trials of each variant, and of each twin")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="copies of a stack at once")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write experiments without schedules")
    parser.add_argument("names", nargs="*", default=[""], help="beginnings of names (default: all)")
    given = parser.parse_args(arguments)
    chosen = [variant for name, variant in table().items() if name.startswith(tuple(given.names))]
    if given.write:
        write(chosen, given.write)
        return 0
    missed = []
    for variant in chosen:
        shown, trouble = documents(variant.experiment, given.first_seed, given.seeds, given.jobs)
        with beside(variant, variant.twin) as file:
            held, more = documents(file, given.first_seed, given.seeds, given.jobs)
        trouble = "; ".join(filter(None, (trouble, more)))
        missed += [variant.name] if trouble or misses(variant, shown, held) else []
        say(f"{variant.name:28} {variant.anomaly:14} {told(shown):60} twin {told(held)}  {trouble}")
    say(f"{len(chosen)} variants; missed: {', '.join(missed) or 'none'}")
    return 1 if missed or not chosen else 0


def told(trials: Sequence[Mapping[str, Any]]) -> str:
    """Verdicts with their classes, each as often as it was seen."""
    seen = Counter(" ".join([str(each["verdict"]), *each["anomalies"]]) for each in trials)
    return ", ".join(f"{count} {each}" for each, count in seen.items()) or "no trial"


if __name__ == "__main__":
    sys.exit(main())

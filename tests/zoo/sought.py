"""Variants looked for by `holdfast search`, which is told nothing of them, and twins, where nothing may be found."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from experiments.run_all import last_line, say
from tests.zoo.results import Results, Searched, Sought, Way
from tests.zoo.table import Variant, beside
from tests.zoo.telling import summary, told, told_of_twin

_OPTIONS: Final[Mapping[Way, Sequence[str]]] = {"guided": ["--guided"], "drawn": [], "uniform": ["--uniform"]}


@dataclass(frozen=True)
class Asked:
    """What a session looks for.

    Attributes:
        trials: Of each search at most.
        twin_trials: Of each twin; 0: no twin is searched.
        shrink: Executions that a finding may take on its way to a counterexample.
        until: The reading of the monotonic clock after which nothing new is begun.
    """

    ways: Sequence[Way]
    seeds: Sequence[int]
    trials: int
    twin_trials: int
    shrink: int
    jobs: int
    until: float


def seek(variants: Sequence[Variant], asked: Asked, results: Results) -> int:
    """Search what no session has searched yet, print it, and tell by the exit code whether all was as it must be."""
    for variant in variants:
        for way, seed in ((way, seed) for way in asked.ways for seed in asked.seeds):
            if (variant.name, way, seed) not in results.sought and time.monotonic() < asked.until:
                results.keep(found := _variant(variant, way, seed, asked))
                say(told(found))
        for seed in asked.seeds if asked.twin_trials else ():
            if (variant.name, seed) not in results.twins and time.monotonic() < asked.until:
                results.keep(twin := _twin(variant, seed, asked))
                say(told_of_twin(twin))
    names = {variant.name for variant in variants}
    sought = [each for each in results.sought.values() if each.name in names and each.way in asked.ways]
    twins = [each for each in results.twins.values() if each.twin in names and asked.twin_trials]
    for line in summary(sought, twins):
        say(line)
    left = len(variants) * len(asked.ways) * len(asked.seeds) - len(sought)
    if left > 0:
        say(f"{left} searches are left; the same command goes on with them")
    is_all_found = sought and left <= 0 and all(each.is_found for each in sought)
    return 0 if is_all_found and all(each.is_quiet for each in twins) else 1


def _variant(variant: Variant, way: Way, seed: int, asked: Asked) -> Sought:
    options = [*_OPTIONS[way], "--fail-fast", "--trials", str(asked.trials), "--shrink", str(asked.shrink)]
    document, seconds, trouble = _search(variant, variant.sought, seed, asked.jobs, options)
    tried = sorted(document.get("tried", []), key=lambda each: int(each["number"]))
    violated = [each for each in tried if each["outcome"] == "VIOLATED"]
    found: dict[str, Any] = next(iter(document.get("counterexamples", [])), {})
    return Sought(
        variant.name,
        way,
        seed,
        variant.anomaly,
        trials=violated[0]["number"] if violated else len(tried),
        seconds=round(seconds - found.get("seconds", 0.0), 1),
        classes=tuple(violated[0]["anomalies"]) if violated else (),
        events=len(found["schedule"]) if found else len(violated[0]["schedule"]) if violated else 0,
        executions=found.get("executions", 0),
        came_again=found.get("came_again", 0),
        measured=found.get("measured", 0),
        trouble=trouble,
    )


def _twin(variant: Variant, seed: int, asked: Asked) -> Searched:
    options = ["--guided", "--trials", str(asked.twin_trials), "--shrink", "0"]
    document, seconds, trouble = _search(variant, variant.sought_in_twin, seed, asked.jobs, options)
    alarms = [each for each in document.get("tried", []) if each["outcome"] == "VIOLATED"]
    return Searched(
        variant.name,
        seed,
        document.get("trials", 0),
        document.get("conclusive", 0),
        round(seconds, 1),
        tuple(f"{', '.join(each['anomalies'])}: {'; '.join(each['schedule'])}" for each in alarms),
        trouble,
    )


def _search(
    variant: Variant, experiment: Mapping[str, Any], seed: int, jobs: int, options: Sequence[str]
) -> tuple[dict[str, Any], float, str]:
    """The document of a search, the seconds that it took, and why there is none."""
    began = time.monotonic()
    with beside(variant, experiment) as file:
        command = [
            sys.executable,
            "-m",
            "chaos",
            "search",
            str(file),
            "--json",
            "--seed",
            str(seed),
            "--jobs",
            str(jobs),
        ]
        done = subprocess.run([*command, *options], capture_output=True, check=False)
    seconds = time.monotonic() - began
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {}, seconds, f"exit {done.returncode}: {last_line(done.stderr)}"
    return document, seconds, "" if "tried" in document else str(document.get("reason"))

"""Variants under the schedules that show them, and their twins under the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.run_all import documents, say
from tests.zoo.table import Variant, beside


def show(variants: Sequence[Variant], first_seed: int, seeds: int, jobs: int) -> int:
    """Run so many trials of each and of its twin, print, and tell by the exit code whether all were as they must be."""
    missed = []
    for variant in variants:
        shown, trouble = documents(variant.experiment, first_seed, seeds, jobs)
        with beside(variant, variant.twin) as file:
            held, more = documents(file, first_seed, seeds, jobs)
        trouble = "; ".join(filter(None, (trouble, more)))
        missed += [variant.name] if trouble or misses(variant, shown, held) else []
        say(f"{variant.name:28} {variant.anomaly:14} {told(shown):60} twin {told(held)}  {trouble}")
    say(f"{len(variants)} variants; missed: {', '.join(missed) or 'none'}")
    return 1 if missed or not variants else 0


def misses(variant: Variant, shown: Sequence[Mapping[str, Any]], held: Sequence[Mapping[str, Any]]) -> int:
    """How many trials are not what they must be."""
    found = [each["verdict"] == "VIOLATED" and variant.anomaly in each["anomalies"] for each in shown]
    return [*found, *(each["verdict"] == "HELD" for each in held)].count(False)


def told(trials: Sequence[Mapping[str, Any]]) -> str:
    """Verdicts with their classes, each as often as it was seen."""
    seen = Counter(" ".join([str(each["verdict"]), *each["anomalies"]]) for each in trials)
    return ", ".join(f"{count} {each}" for each, count in seen.items()) or "no trial"

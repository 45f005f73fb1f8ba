"""Every class, planted in clean histories, is found every time; nothing is found in legal ones."""

from __future__ import annotations

import os
import random
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from chaos.checks.classes import NOTED, OF_SESSIONS, REPORTED, THIN, VIOLATING
from chaos.history.events import Event, Idempotency, Policy
from tests.unit.checks.files import judged, with_header
from tests.unit.checks.plant import PLANTS, Plant
from tests.unit.checks.service import Load, Simulation, legal_history

SEEDS = range(int(os.environ.get("HOLDFAST_PLANT_SEEDS", "8")))
MANY = {*NOTED, "lost-suffix"}  # these are about no record, or about all of them
LEGAL_RECORDS = int(os.environ.get("HOLDFAST_LEGAL_RECORDS", "15000"))
LEAST = 1_000 if LEGAL_RECORDS >= 100_000 else 50 if LEGAL_RECORDS >= 15_000 else 1
"""How often each hard case is made."""
STACKS: tuple[tuple[Policy, Idempotency], ...] = (
    ("reject", "keyed"),
    ("reject", "none"),
    ("last-writer-wins", "keyed"),
    ("last-writer-wins", "none"),
)


@cache
def clean(seed: int, policy: Policy = "reject") -> tuple[Event, ...]:
    return tuple(legal_history(Load(seed, policy=policy)))


@pytest.mark.parametrize(
    ("anomaly", "plant"),
    [pytest.param(name, plant, id=f"{name}: {how}") for name, plants in PLANTS.items() for how, plant in plants],
)
def test_a_planted_anomaly_is_found_every_time(anomaly: str, plant: Plant, tmp_path: Path) -> None:
    planted = 0
    for seed in SEEDS:
        for policy in ("reject", "last-writer-wins"):
            if policy != "reject" and anomaly in ("lost-update",):
                continue
            if policy != "reject" and plant is PLANTS["aborted-visible"][1][1]:
                continue
            events = plant(list(clean(seed, policy)), random.Random(seed))
            if events is None:
                continue
            planted += 1
            judgement = judged(events, tmp_path)
            assert anomaly in judgement.anomalies, (seed, policy, judgement.reasons)
            assert judgement.verdict == ("INCONCLUSIVE" if anomaly in THIN else "VIOLATED")
            assert judgement.canaries_reported == 2
            if anomaly not in THIN and anomaly not in MANY:
                assert judgement.records_total == 1
                assert anomaly in judgement.records[0].classes
                assert judgement.records[0].story
    assert planted >= 0.75 * len(SEEDS), f"{anomaly} found too few victims"
    assert planted >= 1_000 or len(SEEDS) < 1_100, f"{anomaly} was planted {planted} times"


def test_every_class_that_decides_is_planted() -> None:
    assert set(PLANTS) == {*VIOLATING, *OF_SESSIONS, *THIN}


def test_no_legal_history_raises_an_alarm_and_the_hard_cases_are_all_made(tmp_path: Path) -> None:
    cases, reported, records, seed = Counter[str](), Counter[str](), 0, 1_000
    while records < LEGAL_RECORDS:
        for policy, idempotency in STACKS:
            seed += 1
            # Without keys a stale retry of an unconditional update may undo one that was acknowledged, and what
            # is then built on it is `lost-update` by definition: such a stack is not a correct one.
            conditional = 1.0 if (policy, idempotency) == ("reject", "none") else (seed % 5) / 4
            load = Load(seed, users=8, operations=600, policy=policy, idempotency=idempotency,
                        conditional=conditional, trouble=(0.0, 0.1, 0.2, 0.3)[seed % 4], require_mix=False)  # fmt: skip
            simulation = Simulation(load)
            judgement = judged(with_header(simulation.run(), sessions=("report", "strict")[seed % 2]), tmp_path)
            assert not judgement.anomalies, (load, judgement.reasons, judgement.records[:1])
            assert judgement.verdict in ("HELD", "INCONCLUSIVE")
            cases += simulation.cases
            reported.update(judgement.reported)
            records += judgement.coverable
    for case in (
        "stuck request",
        "no answer ever",
        "reply lost",
        "request lost",
        "refused",
        "conflict",
        "kept with a warning",
        "erased with a warning",
        "reset with a full outbox",
        "cached read",
        "applied after a later acknowledgement",
        "a photo whose blob is not there yet or any more",
    ):
        assert cases[case] >= LEAST, f"{case} was made {cases[case]} times"
    for case in ("info-applied", "info-not-applied", "degraded-kept", "degraded-erased"):
        assert reported[case] >= LEAST, f"{case} was made {reported[case]} times"
    assert set(reported) == set(REPORTED) - {"healed-by-device", "orphan-blob", *OF_SESSIONS}


def test_what_comes_back_from_a_phone_is_violated_and_marked_healed_by_device(tmp_path: Path) -> None:
    plant = dict(PLANTS["lost"])["gone for a fresh device"]
    events = plant(list(clean(1)), random.Random(1))
    assert events is not None
    judgement = judged(events, tmp_path)
    assert judgement.verdict == "VIOLATED"
    assert judgement.reported["healed-by-device"] == 1

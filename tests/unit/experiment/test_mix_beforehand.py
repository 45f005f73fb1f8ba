"""A workload that rules out the mix is known before anything runs, by the numbers that the generator draws from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.experiment.mix import PHOTO_BYTES_MAX, PHOTO_BYTES_MIN, mix_without, photo_share, too_thin
from chaos.experiment.plan import Workload
from chaos.workload.generator import draw


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"updates": 0.1}, "updates 0.1 is below 0.25"),
        ({"deletes": 0.01}, "deletes 0.01 is below 0.05"),
        ({"contended": 0.05}, "contended 0.05 is below 0.1"),
        ({"devices_per_user": 1}, "devices_per_user 1 leaves no two phones"),
        ({"photos": 0.02}, "photos 0.02 "),
        ({"photo_bytes_min": 1_000, "photo_bytes_max": 49_999}, "photo_bytes_max 49,999) make 0.0%"),
        ({"photo_bytes_min": 3_000_000, "photo_bytes_max": 4_000_000}, "make 0.0% of the creates photos of 50 KB"),
        ({"photo_bytes_min": 1_000, "photo_bytes_max": 60_000}, "make 0.2% of the creates"),
    ],
)  # fmt: skip
def test_what_rules_out_the_mix_is_told(changes: dict[str, float], said: str) -> None:
    [line] = too_thin(replace(Workload(), **changes))  # type: ignore[arg-type]
    assert said in line


def test_a_workload_that_has_no_photos_or_no_resets_needs_none() -> None:
    assert mix_without(Workload()) == ()
    service = Workload(photos=0.0, resets=0)
    assert mix_without(service) == ("photos", "resets")
    assert too_thin(service) == []
    assert too_thin(replace(service, photos=0.01, photo_bytes_min=1_000)) != []


def test_a_workload_whose_counted_photos_are_few_but_enough_is_not_told() -> None:
    assert too_thin(Workload()) == []
    assert too_thin(Workload(photos=0.04, updates=0.6, deletes=0.1)) == []
    assert too_thin(Workload(photo_bytes_min=50_000, photo_bytes_max=50_000)) == []


@pytest.mark.parametrize(
    ("least", "most"), [(50_000, 2_000_000), (10_000, 4_000_000), (1_000, 60_000), (60_000, 60_000)]
)
def test_the_share_that_is_expected_is_the_one_that_is_drawn(least: int, most: int) -> None:
    workload = Workload(operations=20_000, photos=0.3, photo_bytes_min=least, photo_bytes_max=most)
    creates = [action for action in draw(workload, 1) if action.kind == "create"]
    counted = [
        each for each in creates if each.type == "photo" and PHOTO_BYTES_MIN <= each.size_bytes <= PHOTO_BYTES_MAX
    ]
    assert len(counted) / len(creates) == pytest.approx(photo_share(workload), abs=0.015)

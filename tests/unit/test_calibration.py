"""The calibration itself: what it takes for a miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.run_all import FOLDER
from tests import calibration
from tests.calibration import SETTINGS, Row, Trial

HELD, LUCKY, LOST = Trial("HELD", True, 4096), Trial("HELD", True, 0), Trial("VIOLATED", True, 4096)
THIN = Trial("INCONCLUSIVE", True, 4096)


@pytest.mark.parametrize(
    ("expect", "trials", "misses"),
    [
        ("HELD", (HELD, LUCKY, THIN), ()),
        ("HELD", (HELD, LOST), ("1 not HELD",)),
        ("HELD", (HELD, Trial("VIOLATED", True, 0)), ("1 not HELD",)),
        ("VIOLATED", (LOST, LUCKY, THIN), ()),
        ("VIOLATED", (LOST, HELD, HELD), ("2 not VIOLATED",)),
        ("HELD", (THIN,), ("no cut came to HELD",)),
        ("VIOLATED", (LUCKY,), ("no cut came to VIOLATED",)),
        ("HELD", (Trial("HELD", False, 0),), ("no cut came to HELD",)),
    ],
)
def test_a_miss_is_a_safe_setting_that_alarms_or_an_unsafe_one_that_does_not(
    expect: str, trials: tuple[Trial, ...], misses: tuple[str, ...]
) -> None:
    assert Row("name", expect, trials).misses == misses


def test_trials_that_did_not_run_are_a_miss() -> None:
    assert Row("name", "HELD", (HELD,), "no engine").misses == ("no engine",)


def _document(verdict: str) -> dict[str, Any]:
    return {"verdict": verdict, "expect": "HELD", "faults": [{"bit": True, "evidence": {"discarded_bytes": 1}}]}


def test_the_exit_code_tells_of_a_miss(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def documents(file: Path, first_seed: int, seeds: int, jobs: int) -> tuple[list[dict[str, Any]], str]:
        asked.append((file.parent.name, file.stem, first_seed, seeds, jobs))
        return [_document("HELD")] * (seeds - 1) + [_document(last)], ""

    monkeypatch.setattr(calibration, "documents", documents)
    last = "HELD"
    assert calibration.main(["--cuts", "3", "--first-seed", "7", "redis/power_cut"]) == 0
    assert asked == [("redis", "power_cut", 7, 3, 2), ("redis", "power_cut_everysec", 7, 3, 2)]
    last = "VIOLATED"
    assert calibration.main(["--cuts", "3", "redis"]) == 1
    assert "MISS: 1 not HELD" in capsys.readouterr().out
    assert calibration.main(["no_such_name"]) == 1


def test_each_server_has_a_safe_and_an_unsafe_setting_with_one_power_cut() -> None:
    found: dict[str, set[str]] = {}
    for name in SETTINGS:
        experiment = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        assert [each["fault"] for each in experiment["schedule"]] == ["disk.power_cut"]
        found.setdefault(name.partition("/")[0], set()).add(experiment["expect"])
    assert {server for server, expected in found.items() if expected != {"HELD", "VIOLATED"}} == set()

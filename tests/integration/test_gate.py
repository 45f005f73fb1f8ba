"""A gate on the engine: planted losses are seen, a folder can be judged again, and bugs of the zoo are a NO-GO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.gate.campaign import Campaign
from chaos.gate.command import judged_again, told_line
from chaos.gate.counted import Counted
from chaos.gate.decide import decide
from chaos.gate.policy import Policy, load_policy
from chaos.trials import run_trials
from tests.unit.gate.test_ready import FOLDER
from tests.zoo.table import table

pytestmark = pytest.mark.engine

SHORT = 4
"""Trials of one bug at most; the policy has more."""
SHOWN = ("unlogged_table", "acknowledged_before_commit", "row_before_photo", "fsync_off")
"""Bugs of the zoo that `make test` asks for."""
LONG = (
    "photo_not_synced",
    "key_before_write",
    "orphans_without_grace",
    "cursor_from_a_sequence",
    "tombstones_too_early",
    "retry_without_a_key",
    "keys_in_memory",
)
"""All others that the policy covers."""


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Policy], list[Counted]]:
    def gate(policy: Policy) -> list[Counted]:
        _, stacks = load_policy(FOLDER / "pull_request.yaml")
        (tmp_path / "gate").mkdir()
        campaign = Campaign(policy, stacks, tmp_path / "gate", 7, run_trials, jobs=2)
        campaign.run()
        return campaign.trials

    return gate


def only(*names: str, planted: int = 0, trials: int = SHORT) -> Policy:
    """The policy for pull requests with the experiments of these bugs alone."""
    policy, _ = load_policy(FOLDER / "pull_request.yaml")
    wanted = {table()[name].experiment.resolve() for name in names}
    strata = [
        replace(
            stratum,
            experiments=tuple(each for each in stratum.experiments if each.file.resolve() in wanted),
            trials=trials,
        )
        for stratum in policy.strata
    ]
    return replace(policy, planted=planted, strata=tuple(each for each in strata if each.experiments))


def test_losses_that_are_planted_are_seen_and_the_folder_is_judged_again_without_a_stack(
    run: Callable[[Policy], list[Counted]], tmp_path: Path
) -> None:
    policy = only("unlogged_table", "photo_not_synced", planted=4, trials=2)
    trials = run(policy)
    planted = [each for each in trials if each.part == "planted"]
    assert [(each.outcome, each.seen, each.beside) for each in planted] == [("VIOLATED", True, "")] * 4, planted
    assert len({each.planted for each in planted}) > 1
    assert [each.outcome for each in trials if each.part == "stratum"] == ["HELD"] * 4
    decision = decide(policy, trials)
    assert decision.outcome == "NO DECISION"
    assert "2 clean trials bound a loss at" in decision.reasons[0]
    again, differing = judged_again(tmp_path / "gate", trials)
    assert differing == ()
    assert again == [replace(each, seconds=0.0) for each in trials]


@pytest.mark.parametrize("name", [*SHOWN, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)])
def test_a_bug_of_the_zoo_is_a_no_go(
    run: Callable[[Policy], list[Counted]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable, value in table()[name].shown["variables"].items():
        monkeypatch.setenv(variable, value)
    policy = only(name)
    trials = run(policy)
    assert decide(policy, trials).outcome == "NO-GO", [told_line(each) for each in trials]

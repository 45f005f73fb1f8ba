"""The policies that come with Holdfast: they can be run, and the one for pull requests covers the zoo that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.gate.policy import load_policy
from tests.zoo.table import table

FOLDER = Path(__file__).parents[3] / "experiments" / "policies"
COVERED = (
    "fsync_off",
    "photo_not_synced",
    "key_before_write",
    "acknowledged_before_commit",
    "row_before_photo",
    "unlogged_table",
    "orphans_without_grace",
    "cursor_from_a_sequence",
    "tombstones_too_early",
    "retry_without_a_key",
    "keys_in_memory",
)
"""Bugs of the zoo, each a setting of the minimal stack, that the policy for pull requests asks for."""


@pytest.mark.parametrize("name", ["pull_request", "nightly", "release"])
def test_a_ready_policy_can_be_run_and_a_loss_planted_on_each_of_its_stacks(name: str) -> None:
    policy, stacks = load_policy(FOLDER / f"{name}.yaml")
    assert policy.name == name
    assert stacks.keys() == policy.stacks.keys()
    assert [stack for stack, opened in stacks.items() if opened.stack.planting is None] == []


def test_the_policy_for_pull_requests_asks_for_every_bug_of_the_zoo_that_it_covers() -> None:
    policy, _ = load_policy(FOLDER / "pull_request.yaml")
    asked = {each.file.resolve() for stratum in policy.strata for each in stratum.experiments}
    assert asked == {table()[name].experiment.resolve() for name in COVERED}
    assert policy.minutes == 10
    assert len(policy.stacks) == 1, "so losses are planted on one"


def test_it_runs_each_of_them_as_the_zoo_runs_the_fixed_twin() -> None:
    policy, _ = load_policy(FOLDER / "pull_request.yaml")
    for stratum in policy.strata:
        for experiment in stratum.experiments:
            plan = experiment.plan(1)
            assert plan.variables == {}
            assert not plan.checks.require_mix

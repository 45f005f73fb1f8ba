"""What would have kept a record is told only where another run has shown it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from chaos import cli
from chaos.errors import UsageError
from chaos.experiment.plan import Workload
from chaos.reporting.block import verdict_block
from chaos.reporting.rerun import kept_by
from chaos.reporting.result import TrialResult
from tests.unit.checks.service import Load, legal_history
from tests.unit.reporting.runs import made, recorded
from tests.unit.reporting.samples import judged, plan, result

FILES = ({"what": "Compose file", "digest": "sha256:aa"},)


def inputs(folder: Path, files: tuple[Mapping[str, str], ...] = FILES, variables: str | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    document = {"units": files, "variables": {"PROFILES": None, "PG_FSYNC": variables}}
    (folder / "inputs.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.fixture
def lost(tmp_path: Path) -> TrialResult:
    found = judged()
    return replace(found, run_dir=inputs(tmp_path / "lost"), plan=replace(found.plan, variables={"PG_FSYNC": "off"}))


@pytest.fixture
def held(tmp_path: Path, lost: TrialResult) -> TrialResult:
    safe = replace(lost.plan, variables={"PG_FSYNC": "on"}, expect="HELD", why="", stack=(Path("inputs/c.yaml"),))
    return replace(result("HELD"), run_dir=inputs(tmp_path / "held"), plan=safe)


def test_a_rerun_with_another_value_that_held_tells_what_would_have_kept_the_record(
    lost: TrialResult, held: TrialResult
) -> None:
    assert kept_by(lost, held) == (
        f'With PG_FSYNC "on" in place of "off", one trial of the same users, faults and seed HELD: {held.run_dir}.'
    )


def test_a_value_that_is_left_to_the_stack_and_another_image_are_settings_too(
    lost: TrialResult, held: TrialResult
) -> None:
    other = replace(held.plan, variables={}, images={"db": "postgres:17"})
    told = kept_by(lost, replace(held, plan=other, images={"db": "sha256:other"}))
    assert 'With PG_FSYNC as the stack has it in place of "off" and the image of db "postgres:17" in place of' in told


def test_a_rerun_that_did_not_hold_or_a_trial_that_lost_nothing_tells_nothing(
    lost: TrialResult, held: TrialResult
) -> None:
    for verdict in ("VIOLATED", "INCONCLUSIVE"):
        with pytest.raises(UsageError, match=f"it is {verdict}; change a value"):
            kept_by(lost, replace(held, verdict=verdict))
    with pytest.raises(UsageError, match="is HELD, so nothing had to be kept"):
        kept_by(held, held)


def test_the_same_settings_tell_nothing(lost: TrialResult, held: TrialResult) -> None:
    with pytest.raises(UsageError, match="the loss only comes now and then"):
        kept_by(lost, replace(held, plan=replace(held.plan, variables=lost.plan.variables)))


def test_whatever_else_differs_may_have_kept_it(lost: TrialResult, held: TrialResult) -> None:
    changed = replace(held.plan, seed=1, workload=Workload(users=1, operations=1), schedule=())
    with pytest.raises(UsageError, match="the two differ in schedule, seed, workload;"):
        kept_by(lost, replace(held, plan=changed))
    with pytest.raises(UsageError, match="differ in the image of db;"):
        kept_by(lost, replace(held, images={"db": "sha256:def"}))


@pytest.mark.parametrize(
    ("files", "variables"),
    [(({"what": "Compose file", "digest": "sha256:bb"},), None), (FILES, "scrypt:11")],
    ids=["another file", "a value from the environment"],
)
def test_what_they_read_has_to_be_the_same(
    files: tuple[Mapping[str, str], ...], variables: str | None, lost: TrialResult, held: TrialResult
) -> None:
    inputs(held.run_dir, files, variables)
    with pytest.raises(UsageError, match=r"what they read \(inputs.json\)"):
        kept_by(lost, held)
    (held.run_dir / "inputs.json").unlink()
    with pytest.raises(UsageError, match=r"inputs.json cannot be read .*; copy the run folder whole"):
        kept_by(lost, held)


def test_the_block_tells_it_where_it_is_known(lost: TrialResult) -> None:
    assert "  With PG_FSYNC" in "\n".join(verdict_block(replace(lost, kept_by="With PG_FSYNC on it HELD.")))
    assert "With" not in "\n".join(verdict_block(lost))


def test_check_says_it_on_the_page_and_refuses_where_it_is_not_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = recorded()
    lost = made(events, inputs(tmp_path / "lost"), replace(plan(), variables={"PG_FSYNC": "off"}))
    held = made(legal_history(Load(1)), inputs(tmp_path / "held"), replace(plan(), variables={"PG_FSYNC": "on"}))

    assert cli.main(["check", str(lost), "--kept-by", str(held)]) == 1
    assert 'With PG_FSYNC "on" in place of "off", one trial' in capsys.readouterr().out
    page = (lost / "report.html").read_text(encoding="utf-8")
    assert "With PG_FSYNC &#34;on&#34; in place of &#34;off&#34;, one trial of the same users" in page

    assert cli.main(["check", str(lost), "--kept-by", str(lost)]) == 64
    assert "it is VIOLATED" in capsys.readouterr().err

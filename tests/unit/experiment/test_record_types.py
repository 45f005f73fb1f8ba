"""Records of types that an experiment names, of sizes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import SourceError
from chaos.experiment.loader import load, load_plan, write_plan
from chaos.experiment.plan import Plan, RecordType, Workload
from chaos.reporting.words import announcement
from chaos.workload.generator import draw
from tests.unit.experiment.samples import Catalogue


def loaded(folder: Path, workload: str, faults: Catalogue) -> Plan:
    (folder / "e.yaml").write_text(f"experiment: e\nstack: compose.yaml\nworkload:\n  {workload}\n")
    return load(folder / "e.yaml", 1, faults)


def test_a_type_has_one_size_or_bounds_and_there_are_no_photos_besides(tmp_path: Path, faults: Catalogue) -> None:
    workload = loaded(tmp_path, "types: {invoice: {bytes: 2000}, event: {bytes: [200, 4000]}}", faults).workload
    assert workload.types == (RecordType("invoice", 2000, 2000), RecordType("event", 200, 4000))
    assert workload.photos == 0.0


def test_photos_that_are_asked_for_stay(tmp_path: Path, faults: Catalogue) -> None:
    plan = loaded(tmp_path, "types: {invoice: {bytes: 2000}}\n  photos: 0.1", faults)
    assert plan.workload.photos == 0.1


def test_without_types_a_plan_says_nothing_of_them(tmp_path: Path, faults: Catalogue) -> None:
    plan = loaded(tmp_path, "users: 3", faults)
    write_plan(plan, tmp_path / "plan.yaml")
    assert "types" not in (tmp_path / "plan.yaml").read_text()
    assert plan.workload.photos == Workload().photos


def test_a_plan_has_them_again(tmp_path: Path, faults: Catalogue) -> None:
    plan = loaded(tmp_path, "types: {invoice: {bytes: [300, 900]}}", faults)
    write_plan(plan, tmp_path / "plan.yaml")
    assert load_plan(tmp_path / "plan.yaml", faults) == plan


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ("{invoice: {bytes: 199}}", "this should be 200 to 1000000"),
        ("{invoice: {bytes: [900, 300]}}", "the range [900, 300] is empty"),
        ("{invoice: {bytes: 2k}}", "a whole number or a range"),
        ("{invoice: {size: 2000}}", "unknown key 'size'"),
        ("{invoice: 2000}", "invoice should be a mapping, not '2000'"),
        ("{photo: {bytes: 2000}}", "the type photo has a form of its own"),
        ("{contact: {bytes: 2000}}", "the type contact has a form of its own"),
        ("{in voice: {bytes: 2000}}", "in voice"),
        ("[invoice]", "types should be a mapping"),
    ],
)
def test_a_wrong_type_is_refused_with_its_place(tmp_path: Path, faults: Catalogue, types: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        loaded(tmp_path, f"types: {types}", faults)
    assert message in str(caught.value)
    assert "e.yaml:4:" in str(caught.value)


def test_all_of_them_are_drawn_and_no_others() -> None:
    workload = Workload(photos=0.0, types=(RecordType("invoice", 300, 900), RecordType("event", 200, 200)))
    drawn = {action.type for action in draw(workload, 3) if action.type}
    assert drawn == {"invoice", "event"}


def test_a_size_is_picked_within_the_bounds_and_both_of_them_are_sizes() -> None:
    assert {RecordType("event", 300, 303).size(pick) for pick in range(50)} == {300, 301, 302, 303}
    assert RecordType("event", 300, 300).size(77) == 300


def test_they_are_announced_with_their_sizes(tmp_path: Path, faults: Catalogue) -> None:
    plan = loaded(tmp_path, "types: {invoice: {bytes: 2000}, event: {bytes: [200, 4000]}}", faults)
    assert "records of type invoice (2 KB), event (200 bytes to 4 KB) · no photos" in "\n".join(announcement(plan))

"""What a YAML file is, told by its keys alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import SourceError
from chaos.experiment.files import Kind, experiments_in, kind_of
from chaos.experiment.loader import load
from chaos.faults import catalogue

EXPERIMENT = "experiment: x\nstack: compose.yaml\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (EXPERIMENT, "experiment"),
        ("stack: [a.yaml]\nwhy: services lose data\nexperiment : x\n", "experiment"),
        (f"{EXPERIMENT}workload: [not, closed\n", "experiment"),
        ("experiment: x\n", "unfinished"),
        ("plan: x\nseed: 3\nexpect: HELD\nstack: [compose.yaml]\n", "plan"),
        ("services: {db: {image: x}}\n", "compose"),
        ("include: [other.yaml]\n", "compose"),
        ("x-chaos: {front_door: db:5432}\n", "compose"),
        ("services: !reset {}\n---\nvolumes: {}\n", "compose"),
        ("a:\n  experiment: x\n  stack: y\n", "other"),
        ("plan: of the house\n", "other"),
        ("", "other"),
    ],
)
def test_a_file_is_known_by_its_keys_at_the_top_level(tmp_path: Path, text: str, kind: Kind) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    assert kind_of(path) == kind


def test_what_cannot_be_read_is_nothing_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    assert kind_of(tmp_path / "binary.yaml") == kind_of(tmp_path / "absent.yaml") == kind_of(tmp_path) == "other"


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(EXPERIMENT)
    (tmp_path / "again").symlink_to(tmp_path)
    assert experiments_in(tmp_path)[0] == [tmp_path / "x.yaml"]


@pytest.mark.parametrize("text", ["services: {db: {image: x}}\n", "services: !reset {}\n---\nvolumes: {}\n"])
def test_a_compose_file_given_as_experiment_is_told_to_be_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        load(path, 1, catalogue())
    assert str(caught.value).splitlines() == [
        f"{path}: this is a Compose file, which describes a stack, and no experiment",
        "      run the experiments of this stack; where there are none, `holdfast new` writes some, or write one "
        "beside it with the lines `experiment: NAME` and `stack: compose.yaml`",
    ]


def test_a_plan_knows_the_file_that_it_was_loaded_from(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    assert load(path, 1, catalogue()).file == path

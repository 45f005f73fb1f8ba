"""What users do as a file beside a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.errors import SourceError, UsageError
from chaos.experiment.plan import Workload
from chaos.workload.actions import draw_by_user, read_actions, write_actions
from chaos.workload.generator import draw

LOAD = Workload(users=4, devices_per_user=2, operations=90, resets=3)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, seeds: list[int]) -> None:
    path = tmp_path_factory.mktemp("actions") / "actions.jsonl"
    actions = draw_by_user(LOAD, seeds)
    write_actions(actions, path)
    assert read_actions(path, LOAD) == tuple(replace(a, at_seconds=round(a.at_seconds, 6)) for a in actions)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4, unique=True), st.integers(0, 3), st.integers(0, 99))
def test_a_user_with_another_seed_leaves_all_others_as_they_were(seeds: list[int], user: int, other: int) -> None:
    def of_others(drawn: list[int]) -> list[object]:
        return [each for each in draw_by_user(LOAD, drawn) if each.device // LOAD.devices_per_user != user]

    changed = [*seeds]
    changed[user] = other
    assert of_others(seeds) == of_others(changed)


def test_the_operations_of_all_users_add_up() -> None:
    worth = {"create": 1, "update": 1, "delete": 1, "contend": 2}
    for operations in (4, 7, 90):
        drawn = draw_by_user(replace(LOAD, operations=operations), [1, 2, 3, 4])
        assert sum(worth.get(each.kind, 0) for each in drawn) == operations
        assert {each.device // 2 for each in drawn} == {0, 1, 2, 3}
    assert sum(each.kind == "reset" for each in draw_by_user(LOAD, [1, 2, 3, 4])) == LOAD.resets


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "this is no action"),
        ("[]", "should be an object"),
        ('{"at_seconds": 1, "device": 0, "kind": "sync", "pik": 2}', "unknown key 'pik'"),
        ('{"at_seconds": 1, "device": 0, "kind": "steal"}', "kind: Input should be 'create'"),
        ('{"at_seconds": 1, "device": 8, "kind": "sync"}', "no device 8; the workload has 8, from 0"),
        ('{"at_seconds": 1, "device": 0, "kind": "create", "type": "memo"}', "no type 'memo'"),
        ('{"at_seconds": -1, "device": 0, "kind": "sync"}', "not negative"),
        ('{"at_seconds": 1, "device": 0, "kind": "contend", "rival": 2}', "another device of the same user"),
        ('{"at_seconds": 1, "device": 0, "kind": "contend"}', "another device of the same user"),
        ('{"at_seconds": 1, "device": 0, "kind": "sync", "rival": 1}', "another device of the same user"),
    ],
)
def test_a_line_that_is_wrong_is_told_with_its_place(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "actions.jsonl"
    path.write_text(f'{{"at_seconds": 0, "device": 0, "kind": "sync"}}\n{line}\n')
    with pytest.raises(SourceError) as error:
        read_actions(path, LOAD)
    assert f"{path}:2:1: " in str(error.value)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the plan names it under `actions`"):
        read_actions(tmp_path / "actions.jsonl", LOAD)


def test_a_drawn_workload_passes_its_own_file(tmp_path: Path) -> None:
    write_actions(draw(LOAD, 7), tmp_path / "actions.jsonl")
    assert len(read_actions(tmp_path / "actions.jsonl", LOAD)) == len(draw(LOAD, 7))

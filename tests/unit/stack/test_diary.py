"""The agent's events in the run folder."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from chaos.agent.states import Effect, Fail, LunState, RollBack
from chaos.agent.wire import Event
from chaos.agent.wire_states import FellOn, LunsApplied
from chaos.stack.agent.diary import Diary


@pytest.mark.parametrize("effect", [Fail(frozenset({"write"})), RollBack(1)])
def test_what_struck_at_an_io_is_kept_with_its_effects(effect: Effect, tmp_path: Path) -> None:
    diary = Diary()
    diary.open(tmp_path)
    after = {"pgwal": LunState(effects=(effect,))}
    fell_on = FellOn("pgwal", "write", 7, True, 0, 8192, 6)
    diary.agent(Event("struck", cause=1, fell_on=fell_on, applied=LunsApplied(1, after=after)))
    diary.close()
    (line,) = (tmp_path / "agent.jsonl").read_bytes().splitlines()
    kept = orjson.loads(line)
    assert kept["fell_on"]["number"] == 7
    assert kept["applied"]["after"]["pgwal"]["effects"][0]["kind"] == effect.kind

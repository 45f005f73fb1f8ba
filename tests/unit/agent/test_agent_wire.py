"""What controller and agent say to each other survives the wire, and nothing else is taken for it."""

from __future__ import annotations

import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.agent import states
from chaos.agent.codec import decoded, encoded
from chaos.agent.request import REQUESTS
from chaos.agent.states import Fail, Hold, LinkState, LunState
from chaos.agent.wire import Drop, Event
from chaos.agent.wire_states import ApplyLinks, ApplyLuns


@pytest.mark.parametrize("name", sorted(REQUESTS))
@given(data=st.data())
def test_every_request_and_every_reply_reads_back_as_an_equal_one(name: str, data: st.DataObject) -> None:
    for kind in (REQUESTS[name], REQUESTS[name].reply):
        text = json.dumps(encoded(data.draw(st.from_type(kind))))
        read = decoded(kind, json.loads(text))
        assert isinstance(read, kind)
        assert json.dumps(encoded(read)) == text  # texts, since NaN is not equal to itself


@given(st.from_type(Event))
def test_every_event_reads_back_as_an_equal_one(event: Event) -> None:
    assert decoded(Event, json.loads(json.dumps(encoded(event)))) == event


def test_a_request_is_called_by_its_class_in_small_letters() -> None:
    assert REQUESTS["apply_luns"] is ApplyLuns
    assert REQUESTS["drop"] is Drop
    assert all(request.do == name for name, request in REQUESTS.items())


def test_effects_are_told_apart_by_their_kind() -> None:
    state = LunState(effects=(Hold(frozenset({"read"})), Fail(frozenset({"flush"}), 2)))
    assert decoded(LunState, encoded(state)) == state
    kinds = [each.kind for each in typing.get_args(states.Effect)]
    assert len(set(kinds)) == len(kinds)


def test_equal_values_are_equal_texts() -> None:
    one = encoded(Fail(frozenset({"read", "write", "flush"})))
    assert one["operations"] == ["flush", "read", "write"]
    links = ApplyLinks(((("db", "files"), LinkState(open=False)),), 1.0)
    assert encoded(links)["links"] == [[["db", "files"], {"open": False}]]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "missing 1 required positional argument: 'lun'"),
        ({"lun": "a", "more": 1}, "Drop has no more"),
        ({"lun": 1}, "1 is no str"),
        ({"lun": None}, "None is no str"),
        ([], r"\[\] is no dict"),
    ],
)
def test_what_is_no_such_request_is_refused_with_the_reason(fields: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decoded(Drop, fields)


@pytest.mark.parametrize(
    ("effect", "why"),
    [
        ({"kind": "melt"}, "'melt' is none of fail, hold"),
        ({"kind": "hold", "operations": ["trim"]}, "'trim' is none of read, write, flush"),
        ({"kind": "hold", "operations": "read"}, "'read' is no list"),
    ],
)
def test_an_effect_that_there_is_not_is_refused(effect: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decoded(LunState, {"effects": [effect]})

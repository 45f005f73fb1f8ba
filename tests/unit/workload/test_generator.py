from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.experiment.plan import Workload
from chaos.workload.generator import Action, draw

MUTATIONS = {"create": 1, "update": 1, "delete": 1, "contend": 2}

workloads = st.builds(
    Workload,
    users=st.integers(1, 12),
    devices_per_user=st.integers(1, 3),
    operations=st.integers(1, 400),
    rate_per_second=st.floats(1, 1000),
    updates=st.floats(0, 0.6),
    deletes=st.floats(0, 0.3),
    contended=st.floats(0, 1),
    photos=st.floats(0, 1),
    syncs=st.floats(0, 0.5),
    resets=st.integers(0, 4),
)


@settings(deadline=None, max_examples=50)
@given(workload=workloads, seed=st.integers(0, 1 << 40))
def test_the_same_workload_and_seed_draw_the_same_actions(workload: Workload, seed: int) -> None:
    assert draw(workload, seed) == draw(workload, seed)


@settings(deadline=None, max_examples=50)
@given(workload=workloads, seed=st.integers(0, 1 << 40))
def test_exactly_as_many_operations_as_asked_at_the_rate_asked_on_devices_that_exist(
    workload: Workload, seed: int
) -> None:
    actions = draw(workload, seed)
    assert sum(MUTATIONS.get(action.kind, 0) for action in actions) == workload.operations
    assert [a.at_seconds for a in actions] == sorted(a.at_seconds for a in actions)
    assert actions[-1].at_seconds <= workload.operations / workload.rate_per_second
    assert all(0 <= action.device < workload.users * workload.devices_per_user for action in actions)


@settings(deadline=None, max_examples=50)
@given(workload=workloads, seed=st.integers(0, 1 << 40))
def test_the_first_mutation_is_a_create_and_contention_is_between_two_phones_of_one_user(
    workload: Workload, seed: int
) -> None:
    actions = draw(workload, seed)
    per_user = workload.devices_per_user
    assert next(action.kind for action in actions if action.kind in MUTATIONS) == "create"
    for pair in (action for action in actions if action.kind == "contend"):
        assert pair.device != pair.rival
        assert pair.device // per_user == pair.rival // per_user


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 1 << 40))
def test_the_default_mix_holds_the_hard_cases_with_room_to_spare(seed: int) -> None:
    workload = Workload()
    actions = draw(workload, seed)
    counts = Counter[str]()
    for action in actions:
        counts[action.kind] += MUTATIONS.get(action.kind, 1)
    assert (counts["update"] + counts["contend"]) / workload.operations >= 0.3
    assert counts["contend"] / (counts["update"] + counts["contend"]) >= 0.15
    assert counts["delete"] / workload.operations >= 0.07
    photos = [action for action in actions if action.type == "photo"]
    assert sum(action.kind == "create" for action in photos) / counts["create"] >= 0.07
    assert all(workload.photo_bytes_min <= photo.size_bytes <= workload.photo_bytes_max for photo in photos)
    assert counts["sync"] >= 0.15 * workload.operations


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 1 << 40))
def test_before_every_reset_the_phone_collects_operations_while_it_is_offline(seed: int) -> None:
    actions = draw(Workload(), seed)
    resets = [n for n, action in enumerate(actions) if action.kind == "reset"]
    assert len(resets) == Workload().resets
    for n in resets:
        device = actions[n].device
        begun = max(m for m in range(n) if actions[m] == _offline(actions[m].at_seconds, device))
        inside = [action for action in actions[begun:n] if action.device == device and action.kind in MUTATIONS]
        assert len(inside) >= 2
        assert inside[0].kind != "contend"


def _offline(at_seconds: float, device: int) -> Action:
    return Action(at_seconds, device, "offline")

"""What the users do and when: a pure function of the workload and the seed, drawn whole before anything runs.

An action names a device and what is done there; which record it touches is a number that the device resolves
against what it knows at that moment, so an action can always be carried out. A device that knows no fitting
record creates one instead.

The hard cases are placed, not hoped for: two phones of one user change the same version of a record
(`contend`), a phone is reset while its outbox is full, another comes back from a while offline.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chaos.experiment.mix import PHOTO_CREATES
from chaos.experiment.plan import PHOTO, Workload

ActionKind = Literal["create", "update", "delete", "contend", "sync", "reset", "offline", "online"]

WINDOW = 3
"""Creates, updates and deletes that a phone collects while it is offline."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a user does.

    Attributes:
        at_seconds: After the load began.
        device: Number of the phone, from 0; its user is `device // devices_per_user`.
        kind: `contend` is two updates, by `device` and `rival`, of one version of one record.
        type: Record type to create, or to prefer for an update.
        pick: Chooses among the fitting records that the device knows, modulo their number.
        size_bytes: Size of the content where a photo is written.
        rival: For `contend`: the other phone of the same user.
    """

    at_seconds: float
    device: int
    kind: ActionKind
    type: str = ""
    pick: int = 0
    size_bytes: int = 0
    rival: int = -1


def draw(workload: Workload, seed: int) -> tuple[Action, ...]:
    """Draw all actions in the order of time; creates, updates and deletes add up to `workload.operations`."""
    chance = random.Random(f"{seed}")
    counts = _Counts.of(workload)
    windows = _windows(workload, chance)
    slots = _slots(workload, counts, chance)
    pairs = _pairs(workload, counts.pairs, {device for device, _ in windows}, chance)
    _place_pairs(slots, pairs, chance)
    timeline = [slot if slot.kind == "contend" else _on_some_device(slot, workload, chance) for slot in slots]
    for number in range(min(len(timeline), workload.users * workload.devices_per_user)):
        # Everyone owns something before anything else happens.
        if timeline[number].kind == "create":
            timeline[number] = replace(timeline[number], device=number)
    return _timed(_with_extras(timeline, windows, counts.syncs, workload, chance), workload)


@dataclass(frozen=True)
class _Counts:
    creates: int
    updates: int
    deletes: int
    pairs: int
    photo_creates: int
    photo_updates: int
    syncs: int

    @classmethod
    def of(cls, workload: Workload) -> _Counts:
        deletes = min(math.ceil(workload.deletes * workload.operations), workload.operations - 1)
        updates = min(math.ceil(workload.updates * workload.operations), workload.operations - 1 - deletes)
        contended = math.ceil(workload.contended * updates / 2) if workload.devices_per_user > 1 else 0
        creates = workload.operations - updates - deletes
        pairs = min(contended, updates // 2)
        photos = math.ceil(workload.photos * workload.operations)
        photo_creates = min(creates, math.ceil(photos * PHOTO_CREATES))
        return cls(
            creates=creates,
            updates=updates - 2 * pairs,
            deletes=deletes,
            pairs=pairs,
            photo_creates=photo_creates,
            photo_updates=min(updates - 2 * pairs, photos - photo_creates),
            syncs=math.ceil(workload.syncs * workload.operations),
        )


def _slots(workload: Workload, counts: _Counts, chance: random.Random) -> list[Action]:
    """Creates, updates and deletes in a random order that begins with creates; no contended pairs yet."""
    creates = [_fresh("create", number < counts.photo_creates, workload, chance) for number in range(counts.creates)]
    updates = [_fresh("update", number < counts.photo_updates, workload, chance) for number in range(counts.updates)]
    deletes = [_fresh("delete", False, workload, chance) for _ in range(counts.deletes)]
    chance.shuffle(creates)
    first = min(len(creates), max(1, workload.users * workload.devices_per_user))
    rest = creates[first:] + updates + deletes
    chance.shuffle(rest)
    return creates[:first] + rest


def _fresh(kind: ActionKind, photo: bool, workload: Workload, chance: random.Random) -> Action:
    size = 0
    if photo:
        # Most photos are small: the share of the bytes, not of the count, is what costs a trial its time.
        spread = workload.photo_bytes_max / workload.photo_bytes_min
        size = int(workload.photo_bytes_min * spread ** (chance.random() ** 2))
    of_type = PHOTO if photo else chance.choice(workload.record_types).name
    return Action(0.0, 0, kind, of_type, chance.randrange(1 << 30), size)


def _on_some_device(slot: Action, workload: Workload, chance: random.Random) -> Action:
    return replace(slot, device=chance.randrange(workload.users * workload.devices_per_user))


def _windows(workload: Workload, chance: random.Random) -> list[tuple[int, ActionKind]]:
    """(device, how it ends) of every time offline; as many end with the user coming back as with a reset."""
    devices = list(range(workload.users * workload.devices_per_user))
    chance.shuffle(devices)
    resets: list[ActionKind] = ["reset"] * workload.resets
    returns: list[ActionKind] = ["online"] * workload.resets
    return [(devices[number % len(devices)], ending) for number, ending in enumerate(resets + returns)]


def _pairs(workload: Workload, count: int, busy: set[int], chance: random.Random) -> list[Action]:
    """Contended updates, by users none of whose phones goes offline where there are such users."""
    per_user = workload.devices_per_user
    users = [u for u in range(workload.users) if not busy & set(range(u * per_user, (u + 1) * per_user))]
    pairs = []
    for _ in range(count):
        user = chance.choice(users or range(workload.users))
        one, other = chance.sample(range(user * per_user, (user + 1) * per_user), 2)
        pairs.append(
            Action(
                0.0, one, "contend", chance.choice(workload.record_types).name, chance.randrange(1 << 30), rival=other
            )
        )
    return pairs


def _place_pairs(slots: list[Action], pairs: Sequence[Action], chance: random.Random) -> None:
    """Put the pairs behind the first third, when there is something to contend for."""
    for pair in pairs:
        slots.insert(chance.randint(max(1, len(slots) // 3), len(slots)), pair)


def _with_extras(
    timeline: list[Action],
    windows: Sequence[tuple[int, ActionKind]],
    syncs: int,
    workload: Workload,
    chance: random.Random,
) -> list[Action]:
    """Add what is no create, update or delete: times offline, resets, syncs (first before contended pairs)."""
    before: dict[int, list[Action]] = {}
    after: dict[int, list[Action]] = {}
    free = [n for n, action in enumerate(timeline) if action.kind != "contend" and n >= len(timeline) // 4]
    share = max(WINDOW, len(free) // max(1, len(windows)))
    for number, (device, ending) in enumerate(windows):
        inside = free[number * share : number * share + WINDOW]
        if len(inside) < WINDOW:
            break
        for place in inside:
            timeline[place] = replace(timeline[place], device=device)
        before.setdefault(inside[0], []).append(Action(0.0, device, "offline"))
        after.setdefault(inside[-1], []).append(Action(0.0, device, ending))

    lead = max(2, int(workload.rate_per_second * 0.05))
    wanted = [
        (max(0, n - lead), device)
        for n, action in enumerate(timeline)
        if action.kind == "contend"
        for device in (action.device, action.rival)
    ][:syncs]
    devices = workload.users * workload.devices_per_user
    wanted += [(chance.randrange(len(timeline)), chance.randrange(devices)) for _ in range(syncs - len(wanted))]
    for place, device in wanted:
        before.setdefault(place, []).append(Action(0.0, device, "sync"))
    return [action for n, slot in enumerate(timeline) for action in (*before.get(n, ()), slot, *after.get(n, ()))]


def _timed(actions: Sequence[Action], workload: Workload) -> tuple[Action, ...]:
    """Spread the actions: `rate_per_second` creates, updates and deletes; the rest at their neighbours' times."""
    timed, done = [], 0
    for action in actions:
        timed.append(replace(action, at_seconds=done / workload.rate_per_second))
        done += {"create": 1, "update": 1, "delete": 1, "contend": 2}.get(action.kind, 0)
    return tuple(timed)

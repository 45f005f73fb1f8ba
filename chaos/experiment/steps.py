"""Scripts of several steps: one entry of a schedule that stands for several faults, each after the one before it.

    - target: {array: core}
      at: {acknowledged: 200}
      steps:
        - {fault: san.controller_failover, stall_seconds: 2}
        - {wait_seconds: 1}
        - {fault: disk.stale_read, for_seconds: 3}

The first step has the entry's trigger, each further one `seconds_after_previous`; a step that names no target has that
of the entry. All the rest of the project knows the faults alone, each at the place in the file where its step stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from chaos.errors import Problem
from chaos.experiment.explain import shown
from chaos.experiment.source import Items, Node, Scalar, Table, did_you_mean

_STEPS, _WAIT, _AFTER = "steps", "wait_seconds", "seconds_after_previous"
_KEYS = ("target", "at", _STEPS)


def unrolled(root: Node) -> Node:
    """The tree of a file with the faults of its scripts in their place; whatever is wrong with them stays so."""
    schedule = _schedule(root)
    if schedule is None or not isinstance(root, Table):
        return root
    faults = tuple(fault for item in schedule.items for fault in (_faults(item) if _is_script(item) else (item,)))
    place, _ = root.entries["schedule"]
    return Table(root.place, {**root.entries, "schedule": (place, Items(schedule.place, faults))})


def step_problems(root: Node) -> list[Problem]:
    """Problems of scripts that their faults do not show."""
    schedule = _schedule(root)
    scripts = [item for item in schedule.items if _is_script(item)] if schedule is not None else []
    return [problem for script in scripts for problem in _problems(script)]


def _schedule(root: Node) -> Items | None:
    schedule = root.entries.get("schedule") if isinstance(root, Table) else None
    return schedule[1] if schedule is not None and isinstance(schedule[1], Items) else None


def _is_script(item: Node) -> TypeGuard[Table]:
    return isinstance(item, Table) and _STEPS in item.entries


def _is_wait(step: Node) -> TypeGuard[Table]:
    return isinstance(step, Table) and set(step.entries) == {_WAIT}


def _faults(script: Table) -> Iterator[Node]:
    steps = script.entries[_STEPS][1]
    shared = {key: script.entries[key] for key in ("target", "at") if key in script.entries}
    wait: Node | None = None
    begun = False
    for step in steps.items if isinstance(steps, Items) else ():
        if _is_wait(step):
            wait = step.entries[_WAIT][1]
        elif isinstance(step, Table):
            own = {key: entry for key, entry in step.entries.items() if key != "at"}
            after = wait or Scalar(step.place, 0, "0")
            if begun:
                shared["at"] = after.place, Table(after.place, {_AFTER: (after.place, after)})
            yield Table(step.place, {**shared, **own})
            wait, begun = None, True
        else:
            yield step


def _problems(script: Table) -> Iterator[Problem]:
    for key, (place, _) in script.entries.items():
        if key not in _KEYS:
            yield place.problem(f"unknown key {key!r} beside steps", did_you_mean(key, _KEYS))
    steps = script.entries[_STEPS][1]
    if not isinstance(steps, Items) or not steps.items:
        yield steps.place.problem(f"steps should be a list of faults, not {shown(steps)}", "write `- fault: NAME`")
        return
    for i, step in enumerate(steps.items):
        if isinstance(step, Table) and "at" in step.entries:
            message = "a step has no `at` of its own: the first has that of the script, each other one comes after it"
            yield step.entries["at"][0].problem(message, "leave it out, or write {wait_seconds: s} between two steps")
        if _is_wait(step) and (i in (0, len(steps.items) - 1) or _is_wait(steps.items[i - 1])):
            yield step.place.problem("a wait stands between two faults", "remove it, or add up those that follow")

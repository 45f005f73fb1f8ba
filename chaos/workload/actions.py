"""What users do, kept beside a plan: one line of JSON for each action, which can be read, changed or taken away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from chaos.errors import Problem, SourceError, UsageError
from chaos.experiment.plan import PHOTO, Plan, Workload
from chaos.workload.generator import Action, draw

_FORM: Final = TypeAdapter(Action)
_FIELDS: Final = {field.name: field.default for field in fields(Action)}
_PROBLEMS_MAX: Final = 20


def actions_of(plan: Plan) -> tuple[Action, ...]:
    """What the users of a plan do: as its file of actions says, or drawn from workload and seed.

    Raises:
        UsageError: The file cannot be read, or a `SourceError` with the lines that are wrong.
    """
    return draw(plan.workload, plan.seed) if plan.actions is None else read_actions(plan.actions, plan.workload)


def draw_by_user(workload: Workload, seeds: Sequence[int]) -> tuple[Action, ...]:
    """Draw what each user does from a seed of its own, so that one who is taken away leaves the others as they were.

    Args:
        workload: Of all users together; each gets an equal share of it, and at least one operation.
        seeds: One for each user.
    """
    users = workload.users
    drawn: list[Action] = []
    for user, seed in enumerate(seeds):
        alone = replace(
            workload,
            users=1,
            operations=max(1, workload.operations // users + (user < workload.operations % users)),
            rate_per_second=workload.rate_per_second / users,
            resets=workload.resets // users + (user < workload.resets % users),
        )
        first, later = user * workload.devices_per_user, user / workload.rate_per_second
        for each in draw(alone, seed):
            rival = each.rival + first if each.rival >= 0 else -1
            drawn.append(replace(each, at_seconds=each.at_seconds + later, device=each.device + first, rival=rival))
    return tuple(sorted(drawn, key=lambda each: each.at_seconds))  # a stable sort: each user's own order stays


def write_actions(actions: Iterable[Action], path: Path) -> None:
    """Write a file of actions; what is as usual is left out of a line."""
    with path.open("wb") as file:
        for each in actions:
            said = {name: getattr(each, name) for name, usual in _FIELDS.items() if getattr(each, name) != usual}
            file.write(orjson.dumps(said | {"at_seconds": round(each.at_seconds, 6)}) + b"\n")


def read_actions(path: Path, workload: Workload) -> tuple[Action, ...]:
    """Read a file of actions, in the order of their times.

    Raises:
        UsageError: It cannot be read, or a `SourceError` with the lines that are wrong.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(
            f"the file of actions {path} cannot be read: {error.strerror}; the plan names it under `actions`, it lies "
            "beside the plan"
        ) from error
    found: list[Action] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(_action(line, workload))
        except ValueError as error:
            problems.append(Problem(str(path), number, 1, str(error), "correct the line, or take it away"))
    if problems:
        raise SourceError(problems[:_PROBLEMS_MAX], b"\n".join(lines).decode(errors="replace"))
    return tuple(sorted(found, key=lambda each: each.at_seconds))


def _action(line: bytes, workload: Workload) -> Action:
    try:
        data = orjson.loads(line)
        if unknown := set(data) - _FIELDS.keys():
            raise ValueError(f"unknown key {min(unknown)!r}; there are {', '.join(_FIELDS)}")
        action = _FORM.validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'this'}: {first['msg']}") from error
    except (orjson.JSONDecodeError, TypeError) as error:
        raise ValueError(f"this is no action: {error}") from error
    devices, per_user = workload.users * workload.devices_per_user, workload.devices_per_user
    types = (*(each.name for each in workload.record_types), PHOTO)
    if action.type not in ("", *types):
        raise ValueError(f"the workload has no type {action.type!r}; it has {', '.join(types)}")
    if not 0 <= action.device < devices:
        raise ValueError(f"there is no device {action.device}; the workload has {devices}, from 0")
    if min(action.at_seconds, action.pick, action.size_bytes) < 0:
        raise ValueError("at_seconds, pick and size_bytes are not negative")
    is_rival = 0 <= action.rival < devices and action.rival // per_user == action.device // per_user
    if is_rival != (action.kind == "contend") or (action.rival != -1) != is_rival or action.rival == action.device:
        raise ValueError(f"rival {action.rival} should be another device of the same user, of a contend alone")
    return action

"""A file of an experiment or a plan against its model: every problem of it at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeVar

from pydantic import ValidationError

from chaos.errors import Problem, SourceError
from chaos.experiment.catalogue import FaultCatalogue, schedule_problems, search_problems
from chaos.experiment.explain import problems_of
from chaos.experiment.schema import FileModel, PlanModel, with_targets
from chaos.experiment.source import Document, Loc, Node, Plain, cut, find, plain
from chaos.experiment.steps import step_problems, unrolled

M = TypeVar("M", bound=FileModel)

_ROUNDS_MAX: Final = 20
_STAND_INS: Final[dict[str, Plain]] = {"experiment": "unnamed", "plan": "unnamed", "seed": 0}
"""For what a file lacks or has wrong, and on which nothing else depends."""


def validated(document: Document, model: type[M], faults: FaultCatalogue) -> M:
    """The model of a file.

    Raises:
        SourceError: With every problem of it.
    """
    made, problems = made_of(document.root, model, faults)
    if made is None or problems:
        ordered = sorted(set(problems), key=lambda problem: (problem.line, problem.column))
        raise SourceError(ordered, document.text)
    return made


def made_of(root: Node, model: type[M], faults: FaultCatalogue) -> tuple[M | None, list[Problem]]:
    """The model without what is wrong, if anything is left, and every problem."""
    problems = step_problems(root) + search_problems(root, faults)
    root = unrolled(root)
    problems += schedule_problems(root, faults)
    model = with_targets(model, faults.forms)
    data = plain(root, text_at=lambda loc: loc[0] == "variables")
    listed = data.get("schedule") if isinstance(data, dict) else None
    entries = dict(enumerate(listed)) if isinstance(listed, list) else {}
    wrong: set[Loc] = set()
    for _ in range(_ROUNDS_MAX):
        if isinstance(data, dict) and isinstance(data.get("schedule"), list):
            data["schedule"] = list(entries.values())
        numbers = [*entries]
        try:
            made = model.model_validate(data)
        except ValidationError as error:
            if not wrong:
                problems += problems_of(error, model, root)
            found: set[Loc] = {tuple(one["loc"]) for one in error.errors()}
            of_entries = [loc for loc in found if loc[:1] == ("schedule",) and len(loc) > 1]
            if not all(_left_out(data, loc) for loc in found.difference(of_entries)):
                break
            for loc in of_entries:
                if not cut(entries.get(numbers[int(loc[1])]), loc[2:]):
                    entries.pop(numbers[int(loc[1])], None)
            wrong |= found
        else:
            problems += _beyond_the_workload(made, root, numbers, wrong)
            if isinstance(made, PlanModel):
                problems += _undrawn(made, root, numbers)
            return made, problems
    return None, problems


def _left_out(data: Plain, loc: Loc) -> bool:
    """Take what is wrong at `loc` out of a file's data; what every file has gets a stand-in."""
    if isinstance(data, dict) and len(loc) == 1 and loc[0] in _STAND_INS:
        data[str(loc[0])] = _STAND_INS[str(loc[0])]
        return True
    return cut(data, loc)


def _beyond_the_workload(
    made: FileModel, root: Node, numbers: Sequence[int], wrong: Collection[Loc]
) -> Iterator[Problem]:
    """Problems of numbers that are each allowed but contradict each other, where none of them is wrong by itself.

    Args:
        made: The file's model.
        root: The file.
        numbers: Which fault of the file each one of the model's schedule is.
        wrong: What was taken out of the model.
    """
    work = made.workload

    def is_right(part: str, *names: str) -> bool:
        return not any(loc[:1] == (part,) and (len(loc) == 1 or loc[1] in names) for loc in wrong)

    found: list[tuple[Loc, str, str]] = []
    struck = dict(zip(numbers, made.schedule, strict=True))
    for i, entry in struck.items():
        if entry.at.phase and entry.for_seconds:
            ends = "when converge begins" if entry.at.phase == "recover" else "as soon as it has taken hold"
            message = f"for_seconds has no effect on a fault of the phase {entry.at.phase}: such a fault ends {ends}"
            found.append((("schedule", i, "for_seconds"), message, "leave it out"))
        before = struck.get(i - 1)
        if entry.at.seconds_after_previous and (i == 0 or (before and before.at.phase)):
            what = f"one of the phase {before.at.phase}" if before else "none"
            message = f"seconds_after_previous comes after a fault of the load, and there is {what} before this one"
            found.append((("schedule", i, "at"), message, "use acknowledged or seconds"))
        most = entry.at.acknowledged[1] if entry.at.acknowledged else 0
        if most > work.operations and is_right("workload", "operations"):
            message = f"acknowledgement {most} never comes: the workload has {work.operations} operations"
            found.append((("schedule", i, "at", "acknowledged"), message, "a smaller number, or more operations"))
    least = made.checks.minimum_acknowledged
    if least > work.operations and is_right("workload", "operations") and is_right("checks", "minimum_acknowledged"):
        message = f"minimum_acknowledged {least} is more than the {work.operations} operations of the workload"
        found.append((("checks", "minimum_acknowledged"), message, "a smaller number, or more operations"))
    if work.photo_bytes_min > work.photo_bytes_max and is_right("workload", "photo_bytes_min", "photo_bytes_max"):
        message = f"photo_bytes_min {work.photo_bytes_min} is above photo_bytes_max {work.photo_bytes_max}"
        found.append((("workload", "photo_bytes_min"), message, "write the smaller number here"))
    if work.updates + work.deletes > 0.95 and is_right("workload", "updates", "deletes"):
        message = f"updates {work.updates:g} and deletes {work.deletes:g} leave no room for creates"
        found.append((("workload", "updates"), message, "let them be at most 0.95 together"))
    return (find(root, loc)[1].problem(message, hint) for loc, message, hint in found)


def _undrawn(made: PlanModel, root: Node, numbers: Sequence[int]) -> list[Problem]:
    return [
        find(root, ("schedule", i, *where))[1].problem("a plan has no ranges left to draw", "write one number")
        for i, entry in zip(numbers, made.schedule, strict=True)
        for where, span in (
            (("at", "seconds"), entry.at.seconds),
            (("at", "seconds_after_previous"), entry.at.seconds_after_previous),
            (("at", "acknowledged"), entry.at.acknowledged),
            (("at", "flush"), entry.at.flush),
            (("at", "write"), entry.at.write),
            (("for_seconds",), entry.for_seconds),
        )
        if span is not None and span[0] != span[1]
    ]

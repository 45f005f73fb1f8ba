"""What searches of the zoo came to, in lines, and as the table of docs/zoo.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from tests.zoo.results import Results, Searched, Sought
from tests.zoo.table import Variant


def told(found: Sought) -> str:
    """One search in a line."""
    line = f"{found.name:28} {found.way:8} seed {found.seed}: {', '.join(found.classes) or 'nothing found'}"
    line += f" after {found.trials} trials, {found.seconds / 60:.1f} min"
    if found.measured:
        line += f"; {found.events} faults are left after {found.executions} executions, "
        line += f"came again {found.came_again} of {found.measured}"
    return f"{line}  {found.trouble}".rstrip()


def told_of_twin(found: Searched) -> str:
    """One search of a twin in a line."""
    alarms = "; ".join(found.alarms) or found.trouble or "no alarm"
    return f"{found.twin:28} twin     {found.conclusive} of {found.trials} trials count: {alarms}"


def summary(sought: Sequence[Sought], twins: Sequence[Searched]) -> Iterator[str]:
    """The figures of all searches, by the way in which schedules were chosen, and of the twins."""
    for way in dict.fromkeys(each.way for each in sought):
        mine = [each for each in sought if each.way == way]
        found = [each for each in mine if each.is_found]
        same = sum(each.is_of_its_class for each in found)
        yield f"{way}: {len(found)} of {len(mine)} found, {same} with the class of the table; medians: {_medians(mine)}"
        if small := [each for each in found if each.measured]:
            again, measured = sum(each.came_again for each in small), sum(each.measured for each in small)
            events, executions = (median(getattr(each, name) for each in small) for name in ("events", "executions"))
            yield f"  made smaller: {events:g} faults after {executions:g} executions; came again {again} of {measured}"
        yield from (f"  not found: {told(each)}" for each in mine if not each.is_found)
    if twins:
        alarms, counted = sum(len(each.alarms) for each in twins), sum(each.conclusive for each in twins)
        yield f"twins: {alarms} alarms in {counted} trials that count"


def rows(variants: Iterable[Variant], results: Results) -> Iterator[str]:
    """The table of docs/zoo.md: a row for each search of a variant."""
    yield "| bug | way | class | trials | minutes | faults left | executions | came again | alarms in its twin |"
    yield "|---" * 9 + "|"
    for variant in variants:
        twins = [each for each in results.twins.values() if each.twin == variant.name]
        alarms = "-"
        if twins:
            alarms = f"{sum(len(each.alarms) for each in twins)} of {sum(each.conclusive for each in twins)}"
        for each in (each for each in results.sought.values() if each.name == variant.name):
            small = f"{each.events} | {each.executions} | {each.came_again} of {each.measured}"
            classes = ", ".join(f"`{name}`" for name in each.classes) or "not found"
            row = f"| `{each.name}` | {each.way} | {classes} | {each.trials} | {each.seconds / 60:.1f} | "
            yield f"{row}{small if each.measured else '- | - | -'} | {alarms} |"


def _medians(sought: Sequence[Sought]) -> str:
    trials, seconds = median(each.trials for each in sought), median(each.seconds for each in sought)
    return f"{trials:g} trials, {seconds / 60:.1f} minutes"

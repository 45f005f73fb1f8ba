"""Formats numbers, faults and drawn parameters for a line of text, in the same way everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime

from chaos.experiment.plan import Plan, RecordType, ScheduledFault

DOT = " · "


def count(number: int) -> str:
    """1200 as "1,200"."""
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """1 and "user" as "1 user", 2 as "2 users"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def plain(number: float) -> str:
    """2.0 as "2", 2.25 as "2.25"."""
    return f"{number:,.6g}" if abs(number) < 1e6 else f"{number:,.0f}"


def share(part: float) -> str:
    """0.35 as "35 %"."""
    return f"{plain(round(part * 100, 1))} %"


def at_most(part: float) -> str:
    """0.10041 as "10.1 %": a limit that is rounded up, so that it holds."""
    return share(math.ceil(part * 1000 - 1e-6) / 1000)


def at_least(part: float) -> str:
    """0.8859 as "88.5 %": a limit that is rounded down, so that it holds."""
    return share(math.floor(part * 1000 + 1e-6) / 1000)


def duration(seconds: float) -> str:
    """72 as "72 s", 300 as "5 min", 6000 as "1 h 40 min": rounded, for people who wait."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def date(when: datetime | None) -> str:
    """A time in UTC as "29 November 2026, 07:05:00 UTC"; empty for none."""
    return "" if when is None else f"{when.day} {when:%B %Y}, {when:%H:%M:%S} UTC"


def between(first: float, last: float) -> str:
    """Two times in seconds as "3.045 s to 5.12 s", one twice as "at 3.045 s"."""
    return f"at {plain(first)} s" if first == last else f"{plain(first)} s to {plain(last)} s"


def size(number_bytes: int) -> str:
    """50000 as "50 KB"."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if number_bytes >= scale:
            return f"{plain(round(number_bytes / scale, 2))} {unit}"
    return f"{number_bytes} bytes"


def scheduled(fault: ScheduledFault) -> str:
    """A fault of a schedule with its target, trigger, duration and parameters."""
    text = f"{fault.fault} {fault.target} {fault.at}"
    if fault.for_seconds is not None:
        text += f" for {plain(fault.for_seconds)} s"
    if fault.parameters:
        text += " (" + ", ".join(f"{name}={_value(value)}" for name, value in fault.parameters.items()) + ")"
    return text


def announcement(plan: Plan) -> list[str]:
    """Everything that was drawn: name, seed, workload, schedule, then the rest of the parameters."""
    load = plan.workload
    head = [plan.experiment, f"seed {plan.seed}"]
    head.append(
        f"{counted(load.users, 'user')}, {counted(load.users * load.devices_per_user, 'device')}, "
        f"{counted(load.operations, 'operation')}"
    )
    head.extend([scheduled(fault) for fault in plan.schedule] or ["no fault"])
    mix = [
        f"{plain(load.rate_per_second)} operations/s",
        f"{share(load.updates)} updates ({share(load.contended)} contended)",
        f"{share(load.deletes)} deletes",
        f"{share(load.photos)} photos of {size(load.photo_bytes_min)} to {size(load.photo_bytes_max)}"
        if load.photos
        else "no photos",
        f"{share(load.syncs)} syncs",
        counted(load.resets, "reset"),
        f"requests up to {plain(load.request_seconds_max)} s",
    ]
    if load.types:
        mix.insert(3, "records of type " + ", ".join(map(_type, load.types)))
    limits = plan.limits
    bounds = [
        f"at least {count(plan.checks.minimum_acknowledged)} acknowledged",
        "the mix is judged" if plan.checks.require_mix else "the mix is not judged",
        f"ready within {plain(limits.ready_seconds_max)} s",
        f"recover {plain(limits.recover_seconds_max)} s",
        f"converge {plain(limits.converge_seconds_max)} s",
        f"door {plain(limits.door_seconds_max)} s",
    ]
    return [DOT.join(head), "  " + DOT.join(mix), "  " + DOT.join(bounds)]


def _type(each: RecordType) -> str:
    least, most = size(each.bytes_min), size(each.bytes_max)
    return f"{each.name} ({least if least == most else f'{least} to {most}'})"


def phase(name: str, seconds: float | None) -> str:
    """A phase as "load 5.0 s", or its bare name where it took no time worth telling."""
    return name if seconds is None else f"{name} {seconds:,.1f} s"


def phases(taken: Mapping[str, float]) -> str:
    """All phases on one line."""
    return DOT.join(phase(name, seconds) for name, seconds in taken.items())


def evidence(counted_by_name: Mapping[str, int | float | str]) -> str:
    """What an injector counted, as "failed writes 214, seconds since write 0.12"."""
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in counted_by_name.items())


def one_line(text: str) -> str:
    """What a tool said on several lines, on one, and nothing in it that a terminal would obey."""
    return printable("; ".join(line.strip() for line in text.splitlines() if line.strip()))


def printable(text: str) -> str:
    """What a service said with everything invisible made visible: control characters, marks that turn text round."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def outcomes(operations: Mapping[str, int]) -> str:
    """Operations by outcome, as "1,688 ok · 260 fail"; of those that did not occur only `ok` is told."""
    return DOT.join(f"{count(number)} {name}" for name, number in operations.items() if number or name == "ok")


def classes(found: Mapping[str, int]) -> str:
    """Counts by class, as "811 lost · 2 stale"; classes with no member are left out."""
    return DOT.join(f"{count(number)} {name}" for name, number in found.items() if number)


def _value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return plain(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_value(part)}" for name, part in value.items()) + "}"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return str(value)

"""What an experiment may ask of a fault: its name, the targets that it takes, and its parameters.

The faults stand above this package and are not imported here: who loads an experiment passes them in as a catalogue.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from chaos.errors import Problem
from chaos.experiment.explain import shown
from chaos.experiment.plan import Parameter
from chaos.experiment.source import Items, Loc, Node, Scalar, Table, did_you_mean, find, key_place, plain

ENTRY_KEYS = frozenset({"fault", "target", "at", "for_seconds"})
"""Keys of a schedule entry that are no parameters of the fault."""


@dataclass(frozen=True)
class TargetForm:
    """One way to say where a fault strikes: `target: {KEY: ...}`.

    Attributes:
        key: "array", "between", ...
        shape: What stands behind the key: one name, a list of names, a list of at least two such lists, or `true`.
        names: What the names are names of: "array", "lun", "service", "role", "service or role", or the medium's word.
        said: In messages, "cannot strike ...".
    """

    key: str
    shape: Literal["name", "names", "sets", "flag"]
    names: str
    said: str


@dataclass(frozen=True)
class ParameterInfo:
    """What one parameter of a fault takes.

    Attributes:
        kind: "choices" is a list of some of `choices`, "counts" a mapping of all of `keys` to whole numbers.
        choices: Allowed values of a text, or of the items of "choices"; empty: any text.
        keys: Of "counts".
        minimum, maximum: Bounds of numbers, also within "counts".
        optional: Whether null may be given, for "without a bound".
        default: What holds when the parameter is not given.
    """

    kind: Literal["integer", "number", "flag", "text", "choices", "counts"]
    choices: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    minimum: float = 0
    maximum: float = 2**53
    optional: bool = False
    default: Parameter = None


@dataclass(frozen=True)
class FaultInfo:
    """What is known of one fault.

    Attributes:
        targets: The keys of the forms that its target may have.
        at_ios: Whether it can strike at an I/O of a LUN.
    """

    name: str
    targets: tuple[str, ...]
    parameters: Mapping[str, ParameterInfo] = field(default_factory=dict)
    at_ios: bool = False


class FaultCatalogue(Protocol):
    """All faults by name."""

    @property
    def known(self) -> Mapping[str, FaultInfo]:
        """By name."""

    @property
    def forms(self) -> tuple[TargetForm, ...]:
        """Every form of target that some fault takes."""


def schedule_problems(root: Node, faults: FaultCatalogue) -> list[Problem]:
    """Problems of a schedule with the faults, targets and parameters that the catalogue knows."""
    schedule, _ = find(root, ("schedule",))
    if not isinstance(schedule, Items):
        return []
    entries = [("schedule", i) for i, item in enumerate(schedule.items) if isinstance(item, Table)]
    return [problem for loc in entries for problem in _entry_problems(root, loc, faults)]


def search_problems(root: Node, faults: FaultCatalogue) -> list[Problem]:
    """Problems of the patterns of faults that a search may draw: those that fit no fault."""
    return [
        item.place.problem(f"no fault is called {shown(item)}", did_you_mean(str(item.value), faults.known))
        for patterns, _ in (find(root, ("search", key)) for key in ("faults", "one_of"))
        for item in (patterns.items if isinstance(patterns, Items) else ())
        if isinstance(item, Scalar) and not fnmatch.filter(faults.known, str(item.value))
    ]


def _entry_problems(root: Node, loc: Loc, faults: FaultCatalogue) -> list[Problem]:
    entry, _ = find(root, loc)
    name, place = find(root, (*loc, "fault"))
    if not isinstance(name, Scalar) or not isinstance(name.value, str) or not isinstance(entry, Table):
        return []
    fault = faults.known.get(name.value)
    if fault is None:
        guess = did_you_mean(name.value, faults.known)
        hint = f"{guess} `holdfast doctor` lists the faults that this host can do"
        return [place.problem(f"unknown fault {shown(name)}", hint)]
    forms = {form.key: form for form in faults.forms}
    problems = _target_problems(root, (*loc, "target"), fault, forms) + _trigger_problems(root, (*loc, "at"), fault)
    for key in entry.entries:
        if key in ENTRY_KEYS:
            continue
        if key not in fault.parameters:
            message = f"unknown key {key!r}: {fault.name} has no such parameter"
            hint = did_you_mean(key, {*fault.parameters, *ENTRY_KEYS})
            problems.append(key_place(root, (*loc, key)).problem(message, hint))
        else:
            problems += _parameter_problems(key, entry.entries[key][1], fault.parameters[key])
    return problems


def _target_problems(root: Node, loc: Loc, fault: FaultInfo, forms: Mapping[str, TargetForm]) -> list[Problem]:
    target, _ = find(root, loc)
    if not isinstance(target, Table):
        return []
    return [
        place.problem(f"{fault.name} cannot strike {forms[key].said}", f"its target is {' or '.join(fault.targets)}")
        for key, (place, _) in target.entries.items()
        if key in forms and key not in fault.targets
    ]


def _trigger_problems(root: Node, loc: Loc, fault: FaultInfo) -> list[Problem]:
    trigger, _ = find(root, loc)
    if not isinstance(trigger, Table) or fault.at_ios:
        return []
    why = "only faults of LUNs are carried out where I/Os are served, any other one would come some time after it"
    return [
        key_place(root, (*loc, key)).problem(
            f"{fault.name} cannot strike at a {key}: {why}", "use acknowledged, seconds or phase"
        )
        for key in ("flush", "write")
        if key in trigger.entries
    ]


def _parameter_problems(name: str, node: Node, info: ParameterInfo) -> list[Problem]:
    value = plain(node)
    if value is None and info.optional:
        return []
    if info.kind == "choices":
        return _choices_problems(name, node, info)
    if info.kind == "counts":
        return _counts_problems(name, node, info)
    wrong = {
        "integer": not isinstance(value, int) or isinstance(value, bool),
        "number": not isinstance(value, int | float) or isinstance(value, bool),
        "flag": not isinstance(value, bool),
        "text": not isinstance(value, str),
    }[info.kind]
    if wrong:
        kind = {"integer": "a whole number", "number": "a number", "flag": "true or false", "text": "text"}[info.kind]
        return [node.place.problem(f"{name} should be {kind}, not {shown(node)}", "change it")]
    if isinstance(value, int | float) and not info.minimum <= value <= info.maximum:
        bounds = f"{info.minimum:.15g} to {info.maximum:.15g}"
        return [node.place.problem(f"{name} should be {bounds}, not {shown(node)}", "change it")]
    if isinstance(value, str) and info.choices and value not in info.choices:
        return [node.place.problem(f"unknown {name} {shown(node)}", did_you_mean(value, info.choices))]
    return []


def _choices_problems(name: str, node: Node, info: ParameterInfo) -> list[Problem]:
    if not isinstance(node, Items) or not node.items:
        hint = f"write [{', '.join(info.choices)}], or some of them"
        return [node.place.problem(f"{name} should be a list, not {shown(node)}", hint)]
    seen: set[str] = set()
    problems = []
    for item in node.items:
        text = str(item.value) if isinstance(item, Scalar) else ""
        if text not in info.choices or text in seen:
            message = f"{shown(item)} twice in {name}" if text in seen else f"unknown {name} {shown(item)}"
            problems.append(item.place.problem(message, did_you_mean(text, set(info.choices) - seen)))
        seen.add(text)
    return problems


def _counts_problems(name: str, node: Node, info: ParameterInfo) -> list[Problem]:
    if not isinstance(node, Table) or set(node.entries) != set(info.keys):
        shape = "{" + ", ".join(f"{key}: n" for key in info.keys) + "}"
        return [node.place.problem(f"{name} should be {shape}, not {shown(node)}", f"write {shape}")]
    bounds = ParameterInfo("integer", minimum=info.minimum, maximum=info.maximum)
    return [
        problem
        for key, (_, item) in node.entries.items()
        for problem in _parameter_problems(f"{name}.{key}", item, bounds)
    ]

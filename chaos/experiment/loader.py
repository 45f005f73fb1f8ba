"""Makes plans from experiment files, writes plans to files, and reads them back.

Every number that the experiment leaves open is drawn from the seed, each from a random stream of its own, so adding
one fault does not change what is drawn for another.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import yaml
from pydantic import ValidationError

from chaos.errors import Problem, SourceError, UsageError
from chaos.experiment.catalogue import FaultCatalogue
from chaos.experiment.driver_form import placed
from chaos.experiment.drivers import known_drivers
from chaos.experiment.files import kind_of
from chaos.experiment.plan import (
    Checks,
    Limits,
    Named,
    Parameter,
    Plan,
    RecordType,
    ScheduledFault,
    Search,
    Target,
    Trigger,
    Workload,
)
from chaos.experiment.schema import (
    SEED_MAX,
    ExperimentModel,
    FileModel,
    PlanModel,
    ScheduledFaultModel,
    TargetModel,
    TriggerModel,
    WorkloadModel,
    target_model,
)
from chaos.experiment.source import Document, Items, Node, Table, find, plain, read, reads_as_text
from chaos.experiment.steps import unrolled
from chaos.experiment.validating import made_of, validated

DRAWN_SEED_MAX = 999_999  # short enough to be typed again


def load(path: Path, seed: int | None, faults: FaultCatalogue) -> Plan:
    """Load an experiment or a plan, told apart by their first key.

    Args:
        path: The file.
        seed: Draws the plan of an experiment; None: a fresh one. A plan has its own.
        faults: What is known of faults.

    Raises:
        SourceError: With every problem of the file.
        UsageError: A seed that cannot be.
    """
    return load_trials(path, seed, 1, faults)[0]


def load_trials(path: Path, seed: int | None, times: int, faults: FaultCatalogue) -> list[Plan]:
    """Load the plans of several trials of one file.

    An experiment is drawn anew for each: for the first as with `seed`, for the next as with `seed` + 1, and so on. A
    plan is repeated as it is, its seed included. Arguments and errors as of `load`.
    """
    if kind_of(path) == "compose":
        raise SourceError([_no_experiment(path)])
    document = read(path)
    if _is_plan(document.root):
        plans = [_plan(document, path, faults, seed)] * times
    else:
        plans = _experiment(document, path, seed, times, faults)
    return [replace(plan, file=path) for plan in plans]


def load_plan(path: Path, faults: FaultCatalogue) -> Plan:
    """Load a plan; see `load`."""
    return _plan(read(path), path, faults, None)


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan that `load_plan` reads back as an equal one.

    Paths are kept relative to the file, or absolute where the two share no folder but the root.
    """
    data = _as_file(plan, _folder(path))
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    path.write_text(text, encoding="utf-8")


class _Dumper(yaml.SafeDumper):
    """Quotes all that `source` would not read as text: PyYAML itself decides by YAML 1.1."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if reads_as_text(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def _no_experiment(compose_file: Path) -> Problem:
    message = "this is a Compose file, which describes a stack, and no experiment"
    hint = (
        "run the experiments of this stack; where there are none, `holdfast new` writes some, or write one beside it "
        f"with the lines `experiment: NAME` and `stack: {compose_file.name}`"
    )
    return Problem(str(compose_file), 0, 0, message, hint)


def _experiment(document: Document, path: Path, seed: int | None, times: int, faults: FaultCatalogue) -> list[Plan]:
    if seed is None:
        seed = random.SystemRandom().randint(1, DRAWN_SEED_MAX)
    if not 0 <= seed <= SEED_MAX - (times - 1):
        raise UsageError(f"seed {seed} is out of range; use 0 to {SEED_MAX - (times - 1)}")
    model = validated(document, ExperimentModel, faults)
    folder = _folder(path)
    # Also where the experiment names no driver: the stack may name one that lies beside the experiment.
    known = model.driver is not None and model.driver.name in known_drivers()
    driver_folder = None if known else folder
    plans = [_drawn(model, model.experiment, seed + i, folder, driver_folder) for i in range(times)]
    return [_placed(plan, document.root) for plan in plans]


def _plan(document: Document, path: Path, faults: FaultCatalogue, seed: int | None) -> Plan:
    model = validated(document, PlanModel, faults)
    if seed is not None and seed != model.seed:
        raise UsageError(
            f"{document.path} is a plan, drawn with seed {model.seed}, not {seed}; leave the seed out, "
            "or run the experiment"
        )
    folder = _folder(path)
    driver_folder = _absolute(folder, model.driver_folder) if model.driver_folder is not None else None
    plan = _placed(_drawn(model, model.plan, model.seed, folder, driver_folder), document.root)
    return replace(
        plan,
        images=dict(model.images),
        actions=_absolute(folder, model.actions) if model.actions is not None else None,
        inputs=_absolute(folder, model.inputs) if model.inputs is not None else None,
        plants_loss=model.plants_loss,
    )


def load_draft(path: Path, faults: FaultCatalogue) -> tuple[Plan, list[int]] | None:
    """What a file that `load` refuses says all the same, so that its stack and its targets can be looked at, too.

    Returns:
        Its plan without what is wrong, whose faults have nothing but their targets, and the number of each of these
        faults in the file; None where the file does not say so much.
    """
    try:
        root = read(path).root
    except SourceError:
        return None
    made, _ = made_of(root, PlanModel if _is_plan(root) else ExperimentModel, faults)
    if made is None:
        return None
    folder = _folder(path)
    plan = _drawn(made.model_copy(update={"schedule": []}), "", 0, folder, folder)
    struck = _struck(root, faults)
    return replace(_placed(plan, root), file=path, schedule=tuple(struck.values())), list(struck)


def _placed(plan: Plan, root: Node) -> Plan:
    return replace(plan, driver=plan.driver and placed(plan.driver, root, ("driver",)))


def _is_plan(root: Node) -> bool:
    return isinstance(root, Table) and "plan" in root.entries


def _struck(root: Node, faults: FaultCatalogue) -> dict[int, ScheduledFault]:
    """The known faults of a schedule whose targets have a right form, by their numbers, with nothing but that."""
    schedule, _ = find(unrolled(root), ("schedule",))
    found: dict[int, ScheduledFault] = {}
    for i, item in enumerate(schedule.items if isinstance(schedule, Items) else ()):
        entry = plain(item)
        fault = faults.known.get(str(entry.get("fault"))) if isinstance(entry, dict) else None
        if fault is None or not isinstance(entry, dict):
            continue
        try:
            target = _target(target_model(faults.forms).model_validate(entry.get("target")))
        except ValidationError:
            continue
        if target.key in fault.targets:
            found[i] = ScheduledFault(fault.name, target, Trigger(seconds=0.0))
    return found


def _drawn(model: FileModel, name: str, seed: int, folder: Path, driver_folder: Path | None) -> Plan:
    return Plan(
        experiment=name,
        why=model.why,
        stack=tuple(_absolute(folder, file) for file in model.stack),
        seed=seed,
        workload=_workload(model.workload),
        schedule=tuple(_fault(entry, f"{seed}/{i}") for i, entry in enumerate(model.schedule)),
        checks=Checks(**model.checks.model_dump()),
        limits=Limits(**model.limits.model_dump(), stated=frozenset(model.limits.model_fields_set)),
        search=Search(tuple(model.search.faults), tuple(model.search.one_of), model.search.events),
        expect=model.expect,
        driver=model.driver,
        driver_folder=driver_folder,
        profiles=tuple(model.profiles),
        variables=dict(model.variables),
    )


def _workload(model: WorkloadModel) -> Workload:
    numbers = model.model_dump(exclude={"types"})
    if model.types and "photos" not in model.model_fields_set:
        numbers["photos"] = 0.0  # the types that are named are all that there are
    return Workload(**numbers, types=tuple(RecordType(name, *each.bytes) for name, each in model.types.items()))


def _fault(entry: ScheduledFaultModel, stream: str) -> ScheduledFault:
    return ScheduledFault(
        fault=entry.fault,
        target=_target(entry.target),
        at=_trigger(entry.at, stream),
        for_seconds=_number(entry.for_seconds, f"{stream}/for_seconds"),
        parameters={name: cast(Parameter, value) for name, value in (entry.model_extra or {}).items()},
    )


def _target(target: TargetModel) -> Target:
    ((key, named),) = ((key, value) for key, value in vars(target).items() if value is not None)
    return Target(key, _named(named))


def _named(value: str | list[str] | list[list[str]] | Literal[True]) -> Named:
    if isinstance(value, list):
        return tuple(each if isinstance(each, str) else tuple(each) for each in value)  # type: ignore[return-value]
    return value


def _trigger(at: TriggerModel, stream: str) -> Trigger:
    def count(span: tuple[int, int] | None) -> int | None:
        return random.Random(f"{stream}/at").randint(*span) if span else None

    return Trigger(
        seconds=_number(at.seconds, f"{stream}/at"),
        seconds_after_previous=_number(at.seconds_after_previous, f"{stream}/at"),
        acknowledged=count(at.acknowledged),
        phase=at.phase,
        flush=count(at.flush),
        write=count(at.write),
        lun=at.lun,
        when=at.when or ("after" if at.lun else None),
    )


def _number(span: tuple[float, float] | None, stream: str) -> float | None:
    """A number drawn from the range, to the millisecond."""
    if span is None or span[0] == span[1]:
        return span and float(span[0])
    drawn = round(random.Random(stream).uniform(*span), 3)
    return min(max(drawn, span[0]), span[1])


def _as_file(plan: Plan, folder: Path) -> dict[str, object]:
    data: dict[str, object] = {
        "plan": plan.experiment,
        "seed": plan.seed,
        "expect": plan.expect,
        "why": plan.why,
    }
    data["stack"] = [_relative(file, folder) for file in plan.stack]
    if plan.profiles:
        data["profiles"] = list(plan.profiles)
    if plan.variables:
        data["variables"] = dict(plan.variables)
    if plan.driver:
        data["driver"] = plan.driver.as_file()
    if plan.driver_folder is not None:
        data["driver_folder"] = _relative(plan.driver_folder, folder)
    if plan.images:
        data["images"] = dict(plan.images)
    if plan.actions is not None:
        data["actions"] = _relative(plan.actions, folder)
    if plan.inputs is not None:
        data["inputs"] = _relative(plan.inputs, folder)
    if plan.plants_loss:
        data["plants_loss"] = True
    data["workload"] = dict(plan.workload.settings)
    data["schedule"] = [_entry(fault) for fault in plan.schedule]
    data["checks"] = dict(vars(plan.checks))
    data["limits"] = dict(plan.limits.seconds)
    if plan.search != Search():
        one_of = {"one_of": list(plan.search.one_of)} if plan.search.one_of else {}
        data["search"] = {"faults": list(plan.search.faults), **one_of, "events": plan.search.events}
    return data


def _entry(fault: ScheduledFault) -> dict[str, object]:
    entry: dict[str, object] = {
        "fault": fault.fault,
        "target": {fault.target.key: fault.target.named},
        "at": {kind: when for kind, when in vars(fault.at).items() if when is not None},
    }
    if fault.for_seconds is not None:
        entry["for_seconds"] = fault.for_seconds
    return entry | dict(fault.parameters)


def _folder(path: Path) -> Path:
    return path.parent.resolve()


def _absolute(folder: Path, file: str) -> Path:
    return Path(os.path.normpath(folder / file))


def _relative(file: Path, folder: Path) -> str:
    shared = os.path.commonpath([file, folder])
    return str(file) if shared == os.sep else os.path.relpath(file, folder)

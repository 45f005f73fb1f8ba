"""The shape of an experiment file and of a plan file, strict, with bounds on every number.

What a later version brings is refused by its name here. Names of faults, and their parameters, are judged
against a catalogue (`chaos.experiment.catalogue`); what the stack holds, by `chaos.preflight.targets`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeGuard, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model, model_validator

from chaos.experiment.catalogue import TargetForm
from chaos.experiment.driver_form import DriverForm
from chaos.experiment.explain import fail
from chaos.experiment.plan import PHOTO, PLAIN_TYPES, Checks, Limits, Search, Verdict, Workload
from chaos.experiment.source import did_you_mean

SEED_MAX = 2**63 - 1
OPERATIONS_MAX = 100_000
RPO_SECONDS_MAX = 86_400.0
TYPE_BYTES_MIN = 200
"""A smaller record would not hold the stamps by which its parts are told from those of other versions."""
PHASES = ("heal", "recover", "converge")
"""Phases at whose begin a fault may start."""

TRIGGERS = ("seconds", "seconds_after_previous", "acknowledged", "phase", "flush", "write")
"""What may bring a fault about."""
IOS_MAX = 10_000_000

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
PhotoBytes = Annotated[int, Field(ge=1_000, le=16_000_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Text = Annotated[str, Field(min_length=1, max_length=255)]

_W, _C, _L, _S = Workload(), Checks(), Limits(), Search()


def _span(low: float, high: float, *, whole: bool) -> Callable[[object], object]:
    """A number, or a range [least, most] from which the seed draws, as a pair."""

    def check(value: object) -> object:
        ends = [end for end in (value if isinstance(value, list) else [value, value]) if _is_number(end, whole)]
        if len(ends) != 2 or (isinstance(value, list) and len(value) != 2):
            what = f"a {'whole ' if whole else ''}number or a range [least, most]"
            fail(f"this should be {what}", "such as 3 or [2, 5]")
        if not all(low <= end <= high for end in ends):
            fail(f"this should be {low:.9g} to {high:.9g}", "change it")
        if ends[0] > ends[1]:
            fail(f"the range [{ends[0]}, {ends[1]}] is empty", "write the smaller number first")
        return tuple(ends)

    return check


def _is_number(value: object, whole: bool) -> TypeGuard[int | float]:
    return isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)


def _span_schema(kind: Literal["number", "integer"]) -> WithJsonSchema:
    pair = {"type": "array", "items": {"type": kind}, "minItems": 2, "maxItems": 2}
    return WithJsonSchema({"anyOf": [{"type": kind}, pair]})


SecondsSpan = Annotated[tuple[float, float], BeforeValidator(_span(0, 3600, whole=False)), _span_schema("number")]
CountSpan = Annotated[tuple[int, int], BeforeValidator(_span(1, OPERATIONS_MAX, whole=True)), _span_schema("integer")]
IoSpan = Annotated[tuple[int, int], BeforeValidator(_span(1, IOS_MAX, whole=True)), _span_schema("integer")]
TypeBytes = Annotated[
    tuple[int, int], BeforeValidator(_span(TYPE_BYTES_MIN, 1_000_000, whole=True)), _span_schema("integer")
]


def _paths(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _exactly_one(value: object, keys: tuple[str, ...], what: str) -> object:
    if isinstance(value, Mapping) and (set(value) <= set(keys)) and len(value) != 1:
        fail(f"{what} needs exactly one key", f"write one of {', '.join(keys)}")
    return value


class Strict(BaseModel):
    """No unknown keys, no conversions, no infinity."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class RecordTypeModel(Strict):
    """A type of records of the user's own."""

    bytes: TypeBytes


def _own_type(name: object) -> object:
    if name in (PHOTO, *(each.name for each in PLAIN_TYPES)):
        fail(f"the type {name} has a form of its own", "choose another name; the share of photos is `photos`")
    return name


class WorkloadModel(Strict):
    """How much the phones do."""

    users: Annotated[int, Field(ge=1, le=500)] = _W.users
    devices_per_user: Annotated[int, Field(ge=1, le=10)] = _W.devices_per_user
    operations: Annotated[int, Field(ge=1, le=OPERATIONS_MAX)] = _W.operations
    rate_per_second: Annotated[float, Field(ge=0.1, le=10_000)] = _W.rate_per_second
    updates: Share = _W.updates
    deletes: Share = _W.deletes
    contended: Share = _W.contended
    photos: Share = _W.photos
    photo_bytes_min: PhotoBytes = _W.photo_bytes_min
    photo_bytes_max: PhotoBytes = _W.photo_bytes_max
    syncs: Share = _W.syncs
    resets: Annotated[int, Field(ge=0, le=1000)] = _W.resets
    request_seconds_max: Annotated[float, Field(ge=0.05, le=120)] = _W.request_seconds_max
    types: Annotated[dict[Annotated[Name, BeforeValidator(_own_type)], RecordTypeModel], Field(max_length=20)] = {}


def _known_phase(value: object) -> object:
    if isinstance(value, str) and value not in PHASES:
        fail(f"unknown phase {value!r}", did_you_mean(value, PHASES))
    return value


class TriggerModel(Strict):
    """When a fault starts: exactly one key; of flush and write also whose, and when. A range is drawn by the seed."""

    seconds: SecondsSpan | None = None
    seconds_after_previous: SecondsSpan | None = None
    acknowledged: CountSpan | None = None
    phase: Annotated[Literal["heal", "recover", "converge"] | None, BeforeValidator(_known_phase)] = None
    flush: IoSpan | None = None
    write: IoSpan | None = None
    lun: Text | None = None
    when: Literal["before", "after"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        counted, more = {"flush", "write"} & set(value), {"lun", "when"} & set(value)
        if counted and "lun" not in value:
            kind = min(counted)
            fail(f"at: {{{kind}: ...}} needs the LUN whose I/Os are counted", f"write {{{kind}: 12, lun: NAME}}")
        if more and not counted:
            fail(f"{' and '.join(sorted(more))} belong to flush or write", "write {flush: 12, lun: NAME}")
        _exactly_one({key: value[key] for key in value if key not in more}, TRIGGERS, "at")
        return value


class TargetModel(Strict):
    """Where a fault strikes: exactly one key, of the forms of target that the faults take."""

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return _exactly_one(value, tuple(cls.model_fields), "a target")


class ScheduledFaultModel(BaseModel):
    """One fault; every other key is a parameter of the fault."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)

    fault: Text
    target: TargetModel
    at: TriggerModel
    for_seconds: SecondsSpan | None = None


class StepModel(BaseModel):
    """One step of a script, for editors: a fault without a trigger, on the script's target unless it names one."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)

    fault: Text
    target: TargetModel | None = None
    for_seconds: SecondsSpan | None = None


class WaitModel(Strict):
    """Time between two steps of a script, for editors."""

    wait_seconds: SecondsSpan


class ChecksModel(Strict):
    """What is asked of the verdict."""

    rpo_seconds: Annotated[float, Field(ge=0, le=RPO_SECONDS_MAX)] = _C.rpo_seconds
    sessions: Literal["report", "strict"] = _C.sessions
    topology: Literal["report", "strict"] = _C.topology
    minimum_acknowledged: Annotated[int, Field(ge=1, le=OPERATIONS_MAX)] = _C.minimum_acknowledged
    require_mix: bool = _C.require_mix


class LimitsModel(Strict):
    """Bounds of the phases before and after the load, in seconds."""

    ready_seconds_max: Seconds = _L.ready_seconds_max
    recover_seconds_max: Seconds = _L.recover_seconds_max
    converge_seconds_max: Seconds = _L.converge_seconds_max
    door_seconds_max: Seconds = _L.door_seconds_max


FaultPatterns = Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=100)]


class SearchModel(Strict):
    """What `holdfast search` may draw."""

    faults: FaultPatterns = []
    one_of: FaultPatterns = []
    events: Annotated[int, Field(ge=1, le=12)] = _S.events


class FileModel(Strict):
    """What an experiment and a plan have in common."""

    why: Annotated[str, Field(max_length=4000)] = ""
    stack: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=4096)]],
        BeforeValidator(_paths),
        Field(min_length=1, max_length=10),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ]
    profiles: Annotated[list[Name], Field(max_length=20)] = []
    variables: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = {}
    driver: DriverForm | None = None
    workload: WorkloadModel = WorkloadModel()
    schedule: Annotated[list[ScheduledFaultModel], Field(max_length=100)] = []
    checks: ChecksModel = ChecksModel()
    limits: LimitsModel = LimitsModel()
    search: SearchModel = SearchModel()
    expect: Verdict = "HELD"


class ExperimentModel(FileModel):
    """An experiment file."""

    experiment: Name


class PlanModel(FileModel):
    """A plan file: an experiment with everything drawn."""

    plan: Name
    seed: Annotated[int, Field(ge=0, le=SEED_MAX)]
    driver_folder: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    images: dict[Name, Annotated[str, Field(min_length=1, max_length=4096)]] = {}
    actions: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    inputs: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    plants_loss: bool = False


M = TypeVar("M", bound=FileModel)
_SHAPES: Mapping[str, Any] = {
    "name": Text | None,
    "names": Annotated[list[Text], Field(min_length=1)] | None,
    "sets": Annotated[list[Annotated[list[Text], Field(min_length=1)]], Field(min_length=2, max_length=20)] | None,
    "flag": Literal[True] | None,
}
"""What stands behind the key of each form of target."""


@functools.cache
def target_model(forms: tuple[TargetForm, ...]) -> type[TargetModel]:
    """The model of a target that has one of these forms."""
    keys: dict[str, Any] = {form.key: (_SHAPES[form.shape], None) for form in forms}
    return create_model("TargetModel", __base__=TargetModel, __doc__=TargetModel.__doc__, **keys)


@functools.cache
def with_targets(model: type[M], forms: tuple[TargetForm, ...]) -> type[M]:
    """The model of a file in whose schedule targets have these forms."""
    return _with_entries(model, _aimed(ScheduledFaultModel, target_model(forms), ...))


def _with_entries(model: type[M], entry: Any) -> type[M]:
    entries = Annotated[list[entry], Field(max_length=100)]
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, schedule=(entries, []))


def _aimed(entry: type[BaseModel], target: Any, default: Any) -> Any:
    return create_model(entry.__name__, __base__=entry, __doc__=entry.__doc__, target=(target, default))


def json_schema(forms: tuple[TargetForm, ...]) -> dict[str, Any]:
    """The JSON Schema of an experiment file, for editors."""
    target: Any = target_model(forms)
    step: Any = _aimed(StepModel, target | None, None) | WaitModel
    script = create_model(
        "ScriptModel",
        __base__=Strict,
        __doc__="Several faults, each after the one before it; `chaos.experiment.steps` unrolls them.",
        target=(target | None, None),
        at=(TriggerModel, ...),
        steps=(Annotated[list[step], Field(min_length=1)], ...),
    )
    entry = _aimed(ScheduledFaultModel, target, ...) | script
    schema = _with_entries(ExperimentModel, entry).model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Holdfast experiment",
    }

"""A plan: an experiment with everything drawn. The same plan with the same images is the same trial.

Operations themselves are a pure function of (`Workload`, `seed`), see `chaos.workload.generator`, or stand in a file
beside the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from chaos.experiment.drivers import DriverChoice

Verdict = Literal["HELD", "VIOLATED", "INCONCLUSIVE"]
Parameter = str | int | float | bool | list[str] | dict[str, int] | None


ACTIONS_FILE = "actions.jsonl"
"""Beside a plan: what its users do."""
PHOTO = "photo"
"""The type of records that have a blob."""


@dataclass(frozen=True)
class RecordType:
    """A type of records without blobs.

    Attributes:
        bytes_min, bytes_max: Size of a version, of all its field values; 0: it has a form of its own.
    """

    name: str
    bytes_min: int = 0
    bytes_max: int = 0

    def size(self, pick: int) -> int:
        """The size that a number picks."""
        return self.bytes_min + pick % (self.bytes_max - self.bytes_min + 1)


PLAIN_TYPES = (RecordType("contact"), RecordType("calendar"), RecordType("todo"))
"""Those of a workload that names none."""


@dataclass(frozen=True)
class Workload:
    """How much the phones do. The mix is in shares of creates, updates and deletes.

    Attributes:
        types: Types of records of the user's own, if the workload names any.
    """

    users: int = 10
    devices_per_user: int = 2
    operations: int = 400
    rate_per_second: float = 200.0
    updates: float = 0.35
    deletes: float = 0.08
    contended: float = 0.2
    photos: float = 0.08
    photo_bytes_min: int = 50_000
    photo_bytes_max: int = 2_000_000
    syncs: float = 0.15
    resets: int = 2
    request_seconds_max: float = 2.0
    types: tuple[RecordType, ...] = ()

    @property
    def record_types(self) -> tuple[RecordType, ...]:
        """Of the records that are no photos."""
        return self.types or PLAIN_TYPES

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that is set, by name, as a plan file has it."""
        found = {name: value for name, value in vars(self).items() if name != "types"}
        if self.types:
            found["types"] = {each.name: {"bytes": [each.bytes_min, each.bytes_max]} for each in self.types}
        return found


@dataclass(frozen=True)
class Trigger:
    """When a fault starts: exactly one of seconds, seconds_after_previous, acknowledged, phase, flush, write is set.

    Attributes:
        seconds: After the load began.
        seconds_after_previous: After the fault before it in the schedule was over, and what it took down was back; of
            one that stays in force to the end of the load: after it took hold.
        acknowledged: At this many acknowledged creates, updates and deletes.
        phase: At the begin of this phase.
        flush, write: At this many flushes, or writes, that come to a LUN from the begin of the load on.
        lun: Of these two: whose.
        when: Of these two: before that I/O is applied, or right after it.
    """

    seconds: float | None = None
    seconds_after_previous: float | None = None
    acknowledged: int | None = None
    phase: str | None = None
    flush: int | None = None
    write: int | None = None
    lun: str | None = None
    when: Literal["before", "after"] | None = None

    @property
    def io(self) -> tuple[Literal["flush", "write"], int] | None:
        """The I/O at which it starts, as its kind and its number; None where it is another trigger."""
        if self.flush is not None:
            return "flush", self.flush
        return None if self.write is None else ("write", self.write)

    def __str__(self) -> str:
        """As "at ack 1,200", "at 3 s", "3 s after the fault before it", "right before flush 12 of pgdata"."""
        if self.io is not None:
            return f"right {self.when} {self.io[0]} {self.io[1]:,} of {self.lun}"
        if self.seconds_after_previous is not None:
            after = f"{self.seconds_after_previous:g} s" if self.seconds_after_previous else "right"
            return f"{after} after the fault before it"
        if self.acknowledged is not None:
            return f"at ack {self.acknowledged:,}"
        return f"at phase {self.phase}" if self.seconds is None else f"at {self.seconds:g} s"


Named = str | tuple[str, ...] | tuple[tuple[str, ...], ...] | Literal[True]
"""What a target names: one, several, several sets of them, or nothing but itself."""


@dataclass(frozen=True)
class Target:
    """Where a fault strikes, as in `target: {KEY: ...}`; the media define the keys."""

    key: str
    named: Named

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in it, in its order."""
        if self.named is True:
            return ()
        if isinstance(self.named, str):
            return (self.named,)
        return tuple(name for each in self.named for name in ((each,) if isinstance(each, str) else each))

    @property
    def sets(self) -> tuple[tuple[str, ...], ...]:
        """Its sets of names; a single name, or a list of them, is one set."""
        if self.named is True or isinstance(self.named, str) or all(isinstance(each, str) for each in self.named):
            return (self.names,)
        return tuple(each for each in self.named if isinstance(each, tuple))

    def __str__(self) -> str:
        """As the terminal shows it."""
        return self.key if self.named is True else " | ".join(", ".join(each) for each in self.sets)


@dataclass(frozen=True)
class ScheduledFault:
    """One fault of the schedule.

    Attributes:
        fault: Its registered name, e.g. "disk.power_cut".
        for_seconds: How long it stays in force; None: until the phase `heal`, or until it is over by itself. What is
            for good, as san.lose, stays: the operators come then and follow the runbook.
        parameters: The fault's own, by name.
    """

    fault: str
    target: Target
    at: Trigger
    for_seconds: float | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True)
class Checks:
    """What is asked of the verdict."""

    rpo_seconds: float = 0.0
    sessions: Literal["report", "strict"] = "report"
    topology: Literal["report", "strict"] = "report"
    minimum_acknowledged: int = 100
    require_mix: bool = True


@dataclass(frozen=True)
class Limits:
    """Bounds of the phases before and after the load, in seconds.

    Attributes:
        stated: Those that the experiment names. The others may grow with what the stack says that it needs.
    """

    ready_seconds_max: float = 60.0
    recover_seconds_max: float = 60.0
    converge_seconds_max: float = 30.0
    door_seconds_max: float = 60.0
    stated: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Every bound by its name."""
        return {name: value for name, value in vars(self).items() if name != "stated"}


@dataclass(frozen=True)
class Search:
    """What `holdfast search` may draw.

    Attributes:
        faults: Patterns of the names of faults, as "process.*": what the stack promises to survive; none here and none
            in `one_of`: all faults.
        one_of: The same, of faults of which it survives any one, on one array, LUN or service.
        events: Faults of a schedule at most.
    """

    faults: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    events: int = 3


@dataclass(frozen=True)
class Planting:
    """How a record is removed behind the back of a service: a command inside a service.

    Attributes:
        run: `{owner}` and `{record}` in it stand for whose record it is and what it is called.
    """

    service: str
    run: tuple[str, ...]

    def command(self, owner: str, record: str) -> tuple[str, ...]:
        """The command that removes this record."""
        return tuple(each.replace("{owner}", owner).replace("{record}", record) for each in self.run)


@dataclass(frozen=True)
class Plan:
    """A fully drawn experiment.

    Attributes:
        stack: Compose files; later ones are laid over the first as with `docker compose -f a -f b`.
        variables: For `${NAME:-default}` in the Compose files, before the process environment.
        driver: Overrides the stack's own where set.
        driver_folder: Where the module of a driver `module:Class` is looked for: the experiment's own folder.
        profiles: Compose profiles that are switched on.
        images: By service, the image that it runs in place of the stack's own, which is not built then.
        actions: The file of what users do, `chaos.workload.actions`; None: it is drawn from workload and seed.
        plants_loss: Whether a record is removed behind the service's back before the final reads; then the trial has to
            be VIOLATED, which shows that such a loss is seen.
        inputs: Of a run folder's plan, the list of what the run read; the files lie beside it.
        file: The experiment or plan that it was loaded from, as the user named it.
    """

    experiment: str
    why: str
    stack: tuple[Path, ...]
    seed: int
    workload: Workload
    schedule: tuple[ScheduledFault, ...]
    checks: Checks
    limits: Limits
    expect: Verdict = "HELD"
    driver: DriverChoice | None = None
    driver_folder: Path | None = None
    profiles: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    search: Search = Search()
    images: Mapping[str, str] = field(default_factory=dict)
    actions: Path | None = None
    inputs: Path | None = None
    plants_loss: bool = False
    file: Path | None = field(default=None, compare=False)

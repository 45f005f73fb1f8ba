"""The trials of a gate: counterexamples first, then planted losses, then the strata; each is a line of its folder.

One loss ends it. What was stopped goes on where it was: the lines say what is still to be run, and from which seed.
A trial that was under way when the gate was killed has no line, but a run folder with a history. It is counted as one
without a verdict; else a gate that is killed whenever a trial looks bad would try it until it looks good.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import orjson

from chaos.checks.classes import NOTED, OF_SESSIONS, VIOLATING
from chaos.checks.verdict import Judgement
from chaos.errors import HarnessError
from chaos.experiment.files import kind_of
from chaos.experiment.loader import DRAWN_SEED_MAX, load_plan
from chaos.experiment.plan import Plan
from chaos.faults import catalogue
from chaos.gate.counted import Counted, Part, bound_of, sensitivity_of, trials_left
from chaos.gate.policy import Counterexample, Experiment, Policy, Stratum
from chaos.history.events import PLANTED
from chaos.preflight.opening import Opened
from chaos.reporting.listener import Listener, Silent
from chaos.reporting.page.file import write_report
from chaos.reporting.progress.kept import KeptLines
from chaos.reporting.recall import proven_loss
from chaos.reporting.result import HISTORY_FILE, PLAN_FILE, TrialResult
from chaos.reporting.words import counted, one_line

TRIALS_FILE: Final = "trials.jsonl"
TRIALS_FOLDER: Final = "trials"
CRASHES_MAX: Final = 3
"""Calls one after the other that the harness ended, before the gate ends too."""
_TRIES_MAX: Final = 3
"""Trials at most for each counterexample and planted loss that is to count: some may crash."""
_BEGUN_MAX: Final = 1000
"""More trials than are ever under way at once."""
_LOST: Final = frozenset({"lost", "seen-then-lost"})
_MENDING: Final = ("heal", "recover", "converge")


class RunTrials(Protocol):
    """Runs trials, as `chaos.trials.run_trials` does."""

    def __call__(
        self,
        plans: Sequence[Plan],
        *,
        jobs: int,
        runs: Path,
        listeners: Sequence[Listener],
        stop_after: Callable[[TrialResult], bool],
        may_begin: Callable[[], bool],
    ) -> object:
        """Run them."""


class _Group(NamedTuple):
    """Trials that are counted together.

    Attributes:
        experiments: They take turns.
        left: How many are still to be run.
    """

    part: Part
    of: str
    experiments: Sequence[Experiment]
    left: Callable[[], int]


class Campaign:
    """The trials of one gate.

    Attributes:
        trials: Every line, those of earlier sessions too.
    """

    def __init__(
        self,
        policy: Policy,
        stacks: Mapping[str, Opened],
        folder: Path,
        seed: int,
        run_trials: RunTrials,
        *,
        jobs: int = 1,
        tell: Callable[[Counted], None] = lambda line: None,
        listeners: Sequence[Listener] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read what earlier sessions have run; nothing is run yet.

        Args:
            policy: What is to be run.
            stacks: Each stack of the policy.
            folder: Of the gate.
            seed: From which the seed of each trial is drawn.
            run_trials: Runs them.
            jobs: Stack copies at once.
            tell: Takes each trial when it is over.
            listeners: Hear what trials tell of themselves.
            clock: Counts seconds.
        """
        self._policy = policy
        self._stacks = stacks
        self._folder = folder
        self._seed = seed
        self._run_trials = run_trials
        self._jobs = jobs
        self._tell = tell
        self._listeners = listeners
        self._clock = clock
        self._begun = clock()
        self._crashes = 0
        self._lines = KeptLines(folder / TRIALS_FILE, Counted)
        self.trials: list[Counted] = [*self._lines.read()]

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be run: something was lost, or the time is used up."""
        minutes = self._policy.minutes
        late = minutes is not None and self._clock() - self._begun >= minutes * 60
        return late or self._is_lost

    @property
    def _is_lost(self) -> bool:
        return any(each.loses for each in self.trials)

    @property
    def seconds_left(self) -> float | None:
        """Of the time of the policy; None: it has no limit."""
        minutes = self._policy.minutes
        return None if minutes is None else max(0.0, minutes * 60 - (self._clock() - self._begun))

    def run(self) -> None:
        """Run all that is still to be run, and searches left out.

        Raises:
            UsageError: Something cannot be run.
            HarnessError: Anything but the service failed, several times; what was run until then is kept.
        """
        self._count_broken_off()
        for group in self._groups():
            self._until(group)

    def _groups(self) -> Iterator[_Group]:
        """In the order in which they are run."""
        for each in self._policy.counterexamples:
            left = partial(self._counterexamples_left, each)
            yield _Group("counterexample", str(each.experiment.file), (each.experiment,), left)
        for stack, experiments in self._policy.stacks.items():
            if self._stacks[stack].stack.planting is not None:
                yield _Group("planted", stack, experiments, partial(self._planted_left, stack))
        for stratum in self._policy.strata:
            yield _Group("stratum", stratum.name, stratum.experiments, partial(self._stratum_left, stratum))

    def take(self, line: Counted) -> None:
        """Keep what came of a trial."""
        self._lines.add(line)
        self.trials.append(line)
        self._tell(line)

    def _counterexamples_left(self, counterexample: Counterexample) -> int:
        """Those that are wanted; further ones where some come to no verdict, within bounds."""
        name = str(counterexample.experiment.file)
        run = [each for each in self.trials if (each.part, each.of) == ("counterexample", name)]
        held = sum(each.outcome == "HELD" for each in run)
        return max(0, min(counterexample.times - held, counterexample.times * _TRIES_MAX - len(run)))

    def _planted_left(self, stack: str) -> int:
        run = sum(each.part == "planted" and each.of == stack for each in self.trials)
        missing = self._policy.planted - sensitivity_of(self._policy, stack, self.trials).planted
        return max(0, min(missing, self._policy.planted * _TRIES_MAX - run))

    def _stratum_left(self, stratum: Stratum) -> int:
        return trials_left(self._policy, bound_of(self._policy, stratum, self.trials))

    def _until(self, group: _Group) -> None:
        """Run trials of a group until none is left or the gate is over."""
        while not self.is_over and (count := group.left()):
            first = self._next_number(group)
            numbers = range(first, first + count)
            plans = [self._plan(group, number) for number in numbers]
            self._call(_Batch(self, group.part, group.of, numbers, self._folder), plans)

    def _next_number(self, group: _Group) -> int:
        return (
            max((each.number for each in self.trials if (each.part, each.of) == (group.part, group.of)), default=0) + 1
        )

    def _plan(self, group: _Group, number: int) -> Plan:
        """Experiments take turns, each trial with a seed of its own."""
        plan = group.experiments[(number - 1) % len(group.experiments)].plan(self._seed_of(group, number))
        return replace(plan, plants_loss=True) if group.part == "planted" else plan

    def _seed_of(self, group: _Group, number: int) -> int:
        return random.Random(f"{self._seed}/{group.part}/{group.of}/{number}").randint(1, DRAWN_SEED_MAX)

    def _count_broken_off(self) -> None:
        """Count the trials that have a history and no line."""
        for run_dir in without_a_line(self._folder, self.trials):
            plan = load_plan(run_dir / PLAN_FILE, catalogue())
            for group in self._groups():
                if (number := self._number_of(plan, group)) is not None:
                    why = "it was under way when the gate was killed"
                    self.take(broken_off(group.part, group.of, number, plan, run_dir, self._folder, why))
                    break

    def _number_of(self, plan: Plan, group: _Group) -> int | None:
        """Which trial of a group that was to be run next this plan is; None: it is none of them."""
        first, only = self._next_number(group), group.experiments[0].file
        if group.part == "counterexample" and kind_of(only) == "plan":  # it has a seed of its own
            wanted = group.experiments[0].plan(0)
            return first if (wanted.experiment, wanted.seed) == (plan.experiment, plan.seed) else None
        taken = {each.number for each in self.trials if (each.part, each.of) == (group.part, group.of)}
        numbers = (number for number in range(1, first + _BEGUN_MAX) if number not in taken)
        return next((number for number in numbers if self._seed_of(group, number) == plan.seed), None)

    def _call(self, batch: _Batch, plans: Sequence[Plan]) -> None:
        try:
            self._run_trials(
                plans,
                jobs=self._jobs,
                runs=self._folder / TRIALS_FOLDER,
                listeners=[batch, *self._listeners],
                stop_after=lambda result: self._is_lost,
                may_begin=lambda: not self.is_over,
            )
            self._crashes = 0
        except HarnessError:
            self._crashes += 1
            if self._crashes == CRASHES_MAX:
                raise
        if batch.error is not None:  # a run goes on without a listener that fails; a gate has nothing to go on with
            raise batch.error


class _Batch(Silent):
    """Keeps the trials of one call as lines; the batch knows which numbers they have."""

    def __init__(self, campaign: Campaign, part: Part, of: str, numbers: Sequence[int], folder: Path) -> None:
        self._campaign = campaign
        self._part: Part = part
        self._of = of
        self._numbers = numbers
        self._folder = folder
        self._under_way: dict[Path, tuple[int, Plan, float]] = {}
        self.error: Exception | None = None

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        self._under_way[run_dir] = (self._numbers[trial - 1], plan, time.monotonic())

    def finished(self, result: TrialResult) -> None:
        number, _, begun = self._under_way.pop(result.run_dir)
        try:
            seconds = time.monotonic() - begun
            line = observed(self._part, self._of, number, result, self._folder, seconds)
            self._campaign.take(line)
            if line.loses:
                write_report(result)
        except Exception as error:
            self.error = error
            raise

    def failed(self, error: BaseException) -> None:
        """Whatever ended trials that were under way, they are counted: a loss may take its time."""
        for run_dir, (number, plan, begun) in self._under_way.items():
            why = one_line(str(error)) or type(error).__name__
            seconds = time.monotonic() - begun
            self._campaign.take(broken_off(self._part, self._of, number, plan, run_dir, self._folder, why, seconds))
        self._under_way.clear()


def without_a_line(campaign: Path, lines: Sequence[Counted]) -> list[Path]:
    """Run folders of trials that had begun when the gate in the folder `campaign` was killed: they have no line."""
    known = {each.folder for each in lines}
    begun = (history.parent for history in sorted((campaign / TRIALS_FOLDER).glob(f"*/{HISTORY_FILE}")))
    return [each for each in begun if not each.is_symlink() and _folder_in(campaign, each) not in known]


def observed(part: Part, of: str, number: int, result: TrialResult, campaign: Path, seconds: float = 0.0) -> Counted:
    """A finished trial as a line of the gate in the folder `campaign`."""
    planted, judgement = _planted(result.plan, result.run_dir), result.judgement
    operations = {} if judgement is None else judgement.operations
    total = sum(operations.values())
    return Counted(
        part,
        of,
        number,
        result.plan.seed,
        result.verdict,
        why=result.reason,
        folder=_folder_in(campaign, result.run_dir),
        experiment=result.plan.experiment,
        planted=planted,
        seen=planted in _named(judgement, _LOST),
        beside=_beside(result, planted) if result.plan.plants_loss and result.verdict == "VIOLATED" else "",
        recover_seconds=round(sum(result.phases.get(name, 0.0) for name in _MENDING), 3),
        indeterminate_share=round(operations.get("info", 0) / total, 6) if total else None,
        seconds=round(seconds, 3),
        images=dict(result.images),
        not_covered=tuple(result.not_covered),
    )


def broken_off(
    part: Part, of: str, number: int, plan: Plan, run_dir: Path, campaign: Path, why: str, seconds: float = 0.0
) -> Counted:
    """A trial that was not run to its end as a line; where its history was, and proves a loss, that counts."""
    if (result := proven_loss(run_dir)) is not None:
        return observed(part, of, number, result, campaign, seconds)
    return Counted(
        part,
        of,
        number,
        plan.seed,
        "crashed",
        why=why,
        folder=_folder_in(campaign, run_dir),
        experiment=plan.experiment,
        planted=_planted(plan, run_dir),
        seconds=round(seconds, 3),
    )


def _folder_in(campaign: Path, run_dir: Path) -> str:
    """A run folder as seen from that of the gate."""
    return str(run_dir.resolve().relative_to(campaign.resolve()))


def _planted(plan: Plan, run_dir: Path) -> str:
    """OWNER/RECORD that was removed behind the service's back; empty for none. The history may be cut short."""
    path = run_dir / HISTORY_FILE
    if not plan.plants_loss or not path.is_file():
        return ""
    with path.open("rb") as lines:
        for line in lines:
            if PLANTED.encode() in line and line.endswith(b"\n"):
                event = orjson.loads(line)
                if (event["event"], event.get("topic")) == ("note", PLANTED):
                    return str(event["text"])
    return ""


def _named(judgement: Judgement | None, classes: Collection[str]) -> list[str]:
    """OWNER/RECORD of every record of these classes that has a life story."""
    records = [] if judgement is None else judgement.records
    return [f"{each.owner}/{each.record}" for each in records if set(each.classes) & set(classes)]


def _beside(result: TrialResult, planted: str) -> str:
    """What is violated beside the planted loss, in words; all of it where none was planted or none is named."""
    judgement = result.judgement
    named = _named(judgement, (*VIOLATING, *OF_SESSIONS))
    others = [name for name in named if name != planted]
    noted = [] if judgement is None else [name for name in NOTED if judgement.anomalies.get(name)]
    if noted:
        return ", ".join(noted)
    if others:
        return f"{counted(len(others), 'record')} beside the planted one, the first {others[0]}"
    return "" if planted in named else result.reason

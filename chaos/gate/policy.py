"""A policy as a file has it: what a gate runs, and what it asks of that."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from chaos.errors import Problem, SourceError, UsageError
from chaos.experiment.explain import problems_of
from chaos.experiment.files import kind_of, yaml_files
from chaos.experiment.loader import load_trials
from chaos.experiment.plan import Plan
from chaos.experiment.source import Document, find, plain, read
from chaos.faults import catalogue
from chaos.gate.schema import PolicyModel, StratumModel
from chaos.gate.statistics import sensitivity_limit, trials_needed
from chaos.preflight.opening import Opened, open_experiment, open_plans
from chaos.search.shrink import COUNTEREXAMPLE_FILE

COUNTEREXAMPLES_FOLDER: Final = "counterexamples"
"""Beside a policy: what is run first where the policy names nothing."""
_TIMES_MAX: Final = 10


@dataclass(frozen=True)
class Experiment:
    """An experiment as a policy runs it.

    Attributes:
        stack: Compose files in the place of its own; None: its own.
        variables: Likewise.
        require_mix: Whether HELD needs the whole mix; None: as the experiment has it.
        images: By service, what it runs in place of its own image.
    """

    file: Path
    stack: tuple[Path, ...] | None = None
    variables: Mapping[str, str] | None = field(default=None, repr=False)
    require_mix: bool | None = None
    images: Mapping[str, str] = field(default_factory=dict)

    def plan(self, seed: int) -> Plan:
        """The plan of one trial; a plan has its own seed.

        Raises:
            UsageError: It cannot be loaded.
        """
        is_plan = kind_of(self.file) == "plan"
        return self._changed(load_trials(self.file, None if is_plan else seed, 1, catalogue())[0])

    def opened(self) -> Opened:
        """It with its stack and its driver.

        Raises:
            UsageError: It cannot be run.
        """
        is_plan = kind_of(self.file) == "plan"
        opened = open_experiment(self.file, None if is_plan else 0, images=self.images)
        if self.variables is None and self.stack is None:
            return opened
        return open_plans([self._changed(each) for each in opened.plans], os.environ)

    def _changed(self, plan: Plan) -> Plan:
        if self.require_mix is not None:
            plan = replace(plan, checks=replace(plan.checks, require_mix=self.require_mix))
        plan = replace(plan, images={**plan.images, **self.images})
        if self.stack is not None:
            plan = replace(plan, stack=self.stack, inputs=None, expect="HELD")
        return plan if self.variables is None else replace(plan, variables=self.variables, expect="HELD")


@dataclass(frozen=True)
class Counterexample:
    """What has lost records once, and must not any more.

    Attributes:
        times: How often it has to be HELD: what came again now and then has to be looked at several times.
    """

    experiment: Experiment
    times: int


@dataclass(frozen=True)
class Stratum:
    """Experiments of one stack whose trials are counted together.

    Attributes:
        trials: At most so many, inconclusive ones too.
        stack: What the stack is called in this policy.
    """

    name: str
    experiments: tuple[Experiment, ...]
    trials: int
    loss_probability_max: float
    stack: str


@dataclass(frozen=True)
class Searching:
    """A search that must find nothing; it bounds nothing."""

    name: str
    experiment: Experiment
    trials: int
    minutes: float | None
    guided: bool


@dataclass(frozen=True)
class Regression:
    """What is a NO-GO beside an earlier gate; None: it is only shown."""

    recover_seconds_factor_max: float | None = None
    indeterminate_share_more_max: float | None = None
    loss_bound_factor_max: float | None = None


@dataclass(frozen=True)
class Policy:
    """What a gate runs, and what it asks of that.

    Attributes:
        confidence: Of each bound.
        test: "exact": all trials of a stratum are run. "sequential": it ends as soon as its bound is reached.
        inconclusive_share_max: Of the trials of a stratum; more is no decision.
        minutes: After so many nothing new begins.
        counterexamples: They are run before all else.
        planted: Losses on each stack.
    """

    name: str
    why: str
    confidence: float
    test: Literal["exact", "sequential"]
    inconclusive_share_max: float
    minutes: float | None
    counterexamples: tuple[Counterexample, ...]
    strata: tuple[Stratum, ...]
    searches: tuple[Searching, ...]
    planted: int
    regression: Regression

    @property
    def stacks(self) -> Mapping[str, tuple[Experiment, ...]]:
        """Every stack with the experiments that have it."""
        found: dict[str, tuple[Experiment, ...]] = {}
        for stratum in self.strata:
            found[stratum.stack] = (*found.get(stratum.stack, ()), *stratum.experiments)
        return found

    def stack_of(self, part: str, of: str) -> str | None:
        """The stack of the trials that are counted as this; None: of a counterexample or a search, which have another.

        Args:
            part: As `Counted.part`.
            of: As `Counted.of`.
        """
        if part == "planted":
            return of
        return next((each.stack for each in self.strata if (part, each.name) == ("stratum", of)), None)


def load_policy(path: Path, images: Mapping[str, str] | None = None) -> tuple[Policy, Mapping[str, Opened]]:
    """Load a policy, and open everything that it names.

    Args:
        path: The file.
        images: By service, what it runs in place of its own image, in every stack that has this service.

    Returns:
        The policy, and of each of its stacks one experiment with it.

    Raises:
        UsageError: With every problem of the policy and of what it names.
    """
    document = read(path)
    try:
        model = PolicyModel.model_validate(plain(document.root, text_at=lambda loc: "variables" in loc))
    except ValidationError as error:
        raise SourceError(problems_of(error, PolicyModel, document.root), document.text) from None
    loading = _Loading(document, path, model, images or {})
    policy = loading.policy()
    loading.require_sound()
    return policy, loading.stacks


class _Loading:
    """A policy whose shape is right on its way to one that can be run; collects every problem."""

    def __init__(self, document: Document, path: Path, model: PolicyModel, images: Mapping[str, str]) -> None:
        self._document = document
        self._path = path
        self._model = model
        self._images = images
        self._unused = dict(images)
        self._problems: list[Problem] = []
        self._wrong: list[UsageError] = []
        self._names: dict[object, str] = {}
        self._known: dict[object, tuple[Experiment, Opened] | None] = {}
        self.stacks: dict[str, Opened] = {}

    def require_sound(self) -> None:
        if self._unused and not self._wrong:
            self._wrong.append(UsageError(f"no stack of {self._path} has a service {', '.join(self._unused)}"))
        own = [SourceError(self._problems, self._document.text)] if self._problems else []
        if own or self._wrong:
            raise SourceError.of_all([*own, *self._wrong], str(self._path))

    def policy(self) -> Policy:
        model = self._model
        return Policy(
            name=model.policy,
            why=model.why,
            confidence=model.confidence,
            test=model.test,
            inconclusive_share_max=model.inconclusive_share_max,
            minutes=model.minutes,
            counterexamples=tuple(self._counterexamples()),
            strata=tuple(self._stratum(name, each) for name, each in model.strata.items()),
            searches=tuple(self._searches()),
            planted=model.sensitivity.trials,
            regression=Regression(**model.regression.model_dump()),
        )

    def _stratum(self, name: str, model: StratumModel) -> Stratum:
        probability = model.loss_probability_max or self._model.loss_probability_max
        self._require_trials(name, model.trials, probability)
        files = None if model.stack is None else self._compose_files(model.stack)
        experiments: list[Experiment] = []
        stacks: list[str] = []
        for i, file in enumerate(model.experiments):
            found = self._opened(Experiment(self._place(file), files, model.variables, model.require_mix))
            if found is None:
                continue
            each, opened = found
            experiments.append(each)
            stacks.append(self._stack(opened))
            where = ("strata", name, "experiments", i)
            if kind_of(each.file) == "plan":
                message = f"{each.file} is a plan, so all of its trials would be the same draw"
                self._problem(where, message, "name the experiment that it was drawn from; plans go to counterexamples")
            elif opened.plans[0].expect != "HELD":
                message = f"{each.file} expects {opened.plans[0].expect}, and a gate is to find that nothing is lost"
                self._problem(where, message, "take it out, or give `variables` or a `stack` with which it must hold")
            elif stacks[-1] != stacks[0]:
                message = f"{each.file} has another stack than the first experiment of this stratum"
                self._problem(where, message, "give it a stratum of its own: what is planted differs by stack")
        return Stratum(name, tuple(experiments), model.trials, probability, stacks[0] if stacks else "")

    def _require_trials(self, name: str, trials: int, probability: float) -> None:
        planted, confidence = self._model.sensitivity.trials, self._model.confidence
        needed = trials_needed(probability, sensitivity_limit(planted, planted, confidence), confidence)
        if needed is not None and trials < needed:
            message = f"{trials} trials cannot bound a loss at {probability:g} with confidence {confidence:g}"
            hint = f"{needed} can, if all {planted} planted losses are seen; or a larger loss_probability_max"
            self._problem(("strata", name, "trials"), message, hint)

    def _stack(self, opened: Opened) -> str:
        """What its stack is called: by its own name, numbered where the policy has another one of that name."""
        plan, name = opened.plans[0], opened.stack.name
        key = (
            plan.stack,
            plan.profiles,
            tuple(sorted(plan.variables.items())),
            repr(plan.driver or opened.stack.driver),
        )
        if key not in self._names:
            same = sum(each.stack.name == name for each in self.stacks.values())
            self._names[key] = f"{name}-{same + 1}" if same else name
            self.stacks[self._names[key]] = opened
        return self._names[key]

    def _searches(self) -> Iterator[Searching]:
        for name, model in self._model.searches.items():
            found = self._opened(Experiment(self._place(model.experiment)))
            if found is not None:
                yield Searching(name, found[0], model.trials, model.minutes, model.guided)

    def _counterexamples(self) -> Iterator[Counterexample]:
        named, seen = self._model.counterexamples, dict[Path, Experiment]()
        for i, each in enumerate([COUNTEREXAMPLES_FOLDER] if named is None else named):
            if isinstance(each, str):
                files, stack, variables = [each], None, None
            else:
                files, stack, variables = each.files, self._compose_files(each.stack), each.variables
            for path in map(self._place, files):
                for file in _runnable(path) if path.is_dir() or named is None else [path]:
                    asked = Experiment(file, stack, variables)
                    if seen.setdefault(file, asked) != asked:  # its trials are counted by its file
                        message = f"{file} is asked of two stacks"
                        self._problem(("counterexamples", i), message, "name it once; copy it to ask it of both")
                    elif (found := self._opened(asked)) is not None:
                        yield Counterexample(found[0], _times(file))

    def _compose_files(self, files: Sequence[str]) -> tuple[Path, ...]:
        return tuple(self._place(file).absolute() for file in files)

    def _opened(self, experiment: Experiment) -> tuple[Experiment, Opened] | None:
        """An experiment with the images of those services that its stack has; None: it cannot be run."""
        variables = None if experiment.variables is None else tuple(experiment.variables.items())
        key = (experiment.file, experiment.stack, variables, experiment.require_mix)
        if key not in self._known:
            self._known[key] = None
            try:
                opened = experiment.opened()
                images = {name: image for name, image in self._images.items() if name in opened.stack.services}
                if images:
                    experiment = replace(experiment, images=images)
                    opened = experiment.opened()
                self._unused = {name: image for name, image in self._unused.items() if name not in images}
                self._known[key] = (experiment, opened)
            except UsageError as error:
                self._wrong.append(error)
        return self._known[key]

    def _place(self, file: str) -> Path:
        return Path(os.path.normpath(self._path.parent / file))

    def _problem(self, loc: tuple[str | int, ...], message: str, hint: str) -> None:
        self._problems.append(find(self._document.root, loc)[1].problem(message, hint))


def _times(file: Path) -> int:
    """How often a counterexample is tried: a loss that comes again as often as was measured is seen with 95 %."""
    try:
        kept = json.loads((file.parent / COUNTEREXAMPLE_FILE).read_text(encoding="utf-8"))
        rate = kept["came_again"] / kept["measured"]
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):  # written by hand, or it never came again
        return 1
    if not 0 < rate < 1:
        return 1 if rate >= 1 else _TIMES_MAX
    return min(_TIMES_MAX, math.ceil(math.log(0.05) / math.log1p(-rate)))


def _runnable(folder: Path) -> Sequence[Path]:
    """Every plan and experiment in a folder and below it; of an unfinished one it is told what it lacks."""
    return [path for path in yaml_files(folder) if kind_of(path) in ("experiment", "unfinished", "plan")]

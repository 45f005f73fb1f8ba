"""What a file may say of a driver: `driver: {redis: {database: 1}}`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from chaos.errors import Problem, SourceError, UsageError
from chaos.experiment.drivers import DriverChoice, is_secret
from chaos.experiment.explain import problems_of
from chaos.experiment.source import Loc, Node, find, tree
from chaos.history.events import Policy
from chaos.workload.session import Session


@dataclass(frozen=True)
class Misfit:
    """What an option says and the stack's `conflict` contradicts.

    Attributes:
        loc: Of the option, within the driver's options.
        message: What does not fit, and what comes of it.
        hint: What to do.
        is_fatal: Whether no service can be described so; else it is worth a warning.
    """

    loc: Loc
    message: str
    hint: str
    is_fatal: bool = True


class DriverOptions(BaseModel):
    """Base of a driver's options: a class `Options` of the driver's class names each with its type and default.

    A session finds those of the file as `self.options`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def misfits(self, policy: Policy) -> Iterable[Misfit]:
        """What does not go together with `conflict: POLICY` of the stack. Nothing, unless a driver says so."""
        return ()


def with_options(driver: type[Session], choice: DriverChoice, policy: Policy | None = None) -> type[Session]:
    """The driver with the options of the file as its `options`.

    Args:
        driver: Its class.
        choice: What the file says.
        policy: The stack's `conflict`, which the options have to fit; None: not asked.

    Raises:
        UsageError: It takes none, or not these; every problem at once. No password is shown.
    """
    wanted: type[DriverOptions] | None = getattr(driver, "Options", None)
    if wanted is None:
        if choice.options:
            raise UsageError(f"driver {choice} takes no options; take out {', '.join(choice.options)}")
        return driver
    try:
        options = wanted.model_validate(dict(choice.options))
    except ValidationError as error:
        raise SourceError(problems_of(error, wanted, _written(choice), secret=_is_secret)) from error
    if fatal := [each for each in _misfits(options, policy) if each.is_fatal]:
        raise SourceError([_problem(each, choice) for each in fatal])
    return type(driver.__name__, (driver,), {"options": options, "__module__": driver.__module__})


def misfits_told(driver: type[Session], choice: DriverChoice, policy: Policy) -> list[str]:
    """Warnings of what does not go together in a driver that `with_options` gave, a line each."""
    found = _misfits(getattr(driver, "options", None), policy)
    problems = [_problem(each, choice) for each in found if not each.is_fatal]
    places = [f"{each.path}:{each.line}" if each.line else each.path for each in problems]
    return [f"{place}: {each.message}; {each.hint}" for place, each in zip(places, problems, strict=True)]


def _misfits(options: object, policy: Policy | None) -> Iterable[Misfit]:
    return options.misfits(policy) if policy is not None and isinstance(options, DriverOptions) else ()


def _problem(misfit: Misfit, choice: DriverChoice) -> Problem:
    return find(_written(choice), misfit.loc)[1].problem(misfit.message, misfit.hint)


def _written(choice: DriverChoice) -> Node:
    """The options as they stand in the file, or as a tree whose places are called after their keys."""
    written: Node | None = choice.written
    return written or tree(dict(choice.options), f"driver.{choice}")


def _is_secret(loc: Loc) -> bool:
    return is_secret(loc[-1:])

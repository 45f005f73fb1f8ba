"""What a file may say of a driver: `driver: {redis: {database: 1}}`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from chaos.errors import SourceError, UsageError
from chaos.experiment.drivers import DriverChoice
from chaos.experiment.explain import problems_of
from chaos.experiment.source import Loc, tree
from chaos.workload.session import Session


class DriverOptions(BaseModel):
    """Base of a driver's options: a class `Options` of the driver's class names each with its type and default.

    A session finds those of the file as `self.options`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


def with_options(driver: type[Session], choice: DriverChoice) -> type[Session]:
    """The driver with the options of the file as its `options`.

    Raises:
        UsageError: It takes none, or not these; every problem at once. No password is shown.
    """
    wanted: type[DriverOptions] | None = getattr(driver, "Options", None)
    if wanted is None:
        if choice.options:
            raise UsageError(f"driver {choice} takes no options; take out {', '.join(choice.options)}")
        return driver
    given = dict(choice.options)
    try:
        options = wanted.model_validate(given)
    except ValidationError as error:
        raise SourceError(problems_of(error, wanted, tree(given, f"driver.{choice}"), secret=_is_secret)) from error
    return type(driver.__name__, (driver,), {"options": options, "__module__": driver.__module__})


def _is_secret(loc: Loc) -> bool:
    return "password" in str(loc[-1:])

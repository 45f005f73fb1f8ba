"""What a request of the controller to the agent is; `wire` and `wire_states` have all there are."""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

R = TypeVar("R")


class Request(Generic[R]):
    """What the controller asks for; R is the reply.

    Attributes:
        do: Its name on the wire, and of the agent's method: `apply_luns` of `ApplyLuns`.
    """

    do: ClassVar[str]
    reply: ClassVar[type[Any]]

    def __init_subclass__(cls) -> None:
        """Read the reply's type from the class line: `class Attach(Request[Device])`."""
        base = next(each for each in cls.__orig_bases__ if typing.get_origin(each) is Request)  # type: ignore[attr-defined]
        (cls.reply,) = typing.get_args(base)
        cls.do = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        REQUESTS[cls.do] = cls


REQUESTS: dict[str, type[Request[Any]]] = {}
"""Every request by its name."""


@dataclass(frozen=True)
class Done:
    """The reply to a request that has nothing to tell."""

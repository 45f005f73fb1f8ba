"""How long a stack may take until it serves, by its own health checks.

An engine calls a service unhealthy when `retries` checks in a row, `interval` apart, have failed after its
`start_period`. Who depends on its health begins only then, so the times along a chain of `depends_on` add up.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from chaos.experiment.plan import Limits
from chaos.stack.spec import Service, Stack

WAITING = ("ready_seconds_max", "recover_seconds_max", "converge_seconds_max")
"""The limits within which services must get healthy."""
_SECONDS_MAX = 3600.0
"""The most that an experiment may state."""


def with_patience(limits: Limits, stack: Stack, before: Stack | None = None) -> Limits:
    """The limits with those that the experiment did not state grown to what the health checks ask for.

    One that is not the default was stated, too: in Python, or in a plan; but not one that had grown for the same stack
    `before` its images were known.
    """
    default = Limits().seconds
    known = [default, *([_grown(before)] if before is not None else [])]
    left = [
        name
        for name in WAITING
        if name not in limits.stated and any(limits.seconds[name] == each[name] for each in known)
    ]
    grown: dict[str, Any] = {name: _grown(stack)[name] for name in left}
    return dataclasses.replace(limits, **grown)


def _grown(stack: Stack) -> dict[str, float]:
    asked, default = min(_SECONDS_MAX, asked_for(stack)[0]), Limits().seconds
    return {name: max(default[name], asked) for name in WAITING}


def patience_warnings(limits: Limits, stack: Stack) -> list[str]:
    """One line for each stated limit that is shorter than what the health checks ask for."""
    asked, chain = asked_for(stack)
    return [
        f"limits.{name} {getattr(limits, name):g} is shorter than the {asked:g} s that the health "
        f"check{' of' if len(chain) == 1 else 's of'} {', then '.join(chain)} may take "
        "(start_period + retries * interval); a service that needs them is called unrecoverable"
        for name in WAITING
        if name in limits.stated and getattr(limits, name) < asked
    ]


def asked_for(stack: Stack) -> tuple[float, tuple[str, ...]]:
    """The longest time until every service is healthy, in seconds, and the services that it is made of."""

    @cache
    def begins(name: str) -> tuple[float, tuple[str, ...]]:
        """When a service is started at the latest, and by whom it was kept waiting."""
        needs = stack.services[name].depends_on.items()
        waits = [begins(on) if condition == "service_started" else ends(on) for on, condition in needs]
        return max(waits, default=(0.0, ()))

    @cache
    def ends(name: str) -> tuple[float, tuple[str, ...]]:
        """When it is healthy at the latest; how long a job may take, nobody has said."""
        seconds, chain = begins(name)
        own = 0.0 if stack.is_job(name) else _seconds(stack.services[name])
        return (seconds + own, (*chain, name)) if own else (seconds, chain)

    return max((ends(name) for name in stack.services), default=(0.0, ()))


def _seconds(service: Service) -> float:
    check = service.healthcheck
    return check.start_period_seconds + check.retries * check.interval_seconds if check is not None else 0.0

"""The health checks that images bring along, for services whose Compose file says nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chaos.errors import EngineError, UsageError
from chaos.stack.engine import images
from chaos.stack.engine.client import Engine
from chaos.stack.spec import Healthcheck, Stack

_USUAL = Healthcheck(("true",))
"""Whose times are the engine's defaults."""


def with_image_checks(client: Engine, stack: Stack, image_ids: Mapping[str, str]) -> Stack:
    """The stack with every health check whole; `image_ids` are by service.

    Raises:
        UsageError: Somebody waits for the health of a service that neither its image nor the file has a check for.
        EngineError: The engine does not know an image.
    """
    services = dict(stack.services)
    for name, service in stack.services.items():
        if service.healthcheck is None or service.healthcheck.test:
            continue
        image = images.find(client, image_ids[name])
        if image is None:
            raise EngineError(f"the image of {name} is gone; somebody removed it, so run again")
        check = check_of(service.healthcheck, image.healthcheck)
        waiting = [each.name for each in services.values() if each.depends_on.get(name) == "service_healthy"]
        if check is None and waiting:
            raise UsageError(
                f"{waiting[0]} waits for {name} to be healthy, and neither its image nor the Compose file has a check; "
                f"give {name} a healthcheck, or use service_started"
            )
        services[name] = replace(service, healthcheck=check)
    return replace(stack, services=services)


def check_of(given: Healthcheck, image: Mapping[str, Any]) -> Healthcheck | None:
    """The check of an image's configuration, with the times that were given instead of its own."""
    test = list(image.get("Test") or ())
    if not test or test[0] == "NONE":
        return None
    command = ("/bin/sh", "-c", *test[1:]) if test[0] == "CMD-SHELL" else tuple(test[1:])

    def seconds(key: str) -> float:
        return float(image.get(key) or 0) / 1e9

    return Healthcheck(
        command,
        given.interval_seconds or seconds("Interval") or _USUAL.interval_seconds,
        given.timeout_seconds or seconds("Timeout") or _USUAL.timeout_seconds,
        given.retries or int(image.get("Retries") or 0) or _USUAL.retries,
        given.start_period_seconds or seconds("StartPeriod"),
    )

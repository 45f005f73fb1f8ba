from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from chaos.stack.images.health import check_of
from chaos.stack.spec import Healthcheck

SECOND = 1_000_000_000
OWN = Healthcheck((), 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("given", "image", "whole"),
    [
        (OWN, {}, None),
        (OWN, {"Test": ["NONE"]}, None),
        (OWN, {"Test": ["CMD", "check", "it"]}, Healthcheck(("check", "it"), 30, 30, 3, 0)),
        (OWN, {"Test": ["CMD-SHELL", "check it"]}, Healthcheck(("/bin/sh", "-c", "check it"), 30, 30, 3, 0)),
        (
            OWN,
            {"Test": ["CMD", "x"], "Interval": SECOND, "Timeout": 2 * SECOND, "Retries": 4, "StartPeriod": 5 * SECOND},
            Healthcheck(("x",), 1, 2, 4, 5),
        ),
        (
            Healthcheck((), 10, 0, 40, 0),
            {"Test": ["CMD", "x"], "Interval": SECOND, "Timeout": 2 * SECOND, "Retries": 4},
            Healthcheck(("x",), 10, 2, 40, 0),
        ),
    ],
)
def test_a_check_of_an_image_has_the_times_of_the_compose_file_then_its_own_then_the_usual_ones(
    given: Healthcheck, image: Mapping[str, Any], whole: Healthcheck | None
) -> None:
    assert check_of(given, image) == whole

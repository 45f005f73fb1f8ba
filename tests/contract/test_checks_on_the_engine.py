"""Commands that are run inside a service to know whether it is healthy: how they end is told, and in time."""

from __future__ import annotations

import asyncio
import time

import pytest

from chaos.stack.engine import containers
from tests.contract.stage import Play, Scene

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]


def test_how_a_command_inside_ends_is_told_whatever_it_says_and_whatever_it_leaves_behind(play: Play) -> None:
    async def act(scene: Scene) -> None:
        async def ends_well(*command: str, seconds_max: float = 20.0) -> bool:
            box = scene.running.running["box"]
            return await asyncio.to_thread(containers.succeeds, scene.running._client, box, command, seconds_max)

        assert await ends_well("true")
        assert not await ends_well("false")
        assert not await ends_well("no-such-program")
        assert await ends_well("sh", "-c", "yes | head -c 3000000"), "more than anybody reads"
        assert not await ends_well("sleep", "60", seconds_max=1.0), "it is given up"
        began = time.monotonic()
        assert await ends_well("sh", "-c", "sleep 60 & exit 0")
        assert time.monotonic() - began < 20, "who stays behind with its output is not waited for"

    play(act)

"""One crash state after the other on one stack copy: none sees anything of the one before it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaos.agent.states import Crash
from chaos.stack.cache import in_agent, scratch_of
from chaos.stack.live.frames import Frames
from tests.contract.stage import DATA, Scene, greets, scene, service, stack_of

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]
_LEAVE = f"echo left > /left && echo left > {DATA}/left && sync {DATA}/left {DATA}"
_LEAVE_NAME = "echo 198.18.0.1 stranger >> /etc/hosts"
_SEES = (
    f"ls -d /left {DATA}/left 2> /dev/null; grep stranger /etc/hosts; awk 'NR > 1 {{print $3, $4}}' /proc/net/tcp; :"
)
"""Files, and connections that ended a moment ago with the port of whoever was there."""
_LISTENS = "00000000:0000 0A"


class States:
    """Recovers one and the same state of a scene again and again."""

    def __init__(self, at: Scene) -> None:
        self.at = at
        self.crashes: dict[str, Crash] = {}

    async def record(self) -> None:
        """Have a file on the LUN, and the log up to there."""
        folder = scratch_of(self.at.lab.run.id) / "log"
        folder.mkdir(parents=True, exist_ok=True)
        await self.at.running.disks.keep_logs()
        await self.at.does(f"echo recorded > {DATA}/recorded && sync {DATA}/recorded {DATA}")
        await self.at.running.disks.save_logs(in_agent(folder))
        self.crashes = {"disk": Crash(f"{in_agent(folder)}/{self.at.stack.luns['disk'].file_name}", 1 << 40, ())}

    async def next(self) -> set[str]:
        """Recover the state, and connect to its service, which remembers that; return what the service sees."""
        running = self.at.running
        await running.up_after_crash(self.at.lab.golden.bases(), self.crashes, 30.0)
        await greets(*running.service_door)
        assert await self.at.does(f"cat {DATA}/recorded; hostname") == f"recorded\n{running.hostnames['box']}"
        return set((await self.at.does(_SEES)).splitlines()) - {_LISTENS}

    @property
    def frame(self) -> str:
        """The container that keeps the network namespace."""
        frames = self.at.running._frames
        assert frames is not None
        return frames._frames["box"].container.id


def test_a_crash_state_sees_nothing_of_the_one_before_it(tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(stack_of(service()), tmp_path, repeats=True) as made:
            states = States(made)
            await states.record()
            frame, first = states.frame, await states.next()
            assert first, "the connection"
            await made.does(_LEAVE)
            second = await states.next()
            assert states.frame == frame, "nothing was left in it that could not be taken away"
            await made.does(_LEAVE_NAME)
            third = await states.next()
            assert states.frame != frame
            assert not first & second
            assert not (first | second) & third
            assert not any("left" in line or "stranger" in line for line in second | third)

    asyncio.run(act())


def test_what_is_left_in_a_network_namespace_would_be_seen_if_nobody_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tidy(frames: Frames, service: str) -> bool:
        return True

    async def act() -> None:
        monkeypatch.setattr(Frames, "tidy", tidy)
        async with scene(stack_of(service()), tmp_path, repeats=True) as made:
            states = States(made)
            await states.record()
            first = await states.next()
            await made.does(_LEAVE_NAME)
            second = await states.next()
            assert "198.18.0.1 stranger" in second
            assert first & second, "connections"

    asyncio.run(act())

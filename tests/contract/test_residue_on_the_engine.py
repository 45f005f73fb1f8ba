"""Nothing is left on the host, whoever dies, and a dead agent means I/O errors, never hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest

from chaos.agent.states import Fail, LunState
from chaos.agent.wire_states import ApplyLuns, CountIos
from chaos.errors import AgentError
from chaos.stack.agent import link as controllers_end
from chaos.stack.cache import cache_folder
from chaos.stack.cleanup.sweep import sweep
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import OWNER_LABEL, Run
from chaos.stack.images.images import ensure_agent_image
from tests.contract.stage import DATA, scene, stack_of
from tests.residue import GUARD, command_line, wait_until_clean

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

ROOT = Path(__file__).resolve().parents[2]
CONTROLLER = "tests.contract.controller"


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    with closing(connect()) as client:
        yield client


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds a stack with a power cut, I/O errors, a hang, a stall, a pause and a partition in force."""
    process = subprocess.Popen(
        [sys.executable, "-m", CONTROLLER, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in force\n"
        yield process
        process.kill()


def guard_of(pid: int) -> int:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == pid and GUARD in command_line(int(stat.parts[2])):
                return int(stat.parts[2])
    raise LookupError(f"process {pid} has no guard")


def test_kill_9_of_the_controller_leaves_nothing_10_s_later(controller: subprocess.Popen[bytes]) -> None:
    guard = guard_of(controller.pid)
    controller.kill()
    controller.wait()
    assert wait_until_clean(seconds_max=10) == frozenset()
    assert GUARD not in command_line(guard)


def test_kill_9_of_controller_and_guard_is_clean_after_the_next_sweep(controller: subprocess.Popen[bytes]) -> None:
    os.kill(guard_of(controller.pid), signal.SIGKILL)
    controller.kill()
    controller.wait()
    sweep(all_=False)
    assert wait_until_clean(seconds_max=5) == frozenset()
    assert sweep(all_=False).failed == []


def test_kill_9_of_the_agent_alone_leaves_nothing_either(
    controller: subprocess.Popen[bytes], client: docker.DockerClient
) -> None:
    """The controller is told, and can end; what hung has failed, and what was paused can be removed."""
    [agent] = [
        each["Id"]
        for each in client.api.containers()
        if f":{controller.pid}:" in each["Labels"].get(OWNER_LABEL, "") and each["Names"][0].endswith("-agent")
    ]
    client.api.kill(agent)
    assert controller.stdin is not None
    controller.stdin.close()
    controller.wait(30)
    assert wait_until_clean(seconds_max=10) == frozenset()


def test_an_exception_leaves_nothing_either(tmp_path: Path) -> None:
    async def broken() -> None:
        async with scene(stack_of(), tmp_path):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(broken())


def test_an_agent_that_nobody_greets_goes_by_itself(client: docker.DockerClient) -> None:
    wait_for_the_end_of_a_lonely_agent(client, hello=False)


def test_an_agent_whose_controller_falls_silent_goes_by_itself(
    client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controllers_end, "_BEAT_SECONDS_MAX", 2.0)
    wait_for_the_end_of_a_lonely_agent(client, hello=True)


def wait_for_the_end_of_a_lonely_agent(client: docker.DockerClient, *, hello: bool) -> None:
    """Launch an agent, greet it or not, keep its socket open, and wait for the end of its container, within 15 s."""
    cache = cache_folder()
    (cache / "scratch").mkdir(exist_ok=True)
    run = Run.begin(0)
    with controllers_end._door(f"{cache}/scratch", run) as door:
        container = controllers_end._launch(client, ensure_agent_image(client).id, run, str(cache))
        door.settimeout(15)
        link, _ = door.accept()
    with closing(link):
        if hello:
            link.sendall(b'{"id": 1, "do": "beat"}\n')
        with contextlib.suppress(docker.errors.NotFound):  # gone before we asked
            client.api.wait(container, timeout=15)


def test_a_killed_agent_means_io_errors_and_a_named_error_never_a_hang(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    async def act() -> None:
        async with scene(stack_of(), tmp_path) as made:
            agent = made.running.agent
            await made.does(f"echo kept > {DATA}/kept && sync {DATA}/kept")
            client.api.kill(agent.container)
            async with asyncio.timeout(10):
                await agent.lost.wait()
            code, words = await made.tries(f"dd if={DATA}/kept of=/dev/null iflag=direct status=none")
            assert (code, "Input/output error" in words) == (1, True), words
            with pytest.raises(AgentError, match="the agent is gone"):
                await agent.call(CountIos(("disk",)))

    asyncio.run(act())


def test_the_lease_of_a_rule_ends_by_itself(tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(stack_of(), tmp_path) as made:
            read = f"dd if={DATA}/kept of=/dev/null iflag=direct status=none"
            await made.does(f"echo kept > {DATA}/kept && sync {DATA}/kept")
            wanted = LunState(effects=(Fail(frozenset({"read"})),))
            await made.running.agent.call(ApplyLuns({"disk": wanted}, lease_seconds=1.5))
            code, _ = await made.tries(read)
            assert code == 1
            assert (await made.heard("lease-ended")).targets == ("disk",)
            await made.does(read)

    asyncio.run(act())

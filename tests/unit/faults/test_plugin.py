"""A medium and a fault of somebody else's package, by an entry point alone: from `validate` to verdict and page."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from chaos.checks.verdict import judge
from chaos.errors import SourceError, UsageError
from chaos.experiment.loader import load, write_plan
from chaos.experiment.plan import Plan
from chaos.faults import catalogue, known_faults, registry
from chaos.faults.injector import Injector
from chaos.faults.live import Surroundings
from chaos.history.events import Event, FaultEvent
from chaos.history.reader import read_history
from chaos.history.recorder import Recorder
from chaos.preflight.preview import preview
from chaos.preflight.targets import check_targets
from chaos.reporting.page.file import write_report
from chaos.reporting.recall import recall
from chaos.stack.agent.link import Agent
from chaos.stack.live.roles import Roles
from tests.plugins.installed import installed
from tests.unit.checks.files import with_header, written
from tests.unit.checks.test_verdict import clean
from tests.unit.faults.test_injector import stack

ROOT = Path(__file__).parents[3]
EXPERIMENT = """\
experiment: fills_up
stack: compose.yaml
schedule:
  - fault: space.fill
    target: {folder: "db:/data"}
    at: {phase: converge}
    mebibytes: 2
"""
COMPOSE = """\
services: {db: {image: x, ports: ["1"], volumes: ["data:/data"]}}
volumes: {data: {}}
x-chaos: {arrays: {core: {luns: {data: {size: 32M}}}}, front_door: "db:1"}
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package is installed, and forgotten afterwards."""
    own = dict(known_faults())
    folder = installed(tmp_path / "site")
    monkeypatch.syspath_prepend(str(folder))
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_FAULTS", own)
        registry._load.cache_clear()
        yield folder
    sys.modules.pop("tests.plugins.space", None)
    registry._load.cache_clear()


def drawn(folder: Path, text: str = EXPERIMENT) -> Plan:
    (folder / "compose.yaml").write_text(COMPOSE)
    (folder / "e.yaml").write_text(text)
    return load(folder / "e.yaml", 1, catalogue())


class Shell:
    """The service's shell: keeps what was run, and says how large the file is."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ran: list[str] = []

    async def execute(self, service: str, command: Sequence[str], seconds_max: float) -> tuple[int, str]:
        self.ran.append(f"{service}: {' '.join(command)}")
        return 0, str(self.size) if command[0] == "stat" else ""


def strike(plan: Plan, shell: Shell, folder: Path) -> list[FaultEvent]:
    """Inject the plan's one fault and heal it; what the injector told."""
    told: list[FaultEvent] = []

    async def scene() -> None:
        recorder = Recorder(folder / "struck.jsonl")
        there, agent = stack(), cast(Agent, None)
        at = Surroundings(there, agent, Roles(there, agent), execute=shell.execute)

        async def mended() -> None: ...

        injector = Injector(plan.schedule, at, recorder, told.append, mended)
        await injector.enter_phase("converge")
        await injector.heal_all()
        recorder.abandon()

    asyncio.run(scene())
    return told


def test_its_targets_and_parameters_are_checked_with_their_places(plugin: Path, tmp_path: Path) -> None:
    assert drawn(tmp_path).schedule[0].parameters == {"mebibytes": 2}
    wrong = EXPERIMENT.replace("mebibytes: 2", "mebibytes: 0").replace("folder:", "array:")
    with pytest.raises(SourceError) as caught:
        drawn(tmp_path, wrong)
    assert "e.yaml:5:14: space.fill cannot strike an array" in str(caught.value)
    assert "e.yaml:7:16: mebibytes should be 1 to 1024, not '0'" in str(caught.value)


def test_its_target_must_be_in_the_stack(plugin: Path, tmp_path: Path) -> None:
    plan = drawn(tmp_path, EXPERIMENT.replace("db:/data", "nobody:/data"))
    with pytest.raises(SourceError, match="the stack has no folder nobody:/data"):
        check_targets(plan, stack(), tmp_path / "e.yaml")


def test_validate_tells_what_it_would_strike(plugin: Path, tmp_path: Path) -> None:
    lines = preview([drawn(tmp_path)], stack())
    assert any("space.fill db:/data" in line and "(strikes services db)" in line for line in lines)


def test_the_command_knows_it_where_its_package_is_installed(tmp_path: Path) -> None:
    drawn_with = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed(tmp_path / "site")), str(ROOT)])}
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    command = [
        sys.executable,
        "-c",
        "import sys; from chaos.cli import main; sys.exit(main())",
        "validate",
        str(tmp_path / "e.yaml"),
    ]
    with_it = subprocess.run(command, env=drawn_with, capture_output=True, text=True, check=False)
    without = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (with_it.returncode, "space.fill db:/data" in with_it.stdout) == (0, True), with_it.stderr
    assert (without.returncode, "unknown fault 'space.fill'" in without.stderr) == (64, True)


@pytest.mark.parametrize(("size", "verdict"), [(2 << 20, "HELD"), (1 << 20, "INCONCLUSIVE")])
def test_its_evidence_decides_on_the_verdict_and_stands_on_the_page(
    plugin: Path, tmp_path: Path, size: int, verdict: str
) -> None:
    plan, shell = drawn(tmp_path), Shell(size)
    told = strike(plan, shell, tmp_path)
    assert shell.ran[0] == "db: dd if=/dev/zero of=/data/taken-0 bs=1M count=2 status=none"
    assert shell.ran[-1] == "db: rm /data/taken-0"
    assert [event.happened for event in told] == ["injected", "healed"]
    events: list[Event] = with_header(clean(), faults=("space.fill",))
    events = [event for event in events if not isinstance(event, FaultEvent)]
    path = written([*events, *(replace(event, t=events[-2].t) for event in told)], tmp_path)
    judgement = judge(read_history(path))
    assert judgement.verdict == verdict
    write_plan(plan, tmp_path / "plan.yaml")
    result = recall(tmp_path, catalogue())
    assert (result.verdict, result.faults[0].evidence) == (verdict, {"filled_bytes": size})
    write_report(result)
    page = (tmp_path / "report.html").read_text()
    assert "space.fill db:/data" in page
    assert f"filled bytes {size}" in page.replace(",", "")


def test_a_package_of_faults_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = installed(tmp_path)
    (folder / "holdfast_space-1.0.dist-info/entry_points.txt").write_text("[holdfast.faults]\nspace = no.such\n")
    monkeypatch.syspath_prepend(str(folder))
    registry._load.cache_clear()
    try:
        with pytest.raises(UsageError, match=r"the faults of space \(no\.such\) cannot be loaded: ModuleNotFoundError"):
            known_faults()
    finally:
        registry._load.cache_clear()

"""What goes wrong on the host or in the user's files: exit 3 or 64, one message with the remedy, nothing left."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import docker
import pytest

from chaos.errors import EXIT_HARNESS, EXIT_HELD, EXIT_USAGE
from chaos.experiment.loader import write_plan
from chaos.stack.engine.identity import ROLE_LABEL, RUN_LABEL
from tests.integration.command import Outcome, full_disk, holdfast, running
from tests.integration.plans import CORE, MINIMAL, plan_of, run_one, strike
from tests.residue import of_run

pytestmark = pytest.mark.engine
EXPERIMENT = """\
experiment: in_trouble
stack: {stack}
workload: {{operations: 100, rate_per_second: 200}}
schedule:
  - fault: process.kill
    target: {{service: gateway}}
    at: {{acknowledged: 40}}
    for_seconds: 1
checks: {{minimum_acknowledged: 20, require_mix: false}}
"""


def experiment(folder: Path, old: str = "", new: str = "", stack: Path = MINIMAL) -> Path:
    """A right experiment, or with one thing made wrong."""
    text = EXPERIMENT.format(stack=stack)
    assert old in text
    path = folder / "experiment.yaml"
    path.write_text(text.replace(old, new) if old else text)
    return path


def overlaid(folder: Path, overlay: str) -> Path:
    """A plan on the minimal stack with a file laid over it."""
    over = folder / "over.yaml"
    over.write_text(overlay)
    path = folder / "plan.yaml"
    write_plan(plan_of(stack=(MINIMAL, over)), path)
    return path


def assert_no_verdict(outcome: Outcome, code: int) -> str:
    """The document of a command that came to no verdict; returns its reason."""
    assert outcome.code == code, outcome.stderr
    assert outcome.document["verdict"] is None
    assert outcome.document["exit_code"] == code
    reason = outcome.document["reason"]
    assert isinstance(reason, str)
    assert reason.splitlines()[0] in outcome.stderr
    assert "Traceback" not in outcome.stderr
    if outcome.document["run_dir"] is not None:
        assert not of_run(outcome.run_id)
    return reason


def test_a_port_in_use_is_named_with_the_remedy(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        plan = overlaid(tmp_path, f'services: {{gateway: {{ports: ["127.0.0.1:{port}:8080"]}}}}\n')
        outcome = holdfast("run", plan, "--json", cwd=tmp_path)
    reason = assert_no_verdict(outcome, EXIT_HARNESS)
    assert str(port) in reason
    assert "free that port" in reason


def test_an_image_that_does_not_build_shows_the_last_lines_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "Dockerfile").write_text(
        "FROM debian:bookworm-slim\nRUN echo nearly there && ls /no-such-folder\n"
    )
    plan = overlaid(tmp_path, f"services: {{gateway: {{build: {tmp_path}/broken}}}}\n")
    reason = assert_no_verdict(holdfast("run", plan, "--json", cwd=tmp_path), EXIT_HARNESS)
    assert "does not build" in reason
    assert "nearly there" in reason
    assert "/no-such-folder" in reason
    assert f"correct {tmp_path / 'broken' / 'Dockerfile'}" in reason


def test_a_service_that_never_starts_shows_its_last_words(tmp_path: Path) -> None:
    plan = overlaid(tmp_path, 'services: {gateway: {command: [sh, -c, "echo no licence >&2; exit 7"]}}\n')
    reason = assert_no_verdict(holdfast("run", plan, "--json", cwd=tmp_path), EXIT_HARNESS)
    assert "gateway ended with code 7" in reason
    assert "no licence" in reason


def test_without_an_engine_the_address_and_the_remedy_are_told(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/no.sock"
    outcome = holdfast("run", experiment(tmp_path), "--json", cwd=tmp_path, environment={"DOCKER_HOST": address})
    reason = assert_no_verdict(outcome, EXIT_HARNESS)
    assert address in reason
    assert "DOCKER_HOST names this one: unset it" in reason


@pytest.mark.parametrize(
    ("old", "new", "place", "told"),
    [
        ("target: {service: gateway}", "target: {service: gatway}", "6:23", "gateway"),
        ("process.kill", "process.kil", "5:12", "did you mean process.kill?"),
        ("for_seconds: 1", "for_second: 1", "8:5", "for_seconds"),
        ("schedule:", "schedule: [", "5:3", ""),
    ],
    ids=["unknown target", "unknown fault", "unknown key", "malformed YAML"],
)
def test_a_wrong_experiment_is_refused_at_its_place(old: str, new: str, place: str, told: str, tmp_path: Path) -> None:
    path = experiment(tmp_path, old, new)
    reason = assert_no_verdict(holdfast("run", path, "--json", cwd=tmp_path), EXIT_USAGE)
    assert f"experiment.yaml:{place}: " in reason
    assert told in reason
    assert not (tmp_path / "reports").exists()


def test_the_loss_of_the_agent_is_no_verdict_whatever_the_check_says(tmp_path: Path) -> None:
    write_plan(plan_of(strike("disk.power_cut", CORE)), tmp_path / "plan.yaml")
    with running("run", "plan.yaml", "--json", cwd=tmp_path) as command, closing(docker.from_env()) as client:
        folder = command.wait_until_it_says("run folder").split()[-1]
        command.wait_until_it_says("canaries")
        labels = [f"{RUN_LABEL}={Path(folder).name}", f"{ROLE_LABEL}=agent"]
        [agent] = client.containers.list(filters={"label": labels})
        agent.kill()
        outcome = command.end()
    reason = assert_no_verdict(outcome, EXIT_HARNESS)
    assert "agent" in reason


def test_a_history_cut_short_is_not_judged(tmp_path: Path) -> None:
    result = run_one(plan_of(), tmp_path)
    assert holdfast("check", result.run_dir, "--json", cwd=tmp_path).code == EXIT_HELD
    history = result.run_dir / "history.jsonl"
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join(lines[:-1]))
    assert "cut short" in assert_no_verdict(holdfast("check", result.run_dir, "--json", cwd=tmp_path), EXIT_HARNESS)
    history.write_bytes(b"".join(lines)[:-20])
    assert_no_verdict(holdfast("check", result.run_dir, "--json", cwd=tmp_path), EXIT_HARNESS)


def test_a_full_disk_under_the_run_folder_is_told(tmp_path: Path) -> None:
    with full_disk(tmp_path / "full", size_kib=64) as folder:
        path = experiment(tmp_path)
        outcome = holdfast("run", path, "--json", cwd=folder)
        reason = assert_no_verdict(outcome, EXIT_HARNESS)
        assert "No space left on device" in reason
        assert "free" in reason


def test_a_full_disk_under_the_cache_folder_is_told(tmp_path: Path) -> None:
    with full_disk(tmp_path / "full", size_kib=2048) as folder:
        path = experiment(tmp_path)
        outcome = holdfast("run", path, "--json", cwd=tmp_path, environment={"HOLDFAST_CACHE": str(folder)})
        reason = assert_no_verdict(outcome, EXIT_HARNESS)
        assert "No space left on device" in reason
        assert f"free space for {folder}" in reason

"""`docs/ci.md`: its pipelines are parsed, and every command of theirs is run, over trials that nobody runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

from tests.unit.testing.ci_commands import PROGRAMS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "ci.md").read_text()
BLOCKS = {
    heading: yaml.safe_load(block)
    for heading, block in re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```yaml\n(.*?)^```", PAGE, re.M | re.S)
}
GITHUB = BLOCKS["GitHub Actions"]["jobs"]["holdfast"]
GITLAB = BLOCKS["GitLab"]["holdfast"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's project, with programs before those of this machine in PATH."""
    for file, text in {
        "experiments/steady.yaml": f"experiment: steady\nstack: {ROOT}/fixtures/minimal/compose.yaml\n",
        "wheels/holdfast-0.1.0-py3-none-any.whl": "",
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    programs = tmp_path / "programs"
    programs.mkdir()
    command = shlex.join([sys.executable, str(Path(__file__).with_name("ci_commands.py"))])
    for name in PROGRAMS:
        (programs / name).write_text(f'#!/bin/sh\nexec {command} {name} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return tmp_path


def run(command: str, project: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", command],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def paths(given: str | list[str]) -> list[str]:
    return given.split() if isinstance(given, str) else given


def test_the_page_has_a_pipeline_of_each_and_the_configuration_of_allure() -> None:
    assert set(BLOCKS) == {"GitHub Actions", "GitLab", "Allure 3"}
    assert set(BLOCKS["Allure 3"]) == {"name", "historyPath"}


def test_every_command_of_the_github_workflow_runs_and_leaves_what_is_kept(project: Path) -> None:
    summary = project / "summary.md"
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    environment |= {
        name: value.replace("${{ github.workspace }}", str(project)) for name, value in GITHUB["env"].items()
    }
    (project / ".images.tar").write_text("of the run before")
    for step in GITHUB["steps"]:
        assert ("run" in step) != ("uses" in step)
        if "run" in step:
            assert "${{" not in step["run"]
            run(step["run"], project, environment)

    assert JUnitXml.fromfile(str(project / "holdfast.xml")).tests == 1
    assert summary.read_text().startswith("- **HELD** steady")
    by_use = {step["uses"].partition("@")[0]: step["with"] for step in GITHUB["steps"] if "with" in step}
    kept = {*paths(by_use["actions/upload-artifact"]["path"]), *paths(by_use["actions/cache/save"]["path"])}
    assert by_use["actions/cache/save"].items() <= by_use["actions/cache/restore"].items()
    assert kept == {"reports/runs", "holdfast.xml", "allure-report", ".holdfast", ".images.tar", "allure-history.jsonl"}
    assert {each for each in kept if not (project / each).exists()} <= {".holdfast"}, "real trials make it"


def test_a_cold_runner_has_no_images_to_load(project: Path) -> None:
    [load] = [step["run"] for step in GITHUB["steps"] if "image load" in step.get("run", "")]
    run(load, project, {})


def test_every_command_of_the_gitlab_job_runs_and_leaves_what_is_kept(project: Path) -> None:
    environment = {"CI_BUILDS_DIR": str(project)}
    environment |= {name: value.replace("$CI_BUILDS_DIR", str(project)) for name, value in GITLAB["variables"].items()}
    run("\n".join(GITLAB["script"]), project, environment)
    run("\n".join(GITLAB["after_script"]), project, environment)

    kept = [*GITLAB["artifacts"]["paths"], *GITLAB["cache"]["paths"], *GITLAB["artifacts"]["reports"].values()]
    assert {each for each in kept if not (project / each).exists()} == set()
    assert BLOCKS["Allure 3"]["historyPath"] == f"./{GITLAB['cache']['paths'][0]}"


def shell_lines() -> Iterator[str]:
    for block in re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S):
        yield from block.splitlines()


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("holdfast ")])
def test_every_other_command_of_the_page_runs(project: Path, line: str) -> None:
    run(line, project, {})


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("pytest ")])
def test_every_pytest_command_of_the_page_has_options_that_pytest_knows(project: Path, line: str) -> None:
    told = run(f"{shlex.quote(sys.executable)} -m {line} --collect-only -q -p no:hypothesispytest", project, {})
    assert "experiments/steady.yaml::steady" in told


def test_a_command_that_is_wrong_is_found(project: Path) -> None:
    """The stand-ins do not say yes to everything."""
    for wrong in (
        "holdfast run experiments/ --junits x",
        "pip install 'wheels/holdfast-0.1.0-py3-none-any.whl[alure]'",
        "docker image load --input absent",
        "npx --yes allure@3 generate nowhere --output x",
    ):
        with pytest.raises(AssertionError):
            run(wrong, project, {})


def test_the_documents_of_both_have_the_form_that_their_readers_ask_for() -> None:
    workflow: dict[Any, Any] = BLOCKS["GitHub Actions"]
    assert set(workflow) == {"name", True, "jobs"}, "YAML 1.1 reads the key `on` as true, and GitHub as itself"
    assert {"runs-on", "steps", "timeout-minutes", "env"} == set(GITHUB)
    assert {"tags", "variables", "script", "after_script", "cache", "artifacts"} == set(GITLAB)
    assert all(isinstance(line, str) for line in (*GITLAB["script"], *GITLAB["after_script"]))

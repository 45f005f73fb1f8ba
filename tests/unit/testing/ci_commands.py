"""Stands in for the programs of a pipeline: `python ci_commands.py PROGRAM ARGUMENTS...`.

`holdfast` is the real command line, over trials that nobody runs; the others check what they are given, and leave what
they would leave.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chaos.experiment.plan import Plan
    from chaos.reporting.result import TrialResult


def holdfast(arguments: Sequence[str]) -> int:
    from chaos import cli
    from chaos.doctor import Diagnosis
    from tests.unit.reporting.runs import made, recorded
    from tests.unit.reporting.samples import result
    from tests.unit.testing.fakes import Trials

    class Several(Trials):
        """Trials of any plans, each with a run folder."""

        def run_trials(self, plans: Sequence[Plan], **given: Any) -> list[TrialResult]:
            results = []
            for plan in plans:
                folder = result(seed=plan.seed).run_dir
                if not folder.exists():
                    folder.mkdir(parents=True)
                    made(recorded(), folder.absolute(), plan)
                results += super().run_trials([plan], listeners=given["listeners"])
            return results

    fakes = Several()
    given = {name: os.environ[name] for name in ("GITHUB_STEP_SUMMARY",) if name in os.environ}
    fakes.stand_in(pytest.MonkeyPatch(), opens_for_real=True)
    os.environ.update(given)
    doctor = sys.modules["chaos.doctor"]
    vars(doctor).update(
        fix=lambda say: None,
        examine=lambda: Diagnosis((), (), ()),
        to_document=lambda diagnosis: {},
        render=lambda diagnosis: "ready",
    )
    return cli.main(arguments)


def pip(arguments: Sequence[str]) -> int:
    """A wheel with extras that the project has."""
    import tomllib

    [install, wheel] = arguments
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    name, _, extras = wheel.rstrip("]").partition("[")
    known = set(extras.split(",")) <= project["optional-dependencies"].keys()
    return 0 if install == "install" and Path(name).is_file() and project["version"] in name and known else 1


def python3(arguments: Sequence[str]) -> int:
    """`-m venv FOLDER`."""
    *venv, folder = arguments
    activate = Path(folder) / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    return 0 if venv == ["-m", "venv"] else 1


def docker(arguments: Sequence[str]) -> int:
    match list(arguments):
        case ["image", "ls", "--filter", "label=holdfast.image", "--format", "{{.Repository}}:{{.Tag}}"]:
            sys.stdout.write("holdfast/agent:0abc\n")
        case ["image", "save", "--output", file, "postgres:17", "holdfast/agent:0abc"]:
            Path(file).write_text("images")
        case ["image", "load", "--input", file]:
            return 0 if Path(file).is_file() else 1
        case _:
            return 1
    return 0


def npx(arguments: Sequence[str]) -> int:
    [*program, results, output, report] = arguments
    if (
        program != ["--yes", "allure@3", "generate"]
        or output != "--output"
        or not any(Path(results).glob("*-result.json"))
    ):
        return 1
    Path(report).mkdir()
    Path("allure-history.jsonl").write_text("{}\n")
    return 0


PROGRAMS: Mapping[str, Callable[[Sequence[str]], int]] = {
    each.__name__: each for each in (holdfast, pip, python3, docker, npx)
}

if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1]](sys.argv[2:]))

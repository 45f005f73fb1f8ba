"""A run folder holds what its run read, and the plan in it runs again from there: elsewhere, and only as it was."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import UsageError
from chaos.experiment.drivers import DriverChoice
from chaos.experiment.loader import load_plan, write_plan
from chaos.experiment.plan import Checks, Limits, Plan, Workload
from chaos.preflight.opening import Opened, open_plans
from chaos.stack.images.context import Context
from chaos.stack.inputs import digests, keeping
from chaos.stack.inputs.comparing import compare_images
from chaos.stack.inputs.keeping import keep
from chaos.stack.spec import Build, Stack
from chaos.workload.drivers.files import driver_files
from tests.unit.experiment.samples import Catalogue

COMPOSE = """\
services:
  gateway:
    build: {context: ./gateway, args: {TOKEN: "${TOKEN}"}}
    ports: ["8080"]
    env_file: [gateway.env]
    environment: {SYNC: "${SYNC:-ON}", LEVEL: "${LEVEL}", PASSED: }
    volumes: ["./conf:/etc/gateway", "../shared/seed.sql:/seed.sql:ro", "data:/data"]
    secrets: [token]
volumes: {data: }
secrets: {token: {file: ./token.txt}}
x-chaos:
  front_door: gateway:8080
  arrays: {core: {luns: {data: {size: 16M}}}}
"""
SECRETS = {"env": "planted-Envir0nment", "file": "planted-EnvF1le", "secret": "planted-S3cret", "dot": "planted-D0tenv"}
GIVEN = {"TOKEN": SECRETS["env"], "SYNC": "OFF"}


@pytest.fixture(autouse=True)
def fast_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "SCRYPT_COST", 2)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A stack with everything that a stack can read, and a driver of its own."""
    folder = tmp_path / "first" / "project"
    texts = {
        "compose.yaml": COMPOSE,
        ".env": f"PASSED={SECRETS['dot']}\n",
        "gateway.env": f"OTHER={SECRETS['file']}\n",
        "token.txt": SECRETS["secret"],
        "gateway/Dockerfile": "FROM scratch\nCOPY . /\n",
        "gateway/.dockerignore": "big\n",
        "gateway/app.py": "print(1)\n",
        "gateway/big": "x" * 1000,
        "conf/a/gateway.conf": "listen 8080\n",
        "../shared/seed.sql": "select 1;\n",
        "tests/driver.py": DRIVER,
        "tests/helper.py": "def help():\n    import late\n",
        "tests/late.py": "import json\n",
        "tests/copies/__init__.py": "",
        "tests/copies/door.py": "from . import x\n",
        "tests/unrelated.py": "",
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "conf" / "link").symlink_to("a/gateway.conf")
    (folder / "conf" / "empty").mkdir()
    return folder


DRIVER = """
import helper
from chaos.workload.drivers.http import HttpSession

class Session(HttpSession):
    doors = {'standby': 'copies.door:Standby'}
"""


def plan_of(project: Path, driver: str = "driver:Session", **changes: object) -> Plan:
    made = Plan(
        "x", "", (project / "compose.yaml",), 7, Workload(), (), Checks(), Limits(), driver=DriverChoice(driver),
        driver_folder=project / "tests",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def ran(plan: Plan, runs: Path, environment: Mapping[str, str] = GIVEN) -> Path:
    """The folder of a run, as far as its inputs go."""
    opened = open_plans([plan], environment)
    runs.mkdir(parents=True)
    kept = keep(plan, opened.stack, opened.sources, driver_files(str(plan.driver), plan.driver_folder), runs)
    write_plan(kept.into(runs, plan), runs / "plan.yaml")
    return runs


def again(run_dir: Path, environment: Mapping[str, str] = GIVEN) -> Opened:
    return open_plans([load_plan(run_dir / "plan.yaml", Catalogue())], environment)


def refusal(run_dir: Path, environment: Mapping[str, str]) -> str:
    with pytest.raises(UsageError) as caught:
        again(run_dir, environment)
    assert caught.value.exit_code == 64
    return str(caught.value)


def open_context(opened: Opened) -> Context:
    build = opened.stack.services["gateway"].build
    assert build is not None
    return Context.of(build)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def essence(stack: Stack) -> object:
    """A stack without the folders in which its files lie."""
    services = [
        (each.name, each.environment, each.build.args if each.build else None, [m.target for m in each.mounts])
        for each in stack.services.values()
    ]
    luns = [dataclasses.replace(lun, contents=Path(lun.contents).name) for lun in stack.luns.values()]
    return stack.name, services, luns, stack.front_door


def test_a_run_folder_carries_what_the_run_read_and_no_secret(project: Path, tmp_path: Path) -> None:
    run_dir = ran(plan_of(project), tmp_path / "run")
    assert files(run_dir / "inputs") == {
        "project/compose.yaml",
        "project/gateway/Dockerfile",
        "project/gateway/.dockerignore",
        "project/gateway/app.py",
        "project/conf/a/gateway.conf",
        "project/conf/link",
        "project/tests/driver.py",
        "project/tests/helper.py",
        "project/tests/late.py",
        "project/tests/copies/__init__.py",
        "project/tests/copies/door.py",
        "shared/seed.sql",
    }
    assert (run_dir / "inputs/project/conf/empty").is_dir()
    text = "".join(path.read_text() for path in run_dir.rglob("*") if path.is_file())
    assert not [value for value in SECRETS.values() if value in text]
    assert "OFF" not in json.loads((run_dir / "inputs.json").read_text())["variables"].values()


def test_a_copied_run_folder_runs_where_the_project_is_not(project: Path, tmp_path: Path) -> None:
    first = again(ran(plan_of(project), tmp_path / "run"))
    copy = tmp_path / "elsewhere" / "run"
    shutil.copytree(tmp_path / "run", copy, symlinks=True)
    shutil.rmtree(project.parent)
    for name, value in {"gateway.env": f"OTHER={SECRETS['file']}\n", "token.txt": SECRETS["secret"]}.items():
        (copy / "inputs/project" / name).write_text(value)
    opened = again(copy, {**GIVEN, "PASSED": SECRETS["dot"]})
    assert opened.differing == []
    assert essence(opened.stack) == essence(first.stack)
    gateway = opened.stack.services["gateway"]
    assert gateway.environment["SYNC"] == "OFF"
    places = [gateway.build.context] if gateway.build else []
    places += map(Path, opened.stack.bound)
    places += [*gateway.secrets.values(), *opened.plans[0].stack, opened.plans[0].driver_folder or Path()]
    assert all(place.is_relative_to(copy) for place in places)


def test_what_may_be_a_secret_must_be_given_again_and_is_asked_for_in_one_list(project: Path, tmp_path: Path) -> None:
    run_dir = ran(plan_of(project), tmp_path / "run")
    shutil.rmtree(project.parent)
    said = refusal(run_dir, {"SYNC": "ON"})
    assert [line.split(":")[0] for line in said.splitlines()[1:]] == [
        "  - variable PASSED",
        "  - variable TOKEN",
        "  - env file gateway.env",
        "  - secret token.txt",
        "  - (differs) variable SYNC has another value than in the run",
    ]
    assert str(run_dir / "inputs/project/token.txt") in said
    assert not [value for value in SECRETS.values() if value in said]


def test_on_the_same_machine_only_the_environment_is_given_again(project: Path, tmp_path: Path) -> None:
    run_dir = ran(plan_of(project), tmp_path / "run")
    assert again(run_dir).differing == []
    said = refusal(run_dir, {"TOKEN": SECRETS["env"]})
    assert said.splitlines()[1:] == ["  - variable SYNC: set it in the environment, or under `variables` of the plan"]


def test_a_variable_that_is_written_into_the_plan_is_given(project: Path, tmp_path: Path) -> None:
    run_dir = ran(plan_of(project), tmp_path / "run")
    with (run_dir / "plan.yaml").open("a") as file:
        file.write("variables: {SYNC: 'OFF'}\n")
    opened = again(run_dir, {"TOKEN": SECRETS["env"]})
    assert opened.differing == []
    assert opened.stack.services["gateway"].environment["SYNC"] == "OFF"


def test_a_value_that_differs_is_said(project: Path, tmp_path: Path) -> None:
    run_dir = ran(plan_of(project), tmp_path / "run")
    (project / "gateway.env").write_text("OTHER=x\n")
    (project / "token.txt").write_text("x")
    opened = again(run_dir, {"TOKEN": "x", "SYNC": "OFF", "LEVEL": "9"})
    assert [line.split(": ")[0] for line in opened.differing] == [
        "variable LEVEL is set here, and was not set in the run",
        "variable TOKEN has another value than in the run",
        "env file gateway.env is not what it was in the run",
        "secret token.txt is not what it was in the run",
    ]


def test_a_variable_of_the_plan_itself_is_none_of_the_environment(project: Path, tmp_path: Path) -> None:
    plan = plan_of(project, variables={"SYNC": "HALF"})
    run_dir = ran(plan, tmp_path / "run")
    opened = again(run_dir, {"TOKEN": SECRETS["env"], "SYNC": "OFF"})
    assert opened.differing == []
    assert opened.stack.services["gateway"].environment["SYNC"] == "HALF"


def test_it_runs_with_the_runs_own_files_and_says_that_the_projects_have_changed(project: Path, tmp_path: Path) -> None:
    run_dir = ran(plan_of(project), tmp_path / "run")
    (project / "gateway/app.py").write_text("print(2)\n")
    (project / "compose.yaml").write_text("services: {}\n")
    opened = again(run_dir)
    assert [line.split(";")[0] for line in opened.differing] == [
        f"Compose file {project / 'compose.yaml'} has changed since",
        f"build context {project / 'gateway'} has changed since",
    ]
    build = opened.stack.services["gateway"].build
    assert build is not None
    assert (build.context / "app.py").read_text() == "print(1)\n"


def test_a_changed_run_folder_is_said(project: Path, tmp_path: Path) -> None:
    run_dir = ran(plan_of(project), tmp_path / "run")
    (run_dir / "inputs/project/conf/a/gateway.conf").write_text("listen 9\n")
    assert again(run_dir).differing == ["bind conf is not what it was in the run: the run folder's copy"]


def test_a_run_of_a_plan_leaves_a_folder_like_the_first_runs(project: Path, tmp_path: Path) -> None:
    run_dir = ran(plan_of(project), tmp_path / "run")
    opened = again(run_dir)
    second = tmp_path / "second"
    second.mkdir()
    plan = opened.plans[0]
    kept = keep(plan, opened.stack, opened.sources, driver_files(str(plan.driver), plan.driver_folder), second)
    write_plan(kept.into(second, plan), second / "plan.yaml")
    assert files(second) == files(run_dir)
    assert (second / "plan.yaml").read_text() == (run_dir / "plan.yaml").read_text()
    shutil.rmtree(run_dir)
    assert again(second).differing == []


def test_each_trial_of_a_run_has_the_inputs(project: Path, tmp_path: Path) -> None:
    plan = plan_of(project)
    opened = open_plans([plan], GIVEN)
    first, other = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    other.mkdir()
    kept = keep(plan, opened.stack, opened.sources, (), first)
    for folder in (first, other):
        write_plan(kept.into(folder, plan), folder / "plan.yaml")
    assert files(other) == files(first)
    shutil.rmtree(first)
    assert again(other).differing == []


def test_what_does_not_fit_is_known_by_its_digest(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "KEPT_BYTES_MAX", 4000)
    (project / "conf/a/large").write_text("x" * 4000)
    run_dir = ran(plan_of(project), tmp_path / "run")
    assert not (run_dir / "inputs/project/conf").exists()
    assert again(run_dir).differing == []
    (project / "conf/a/large").write_text("y" * 4000)
    assert again(run_dir).differing == [f"bind conf is not what it was in the run: {project / 'conf'}"]
    shutil.rmtree(project / "conf")
    assert f"bind conf: put it at {run_dir / 'inputs/project/conf'} or {project / 'conf'}" in refusal(run_dir, GIVEN)


def test_an_env_file_within_a_context_is_not_carried_and_the_context_is_taken_whole(
    project: Path, tmp_path: Path
) -> None:
    (project / "gateway/.env").write_text(f"A={SECRETS['file']}\n")
    run_dir = ran(plan_of(project), tmp_path / "run")
    assert not (run_dir / "inputs/project/gateway/.env").exists()
    build = again(run_dir).stack.services["gateway"].build
    assert build is not None
    assert build.context == project / "gateway"
    kept = run_dir / "inputs/project"
    (project / "gateway").rename(tmp_path / "gateway")
    assert f"file .env of the build context gateway: put it at {kept}/gateway/.env" in refusal(run_dir, GIVEN)
    shutil.copy(tmp_path / "gateway/.env", kept / "gateway/.env")
    build = again(run_dir).stack.services["gateway"].build
    assert build is not None
    assert build.context == kept / "gateway"


def test_a_run_folder_within_a_context_or_a_bind_is_no_part_of_it(project: Path, tmp_path: Path) -> None:
    """With `build: .` each run would carry all runs before it, and build another image."""
    text = COMPOSE.replace("context: ./gateway", "context: .").replace("./conf:", ".:")
    (project / "compose.yaml").write_text(text)
    (project / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (project / "reports/runs/2").mkdir(parents=True)  # of a second trial, which is still empty
    first = ran(plan_of(project), project / "reports/runs/1")
    (project / "reports/runs/latest").symlink_to("1")
    carried = files(first / "inputs")
    (project / "reports/runs/2").rmdir()
    found = [open_context(again(first)).digest()]
    second = ran(plan_of(project), project / "reports/runs/2")
    assert files(second / "inputs") == carried
    assert not [name for name in carried if "runs" in name]
    assert again(first).differing == []
    found += [Context.of(Build(project)).digest(), open_context(again(second)).digest()]
    assert len(set(found)) == 1


def test_modes_and_owners_are_kept(project: Path, tmp_path: Path) -> None:
    owner = (999, 999) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    (project / "conf/a/gateway.conf").chmod(0o640)
    (project / "conf/a").chmod(0o550)
    for name in ("conf", "conf/a", "conf/a/gateway.conf"):
        os.chown(project / name, *owner)
    run_dir = ran(plan_of(project), tmp_path / "run")
    for name, mode in {"conf": 0o755, "conf/a": 0o550, "conf/a/gateway.conf": 0o640}.items():
        found = (run_dir / "inputs/project" / name).stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (mode, *owner)


def test_a_secret_that_is_reached_by_a_link_is_not_carried_with_the_folder_that_has_it(
    project: Path, tmp_path: Path
) -> None:
    (project / "token.txt").rename(project / "conf/token")
    (project / "token.txt").symlink_to("conf/token")
    run_dir = ran(plan_of(project), tmp_path / "run")
    assert "project/conf/token" not in files(run_dir / "inputs")
    assert again(run_dir).differing == []


def test_the_caches_of_a_drivers_package_do_not_count(project: Path, tmp_path: Path) -> None:
    cache = project / "tests/copies/__pycache__"
    cache.mkdir()
    (cache / "door.pyc").write_bytes(b"1")
    run_dir = ran(plan_of(project), tmp_path / "run")
    (cache / "door.pyc").write_bytes(b"2")
    assert again(run_dir).differing == []
    assert "project/tests/copies/__pycache__/door.pyc" not in files(run_dir / "inputs")


def test_a_folder_of_too_many_files_is_only_asked_to_be_there(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "LISTED_MAX", 3)
    run_dir = ran(plan_of(project), tmp_path / "run")
    assert not (run_dir / "inputs/project/conf").exists()
    (project / "conf/a/gateway.conf").write_text("x")
    assert again(run_dir).differing == []


def test_what_belongs_to_the_machine_is_not_carried(project: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "credentials").write_text(SECRETS["secret"])
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    try:
        os.chdir(home)  # a socket's path must be short
        listening.bind("engine.sock")
    finally:
        os.chdir(here)
    extra = f'"{home}/credentials:/credentials:ro", "{home}/engine.sock:/engine.sock", "./conf'
    (project / "compose.yaml").write_text(COMPOSE.replace('"./conf', extra))
    run_dir = ran(plan_of(project), tmp_path / "run")
    listening.close()
    assert "credentials" not in {Path(name).name for name in files(run_dir / "inputs")}
    assert again(run_dir).differing == []
    (home / "credentials").write_text("x")
    (home / "engine.sock").unlink()
    said = refusal(run_dir, GIVEN)
    assert f"bind engine.sock: put it at {home}/engine.sock" in said
    assert "(differs) bind credentials is not what it was in the run" in said


def test_a_run_folder_of_an_earlier_version_is_opened_as_it_was(project: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    write_plan(plan_of(project), run_dir / "plan.yaml")
    assert again(run_dir, {"TOKEN": "x"}).stack.services["gateway"].environment["SYNC"] == "ON"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "root": "x"}'])
def test_a_list_of_inputs_that_is_none_is_refused(project: Path, tmp_path: Path, text: str) -> None:
    run_dir = ran(plan_of(project), tmp_path / "run")
    (run_dir / "inputs.json").write_text(text)
    assert str(run_dir / "inputs.json") in refusal(run_dir, GIVEN)
    (run_dir / "inputs.json").unlink()
    assert "copy the run folder whole" in refusal(run_dir, GIVEN)


def test_the_same_value_has_another_digest_in_each_run(project: Path, tmp_path: Path) -> None:
    found = [
        json.loads((ran(plan_of(project), tmp_path / name) / "inputs.json").read_text())["variables"]["TOKEN"]
        for name in ("one", "two")
    ]
    assert found[0] != found[1]
    assert all(digest.startswith("scrypt:") for digest in found)


def test_an_image_that_differs_is_said() -> None:
    was = {"db": "sha256:0123456789abcdef", "gateway": "sha256:11", "gone": "sha256:2"}
    now = {"db": "sha256:fedcba9876543210", "gateway": "sha256:11"}
    assert compare_images(was, now) == ["the image of db is fedcba987654, and was 0123456789ab in the run"]


def test_a_dockerfile_outside_its_context_is_carried_and_so_is_a_further_context(project: Path, tmp_path: Path) -> None:
    for name, text in {
        "../docker/Dockerfile": "FROM scratch\n",
        "../docker/Dockerfile.dockerignore": "big\n",
        "more/file": "1",
    }.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    build = (
        "{context: ./gateway, dockerfile: ../../docker/Dockerfile, additional_contexts: {more: more}, secrets: [token]}"
    )
    text = COMPOSE.replace('{context: ./gateway, args: {TOKEN: "${TOKEN}"}}', build)
    (project / "compose.yaml").write_text(text)
    run_dir = ran(plan_of(project), tmp_path / "run")
    shutil.rmtree(project / "gateway")
    shutil.rmtree(project / "../docker")
    shutil.rmtree(project / "more")
    opened = again(run_dir)
    assert not opened.differing
    context, made = open_context(opened), opened.stack.services["gateway"].build
    assert made is not None
    assert context.text == "FROM scratch\n"
    assert context.place == str((run_dir / "inputs/docker/Dockerfile").resolve())
    assert {"app.py"} <= set(context.paths)
    assert "big" not in context.paths
    assert (Path(made.contexts["more"]) / "file").read_text() == "1"
    assert files(run_dir / "inputs").isdisjoint({"project/token.txt", "token.txt"})


def test_the_context_of_a_dockerfile_in_the_compose_file_is_carried(project: Path, tmp_path: Path) -> None:
    build = "{context: ./gateway, dockerfile_inline: 'FROM scratch'}"
    (project / "compose.yaml").write_text(COMPOSE.replace('{context: ./gateway, args: {TOKEN: "${TOKEN}"}}', build))
    (project / "gateway" / "Dockerfile").unlink()
    run_dir = ran(plan_of(project), tmp_path / "run")
    shutil.rmtree(project / "gateway")
    assert "app.py" in open_context(again(run_dir)).paths

"""Opening an experiment tells at once what is wrong with it, its stack and its driver, each with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos import cli
from chaos.errors import UsageError
from chaos.experiment.loader import write_plan
from chaos.preflight.opening import images_by_service, open_experiment
from chaos.preflight.several import open_all

COMPOSE = """\
services:
  web: {image: shop, ports: ["80"], command: "serve $OPTIONS ${OPTIONS} ${FINE:-x} $$HOME", env_file: web.env}
x-chaos:
  front_door: web:80
  conflict: ${CONFLICT:-reject}
  driver:
    rest:
      body: {name: "{name}", write: "{write}", type: "{type}", fields: "{fields}"}
      create: {method: POST, path: /notes}
      update: {method: PUT, path: "/notes/{name}", headers: {If-Match: "{revision}"}}
      delete: {method: DELETE, path: "/notes/{name}", headers: {If-Match: "{revision}"}}
      read: {path: /notes, records: notes}
"""
EXPERIMENT = "experiment: e\nstack: compose.yaml\nworkload: {photos: 0}\n"
UPDATE, DELETE, BODY = 10, 11, 8
"""Lines of the Compose file."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("compose.yaml", COMPOSE), ("e.yaml", EXPERIMENT), ("web.env", "A=1\nURL=http://${HOST_NAME}/")):
        Path(name).write_text(text)
    return tmp_path


def changed(line: int, before: str, after: str) -> None:
    lines = Path("compose.yaml").read_text().splitlines()
    assert before in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(before, after)
    Path("compose.yaml").write_text("\n".join(lines))


def problems(conflict: str = "reject") -> list[str]:
    """The first line of each problem, with the name of its file instead of the path."""
    with pytest.raises(UsageError) as raised:
        open_experiment(Path("e.yaml"), 1, environment={"CONFLICT": conflict})
    folder = f"{Path.cwd()}/"
    return [line.removeprefix(folder) for line in str(raised.value).splitlines() if not line.startswith(" ")]


def doubts(conflict: str = "reject") -> list[str]:
    opened = open_experiment(Path("e.yaml"), 1, environment={"CONFLICT": conflict})
    return [line.removeprefix(f"{Path.cwd()}/") for line in opened.doubtful]


def test_a_conditional_description_fits_a_service_that_refuses_old_versions() -> None:
    assert doubts() == []


def test_writes_that_are_never_conditional_cannot_be_refused() -> None:
    for line in (UPDATE, DELETE):
        changed(line, ', headers: {If-Match: "{revision}"}', "")
    of_update, of_delete = problems()
    assert of_update.startswith(f"compose.yaml:{UPDATE}:15: under `conflict: reject` a write on an old version")
    assert of_delete.startswith(f"compose.yaml:{DELETE}:15: ")
    assert doubts("last-writer-wins") == []


def test_of_one_kind_of_write_that_is_never_conditional_is_warned() -> None:
    changed(DELETE, ', headers: {If-Match: "{revision}"}', "")
    (doubt,) = doubts()
    assert doubt.startswith(f"compose.yaml:{DELETE}: under `conflict: reject`")
    assert "delete says neither" in doubt


def test_a_header_that_is_always_left_out_is_warned_of_since_one_description_may_serve_both_policies() -> None:
    of_update, of_delete = doubts("last-writer-wins")
    assert of_update.startswith(f"compose.yaml:{UPDATE}: under `conflict: last-writer-wins` no write has a base")
    assert of_delete.startswith(f"compose.yaml:{DELETE}: ")
    assert "take it out, or say `conflict: reject`" in of_update


def test_a_path_in_which_the_revision_is_always_empty_cannot_be_right() -> None:
    changed(UPDATE, "/notes/{name}", "/notes/{name}?rev={revision}")
    (problem,) = problems("last-writer-wins")
    assert problem.startswith(f"compose.yaml:{UPDATE}:35: under `conflict: last-writer-wins`")
    assert problem.endswith("{revision} is always empty")


def test_a_create_with_a_base_cannot_be_right_where_updates_are_asked_for_otherwise() -> None:
    changed(UPDATE - 1, "/notes}", "'/notes?rev={base}'}")
    (problem,) = problems()
    assert problem == f"compose.yaml:{UPDATE - 1}:36: {{base}} is of no use here: a create has no base"


def test_a_revision_in_what_all_requests_share_is_one_too() -> None:
    for line in (UPDATE, DELETE):
        changed(line, ', headers: {If-Match: "{revision}"}', "")
    changed(BODY, "body: {", 'headers: {If-Match: "{revision}"}\n      body: {')
    assert doubts() == []


def test_the_place_of_a_driver_in_an_experiment_is_told_too() -> None:
    driver = COMPOSE[COMPOSE.index("  driver:") :].replace("\n  ", "\n").replace("  driver", "driver", 1)
    Path("e.yaml").write_text(EXPERIMENT + driver.replace("update: {method: PUT", "update: {method: FETCH"))
    assert problems() == ["e.yaml:8:22: method should be 'GET', 'POST', 'PUT', 'PATCH' or 'DELETE', not 'FETCH'"]


def test_everything_that_is_wrong_with_an_experiment_its_stack_and_its_driver_is_told_at_once() -> None:
    changed(UPDATE, "PUT", "FETCH")
    Path("e.yaml").write_text("""\
experiment: e
stack: compose.yaml
workload: {users: 4000, operations: 10, photo_bytes_min: 9000, photo_bytes_max: 8000}
schedule:
  - {fault: process.kill, target: {service: wbe}, at: {acknowledged: 900}, for_seconds: 99999}
  - {fault: process.kil, target: {service: web}, at: {seconds: 1}}
  - {fault: process.kill, target: {service: absent}, at: {}}
  - {fault: process.kill, target: {service: web}, at: {acknowledged: 11}}
checks: {minimum_acknowledged: 5}
""")
    told = problems()
    places = [line.rsplit(": ", 1)[0].partition(": ")[0] for line in told]
    assert places == [
        "e.yaml:3:19",
        "e.yaml:3:58",
        "e.yaml:5:45",
        "e.yaml:5:70",
        "e.yaml:5:89",
        "e.yaml:6:13",
        "e.yaml:7:45",
        "e.yaml:7:58",
        "e.yaml:8:70",
        f"compose.yaml:{UPDATE}:24",
    ]


def test_what_a_wrong_number_would_contradict_is_not_told_of_it() -> None:
    Path("e.yaml").write_text(
        "experiment: e\nstack: compose.yaml\nworkload: {operations: ten}\nchecks: {minimum_acknowledged: 450}\n"
    )
    assert problems() == ["e.yaml:3:24: operations should be a whole number, not 'ten'"]


def test_an_experiment_without_a_name_is_looked_at_all_the_same() -> None:
    Path("e.yaml").write_text("experiment: no name\nstack: absent.yaml\n")
    first, second = problems()
    assert first.startswith("e.yaml:1:13: experiment ")
    assert second == "absent.yaml: no such file"


def test_a_driver_that_is_not_there_is_told_with_what_is_wrong_with_the_stack() -> None:
    Path("e.yaml").write_text(EXPERIMENT + 'driver: "absent_driver:Notes"\n')
    changed(2, "image: shop", "imgae: shop")
    told = problems()
    assert any("absent_driver" in line for line in told)
    assert any(line.startswith("compose.yaml:2:") for line in told)


def test_what_several_experiments_have_wrong_in_common_is_told_once() -> None:
    changed(2, "image: shop", "image: shop, imgae: shop")
    for name in ("e.yaml", "f.yaml"):
        Path(name).write_text(EXPERIMENT.replace("photos: 0", "photos: 2"))
    with pytest.raises(UsageError) as raised:
        open_all([Path("e.yaml"), Path("f.yaml")], 1)
    told = str(raised.value)
    assert (told.count("unknown key 'imgae'"), told.count("photos should be")) == (1, 2)


def test_a_variable_that_is_not_set_is_told_once_with_its_place_by_validate_and_at_the_begin_of_a_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened = open_experiment(Path("e.yaml"), 1, environment={})
    told = [line.removeprefix(f"{Path.cwd()}/").partition(" is not set")[0] for line in opened.told_at_begin]
    assert told == ["compose.yaml:2: the variable OPTIONS", "web.env:2: the variable HOST_NAME"]
    assert cli.main(["validate", "e.yaml", "--json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert [line for line in warnings if "is not set" in line] == list(opened.told_at_begin)


def test_a_variable_that_is_set_to_nothing_is_no_matter_and_nor_is_one_of_the_experiment() -> None:
    Path("e.yaml").write_text(EXPERIMENT + "variables: {HOST_NAME: web}\n")
    assert open_experiment(Path("e.yaml"), 1, environment={"OPTIONS": ""}).told_at_begin == ()


def test_a_password_of_a_driver_is_in_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    Path("e.yaml").write_text(EXPERIMENT + "driver: {redis: {user: notes, password: planted-secret}}\n")
    assert cli.main(["validate", "e.yaml", "--json"]) == 0
    told = capsys.readouterr()
    assert "planted-secret" not in told.out + told.err
    assert json.loads(told.out)["plan"]["driver"] == {"name": "redis", "options": {"user": "notes", "password": "***"}}


def test_an_image_that_is_given_is_in_the_plan_and_a_plan_that_runs_again_has_it(tmp_path: Path) -> None:
    opened = open_experiment(Path("e.yaml"), 1, images={"web": "shop:next"}, environment={})
    assert opened.stack.services["web"].image == "shop:next"
    write_plan(opened.plans[0], Path("plan.yaml"))

    again = open_experiment(Path("plan.yaml"), environment={})
    assert (again.plans[0].images, again.stack.services["web"].image) == ({"web": "shop:next"}, "shop:next")
    later = open_experiment(Path("plan.yaml"), images={"web": "shop:last"}, environment={})
    assert later.stack.services["web"].image == "shop:last"


def test_an_image_of_no_service_is_refused_with_its_form() -> None:
    assert images_by_service(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    for wrong in ("shop:next", "=shop", "web="):
        with pytest.raises(UsageError, match=r"is no image of a service; write SERVICE=REF"):
            images_by_service([wrong])

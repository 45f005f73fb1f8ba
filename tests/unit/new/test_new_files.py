"""What `holdfast new` writes: it is valid as it stands, whatever the Compose file, which is never changed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos import cli
from chaos.errors import EXIT_HELD, EXIT_USAGE, UsageError
from chaos.new import writing
from chaos.new.writing import write_new
from tests.unit.new.written import opened

ROOT = Path(__file__).resolve().parents[3]
CASES = json.loads((ROOT / "tests/unit/stack/compose_cases/cases.json").read_text())
POSTGRES = "services: {db: {image: 'postgres:16', volumes: ['pg:/var/lib/postgresql/data']}}\nvolumes: {pg: {}}\n"

STACKS = {
    "a web service and its database": """
services:
  db: {image: "mongo:7", volumes: ["./data:/data/db"]}
  web: {image: shop/web, ports: ["80:3000", "9229"], depends_on: {db: {condition: service_started}}}
""",
    "nothing published": "services: {web: {image: shop/web}}",
    "two web services": "services: {a: {image: shop/a, ports: ['80']}, b: {image: shop/b, ports: ['81']}}",
    "a proxy before others": """
services:
  proxy: {image: nginx, ports: ["80:80", "443:443"], depends_on: [web], volumes: ["./nginx.conf:/etc/nginx.conf:ro"]}
  web: {image: shop/web, ports: ["3000"], volumes: ["uploads:/uploads"]}
volumes: {uploads: {}}
""",
    "replicas": """
services:
  web: {image: shop/web, ports: ["3000"], deploy: {replicas: 3}, depends_on: [db]}
  db: {image: "mysql:8", environment: {MYSQL_ROOT_PASSWORD: a, MYSQL_DATABASE: shop}}
""",
    "replicas of a database": "services: {cache: {image: redis, scale: 2, volumes: ['/data']}}",
    "only tools": "services: {ui: {image: adminer, ports: ['8080']}}",
    "a primary and its standby": """
services:
  a: {image: "bitnami/postgresql:15", volumes: ["a:/bitnami/postgresql"], environment: {POSTGRESQL_PASSWORD: "a$$b: c"}}
  b: {image: "bitnami/postgresql:15", volumes: ["b:/bitnami/postgresql"], environment: {POSTGRESQL_PASSWORD: "#"}}
volumes: {a: {}, b: {}}
""",
    "memory": "services: {db: {image: postgres, tmpfs: /var/lib/postgresql, ports: ['5432']}}",
    "a role's name for a service": "services: {database: {image: 'postgres:15'}, front: {image: a/b, ports: ['1']}}",
    "a shared volume": """
services:
  db: {image: "postgres:15", volumes: ["pg:/var/lib/postgresql/data"], ports: ["5432"]}
  backup: {image: "postgres:15", command: [pg_dump, -h, db], volumes: ["pg:/var/lib/postgresql/data:ro"]}
volumes: {pg: {}}
""",
    "a profile": "services: {db: {image: redis, ports: ['6379']}, ui: {image: redisinsight, profiles: [debug]}}",
    "one mount for two names": """
services:
  a: {image: "mongo:7", volumes: ["./data:/data/db"]}
  b: {image: "mongo:7", volumes: ["./data:/data/db"]}
""",
    "names that look like numbers": f"""
services:
  1: {{image: "mongo:7", volumes: ["2:/data/db"]}}
  {"x" * 63}: {{image: mongo, volumes: ["v:/data/db"]}}
volumes: {{2: {{}}, v: {{}}}}
""",
    "UDP alone": "services: {dns: {image: shop/dns, ports: ['53:53/udp']}}",
    "no network": "services: {db: {image: 'etcd:3', command: [etcd, --data-dir, /d], volumes: ['/d']}}",
}


def chaos_free(path: Path) -> str:
    """A shipped Compose file as its user would have it before Holdfast."""
    return path.read_text().partition("\nx-chaos:")[0] + "\n"


@pytest.mark.parametrize("name", STACKS)
def test_what_is_written_for_a_stack_is_valid_as_it_stands(name: str, tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").touch()
    (tmp_path / "compose.yaml").write_text(STACKS[name])
    assert len(opened(write_new(tmp_path))) == 3


@pytest.mark.parametrize("case", [each for each in CASES if each["accepted_by_compose"]], ids=lambda each: each["name"])
def test_what_is_written_for_each_construct_of_compose_is_valid(
    case: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for name, value in case["environment"].items():
        monkeypatch.setenv(name, value)
    files = {**case["files"], "compose.yaml": case["compose"]}
    files |= {".env": case["dotenv"]} if case["dotenv"] is not None else {}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    try:
        written = write_new(tmp_path)
    except UsageError:
        assert not (tmp_path / "holdfast.yaml").exists()  # what cannot be loaded is not guessed at
    else:
        assert len(opened(written)) == 3


@pytest.mark.parametrize("name", ["minimal", "plain_postgres", "syncstack"])
def test_what_is_written_for_a_shipped_stack_is_valid(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    (tmp_path / "experiments" / "plain_postgres").mkdir(parents=True)
    (tmp_path / "experiments" / "plain_postgres" / "notes.sql").touch()
    file = tmp_path / "fixtures" / name / "compose.yaml"
    file.write_text(chaos_free(file))
    assert len(opened(write_new(file))) == 3


def test_the_compose_file_stays_as_it_is_and_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(POSTGRES)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "kill.yaml").write_text("mine\n")
    with pytest.raises(UsageError, match=r"experiments/kill\.yaml is there already, and nothing is written over"):
        write_new(tmp_path)
    assert not (tmp_path / "holdfast.yaml").exists()
    (tmp_path / "experiments" / "kill.yaml").unlink()
    write_new(tmp_path)
    assert (tmp_path / "compose.yaml").read_text() == POSTGRES
    assert sorted(each.name for each in (tmp_path / "experiments").glob("*.yaml")) == [
        "kill.yaml",
        "power_cut.yaml",
        "steady.yaml",
    ]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(POSTGRES)
    (tmp_path / "experiments").write_text("a file in the way of the folder\n")
    with pytest.raises(UsageError, match="cannot be written"):
        write_new(tmp_path)
    assert not (tmp_path / "holdfast.yaml").exists()


@pytest.mark.parametrize("name", ["compose.yml", "docker-compose.yml", "docker-compose.yaml"])
def test_a_compose_file_is_found_by_the_names_that_compose_knows_with_its_override(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(POSTGRES)
    (tmp_path / "compose.override.yaml").write_text("services: {db: {ports: ['5432']}}\n")
    written = write_new(tmp_path)
    assert [each.name for each in opened(written)["steady"].plans[0].stack] == [
        name,
        "compose.override.yaml",
        "holdfast.yaml",
    ]
    assert written.guess.front.is_published


def test_without_a_compose_file_or_with_another_file_it_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no Compose file in .*; name the one to look at"):
        write_new(tmp_path)
    with pytest.raises(UsageError, match="there is no file"):
        write_new(tmp_path / "compose.yaml")
    (tmp_path / "e.yaml").write_text("experiment: e\nstack: compose.yaml\n")
    with pytest.raises(UsageError, match="is no Compose file"):
        write_new(tmp_path / "e.yaml")
    (tmp_path / "compose.yaml").write_text(POSTGRES + "x-chaos: {front_door: db:5432}\n")
    with pytest.raises(UsageError, match="has x-chaos already"):
        write_new(tmp_path)


def test_the_command_tells_what_it_wrote_what_it_guessed_and_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("compose.yaml").write_text("services: {db: {image: mongo, command: --nojournal, ports: ['27017']}}\n")
    assert cli.main(["new"]) == EXIT_HELD
    said = capsys.readouterr().out.splitlines()
    assert said[0].split(maxsplit=2) == ["wrote", "holdfast.yaml", "what compose.yaml cannot say: x-chaos"]
    assert "  db is MongoDB, since its image is mongo" in said
    assert "  a driver: there is none for MongoDB; fill in experiments/driver.py" in said
    assert [line for line in said if line.startswith("warning: compose.yaml:1: db has nojournal: ")]
    assert said[-1] == "next: fill in experiments/driver.py, then: holdfast driver-test experiments/steady.yaml"
    assert "before it runs:" not in said
    assert cli.main(["new"]) == EXIT_USAGE
    assert "nothing is written over" in capsys.readouterr().err


def test_what_is_missing_before_it_runs_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_all(*given: object) -> object:
        raise UsageError("driver 'redis' cannot be imported; install it with: pip install 'holdfast[redis]'")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_open_all", open_all)
    Path("compose.yaml").write_text("services: {web: {image: shop/web, ports: ['80']}}\n")
    assert cli.main(["new"]) == EXIT_HELD
    said = capsys.readouterr().out.splitlines()
    assert said[said.index("before it runs:") + 1].endswith("pip install 'holdfast[redis]'")


def test_the_page_shows_what_the_command_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "cli.md").read_text().partition("## A stack of your own\n")[2].partition("\n## ")[0]
    compose, shown = re.findall(r"^```(?:yaml)?\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    monkeypatch.setattr(writing, "known_drivers", lambda: {"http": ""})
    Path("compose.yaml").write_text(compose)
    assert cli.main(["new"]) == EXIT_HELD
    assert f"$ holdfast new\n{capsys.readouterr().out}" == shown


def test_the_document_has_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("compose.yaml").write_text("services: {web: {image: shop/web, ports: ['80']}}\n")
    assert cli.main(["new", "--json"]) == EXIT_HELD
    document = json.loads(capsys.readouterr().out)
    assert document["written"][0] == "holdfast.yaml"
    assert document["guessed"] == ["the front door is web:80, since it publishes a port"]
    assert document["hindrance"] == ""


def test_a_driver_to_fill_in_says_at_each_call_what_is_to_be_done(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: shop/web, ports: ['80']}}\n")
    write_new(tmp_path)
    text = (tmp_path / "experiments" / "driver.py").read_text()
    assert [f'NotImplementedError("TODO: {call}")' in text for call in ("put", "delete", "everything")] == [True] * 3

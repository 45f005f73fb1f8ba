from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos.errors import UsageError
from chaos.stack.compose import load_stack
from chaos.stack.spec import Build, Healthcheck, Lun, Mount, Port, RoleCheck, RunbookStep, Service, Stack

MINIMAL = """\
services:
  db: {image: "postgres:15", volumes: ["pgdata:/data"]}
  gateway: {image: gw, ports: ["8080"], depends_on: [db]}
volumes: {pgdata: {}}
x-chaos:
  arrays: {core: {luns: {pgdata: {size: 512M}}}}
  front_door: gateway:8080
"""


def loaded(folder: Path, *texts: str, profiles: Sequence[str] = (), environment: dict[str, str] | None = None) -> Stack:
    files = []
    for i, text in enumerate(texts):
        files.append(folder / f"compose{i}.yaml")
        files[-1].write_text(text, encoding="utf-8")
    return load_stack(files, {"FROM_VARIABLES": "v"}, profiles, environment or {})


def service(folder: Path, keys: str, environment: dict[str, str] | None = None) -> Service:
    """The service db, with further keys as lines."""
    indented = "".join(f"    {line}\n" for line in keys.splitlines())
    text = MINIMAL.replace('  db: {image: "postgres:15", volumes: ["pgdata:/data"]}\n', "  db:\n" + indented)
    return loaded(folder, text, environment=environment).services["db"]


def test_a_small_file_becomes_a_stack(tmp_path: Path) -> None:
    stack = loaded(tmp_path, MINIMAL)
    assert list(stack.services) == ["db", "gateway"]
    assert stack.services["db"].mounts == (Mount("lun", "pgdata", "/data"),)
    assert stack.services["gateway"].ports == (Port(8080),)
    assert stack.services["gateway"].depends_on == {"db": "service_started"}
    assert stack.luns == {"pgdata": Lun("pgdata", "core", 512 * 1024**2)}
    assert (stack.front_door, str(stack.driver)) == (("gateway", 8080), "http")
    assert (stack.policy, stack.idempotency) == ("reject", "keyed")


def test_another_image_of_a_service_stands_for_its_own_and_for_what_it_would_be_built_from(tmp_path: Path) -> None:
    text = MINIMAL.replace("{image: gw,", "{build: ., deploy: {replicas: 2},")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    images = {"db": "postgres:17", "gateway": "registry:5000/gw@sha256:ab"}

    stack = load_stack([file], {}, (), {}, None, images)

    assert {name: (each.image, each.build) for name, each in stack.services.items()} == {
        "db": ("postgres:17", None),
        "gateway-1": ("registry:5000/gw@sha256:ab", None),
        "gateway-2": ("registry:5000/gw@sha256:ab", None),
    }


def test_an_image_for_a_service_that_is_not_there_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(MINIMAL)
    with pytest.raises(UsageError, match=r"an image is given for the service 'gatway', .* did you mean gateway\?"):
        load_stack([file], {}, (), {}, None, {"gatway": "x"})


def test_a_role_that_moves_has_a_question_and_a_rebuild_step_its_services(tmp_path: Path) -> None:
    stack = loaded(
        tmp_path,
        MINIMAL + "  roles:\n"
        "    primary: {of: [db, gateway], http: 8008/primary}\n"
        "    leader: {of: [db], http: '2379/metrics', says: is_leader 1}\n"
        "    root: {of: [db], http: 80}\n"
        "  copies: {records: [pgdata]}\n"
        "  recovery: [{rebuild: [db]}, {initialise: true}]\n",
    )
    assert stack.roles == {"primary": ("db", "gateway"), "leader": ("db",), "root": ("db",)}
    assert stack.role_checks == {
        "primary": RoleCheck(8008, "/primary"),
        "leader": RoleCheck(2379, "/metrics", "is_leader 1"),
        "root": RoleCheck(80, "/"),
    }
    assert stack.runbook[0] == RunbookStep("rebuild", "rebuild", services=("db",))
    assert stack.candidates("any primary") == ("db", "gateway")
    assert stack.candidates("db") == ("db",)


def test_x_chaos_says_what_compose_cannot(tmp_path: Path) -> None:
    stack = loaded(
        tmp_path,
        MINIMAL + "  driver: mine.driver:Mine\n"
        "  conflict: last-writer-wins\n"
        "  idempotency: none\n"
        "  roles: {database: [db]}\n"
        "  copies: {records: [pgdata]}\n"
        '  may_lose: ["gateway:/var/cache"]\n'
        "  steady: {db: pg_isready -q}\n"
        "  cold_restart: all-at-once\n"
        '  doors: {front: ["gateway:8080"]}\n'
        "  recovery:\n"
        "    - {name: last night's dump, restore: {service: db, run: restore.sh --newest}}\n"
        "    - {initialise: true}\n",
    )
    assert (str(stack.driver), stack.policy, stack.idempotency) == ("mine.driver:Mine", "last-writer-wins", "none")
    assert (stack.roles, stack.copies) == ({"database": ("db",)}, {"records": ("pgdata",)})
    assert stack.may_lose == ("gateway:/var/cache",)
    assert stack.steady == {"db": ("pg_isready", "-q")}
    assert stack.boots_at_once
    assert stack.doors == (("front", "gateway", 8080),)
    assert stack.runbook == (
        RunbookStep("last night's dump", "restore", "db", ("restore.sh", "--newest")),
        RunbookStep("initialise", "initialise"),
    )


def test_build_takes_a_folder_or_its_long_form(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image/Dockerfile").touch()
    (tmp_path / "image/Other").touch()
    assert service(tmp_path, "build: ./image").build == Build(tmp_path / "image")
    long = "build: {context: image, dockerfile: Other, args: [A=b, OUTER], target: final}"
    built = service(tmp_path, long, {"OUTER": "o"}).build
    assert built == Build(tmp_path / "image", "Other", {"A": "b", "OUTER": "o"}, "final")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("postgres -c 'fsync = off'", ("postgres", "-c", "fsync = off")),
        ("[postgres, -c, 5]", ("postgres", "-c", "5")),
        ("[]", ()),
        ('["$$HOME", "$FROM_VARIABLES"]', ("$HOME", "v")),
        ("null", None),
    ],
)
def test_a_command_is_a_list_or_is_split_as_a_shell_would(
    tmp_path: Path, written: str, words: tuple[str, ...] | None
) -> None:
    made = service(tmp_path, f"image: x\ncommand: {written}\nentrypoint: {written}")
    assert (made.command, made.entrypoint) == (words, words)


@pytest.mark.parametrize(
    "written",
    [
        "{A: 1.10, B: no, C: null, D: , E: '', F: true, GONE: null}",
        "[A=1.10, B=no, C, D, E=, F=true, GONE]",
    ],
)
def test_an_environment_is_a_mapping_or_a_list_and_takes_what_is_left_open_from_outside(
    tmp_path: Path, written: str
) -> None:
    made = service(tmp_path, f"image: x\nenvironment: {written}", {"C": "c", "D": "d"})
    assert made.environment == {
        "A": "1.1" if written[0] == "{" else "1.10",
        "B": "no",
        "C": "c",
        "D": "d",
        "E": "",
        "F": "true",
    }


def test_env_files_stand_behind_environment_and_the_later_before_the_earlier(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("# first\nA=1\nB='two words' # not this\nexport C=\"3\"\n\nD\n")
    (tmp_path / "b.env").write_text("A=9\nE=x # not this\n")
    keys = "image: x\nenvironment: {E: e}\nenv_file: [a.env, {path: b.env}, {path: no.env, required: false}]"
    made = service(tmp_path, keys, {"D": "d"})
    assert made.environment == {"A": "9", "B": "two words", "C": "3", "D": "d", "E": "e"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${SET}", "s"),
        ("a${SET}b$SET.c", "asbs.c"),
        ("${UNSET:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${UNSET-d}", "d"),
        ("${UNSET:-${SET}}", "s"),
        ("${UNSET:-${UNSET:-}}", ""),
        ("${SET:?needed}", "s"),
        ("${EMPTY?needed}", ""),
        ("${SET:+other}${UNSET+other}", "other"),
        ("$$SET $${SET}", "$SET ${SET}"),
        ("${UNSET}", ""),
        ("${FROM_VARIABLES}${FROM_DOTENV}", "vd"),
    ],
)
def test_variables_are_replaced_as_compose_does(tmp_path: Path, written: str, value: str) -> None:
    (tmp_path / ".env").write_text("FROM_DOTENV=d\nFROM_VARIABLES=less\nSET=less\n")
    made = service(tmp_path, f"image: x\nworking_dir: '{written}'", {"SET": "s", "EMPTY": ""})
    assert made.working_dir == value


def test_volumes_have_short_and_long_forms(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    keys = (
        "image: x\n"
        "volumes:\n"
        "  - pgdata:/data\n"
        "  - ./conf:/conf:ro\n"
        "  - /anonymous\n"
        "  - {type: bind, source: conf, target: /again, read_only: true}\n"
        "  - {type: tmpfs, target: /t, tmpfs: {size: 64M}}\n"
        "tmpfs: [/run, '/tmp:size=1m']"
    )
    assert service(tmp_path, keys).mounts == (
        Mount("lun", "pgdata", "/data"),
        Mount("bind", str(tmp_path / "conf"), "/conf", read_only=True),
        Mount("lun", "db:/anonymous", "/anonymous"),
        Mount("bind", str(tmp_path / "conf"), "/again", read_only=True),
        Mount("tmpfs", "", "/t", options="size=67108864"),
        Mount("tmpfs", "", "/run"),
        Mount("tmpfs", "", "/tmp", options="size=1m"),
    )


def test_ports_have_short_and_long_forms(tmp_path: Path) -> None:
    keys = "image: x\nports: [80, 81:82, '127.0.0.1:83:84', '127.0.0.1::85/tcp', {target: 86, published: '87'}]"
    assert service(tmp_path, keys).ports == (Port(80), Port(82, 81), Port(84, 83), Port(85), Port(86, 87))


@pytest.mark.parametrize(
    ("written", "check"),
    [
        (
            "{test: [CMD, pg_isready], interval: 200ms, timeout: 1m30s, retries: 5, start_period: 1.5s}",
            Healthcheck(("pg_isready",), 0.2, 90, 5, 1.5),
        ),
        ("{test: curl -f localhost}", Healthcheck(("/bin/sh", "-c", "curl -f localhost"))),
        ("{test: [CMD-SHELL, exit 0]}", Healthcheck(("/bin/sh", "-c", "exit 0"))),
        ("{test: [NONE]}", None),
        ("{disable: true}", None),
    ],
)
def test_healthchecks(tmp_path: Path, written: str, check: Healthcheck | None) -> None:
    assert service(tmp_path, f"image: x\nhealthcheck: {written}").healthcheck == check


def test_restarts_on_failure_may_be_counted(tmp_path: Path) -> None:
    made = service(tmp_path, "image: x\nrestart: on-failure:3")
    assert (made.restart, made.restarts_max) == ("on-failure", 3)


def test_the_other_keys_of_a_service(tmp_path: Path) -> None:
    (tmp_path / "password.txt").write_text("x")
    text = MINIMAL.replace("{pgdata: {}}", "{pgdata: {}}\nsecrets: {password: {file: password.txt}}\nnetworks: {n: }")
    text = text.replace("ports:", "restart: no, ports:").replace(
        'image: "postgres:15",',
        "image: x, user: '70:70', working_dir: /w, hostname: h, init: true, cap_add: [SYS_NICE], shm_size: 64mb, "
        "stop_grace_period: 1m, restart: unless-stopped, expose: [80, '81/tcp'], labels: [a=b], x-y: {z: 1}, "
        "secrets: [password, {source: password, target: other}], networks: {n: {aliases: [primary]}, default: }, "
        "deploy: {resources: {limits: {cpus: '0.5', memory: 256M}}},",
    )
    made = loaded(tmp_path, text).services["db"]
    assert (made.user, made.working_dir, made.hostname, made.init) == ("70:70", "/w", "h", True)
    assert (made.cap_add, made.shm_size_bytes, made.stop_grace_seconds) == (("SYS_NICE",), 64 * 1024**2, 60)
    assert (made.restart, made.aliases) == ("unless-stopped", ("primary",))
    assert (made.cpus, made.memory_bytes) == (0.5, 256 * 1024**2)
    assert made.secrets == {"password": tmp_path / "password.txt", "other": tmp_path / "password.txt"}


def test_anchors_merge_keys_and_extensions_save_writing(tmp_path: Path) -> None:
    text = "x-base: &base {image: x, environment: &env {A: a}}\n" + MINIMAL.replace(
        '{image: "postgres:15",', "{<<: *base, environment: {<<: *env, B: b}, "
    )
    made = loaded(tmp_path, text).services["db"]
    assert (made.image, made.environment) == ("x", {"A": "a", "B": "b"})


def test_a_service_without_its_profile_is_left_out_with_all_that_is_only_its_own(tmp_path: Path) -> None:
    text = MINIMAL.replace(
        "volumes: {pgdata: {}}", "  spare: {image: x, profiles: [spare], volumes: ['sp:/d']}\nvolumes: {pgdata: , sp: }"
    ).replace("pgdata: {size: 512M}", "pgdata: {size: 512M}, sp: {size: 64M}")
    text += "  roles: {spare: [spare]}\n  copies: {records: [pgdata, sp]}\n"
    without, having = loaded(tmp_path, text), loaded(tmp_path, text, profiles=["spare"])
    assert (list(without.services), list(without.luns)) == (["db", "gateway"], ["pgdata"])
    assert (without.roles, without.copies) == ({"spare": ()}, {"records": ("pgdata",)})
    assert (list(having.services), list(having.luns)) == (["db", "gateway", "spare"], ["pgdata", "sp"])


def test_a_profile_that_no_service_has_is_refused(tmp_path: Path) -> None:
    text = MINIMAL.replace("{image: gw,", "{image: gw, profiles: [gate],")
    with pytest.raises(UsageError, match=r"no service has the profile 'gaet'; did you mean gate?"):
        loaded(tmp_path, text, profiles=["gaet"])


def test_a_later_file_is_laid_over_an_earlier_one(tmp_path: Path) -> None:
    base = MINIMAL.replace(
        '{image: "postgres:15", volumes: ["pgdata:/data"]}',
        "{image: x, command: [a, b], environment: [A=1, B=2], ports: ['1', '2'], volumes: ['pgdata:/data', '/tmp'], "
        "healthcheck: {test: [CMD, a], retries: 7}}",
    )
    over = (
        "services:\n"
        "  db:\n"
        "    image: y\n"
        "    command: c\n"
        "    environment: {B: 3}\n"
        "    ports: ['2', '3']\n"
        "    volumes: ['other:/data']\n"
        "    healthcheck: {test: [CMD, b]}\n"
        "  more: {image: z}\n"
        "volumes: {other: }\n"
        "x-chaos: {arrays: {two: {luns: {other: {size: 64M}}}}}\n"
    )
    stack = loaded(tmp_path, base, over)
    db = stack.services["db"]
    assert (db.image, db.command, db.environment) == ("y", ("c",), {"A": "1", "B": "3"})
    assert db.ports == (Port(1), Port(2), Port(3))
    assert db.mounts == (Mount("lun", "other", "/data"), Mount("lun", "db:/tmp", "/tmp"))
    assert db.healthcheck is not None
    assert (db.healthcheck.test, db.healthcheck.retries) == (("b",), 7)
    assert list(stack.services) == ["db", "gateway", "more"]
    assert stack.arrays == {"two": ("other",), "local": ("db:/tmp",)}
    assert stack.front_door == ("gateway", 8080)


def test_a_dockerfile_may_lie_outside_its_context(tmp_path: Path) -> None:
    for name in ("image/sub/Dockerfile", "docker/Dockerfile"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    outside, inside = str(tmp_path / "docker/Dockerfile"), "sub/Dockerfile"
    for written, dockerfile in [
        ("../docker/Dockerfile", outside),
        (outside, outside),
        (str(tmp_path / "image/sub/Dockerfile"), inside),
        ("./sub/../sub/Dockerfile", inside),
    ]:
        built = service(tmp_path, f"build: {{context: image, dockerfile: {written}}}").build
        assert built == Build(tmp_path / "image", dockerfile)
        assert built.is_dockerfile_outside == (dockerfile == outside)


def test_a_build_may_have_secrets_keys_and_further_contexts(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").touch()
    (tmp_path / "s").touch()
    (tmp_path / "other").mkdir()
    text = """
        services:
          gateway:
            build:
              context: .
              secrets: [a, {source: b, target: x}]
              ssh: [default, "k=/key"]
              additional_contexts: [o=other, "i=docker-image://debian:12", "g=https://example.org/a.git"]
            ports: ["8080"]
        secrets: {a: {file: s}, b: {environment: B}}
        x-chaos: {front_door: gateway:8080}
        """
    (tmp_path / "compose.yaml").write_text(textwrap.dedent(text))
    build = load_stack([tmp_path / "compose.yaml"], {}, [], {"B": "text"}).services["gateway"].build
    assert build is not None
    assert build.secrets == {"a": tmp_path / "s"}
    assert build.secret_texts == {"x": b"text"}
    assert build.ssh == ("default", "k=/key")
    assert build.contexts == {
        "o": str(tmp_path / "other"),
        "i": "docker-image://debian:12",
        "g": "https://example.org/a.git",
    }

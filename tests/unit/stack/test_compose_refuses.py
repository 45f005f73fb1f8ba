from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.errors import SourceError, UsageError
from chaos.stack.compose import load_stack
from chaos.stack.compose.refused import REFUSED
from tests.unit.stack.test_compose_load import MINIMAL

SECRET = "hunter2-planted"


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(*texts: str) -> str:
    files = []
    for i, text in enumerate(texts):
        files.append(Path(f"c{i}.yaml"))
        files[-1].write_text(text, encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        load_stack(files, {}, [], {"PASSWORD": SECRET})
    return str(caught.value)


def with_db(keys: str) -> str:
    return MINIMAL.replace('image: "postgres:15"', f"image: x, {keys}")


def test_a_key_that_compose_has_and_we_do_not_load_is_refused_by_name_with_the_reason() -> None:
    assert refusal(MINIMAL.replace("{image: gw,", "{image: gw, network_mode: host,")) == (
        "c0.yaml:3:24: network_mode is not supported\n"
        '    3 |   gateway: {image: gw, network_mode: host, ports: ["8080"], depends_on: [db]}\n'
        "      |                        ^ all services share the run's one bridge, and reach nothing outside it"
    )


@pytest.mark.parametrize("key", sorted(REFUSED["service"]))
def test_every_such_key_of_a_service_is_refused(key: str) -> None:
    assert f"c0.yaml:2:18: {key} is not supported" in refusal(with_db(f"{key}: x"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("build: {context: ., entitlements: [x]}", "entitlements is not supported"),
        ("deploy: {resources: {reservations: {devices: [{driver: nvidia}]}}}", "devices is not supported"),
        ("scale: 21", "21 replicas are more than 20"),
        ("depends_on: {gateway: {condition: service_started, requird: false}}", "unknown key 'requird'"),
        ("links: [gatway]", "unknown service 'gatway'"),
        ("volumes_from: [gatway]", "unknown service 'gatway'"),
        ("volumes_from: ['container:x']", "unknown service 'container'"),
        ("mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}", "mem_limit and deploy.resources.limits say"),
        ("security_opt: ['seccomp:./no.json']", "no such file: the profile of seccomp"),
        ("volumes: ['/var/run/docker.sock:/s']", "the engine's socket is not supported"),
        ("volumes: ['/run/podman/podman.sock:/s:ro']", "the engine's socket is not supported"),
        ("volumes: ['/var/run:/host']", "the engine's socket is not supported"),
        ("pid: 'container:other'", "pid is not supported"),
        ("comand: x", "unknown key 'comand'\n"),
        ("command: 'a \"b'", "this cannot be split into words"),
        ("depends_on: [dbb]", "unknown service 'dbb'"),
        ("depends_on: [gateway]", "services wait for each other: db -> gateway -> db"),
        ("depends_on: {gateway: {condition: healthy}}", "condition should be 'service_started'"),
        ("volumes: ['pgdat:/x']", "unknown volume 'pgdat'"),
        ("volumes: ['pgdata:/x:or']", "the volume option 'or' is unknown"),
        (
            "volumes: [{type: bind, source: ./nowhere, target: /x, bind: {create_host_path: false}}]",
            "no such file or folder: ./nowhere",
        ),
        ("volumes: ['pgdata:x']", "target should match"),
        ("ports: ['1-3:1-2']", "3 published ports for 2 of the container"),
        ("ports: ['9-1']", "9-1 is no range"),
        ("volumes: ['a:b:c:d']", "this should be a volume"),
        ("ports: ['99999']", "target should be less than or equal to 65535"),
        ("healthcheck: {interval: 5}", "this should be a duration"),
        ("healthcheck: {test: [curl]}", "the first word of test should be CMD, CMD-SHELL or NONE"),
        ("shm_size: many", "this should be a size"),
        ("init: maybe", "this should be true or false"),
        ("user: 1000", "this should be text, not 1000"),
        ("restart: 'on-failure:x'", "this should be no, always, on-failure, on-failure:N"),
        ("configs: [nginx]", "unknown config 'nginx'"),
        ("secrets: [pw]", "unknown secret 'pw'"),
        ("networks: [back]", "unknown network 'back'"),
        ("build: ./nowhere", "the build context './nowhere' is no folder"),
        ("build: ~nobody/x", "the build context '~nobody/x' is no folder"),
        (f"build: {'a' * 300}", "is no folder"),
        (f"env_file: {'a' * 300}", "the env file cannot be read: File name too long"),
        ("build: .", "no Dockerfile in the build context"),
        ("build: {context: ., dockerfile: ../x/Dockerfile}", "no ../x/Dockerfile in the build context"),
        ("build: {context: ., secrets: [x]}", "unknown secret 'x'"),
        ("build: {context: ., additional_contexts: {x: nowhere}}", "the build context 'nowhere' is no folder"),
        ("build: {context: ., additional_contexts: [x=service:db]}", "the image of a service is no context here"),
        ("env_file: no.env", "the env file cannot be read"),
        ("user: '${NO_ONE:?say who}'", "variable NO_ONE is required: say who"),
        ("user: '${'", "a ${ that is not closed"),
        ("user: '${A%b}'", "${A...} holds something unknown"),
    ],
)
def test_a_wrong_service_is_refused_with_its_place(keys: str, message: str) -> None:
    said = refusal(with_db(keys).replace(', volumes: ["pgdata:/data"]', "") if "volumes" in keys else with_db(keys))
    assert message in said
    assert said.startswith(("c0.yaml:2:", "c0.yaml:3:", "no.env"))


@pytest.mark.parametrize(
    ("filesystem", "option", "message"),
    [
        ("ext4", "ro", "nothing could be written to it"),
        ("xfs", "norecovery", "its journal would not be replayed"),
        ("ext4", "noload", "its journal would not be replayed"),
        ("xfs", "logdev=/dev/sda1", "it reaches another device of this host"),
        ("ext4", "errors=panic", "it would stop this host's kernel at an error"),
        ("ext4", "loop", "a LUN has a loop device of its own"),
        ("xfs", "remount", "a LUN has a loop device of its own"),
        ("ext4", "rshared", "a LUN has a loop device of its own"),
        ("ext4", "x-systemd.automount", "a word of /etc/fstab"),
        ("xfs", "nobarrier", "XFS has none since Linux 4.19"),
        ("ext4", "nouuid", "an option of XFS"),
        ("ext4", "'noatime,commit=30'", "^ such as [noatime, commit=30]"),
        ("ext4", "'no atime'", "'no atime' is no mount option"),
    ],
)
def test_a_mount_option_by_which_a_verdict_would_be_wrong_or_the_host_reached_is_refused(
    filesystem: str, option: str, message: str
) -> None:
    said = refusal(
        MINIMAL.replace("size: 512M", f"size: 512M, filesystem: {filesystem}, mount_options: [noatime, {option}]")
    )
    assert said.startswith("c0.yaml:6:")
    assert message in said
    assert said.splitlines()[2].index("^") == said.splitlines()[1].index(option)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pgdata: {size", "pgdta: {size", "6:26: no volume 'pgdta' for this LUN"),
        ("size: 512M", "size: 1M", "6:41: size should be greater than or equal to 16777216"),
        ("size: 512M", "size: 20000001", "6:41: the size of a LUN should be whole blocks of 4096 bytes"),
        ("size: 512M", "size: 20000001", "such as 20000768"),
        ("size: 512M", "sise: 512M", "6:35: unknown key 'sise'"),
        ("size: 512M", "size: 512M, filesystem: btrfs", "filesystem: btrfs is not in this version; use ext4 or xfs"),
        ("size: 512M", "size: 299M, filesystem: xfs", "6:41: XFS needs 300 MiB, and this LUN has 299"),
        ("size: 512M", "size: 512M, mount_options: 'noatime,ro'", "^ such as [noatime, ro]"),
        ("gateway:8080", "gatway:8080", "7:15: unknown service 'gatway'"),
        ("gateway:8080", "gateway:81", "7:15: gateway does not publish port 81"),
        ("gateway:8080", "gateway", "7:15: front_door should be service:port"),
        ("front_door", "frontdoor", "5:1: the key 'front_door' is missing here"),
        ("gateway:8080", "gateway:8080\n  conflict: keep-both", "conflict: keep-both is not in this version"),
        ("gateway:8080", "gateway:8080\n  conflict: merge", "unknown conflict policy 'merge'"),
        ("gateway:8080", "gateway:8080\n  driver: Mine", "8:11: unknown driver 'Mine'"),
        ("gateway:8080", "gateway:8080\n  roles: {database: [bd]}", "unknown service 'bd'"),
        ("gateway:8080", "gateway:8080\n  copies: {records: [x]}", "unknown volume 'x'"),
        ("gateway:8080", "gateway:8080\n  may_lose: [gateway]", "may_lose takes service:/path"),
        ("gateway:8080", "gateway:8080\n  steady: {bd: [x]}", "8:12: unknown service 'bd'"),
        ("gateway:8080", "gateway:8080\n  steady: {db: []}", "steady"),
        ("gateway:8080", "gateway:8080\n  doors: {replica: [db]}", "8:21: a door should be service:port"),
        ("gateway:8080", "gateway:8080\n  doors: {replica: [db:5432]}", "8:21: db does not publish port 5432"),
        ("gateway:8080", "gateway:8080\n  plant_loss: {service: bd, run: 'rm {record}'}", "unknown service 'bd'"),
        ("gateway:8080", "gateway:8080\n  plant_loss: {service: db, run: rm all}", "which record it removes"),
        ("gateway:8080", "gateway:8080\n  recovery: [{name: x}]", "a step is one of rebuild, restore and initialise"),
        ("gateway:8080", "gateway:8080\n  recovery: [{rebuild: [db], initialise: true}]", "a step is one of rebuild"),
        ("gateway:8080", "gateway:8080\n  recovery: [{rebuild: [bd]}]", "unknown service 'bd'"),
        ("gateway:8080", "gateway:8080\n  recovery: [{rebuild: [db]}]", "db has no volume under copies"),
        ("gateway:8080", "gateway:8080\n  roles: {first: {of: [bd], http: 80}}", "unknown service 'bd'"),
        ("gateway:8080", "gateway:8080\n  roles: {db: {of: [db], http: 80}}", "db is the name of a service, too"),
        ("gateway:8080", "gateway:8080\n  roles: {first: {of: [db], http: primary}}", "http should be PORT/PATH"),
        ("gateway:8080", "gateway:8080\n  recovery: [{initialise: true}, {initialise: true}]", "put it last"),
        ("{core:", "{c2: {luns: {pgdata: {size: 64M}}}, core:", "LUN pgdata is already on array c2"),
        ("x-chaos:", "x-choas:", "the key 'x-chaos' is missing here"),
        ("volumes: {", "volums: {", "4:1: unknown key 'volums'"),
    ],
)
def test_a_wrong_stack_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    assert message in refusal(MINIMAL.replace(old, new))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (MINIMAL.replace("{image: gw,", "{image: gw, privilegd: true,"), "did you mean privileged?"),
        (MINIMAL.replace("{image: gw,", "{image: gw, loging: {},"), "did you mean logging?"),
        (MINIMAL.replace("{image: gw,", "{image: gw, healthcheck: {intervall: 5s},"), "did you mean interval?"),
        (MINIMAL.replace("{image: gw,", "{image: gw, deploy: {resorces: {}},"), "did you mean resources?"),
        (MINIMAL.replace("{image: gw,", "{image: gw, networks: {default: {alias: [x]}},"), "did you mean aliases?"),
        (MINIMAL.replace("{pgdata: {}}", "{pgdata: {extrenal: true}}"), "did you mean external?"),
        (MINIMAL.replace("{luns:", "{lun:"), "did you mean luns?"),
        (MINIMAL.replace("{size:", "{sise:"), "did you mean size?"),
    ],
)
def test_a_typo_gets_its_hint_at_every_depth(text: str, hint: str) -> None:
    assert f"^ {hint}" in refusal(text)


def test_all_problems_are_told_at_once_whatever_step_finds_them() -> None:
    text = MINIMAL.replace(
        "{image: gw,",
        "{image: 'gw${', privileged: true, comand: x, init: maybe, user: 7, links: [nobody], volumes: ['/run:/d'],",
    )
    said = refusal(text.replace("gateway:8080", "gateway:80"))
    for message in ("a ${ that is not closed", "privileged is not supported", "unknown key 'comand'", "true or false"):
        assert message in said
    for message in ("not 7", "unknown service 'nobody'", "the engine's socket", "does not publish port 80"):
        assert message in said
    assert "neither image nor build" not in said


def test_no_problem_is_cut_without_a_word() -> None:
    services = "".join(f"  s{i}: {{image: x, privileged: true}}\n" for i in range(120))
    said = refusal(MINIMAL.replace("volumes: {", f"{services}volumes: {{", 1))
    assert said.count("privileged is not supported") == 100
    assert said.endswith("... and 20 more; correct these first")


@pytest.mark.parametrize(
    "keys",
    [
        "privileged: false",
        "devices: []",
        "network_mode: bridge",
        "tty: false",
        "scale: 1",
        "runtime: runc",
        "ipc: private",
        "pid: ",
        "deploy: {replicas: 1, mode: replicated}",
    ],
)
def test_a_value_that_changes_nothing_is_no_reason_to_refuse(keys: str) -> None:
    Path("c.yaml").write_text(with_db(keys))
    assert load_stack([Path("c.yaml")], {}, [], {}).notes == ()


def test_a_service_that_is_switched_off_may_say_what_is_refused() -> None:
    Path("c.yaml").write_text(with_db("profiles: [off], privileged: true, logging: {driver: x}, volumes: ['/dev:/d']"))
    text = Path("c.yaml").read_text().replace(", depends_on: [db]", "").replace(', volumes: ["pgdata:/data"]', "")
    Path("c.yaml").write_text(text)
    assert load_stack([Path("c.yaml")], {}, [], {}).notes == ()
    with pytest.raises(SourceError, match="privileged is not supported"):
        load_stack([Path("c.yaml")], {}, ["off"], {})


def test_a_value_that_equals_that_of_a_variable_is_shown_as_it_is_written() -> None:
    text = with_db(
        "user: '${PASSWORD}', volumes: [{type: bind, source: /hunter2-planted, target: /d, "
        "bind: {create_host_path: false}}]"
    )
    said = refusal(text.replace(', volumes: ["pgdata:/data"]', ""))
    assert "no such file or folder: /hunter2-planted" in said


def test_a_problem_of_an_overlay_shows_the_overlay() -> None:
    assert refusal(MINIMAL, "x-chaos:\n  front_door: gateway:81\n") == (
        "c1.yaml:2:15: gateway does not publish port 81\n"
        "    2 |   front_door: gateway:81\n"
        '      |               ^ add ports: ["81"] to gateway'
    )


@pytest.mark.parametrize(
    "keys",
    [
        f"environment: {{A: {SECRET}, B: [x]}}",
        f"environment: [A={SECRET}, [x]]",
        f"environment: A={SECRET}",
        f"environment: {{A: {{deep: {SECRET}}}}}",
        f"enviroment: {{A: {SECRET}}}",
        f"environment: {{A: {SECRET}}}, user: '${{NO_ONE:?say}}'",
        f"environment: {{A: {SECRET}}}, privileged: true",
        f"environment: {{A: {SECRET}}}, depends_on: [nobody]",
        f"environment: {{A: {SECRET}}}, environment: {{A: b}}",
        f"environment: {{A: {SECRET}",
        f'environment: {{A: "{SECRET}\\uD800"}}',
        f"environment: {{A: &a {SECRET}}}, user: [*a]",
        f"build: {{context: ., args: {{A: {SECRET}}}, no: x}}",
        f"build: {{context: ., args: [A={SECRET}], tags: x}}",
        f"x-env: {{A: {SECRET}}}, privileged: true",
        f"scale: 2, enviroment: {{A: {SECRET}}}",
        f"scale: 2, environment: {{A: {SECRET}}}, privileged: true",
        "extends: '${PASSWORD}'",
        "links: ['${PASSWORD}']",
        "volumes_from: ['${PASSWORD}']",
        "container_name: '${PASSWORD} '",
        "volumes: [{type: bind, source: '/dev/${PASSWORD}', target: /x}]",
        "volumes: [{type: bind, source: '${PASSWORD}', target: /x, bind: {create_host_path: false}}]",
        "secrets: [{source: '${PASSWORD}', target: /x}]",
        "security_opt: ['seccomp:${PASSWORD}']",
        "networks: {'n': {aliases: ['${PASSWORD}']}}",
        "init: '${PASSWORD}', ulimits: {a: '${PASSWORD}'}, cap_add: '${PASSWORD}'",
        "ports: [{target: '${PASSWORD}', protocol: '${PASSWORD}'}], cpus: '${PASSWORD}'",
        "deploy: {restart_policy: {condition: '${PASSWORD}'}}",
        "extends: {service: '${PASSWORD}', file: '${PASSWORD}'}",
        "extends: {service: '${PASSWORD}', file: c0.yaml}",
        "shm_size: '${PASSWORD}'",
        "ports: ['${PASSWORD}']",
        "restart: '${PASSWORD}'",
        "volumes: ['${PASSWORD}']",
        "depends_on: ['${PASSWORD}']",
        "command: 'a \"${PASSWORD}'",
        "build: '${PASSWORD}'",
        "user: '${PASSWORD:?}${NO_ONE:?${PASSWORD}}'",
    ],
)
def test_no_error_shows_a_value_of_an_environment(keys: str) -> None:
    assert SECRET not in refusal(with_db(keys))


@pytest.mark.parametrize(
    "include", ["['${PASSWORD}']", "[{path: '${PASSWORD}'}]", "[{path: [x], env_file: '${PASSWORD}'}]"]
)
def test_no_error_of_an_included_file_shows_a_variable(include: str) -> None:
    assert SECRET not in refusal(f"include: {include}\n{MINIMAL}")


def test_no_error_shows_a_line_of_an_env_file() -> None:
    Path("secret.env").write_text(f"A=1\n!{SECRET}\n")
    said = refusal(with_db("env_file: secret.env"))
    assert "secret.env:2:1: not of the form NAME=value" in said
    assert SECRET not in said


def test_no_representation_of_a_stack_shows_a_value_of_an_environment() -> None:
    Path("c.yaml").write_text(with_db(f"environment: {{A: {SECRET}, B: '${{PASSWORD}}'}}"))
    stack = load_stack([Path("c.yaml")], {}, [], {"PASSWORD": SECRET})
    assert stack.services["db"].environment == {"A": SECRET, "B": SECRET}
    assert SECRET not in repr(stack)


PIECES = st.sampled_from(
    [
        *("services", "db", "gateway", "image", "build", "command", "environment", "ports", "volumes", "networks"),
        *("depends_on", "healthcheck", "test", "deploy", "resources", "limits", "x-chaos", "arrays", "luns", "size"),
        *("front_door", "gateway:8080", "recovery", "copies", "secrets", "file", "pgdata", "pgdata:/data", "8080"),
        *("extends", "service", "include", "path", "configs", "content", "links", "volumes_from", "scale", "replicas"),
        *("ulimits", "extra_hosts", "sysctls", "security_opt", "restart_policy", "tmpfs", "mode", "target", "source"),
        *("type", "bind", "subpath", "reservations", "a.yaml", "b.yaml", "3", "1-3:4-6/udp", "db:x", "on-failure:2"),
        *("external", "driver_opts", "interval", "condition", "service_healthy", "seccomp:a.yaml", "a=::1"),
        *("${A", "${A:-$", "$", "512M", "true", "x-y", "profiles", "env_file", ".", "\0", "~", "/", "a" * 300),
    ]
)
TREES = st.recursive(
    PIECES | st.none() | st.integers() | st.floats() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PIECES, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES, TREES, st.sampled_from(["services", "x-chaos", "volumes", "networks", "secrets", "configs", "include"]))
def test_whatever_the_files_say_loading_ends_in_a_stack_or_in_a_usage_error(
    tmp_path: Path, tree: object, other: object, key: str
) -> None:
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    service = {"db": tree, "gateway": {"image": "x", "ports": ["8080"]}}
    files[0].write_text(json.dumps({"services": service, "x-chaos": {"front_door": "gateway:8080"}}))
    files[1].write_text(json.dumps({key: other}))
    for chosen in (files[:1], files):
        with suppress(UsageError):
            load_stack(chosen, {}, [], {})

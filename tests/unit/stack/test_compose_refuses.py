from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.errors import SourceError, UsageError
from chaos.stack.compose import load_stack
from chaos.stack.compose_refused import REFUSED
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
        '    3 |   gateway: {image: gw, network_mode: ****, ports: ["8080"], depends_on: [db]}\n'
        "      |                        ^ all services share the run's one bridge, and reach nothing outside it"
    )


@pytest.mark.parametrize("key", sorted(REFUSED["service"]))
def test_every_such_key_of_a_service_is_refused(key: str) -> None:
    assert f"c0.yaml:2:18: {key} is not supported" in refusal(with_db(f"{key}: x"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("build: {context: ., secrets: [x]}", "secrets is not supported"),
        ("deploy: {replicas: 2}", "replicas is not supported"),
        ("deploy: {resources: {reservations: {}}}", "reservations is not supported"),
        ("healthcheck: {test: [CMD, a], start_interval: 1s}", "start_interval is not supported"),
        ("depends_on: {gateway: {condition: service_started, required: false}}", "required is not supported"),
        ("ports: [{target: 80, mode: host}]", "mode is not supported"),
        ("volumes: [{type: bind, source: ., target: /x, bind: {propagation: shared}}]", "bind is not supported"),
        ("networks: {default: {ipv4_address: 1.2.3.4}}", "ipv4_address is not supported"),
        ("comand: x", "unknown key 'comand'\n"),
        ("command: 'a \"b'", "this cannot be split into words"),
        ("depends_on: [dbb]", "unknown service 'dbb'"),
        ("depends_on: [gateway]", "services wait for each other: db -> gateway -> db"),
        ("depends_on: {gateway: {condition: service_healthy}}", "service gateway has no healthcheck here"),
        ("depends_on: {gateway: {condition: healthy}}", "condition should be 'service_started'"),
        ("volumes: ['pgdat:/x']", "unknown volume 'pgdat'"),
        ("volumes: ['./nowhere:/x']", "no such file or folder: ./nowhere"),
        ("volumes: ['pgdata:/x', 'pgdata:/x']", "two volumes at /x"),
        ("volumes: ['pgdata:x']", "target should match"),
        ("volumes: ['a:b:c:d']", "this should be a volume"),
        ("volumes: ['pgdata:/x:z']", "the volume option z is not supported"),
        ("ports: ['8080-8090']", "port ranges are not supported"),
        ("ports: ['53:53/udp']", "protocol should be 'tcp', not"),
        ("ports: ['1.2.3.4:80:80']", "a port can be published on 127.0.0.1 only"),
        ("ports: ['99999']", "target should be less than or equal to 65535"),
        ("healthcheck: {interval: 5}", "this should be a duration"),
        ("healthcheck: {interval: 5s}", "a healthcheck without test"),
        ("healthcheck: {test: [curl]}", "the first word of test should be CMD, CMD-SHELL or NONE"),
        ("shm_size: many", "this should be a size"),
        ("init: yes", "this should be true or false"),
        ("restart: 'always:3'", "this should be no, always, on-failure, on-failure:N or unless-stopped"),
        ("secrets: [pw]", "unknown secret 'pw'"),
        ("networks: [back]", "unknown network 'back'"),
        ("networks: {default: {aliases: [gateway]}}", "the alias gateway is already a name of gateway"),
        ("build: ./nowhere", "the build context './nowhere' is no folder"),
        ("build: ~nobody/x", "the build context '~nobody/x' is no folder"),
        (f"build: {'a' * 300}", "is no folder"),
        (f"env_file: {'a' * 300}", "the env file cannot be read: File name too long"),
        ("volumes: ['~nobody/x:/x']", "no such file or folder: ~nobody/x"),
        ("build: .", "no Dockerfile in the build context"),
        ("env_file: no.env", "the env file cannot be read"),
        ("user: '${NO_ONE:?say who}'", "variable NO_ONE is required: say who"),
        ("user: '${'", "a ${ that is not closed"),
        ("user: '${A%b}'", "${A...} holds something unknown"),
        ("user: 'a$'", "a $ that begins no variable"),
    ],
)
def test_a_wrong_service_is_refused_with_its_place(keys: str, message: str) -> None:
    said = refusal(with_db(keys).replace(', volumes: ["pgdata:/data"]', "") if "volumes" in keys else with_db(keys))
    assert message in said
    assert said.startswith(("c0.yaml:2:", "c0.yaml:3:", "no.env"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pgdata: {size", "pgdta: {size", "6:26: no volume 'pgdta' for this LUN"),
        ("size: 512M", "size: 1M", "6:41: size should be greater than or equal to 16777216"),
        ("size: 512M", "size: 20000001", "6:41: the size of a LUN should be whole blocks of 4096 bytes"),
        ("size: 512M", "size: 20000001", "such as 20000768"),
        ("size: 512M", "sise: 512M", "6:35: unknown key 'sise'"),
        ("size: 512M", "size: 512M, filesystem: xfs", "filesystem: xfs is not in this version; use ext4"),
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
        ("gateway:8080", "gateway:8080\n  recovery: [{name: x}]", "a step is one of rebuild, restore and initialise"),
        ("gateway:8080", "gateway:8080\n  recovery: [{rebuild: [db], initialise: true}]", "a step is one of rebuild"),
        ("gateway:8080", "gateway:8080\n  recovery: [{rebuild: [bd]}]", "unknown service 'bd'"),
        ("gateway:8080", "gateway:8080\n  recovery: [{rebuild: [db]}]", "db has no volume under copies"),
        ("gateway:8080", "gateway:8080\n  roles: {first: {of: [bd], http: 80}}", "unknown service 'bd'"),
        ("gateway:8080", "gateway:8080\n  roles: {db: {of: [db], http: 80}}", "db is a service too"),
        ("gateway:8080", "gateway:8080\n  roles: {first: {of: [db], http: primary}}", "http should be PORT/PATH"),
        ("gateway:8080", "gateway:8080\n  recovery: [{initialise: true}, {initialise: true}]", "put it last"),
        ("{core:", "{c2: {luns: {pgdata: {size: 64M}}}, core:", "LUN pgdata is already on array c2"),
        ("{pgdata: {}}", "{pgdata: {external: true}}", "4:20: external is not supported"),
        ("x-chaos:", "x-choas:", "the key 'x-chaos' is missing here"),
        ("volumes: {", "volums: {", "4:1: unknown key 'volums'"),
    ],
)
def test_a_wrong_stack_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    assert message in refusal(MINIMAL.replace(old, new))


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
        *("${A", "${A:-$", "$", "512M", "true", "x-y", "profiles", "env_file", ".", "\0", "~", "/", "a" * 300),
    ]
)
TREES = st.recursive(
    PIECES | st.none() | st.integers() | st.floats() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PIECES, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES, TREES, st.sampled_from(["services", "x-chaos", "volumes", "networks", "secrets"]))
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

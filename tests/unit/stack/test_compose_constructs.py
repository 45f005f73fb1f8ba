"""What the constructs of Compose come to in a stack; that they are read as by Compose, test_compose_cases.py shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import SourceError
from chaos.stack.compose import load_stack
from chaos.stack.inputs.sources import Sources
from chaos.stack.spec import Healthcheck, Limits, Mount, Port, Stack, Ulimit

CHAOS = "x-chaos: {front_door: web:80}\n"
WEB = 'services:\n  web:\n    image: nginx\n    ports: ["80"]\n'


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str, *, chaos: str = CHAOS, **environment: str) -> Stack:
    Path("c.yaml").write_text(text + chaos)
    return load_stack([Path("c.yaml")], {}, [], environment)


def web(keys: str, *, more: str = "", **environment: str) -> Stack:
    return loaded(WEB + "".join(f"    {line}\n" for line in keys.splitlines()) + more, **environment)


def test_limits_and_rights_are_kept_for_the_engine() -> None:
    made = web(
        "ulimits: {nproc: 20, nofile: {soft: 10, hard: 20}}\n"
        "mem_limit: 1.5g\nmemswap_limit: -1\ncpus: 0.5\npids_limit: 100\ncpu_shares: 512\ncpuset: '0'\n"
        "oom_score_adj: -5\noom_kill_disable: true\nread_only: yes\ncap_drop: [ALL]\ncap_add: [CAP_net_admin]\n"
        "security_opt: [no-new-privileges:true, apparmor=unconfined]\nsysctls: [net.core.somaxconn=1024]\n"
        "group_add: [mail, 100]\ntty: true\nstdin_open: true\nstop_signal: SIGINT\nplatform: linux/amd64\ndomainname: d"
    ).services["web"]
    ulimits = (Ulimit("nofile", 10, 20), Ulimit("nproc", 20, 20))
    assert made.limits == Limits(100, -1, None, 512, "0", True, -5, ulimits)
    assert (made.memory_bytes, made.cpus, made.read_only) == (3 * 2**29, 0.5, True)
    assert (made.cap_add, made.cap_drop) == (("NET_ADMIN",), ("ALL",))
    assert made.security_opt == ("no-new-privileges=true", "apparmor=unconfined")
    assert (made.sysctls, made.group_add) == ({"net.core.somaxconn": "1024"}, ("mail", "100"))
    assert (made.tty, made.stdin_open, made.stop_signal, made.platform) == (True, True, "SIGINT", "linux/amd64")
    assert made.domainname == "d"


def test_a_quota_of_the_processor_is_a_limit_too() -> None:
    assert web("cpu_quota: 50000\ncpu_period: 25000").services["web"].cpus == 2.0


def test_a_profile_of_seccomp_is_read_from_its_file() -> None:
    Path("profile.json").write_text('{"x": 1}')
    assert web("security_opt: ['seccomp:./profile.json']").services["web"].security_opt == ('seccomp={"x": 1}',)


@pytest.mark.parametrize(
    ("keys", "restart", "most"),
    [
        ("restart: on-failure:5", "on-failure", 5),
        ("restart: 'no'", "no", 0),
        ("deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}", "on-failure", 3),
        ("restart: always\ndeploy: {restart_policy: {condition: none}}", "no", 0),
        ("deploy: {restart_policy: {}}", "always", 0),
    ],
)
def test_a_policy_of_restarts_may_have_an_end(keys: str, restart: str, most: int) -> None:
    made = web(keys).services["web"]
    assert (made.restart, made.restarts_max) == (restart, most)


def test_names_of_a_service() -> None:
    stack = web(
        "container_name: my-web\nlinks: ['b:db', b]\nextra_hosts: ['c:192.0.2.1', 'd=::1', 'd=192.0.2.2']",
        more="  b: {image: redis}\n",
    )
    made = stack.services["web"]
    assert made.aliases == ("my-web",)
    assert made.links == {"db": "b"}
    assert made.hosts == (("c", "192.0.2.1"), ("d", "::1"), ("d", "192.0.2.2"))
    assert made.depends_on == {"b": "service_started"}
    assert stack.notes == ("addresses of extra_hosts outside the run's bridge cannot be reached (web)",)


def test_files_of_which_the_compose_file_has_the_content() -> None:
    Path("f").write_text("x")
    made = web(
        "configs: [plain, {source: text, target: /etc/text}, fromenv]\nsecrets: [s, {source: t, target: /etc/t}]",
        more="configs: {plain: {file: f}, text: {content: 'a=${A}'}, fromenv: {environment: A}}\n"
        "secrets: {s: {environment: A}, t: {file: f}}\n",
        A="1",
    ).services["web"]
    assert made.texts == {"/etc/text": b"a=1", "/fromenv": b"1", "/run/secrets/s": b"1"}
    assert made.mounts == (Mount("bind", str(Path("f").resolve()), "/plain", read_only=True),)
    assert made.secrets == {"/etc/t": Path("f").resolve()}


def test_the_images_own_health_check_is_meant_where_the_file_has_none() -> None:
    assert web("user: '1'").services["web"].healthcheck == Healthcheck((), 0, 0, 0, 0)
    assert web("healthcheck: {interval: 5s, retries: 2}").services["web"].healthcheck == Healthcheck((), 5, 0, 2, 0)
    assert web("healthcheck: {disable: true}").services["web"].healthcheck is None


def test_mounts_of_another_service() -> None:
    made = web(
        "volumes: ['own:/own', 'own:/d']\nvolumes_from: ['b:ro']",
        more="  b: {image: redis, volumes: ['data:/d', 'data:/e']}\nvolumes: {data: , own: }\n",
    ).services["web"]
    assert {mount.target: (mount.source, mount.read_only) for mount in made.mounts} == {
        "/own": ("own", False),
        "/d": ("own", False),
        "/e": ("data", True),
    }
    assert made.depends_on == {"b": "service_started"}


def test_ports_by_range_are_single_ports_and_those_of_udp_are_told() -> None:
    stack = web(
        "environment: {A: 1}", more="  b: {image: x, ports: ['8000-8001:80-81', '9000-9009:90', '53:53/udp']}\n"
    )
    assert stack.services["b"].ports == (Port(80, 8000), Port(81, 8001), Port(90))
    assert stack.notes == ("ports of UDP are not published (b): services reach them in the run's bridge",)


def test_what_has_no_meaning_is_told_once_a_key() -> None:
    stack = web(
        "logging: {driver: none}\ndns: 8.8.8.8\nlabels: {a: b}",
        more="  b: {image: x, logging: {driver: none}, deploy: {placement: {constraints: [a]}}}\n"
        "volumes: {data: {external: true}}\n",
    )
    assert stack.notes == (
        "logging is read over (web, b): every container's log is kept in the run's folder",
        "dns is read over (web): all services share the run's one bridge, and reach nothing outside it",
        "deploy.placement is read over (b): there is one copy of the service, on one engine",
        "volumes.*.external is read over (data): a volume belongs to the run and begins blank",
    )


def test_namespaces_of_the_host_and_of_other_services_are_read_over() -> None:
    stack = web("pid: host\nipc: service:b", more="  b: {image: x}\n")
    assert stack.notes == (
        "pid is read over (web): it is the container's own: it sees nothing of the host, and nothing of other services",
        "ipc is read over (web): it is the container's own: it sees nothing of the host, and nothing of other services",
    )
    assert stack.services["web"].depends_on == {"b": "service_started"}


def test_a_port_that_several_services_publish_is_chosen_for_each_and_told() -> None:
    stack = web("user: x", more="  b: {image: x, ports: ['8000:80', '8001:81']}\n  c: {image: x, ports: ['8000:80']}\n")
    assert stack.services["b"].ports == (Port(80), Port(81, 8001))
    assert stack.services["c"].ports == (Port(80),)
    assert stack.notes == ("port 8000 is published by b and c: one is chosen for each",)


@pytest.mark.parametrize("none", ["scale: 0", "deploy: {replicas: 0}"])
def test_a_service_without_a_replica_does_not_run_and_nobody_waits_for_it(none: str) -> None:
    stack = web("depends_on: {b: {condition: service_healthy}}", more=f"  b: {{image: x, {none}, privileged: true}}\n")
    assert list(stack.services) == ["web"]
    assert stack.services["web"].depends_on == {}
    assert stack.notes == ("b has no replica, so it does not run",)


def test_nobody_waits_for_an_optional_service_that_is_switched_off() -> None:
    stack = web(
        "depends_on: {b: {condition: service_started, required: false}}", more="  b: {image: x, profiles: [p]}\n"
    )
    assert stack.services["web"].depends_on == {}
    assert stack.in_start_order(stack.services) == ["web"]


def test_the_profile_without_a_name_is_on_while_no_other_one_is() -> None:
    text = WEB + "  b: {image: x, profiles: ['', p]}\n  c: {image: x, profiles: [q]}\n"
    assert list(loaded(text).services) == ["web", "b"]
    assert list(loaded(text, COMPOSE_PROFILES="q").services) == ["web", "c"]
    assert list(loaded(text, COMPOSE_PROFILES="q, p").services) == ["web", "b", "c"]
    assert list(load_stack([Path("c.yaml")], {}, ["q"], {}).services) == ["web", "c"]


def test_links_and_mounts_of_a_service_with_replicas_are_those_of_the_first() -> None:
    stack = web(
        "links: [b, 'b:other']\nvolumes_from: ['b:ro']", more="  b: {image: x, scale: 2, volumes: ['./d:/d', /own]}\n"
    )
    made = stack.services["web"]
    assert (made.links, made.volumes_from) == ({"other": "b-1"}, ("b-1:ro",))
    assert [mount.source for mount in made.mounts] == ["b-1:/d", "b-1:/own"]
    assert list(made.depends_on) == ["b-1", "b-2"]


def test_a_disk_has_one_name_in_whatever_order_services_stand() -> None:
    first, second = "  b: {image: x, volumes: ['./d:/b/']}\n", "  a: {image: x, volumes: ['./d:/a:ro']}\n"
    for text in (first + second, second + first):
        stack = web("user: x", more=text)
        assert list(stack.luns) == ["a:/a"]
        assert [stack.services[name].mounts[0].source for name in "ab"] == ["a:/a", "a:/a"]


def test_replicas_are_services_of_their_own_that_share_a_name() -> None:
    stack = loaded(
        WEB.replace('["80"]', '["8000:80"]') + "    scale: 2\n  b: {image: x, depends_on: [web]}\n",
        chaos='x-chaos: {front_door: "web:80", may_lose: ["web:/c"], steady: {web: [x]}, doors: {front: ["web:80"]}}\n',
    )
    assert list(stack.services) == ["web-1", "web-2", "b"]
    assert [stack.services[name].aliases for name in stack.services] == [("web",), ("web",), ()]
    assert stack.services["web-1"].ports == stack.services["web-2"].ports == (Port(80),)
    assert stack.services["b"].depends_on == {"web-1": "service_started", "web-2": "service_started"}
    assert (stack.front_door, stack.roles) == (("web-1", 80), {"web": ("web-1", "web-2")})
    assert (stack.may_lose, list(stack.steady)) == (("web-1:/c", "web-2:/c"), ["web-1", "web-2"])
    assert stack.doors == (("front", "web-1", 80), ("front", "web-2", 80))
    assert stack.notes == ("web runs as web-1, web-2; phones knock at the first",)


def test_a_problem_keeps_its_place_through_include_and_extends() -> None:
    Path("sub").mkdir()
    Path("sub/o.yaml").write_text("services:\n  b:\n    image: x\n    privileged: true\n")
    Path("sub/p.yaml").write_text("services:\n  c:\n    image: x\n    depends_on: [nobody]\n")
    with pytest.raises(SourceError) as caught:
        loaded("include: [sub/o.yaml]\n" + WEB + "  d: {extends: {file: sub/p.yaml, service: c}}\n")
    assert "o.yaml:4:5: privileged is not supported\n    4 |     privileged: true" in str(caught.value)
    assert "p.yaml:4:18: unknown service 'nobody'\n    4 |     depends_on: [nobody]" in str(caught.value)


def test_a_folder_that_is_not_there_is_one_of_the_run_and_the_same_for_all() -> None:
    stack = web("volumes: ['./data:/d']", more="  b: {image: x, volumes: ['./data/:/e', './other/data:/f']}\n")
    (one,), (same, other) = stack.services["web"].mounts, stack.services["b"].mounts
    assert one.source == same.source != other.source
    assert not Path("data").exists()


@pytest.mark.parametrize("name", [".env", "COMPOSE_PROFILES"])
def test_profiles_are_switched_on_by_the_environment(name: str) -> None:
    text = WEB + "  b: {image: x, profiles: [p]}\n  c: {image: x, profiles: [q]}\n"
    assert list(loaded(text).services) == ["web"]
    if name == ".env":
        Path(".env").write_text("COMPOSE_PROFILES=p\n")
        assert list(loaded(text).services) == ["web", "b"]
    else:
        assert list(loaded(text, COMPOSE_PROFILES="p,q").services) == ["web", "b", "c"]
        assert list(loaded(text, COMPOSE_PROFILES="*").services) == ["web", "b", "c"]


def test_the_name_of_the_project_is_known_to_the_file() -> None:
    made = web("user: '${COMPOSE_PROJECT_NAME}'", more="name: mine\n")
    assert (made.name, made.services["web"].user) == ("mine", "mine")
    assert web("user: x", more="name: mine\n", COMPOSE_PROJECT_NAME="theirs").name == "theirs"
    assert web("user: x", more="name: My Wiki_2.0\n").name == "mywiki_20"
    Path(".env").write_text("COMPOSE_PROJECT_NAME=dotted\n")
    assert web("user: x").name == "dotted"


def test_a_raw_env_file_is_taken_as_it_is() -> None:
    Path("e").write_text("A='x' # y\nB=${A}\n")
    assert web("env_file: [{path: e, format: raw}]").services["web"].environment == {"A": "'x' # y", "B": "${A}"}


def test_further_files_of_a_stack_are_known_as_read() -> None:
    Path("sub").mkdir()
    Path("sub/o.yaml").write_text('services: {b: {image: "x:${V}"}}\n')
    Path("sub/.env").write_text("V=7\n")
    Path("sub/p.yaml").write_text("services: {c: {image: x}}\n")
    Path("profile.json").write_text("{}")
    Path(".env").write_text("A=1\nB=${A}${OUTER}\n")
    keys = "    user: '${B}'\n    security_opt: ['seccomp=profile.json']\n"
    text = f"include: [sub/o.yaml]\n{WEB}{keys}  d: {{extends: {{file: sub/p.yaml, service: c}}}}\n{CHAOS}"
    Path("c.yaml").write_text(text)
    sources, here = Sources(), Path.cwd()
    load_stack([Path("c.yaml")], {}, [], {"OUTER": "o"}, sources)
    assert sources.files == {here / "sub/o.yaml", here / "sub/p.yaml", here / "profile.json"}
    assert sources.env_files == {here / "sub/.env"}
    assert {name: value for name, value in sources.variables.items() if value is not None} == {
        "B": "1o",
        "OUTER": "o",
        "V": "7",
    }

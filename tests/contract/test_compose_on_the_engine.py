"""What a Compose file says of a container, seen from within the container."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from chaos.errors import UsageError
from chaos.stack.compose import load_stack
from chaos.stack.engine.client import connect
from tests.contract.stage import LISTENER, scene

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

HEAD = """
services:
  box:
    image: debian:bookworm-slim
    command: [perl, -e, "$LISTENER"]
    ports: ["8080"]
    volumes: ["disk:/data"]
    stop_grace_period: 2s
"""
TAIL = """
volumes: {disk: }
x-chaos:
  arrays: {core: {luns: {disk: {size: 32M}}}}
  front_door: box:8080
"""
KEYS = """
    cap_drop: [ALL]
    cap_add: [net_bind_service]
    security_opt: ["no-new-privileges:true"]
    read_only: true
    ulimits: {nofile: {soft: 111, hard: 222}}
    mem_limit: 64m
    pids_limit: 77
    cpuset: "0"
    oom_score_adj: 42
    shm_size: 1.5m
    sysctls: {net.core.somaxconn: 123}
    group_add: [mail]
    tty: true
    stdin_open: true
    stop_signal: SIGINT
    init: yes
    hostname: h
    domainname: d.test
    container_name: boxed
    extra_hosts: ["far:192.0.2.7"]
    links: ["other:near"]
    secrets: [{source: word, target: /etc/word}]
  other:
    image: debian:bookworm-slim
    command: [sleep, infinity]
    stop_grace_period: 1s
    configs: [{source: text, target: /etc/deep/text}]
    secrets: [said]
    user: nobody
configs: {text: {content: "a = ${A}"}}
secrets: {word: {file: word.txt}, said: {environment: A}}
"""


def test_every_key_of_a_service_is_in_effect_in_its_container(tmp_path: Path) -> None:
    (tmp_path / "word.txt").write_text("hush")
    (tmp_path / "c.yaml").write_text(HEAD + KEYS + TAIL)
    stack = load_stack([tmp_path / "c.yaml"], {}, [], {"LISTENER": LISTENER, "A": "what was said"})

    async def act() -> None:
        async with scene(stack, tmp_path) as made:
            status = await made.does("grep -E '^(CapBnd|NoNewPrivs|Groups):' /proc/1/status")
            words = {line.split()[0]: line.split()[1:] for line in status.splitlines()}
            assert words == {"Groups:": ["0", "8"], "CapBnd:": ["0000000000000400"], "NoNewPrivs:": ["1"]}
            assert await made.tries("touch /no") == (1, "touch: cannot touch '/no': Read-only file system")
            assert await made.does("touch /data/yes && echo yes") == "yes"
            limits = await made.does("grep 'Max open files' /proc/1/limits")
            assert limits.split()[3:5] == ["111", "222"]
            assert await made.does("cat /proc/1/oom_score_adj /proc/sys/net/core/somaxconn") == "42\n123"
            assert await made.does("grep Cpus_allowed_list /proc/1/status | cut -f 2") == "0"
            assert await made.does("df -B 1 --output=size /dev/shm | tail -1") == str(3 * 2**19)
            assert (await made.does("readlink /proc/1/fd/0")).startswith("/dev/pts/")
            assert await made.does("hostname -f; cat /proc/1/comm") == "h.d.test\ndocker-init"
            for name, address in (("far", "192.0.2.7"), ("near", "198.18."), ("boxed", "198.18.")):
                assert (await made.does(f"getent ahostsv4 {name}")).startswith(address)
            assert await made.does("cat /etc/word") == "hush"
            digest = hashlib.sha256(b"a = what was saidwhat was said").hexdigest()  # shown, it would be blanked out
            assert (await made.does("cat /etc/deep/text /run/secrets/said | sha256sum", "other")).startswith(digest)
            assert not [path for path in await made.running.not_covered() if path.startswith("other:")]
            found = connect().api.inspect_container(made.running.running["box"].id)
            host = found["HostConfig"]
            assert (host["Memory"], host["PidsLimit"]) == (64 * 2**20, 77)
            assert found["Config"]["StopSignal"] == "SIGINT"

    asyncio.run(act())


HEALTHY = """
FROM debian:bookworm-slim
HEALTHCHECK --interval=100ms --retries=100 CMD test -e /tmp/ready
"""


def with_image_check(folder: Path, keys: str) -> Path:
    """A service that waits for another, whose image alone has a health check."""
    (folder / "Dockerfile").write_text(HEALTHY)
    waits = '    depends_on: {other: {condition: service_healthy}}\n    command: [perl, -e, "$LISTENER"]\n'
    other = f"  other:\n    build: .\n{keys}    stop_grace_period: 1s\n"
    text = HEAD.replace('    command: [perl, -e, "$LISTENER"]\n', waits)
    (folder / "c.yaml").write_text(text + other + TAIL)
    return folder / "c.yaml"


def test_the_images_own_health_check_is_waited_for(tmp_path: Path) -> None:
    keys = '    command: [bash, -c, "sleep 1; date +%s%N > /tmp/ready; exec sleep infinity"]\n'
    stack = load_stack([with_image_check(tmp_path, keys)], {}, [], {"LISTENER": LISTENER})

    async def act() -> None:
        async with scene(stack, tmp_path) as made:
            ready = int(await made.does("cat /tmp/ready", "other"))
            state = connect().api.inspect_container(made.running.running["box"].id)["State"]
            started = await made.does(f"date +%s%N -d {state['StartedAt']}", "other")
            assert ready < int(started)

    asyncio.run(act())


def test_who_waits_for_a_health_that_nobody_checks_is_told(tmp_path: Path) -> None:
    keys = "    command: [sleep, infinity]\n"
    file = with_image_check(tmp_path, keys)
    (tmp_path / "Dockerfile").write_text(HEALTHY.partition("HEALTHCHECK")[0])
    stack = load_stack([file], {}, [], {"LISTENER": LISTENER})

    async def act() -> None:
        async with scene(stack, tmp_path):
            pass

    with pytest.raises(UsageError, match="box waits for other to be healthy"):
        asyncio.run(act())

"""What a running copy of a stack promises: its disks, its ports, and whom it can reach."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from chaos.agent.wire import Save
from chaos.errors import HarnessError
from chaos.experiment.plan import Limits
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import Run
from chaos.stack.live import disks
from chaos.stack.live.disks import Unrecoverable
from chaos.stack.live.lifecycle import lab
from chaos.stack.live.running import RunningStack
from chaos.stack.spec import Build, Healthcheck, Mount, Port, Service
from tests.contract.stage import DATA, LISTENER, Scene, greeted, greets, scene, service, stack_of

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

POSTGRES = Path(__file__).resolve().parents[2] / "fixtures" / "images" / "postgres"
REACH = "timeout 1 bash -c 'exec 3<>/dev/tcp/{}/{}' 2> /dev/null && echo reached || echo not reached"


def test_a_new_lun_holds_what_the_image_has_there_with_owner_and_mode(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM debian:bookworm-slim\n"
        f"RUN install -d -o 1234 -g 4321 -m 0751 {DATA} {DATA}/inner && echo seed > {DATA}/inner/seed"
        f" && chown 1234 {DATA}/inner/seed && chmod 0640 {DATA}/inner/seed\n"
    )
    owned = service(build=Build(tmp_path), image="")

    async def act() -> None:
        async with scene(stack_of(owned), tmp_path) as made:
            found = await made.does(f"cd {DATA} && stat -c '%n %u:%g %a' . inner inner/seed && ls -A && cat inner/seed")
            assert found.splitlines() == [
                ". 1234:4321 751",
                "inner 1234:4321 751",
                "inner/seed 1234:0 640",
                "inner",
                "seed",
            ]

    asyncio.run(act())


def database() -> Service:
    """A PostgreSQL that behaves as the official image does."""
    return Service(
        name="db",
        build=Build(POSTGRES),
        environment={"POSTGRES_HOST_AUTH_METHOD": "trust"},
        mounts=(Mount("lun", "pgdata", "/var/lib/postgresql/data"),),
        ports=(Port(5432),),
        healthcheck=Healthcheck(("pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres")),
    )


def test_a_database_of_the_official_kind_starts_on_a_lun_and_keeps_its_commits_over_a_power_cut(tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(stack_of(database(), front_port=5432, mebibytes=256), tmp_path) as made:
            sql = "psql -qtA -U postgres -c '{}'"
            await made.does(sql.format("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n"), "db")
            injector = made.injector("disk.power_cut")
            await made.does(sql.format("INSERT INTO t VALUES (1001)"), "db")
            await injector.enter_phase("now")
            await injector.heal_all()
            assert made.faults[-1].bit, made.faults[-1].why
            await made.mend()
            assert await made.does(sql.format("SELECT count(*) FROM t"), "db") == "1001"

    asyncio.run(act())


def test_two_copies_of_one_stack_make_one_golden_at_once_and_do_not_see_each_other(tmp_path: Path) -> None:
    seeded = dataclasses.replace(stack_of(service(environment={"OWN": str(tmp_path)})), name="twins")

    async def act() -> None:
        async with AsyncExitStack() as exits:
            copies = await asyncio.gather(*(exits.enter_async_context(scene(seeded, tmp_path)) for _ in range(2)))
            await asyncio.gather(
                *(copy.does(f"echo {number} > {DATA}/own && sync {DATA}/own") for number, copy in enumerate(copies))
            )
            assert [await copy.does(f"cat {DATA}/own") for copy in copies] == ["0", "1"]
            assert len({copy.running.front_door for copy in copies}) == 2

    asyncio.run(act())


def test_what_needs_a_service_started_does_not_wait_for_its_health(tmp_path: Path) -> None:
    """The health of the one is the answer of the other, which needs it started."""
    first = service(healthcheck=Healthcheck(("bash", "-c", "exec 3<>/dev/tcp/second/8080")))
    second = service("second", lun="other", depends_on={"box": "service_started"})

    async def act() -> None:
        async with scene(stack_of(first, second), tmp_path) as made:
            assert await made.running.not_running() == []

    asyncio.run(act())


def test_a_stack_is_steady_before_it_is_used_and_again_after_a_cold_restart(tmp_path: Path) -> None:
    """The listener's box becomes steady a second after its start, and its golden disks remember nothing of it."""
    late = service(command=("bash", "-c", '(sleep 1; touch /tmp/steady) & exec perl -e "$0"', LISTENER))
    waiting = dataclasses.replace(stack_of(late), steady={"box": ("test", "-e", "/tmp/steady")})

    async def act() -> None:
        async with scene(waiting, tmp_path) as made:
            assert (await made.tries("test -e /tmp/steady"))[0] == 0
            await made.does("rm /tmp/steady")
            await made.running.cold_restart(30.0)
            assert (await made.tries("test -e /tmp/steady"))[0] == 0

    asyncio.run(act())


def test_a_stack_that_does_not_get_steady_says_what_it_waited_for(tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(stack_of(), tmp_path) as made:
            never = dataclasses.replace(stack_of(), steady={"box": ("ls", "/nowhere")})
            made.running.stack = never
            with pytest.raises(Unrecoverable, match="box is not steady in time: ls /nowhere fails; ls: cannot access"):
                await made.running.answers(0.5)

    asyncio.run(act())


def test_services_are_started_again_as_their_policies_say_while_the_stack_comes_up(tmp_path: Path) -> None:
    """Twice: to be initialised, and as a clone."""
    flaky = f'echo start >> {DATA}/starts; (( $(grep -c start {DATA}/starts) % 3 )) && exit 7; exec perl -e "$0"'
    listens = Healthcheck(("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"))
    box = service(command=("bash", "-c", flaky, LISTENER), restart="always", healthcheck=listens)
    once = service("once", command=("bash", "-c", f"echo ran >> {DATA}/ran"), restart="on-failure", ports=())

    async def act() -> None:
        async with scene(stack_of(box, once), tmp_path) as made:
            assert await made.does(f"grep -c start {DATA}/starts; grep -c ran {DATA}/ran") == "6\n2"

    asyncio.run(act())


def fails_until(start: int) -> tuple[str, ...]:
    """A job that fails in every start but each so-many-th; its LUN counts them."""
    return ("bash", "-c", f"echo start >> {DATA}/starts; (( $(grep -c start {DATA}/starts) % {start} == 0 ))")


def test_a_job_that_its_policy_starts_again_is_waited_for_until_it_succeeds(tmp_path: Path) -> None:
    """When it is initialised, as a clone, and in the cold restart."""
    job = service("job", lun="other", command=fails_until(3), restart="on-failure", ports=())
    box = service(depends_on={"job": "service_completed_successfully"})

    async def act() -> None:
        async with scene(stack_of(box, job), tmp_path) as made:
            await made.running.cold_restart(30.0)
            assert await made.running.not_running() == []

    asyncio.run(act())


def test_a_job_whose_restarts_are_used_up_has_failed(tmp_path: Path) -> None:
    job = service("job", lun="other", command=fails_until(4), restart="on-failure", restarts_max=2, ports=())
    box = service(depends_on={"job": "service_completed_successfully"})

    async def act() -> None:
        with pytest.raises(HarnessError, match="job ended with code 1"):
            async with scene(stack_of(box, job), tmp_path):
                raise AssertionError("it came up")

    asyncio.run(act())
    again = dataclasses.replace(job, restarts_max=3)

    async def act_again() -> None:
        async with scene(stack_of(box, again), tmp_path) as made:
            assert await made.running.not_running() == []

    asyncio.run(act_again())


SECRET = "a-secret-of-the-test"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("pg_isredy", "-q"), 'pg_isredy -q fails; .*"pg_isredy": executable file not found'),
        (("bash", "-c", "echo no luck; exit 3"), "exit 3 fails; no luck"),
        (("bash", "-c", "exit 3"), "exit 3 fails with code 3 and says nothing"),
        (("bash", "-c", f"echo {SECRET}; exit 3"), r"echo \*\*\*; exit 3 fails; \*\*\*"),
    ],
)
def test_a_command_that_does_not_succeed_is_told_with_its_own_words(
    tmp_path: Path, command: tuple[str, ...], says: str
) -> None:
    """A health check and a steady state likewise; a program that does not exist is no failure of the harness."""
    box = service(environment={"PASSWORD": SECRET})

    async def act() -> None:
        async with scene(stack_of(box), tmp_path) as made:
            stack = made.running.stack
            made.running.stack = dataclasses.replace(stack, steady={"box": command})
            with pytest.raises(Unrecoverable, match=f"box is not steady in time: .*{says}"):
                await made.running.answers(0.5)
            sick = dataclasses.replace(box, healthcheck=Healthcheck(command))
            made.running.stack = dataclasses.replace(stack, services={"box": sick})
            with pytest.raises(Unrecoverable, match=f"box does not get healthy in time: .*{says}"):
                await made.running.answers(0.5)
            code, said = await made.running.execute("box", ["nosuch"], 10.0)
            assert (code, "executable file not found" in said) == (126, True)

    asyncio.run(act())


def test_the_logs_of_an_initialisation_that_fails_are_kept(tmp_path: Path) -> None:
    box = service(command=("bash", "-c", f"echo told $PASSWORD; date +%N > {DATA}/x; exit 7"), ports=(Port(8080),))
    broken = stack_of(dataclasses.replace(box, environment={"PASSWORD": SECRET}, healthcheck=Healthcheck(("true",))))

    async def act() -> None:
        with pytest.raises(HarnessError, match="box ended with code 7"):
            async with lab(
                broken, Run.begin(1), Limits(ready_seconds_max=20.0), lambda _: None, lambda _: None, tmp_path / "logs"
            ):
                raise AssertionError("it came up")

    asyncio.run(act())
    assert "told ***" in (tmp_path / "logs" / "box.log").read_text()


def test_a_health_check_that_hangs_is_given_up_when_its_time_is_over(tmp_path: Path) -> None:
    async def act() -> None:
        async with asyncio.timeout(60), scene(stack_of(), tmp_path) as made:
            hanging = Healthcheck(("sleep", "1000"), timeout_seconds=0.2)
            box = dataclasses.replace(made.running.stack.services["box"], healthcheck=hanging)
            made.running.stack = dataclasses.replace(made.running.stack, services={"box": box})
            with pytest.raises(Unrecoverable, match="box does not get healthy in time"):
                await made.running.answers(1.0)

    asyncio.run(act())


def test_a_golden_is_made_once_and_every_clone_of_it_is_the_same(tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(stack_of(), tmp_path) as made:
            await made.does(f"echo mine > {DATA}/mine && sync")
            await made.running.clear()
            await made.running.up(made.lab.golden.bases(), 30.0)
            assert await made.does(f"ls -A {DATA}") == ""

    asyncio.run(act())


@pytest.fixture
def hold() -> Iterator[Callable[[], None]]:
    """Makes a mount namespace with a copy of every mount that the host has now."""
    if os.geteuid():
        pytest.skip("another mount namespace takes root")
    holders: list[subprocess.Popen[bytes]] = []

    def make() -> None:
        program = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo held; exec sleep 60"]
        holders.append(subprocess.Popen(program, stdout=subprocess.PIPE))
        assert holders[-1].stdout is not None
        assert holders[-1].stdout.readline() == b"held\n"

    yield make
    for each in holders:
        each.kill()
        each.communicate()


def test_no_golden_is_taken_of_a_disk_that_somebody_else_still_has_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: Callable[[], None]
) -> None:
    shut_down = RunningStack.shut_down

    async def held(running: RunningStack) -> None:
        hold()
        await shut_down(running)

    async def run() -> None:
        async with scene(stack_of(service(command=("perl", "-e", f"# held\n{LISTENER}"))), tmp_path):
            pytest.fail("it was used")

    monkeypatch.setattr(RunningStack, "shut_down", held)
    monkeypatch.setattr(disks, "_UNMOUNT_SECONDS_MAX", 0.5)
    with pytest.raises(HarnessError, match=r"the LUN disk is still mounted, .*: sleep \(pid \d+\);"):
        asyncio.run(run())


def test_a_golden_that_was_copied_while_it_was_mounted_is_noticed_and_made_anew(tmp_path: Path) -> None:
    said: list[str] = []
    stack = stack_of(service(command=("perl", "-e", f"# copied\n{LISTENER}")))

    async def run(act: Callable[[Scene], Awaitable[None]]) -> None:
        async with scene(stack, tmp_path, said.append) as made:
            await act(made)

    async def spoil(made: Scene) -> None:
        await made.does(f"echo late > {DATA}/late")
        await made.running.agent.call(Save("disk", made.lab.golden.bases()["disk"]))

    async def look(made: Scene) -> None:
        assert await made.does(f"ls {DATA}") == ""

    asyncio.run(run(spoil))
    asyncio.run(run(look))
    why = "the disks that contract was initialised on are not used: disk: it was copied while it was mounted"
    made = "initialising contract once; its disks are kept for later runs"
    assert [line for line in said if line in (why, made)] == [made, why, made]


def test_a_cold_restart_that_cannot_read_a_disk_anew_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: Callable[[], None]
) -> None:
    async def run() -> None:
        async with scene(stack_of(), tmp_path) as made:
            hold()
            await made.running.cold_restart(20.0)

    monkeypatch.setattr(disks, "_UNMOUNT_SECONDS_MAX", 0.5)
    with pytest.raises(HarnessError, match="the LUN disk is still mounted"):
        asyncio.run(run())


def test_a_published_port_keeps_its_number_over_restarts_and_power_cuts(tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(stack_of(), tmp_path) as made:
            door = made.running.front_door
            assert door[0] == "127.0.0.1"
            await greets(*door)
            await made.running.cold_restart(30.0)
            await greets(*door)
            injector = made.injector("disk.power_cut")
            await injector.enter_phase("now")
            await injector.heal_all()
            await made.mend()
            assert made.running.front_door == door
            await greets(*door)

    asyncio.run(act())


def test_a_cold_restart_drops_no_write(tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(stack_of(), tmp_path) as made:
            await made.does(f"echo cached > {DATA}/cached")
            await made.running.cold_restart(30.0)
            assert await made.does(f"cat {DATA}/cached") == "cached"

    asyncio.run(act())


def test_containers_reach_each_other_and_no_address_outside_their_own_subnet(tmp_path: Path) -> None:
    pair = stack_of(service(), service("peer", "second"))

    async def act() -> None:
        async with AsyncExitStack() as exits:
            one, two = await asyncio.gather(*(exits.enter_async_context(scene(pair, tmp_path)) for _ in range(2)))
            await greets(*one.running.front_door)
            await greets(*two.running.front_door)
            own, foreign = address(one, "peer"), address(two, "box")
            assert await one.does(REACH.format(own, 8080)) == "reached"
            assert await one.does(REACH.format("peer", 8080)) == "reached"
            for elsewhere in (foreign, default_gateway(), gateway(two)):
                before = await dropped(one, "box")
                assert await one.does(REACH.format(elsewhere, 8080)) == "not reached"
                assert await dropped(one, "box") > before, f"{elsewhere} was refused by something else than the links"
            assert await greeted(*two.running.front_door)

    asyncio.run(act())


def address(of: Scene, name: str) -> str:
    networks = inspected(of, name)["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


def gateway(of: Scene) -> str:
    networks = inspected(of, "box")["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["Gateway"])


def default_gateway() -> str:
    client = connect()
    try:
        config = client.api.inspect_network("bridge")["IPAM"]["Config"][0]
        # an engine says so only once it has been started a second time; it is the first address all the same
        return str(config.get("Gateway") or ip_network(config["Subnet"])[1])
    finally:
        client.close()


def inspected(of: Scene, name: str) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    client = connect()
    try:
        found: dict[str, dict[str, dict[str, dict[str, str]]]] = client.api.inspect_container(
            of.running.running[name].id
        )
        return found
    finally:
        client.close()


async def dropped(of: Scene, name: str) -> int:
    """Packets that the link baseline of a service dropped, read where the agent applied it."""

    def read() -> int:
        client = connect()
        try:
            pid = of.running.running[name].pid
            command = ["nsenter", f"--net=/proc/{pid}/ns/net", "nft", "-j", "list", "table", "inet", "holdfast"]
            started = client.api.exec_create(of.running.agent.container, command)
            rules = json.loads(client.api.exec_start(started["Id"]))["nftables"]
        finally:
            client.close()
        parts = [part for rule in rules if "rule" in rule for part in rule["rule"]["expr"]]
        return sum(int(part["counter"]["packets"]) for part in parts if "counter" in part)

    return await asyncio.to_thread(read)

"""Services as people write them: without a shell, slow to start, ending with their database, deaf to SIGTERM."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path

import pytest

from chaos.experiment.plan import Limits
from chaos.stack import waiting
from chaos.stack.engine.identity import Run
from chaos.stack.live.lifecycle import lab
from chaos.stack.local import on_local_disks
from chaos.stack.spec import Build, Condition, Healthcheck, Mount, Port, Service
from tests.contract.stage import DATA, LISTENER, Scene, scene, service, stack_of, until

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

NO_SHELL = """
FROM debian:bookworm-slim AS made
RUN apt-get update && apt-get install -y --no-install-recommends busybox-static
FROM scratch
COPY --from=made /bin/busybox /busybox
COPY --from=made /etc/debian_version /data/from-image
HEALTHCHECK --interval=1s CMD ["/busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/from-image"]
CMD ["/busybox", "httpd", "-f", "-p", "8080", "-h", "/data"]
"""
AFTER: dict[str, Condition] = {"db": "service_healthy"}
IMAGES_OWN = Healthcheck((), 0, 0, 0, 0)


def test_an_image_with_one_program_and_no_shell_goes_through_everything(tmp_path: Path) -> None:
    """Nothing that Holdfast does inside a container needs a program of its image, but for the user's own commands."""
    context, bound = tmp_path / "context", tmp_path / "bound"
    context.mkdir()
    (context / "Dockerfile").write_text(NO_SHELL)
    bound.mkdir()
    (bound / "setting").write_text("bound")
    box = Service(
        "box",
        build=Build(context),
        mounts=(Mount("lun", "disk", "/data"), Mount("bind", str(bound), "/bound")),
        ports=(Port(8080),),
        healthcheck=IMAGES_OWN,
        stop_grace_seconds=1.0,
        texts={"/etc/made/config": b"made"},
    )
    stack = dataclasses.replace(stack_of(box), steady={"box": ("/busybox", "test", "-e", "/etc/made/config")})

    async def act(made: Scene) -> None:
        async def does(*command: str) -> str:
            code, said = await made.running.execute("box", ["/busybox", *command], 10.0)
            assert code == 0, said
            return said

        assert await does("ls", "/data") == "from-image"
        await does("cp", "/bound/setting", "/data/kept")
        await does("touch", "/outside")
        await made.running.settle()
        assert await made.running.not_covered() == ("box:/outside",)
        injector = made.injector("disk.power_cut", service="box")
        await injector.enter_phase("now")
        await injector.heal_all()
        await made.mend()
        assert await does("cat", "/data/kept") == "bound"
        assert await does("cat", "/etc/made/config") == "made"
        await made.running.cold_restart(20.0)
        await made.running.answers(20.0)
        assert await does("ls", "/bound") == "setting"

    async def run() -> None:
        async with scene(on_local_disks(stack), tmp_path) as made:
            await act(made)

    asyncio.run(run())


def test_limits_grow_with_the_check_of_an_image_and_what_is_waited_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_TELL_SECONDS", 0.5)
    (tmp_path / "Dockerfile").write_text(
        "FROM debian:bookworm-slim\n"
        "HEALTHCHECK --interval=2s --retries=5 --start-period=75s CMD test -e /ready\n"
        'CMD ["sh", "-c", "echo migrating; sleep 2; touch /ready; exec sleep 100"]\n'
    )
    said: list[str] = []
    box = service(image="", build=Build(tmp_path), command=None, healthcheck=IMAGES_OWN, stop_grace_seconds=1.0)

    async def run(limits: Limits) -> Limits:
        async with lab(stack_of(box), Run.begin(1), limits, lambda _: None, said.append) as made:
            return made.patient(limits)

    assert asyncio.run(run(Limits())).ready_seconds_max == 85
    assert "limits grow to 85 s, as the health checks ask for: box" in said
    waited = [line for line in said if line.startswith("waiting for box to get healthy, ")]
    assert waited[0].endswith("; it says: migrating")


def test_who_does_not_listen_to_sigterm_is_killed_after_its_grace_and_its_disk_is_whole(tmp_path: Path) -> None:
    said: list[str] = []
    deaf = LISTENER.replace("exit 0", "")
    write = f"open my $f, '>', '{DATA}/late'; print $f 'late'; close $f;"
    stack = stack_of(service(command=("perl", "-e", write + deaf), stop_grace_seconds=1.5))

    async def run() -> None:
        begun = time.monotonic()
        async with scene(stack, tmp_path, said.append) as made:
            assert await made.does(f"cat {DATA}/late") == "late"
            assert time.monotonic() - begun > 1.5

    asyncio.run(run())
    killed = "box did not end within its stop_grace_period of 1.5 s and was killed; its disks are as it left them then"
    assert said.count(killed) == 1


def test_who_ends_with_its_database_stays_down_without_a_policy_and_comes_back_with_one(tmp_path: Path) -> None:
    """Until the operators come: they start whatever does not run."""
    wait = """
    use IO::Socket::INET;
    while (IO::Socket::INET->new(PeerAddr => "db:8080")) { select undef, undef, undef, 0.1 } exit 4
    """
    listens = Healthcheck(("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"))
    once = service("once", "once", command=("perl", "-e", wait), ports=(), depends_on=AFTER, stop_signal="SIGKILL")
    again = dataclasses.replace(once, name="again", mounts=(Mount("lun", "again", DATA),), restart="always")
    stack = stack_of(service("db", "disk", healthcheck=listens), once, again)
    said: list[str] = []

    async def run() -> None:
        async with scene(stack, tmp_path, said.append) as made:
            await until(lambda: up(made, "db", "once", "again"), "not all of them run")
            said.clear()
            injector = made.injector("process.kill", service="db")
            await injector.enter_phase("now")
            await until(lambda: told("once ended with code 4; its restart policy is no"), "nobody is told of once")
            await until(lambda: told("again ended; it is started again"), "nobody is told of again")
            assert not [line for line in said if line.startswith("db ")], "that is the fault's doing"
            await injector.heal_all()
            await made.mend()
            await until(lambda: up(made, "db", "once", "again"), "not all of them came back")

    async def told(begin: str) -> bool:
        return any(line.startswith(begin) for line in said)

    asyncio.run(run())


async def up(made: Scene, *names: str) -> bool:
    return not set(names) & set(await made.running.not_running())


def test_a_cold_restart_may_start_all_at_once_as_an_engine_that_boots(tmp_path: Path) -> None:
    listens = Healthcheck(("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"))
    impatient = f"date +%s%N >> {DATA}/starts; exec 3<>/dev/tcp/db/8080 || exit 1; exec sleep 1000"
    db = service("db", "disk", command=("bash", "-c", f"sleep 2; exec perl -e '{LISTENER}'"), healthcheck=listens)
    db = dataclasses.replace(db, restart="always")
    web = service("web", "web", command=("bash", "-c", impatient), ports=(), depends_on=AFTER, stop_signal="SIGKILL")
    tool = dataclasses.replace(web, name="tool", mounts=(Mount("lun", "tool", DATA),))
    stack = stack_of(db, dataclasses.replace(web, restart="always"), tool)

    async def run() -> None:
        async with scene(dataclasses.replace(stack, boots_at_once=True), tmp_path) as made:
            assert await starts(made, "web") == await starts(made, "tool") == 2, "once for the golden copy, once here"
            await made.running.cold_restart(30.0)
            await until(lambda: up(made, "web", "tool"), "not all of them came back")
            assert await starts(made, "tool") == 3, "it has no policy, so it is started in its turn"
            assert await starts(made, "web") > 3, "it was there before its database listened"

    async def starts(made: Scene, name: str) -> int:
        return len((await made.does(f"cat {DATA}/starts", name)).splitlines())

    asyncio.run(run())

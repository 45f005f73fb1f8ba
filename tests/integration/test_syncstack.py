"""The reference stack as a whole: its golden cluster, its copies, and what becomes of members on blank disks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from chaos.experiment.drivers import DriverChoice
from chaos.experiment.loader import load
from chaos.experiment.plan import Limits
from chaos.faults import catalogue
from chaos.history.events import CANARY_OWNER, DoorRead
from chaos.stack.compose import load_stack
from chaos.stack.engine.identity import Run
from chaos.stack.live.lifecycle import Lab, lab
from chaos.stack.live.roles import Roles
from chaos.stack.live.running import RunningStack
from chaos.stack.spec import Stack
from chaos.trials import run_trials
from chaos.workload.drivers.http import HttpSession
from chaos.workload.reads.doors import Readers, copy_doors
from chaos.workload.records import make
from chaos.workload.session import Ack, FrontDoor

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
READY_SECONDS_MAX = 60.0
SCENE_SECONDS_MAX = 240.0
PGDATA = "/var/lib/postgresql/disk/data"

DELETE_ON_THE_STANDBY = f"""
set -e
python3 - << 'END'
import time, urllib.request
url = "http://127.0.0.1:8008"
urllib.request.urlopen(urllib.request.Request(url + "/config", b'{{"pause": true}}', method="PATCH"))
while b"pause" not in urllib.request.urlopen(url + "/patroni").read():
    time.sleep(0.1)
END
run="setpriv --reuid=postgres --regid=postgres --init-groups"
$run pg_ctl -D {PGDATA} -m fast -w stop
mv {PGDATA}/standby.signal /tmp/standby.signal
echo "DELETE FROM records WHERE id = (SELECT max(id) FROM records WHERE NOT deleted AND owner <> '{CANARY_OWNER}');
SELECT pg_switch_wal()" |
    $run postgres --single -D {PGDATA} -c synchronous_commit=local sync
mv /tmp/standby.signal {PGDATA}/standby.signal
$run pg_ctl -D {PGDATA} -w start > /dev/null
"""
"""As a bug of replication might: the standby goes on without one row, and does not know it. Its log is switched, or the
leader's might get ahead of it, and a standby that has not replayed the leader's log is not read."""


def stack(variables: Mapping[str, str], *over: Path) -> Stack:
    return load_stack([ROOT / "fixtures/syncstack/compose.yaml", *over], variables, (), os.environ)


STACK = stack({})


@asynccontextmanager
async def cluster(of: Stack = STACK) -> AsyncIterator[Lab]:
    """A running copy of the stack."""
    async with (
        asyncio.timeout(SCENE_SECONDS_MAX),
        lab(of, Run.begin(1), Limits(ready_seconds_max=90.0), lambda _: None, lambda _: None) as made,
    ):
        await made.running.up(made.golden.bases(), READY_SECONDS_MAX)
        yield made


def front_door(running: RunningStack) -> FrontDoor:
    return FrontDoor(*running.front_door, running.published)


async def save(running: RunningStack, name: str, *, type_: str = "contact") -> Ack:
    phone = HttpSession(front_door(running), user="u-01", device="d-01")
    try:
        return await phone.put(make("u-01", name, f"w-{name}", type_), None, f"k-{name}")
    finally:
        await phone.close()


async def names(running: RunningStack) -> set[str]:
    phone = HttpSession(front_door(running), user="u-01", device="d-02")
    try:
        return {record.name for record in await phone.everything()}
    finally:
        await phone.close()


async def copies(running: RunningStack) -> dict[str, DoorRead]:
    """Every copy's own answer, by door, once two rounds of it agree."""
    async with Readers.open(DriverChoice("http")) as readers:
        reader = await readers.new()
        doors = [door for door in copy_doors(STACK.doors, ["u-01"]) if door.owner == "u-01"]
        reads = await reader.read(front_door(running), 4, doors, seconds_max=30.0)
        await reader.close()
    assert all(read.outcome == "ok" for read in reads), reads
    return {read.door: read for read in reads if read.settled}


async def does(running: RunningStack, service: str, command: str) -> str:
    code, output = await running.execute(service, ["bash", "-c", command], 60.0)
    assert code == 0, f"{command} ended with {code}: {output}"
    return output


async def holder_of(running: RunningStack, role: str) -> str:
    """Either member: who founded the cluster is decided when it is initialised."""
    (name,) = (await Roles(running.stack, running.agent).holders([role]))[role]
    return name


@pytest.mark.long
def test_two_copies_of_one_golden_cluster_run_at_once_and_do_not_see_each_other() -> None:
    async def act() -> None:
        async with AsyncExitStack() as exits:
            one, two = await asyncio.gather(*(exits.enter_async_context(cluster()) for _ in range(2)))
            await asyncio.gather(save(one.running, "one"), save(two.running, "two"))
            assert (await names(one.running), await names(two.running)) == ({"one"}, {"two"})
            members = "ETCDCTL_API=3 etcdctl --endpoints=http://etcd1:2379 member list"
            assert await does(one.running, "etcd2", members) == await does(two.running, "etcd2", members)

    asyncio.run(act())


def test_nothing_persisted_holds_an_address() -> None:
    async def act() -> None:
        async with cluster() as made:
            await save(made.running, "photo", type_="photo")
            for service, lun in (("etcd1", "/var/lib/etcd"), ("pg1", PGDATA), ("pg2", PGDATA), ("blobs1", "/photos")):
                found = await does(made.running, service, f"grep -rlaE '198\\.1[89]\\.[0-9]' {lun} || true")
                assert found == "", f"{service}: {found}"

    asyncio.run(act())


PATIENCE_SECONDS = 3.0
"""Longer than any time-out of the gateway and its client library but the one at which it gives up its connection."""
HOLD_THE_STANDBY = """
for p in /proc/[0-9]*; do grep -qs wal[r]eceiver $p/cmdline && kill -{} "${{p#/proc/}}"; done; true
"""


def test_a_commit_that_the_standby_does_not_confirm_is_unknown_and_seen_by_nobody_until_it_does() -> None:
    async def act() -> None:
        async with cluster() as made:
            follower = await holder_of(made.running, "standby")
            assert (await save(made.running, "before")).warning == ""
            await does(made.running, follower, HOLD_THE_STANDBY.format("STOP"))
            with pytest.raises(RuntimeError, match="not confirmed"):
                await save(made.running, "waiting")
            await asyncio.sleep(PATIENCE_SECONDS)
            assert await names(made.running) == {"before"}
            await does(made.running, follower, HOLD_THE_STANDBY.format("CONT"))
            await made.running.answers(READY_SECONDS_MAX)
            assert (await save(made.running, "waiting")).warning == ""
            assert await names(made.running) == {"before", "waiting"}

    asyncio.run(act())


def test_a_commit_whose_wait_is_cancelled_is_acknowledged_and_degraded_unless_nobody_looks(tmp_path: Path) -> None:
    unlike = tmp_path / "unlike.yaml"
    unlike.write_text("services: {gateway2: {environment: {GATEWAY_SYNC_WAIT: ignored}}}\n")

    async def act() -> None:
        async with cluster(stack({"GATEWAY_SYNC_WAIT": "cancelled"}, unlike)) as made:
            await does(made.running, await holder_of(made.running, "standby"), HOLD_THE_STANDBY.format("STOP"))
            acks: dict[str, Ack] = {}
            while len(acks) < len(made.running.stack.roles["gateway"]):
                ack = await save(made.running, f"alone-{len(acks)}")
                assert ack.by not in acks, "the proxy asks one after the other"
                acks[ack.by] = ack
            assert "synchronous replication" in acks["gateway1"].warning
            assert acks["gateway2"].warning == ""
            assert await names(made.running) == {"alone-0", "alone-1"}

    asyncio.run(act())


@pytest.mark.parametrize("role", ["primary", "standby"])
@pytest.mark.long
def test_members_on_blank_disks_get_everything_from_the_members_that_are_left(role: str) -> None:
    async def act() -> None:
        async with cluster() as made:
            await save(made.running, "photo", type_="photo")
            blanks = await made.golden.blanks(made.running.agent)
            holder = await holder_of(made.running, role)
            lost = next(luns for luns in STACK.arrays.values() if holder in luns)
            (member,) = (name for name in lost if name.startswith("etcd"))
            anew, disks = STACK.services_on(lost), {name: blanks[name] for name in lost}
            await made.running.put_in_place(anew=anew, blanks=disks)
            await made.running.start(anew, READY_SECONDS_MAX)
            await made.running.answers(READY_SECONDS_MAX)
            found = await copies(made.running)
            assert {door: [row.record for row in read.rows] for door, read in found.items()} == {
                door: ["photo"] for door in ("replica pg1", "replica pg2", "blobs blobs1", "blobs blobs2")
            }
            assert len({row.hash for read in found.values() for row in read.rows}) == 1
            health = f"ETCDCTL_API=3 etcdctl --endpoints=http://{member}:2379 endpoint health"
            assert "is healthy" in await does(made.running, "etcd3", health)

    asyncio.run(act())


@pytest.mark.long
def test_a_cluster_of_which_no_copy_is_left_is_founded_anew() -> None:
    async def act() -> None:
        async with cluster() as made:
            await save(made.running, "before")
            blanks = await made.golden.blanks(made.running.agent)
            lost = ("pg1", "pg2", "blobs1", "blobs2")
            disks = {name: blanks[name] for name in lost}
            await made.running.put_in_place(anew=lost, blanks=disks)
            await made.running.start(lost, READY_SECONDS_MAX)
            await made.running.answers(READY_SECONDS_MAX)
            await save(made.running, "after")
            assert await names(made.running) == {"after"}

    asyncio.run(act())


@pytest.mark.parametrize(
    ("role", "sabotage"),
    [("standby", DELETE_ON_THE_STANDBY), ("blobs", "rm -v /photos/[0-9a-f]*")],
    ids=["a row of the standby", "the photos of one replica"],
)
def test_what_one_copy_has_lost_is_lost_on_node(
    role: str, sabotage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    restart: Callable[[RunningStack, float], Awaitable[None]] = RunningStack.cold_restart

    async def restart_and_spoil(running: RunningStack, seconds_max: float) -> None:
        await restart(running, seconds_max)
        await running.answers(seconds_max)
        service = await holder_of(running, role) if role == "standby" else running.stack.roles[role][-1]
        await does(running, service, sabotage)

    monkeypatch.setattr(RunningStack, "cold_restart", restart_and_spoil)
    plan = load(ROOT / "experiments/syncstack/steady_syncstack.yaml", 11, catalogue())
    (result,) = run_trials([plan], runs=tmp_path)
    assert result.verdict == "VIOLATED", result.reason
    assert result.judgement is not None
    assert set(result.judgement.anomalies) == {"lost-on-node"}

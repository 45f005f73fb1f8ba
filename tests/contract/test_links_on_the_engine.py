"""Links that are cut and processes that are paused, on the real engine: seen by services that talk to each other."""

from __future__ import annotations

import asyncio
import socket
import textwrap
from dataclasses import replace

import docker
import pytest

from chaos.agent.states import LinkState, ServiceState
from chaos.agent.wire import Confine, Event
from chaos.agent.wire_states import ApplyLinks, ApplyServices, CountDrops
from chaos.experiment.plan import Target, Trigger
from chaos.faults.injector import Injector
from chaos.stack.engine import containers
from chaos.stack.engine.client import connect
from chaos.stack.spec import Stack
from tests.contract.stage import DATA, Play, Scene, greeted, greets, service, stack_of, talk_until_counted, until

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

CALL = "timeout 2 bash -c 'exec 3<>/dev/tcp/{}/8080 && head -1 <&3' || echo silence"
TALK = """
use IO::Socket::INET; $| = 1;
my $peer = IO::Socket::INET->new(PeerAddr => "$ARGV[0]:9090", Timeout => 5) or die "no connection";
for (my $n = 1; print $peer "ping\\n" and <$peer>; $n++) {
  open my $f, ">", "/data/pongs"; print $f $n; close $f;
  select undef, undef, undef, 0.02
}
"""
"""Talks on one connection for ever, and keeps in a file how many answers it had."""
ECHO = """
use IO::Socket::INET; $SIG{TERM} = sub { exit 0 }; $SIG{CHLD} = "IGNORE";
my $door = IO::Socket::INET->new(LocalPort => 8080, Listen => 16, ReuseAddr => 1) or die "no port: $!";
my $echo = IO::Socket::INET->new(LocalPort => 9090, Listen => 16, ReuseAddr => 1) or die "no port: $!";
if (!fork) {
  while (1) {
    my $c = $echo->accept or next;
    if (!fork) { $c->autoflush(1); while (my $l = <$c>) { print $c $l } exit 0 }
  }
}
while (1) { my $phone = $door->accept or next; print $phone "hello\n"; close $phone }
"""
"""Greets on port 8080 and echoes on port 9090."""
NAMES = ("one", "two", "three")


def trio() -> Stack:
    """Three services that reach each other."""
    return stack_of(*(service(name, f"lun-{name}", command=("perl", "-e", ECHO)) for name in NAMES))


async def reach(scene: Scene) -> set[str]:
    """Which calls are answered, as "caller>called"."""
    pairs = [(a, b) for a in NAMES for b in NAMES if a != b]
    said = await asyncio.gather(*(scene.does(CALL.format(called), caller) for caller, called in pairs))
    return {f"{a}>{b}" for (a, b), words in zip(pairs, said, strict=True) if words == "hello"}


async def opens(scene: Scene) -> None:
    """Every call is answered, at the latest when a busy machine has caught up."""

    async def every() -> bool:
        return await reach(scene) == ALL

    await until(every, "not every link is open", seconds_max=30)


def test_a_container_that_two_start_at_once_is_linked_once_and_its_links_can_be_cut(play: Play) -> None:
    """As a restart policy and the operators may do, who both find that it does not run."""

    async def act(scene: Scene) -> None:
        running = scene.running
        pid, subnet = running.running["two"].pid, running._network.subnet
        both = (running.agent.call(Confine("two", pid, subnet)) for _ in range(2))
        await asyncio.gather(*both)
        injector = scene.injector("network.partition", target=Target("isolate", ("two",)))
        await injector.enter_phase("now")
        assert await reach(scene) == {"one>three", "three>one"}
        await injector.heal_all()
        await opens(scene)

    play(act, trio())


ALL = {f"{a}>{b}" for a in NAMES for b in NAMES if a != b}


async def talk(scene: Scene, caller: str, called: str) -> None:
    """Have one service talk to another on one connection from now on."""
    await scene.does(f"(exec perl -e '{TALK}' {called} > {DATA}/talk.log 2>&1 &) ; true", caller)
    before = await pongs(scene, caller)

    async def going() -> bool:
        return await pongs(scene, caller) > before + 3

    await until(going, "they do not talk")


async def pongs(scene: Scene, caller: str) -> int:
    return int(await scene.does(f"cat {DATA}/pongs 2> /dev/null || echo 0", caller) or 0)


async def stands_still(scene: Scene, caller: str) -> bool:
    before = await pongs(scene, caller)
    await asyncio.sleep(0.3)
    return await pongs(scene, caller) == before


def partition(scene: Scene, *sets: list[str], one_way: bool = False) -> Injector:
    target = Target("between", tuple(tuple(each) for each in sets))
    return scene.injector("network.partition", target=target, one_way=one_way)


def test_network_partition_parts_the_sets_and_nobody_else_until_it_is_healed(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await greets(*scene.running.front_door)
        await opens(scene)
        await talk(scene, "one", "two")
        injector = scene.injector("network.partition", target=Target("between", (("one",), ("two",))))
        await injector.enter_phase("now")
        assert await stands_still(scene, "one"), "an established connection is cut too"
        assert await reach(scene) == ALL - {"one>two", "two>one"}
        assert await greeted(*scene.running.front_door), "phones are not parted from anybody"
        assert injector.damage.held == set(), "who is parted from others can be started and mended"
        await injector.heal_all()
        await opens(scene)

        async def going() -> bool:
            return not await stands_still(scene, "one")

        await until(going, "the connection does not go on")
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.why) == ("healed", True, "")
        assert (event.target, event.evidence["links"]) == ("one | two", 2)
        assert int(event.evidence["links_in_use"]) >= 1
        assert int(event.evidence["dropped_packets"]) >= 1

    play(act, trio())


def test_a_network_partition_in_which_nobody_spoke_does_not_bite(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = partition(scene, ["one"], ["two"])
        await asyncio.sleep(5.5)  # what was said at the start is no use of the link any more
        await injector.enter_phase("now")
        assert await scene.does(CALL.format("two"), "one") == "silence"
        await injector.heal_all()
        event = scene.faults[-1]
        assert (event.bit, event.why) == (False, "no link that was cut had carried traffic in the 5 s before")

    play(act, trio())


def test_a_one_way_partition_loses_what_is_sent_and_lets_pass_what_comes_back(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = partition(scene, ["one"], ["two"], one_way=True)
        await scene.does(f"(exec perl -e '{LISTEN}' > {DATA}/heard &) ; true", "one")
        await scene.does(f"(exec perl -e '{LISTEN}' > {DATA}/heard &) ; true", "two")
        await injector.enter_phase("now")
        await asyncio.gather(send(scene, "one", "two"), send(scene, "two", "one"))
        assert await heard(scene, "one") == "from two"
        assert await heard(scene, "two") == "", "what the first set sends is lost"
        await injector.heal_all()
        await send(scene, "one", "two")
        assert await heard(scene, "two") == "from one"

    play(act, trio())


LISTEN = (
    'use IO::Socket::INET; $|=1; my $s = IO::Socket::INET->new(LocalPort=>7000,Proto=>"udp") or die; '
    "while ($s->recv(my $m, 99)) { print $m }"
)


async def send(scene: Scene, sender: str, receiver: str) -> None:
    await scene.does(f"printf 'from {sender}' > /dev/udp/{receiver}/7000", sender)


async def heard(scene: Scene, receiver: str) -> str:
    await asyncio.sleep(0.2)
    return await scene.does(f"cat {DATA}/heard", receiver)


GROUP, EVERYBODY = "224.0.0.251", "255.255.255.255"
DISCOVER = """
use Socket; $| = 1; socket(my $s, PF_INET, SOCK_DGRAM, 17) or die; setsockopt($s, SOL_SOCKET, SO_BROADCAST, 1) or die;
if (@ARGV) { send($s, "$ARGV[0]\\n", 0, sockaddr_in(5353, inet_aton($ARGV[1]))) or die "$ARGV[1]: $!"; exit }
bind($s, sockaddr_in(5353, INADDR_ANY)) or die "no port: $!";
setsockopt($s, 0, 35, inet_aton("224.0.0.251") . INADDR_ANY) or die "not in the group: $!";
while (defined recv($s, my $m, 99, 0)) { print $m }
"""
"""With arguments: says something to all; without: joins the group of mDNS and prints what it hears."""


def test_services_find_each_other_by_multicast_and_broadcast_and_a_partition_cuts_that_for_who_listens(
    play: Play,
) -> None:
    async def say(scene: Scene, sender: str, what: str) -> None:
        for to in (GROUP, EVERYBODY, scene.running._network.subnet.replace(".0/24", ".255")):
            await scene.does(f"perl -e '{DISCOVER}' {what} {to}", sender)

    async def act(scene: Scene) -> None:
        for name in ("one", "two"):
            await scene.does(f"(exec perl -e '{DISCOVER}' > {DATA}/heard 2>&1 &) ; sleep 0.2", name)
        await asyncio.sleep(5.2)  # until nothing but discovery has used a link
        await say(scene, "one", "before")
        cut = [(("one", other), LinkState(open=False)) for other in ("two", "three")]
        applied = await scene.running.agent.call(ApplyLinks(tuple(cut), 60.0))
        assert [link.carried for link in applied.links] == [3, 0], "nobody listens at the third one"
        await say(scene, "one", "cut")
        await say(scene, "two", "back")
        assert (await heard(scene, "two")).split() == ["before"] * 3 + ["back"] * 3
        assert (await heard(scene, "one")).split() == ["before"] * 3 + ["cut"] * 3 + ["back"] * 3
        drops = await scene.running.agent.call(CountDrops((("one", "two"), ("one", "three"), ("two", "one"))))
        assert drops.packets == (3, 0, 0)
        packets = await scene.running.heard()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
            bridge = scene.running._network.subnet.replace(".0/24", ".1")
            host.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(bridge))
            host.sendto(b"x" * 90, (GROUP, 5353))
        assert "xxx" in await heard(scene, "two")
        assert await scene.running.heard() == packets, "what this host says to all on the bridge is no phone's"

    play(act, trio())


def test_two_partitions_compose_and_healing_one_keeps_the_other(play: Play) -> None:
    async def act(scene: Scene) -> None:
        first, second = partition(scene, ["one"], ["two", "three"]), partition(scene, ["two"], ["one", "three"])
        both = Both(scene, first, second)
        await both.inject(0)
        assert await reach(scene) == {"two>three", "three>two"}
        await both.inject(1)
        assert await reach(scene) == set()
        await both.heal(0)
        assert await reach(scene) == {"one>three", "three>one"}
        await both.heal(1)
        await opens(scene)

    play(act, trio())


class Both:
    """Two faults of one schedule, which strike and heal when told."""

    def __init__(self, scene: Scene, first: Injector, second: Injector) -> None:
        schedule = [
            replace(each._faults[0].scheduled, at=Trigger(phase=str(index)))
            for index, each in enumerate((first, second))
        ]
        self._injector = Injector(schedule, scene.surroundings, scene.recorder, scene.faults.append, scene.mended)

    async def inject(self, index: int) -> None:
        await self._injector.enter_phase(str(index))

    async def heal(self, index: int) -> None:
        await self._injector._heal(self._injector._faults[index])


def test_an_isolated_service_reaches_no_other_and_the_others_reach_each_other(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("network.partition", target=Target("isolate", ("three",)))
        await injector.enter_phase("now")
        assert await reach(scene) == {"one>two", "two>one"}
        await injector.heal_all()
        await opens(scene)

    play(act, trio())


def test_a_partition_holds_for_every_address_of_a_service(play: Play) -> None:
    """A second address on its interface, as of a floating one, and a second interface on the same network."""

    async def act(scene: Scene) -> None:
        prefix = scene.running._network.subnet.rpartition(".")[0]
        await change_network(scene, "two", "address", f"{prefix}.201")
        await change_network(scene, "one", "address", f"{prefix}.202")
        assert await scene.does(CALL.format(f"{prefix}.201"), "one") == "hello"
        assert await scene.does(CALL.format(f"{prefix}.202"), "two") == "hello"
        injector = partition(scene, ["one"], ["two"])
        await injector.enter_phase("now")
        for called, caller in ((f"{prefix}.201", "one"), (f"{prefix}.202", "two")):
            assert await scene.does(CALL.format(called), caller) == "silence"
            assert await scene.does(CALL.format(called), "three") == "hello"
        await change_network(scene, "two", "address", f"{prefix}.203")
        assert await scene.does(CALL.format(f"{prefix}.203"), "one") == "silence", "nor for one that it takes later"
        await injector.heal_all()
        assert await scene.does(CALL.format(f"{prefix}.203"), "one") == "hello"

    play(act, trio())


async def change_network(scene: Scene, name: str, what: str, address: str) -> None:
    """Give a service one more address, from where the agent is: the container may not, and has no tool."""
    pid = scene.running.running[name].pid
    program = textwrap.dedent(f"""
        import fcntl, os, socket, struct
        from chaos.agent.network import namespaces
        with namespaces.inside(namespaces.of_process({pid})):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            name = b"eth0:x{address.rpartition(".")[2]}"
            body = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton("{address}"))
            fcntl.ioctl(s, 0x8916, body)
            body = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton("255.255.255.0"))
            fcntl.ioctl(s, 0x891C, body)
    """)

    def run() -> None:
        client = connect()
        try:
            made = client.api.exec_create(scene.running.agent.container, ["python3", "-c", program])
            said = client.api.exec_start(made["Id"])
            assert client.api.exec_inspect(made["Id"])["ExitCode"] == 0, said
        finally:
            client.close()

    await asyncio.to_thread(run)


def test_a_service_that_comes_back_during_a_partition_finds_it_in_force(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = partition(scene, ["one"], ["two"])
        await injector.enter_phase("now")
        await scene.running.agent.call(ApplyServices({}, 60.0, kill=("two",)))
        await scene.heard("exited")

        async def noticed() -> bool:
            return "two" in await scene.running.not_running()

        await until(noticed, "the engine does not see that it ended")
        await scene.running.start(["two"], 30.0)
        assert await reach(scene) == ALL - {"one>two", "two>one"}
        await injector.heal_all()
        await opens(scene)

    play(act, trio())


CHATTER = """
use IO::Socket::INET; $SIG{TERM} = sub { exit 0 };
my $s = IO::Socket::INET->new(PeerAddr => "one:7000", Proto => "udp") or die "no socket: $!";
while (1) { $s->send("x"); select undef, undef, undef, 0.001 }
"""
"""Sends to the first service from the moment on in which it starts."""


def test_what_a_service_sends_that_restarts_within_a_partition_is_dropped_from_its_first_packet_on(play: Play) -> None:
    listens, speaks = trio().services["one"], trio().services["two"]
    stack = stack_of(listens, replace(speaks, command=("perl", "-e", CHATTER), ports=()))

    async def dropped(scene: Scene) -> int:
        return (await scene.running.agent.call(CountDrops((("two", "one"),)))).packets[0]

    async def arrived(scene: Scene) -> int:
        return int(await scene.does(f"stat -c %s {DATA}/heard", "one"))

    async def act(scene: Scene) -> None:
        await scene.does(f"(exec perl -e '{LISTEN}' > {DATA}/heard &) ; true", "one")

        async def speaking() -> bool:
            return await arrived(scene) > 0

        await until(speaking, "it says nothing")
        await scene.running.agent.call(ApplyLinks(((("two", "one"), LinkState(open=False)),), 60.0))
        await asyncio.sleep(0.3)
        said, counts = await arrived(scene), [await dropped(scene)]
        for _ in range(3):
            await scene.running.recreate(["two"])
            await asyncio.to_thread(containers.start, scene.running._client, scene.running.running["two"])
            await asyncio.sleep(0.5)
            assert await arrived(scene) == said, "before the agent hears of it"
            await scene.running.start(["two"], 30.0)
            await asyncio.sleep(0.3)
            counts.append(await dropped(scene))
        assert await arrived(scene) == said
        assert counts == sorted(set(counts)), "those that were dropped before count on"

    play(act, stack)


def test_a_cut_link_opens_when_its_lease_ends(play: Play) -> None:
    async def act(scene: Scene) -> None:
        cut = ApplyLinks(((("one", "two"), LinkState(open=False)),), lease_seconds=3.0)
        assert not (await scene.running.agent.call(cut)).links[0].state.open
        assert "one>two" not in await reach(scene)
        assert (await scene.heard("lease-ended")).targets == ("one to two",)
        await opens(scene)

    play(act, trio())


def test_cut_links_end_with_the_agent_however_it_dies(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = partition(scene, ["one"], ["two"])
        await injector.enter_phase("now")
        client = connect()
        try:
            await asyncio.to_thread(client.api.kill, scene.running.agent.container)
        except docker.errors.NotFound:
            pass
        finally:
            client.close()
        async with asyncio.timeout(10):
            await scene.running.agent.lost.wait()

        async def open_again() -> bool:
            return await scene.does(CALL.format("two"), "one") == "hello"

        await until(open_again, "the kernel keeps the rules of an agent that is gone")

    play(act, trio())


def test_process_pause_stops_a_service_where_it_stands_and_lets_it_go_on(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await talk(scene, "one", "two")
        await talk_until_counted(scene)
        injector = scene.injector("process.pause", service="two")
        await injector.enter_phase("now")
        assert await stands_still(scene, "one"), "all of its processes are stopped, children too"
        assert injector.damage.held == {"two"}
        assert await scene.running.not_running() == []
        assert await scene.does(CALL.format("three"), "one") == "hello"
        await injector.heal_all()

        async def going() -> bool:
            return not await stands_still(scene, "one")

        await until(going, "the connection does not go on")
        await opens(scene)
        event = scene.faults[-1]
        assert (event.happened, event.bit, event.why) == ("healed", True, "")
        assert event.evidence["paused"] == 1

    play(act, trio())


def test_a_paused_service_that_is_killed_dies_at_once(play: Play) -> None:
    async def act(scene: Scene) -> None:
        pause, kill = scene.injector("process.pause", service="one"), scene.injector("process.kill", service="one")
        await pause.enter_phase("now")
        await kill.enter_phase("now")
        assert await scene.heard("exited") == Event("exited", service="one", killed=True)
        await pause.heal_all()
        await kill.heal_all()
        assert await scene.mend() == [("started", "one")]
        await greets(*scene.running.front_door)

    play(act, trio())


def test_a_pause_ends_with_its_lease(play: Play) -> None:
    async def act(scene: Scene) -> None:
        pause = ApplyServices({"one": ServiceState(paused=True)}, lease_seconds=8.0)
        assert (await scene.running.agent.call(pause)).services["one"].paused
        assert not await greeted(*scene.running.front_door)
        assert (await scene.heard("lease-ended")).targets == ("one",)
        await greets(*scene.running.front_door)

    play(act, trio())


def test_a_trial_that_breaks_off_while_a_service_is_paused_leaves_nothing(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.injector("process.pause", service="one").enter_phase("now")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play(act, trio())

"""The agent's requests, without a kernel: states are applied at once, read back, and leased."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.agent import __main__ as main
from chaos.agent import service, states, wire, wire_states
from chaos.agent.disk import filesystems, loop, mounted
from chaos.agent.disk.effects import Effect, FailEffect, Fate, Io
from chaos.agent.disk.fuse import Front
from chaos.agent.network import links, namespaces
from chaos.agent.recording import BLOCK_BYTES
from chaos.agent.request import REQUESTS, Done
from chaos.agent.service import Agent
from chaos.agent.states import Fail, LunState
from chaos.agent.wire_states import LunsApplied

SIZE = 16 * BLOCK_BYTES
BASELINE = LunState()
OFF = BASELINE.powered_off()
FAIL_READS = Fail(frozenset({"read"}))
FAIL_TWO_WRITES = Fail(frozenset({"write"}), times=2)
FAILING = BASELINE.with_effect(FAIL_READS)


class Clock:
    """CLOCK_MONOTONIC that jumps."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000

    def monotonic_ns(self) -> int:
        return self.now_ns

    def jump(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(service, "time", made)
    return made


@pytest.fixture
def agent(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent with an attached LUN "disk" and one "spare"; loop devices are files."""

    def attach(path: str, *, direct: bool = True) -> tuple[str, int]:
        return f"/dev/loop-{Path(path).name}", os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(loop, "attach", attach)
    monkeypatch.setattr(mounted, "wait_until_free", lambda device, seconds_max: True)
    monkeypatch.setattr(filesystems, "require", lambda kind: None)
    made = Agent("run", Front(-1), "/run/holdfast", str(tmp_path))
    for lun in ("disk", "spare"):
        made.do_create(wire.Create(lun, SIZE))
        made.do_attach(wire.Attach(lun))
    yield made
    for lun in ("disk", "spare"):
        made.do_drop(wire.Drop(lun))


def apply(agent: Agent, state: LunState, lun: str = "disk", **parameters: Any) -> LunsApplied:
    return agent.do_apply_luns(wire_states.ApplyLuns(**{"luns": {lun: state}, "lease_seconds": 60.0, **parameters}))


def left(effect: Effect) -> int | None:
    assert isinstance(effect, FailEffect)
    return effect.left


def with_effects(*effects: states.Effect) -> LunState:
    return LunState(effects=effects)


def test_luns_are_made_of_what_a_cut_at_one_instant_would_have_left_of_others(agent: Agent, tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(b"b" * SIZE)
    for name in ("disk", "spare"):
        agent.do_drop(wire.Drop(name))
        agent.do_create(wire.Create(name, SIZE, str(base)))
    agent.do_keep_log(wire.KeepLog(("disk", "spare")))
    disk, spare = agent._luns["disk"].lun, agent._luns["spare"].lun
    disk.write(0, b"1" * BLOCK_BYTES)
    disk.flush()
    spare.write(0, b"2" * BLOCK_BYTES)
    disk.write(BLOCK_BYTES, b"3" * 2 * BLOCK_BYTES)
    instant = disk._log.instant
    spare.flush()
    disk.flush()
    disk.write(0, b"4" * BLOCK_BYTES)
    for name in ("disk", "spare"):
        agent.do_save_log(wire.SaveLog(name, str(tmp_path / name)))

    def left(name: str, survivors: tuple[int, ...] = ()) -> bytes:
        crash = states.Crash(str(tmp_path / name), instant, survivors)
        agent.do_create(wire.Create("again", SIZE, str(base), crash=crash))
        again = agent._luns["again"].lun
        found = again.read(0, 4 * BLOCK_BYTES)[::BLOCK_BYTES]
        again.write(0, b"5" * BLOCK_BYTES)
        assert again.read(0, 1) == b"5"
        agent.do_drop(wire.Drop("again"))
        return found

    assert (left("disk"), left("spare")) == (b"1bbb", b"bbbb")
    assert left("disk", (1,)) == b"13bb", "a block of a write by itself"
    assert left("disk") == b"1bbb", "what is written to such a LUN is its own"


def test_a_power_cut_closes_the_port_drops_what_is_volatile_and_says_so(agent: Agent, clock: Clock) -> None:
    target = agent._luns["disk"]
    target.lun.write(0, b"durable".ljust(BLOCK_BYTES))
    target.lun.flush()
    target.lun.write(0, b"volatile".ljust(2 * BLOCK_BYTES))
    reply = apply(agent, OFF)
    assert reply.at == clock.now_ns
    assert reply.closed == {"disk": 2 * BLOCK_BYTES}
    assert reply.after == {"disk": OFF}
    assert target.lun.read(0, 7) == b"durable"


def test_power_comes_back_through_a_new_port_only(agent: Agent) -> None:
    apply(agent, OFF)
    assert apply(agent, BASELINE).after["disk"].power is False, "the old port stays closed"
    assert agent.do_health(wire.Health("disk")).closed
    agent.do_attach(wire.Attach("disk"))
    assert not agent.do_health(wire.Health("disk")).closed


@pytest.mark.parametrize("again", [OFF, with_effects(replace(FAIL_READS, cause=2)).powered_off(), BASELINE.gone()])
def test_a_lun_that_is_dark_already_is_not_closed_again(agent: Agent, again: LunState) -> None:
    assert apply(agent, OFF, cause=1).closed == {"disk": 0}
    assert apply(agent, again, cause=2).closed == {}
    assert agent._ports["disk"].cause == 1


def test_what_was_counted_for_one_cause_outlives_the_rules_of_others_and_goes_with_the_lun(agent: Agent) -> None:
    first, second = replace(FAIL_READS, cause=1), replace(FAIL_READS, cause=2)
    apply(agent, with_effects(first), cause=1)
    agent._luns["disk"].chain[0].meets(Io("read", 0, 1))
    apply(agent, with_effects(second), cause=2)
    apply(agent, BASELINE, cause=1)
    counted = {cause: agent.do_count_ios(wire_states.CountIos(("disk",), cause)).luns["disk"].ios for cause in (1, 2)}
    assert counted == {1: {"failed_reads": 1}, 2: {}}
    agent.do_drop(wire.Drop("disk"))
    agent.do_create(wire.Create("disk", SIZE))
    assert agent.do_count_ios(wire_states.CountIos(("disk",), 1)).luns["disk"].ios == {}


def test_of_two_equal_rules_the_one_that_stays_keeps_its_own_count(agent: Agent) -> None:
    first, second = replace(FAIL_TWO_WRITES, cause=1), replace(FAIL_TWO_WRITES, cause=2)
    apply(agent, with_effects(second), cause=2)
    apply(agent, with_effects(first), cause=1)
    assert agent._luns["disk"].chain[0].meets(Io("write", 0, 1)) is Fate.FAILS
    apply(agent, BASELINE, cause=1)
    assert [(each.wanted.cause, left(each)) for each in agent._luns["disk"].chain] == [(2, 2)]


def test_what_a_cause_wants_leaves_what_others_want_and_all_of_it_stands_in_the_order_of_causes(agent: Agent) -> None:
    first, second = replace(FAIL_TWO_WRITES, cause=1), replace(FAIL_READS, cause=2)
    apply(agent, with_effects(second), cause=2)
    assert apply(agent, with_effects(first), cause=1).after["disk"].effects == (first, second)
    assert apply(agent, OFF, cause=3).after["disk"].effects == (first, second)
    assert apply(agent, BASELINE, cause=2).after["disk"].effects == (first,)


def test_an_effect_of_another_cause_is_refused_and_nothing_is_changed(agent: Agent) -> None:
    with pytest.raises(ValueError, match="an effect of cause 1 cannot be wanted by cause 2"):
        apply(agent, with_effects(replace(FAIL_READS, cause=1)), cause=2)
    assert agent._luns["disk"].chain == []


def test_a_lun_that_is_unplugged_refuses_what_comes_and_keeps_what_its_array_had_taken(agent: Agent) -> None:
    spare = agent._luns["spare"]
    spare.lun.write(0, b"taken".ljust(BLOCK_BYTES))
    reply = apply(agent, OFF, kill=("db",), unplug=("spare",), cause=3)
    assert reply.closed == {"disk": 0}
    assert (agent.do_health(wire.Health("spare")).closed, agent._ports["spare"].cause) == (True, 3)
    agent.do_attach(wire.Attach("spare"))
    assert spare.lun.read(0, 5) == b"taken"
    assert spare.lun.volatile_bytes == BLOCK_BYTES, "in the array's own cache, as it was"


def test_a_disk_within_the_machine_loses_what_was_not_flushed_and_keeps_what_was(agent: Agent) -> None:
    spare = agent._luns["spare"]
    spare.lun.write(0, b"flushed".ljust(BLOCK_BYTES))
    spare.lun.flush()
    spare.lun.write(0, b"cached".ljust(BLOCK_BYTES))
    reply = apply(agent, OFF, kill=("db",), within=("spare",), cause=3)
    assert reply.closed == {"disk": 0}, "the evidence is of the disk that was aimed at"
    assert (agent.do_health(wire.Health("spare")).closed, agent._ports["spare"].cause) == (True, 3)
    assert (spare.lun.read(0, 7), spare.lun.volatile_bytes) == (b"flushed", 0)


def test_a_file_system_is_written_back_through_whoever_runs_and_an_ended_service_is_in_nobodys_way(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.do_watch(wire.Watch("me", os.getpid()))
    settled: list[str] = []
    monkeypatch.setattr(agent._processes, "settle", settled.append)
    for nobody in ((("gone", "/data"),), (("me", str(tmp_path / "nowhere")),)):
        agent.do_sync(wire.Sync(nobody))
    assert settled == []
    agent.do_sync(wire.Sync((("gone", "/data"), ("me", str(tmp_path)))))
    assert settled == ["gone", "me"]


def test_mount_points_are_told_as_the_service_sees_them(agent: Agent) -> None:
    agent.do_watch(wire.Watch("me", os.getpid()))
    found = agent.do_mounts(wire.Mounts(("me", "gone"))).services
    assert list(found) == ["me"]
    assert {"/", "/proc"} <= set(found["me"])
    assert mounted.unescaped(r"/with\040blank\134") == "/with blank\\"


@pytest.mark.parametrize(
    ("told", "failed", "gave_up"),
    [
        (False, "", False),
        (False, "read", False),
        (False, "write", True),
        (False, "flush", True),
        (True, "", True),
        (None, "", False),
        (None, "read", True),
    ],
)
def test_a_file_system_gave_up_when_it_says_so_or_an_io_that_would_have_changed_it_failed(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, told: bool | None, failed: states.Operation | None, gave_up: bool
) -> None:
    """One that is not mounted says nothing: then a read that failed is enough."""
    monkeypatch.setattr(filesystems, "gave_up", lambda device: told)
    if failed:
        agent._ports["disk"].fails(failed)
    assert agent.do_health(wire.Health("disk")).gave_up is gave_up


def test_a_lun_that_somebody_still_has_mounted_keeps_its_port_and_it_is_told_who_has_it(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert agent.do_await_unmount(wire.AwaitUnmount("disk", 1.0)) == wire.Unmounted(free=True)
    monkeypatch.setattr(mounted, "wait_until_free", lambda device, seconds_max: False)
    monkeypatch.setattr(mounted, "holders", lambda device: ("sleep (pid 42)",))
    port = agent._ports["disk"]
    assert agent.do_await_unmount(wire.AwaitUnmount("disk", 1.0)) == wire.Unmounted(False, ("sleep (pid 42)",))
    with pytest.raises(OSError, match=r"the file system of disk is still mounted; by sleep \(pid 42\)"):
        agent.do_attach(wire.Attach("disk"))
    assert agent._ports["disk"] is port
    assert not port.closed
    apply(agent, OFF)
    assert agent.do_await_unmount(wire.AwaitUnmount("disk", 1.0)).free, "a closed port takes no write any more"
    agent.do_attach(wire.Attach("disk"))


def test_a_file_is_shown_as_a_device_until_it_is_hidden(agent: Agent, tmp_path: Path) -> None:
    path = str(tmp_path / "first.img")
    assert agent.do_show(wire.Show(path)) == wire.Device("/dev/loop-first.img")
    agent.do_hide(wire.Hide(path))
    with pytest.raises(KeyError):
        agent.do_hide(wire.Hide(path))


def test_an_array_that_loses_power_after_its_lun_was_unplugged_loses_what_was_not_flushed(agent: Agent) -> None:
    agent._luns["spare"].lun.write(0, b"taken".ljust(BLOCK_BYTES))
    apply(agent, OFF, unplug=("spare",))
    assert apply(agent, OFF, "spare").closed == {}
    assert agent._luns["spare"].lun.read(0, 5) == bytes(5)


def test_an_unknown_lun_to_unplug_changes_nothing(agent: Agent) -> None:
    with pytest.raises(KeyError):
        apply(agent, OFF, unplug=("nosuch",))
    assert not agent.do_health(wire.Health("disk")).closed


def test_a_lost_lun_stays_lost(agent: Agent) -> None:
    apply(agent, BASELINE.gone())
    assert apply(agent, BASELINE).after["disk"] == OFF.gone()


def test_rules_that_stand_keep_their_count_when_others_come_and_go(agent: Agent) -> None:
    apply(agent, with_effects(FAIL_TWO_WRITES))
    assert agent._luns["disk"].chain[0].meets(Io("write", 0, 1)) is Fate.FAILS
    apply(agent, with_effects(FAIL_READS, FAIL_TWO_WRITES))
    assert [(each.wanted, left(each)) for each in agent._luns["disk"].chain] == [
        (FAIL_READS, None),
        (FAIL_TWO_WRITES, 1),
    ]
    apply(agent, with_effects(FAIL_TWO_WRITES, FAIL_TWO_WRITES))
    assert [left(each) for each in agent._luns["disk"].chain] == [1, 2]


def test_an_effect_about_nothing_changes_nothing(agent: Agent) -> None:
    bad = with_effects(Fail(frozenset()))
    with pytest.raises(ValueError, match="an effect is about some of"):
        agent.do_apply_luns(wire_states.ApplyLuns({"spare": OFF, "disk": bad}, 1.0))
    assert not agent.do_health(wire.Health("spare")).closed


def test_an_unknown_lun_changes_nothing(agent: Agent) -> None:
    with pytest.raises(KeyError):
        agent.do_apply_luns(wire_states.ApplyLuns({"spare": OFF, "nosuch": OFF}, 1.0))
    assert not agent.do_health(wire.Health("spare")).closed


def test_rules_end_with_their_lease(agent: Agent, clock: Clock) -> None:
    apply(agent, FAILING, lease_seconds=5.0)
    clock.jump(4.9)
    assert agent.tick() == []
    clock.jump(0.2)
    assert agent.tick() == [wire.Event("lease-ended", targets=("disk",))]
    assert agent._luns["disk"].chain == []
    assert agent.tick() == []


def test_a_lease_is_renewed_by_the_next_apply_and_ended_by_a_heal(agent: Agent, clock: Clock) -> None:
    apply(agent, FAILING, lease_seconds=5.0)
    clock.jump(4)
    apply(agent, FAILING, lease_seconds=5.0)
    clock.jump(4)
    assert agent.tick() == []
    apply(agent, BASELINE)
    clock.jump(4)
    assert agent.tick() == []


def test_a_target_whose_lease_ran_out_is_told_of_until_nothing_is_wanted_of_it_any_more(
    agent: Agent, clock: Clock
) -> None:
    failing = FAILING
    assert apply(agent, failing, lease_seconds=5.0).lapsed == ()
    clock.jump(6)
    agent.tick()
    assert apply(agent, BASELINE, "spare").lapsed == (), "that is another"
    assert [apply(agent, failing).lapsed for _ in range(2)] == [("disk",), ("disk",)], "the gap stays a gap"
    assert apply(agent, BASELINE).lapsed == ("disk",)
    assert apply(agent, failing).lapsed == ()


def test_links_and_services_whose_lease_ran_out_are_told_of_too(agent: Agent, clock: Clock) -> None:
    pause = wire_states.ApplyServices({"db": states.ServiceState(paused=True)}, 5.0)
    cut = wire_states.ApplyLinks(((("db", "files"), states.LinkState(open=False)),), 5.0)
    assert (agent.do_apply_services(pause).lapsed, agent.do_apply_links(cut).lapsed) == ((), ())
    clock.jump(6)
    agent.tick()
    assert (agent.do_apply_services(pause).lapsed, agent.do_apply_links(cut).lapsed) == (("db",), ("db to files",))


@pytest.mark.parametrize("end", ["drop", "release"])
def test_nothing_is_wanted_any_more_of_a_lun_that_is_dropped_or_released(agent: Agent, clock: Clock, end: str) -> None:
    apply(agent, FAILING, lease_seconds=5.0)
    clock.jump(6)
    agent.tick()
    if end == "release":
        agent.do_release(wire.Release())
    else:
        agent.do_drop(wire.Drop("disk"))
        agent.do_create(wire.Create("disk", SIZE))
    assert apply(agent, BASELINE).lapsed == ()


def test_a_lun_that_was_dropped_has_no_lease_any_more(agent: Agent, clock: Clock) -> None:
    apply(agent, FAILING, lease_seconds=5.0)
    agent.do_drop(wire.Drop("disk"))
    clock.jump(6)
    assert agent.tick() == []


def test_a_name_is_taken_until_it_is_dropped(agent: Agent) -> None:
    with pytest.raises(ValueError, match="there is a LUN disk already"):
        agent.do_create(wire.Create("disk", SIZE))


def test_a_port_whose_loop_device_cannot_be_had_is_hidden_again(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_free(path: str) -> tuple[str, int]:
        raise OSError("no free loop device")

    monkeypatch.setattr(loop, "attach", none_free)
    with pytest.raises(OSError, match="no free loop device"):
        agent.do_attach(wire.Attach("disk"))
    assert not [name for name in agent._front._names if "disk" in name]


def test_at_the_end_every_port_is_closed(agent: Agent) -> None:
    agent.close()
    assert agent.do_health(wire.Health("disk")).closed
    assert agent.do_health(wire.Health("spare")).closed


def test_a_victim_that_is_not_known_was_not_alive(agent: Agent) -> None:
    assert apply(agent, OFF, kill=("db",)).killed == {"db": wire_states.Killed()}


class TestRequests:
    """Lines in, lines out."""

    @pytest.fixture
    def controller(self, tmp_path: Path) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(5)
            door.bind(str(tmp_path / "door"))
            door.listen()
            self.line = main.Line(str(tmp_path / "door"))
            accepted, _ = door.accept()
            with accepted:
                accepted.settimeout(5)
                yield accepted

    def ask(self, agent: Agent, controller: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
        controller.sendall(json.dumps(request).encode() + b"\n")
        with ThreadPoolExecutor(1) as workers:
            for text in self.line.requests() or ():
                main._handle(agent, workers, self.line, text)
        answer: dict[str, Any] = json.loads(controller.recv(1 << 16))
        return answer

    def test_a_beat_is_answered(self, agent: Agent, controller: socket.socket) -> None:
        assert self.ask(agent, controller, {"id": 1, "do": "beat"}) == {"id": 1, "ok": {}}

    def test_a_beat_without_an_id_is_not_answered(self, agent: Agent, controller: socket.socket) -> None:
        controller.sendall(b'{"do": "beat"}\n')
        assert self.ask(agent, controller, {"id": 1, "do": "beat"}) == {"id": 1, "ok": {}}

    def test_slow_requests_are_answered_too(self, agent: Agent, controller: socket.socket) -> None:
        assert self.ask(agent, controller, {"id": 2, "do": "drop", "lun": "disk"}) == {"id": 2, "ok": {}}

    def test_a_request_in_pieces_waits_for_its_end(self, agent: Agent, controller: socket.socket) -> None:
        controller.sendall(b'{"id": 4, "do": ')
        assert self.line.requests() == []
        controller.sendall(b'"beat"}\n{"id"')
        assert self.line.requests() == [b'{"id": 4, "do": "beat"}']

    def test_the_end_of_the_controller_is_told_from_silence(self, controller: socket.socket) -> None:
        controller.close()
        assert self.line.requests() is None
        self.line.say({"event": "exited"})  # to nobody, and no crash

    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            (
                {"do": "create", "lun": "disk", "size_bytes": SIZE, "base": None},
                "create: ValueError: there is a LUN disk",
            ),
            ({"do": "explode"}, "explode: KeyError"),
            ({"do": "drop", "nosuch": 1}, "drop: ValueError: Drop has no nosuch"),
        ],
    )
    def test_a_request_that_fails_is_answered_with_its_reason(
        self, agent: Agent, controller: socket.socket, request_: dict[str, Any], error: str
    ) -> None:
        answer = self.ask(agent, controller, {"id": 3, **request_})
        assert answer["id"] == 3
        assert answer["error"].startswith(error)
        assert "Traceback" in answer["trace"]


def test_the_agent_answers_every_request() -> None:
    assert {name for name in REQUESTS if not hasattr(Agent, f"do_{name}")} == set()


def test_the_agent_runs_on_the_standard_library_alone() -> None:
    package = Path(service.__file__).parent.parent.parent
    code = "import sys; sys.path.insert(0, sys.argv[1]); import chaos.agent.__main__; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, package], capture_output=True, text=True, check=True)
    assert "'chaos.agent.service'" in done.stdout
    assert "docker" not in done.stdout


REFUSED = OSError("nft in the namespace of pid 7: no")


@pytest.mark.parametrize("fails", ["add", "apply_baseline"])
def test_a_container_that_has_ended_again_need_not_be_confined_and_one_that_runs_must_be(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def refuse(*_: object) -> None:
        raise REFUSED

    monkeypatch.setattr(links.Links, "add", refuse if fails == "add" else lambda *_: None)
    monkeypatch.setattr(links, "apply_baseline", refuse if fails == "apply_baseline" else lambda *_: None)
    ended, runs = 0, os.getpid()
    assert agent.do_confine(wire.Confine("db", ended, "198.18.0.0/24")) == Done()
    with pytest.raises(OSError, match="nft in the namespace"):
        agent.do_confine(wire.Confine("db", runs, "198.18.0.0/24"))


def test_a_process_that_waits_to_be_reaped_is_in_no_network_any_more() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert namespaces.exists(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not namespaces.exists(process.pid)

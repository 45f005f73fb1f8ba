"""Armed requests: on which I/O they fall, what becomes of that I/O, and what others want meanwhile."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from chaos.agent.disk import fuse
from chaos.agent.recording import BLOCK_BYTES
from chaos.agent.request import Done
from chaos.agent.service import Agent
from chaos.agent.states import Effect, Fail, Hold, LunState, Operation
from chaos.agent.wire import Event, Release
from chaos.agent.wire_states import ApplyLuns, Arm, Disarm, Disarmed, FellOn, Killed, TakeApart
from tests.unit.agent.test_agent_fuse import Kernel

OFF = LunState().powered_off()
READS: frozenset[Operation] = frozenset({"read"})
FLUSHES: frozenset[Operation] = frozenset({"flush"})
OLD, NEW, NEWEST = (word.ljust(BLOCK_BYTES) for word in (b"old", b"new", b"newest"))


class Bench:
    """An agent whose LUN "disk" is that of a fake kernel, and the events that it pushed."""

    def __init__(self, folder: Path) -> None:
        self.kernel = Kernel(folder)
        self.told: list[Event] = []
        self.agent = Agent("run", self.kernel.front, "/run/holdfast", str(folder), self.told.append)
        self.agent._luns["disk"], self.agent._ports["disk"] = self.kernel.target, self.kernel.port

    def arm(
        self,
        operation: Literal["flush", "write"],
        number: int,
        *,
        before: bool,
        wanted: LunState = OFF,
        cause: int = 3,
        kill: tuple[str, ...] = (),
    ) -> None:
        request = ApplyLuns({"disk": wanted}, 60.0, cause=cause, kill=kill)
        assert self.agent.do_arm(Arm(request, "disk", operation, number, before)) == Done()

    def want(self, cause: int, *effects: Effect) -> None:
        self.agent.do_apply_luns(ApplyLuns({"disk": LunState(effects=effects)}, 60.0, cause=cause))

    def read(self) -> bytes:
        return self.kernel.target.lun.read(0, BLOCK_BYTES)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.kernel.close()


def two_flushes(bench: Bench) -> list[int]:
    """Write and flush twice; return what was answered to each I/O."""
    kernel = bench.kernel
    return [kernel.write(0, OLD), kernel.flush(), kernel.write(0, NEW), kernel.flush()]


def test_power_that_is_cut_before_a_flush_takes_what_that_flush_would_have_made_durable(bench: Bench) -> None:
    bench.arm("flush", 2, before=True)
    assert two_flushes(bench) == [0, 0, 0, errno.EIO]
    assert bench.read() == OLD
    (event,) = bench.told
    assert (event.event, event.cause) == ("struck", 3)
    assert event.fell_on == FellOn("disk", "flush", 2, before=True, offset=0, size=BLOCK_BYTES, writes=2)
    assert event.applied is not None
    assert (event.applied.closed, event.applied.after) == ({"disk": BLOCK_BYTES}, {"disk": OFF})


def test_power_that_is_cut_after_a_flush_leaves_everything_and_the_answer_is_lost(bench: Bench) -> None:
    bench.arm("flush", 2, before=False)
    assert two_flushes(bench) == [0, 0, 0, errno.EIO]
    assert bench.read() == NEW
    applied = bench.told[0].applied
    assert applied is not None
    assert (applied.closed, applied.before["disk"].flushes) == ({"disk": 0}, 2), "that flush was done"
    assert bench.kernel.counted() == {3: {"failed_flushes": 1}}, "its answer is the fault's doing"


@pytest.mark.parametrize(("before", "discarded"), [(True, 0), (False, BLOCK_BYTES)])
def test_power_that_is_cut_at_a_write_takes_that_write_either_way(bench: Bench, before: bool, discarded: int) -> None:
    bench.kernel.write(0, OLD)
    bench.kernel.flush()
    bench.arm("write", 2, before=before)
    assert [bench.kernel.write(BLOCK_BYTES, NEW), bench.kernel.flush()] == [0, 0]
    assert bench.kernel.write(0, NEWEST) == errno.EIO
    assert bench.read() == OLD
    assert bench.told[0].fell_on == FellOn("disk", "write", 2, before=before, offset=0, size=BLOCK_BYTES, writes=1)
    assert bench.told[0].applied is not None
    assert bench.told[0].applied.closed == {"disk": discarded}


def test_what_does_not_close_the_lun_leaves_the_io_before_it_alone_and_meets_the_next(bench: Bench) -> None:
    bench.arm("flush", 1, before=False, wanted=LunState().with_effect(Fail(FLUSHES, cause=3)))
    assert [bench.kernel.flush(), bench.kernel.flush()] == [0, errno.EIO]
    bench.want(3)
    bench.arm("flush", 1, before=True, wanted=LunState().with_effect(Fail(FLUSHES, times=1, cause=3)))
    assert [bench.kernel.flush(), bench.kernel.flush()] == [errno.EIO, 0]


def test_nobody_has_an_answer_to_that_io_before_services_are_killed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent: list[bool] = []

    def kill(service: str) -> Killed:
        silent.append(bench.kernel.is_silent())
        return Killed(alive=True)

    monkeypatch.setattr(bench.agent._processes, "kill", kill)
    bench.arm("flush", 1, before=False, kill=("db",))
    assert bench.kernel.flush() == errno.EIO
    assert silent == [True]


def test_ios_count_from_when_it_is_armed_and_those_of_a_closed_port_do_not(bench: Bench) -> None:
    two_flushes(bench)
    bench.arm("flush", 2, before=True, cause=4)
    bench.kernel.flush()
    bench.kernel.read(0, BLOCK_BYTES)
    bench.kernel.write(0, NEW)
    bench.agent.do_apply_luns(ApplyLuns({"disk": OFF}, 60.0, cause=1))
    assert bench.kernel.flush() == errno.EIO
    assert bench.told == []
    assert bench.agent.do_disarm(Disarm(4)) == Disarmed(flushes=1, writes=1)


def test_an_io_that_is_held_back_counts_once_and_what_comes_after_it_strikes_when_it_is_done(bench: Bench) -> None:
    bench.want(1, Hold(FLUSHES, cause=1))
    bench.arm("flush", 1, before=False)
    asked = bench.kernel.tell(fuse._FSYNC, bench.kernel.node, bytes(16))
    bench.kernel.front.reconsider()
    assert (bench.kernel.is_silent(), bench.told) == (True, [])
    bench.want(1)
    assert bench.kernel.answer(asked)[0] == errno.EIO
    assert [event.fell_on.number for event in bench.told if event.fell_on] == [1]
    assert bench.kernel.target.flushes == 1


def test_an_io_that_was_held_back_until_nobody_wants_the_fault_any_more_strikes_nothing(bench: Bench) -> None:
    bench.want(1, Hold(FLUSHES, cause=1))
    bench.arm("flush", 1, before=False)
    asked = bench.kernel.tell(fuse._FSYNC, bench.kernel.node, bytes(16))
    assert bench.agent.do_disarm(Disarm(3)) == Disarmed(flushes=1)
    bench.want(1)
    assert (bench.kernel.answer(asked)[0], bench.told) == (0, [])


def test_it_strikes_once(bench: Bench) -> None:
    bench.arm("flush", 1, before=False, wanted=LunState().with_effect(Fail(READS, cause=3)))
    assert [bench.kernel.flush() for _ in range(3)] == [0, 0, 0]
    assert len(bench.told) == 1
    assert bench.kernel.target.armed == []


def test_two_that_wait_for_one_io_strike_before_it_and_after_it(bench: Bench) -> None:
    bench.arm("flush", 1, before=False, wanted=LunState().with_effect(Fail(READS, cause=5)), cause=5)
    bench.arm("flush", 1, before=True, cause=3)
    bench.kernel.write(0, OLD)
    assert bench.kernel.flush() == errno.EIO
    assert [event.cause for event in bench.told] == [3, 5]


# --- what other faults want meanwhile


def test_what_others_want_when_it_strikes_stays_whether_it_came_before_or_after_it_was_armed(bench: Bench) -> None:
    bench.want(5, Hold(READS, cause=5))
    bench.arm("flush", 1, before=True, wanted=LunState().with_effect(Fail(FLUSHES, cause=3)))
    bench.want(1, Fail(READS, cause=1))
    assert bench.kernel.flush() == errno.EIO
    assert [(each.wanted.cause, type(each.wanted)) for each in bench.kernel.target.chain] == [
        (1, Fail),
        (3, Fail),
        (5, Hold),
    ]
    applied = bench.told[0].applied
    assert applied is not None
    assert [each.cause for each in applied.after["disk"].effects] == [1, 3, 5]


def test_who_does_not_know_yet_that_it_has_struck_takes_nothing_of_it_away(bench: Bench) -> None:
    bench.want(1, Fail(READS, cause=1))
    bench.arm("flush", 1, before=True, wanted=LunState().with_effect(Fail(FLUSHES, cause=3)))
    assert bench.kernel.flush() == errno.EIO
    bench.want(1, Fail(READS, cause=1))  # renewed by a controller that has not read the event
    bench.want(1)
    assert bench.kernel.flush() == errno.EIO
    assert bench.kernel.read(0, BLOCK_BYTES)[0] == 0


# --- the end of waiting


def test_what_is_disarmed_never_strikes_and_tells_what_had_come(bench: Bench) -> None:
    bench.arm("flush", 3, before=True)
    two_flushes(bench)
    assert bench.agent.do_disarm(Disarm(3)) == Disarmed(flushes=2, writes=2)
    assert [bench.kernel.flush(), bench.kernel.flush()] == [0, 0]
    assert bench.agent.do_disarm(Disarm(3)) == Disarmed()
    assert bench.told == []


def test_nothing_strikes_luns_that_operators_take_apart(bench: Bench) -> None:
    bench.arm("flush", 2, before=True)
    bench.kernel.flush()
    bench.agent.do_take_apart(TakeApart(("elsewhere",)))
    assert bench.kernel.target.armed
    bench.agent.do_take_apart(TakeApart(("disk",)))
    assert [bench.kernel.flush(), bench.kernel.flush()] == [0, 0]
    assert bench.agent.do_disarm(Disarm(3)) == Disarmed(flushes=1, taken_apart=True)


def test_a_trial_that_breaks_off_leaves_nothing_armed(bench: Bench) -> None:
    bench.arm("flush", 1, before=True)
    bench.agent.do_release(Release())
    assert (bench.kernel.flush(), bench.told) == (0, [])


def test_a_lun_that_is_not_there_is_refused_when_it_is_armed(bench: Bench) -> None:
    with pytest.raises(KeyError, match="nosuch"):
        bench.agent.do_arm(Arm(ApplyLuns({"nosuch": OFF}, 60.0), "disk", "flush", 1, before=True))
    with pytest.raises(KeyError, match="nosuch"):
        bench.agent.do_arm(Arm(ApplyLuns({"disk": OFF}, 60.0), "nosuch", "flush", 1, before=True))
    assert bench.kernel.target.armed == []


def test_what_cannot_be_carried_out_is_told_with_its_error_and_the_io_goes_on(bench: Bench) -> None:
    wanted = LunState().with_effect(Fail(frozenset(), cause=3))
    bench.arm("write", 1, before=True, wanted=wanted)
    assert bench.kernel.write(0, NEW) == 0
    (event,) = bench.told
    assert event.applied is None
    assert "an effect is about some of read, write, flush" in event.error


def test_a_write_of_several_blocks_falls_as_one(bench: Bench) -> None:
    bench.arm("write", 1, before=True)
    head = struct.pack("<QQIIQII", 0, BLOCK_BYTES, 2 * BLOCK_BYTES, 0, 0, 0, 0)
    bench.kernel.ask(fuse._WRITE, bench.kernel.node, head + bytes(2 * BLOCK_BYTES))
    fell_on = bench.told[0].fell_on
    assert fell_on is not None
    assert (fell_on.offset, fell_on.size, fell_on.writes) == (BLOCK_BYTES, 2 * BLOCK_BYTES, 0)

"""Requests that are armed: they wait for an I/O of a LUN, and are carried out right before or right after it.

Nothing lies between that I/O and the request: I/Os are served, and LUNs changed, in one thread.

- Before it: what is wanted is in force when the I/O is looked at. A flush before which the power is cut makes nothing
  durable.
- After it: the I/O has gone its way, and its answer waits until all is in force. Where the LUN's port is closed then,
  by a power cut or a loss, the answer is lost: a flush after which the power is cut has made everything durable, and
  nobody was told. Else the answer goes out as it is, since the I/O was done.

An I/O counts when it comes, once, whatever then becomes of it. What a closed port refuses never came.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Mapping
from functools import partial

from chaos.agent.disk.effects import Io
from chaos.agent.disk.state import Target
from chaos.agent.wire import Event
from chaos.agent.wire_states import ApplyLuns, Arm, Disarmed, FellOn, LunsApplied


class Armed:
    """One request that waits, and what it has counted since it was armed."""

    def __init__(self, asked: Arm, target: Target, strike: Callable[[Armed, FellOn], None]) -> None:
        """`target` is the LUN whose I/Os are counted."""
        self.asked = asked
        self.target = target
        self.taken_apart = False
        self._strike = strike
        self._came = {"flush": 0, "write": 0}
        self._last_write = (0, 0)

    @property
    def counted(self) -> Disarmed:
        """What came so far."""
        return Disarmed(self._came["flush"], self._came["write"], self.taken_apart)

    def comes(self, io: Io) -> None:
        """Count an I/O that has come; strike where it is the one, or have it strike when it has gone its way."""
        if io.operation == "read":
            return
        writes = self._came["write"]
        self._came[io.operation] += 1
        place = self._last_write if io.operation == "flush" else (io.offset, io.size)
        if io.operation == "write":
            self._last_write = place
        if io.operation == self.asked.operation and self._came[io.operation] == self.asked.number:
            fell_on = FellOn(self.asked.lun, io.operation, self.asked.number, self.asked.before, *place, writes)
            if self.asked.before:
                self._strike(self, fell_on)
            else:
                io.then = (*io.then, partial(self._strike, self, fell_on))


class Arming:
    """All requests that wait, by their cause."""

    def __init__(self, carry_out: Callable[[ApplyLuns], LunsApplied], tell: Callable[[Event], None]) -> None:
        """`tell` the controller what a request came to."""
        self._carry_out = carry_out
        self._tell = tell
        self._armed: dict[int, Armed] = {}

    def arm(self, asked: Arm, luns: Mapping[str, Target]) -> None:
        """Count from now on.

        Raises:
            KeyError: There is no such LUN.
        """
        for name in _involved(asked):
            luns[name]
        self.disarm(asked.request.cause)
        armed = Armed(asked, luns[asked.lun], self._strike)
        self._armed[asked.request.cause] = armed
        armed.target.armed.append(armed.comes)

    def disarm(self, cause: int) -> Disarmed:
        """Let a request wait no longer; return what was counted."""
        armed = self._armed.pop(cause, None)
        if armed is None:
            return Disarmed()
        self._stop(armed)
        return armed.counted

    def take_apart(self, luns: Collection[str]) -> None:
        """Operators take these LUNs away: what involves one of them strikes no more."""
        for armed in self._armed.values():
            if not _involved(armed.asked).isdisjoint(luns):
                armed.taken_apart = True
                self._stop(armed)

    def clear(self) -> None:
        """Nothing waits any more."""
        for cause in list(self._armed):
            self.disarm(cause)

    def _stop(self, armed: Armed) -> None:
        if armed.comes in armed.target.armed:
            armed.target.armed.remove(armed.comes)

    def _strike(self, armed: Armed, fell_on: FellOn) -> None:
        cause = armed.asked.request.cause
        if self._armed.get(cause) is not armed or armed.taken_apart:
            return  # its I/O was held back until now, and meanwhile nobody wants it any more
        self.disarm(cause)
        try:
            applied = self._carry_out(armed.asked.request)
        except Exception as error:  # noqa: BLE001 - it belongs to the controller, who asked
            why = f"{type(error).__name__}: {error}"
            event = Event("struck", cause=cause, fell_on=fell_on, error=why, trace=traceback.format_exc(limit=-3))
        else:
            event = Event("struck", cause=cause, fell_on=fell_on, applied=applied)
        self._tell(event)


def _involved(asked: Arm) -> set[str]:
    request = asked.request
    return {asked.lun, *request.luns, *request.unplug, *request.within}

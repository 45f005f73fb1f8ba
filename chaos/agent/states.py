"""The states that faults want LUNs, services and links to be in, and that the agent applies.

Each takes what it would be without a fault and returns the next, so faults compose.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

Operation = Literal["read", "write", "flush"]


@dataclass(frozen=True)
class _Some:
    """What an effect is about: `times` (None: as long as it stands) of the I/Os that do `operations` on [first, end).

    In bytes. Flushes have no place, so a range is nothing to them. `cause`: the fault whose effect it is, by which
    evidence is counted.
    """

    operations: frozenset[Operation]
    times: int | None = None
    first_byte: int = 0
    end_byte: int | None = None
    cause: int = 0


@dataclass(frozen=True)
class Fail(_Some):
    """An effect: fail I/Os with EIO."""

    kind: Literal["fail"] = "fail"


@dataclass(frozen=True)
class Lie(_Some):
    """An effect: answer writes and flushes as if they had been done."""

    kind: Literal["lie"] = "lie"


@dataclass(frozen=True)
class Misdirect(_Some):
    """An effect: do writes `shift_bytes` before their place, or after it where there is nothing before."""

    shift_bytes: int = 1 << 20
    kind: Literal["misdirect"] = "misdirect"


@dataclass(frozen=True)
class Corrupt(_Some):
    """An effect: have reads return the data with one bit of each 4096 bytes turned over."""

    kind: Literal["corrupt"] = "corrupt"


@dataclass(frozen=True)
class Delay(_Some):
    """An effect: hold each I/O back for `latency_ns`, and let through at most `bytes_per_second` (None: any number)."""

    latency_ns: int = 0
    bytes_per_second: int | None = None
    kind: Literal["delay"] = "delay"


@dataclass(frozen=True)
class Hold:
    """An effect: hold back the answers of `operations` as long as it stands, or until the port closes."""

    operations: frozenset[Operation]
    cause: int = 0
    kind: Literal["hold"] = "hold"


@dataclass(frozen=True)
class Flap:
    """An effect: `operations` go through in turns; in each gap they are held back until it is over, or fail with EIO.

    Attributes:
        away_ns: How long a gap is. The first one begins with the effect.
        back_ns: How long I/Os go through, from the end of a gap to the begin of the next one.
        gaps: How many; None: as long as it stands.
        fails: Whether I/Os fail in a gap, and are not held.
    """

    away_ns: int
    back_ns: int = 0
    gaps: int | None = None
    fails: bool = False
    cause: int = 0
    operations: frozenset[Operation] = frozenset({"read", "write", "flush"})
    kind: Literal["flap"] = "flap"


@dataclass(frozen=True)
class Stale(_Some):
    """An effect: have reads return what was there when it came into force."""

    kind: Literal["stale"] = "stale"


@dataclass(frozen=True)
class Rot:
    """An effect: turn a bit over in `blocks` of 4096 bytes that were written and flushed, drawn by `draw`.

    On [first, end) bytes. It is done once and stays. It is about reads, which return it.
    """

    blocks: int
    draw: int = 0
    first_byte: int = 0
    end_byte: int | None = None
    cause: int = 0
    operations: frozenset[Operation] = frozenset({"read"})
    kind: Literal["rot"] = "rot"


@dataclass(frozen=True)
class Full:
    """An effect: fail writes of blocks that nobody has written yet, once `room_bytes` of them are used up."""

    room_bytes: int = 0
    cause: int = 0
    operations: frozenset[Operation] = frozenset({"write"})
    kind: Literal["full"] = "full"


@dataclass(frozen=True)
class RollBack:
    """An effect: be again what was there `age_ns` ago, where that is `flushed` what of it was durable then.

    It is done once and stays. It is about reads, which return it.
    """

    age_ns: int
    flushed: bool = False
    cause: int = 0
    operations: frozenset[Operation] = frozenset({"read"})
    kind: Literal["roll_back"] = "roll_back"


Effect = Fail | Hold | Flap | Delay | Lie | Misdirect | Corrupt | Stale | Rot | Full | RollBack
"""What happens to I/Os on their way to a LUN. A new one is a class here and one of the same kind in `effects`."""


@dataclass(frozen=True)
class Survivors:
    """What of the writes that are not flushed outlives a loss of power.

    Attributes:
        share: Of the blocks written, each by itself and in any order; from 0 to 1.
        draw: From which they are drawn.
        torn: Whether the last survivor has its first sectors of 512 bytes alone, over what was there before.
    """

    share: float = 0.0
    draw: int = 0
    torn: bool = False


@dataclass(frozen=True)
class Crash:
    """What a power cut leaves of a LUN whose log was kept.

    Attributes:
        log: The path of the log, without suffix.
        instant: Everything up to this I/O had been done.
        survivors: The blocks that were not flushed and outlive the cut, by their places in the log; all others do not.
    """

    log: str
    instant: int
    survivors: tuple[int, ...] = ()


@dataclass(frozen=True)
class LunState:
    """The wanted state of a LUN; the default is its baseline.

    Attributes:
        power: Off: its port closes and unflushed writes are dropped, but for the survivors.
        lost: Gone for good, with everything on it.
        effects: What happens to I/Os, each in its turn.
        survivors: Of a cut; None: no write that is not flushed survives. Not read back.
    """

    power: bool = True
    lost: bool = False
    effects: tuple[Effect, ...] = ()
    survivors: Survivors | None = None

    @property
    def serves(self) -> bool:
        """Whether who writes to it gets an answer at once: it has power, and nothing holds the answers back."""
        holding = (isinstance(each, Hold) or (isinstance(each, Flap) and not each.fails) for each in self.effects)
        return self.power and not any(holding)

    def with_effect(self, effect: Effect) -> LunState:
        """The same with one more effect."""
        return dataclasses.replace(self, effects=(*self.effects, effect))

    def powered_off(self, survivors: Survivors | None = None) -> LunState:
        """The same without power."""
        return dataclasses.replace(self, power=False, survivors=survivors)

    def gone(self) -> LunState:
        """The same, lost for good."""
        return dataclasses.replace(self, lost=True)


@dataclass(frozen=True)
class ServiceState:
    """The wanted state of a service; the default is its baseline.

    Attributes:
        anew: In a container of its own that is made anew when it has been stopped in order, and not started yet; the
            operators bring that about, and not the agent.
    """

    running: bool = True
    paused: bool = False
    anew: bool = False

    def killed(self) -> ServiceState:
        """The same, not running."""
        return dataclasses.replace(self, running=False)

    def made_anew(self) -> ServiceState:
        """The same, in a new container."""
        return dataclasses.replace(self, anew=True)

    def frozen(self) -> ServiceState:
        """The same, with its processes paused."""
        return dataclasses.replace(self, paused=True)


@dataclass(frozen=True)
class LinkState:
    """The wanted state of the link from one service to another; the default is its baseline."""

    open: bool = True

    def cut(self) -> LinkState:
        """The same, closed: every packet is dropped."""
        return dataclasses.replace(self, open=False)

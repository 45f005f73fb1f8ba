"""The mix of a trial: whether its workload had enough of the operations that lose records in real services.

A history of creates alone proves little: losses hide in updates that race, in deletes and in outboxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaos.experiment.mix import (
    CONTENDED_MIN,
    DELETES_MIN,
    FULL_RESETS_MIN,
    PHOTO_BYTES_MAX,
    PHOTO_BYTES_MIN,
    PHOTO_SIZES,
    PHOTOS,
    PHOTOS_MIN,
    RESETS,
    UPDATES_MIN,
)
from chaos.history.events import CANARY_OWNER
from chaos.history.model import INFINITY, Operation


@dataclass(frozen=True)
class Mix:
    """Shares of the creates, updates and deletes that were sent.

    Attributes:
        operations: How many there are.
        updates: Share of updates; `deletes` that of deletes.
        contended: Share of the updates that raced with another device of the same user.
        photos: Share of the creates that made a photo of 50 KB to 2 MB.
        full_resets: Device resets that wiped a non-empty outbox.
    """

    operations: int
    updates: float
    deletes: float
    contended: float
    photos: float
    full_resets: int

    def __str__(self) -> str:
        """As the verdict block shows it."""
        return (
            f"{self.updates:.0%} updates ({self.contended:.0%} of them contended) · {self.deletes:.0%} deletes · "
            f"{self.photos:.0%} photos · {self.full_resets} resets with a full outbox"
        )

    def thin(self, without: Collection[str] = ()) -> tuple[str, ...]:
        """What is missing for the mix, one line each; nothing is of what the workload is `without`."""
        shares = [
            ("updates", self.updates, UPDATES_MIN),
            ("deletes", self.deletes, DELETES_MIN),
            ("contended updates", self.contended, CONTENDED_MIN),
        ]
        if PHOTOS not in without:
            shares.append((f"photos of {PHOTO_SIZES}", self.photos, PHOTOS_MIN))
        short = [f"{share:.1%} {name}, at least {least:.0%} wanted" for name, share, least in shares if share < least]
        if RESETS not in without and self.full_resets < FULL_RESETS_MIN:
            short.append("no device was reset with a full outbox, at least one wanted")
        return tuple(short)


def mix_of(mixed: Mapping[str, int], resets: Iterable[Operation]) -> Mix:
    """The mix.

    Args:
        mixed: What was sent, by kind, and of it "photo" and "contended", as `mixed` counts them.
        resets: Of devices.
    """
    counts = Counter(mixed)
    total = counts["create"] + counts["update"] + counts["delete"]
    return Mix(
        operations=total,
        updates=_share(counts["update"], total),
        deletes=_share(counts["delete"], total),
        contended=_share(counts["contended"], counts["update"]),
        photos=_share(counts["photo"], counts["create"]),
        full_resets=sum(reset.outbox > 0 and reset.owner != CANARY_OWNER for reset in resets),
    )


def mixed(operations: Sequence[Operation]) -> Counter[str]:
    """The kinds of one record's operations that were sent, with its photos and contended updates."""
    sent = [o for o in operations if o.attempts]
    counts = Counter(operation.kind for operation in sent)
    racing = len({o.device for o in sent}) > 1
    for operation in sent:
        if operation.kind == "create":
            counts["photo"] += operation.type == "photo" and PHOTO_BYTES_MIN <= operation.size_bytes <= PHOTO_BYTES_MAX
        elif racing and operation.kind == "update":
            counts["contended"] += any(_race(operation, other) for other in sent)
    return counts


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _race(one: Operation, other: Operation) -> bool:
    """Whether two devices wrote on one version, or worked on the record at the same time."""
    if one.device == other.device or other.kind == "create":
        return False
    if one.base is not None and one.base == other.base:
        return True
    return one.t <= _ended(other) and other.t <= _ended(one)


def _ended(operation: Operation) -> int:
    last = operation.attempts[-1]
    return last.back if last.back < INFINITY else last.sent

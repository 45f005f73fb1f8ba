"""The anomaly classes and what each of them makes of a trial."""

from __future__ import annotations

from typing import Final

VIOLATING: Final = (
    "unrecoverable",
    "lost",
    "seen-then-lost",
    "lost-on-node",
    "lost-update",
    "resurrected",
    "corrupted",
    "torn",
    "dangling-blob",
    "misattributed",
    "duplicated",
    "phantom",
    "aborted-visible",
)
"""A trial with one of these is VIOLATED. In the order in which a verdict's reasons name them."""

THIN: Final = ("unreadable", "not-quiescent", "never-read")
"""A trial with one of these cannot be HELD."""

REPORTED: Final = (
    "healed-by-device",
    "late-effect",
    "degraded-kept",
    "degraded-erased",
    "info-applied",
    "info-not-applied",
    "policy-overwritten",
)
"""Told, and neither for nor against the service."""

OUT_OF_DATE: Final = frozenset({"lost", "seen-then-lost", "resurrected", "lost-update", "dangling-blob"})
"""What the door lacks or shows of long ago: one copy's loss where another door of the step shows the right state."""

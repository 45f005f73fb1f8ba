"""The anomaly classes and what each of them makes of a trial."""

from __future__ import annotations

from typing import Final

VIOLATING: Final = (
    "unrecoverable",
    "unprotected",
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
    "hole",
    "lost-suffix",
)
"""A trial with one of these is VIOLATED. In the order in which a verdict's reasons name them."""

THIN: Final = ("unreadable", "not-quiescent", "never-read")
"""A trial with one of these cannot be HELD."""

OF_SESSIONS: Final = ("vanished", "stale")
"""VIOLATED under `sessions: strict`, else told."""

NOTED: Final = ("unrecoverable", "unprotected")
"""Proven by a note of the trial itself, not by a record."""

REPORTED: Final = (
    *OF_SESSIONS,
    "orphan-blob",
    "healed-by-device",
    "late-effect",
    "degraded-kept",
    "degraded-erased",
    "info-applied",
    "info-not-applied",
    "policy-overwritten",
)
"""Told, and neither for nor against the service."""

OUT_OF_DATE: Final = frozenset({"lost", "seen-then-lost", "resurrected", "lost-update"})
"""What the door shows is whole and was right once: another door of the step may show the right state."""

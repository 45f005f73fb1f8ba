"""The anomaly classes and what each of them makes of a trial."""

from __future__ import annotations

from collections.abc import Mapping
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

THIN: Final = ("unreadable", "not-asked", "not-quiescent", "never-read")
"""A trial with one of these cannot be HELD."""

OF_SESSIONS: Final = ("vanished", "stale", "dangling-in-load")
"""VIOLATED under `sessions: strict`, else reported."""

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
"""Counted, and not part of the verdict."""

OUT_OF_DATE: Final = frozenset({"lost", "seen-then-lost", "resurrected", "lost-update", "dangling-blob"})
"""What the door lacks or shows of long ago: one copy's loss where another door of the step shows the right state."""

MEANING: Final[Mapping[str, str]] = {
    "unrecoverable": "all that can be healed is healed, the runbook has ended, and the service does not serve",
    "unprotected": "all copies share one array, or no restore younger than the RPO was verified",
    "lost": "an acknowledged version is not there, or an older one is in its place",
    "seen-then-lost": "a version that a read had shown is not there, though its writer was never answered",
    "lost-on-node": "missing or out of date at one door, and right at another of the same step",
    "lost-update": "two acknowledged writes replaced one version, so one of them is gone",
    "resurrected": "a version is there that an acknowledged delete or update had removed",
    "corrupted": "the payload is not the one that was written",
    "torn": "the payload is mixed from several versions",
    "dangling-blob": "the row is there, and its blob is not",
    "misattributed": "it carries another record's or another user's name",
    "duplicated": "one version is there in several rows, or an older one as well as the right one",
    "phantom": "a version is there that nobody had sent",
    "aborted-visible": "a version is there that was refused for certain",
    "hole": "no instant explains all that was restored from one store",
    "lost-suffix": "one instant explains what was restored, and it lies further back than the RPO allows",
    "vanished": "missing in a device's cache after a sync that began after its acknowledgement",
    "stale": "a session was shown an older version than it had written or seen before it asked",
    "dangling-in-load": "a read of the load returned an acknowledged photo without its blob",
    "unreadable": "a final read failed",
    "not-asked": "a final read returned and had not asked the service: the driver answers from elsewhere",
    "not-quiescent": "a final read kept changing",
    "never-read": "an acknowledged record that some door never read",
    "orphan-blob": "a blob to which no row points",
    "healed-by-device": "missing for a fresh device, and back once a phone had synced",
    "late-effect": "an unknown write took effect after a later one had been acknowledged",
    "degraded-kept": "acknowledged with a warning, and there",
    "degraded-erased": "acknowledged with a warning, and not there",
    "info-applied": "unknown to its writer, and it took effect",
    "info-not-applied": "unknown to its writer, and it took no effect that a final read shows",
    "policy-overwritten": "replaced by a write that did not know of it, as last-writer-wins has it",
}
"""What each class says of a record, a door or a trial."""

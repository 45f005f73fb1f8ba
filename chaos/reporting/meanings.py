"""What each class of anomaly means, in a sentence for whoever reads a report in the night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, str]] = {
    "unrecoverable": "All that can be healed is healed, the runbook has ended, and the service still does not serve.",
    "lost": "The service acknowledged it, and a final read did not find it, or found only an older version.",
    "seen-then-lost": "Nobody was told that it was saved, but a read had shown it; afterwards it was gone.",
    "lost-on-node": "It is missing or out of date at one door and right at another of the same step.",
    "lost-update": "Two acknowledged writes replaced the same version, and one of them overwrote the other unnoticed.",
    "resurrected": "Its deletion was acknowledged, and it is back.",
    "corrupted": "It is there, and its contents are not what was written.",
    "torn": "It is a mix: fields or photo of one version beside those of another.",
    "dangling-blob": "The record is there, and its photo is not.",
    "misattributed": "It is shown as, or mixed with, somebody else's record or another one.",
    "duplicated": "The same record is there more than once.",
    "phantom": "A version is there that no device ever sent.",
    "aborted-visible": "A write that the service definitely refused is there all the same.",
    "hole": "What was restored matches no one instant: records from before others that are there are missing.",
    "lost-suffix": "What was restored is the state of one instant, older than the experiment allows.",
    "unprotected": "All copies of acknowledged data share one array, or no restore has been verified lately enough.",
    "unreadable": "A door could not be read at last, so what it would have shown is unknown.",
    "not-quiescent": "A door kept showing something else at each read, so no final state is known.",
    "never-read": "An acknowledged record was not read at every door, so it may or may not be there.",
    "stale": "A device was shown an older version than one that it had written or seen.",
    "vanished": "A device synced after the acknowledgement, and its cache lacks the record.",
    "orphan-blob": "A photo's blob is there that no record points to.",
    "healed-by-device": "It was missing for a fresh device, and there again once phones had synced: they still had it.",
    "late-effect": "A request that had been given up took effect after a later, acknowledged one.",
    "degraded-kept": "It was acknowledged with a warning, and is there.",
    "degraded-erased": "It was acknowledged with a warning, and is not there; the warning was justified.",
    "info-applied": "The phone never learned the outcome; the write did take effect.",
    "info-not-applied": "The phone never learned the outcome; the write did not take effect.",
    "policy-overwritten": "An acknowledged write was replaced by another on the same version, as the policy allows.",
}


def meaning(name: str) -> str:
    """The sentence of a class."""
    return MEANINGS.get(name, "A class that this version has no sentence for.")

"""The one sentence of a page, for each kind of finding."""

from __future__ import annotations

import random
import re
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.checks.classes import VIOLATING
from chaos.checks.file import judge_file
from chaos.checks.finding import Finding
from chaos.checks.story import AnomalousRecord
from chaos.checks.verdict import Judgement
from chaos.history.events import FaultEvent, Header, Note, PhaseEvent
from chaos.reporting.page.course import Attempts, Course, course_of
from chaos.reporting.page.sentence import sentence
from tests.unit.checks.plant import PLANTS
from tests.unit.checks.service import Load, legal_history
from tests.unit.reporting.runs import made
from tests.unit.reporting.samples import judgement

S = 1_000_000_000
LOST = Finding("lost", "w-17", "create", "d-05", 12.0, "acknowledged", 12.1, "gateway-1", "fresh", 33.9, "missing")
STRUCK = FaultEvent(0, 15 * S, "san.lose", "core", "injected")
RUNBOOK = Note("runbook", 31 * S, "no usable backup; initialised empty")
COLD = PhaseEvent("cold restart", 40 * S, "begun")


def course(
    faults: Sequence[FaultEvent] = (STRUCK,), notes: Sequence[Note] = (), phases: Sequence[PhaseEvent] = ()
) -> Course:
    header = Header("e", 1, "reject", "keyed")
    return Course(header, phases, faults, notes, Attempts(array("q"), array("q"), bytearray()), 0, 0)


def found(finding: Finding, *, records: int = 1, owners: int = 1) -> Judgement:
    record = AnomalousRecord("ada-17", "u-03", "contact", (finding.anomaly,), (), finding)
    return replace(judgement(), records=(record,), records_total=records, owners_total=owners)


def test_it_tells_what_was_lost_of_whom_when_it_was_acknowledged_and_what_happened_in_between() -> None:
    told = sentence(found(LOST), course(notes=[RUNBOOK], phases=[COLD]))
    assert told == (
        "Contact ada-17 of u-03 was created by d-05 and acknowledged by gateway-1 at 12.100 s; san.lose struck core at "
        '15.000 s; the runbook came to "no usable backup; initialised empty" at 31.000 s; at 33.900 s a fresh device '
        "read everything, and it was not there."
    )


def test_of_several_records_it_counts_them_and_their_users_and_tells_the_first() -> None:
    told = sentence(found(LOST, records=3, owners=2), course())
    assert told.startswith("3 records of 2 users; the first: contact ada-17 of u-03 was created")
    assert sentence(found(LOST, records=3), course()).startswith("3 records of 1 user; the first: ")


@pytest.mark.parametrize(
    ("finding", "told"),
    [
        (
            replace(LOST, found="version", versions=("w-3",)),
            "a fresh device read everything, and version w-3 was there in place of w-17.",
        ),
        (
            replace(LOST, anomaly="resurrected", kind="delete", found="version", versions=("w-3",)),
            "ada-17 of u-03 was deleted by d-05 and acknowledged by gateway-1 at 12.100 s",
        ),
        (
            replace(LOST, anomaly="resurrected", kind="delete", versions=("w-3",), found="version"),
            "there again, as version w-3.",
        ),
        (replace(LOST, standing="shown", by="d-06"), "was created by d-05, and d-06 saw it at 12.100 s; san.lose"),
        (
            replace(LOST, anomaly="aborted-visible", standing="refused", found="version", versions=("w-17",)),
            "was refused by gateway-1 at 12.100 s when d-05 created it; san.lose",
        ),
        (replace(LOST, anomaly="aborted-visible", standing="refused"), "and it was there all the same."),
        (replace(LOST, anomaly="duplicated"), "and it was there more than once."),
        (replace(LOST, anomaly="dangling-blob"), "and its row was there without its blob."),
        (replace(LOST, anomaly="torn"), "and it was mixed from several versions."),
        (replace(LOST, anomaly="corrupted"), "and it had another payload than was written."),
        (replace(LOST, anomaly="misattributed"), "and it had the name of another record or user."),
        (Finding("phantom", door="fresh", read=3.0), "ada-17 of u-03 was sent by nobody;"),
        (
            replace(LOST, anomaly="lost-on-node", right_elsewhere=True, door="replica pg2"),
            "at 33.900 s replica pg2 was read, and it was not there, while another door of the same step was right.",
        ),
        (
            replace(LOST, anomaly="lost-update", door="", read=None, found=""),
            "; two acknowledged writes replaced one version, so one of them is gone.",
        ),
        (
            replace(LOST, standing="degraded"),
            "was created by d-05 and acknowledged with a warning by gateway-1 at 12.100 s",
        ),
    ],
)
def test_each_kind_of_finding_has_words_of_its_own(finding: Finding, told: str) -> None:
    assert told in sentence(found(finding), course())


def test_where_nothing_happened_in_between_it_says_so_and_what_had_struck_before() -> None:
    assert "; nothing was injected in between; at 33.900 s" in sentence(found(LOST), course([]))
    earlier = sentence(found(LOST), course([replace(STRUCK, t=2 * S)]))
    assert "; nothing was injected in between (san.lose struck core earlier, at 2.000 s);" in earlier


def test_of_very_many_faults_the_first_are_named_and_the_rest_counted() -> None:
    many = [replace(STRUCK, index=n, t=(13 + n) * S) for n in range(20)]
    told = sentence(found(LOST), course(many))
    assert told.count("san.lose struck core") == 3
    assert "17 more faults struck up to 32.000 s" in told


def test_a_service_that_does_not_serve_is_told_with_what_cannot_be_read() -> None:
    gone = Note("unrecoverable", 50 * S, "db is not healthy after 60 s")
    told = sentence(replace(judgement(), records=(), records_total=0), course(notes=[gone]))
    assert told == (
        "1,140 acknowledged records cannot be read: san.lose struck core at 15.000 s; from then on the service does "
        "not serve (db is not healthy after 60 s)."
    )


def test_held_tells_what_was_there_after_what() -> None:
    held = replace(judgement(), verdict="HELD", records=(), records_total=0)
    assert sentence(held, course(phases=[COLD])) == (
        "All 1,140 acknowledged records were as they must be at every door: san.lose struck core at 15.000 "
        "s; all was restarted cold at 40.000 s."
    )
    assert sentence(replace(held, verdict="INCONCLUSIVE"), course()) == ""


def test_what_services_name_is_bounded_and_on_one_line() -> None:
    hostile = replace(found(LOST).records[0], record="x\n\x1b[31m" * 500)
    told = sentence(replace(found(LOST), records=(hostile,)), course())
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) < 600


@pytest.mark.parametrize("name", sorted(set(PLANTS) & set(VIOLATING) - {"unprotected"}))
def test_every_planted_anomaly_makes_a_sentence(name: str, tmp_path: Path) -> None:
    events = PLANTS[name][0][1](legal_history(Load(3)), random.Random(1))
    assert events is not None
    path = made(events, tmp_path) / "history.jsonl"
    _, judged = judge_file(path)

    told = sentence(judged, course_of(path))

    assert told.endswith(".")
    assert re.search(r"\d s\b|does not serve|nobody|not protected", told), told
    assert "None" not in told

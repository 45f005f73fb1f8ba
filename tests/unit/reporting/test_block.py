"""The verdict block, to the letter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chaos.checks.story import StoryLine
from chaos.reporting.block import life_story, phase_line, verdict_block
from tests.unit.reporting.samples import judged, judgement, result, unbitten

VIOLATED = """\
VIOLATED     811 of 811 records acknowledged before san.lose are lost
             no device was reset with a full outbox, at least one wanted

  contact ada-17 of u-03, the first of 811: lost
     12.103 s  d-05 created it                    acknowledged by gateway-1
     12.250 s  d-06 saw it last                   version w-17
     15.000 s  san.lose core                      failed_writes 214
     31.420 s  runbook                            no usable backup; initialised empty
     33.902 s  a fresh device read everything     not there

  operations 1,688 ok · 260 fail · 52 info      canaries 2/2      covered 1,140/1,140
  anomalies: 811 lost
  reported: 2 stale
  mix: 38% updates (12% of them contended) · 8% deletes · 7% photos · 0 resets with a full outbox
  fault san.lose core · 15.000 s · failed writes 214, seconds since write 0.12 · bit
  not covered: gateway:/var/cache/app (not on a LUN)
  again:  holdfast run reports/runs/20261122-191512-4711/plan.yaml
  run:    reports/runs/20261122-191512-4711
"""

INCONCLUSIVE = """\
INCONCLUSIVE san.lose did not bite
             expected: HELD

  fault san.lose core · 15.000 - 16.500 s · failed writes 0 · did not bite: no I/O failed
  again:  holdfast run reports/runs/20261122-191512-4711/plan.yaml
  run:    reports/runs/20261122-191512-4711
"""


def test_a_violation_shows_the_first_lost_records_life_and_how_to_see_it_again() -> None:
    assert "\n".join(verdict_block(judged())) + "\n" == VIOLATED


def test_a_violation_tells_what_a_fault_s_evidence_was_and_no_more() -> None:
    result = judged()
    short = replace(result.faults[0], bit=False, why="the LUN took no write")
    missed = replace(short, injected_at=None, healed_at=None, evidence={}, why="the load was over")
    told = verdict_block(replace(result, faults=(short, missed)))
    assert "  fault san.lose core · 15.000 s · failed writes 214, seconds since write 0.12" in told
    assert "  fault san.lose core · never injected · the load was over" in told


def test_a_fault_that_did_not_bite_is_told_with_its_reason() -> None:
    assert "\n".join(verdict_block(unbitten())) + "\n" == INCONCLUSIVE


def test_the_copies_of_the_first_lost_record_close_its_story() -> None:
    copies = (StoryLine(-0.07, "copies", "records: pgdata-a on array core, pgdata-b on array core", "copies"),)
    record = judgement().records[0]
    lines = life_story(replace(record, story=copies + record.story), of=1)

    assert lines[-1] == "     copies when acknowledged: records: pgdata-a on array core, pgdata-b on array core"
    assert not any("-0.070" in line for line in lines)


def test_the_middle_of_a_long_story_is_left_out_so_that_the_block_fits_a_screen() -> None:
    story = tuple(StoryLine(float(number), f"line {number}", "") for number in range(30))

    _, *told = life_story(replace(judgement().records[0], story=story), of=1)

    assert [line.split("  ")[-1] for line in told] == [
        *(f"line {number}" for number in range(6)),
        "10 lines left out, the report has them",
        *(f"line {number}" for number in range(16, 30)),
    ]


def test_a_story_that_fits_is_told_whole() -> None:
    story = tuple(StoryLine(float(number), f"line {number}", "") for number in range(20))

    assert len(life_story(replace(judgement().records[0], story=story), of=1)) == 21


def test_a_hostile_name_moves_no_cursor() -> None:
    record = replace(judgement().records[0], record="\x1b[2Jada\u202e")

    assert life_story(record, of=1)[0] == r"  contact \x1b[2Jada\u202e of u-03: lost"


def test_the_page_is_named_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()

    assert verdict_block(replace(judged(), run_dir=tmp_path))[-1] == f"  report: {tmp_path}/report.html"


def test_of_many_reasons_the_first_few_are_shown_and_the_rest_counted() -> None:
    many = replace(judgement(), reasons=tuple(f"reason {number}" for number in range(9)), records=())
    shown = verdict_block(replace(judged(), judgement=many, reason="reason 0"))

    assert [line.strip() for line in shown[1:6]] == [
        *(f"reason {number}" for number in range(1, 5)),
        "and 4 further reasons, see result.json",
    ]


def test_a_whole_block_leaves_out_no_reason_and_tells_of_more_records() -> None:
    records = tuple(replace(judgement().records[0], record=f"ada-{number}") for number in range(7))
    many = replace(judgement(), reasons=tuple(f"reason {number}" for number in range(9)), records=records)
    shown = verdict_block(replace(judged(), judgement=many, reason="reason 0"), whole=True)

    assert [line.strip() for line in shown[1:9]] == [f"reason {number}" for number in range(1, 9)]
    assert [line for line in shown if line.startswith("  contact ada-")] == [
        "  contact ada-0 of u-03, the first of 811: lost",
        *(f"  contact ada-{number} of u-03: lost" for number in range(1, 5)),
    ]


def test_where_the_time_went_is_one_line() -> None:
    assert phase_line(result()) == "  stack ready 6.1 s · load 5.0 s · runbook 9.8 s"

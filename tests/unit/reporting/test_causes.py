"""Why attempts failed or stayed unknown, from a history alone: like ones together, each kind of attempt by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.faults import catalogue
from chaos.history.events import CANARY_OWNER, Act, Back, Event, Header, PhaseEvent, Send
from chaos.reporting import causes as module
from chaos.reporting.block import verdict_block
from chaos.reporting.causes import UNANSWERED, UNSAID, Cause, Causes, causes_of, normalised
from chaos.reporting.page.course import course_of
from chaos.reporting.page.page import page
from chaos.reporting.recall import recall
from chaos.reporting.result import to_document
from tests.unit.reporting.runs import made, recorded
from tests.unit.reporting.samples import judged

MILLISECOND = 10**6
TOO_LARGE = "RuntimeError: POST /records: 413 Request Entity Too Large"


def act(op: int, kind: str = "create", owner: str = "u-1") -> Act:
    if kind in ("list", "sync", "reset"):
        return Act(op, op, "d#1", "d", owner, kind)  # type: ignore[arg-type]
    names = {"record": f"r{op}", "type": "todo", "write": f"w{op}", "hash": "aa", "key": f"k{op}"}
    return Act(op, op, "d#1", "d", owner, kind, **names)  # type: ignore[arg-type]


def attempts(of: Act, *ends: tuple[str, str] | None) -> list[Event]:
    events: list[Event] = [of]
    for n, end in enumerate(ends, 1):
        events.append(Send(of.op, n, (of.op + n) * MILLISECOND))
        if end is not None:
            events.append(Back(of.op, n, (of.op + n) * MILLISECOND, end[0], why=end[1]))  # type: ignore[arg-type]
    return events


def found(tmp_path: Path, *parts: list[Event]) -> Causes:
    header = Header("e", 1, "reject", "keyed", canaries={"A": "a", "B": "b"})
    begun, ended = PhaseEvent("load", MILLISECOND, "begun"), PhaseEvent("load", 10**9, "ended")
    events = [header, begun, *(event for part in parts for event in part), ended]
    return causes_of(made(events, tmp_path) / "history.jsonl")


def test_attempts_that_ended_alike_are_one_line_with_their_count_the_most_frequent_first(tmp_path: Path) -> None:
    parts = [attempts(act(op), ("info", TOO_LARGE), ("info", TOO_LARGE), ("ok", "")) for op in range(1, 4)]
    parts += [attempts(act(op, "update"), ("fail", f"Refused: PUT /records/ada-{op}: 409 gone")) for op in (7, 8)]
    assert found(tmp_path, *parts) == Causes(
        (
            Cause(6, "write", "info", TOO_LARGE, 0.001, 0.004),
            Cause(2, "write", "fail", "Refused: PUT /records/#: 409 gone", 0.007, 0.008),
        )
    )


def test_reads_and_writes_refused_and_unknown_are_told_apart_and_what_was_answered_well_is_not_told(
    tmp_path: Path,
) -> None:
    same = "no answer in 2 s"
    told = found(
        tmp_path,
        attempts(act(1), ("info", same), ("degraded", "one copy only")),
        attempts(act(2), ("fail", same), ("ok", "")),
        attempts(act(3, "sync"), ("info", same)),
        attempts(act(4, "list"), ("fail", ""), None),
        attempts(act(5, "delete"), None),
        attempts(act(6, "create", CANARY_OWNER), ("fail", "not yet"), None),
        [replace(act(7, "reset"), outbox=1)],
    )
    assert set(told.listed) == {
        Cause(1, "write", "info", same, 0.001, 0.001),
        Cause(1, "write", "fail", same, 0.002, 0.002),
        Cause(1, "read", "info", same, 0.003, 0.003),
        Cause(1, "read", "fail", UNSAID, 0.004, 0.004),
        Cause(1, "read", "info", UNANSWERED, 0.005, 0.005),
        Cause(1, "write", "info", UNANSWERED, 0.005, 0.005),
    }
    assert told.further == 0


def test_more_causes_than_fit_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DISTINCT_MAX", 30)
    words = [f"{a}{b}" for a in "abcdef" for b in "abcdefg"]
    parts = [attempts(act(op), ("fail", "often"), ("fail", word)) for op, word in enumerate(words, 1)]
    told = found(tmp_path, *parts)
    assert replace(told.listed[0], first_at=0, last_at=0) == Cause(len(words), "write", "fail", "often")
    assert len(told.listed) == module.CAUSES_MAX
    assert sum(cause.attempts for cause in told.listed) + told.further == 2 * len(words)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (TOO_LARGE, TOO_LARGE),
        ("no answer in 2.5 s", "no answer in 2.5 s"),
        ("Reset: [Errno 104] Connection reset by peer", "Reset: [Errno 104] Connection reset by peer"),
        ("HTTP/1.1 502 Bad Gateway", "HTTP/1.1 502 Bad Gateway"),
        ("TypeError: no 12 in w-3, my_driver2.py:32 in put", "TypeError: no # in #, my_driver2.py:32 in put"),
        ("sha256 of w-17 differs", "sha256 of # differs"),
        ("Cannot connect to host 127.0.0.1:37265 ssl:default", "Cannot connect to host # ssl:default"),
        ("host [fe80::1]:5432 refused", "host # refused"),
        ("never seen write w-123 of d-05#1/17", "never seen write # of #"),
        ("GET /records?since=550e8400-e29b-41d4-a716-446655440000:17: 500", "GET /records?since=#: 500"),
        ("at 2026-11-28T14:10:21.123Z, and at 14:10:21", "at #, and at #"),
        ("<object at 0x7f00aa33>", "<object at #>"),
        ("took 413 ms of 1,200.5 s, 500 bytes", "took # ms of # s, # bytes"),
        ("port 413x, line 1 column 130", "port #, line # column #"),
        ("Key (owner, name)=(u-00, ada-17) exists", "Key (owner, name)=(#) exists"),
        ("several\n  lines", "several lines"),
        ("", UNSAID),
    ],
)
def test_what_makes_each_text_another_one_is_left_out_and_what_tells_causes_apart_stays(said: str, told: str) -> None:
    assert normalised(said) == told


@given(st.text(), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_text_is_told_alike_whatever_ids_and_numbers_are_in_it(words: str, one: int, other: int) -> None:
    told = [normalised(f"{words} ada-{n} took {n}.5 ms at 0x{n:08x}") for n in (one, other)]
    assert told[0] == told[1]
    assert len(told[0]) <= 163


def test_a_long_text_is_looked_at_in_part() -> None:
    assert len(normalised("w1-" * 1_000_000)) <= 163
    assert normalised("x" * 500).endswith("x...")


def test_causes_are_in_the_block_and_in_the_document() -> None:
    listed = tuple(Cause(300 - n, "write", "fail", f"cause {chr(97 + n)} \x1b[31m<b>") for n in range(7))
    result = replace(judged(), causes=Causes((Cause(1_333, "write", "info", TOO_LARGE, 2.25, 1_030.5), *listed), 4))
    block = verdict_block(result)
    at = block.index("  attempts that failed or stayed unknown:")
    assert block[at + 1] == f"      1,333 write info  {TOO_LARGE}  (2.25 s to 1,030.5 s)"
    assert block[at + 2].startswith("        300 write fail  cause a \\x1b[31m")
    assert (
        block[at + 6]
        == f"      {sum(each.attempts for each in listed[4:]) + 4:>5,} of other causes, the report has them"
    )
    document = to_document(result)
    assert document["causes"][0] == {  # type: ignore[index]
        "attempts": 1333,
        "of": "write",
        "outcome": "info",
        "text": TOO_LARGE,
        "first_at": 2.25,
        "last_at": 1030.5,
    }
    assert document["causes_further"] == 4


def test_a_run_that_is_judged_again_tells_its_causes_and_its_page_escapes_them(tmp_path: Path) -> None:
    header, *rest = recorded()
    refused = attempts(act(900), ("fail", "<b>413</b> \u202ebig"))
    run_dir = made([header, *refused, *rest], tmp_path)
    result = recall(run_dir, catalogue())
    assert result.causes.listed[0].text == "<b>413</b> \u202ebig"
    html = page(result, course_of(run_dir / "history.jsonl"))
    assert "Attempts that failed or stayed unknown" in html
    assert "&lt;b&gt;413&lt;/b&gt; \\u202ebig" in html


def test_no_causes_no_lines() -> None:
    assert not [line for line in verdict_block(judged()) if "attempts that failed" in line]

"""The page of a trial: what an operator reads of each verdict, and that nothing in it breaks out or runs."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chaos import cli, judge_again
from chaos.checks.classes import MEANING, REPORTED, THIN, VIOLATING
from chaos.errors import AgentError, HarnessError, MalformedHistory, Terminated
from chaos.experiment.plan import ScheduledFault, Target, Trigger
from chaos.faults import catalogue
from chaos.history.events import Act, DoorRead, Event, FaultEvent, Header, Note, PhaseEvent, Row
from chaos.reporting.formats.chosen import report_again
from chaos.reporting.meanings import meaning
from chaos.reporting.page import file
from chaos.reporting.page.course import course_of
from chaos.reporting.page.file import HtmlReport
from chaos.reporting.page.page import EVENTS_OPEN, STORIES_MAX, page
from chaos.reporting.result import TrialResult
from tests.unit.checks.plant import PLANTS
from tests.unit.checks.service import Load, legal_history
from tests.unit.reporting.runs import SECOND, created, made, recorded
from tests.unit.reporting.samples import judged, plan, result

CUT = replace(plan(), schedule=(ScheduledFault("disk.power_cut", Target("lun", "pgdata"), Trigger(acknowledged=50)),))
HOSTILE = "</style></script><script>alert('r')</script><img src=x onerror=alert(1)>\u202egpj\x1b[31m"


class _Seen(HTMLParser):
    """The page as a reader sees it, and what it would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._in_style = tag == "style"
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.words.append(data)


def seen(html: str) -> _Seen:
    reader = _Seen()
    reader.feed(html)
    return reader


def read(run_dir: Path) -> str:
    """The text of a run folder's page, in one line."""
    words = seen((run_dir / "report.html").read_text(encoding="utf-8")).words
    return " ".join(" ".join(words).split())


def again(run_dir: Path) -> TrialResult:
    return report_again(run_dir, catalogue(), complain=pytest.fail)


def with_copies(events: Iterable[Event]) -> list[Event]:
    """The trial's notes on copies, and what the runbook did."""
    head, *rest = events
    where = [
        Note("copies", SECOND, "records: pgdata on array core"),
        Note("copies", SECOND, "blobs: photos on array far"),
    ]
    return [head, *where, *rest, Note("runbook", 7 * SECOND, "no usable backup; initialised empty")]


def test_a_violation_tells_what_was_lost_first_and_how_to_see_it_again(tmp_path: Path) -> None:
    run_dir = made(with_copies(recorded()), tmp_path)
    kept = {"not_covered": ["gateway:/var/cache/app"], "images": {"db": "sha256:abc"}}
    (run_dir / "result.json").write_text(json.dumps(kept), encoding="utf-8")

    again(run_dir)
    text = read(run_dir)

    assert "VIOLATED · sidekick_2009 · seed 4711 VIOLATED 1 of 1 records acknowledged before san.lose are lost" in text
    assert f"holdfast run {run_dir}/plan.yaml" in text
    assert "The experiment expects HELD." in text
    for told in (
        "r , contact of u-1 lost",
        "acknowledged at 2.000 s records: pgdata on array core (struck by san.lose at 3.000 s)",
        "3.000 s san.lose core injected",
        "4.000 s san.lose core healed failed writes 3",
        "5.000 s runbook no usable backup; initialised empty",
        "a fresh device read everything not there",
        f"lost 1 {meaning('lost')}",
        "san.lose core at ack 1,200 3.000 s to 4.000 s bit failed writes 3",
        "2 of 2 canaries reported",
        "load 5.000 s",
        "gateway:/var/cache/app",
        "sha256:abc",
    ):
        assert told in text
    assert "blobs: photos" not in text, "a contact has no blob"


def test_a_held_trial_says_so_and_shows_no_record(tmp_path: Path) -> None:
    run_dir = made(legal_history(Load(1)), tmp_path, CUT)

    held = again(run_dir)
    text = read(run_dir)

    assert held.verdict == "HELD"
    assert f"HELD {held.reason}" in text
    assert "as the experiment expects" in text
    assert "did not keep" not in text
    assert "What HELD does not promise" in text
    assert not re.search(r"\b[Nn]one\b|\bNothing was found|\bNo roles", text), "what says nothing is not there"


def test_an_inconclusive_trial_names_every_reason(tmp_path: Path) -> None:
    events = [
        replace(event, bit=False, why="the LUN took no write") if isinstance(event, FaultEvent) else event
        for event in legal_history(Load(1))
    ]
    run_dir = made(events, tmp_path, CUT)

    assert again(run_dir).verdict == "INCONCLUSIVE"
    text = read(run_dir)
    assert "INCONCLUSIVE disk.power_cut (fault 1) did not bite: the LUN took no write" in text
    assert "did not bite the LUN took no write. " in text


def test_a_violation_tells_what_a_fault_s_evidence_was_and_no_more(tmp_path: Path) -> None:
    events = PLANTS["lost"][0][1](legal_history(Load(3)), random.Random(1))
    assert events is not None
    why = "the LUN took no write"
    short = [replace(each, bit=False, why=why) if isinstance(each, FaultEvent) else each for each in events]
    run_dir = made(short, tmp_path, CUT)

    assert again(run_dir).verdict == "VIOLATED"
    assert "did not bite" not in read(run_dir)
    assert why not in read(run_dir)


@pytest.mark.parametrize("name", sorted(set(PLANTS) & set(VIOLATING)))
def test_every_planted_anomaly_is_on_the_page_with_what_it_means(name: str, tmp_path: Path) -> None:
    events = PLANTS[name][0][1](legal_history(Load(3)), random.Random(1))
    assert events is not None
    run_dir = made(events, tmp_path, CUT)

    again(run_dir)

    assert re.search(rf"\b{name} [\d,]+ {re.escape(meaning(name))}", read(run_dir))


@pytest.mark.parametrize("name", [*VIOLATING, *THIN, *REPORTED])
def test_every_class_has_a_meaning(name: str) -> None:
    assert name in MEANING
    assert meaning(name)[0].isupper()
    assert meaning(name).endswith(".")


def test_what_services_say_cannot_break_out_of_the_page_or_hide_in_it(tmp_path: Path) -> None:
    row = Row("r", "u-1", HOSTILE, "bb", row=HOSTILE, stamps=((HOSTILE, HOSTILE, HOSTILE),))
    events: list[Event] = [Note("runbook", 7 * SECOND, HOSTILE), Note(HOSTILE, 7 * SECOND, "x" * 100_000)]
    events += [Note("role", 3 * SECOND, f"{HOSTILE}: {HOSTILE}"), PhaseEvent(HOSTILE, 7 * SECOND, "begun")]
    for event in recorded():
        if isinstance(event, Act) and event.owner == "u-1":
            event = replace(event, record=HOSTILE, type=HOSTILE, device=HOSTILE)
        elif isinstance(event, FaultEvent):
            event = replace(event, target=HOSTILE, evidence={HOSTILE: HOSTILE}, why=HOSTILE)
        elif isinstance(event, DoorRead) and event.owner == "u-1":
            event = replace(event, rows=(row,))
        events.append(event)
    header = next(event for event in events if event not in events[:4])
    events.remove(header)
    run_dir = made([header, *events], tmp_path, replace(plan(), why=HOSTILE))
    (run_dir / "result.json").write_text(json.dumps({"not_covered": [HOSTILE], "images": {HOSTILE: HOSTILE}}))

    again(run_dir)
    html = (run_dir / "report.html").read_text(encoding="utf-8")
    found = seen(html)

    assert html.count("alert(1)") > 10, "or nothing was tried"
    assert not found.tags & {"script", "img", "iframe", "object"}
    assert not found.handlers
    assert html.count("</style>") == 1
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "\\u202egpj\\x1b[31m" in html
    assert len(html) < 400_000


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    run_dir = made(recorded(), tmp_path)

    again(run_dir)
    html = (run_dir / "report.html").read_text(encoding="utf-8")
    found = seen(html)

    assert "script" not in found.tags
    assert set(found.addresses) <= {"data:,", "#records", "plan.yaml", "history.jsonl", "result.json", "logs"}
    assert not re.search(r"url\(|@import|https?:", html)
    assert "default-src 'none'" in html


def test_of_very_many_lost_records_the_page_shows_a_bounded_part_and_counts_the_rest(tmp_path: Path) -> None:
    course = course_of(made(recorded(), tmp_path) / "history.jsonl")
    lost = judged()
    assert lost.judgement is not None
    line = lost.judgement.records[0]
    many = tuple(replace(line, record=f"r-{number}", story=line.story * 8) for number in range(5_000))
    html = page(replace(lost, judgement=replace(lost.judgement, records=many, records_total=9_000)), course)

    assert html.count("<details") == STORIES_MAX + 1  # and the one around those that are not listed at once
    assert f"The first {STORIES_MAX} of 9,000" in html
    assert f"{9_000 - STORIES_MAX:,} are left out here" in html
    assert len(html) < 4_000_000


def test_the_page_of_a_verdict_reads_no_operation_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = judge_again(made(recorded(), tmp_path))
    monkeypatch.setattr(file, "read_history", lambda path: pytest.fail("a million records would take a minute"))
    file.write_report(found)
    assert "VIOLATED" in read(tmp_path)


def test_of_very_many_faults_the_page_draws_a_bounded_part(tmp_path: Path) -> None:
    header, *rest = recorded()
    assert isinstance(header, Header)
    faults = [FaultEvent(n, 3 * SECOND + n, "process.kill", f"s-{n}", "injected") for n in range(2_000)]
    events = [replace(header, faults=("process.kill",) * 2_000), *faults, *_without_faults(rest)]
    course = course_of(made(events, tmp_path) / "history.jsonl")

    html = page(judged(), course)

    assert html.count('class="fault"') <= 60
    assert len(html) < 1_000_000


def _without_faults(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, FaultEvent)]


def test_a_secret_of_the_stack_is_not_on_the_page(tmp_path: Path) -> None:
    run_dir = made(recorded(), tmp_path)

    again(run_dir)

    assert "planted-secret" not in (run_dir / "report.html").read_text(encoding="utf-8")


def test_who_had_a_role_is_told_and_drawn(tmp_path: Path) -> None:
    roles = [
        Note("role", 2 * SECOND, "primary: db-1"),
        Note("role", 6 * SECOND, "primary: nobody"),
        Note("role", 7 * SECOND, "primary: db-2"),
    ]
    head, *rest = recorded()
    run_dir = made([head, *roles, *rest], tmp_path)

    again(run_dir)
    text = read(run_dir)

    assert "0.000 s primary is db-1" in text
    assert "4.000 s nobody is primary" in text
    assert "5.000 s primary is db-2" in text
    assert "primary: db-1 from 0.000 s to 4.000 s" in text
    assert "primary then: db-1" in text, "when the lost record was acknowledged"


def test_a_time_without_acknowledgements_is_told_with_the_faults_and_the_roles_in_it(tmp_path: Path) -> None:
    roles = [Note("role", t * SECOND, f"primary: {who}") for t, who in ((2, "db-1"), (6, "nobody"), (7, "db-2"))]
    head, *rest = recorded()
    ends = PhaseEvent("load", 14 * SECOND, "ended")
    load = [ends if isinstance(each, PhaseEvent) and each.happened == "ended" else each for each in rest]
    run_dir = made([head, *roles, *load, *created(4, 6, "u-1", "s"), *created(5, 12, "u-1", "t")], tmp_path)

    again(run_dir)
    text = read(run_dir)

    assert (
        "When the service was away from for faults in force then roles meanwhile "
        "0.000 s 2.0 s no fault "
        "2.000 s 3.0 s san.lose core at 3.000 s primary: db-1, then nobody at 4.000 s, then db-2 at 5.000 s "
        "5.000 s 6.0 s no fault The service was there for 8.3 % of the load."
    ) in text


def test_a_long_list_of_what_happened_is_opened_when_asked_for(tmp_path: Path) -> None:
    notes = [Note("runbook", 5 * SECOND + n, f"step {n}") for n in range(EVENTS_OPEN + 10)]
    head, *rest = recorded()
    run_dir = made([head, *notes, *rest], tmp_path)

    again(run_dir)
    html = (run_dir / "report.html").read_text(encoding="utf-8")

    more = html.index("more lines</summary>")
    told = '<span class="detail">step {}</span>'
    assert html.index(told.format(3)) < more < html.index(told.format(EVENTS_OPEN + 9))


def test_a_wrong_old_version_is_as_red_as_a_missing_one(tmp_path: Path) -> None:
    seen: dict[str, str] = {}
    for name in ("lost", "resurrected", "corrupted"):
        folder = tmp_path / name
        folder.mkdir()
        events = PLANTS[name][0][1](legal_history(Load(3)), random.Random(1))
        assert events is not None
        again(made(events, folder, CUT))
        html = (folder / "report.html").read_text(encoding="utf-8")
        lines = re.findall(r'<div class="line wrong">.*?<span class="detail">(.*?)</span></div>', html)
        seen[name] = lines[0]
        right = re.findall(r'<div class="line ">.*?<span class="detail">(not there|there, [^<]*)</span></div>', html)
        assert not set(lines) & set(right), "one read is not red and plain"
    assert seen["lost"] == "not there" or " in place of " in seen["lost"]
    assert "and nothing must be there" in seen["resurrected"] or " in place of " in seen["resurrected"]
    assert seen["corrupted"] == "there, corrupted"


def test_the_page_tells_date_versions_images_and_what_services_said(tmp_path: Path) -> None:
    header, *rest = recorded()
    assert isinstance(header, Header)
    told = replace(
        header,
        epoch_ns=1_795_902_800 * SECOND,
        versions={"Holdfast": "0.1.0", "Docker": "20.10.24", "host": "ci-7 (x86_64)", "commit": "3f2a with changes"},
        images={"db": "postgres:15", "gateway": ""},
    )
    run_dir = made([told, *rest], tmp_path)
    kept = {"not_covered": [], "images": {"db": "sha256:abc", "gateway": "sha256:def", "x-chaos.carrier": "sha256:123"}}
    (run_dir / "result.json").write_text(json.dumps(kept), encoding="utf-8")
    (run_dir / "logs").mkdir()
    (run_dir / "logs" / "db.log").write_text("2026-11-28T21:53:25.500000000Z PANIC: could not write to file\n")

    again(run_dir)
    text = read(run_dir)

    assert "28 November 2026, 21:53:22 UTC · Holdfast 0.1.0 · Docker 20.10.24 · host ci-7 (x86_64)" in text
    assert "(x86_64) · commit 3f2a with changes" in text
    assert "db postgres:15 sha256:abc" in text
    assert "gateway built sha256:def" in text
    assert (
        "What the services said around the fault san.lose core at 3.000 s db 3.000 s san.lose core 3.500 s PANIC"
        in text
    )


def test_an_older_run_has_no_empty_line_for_what_it_did_not_record(tmp_path: Path) -> None:
    again(made(recorded(), tmp_path))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "UTC" not in html
    assert "What the services said" not in html
    assert not re.search(r'<p class="soft">\s*</p>', html)


def test_a_trial_that_broke_off_shows_why_and_how_far_it_came(tmp_path: Path) -> None:
    run_dir = made(with_copies(recorded()), tmp_path)
    history = run_dir / "history.jsonl"
    history.write_bytes(history.read_bytes()[:-20])
    (run_dir / "plan.yaml").touch()
    listener = HtmlReport()
    listener.started(plan(), 4711, 1, 1, run_dir)

    listener.failed(AgentError("the agent is gone"))
    text = read(run_dir)

    assert "NO VERDICT the agent is gone" in text
    assert "nothing here speaks for or against the service" in text
    assert "3.000 s san.lose core injected" in text
    assert "VIOLATED" not in text
    assert f"holdfast run {run_dir}/plan.yaml" in text
    assert json.loads((run_dir / "error.json").read_text())["exit_code"] == 3


def test_a_trial_that_broke_off_before_its_history_says_so(tmp_path: Path) -> None:
    listener = HtmlReport()
    listener.started(plan(), 4711, 1, 1, tmp_path)

    listener.failed(Terminated())

    assert "NO VERDICT terminated (SIGTERM)" in read(tmp_path)
    assert "Faults that were scheduled scheduled san.lose core at ack 1,200" in read(tmp_path)
    assert "There is no history to show: the trial broke off before its history began." in read(tmp_path)
    assert json.loads((tmp_path / "error.json").read_text())["exit_code"] == 143


def test_a_history_that_makes_no_sense_is_not_shown_and_the_page_says_why(tmp_path: Path) -> None:
    run_dir = made(recorded(), tmp_path)
    (run_dir / "history.jsonl").write_text("{}\n")

    with pytest.raises(MalformedHistory):
        again(run_dir)

    assert "There is no history to show:" in read(run_dir)
    assert "unknown event" in read(run_dir)


def test_the_reason_of_the_trial_itself_is_kept_when_the_page_is_made_again(tmp_path: Path) -> None:
    run_dir = made(recorded(), tmp_path)
    history = run_dir / "history.jsonl"
    history.write_bytes(history.read_bytes()[:-20])
    listener = HtmlReport()
    listener.started(plan(), 4711, 1, 1, run_dir)
    listener.failed(AgentError("the agent is gone"))
    (run_dir / "report.html").unlink()

    with pytest.raises(MalformedHistory):
        again(run_dir)

    assert "NO VERDICT the agent is gone" in read(run_dir)


def test_all_trials_that_were_under_way_have_their_page_when_one_of_them_breaks_off(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("done", "broken", "beside")]
    listener = HtmlReport()
    for folder in folders:
        folder.mkdir()
        made(recorded(), folder)
        listener.started(plan(), 4711, 1, 3, folder)
    listener.finished(replace(result("VIOLATED"), run_dir=folders[0]))

    listener.failed(AgentError("the agent is gone"))

    assert ["NO VERDICT the agent is gone" in read(folder) for folder in folders] == [False, True, True]


def test_trouble_after_the_verdict_leaves_the_page_alone(tmp_path: Path) -> None:
    run_dir = made(recorded(), tmp_path)
    listener = HtmlReport()
    listener.started(plan(), 4711, 1, 1, run_dir)
    listener.finished(replace(result("VIOLATED"), run_dir=run_dir))
    before = (run_dir / "report.html").read_bytes()

    listener.failed(HarnessError("a volume could not be removed"))

    assert (run_dir / "report.html").read_bytes() == before
    assert not (run_dir / "error.json").exists()


def test_check_makes_the_page_again_and_a_page_that_cannot_be_written_costs_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = made(recorded(), tmp_path)

    assert cli.main(["check", str(run_dir)]) == 1
    assert f"report: {run_dir}/report.html" in capsys.readouterr().out

    (run_dir / "report.html").unlink()
    (run_dir / "report.html").mkdir()
    assert cli.main(["check", str(run_dir)]) == 1
    assert "report.html was not written" in capsys.readouterr().err

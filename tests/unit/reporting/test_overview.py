"""The page over all trials of a run."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos.errors import AgentError
from chaos.experiment.plan import Verdict
from chaos.faults import catalogue
from chaos.reporting.formats.chosen import report_again
from chaos.reporting.page.file import HtmlReport
from chaos.reporting.page.overview import ROWS_MAX, overview
from chaos.reporting.result import Broken, TrialResult, overview_path
from tests.unit.reporting.runs import made, recorded
from tests.unit.reporting.samples import judged, plan, result
from tests.unit.reporting.test_page import HOSTILE, seen

RUNS = Path("/tmp/reports/runs")
AT = RUNS / "20261128-221624-5-aabd.html"


def trial(verdict: Verdict, seed: int, number: int, expect: Verdict = "HELD") -> TrialResult:
    found = judged() if verdict == "VIOLATED" else result(verdict)
    return replace(found, plan=plan(expect, seed), run_dir=RUNS / f"20261128-221624-5-aabd-{number:02}")


def text(html: str) -> str:
    return " ".join(" ".join(seen(html).words).split())


def test_the_worst_trial_comes_first_and_each_leads_to_its_own_page() -> None:
    found = [trial("HELD", 5, 1), trial("INCONCLUSIVE", 6, 2), trial("VIOLATED", 7, 3), trial("HELD", 8, 4)]
    html = overview(found, [Broken(plan(seed=9), RUNS / "20261128-221624-5-aabd-05", "the agent is gone")], AT, times=5)

    assert "VIOLATED 5 trials: 1 VIOLATED, 1 NO VERDICT, 1 INCONCLUSIVE, 2 HELD" in text(html)
    assert re.findall(r'href="([^"]+/report\.html)"', html) == [
        f"20261128-221624-5-aabd-{number}/report.html" for number in ("03", "05", "02", "01", "04")
    ]
    assert re.findall(r"seed </span>(\d)</td>", html) == ["7", "9", "6", "5", "8"]
    assert "san.lose core at 15.000 s" in text(html)
    assert "the agent is gone" in text(html)


def test_it_says_which_verdict_is_not_the_expected_one_and_those_come_first() -> None:
    html = overview([trial("VIOLATED", 5, 1, "VIOLATED"), trial("VIOLATED", 6, 2)], [], AT, times=2)
    assert "1 not as its experiment expects." in text(html)
    assert "expected HELD" in text(html)
    assert html.index("aabd-02/report.html") < html.index("aabd-01/report.html")


def test_it_says_when_the_run_began_and_on_what() -> None:
    later, earlier = (replace(trial("HELD", n, n), begun=datetime(2026, 11, 29, 7, 5, n, tzinfo=UTC)) for n in (9, 4))
    html = overview([replace(later, versions={"Holdfast": "0.1.0", "Docker": "20.10.24"}), earlier], [], AT, times=2)
    assert "from 29 November 2026, 07:05:04 UTC on · Holdfast 0.1.0 · Docker 20.10.24" in text(html)
    assert "UTC" not in text(overview([trial("HELD", 1, 1)], [], AT, times=1)), "an old history does not tell it"


def test_trials_of_several_experiments_are_told_apart() -> None:
    other = replace(trial("HELD", 5, 2), plan=replace(plan(), experiment="power_cut"))
    html = text(overview([trial("HELD", 5, 1), other], [], AT, times=2))
    assert "power_cut" in html
    assert "sidekick_2009" in html
    assert "experiment" in html


def test_it_adds_up_the_anomalies_of_all_trials() -> None:
    html = text(overview([trial("VIOLATED", 5, 1), trial("VIOLATED", 6, 2), trial("HELD", 7, 3)], [], AT, times=3))
    assert "class in trials found lost 2 1,622" in html


def test_trials_that_have_not_ended_are_counted() -> None:
    assert "3 more trials have not ended, or never began." in text(overview([trial("HELD", 5, 1)], [], AT, times=4))
    assert "not ended" not in text(overview([trial("HELD", 5, 1)], [], AT, times=1))


def test_nothing_breaks_out_of_it_and_it_loads_nothing() -> None:
    hostile = replace(trial("VIOLATED", 5, 1), reason=HOSTILE, plan=replace(plan(), experiment=HOSTILE))
    html = overview([hostile], [Broken(plan(), RUNS / "x-02", HOSTILE)], AT, times=2)
    found = seen(html)
    assert not found.tags & {"script", "img", "iframe", "object"}
    assert not found.handlers
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert not re.search(r"url\(|@import|https?:", html)
    assert "default-src 'none'" in html


def test_of_very_many_trials_a_bounded_part_is_listed() -> None:
    html = overview([trial("HELD", seed, seed) for seed in range(ROWS_MAX + 500)], [], AT, times=ROWS_MAX + 500)
    assert html.count("report.html") == ROWS_MAX
    assert "500 more are left out" in text(html)
    assert len(html) < 1_500_000


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("20261128-221624-5-aabd-02", "20261128-221624-5-aabd.html"),
        ("20261128-221624-5-aabd-1000", "20261128-221624-5-aabd.html"),
        ("20261128-221624-5-aabd", None),
        ("20261128-221624-5-1234", None),
        ("my-run-01", None),
    ],
)
def test_the_page_lies_beside_the_folders_of_its_trials(name: str, page: str | None) -> None:
    assert overview_path(RUNS / name) == (None if page is None else RUNS / page)


def test_a_run_of_several_trials_writes_it_and_each_page_leads_to_it(tmp_path: Path) -> None:
    listener = HtmlReport()
    folders = [tmp_path / f"20261128-221624-5-aabd-{number:02}" for number in (1, 2)]
    for number, folder in enumerate(folders, start=1):
        folder.mkdir()
        made(recorded(), folder)
        listener.started(plan(), 5, number, 2, folder)
        if number == 1:
            listener.finished(replace(judged(), run_dir=folder))
    listener.failed(AgentError("the agent is gone"))

    assert listener.overview == tmp_path / "20261128-221624-5-aabd.html"
    html = listener.overview.read_text(encoding="utf-8")
    assert "2 trials: 1 VIOLATED, 1 NO VERDICT" in text(html)
    for folder in folders:
        assert 'href="../20261128-221624-5-aabd.html"' in (folder / "report.html").read_text(encoding="utf-8")
    report_again(folders[0], catalogue(), complain=pytest.fail)
    assert 'href="../20261128-221624-5-aabd.html"' in (folders[0] / "report.html").read_text(encoding="utf-8")


def test_a_trial_alone_has_none(tmp_path: Path) -> None:
    listener = HtmlReport()
    listener.started(plan(), 5, 1, 1, made(recorded(), tmp_path))
    listener.finished(replace(judged(), run_dir=tmp_path))

    assert listener.overview is None
    assert "All trials of this run" not in (tmp_path / "report.html").read_text(encoding="utf-8")

"""The page as a browser shows it from disk: it loads without a complaint and fits a desktop and a phone.

Needs the distribution's chromium, which `make test` installs where it may: without it these are skipped, and fail where
`CI` is set.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from chaos.faults import catalogue
from chaos.history.events import Event, Note, PhaseEvent
from chaos.reporting.page.file import HtmlReport, report_again
from tests.unit.checks.plant import PLANTS
from tests.unit.checks.service import Load, legal_history
from tests.unit.reporting.runs import made, recorded
from tests.unit.reporting.samples import plan

CHROMIUM = shutil.which("chromium")
LONG = "aNameWithoutAnyPlaceToBreakIt" * 12

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no chromium on this host: `apt-get install chromium`"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def violated(folder: Path) -> Path:
    """Every loss that the tests can plant, at once with long names."""
    events: list[Event] = legal_history(Load(3, operations=600))
    for name in ("lost", "corrupted", "duplicated", "torn"):
        events = PLANTS[name][0][1](events, random.Random(2)) or events
    notes = [Note("role", 2_000_000_000, f"primary: {LONG}"), Note("runbook", 2_100_000_000, LONG)]
    notes.append(Note("copies", 0, f"records: {LONG} on array {LONG}"))
    return _reported([events[0], *notes, *events[1:]], folder)


def held(folder: Path) -> Path:
    return _reported(legal_history(Load(1)), folder)


def broken_off(folder: Path) -> Path:
    run_dir = made([*recorded(), PhaseEvent("door 1", 99_000_000_000, "begun")], folder)
    listener = HtmlReport()
    listener.started(plan(), 4711, 1, 1, run_dir)
    listener.failed(ValueError(LONG))
    return run_dir / "report.html"


def _reported(events: list[Event], folder: Path) -> Path:
    run_dir = made(events, folder)
    report_again(run_dir, catalogue(), complain=pytest.fail)
    return run_dir / "report.html"


@pytest.fixture(scope="module", params=[violated, held, broken_off], ids=lambda make: str(make.__name__))
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made_at: Path = request.param(tmp_path_factory.mktemp("run"))
    return made_at


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_from_disk_without_a_complaint_and_nothing_is_wider_than_the_screen(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    heard, asked = _listen(page)

    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")

    assert heard == []
    assert asked == [report.as_uri()], "one request, for the page itself"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").is_visible()
    page.close()


def test_the_page_can_be_read_where_no_script_may_run(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()

    page.goto(report.as_uri())

    assert page.locator("svg.figure").first.is_visible()
    for details in page.locator("details:visible").all():
        details.locator("> summary").click()
    context.close()


def _listen(page: Page) -> tuple[list[str], list[str]]:
    heard: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("requestfailed", lambda request: heard.append(f"failed: {request.url}"))
    page.on("request", lambda request: asked.append(request.url))
    return heard, asked

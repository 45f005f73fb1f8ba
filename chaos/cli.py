"""The command `holdfast`.

Each command returns an `Answer`; `main` alone prints it and turns whatever else happens into an exit code:
0 HELD, 1 VIOLATED, 2 INCONCLUSIVE, 3 harness error, 64 usage, 130 SIGINT, 143 SIGTERM. Commands import what
they need when they run, so that `holdfast --help` answers at once.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaos.answering import Answer, answered, complain
from chaos.cli_many import AsJson, Quiet, Seed, audit, explore, gate, search
from chaos.errors import EXIT_HARNESS, EXIT_HELD, EXIT_INCONCLUSIVE, EXIT_VIOLATED, UsageError
from chaos.reporting.listener import Collector, FanOut
from chaos.reporting.result import (
    EXIT_CODES,
    Document,
    Report,
    TrialResult,
    dumps,
    jsonable,
    to_document,
    to_documents,
    worst,
)

if TYPE_CHECKING:
    from chaos.preflight.opening import Opened
    from chaos.preflight.several import Asked
    from chaos.reporting.terminal import Detail
    from chaos.workload.tryout.findings import Finding

app = typer.Typer(
    name="holdfast",
    help="Proves, before release, that no acknowledged user record can disappear.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="An experiment or a plan.")]
Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Experiments, plans, or folders: of a folder all experiments in it."),
]
Times = Annotated[
    int, typer.Option(min=1, help="Trials of each file. An experiment is drawn anew for each, with the next seed.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Leave nothing out: each phase, reason and cause, files passed over.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"holdfast {version('holdfast')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
) -> None:
    """Proves, before release, that no acknowledged user record can disappear."""


@app.command()
def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Build the images; as root on Debian or Ubuntu also install the engine.")
    ] = False,
    as_json: AsJson = False,
) -> Answer:
    """Show what this host can do, which faults can run on it, and a remedy for each gap."""
    from chaos import doctor as examiner

    if fix:
        examiner.fix(complain)
    diagnosis = examiner.examine()
    reason = "" if diagnosis.can_run else f"the minimal stack cannot run here: {', '.join(diagnosis.missing)}"
    document = _without_verdict(reason, examiner.to_document(diagnosis))
    return Answer(diagnosis.exit_code, document, examiner.render(diagnosis))


@app.command()
def new(
    compose_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="COMPOSE_FILE", help="A Compose file, or a folder that has one. Default: that of this folder."
        ),
    ] = None,
    as_json: AsJson = False,
) -> Answer:
    """Look at a Compose file and write what a first trial needs beside it, by guesses that are told."""
    from chaos.new.telling import told
    from chaos.new.writing import write_new

    written = write_new(compose_file)
    try:
        _open_all(written.experiments, None, 1, "usual")
        hindrance = ""
    except UsageError as error:
        hindrance = str(error)
    document = {
        "written": list(written.files),
        "guessed": written.guess.reasons,
        "unsure": written.guess.doubts,
        "warnings": written.unsafe,
        "hindrance": hindrance,
    }
    return Answer(EXIT_HELD, _without_verdict("", document), "\n".join(told(written, hindrance)))


@app.command()
def validate(
    files: Files,
    seed: Seed = None,
    times: Times = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> Answer:
    """Check experiments and show what a run would touch and draw, with warnings. Touches nothing."""
    from chaos.preflight.preview import preview, warnings
    from chaos.reporting.progress.estimate import estimate
    from chaos.reporting.words import DOT, counted

    detail = _detail(quiet, verbose)
    asked = _open_all(files, seed, times, detail)
    documents: list[Document] = []
    lines: list[str] = []
    for opened in asked.opened:
        plan, stack, before = opened.plans[0], opened.stack, (*opened.differing, *opened.doubtful)
        wary = [*before, *warnings(plan, stack)]
        took = estimate(plan)
        document = {**_previewed(opened, wary), "estimate": jsonable(took)}
        documents.append({"file": str(plan.file), **document} if asked.several else document)
        if detail == "quiet":
            lines.append(f"{plan.file}{DOT}ok{DOT}{counted(len(wary), 'warning')}")
        else:
            lines += [f"{plan.file}:"] if asked.several else []
            lines += [*preview(opened.plans, stack, before), f"  {took.told(times)}"]
    found: Document = {"files": documents} if asked.several else documents[0]
    return Answer(EXIT_HELD, _without_verdict("", found), "\n".join(lines))


@app.command()
def run(
    context: typer.Context,
    files: Files,
    seed: Seed = None,
    times: Times = 1,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Run the trials on this many stack copies in parallel.")
    ] = 1,
    as_json: AsJson = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data of every LUN in the run folder.")] = False,
    expect: Annotated[bool, typer.Option("--expect", help="Exit 0 if each verdict is that under `expect:`.")] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop after the first trial that makes the exit code other than 0.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Begin no trial after so many minutes.")] = None,
    image: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=REF", help="Run a service with this image, in every stack.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit's XML, a case for each trial.")
    ] = None,
    allure: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Add Allure's results, one for each trial.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> Answer:
    """Run experiments, or plans of earlier trials, and judge them."""
    from chaos.reporting.formats.chosen import chosen
    from chaos.reporting.logfile import logged_to_file
    from chaos.reporting.page.file import HtmlReport
    from chaos.reporting.summary import came_again, summary, verdict_line
    from chaos.reporting.terminal import terminal
    from chaos.stack.cleanup.sweep import sweep
    from chaos.trials import run_trials

    detail = _detail(quiet, verbose)
    asked = _open_all(files, seed, times, detail, image or ())
    plans = [plan for opened in asked.opened for plan in opened.plans]
    out = sys.stderr if as_json else sys.stdout
    pages, shown, others = HtmlReport(), terminal(out, detail), chosen(junit, allure, out, os.environ)
    sweep(all_=False)
    collector: Collector = context.obj
    collector.by_file = asked.several
    fan = FanOut([collector, pages, *others, shown])
    until = math.inf if minutes is None else time.monotonic() + minutes * 60

    with logged_to_file():
        results = run_trials(
            plans,
            jobs=jobs,
            keep=keep,
            listeners=(fan,),
            stop_after=lambda result: fail_fast and exit_code([result], expect=expect) != EXIT_HELD,
            may_begin=lambda: time.monotonic() < until,
        )
    for crash in fan.crashes:
        complain(str(crash))
    unshown = any(crash.listener == type(shown).__name__ for crash in fan.crashes)
    lines = [verdict_line(result) for result in results if unshown]
    is_list = times > 1 or asked.several
    if is_list and detail != "quiet":
        lines += summary(results, collector.left_out, by_file=asked.several)
        lines += came_again(results) if not asked.several else []
        if pages.overview is not None and pages.overview.is_file():
            lines.append(f"  report over all: {pages.overview}")
    document = to_documents(results, collector.left_out, by_file=asked.several) if is_list else to_document(results[0])
    code = exit_code(results, expect=expect)
    if code == EXIT_HELD and (
        untried := {plan.file for plan in collector.left_out} - {each.plan.file for each in results}
    ):
        complain(f"no trial of {', '.join(sorted(map(str, untried)))} was run, so nothing is known of it")
        code = EXIT_INCONCLUSIVE
    return Answer(code, document, "\n".join(lines))


app.command()(explore)
app.command()(audit)
app.command()(search)
app.command()(gate)


@app.command(name="driver-test")
def driver_test(
    file: File,
    as_json: AsJson = False,
) -> Answer:
    """Test a driver: start the stack without faults and try each promise of the driver."""
    from chaos.driver_test import try_driver
    from chaos.reporting.logfile import logged_to_file
    from chaos.reporting.words import counted
    from chaos.stack.cleanup.sweep import sweep
    from chaos.workload.tryout.findings import put_off

    def tell(finding: Finding) -> None:
        if finding.needs:
            return  # all of them in one line at the end, so that the first thing to do stands out
        place = sys.stderr if as_json else sys.stdout
        place.write("\n".join(_told_of(finding)) + "\n")
        place.flush()

    from chaos.preflight.opening import open_experiment

    opened = open_experiment(file)
    plan, stack = opened.plans[0], opened.stack
    for line in opened.told_at_begin:
        complain(f"warning: {line}")
    sweep(all_=False)
    with logged_to_file():
        findings = try_driver(plan, stack, tell, complain)
    wrong = [each for each in findings if each.outcome == "wrong"]
    name = str(plan.driver or stack.driver)
    reason = f"{counted(len(wrong), 'check')} of driver {name} went wrong" if wrong else f"driver {name} is ok"
    document = _without_verdict(reason, {"driver": name, "checks": findings})
    waiting = put_off(findings)
    text = f"{'not tried':>9}  {waiting}\n{reason}" if waiting else reason
    return Answer(EXIT_VIOLATED if wrong else EXIT_HELD, document, text)


@app.command()
def check(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run folder, such as reports/runs/latest.")],
    as_json: AsJson = False,
    report: Annotated[
        Report,
        typer.Option(help="Write this report into the run folder again; the page is written in any case."),
    ] = "html",
    record: Annotated[
        str, typer.Option(metavar="NAME", help="Show a record's life story and the rule that judged it.")
    ] = "",
    why: Annotated[
        bool, typer.Option("--why", help="Show each reason of the verdict and each condition of HELD.")
    ] = False,
    kept_by: Annotated[
        Path | None, typer.Option(metavar="RUN_DIR", help="A rerun with another setting that HELD; the page says so.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE.parquet", help="Write the history as a table, for DuckDB or Polars.")
    ] = None,
) -> Answer:
    """Judge a finished trial again from its history, and write its reports again."""
    from chaos.faults import catalogue
    from chaos.reporting.block import verdict_block
    from chaos.reporting.formats.chosen import FILES, report_again
    from chaos.reporting.result import HISTORY_FILE

    if export is not None:
        from chaos.history.export import export as write_table  # first: it may be refused

    result = report_again(run_dir, catalogue(), complain, report, kept_by)
    history, told = result.run_dir / HISTORY_FILE, verdict_block(result)
    if record or why:
        from chaos.checks.explain import explain_record, explain_verdict, find_record
        from chaos.history.reader import read_history

        told = explain_verdict(result.judgement) if why and result.judgement is not None else []
        if record:
            whole = read_history(history)
            told += explain_record(whole, find_record(whole, record))
    if report != "html":
        told.append(f"  {report}: {result.run_dir / FILES[report]}")
    if export is not None:
        told.append(f"{write_table(history, export):,} lines in {export}")
    return Answer(EXIT_CODES[result.verdict], to_document(result), "\n".join(told))


@app.command()
def clean(
    all_: Annotated[bool, typer.Option("--all", help="Also remove the images and the whole cache folder.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Also remove the images that Holdfast has built.")] = False,
    golden: Annotated[
        bool, typer.Option("--golden", help="Also remove golden LUNs: stacks are initialised anew then.")
    ] = False,
    as_json: AsJson = False,
) -> Answer:
    """Remove what dead runs have left on this host, and show what is kept. Running ones are not touched."""
    from chaos.reporting.words import counted
    from chaos.stack.cleanup.kept import look
    from chaos.stack.cleanup.sweep import sweep

    report = sweep(all_=all_, images=images, golden=golden)
    kept = look()
    reason = f"{counted(len(report.failed), 'thing')} could not be removed" if report.failed else ""
    document = _without_verdict(reason, {**vars(report), "kept": kept})
    return Answer(EXIT_HARNESS if report.failed else EXIT_HELD, document, f"{report}\n{kept}")


@app.command()
def docs(
    name: Annotated[
        str, typer.Argument(metavar="[PAGE]", help="Such as drivers. Default: the names of all pages.")
    ] = "",
) -> Answer:
    """Print a page of the documentation, as Markdown."""
    from chaos.manual import contents, page

    text = page(name).rstrip() if name else "\n".join(contents())
    return Answer(EXIT_HELD, _without_verdict("", {"text": text}), text)


@app.command()
def schema() -> Answer:
    """Print the JSON Schema of experiment files, for editors."""
    from chaos.experiment.schema import json_schema
    from chaos.faults import catalogue

    document = json_schema(catalogue().forms)
    return Answer(EXIT_HELD, document, dumps(document))


def exit_code(results: Sequence[TrialResult], *, expect: bool) -> int:
    """The worst verdict's code; with `expect`, 0 if every verdict is the expected one, else not 0."""
    if not expect:
        return EXIT_CODES[worst(results).verdict]
    unexpected = [result for result in results if not result.as_expected]
    if not unexpected:
        return EXIT_HELD
    return EXIT_CODES[worst(unexpected).verdict] or EXIT_VIOLATED


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises, never shows a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    collector = Collector()
    answer = answered(
        lambda: app(arguments, prog_name="holdfast", standalone_mode=False, obj=collector),
        collector,
    )
    try:
        if "--json" in arguments:
            sys.stdout.write(dumps(answer.document) + "\n")
        elif answer.text:
            sys.stdout.write(answer.text + "\n")
        sys.stdout.flush()
    except OSError as error:
        # Nobody reads stdout any more. Exit 0 would be a verdict that nobody saw, and 1 (what Python or Click
        # make of it) a violation that nobody found. The interpreter must not flush to it once more.
        complain(f"the answer could not be written to stdout: {error}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_HARNESS
    return answer.code


def _detail(quiet: bool, verbose: bool) -> Detail:
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other; give one of them")
    return "quiet" if quiet else "verbose" if verbose else "usual"


def _open_all(files: Sequence[Path], seed: int | None, times: int, detail: Detail, images: Sequence[str] = ()) -> Asked:
    """Open every file with its driver before anything begins, and tell what a folder has that is not run."""
    from chaos.preflight.opening import images_by_service
    from chaos.preflight.several import open_all

    asked = open_all(files, seed, times=times, images=images_by_service(images))
    for passed_over in asked.passed_over:
        if detail == "verbose" or passed_over.kind == "unfinished":
            complain(str(passed_over))
    return asked


def _previewed(opened: Opened, warnings: Sequence[str]) -> Document:
    from chaos.experiment.drivers import DriverChoice
    from chaos.preflight.preview import touched

    plans = [
        {
            name: jsonable(each.shown if isinstance(each, DriverChoice) else each)
            for name, each in vars(plan).items()
            if name != "variables"
        }
        for plan in opened.plans
    ]
    return {"plan": plans[0], "plans": plans, "touched": touched(opened.stack), "warnings": list(warnings)}


def _without_verdict(reason: str, found: Mapping[str, object]) -> Document:
    return {"verdict": None, "reason": reason, **{name: jsonable(value) for name, value in found.items()}}


def _told_of(finding: Finding) -> list[str]:
    """One check of a driver in lines: what was tried, what came of it, and what to do."""
    lines = [f"{finding.outcome:>9}  {finding.check}"]
    return lines + [f"{'':9}  {text}" for text in (finding.why, finding.remedy and f"-> {finding.remedy}") if text]


if __name__ == "__main__":
    sys.exit(main())

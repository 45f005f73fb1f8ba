"""The command `holdfast`.

Each command returns an `Answer`; `main` alone prints it and turns whatever else happens into an exit code:
0 HELD, 1 VIOLATED, 2 INCONCLUSIVE, 3 harness error, 64 usage, 130 SIGINT, 143 SIGTERM. Commands import what
they need when they run, so that `holdfast --help` answers at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from chaos.errors import (
    EXIT_HARNESS,
    EXIT_HELD,
    EXIT_SIGINT,
    EXIT_SIGTERM,
    EXIT_USAGE,
    EXIT_VIOLATED,
    HoldfastError,
    SourceError,
    Terminated,
)
from chaos.reporting.listener import Collector, FanOut
from chaos.reporting.result import (
    EXIT_CODES,
    REPORT_FILE,
    Document,
    TrialResult,
    dumps,
    error_document,
    jsonable,
    to_document,
    to_documents,
    worst,
)

if TYPE_CHECKING:
    from chaos.preflight.opening import Opened
    from chaos.workload.tryout.findings import Finding

TRACEBACK_FILE = "traceback.txt"

# Typer carries a Click of its own since 0.27 and used the installed one before: both have this tree.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="holdfast",
    help="Proves, before release, that no acknowledged user record can disappear.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="An experiment or a plan.")]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Draw the plan from this number. Default: a fresh one, which is printed.")
]
Times = Annotated[
    int, typer.Option(min=1, help="Number of trials. An experiment is drawn anew for each, with the next seed.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, the rest on stderr.")]


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


@dataclass(frozen=True)
class Answer:
    """The result of a command: its exit code, its JSON document, and its text for people."""

    code: int
    document: Document
    text: str = ""


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
        examiner.fix(_complain)
    diagnosis = examiner.examine()
    reason = "" if diagnosis.can_run else f"the minimal stack cannot run here: {', '.join(diagnosis.missing)}"
    document = _without_verdict(reason, examiner.to_document(diagnosis))
    return Answer(diagnosis.exit_code, document, examiner.render(diagnosis))


@app.command()
def validate(
    file: File,
    seed: Seed = None,
    times: Times = 1,
    as_json: AsJson = False,
) -> Answer:
    """Check an experiment and show what a run would touch and draw, with warnings. Touches nothing."""
    from chaos.preflight.preview import preview, touched, warnings
    from chaos.workload.drivers import load_doors, load_driver

    opened = _open(file, seed, times)
    plan, stack = opened.plans[0], opened.stack
    load_doors(load_driver(plan.driver or stack.driver, plan.driver_folder), (kind for kind, _, _ in stack.doors))
    drawn = [
        {name: jsonable(value) for name, value in vars(each).items() if name != "variables"} for each in opened.plans
    ]
    wary = [*opened.differing, *warnings(plan, stack)]
    found: Document = {"plan": drawn[0], "plans": drawn, "touched": touched(stack), "warnings": wary}
    lines = preview(opened.plans, stack, opened.differing)
    return Answer(EXIT_HELD, _without_verdict("", found), "\n".join(lines))


@app.command()
def run(
    context: typer.Context,
    file: File,
    seed: Seed = None,
    times: Times = 1,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Run the trials on this many stack copies in parallel.")
    ] = 1,
    as_json: AsJson = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data of every LUN in the run folder.")] = False,
    expect: Annotated[bool, typer.Option("--expect", help="Exit 0 if the verdict is the one under `expect:`.")] = False,
) -> Answer:
    """Run an experiment, or the plan of an earlier trial, and judge it."""
    from chaos.reporting.block import summary
    from chaos.reporting.logfile import logged_to_file
    from chaos.reporting.page.file import HtmlReport
    from chaos.reporting.terminal import terminal
    from chaos.stack.cleanup.sweep import sweep
    from chaos.trials import run_trials

    plans = _open(file, seed, times).plans
    sweep(all_=False)
    fan = FanOut([context.obj, HtmlReport(), terminal(sys.stderr if as_json else sys.stdout)])
    with logged_to_file():
        results = run_trials(plans, jobs=jobs, keep=keep, listeners=(fan,))
    for crash in fan.crashes:
        _complain(str(crash))
    lines = [f"{result.verdict}  {result.reason}\n  run: {result.run_dir}" for result in results if fan.crashes]
    if times > 1:
        lines += summary(results)
    document = to_documents(results) if times > 1 else to_document(results[0])
    return Answer(exit_code(results, expect=expect), document, "\n".join(lines))


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

    def tell(finding: Finding) -> None:
        place = sys.stderr if as_json else sys.stdout
        place.write("\n".join(_told_of(finding)) + "\n")
        place.flush()

    opened = _open(file, None, 1)
    plan, stack = opened.plans[0], opened.stack
    sweep(all_=False)
    with logged_to_file():
        findings = try_driver(plan, stack, tell, _complain)
    wrong = [each for each in findings if each.outcome == "wrong"]
    name = plan.driver or stack.driver
    reason = f"{counted(len(wrong), 'check')} of driver {name} went wrong" if wrong else f"driver {name} is ok"
    document = _without_verdict(reason, {"driver": name, "checks": findings})
    return Answer(EXIT_VIOLATED if wrong else EXIT_HELD, document, reason)


@app.command()
def check(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run folder, such as reports/runs/latest.")],
    as_json: AsJson = False,
    record: Annotated[
        str, typer.Option(metavar="NAME", help="Show a record's life story and the rule that judged it.")
    ] = "",
    why: Annotated[
        bool, typer.Option("--why", help="Show each reason of the verdict and each condition of HELD.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE.parquet", help="Write the history as a table, for DuckDB or Polars.")
    ] = None,
) -> Answer:
    """Judge a finished trial again from its history, and write its report.html again."""
    from chaos.faults import catalogue
    from chaos.reporting.block import verdict_block
    from chaos.reporting.page.file import report_again
    from chaos.reporting.result import HISTORY_FILE

    result = report_again(run_dir, catalogue(), _complain)
    history, told = result.run_dir / HISTORY_FILE, verdict_block(result)
    if record or why:
        from chaos.checks.explain import explain_record, explain_verdict, find_record
        from chaos.history.reader import read_history

        told = explain_verdict(result.judgement) if why and result.judgement is not None else []
        if record:
            whole = read_history(history)
            told += explain_record(whole, find_record(whole, record))
    if export is not None:
        from chaos.history.export import export as write_table

        told.append(f"{write_table(history, export):,} lines in {export}")
    return Answer(EXIT_CODES[result.verdict], to_document(result), "\n".join(told))


@app.command()
def clean(
    all_: Annotated[bool, typer.Option("--all", help="Also remove the images and the cache folder.")] = False,
    as_json: AsJson = False,
) -> Answer:
    """Remove what dead runs have left on this host. Running ones are not touched."""
    from chaos.reporting.words import counted
    from chaos.stack.cleanup.sweep import sweep

    report = sweep(all_=all_)
    reason = f"{counted(len(report.failed), 'thing')} could not be removed" if report.failed else ""
    document = _without_verdict(reason, {"removed": report.removed, "failed": report.failed})
    return Answer(EXIT_HARNESS if report.failed else EXIT_HELD, document, str(report))


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
    answer = _answer(arguments, collector)
    try:
        if "--json" in arguments:
            sys.stdout.write(dumps(answer.document) + "\n")
        elif answer.text:
            sys.stdout.write(answer.text + "\n")
        sys.stdout.flush()
    except OSError as error:
        # Nobody reads stdout any more. Exit 0 would be a verdict that nobody saw, and 1 (what Python or Click
        # make of it) a violation that nobody found. The interpreter must not flush to it once more.
        _complain(f"the answer could not be written to stdout: {error}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_HARNESS
    return answer.code


def _open(file: Path, seed: int | None, times: int) -> Opened:
    from chaos.preflight.opening import open_experiment

    return open_experiment(file, seed, times=times)


def _without_verdict(reason: str, found: Mapping[str, object]) -> Document:
    return {"verdict": None, "reason": reason, **{name: jsonable(value) for name, value in found.items()}}


def _answer(arguments: Sequence[str], collector: Collector) -> Answer:
    try:
        with _sigterm_raises():
            outcome = app(list(arguments), prog_name="holdfast", standalone_mode=False, obj=collector)
            if outcome == EXIT_SIGINT:  # Typer makes a number of it
                raise KeyboardInterrupt
            return outcome if isinstance(outcome, Answer) else Answer(int(outcome or 0), {})
    except SourceError as error:
        return _broken(str(error), error.exit_code, collector, tell=_tell)
    except HoldfastError as error:
        return _broken(str(error), error.exit_code, collector)
    except KeyboardInterrupt:
        return _broken("interrupted (SIGINT); everything is cleaned up", EXIT_SIGINT, collector)
    except Terminated:
        return _broken("terminated (SIGTERM); everything is cleaned up", EXIT_SIGTERM, collector)
    except _USAGE_ERROR as error:
        return _broken(_usage(error), EXIT_USAGE, collector)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user gets one line, the file gets the rest
        kept = _keep_traceback(error, collector.run_dir)
        reason = f"internal error of Holdfast: {type(error).__name__}: {error}; report it with {kept}"
        return _broken(reason, EXIT_HARNESS, collector)


def _told_of(finding: Finding) -> list[str]:
    """One check of a driver in lines: what was tried, what came of it, and what to do."""
    lines = [f"{finding.outcome:>9}  {finding.check}"]
    return lines + [f"{'':9}  {text}" for text in (finding.why, finding.remedy and f"-> {finding.remedy}") if text]


def _broken(reason: str, code: int, collector: Collector, tell: Callable[[str], None] | None = None) -> Answer:
    (tell or _complain)(reason)
    if collector.run_dir is not None and (report := collector.run_dir / REPORT_FILE).is_file():
        _tell(f"  report: {report}")
    document = error_document(reason, code, seed=collector.seed, run_dir=collector.run_dir, results=collector.results)
    return Answer(code, document)


def _complain(line: str) -> None:
    _tell(f"holdfast: {line}")


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # a closed stderr must not change the exit code
        sys.stderr.write(f"{line}\n")


def _usage(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    text = getattr(error, "format_message", lambda: str(error))()
    return f"{text}\n{context.get_usage()}" if context is not None else text


def _keep_traceback(error: BaseException, run_dir: Path | None) -> str:
    """Write the traceback where the user finds it, and return the path; never fails."""
    text = "".join(traceback.format_exception(error))
    try:
        if run_dir is None or not run_dir.is_dir():
            from chaos.stack.cache import cache_folder

            run_dir = cache_folder()
        path = run_dir / TRACEBACK_FILE
        path.write_text(text, encoding="utf-8")
    except (OSError, HoldfastError) as second:
        return f"nothing, since the traceback could not be written ({second})"
    return str(path)


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that everything is cleaned up on the way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())

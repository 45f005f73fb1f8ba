"""What a command comes to: its answer, or one line for its user and an exit code, whatever else happens."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import typer

from chaos.errors import (
    EXIT_HARNESS,
    EXIT_SIGINT,
    EXIT_SIGTERM,
    EXIT_USAGE,
    HoldfastError,
    SeveralErrors,
    SourceError,
    Terminated,
)
from chaos.reporting.listener import Collector
from chaos.reporting.result import REPORT_FILE, Document, error_document

TRACEBACK_FILE = "traceback.txt"

# Typer carries a Click of its own since 0.27 and used the installed one before: both have this tree.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


@dataclass(frozen=True)
class Answer:
    """The result of a command: its exit code, its JSON document, and its text for people."""

    code: int
    document: Document
    text: str = ""


def complain(line: str) -> None:
    """One line of Holdfast's own on stderr."""
    tell(f"holdfast: {line}")


def tell(line: str) -> None:
    """One line on stderr."""
    with contextlib.suppress(OSError):  # a closed stderr must not change the exit code
        sys.stderr.write(f"{line}\n")


def answered(call: Callable[[], object], collector: Collector) -> Answer:
    """The answer of a command, or why there is none; never raises.

    Args:
        call: Runs the command, as Click does; SIGTERM unwinds it as Ctrl-C does.
        collector: What was finished before a run broke off.
    """
    try:
        with _sigterm_raises():
            outcome = call()
            if outcome == EXIT_SIGINT:  # Typer makes a number of it
                raise KeyboardInterrupt
            return outcome if isinstance(outcome, Answer) else Answer(outcome if isinstance(outcome, int) else 0, {})
    except (SourceError, SeveralErrors) as error:
        return _broken(str(error), error.exit_code, collector, say=tell)
    except HoldfastError as error:
        place = "".join(f"{note}: " for note in getattr(error, "__notes__", ()) if collector.by_file)
        return _broken(f"{place}{error}", error.exit_code, collector)
    except KeyboardInterrupt:
        return _broken("interrupted (SIGINT); everything is cleaned up", EXIT_SIGINT, collector)
    except Terminated:
        return _broken("terminated (SIGTERM); everything is cleaned up", EXIT_SIGTERM, collector)
    except _USAGE_ERROR as error:
        return _broken(_usage(error), EXIT_USAGE, collector)
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            return _internal(error, collector)
        return _broken("nobody reads its output any more; everything is cleaned up", EXIT_HARNESS, collector)
    except Exception as error:  # noqa: BLE001 - the user gets one line, the file gets the rest
        return _internal(error, collector)


def _internal(error: BaseException, collector: Collector) -> Answer:
    kept = _keep_traceback(error, collector.run_dir)
    reason = f"internal error of Holdfast: {type(error).__name__}: {error}; report it with {kept}"
    return _broken(reason, EXIT_HARNESS, collector)


def _broken(reason: str, code: int, collector: Collector, say: Callable[[str], None] = complain) -> Answer:
    say(reason)
    if collector.run_dir is not None and (report := collector.run_dir / REPORT_FILE).is_file():
        tell(f"  report: {report}")
    document = error_document(
        reason,
        code,
        seed=collector.seed,
        run_dir=collector.run_dir,
        results=collector.results,
        by_file=collector.by_file,
    )
    return Answer(code, document)


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

"""The errors of Holdfast, all in one tree.

    HoldfastError
    |- UsageError            exit 64   what the user wrote cannot be run
    |  |- SourceError        exit 64   ... and this is the place in their file
    |  |- SeveralErrors      exit 64   ... and it is in several files
    |  `- MissingExtra       exit 64   ... without a package that is not installed
    |- HarnessError          exit 3    Holdfast or the host failed; says nothing about the service
    |  |- EngineError        exit 3    no engine, or it refused
    |  |- AgentError         exit 3    the agent is gone, or refused a request
    |  |- DriverError        exit 3    the driver has a defect, or does not ask the service
    |  |- CarrierError       exit 3    the proxy between phones and front door is gone, or refused
    |  |- ImageError         exit 3    an image cannot be built or found
    |  |- MalformedHistory   exit 3    a history that cannot be judged
    |  `- EndedEarly         exit 3    a trial that was ended, since the run was to stop after another one
    `- Refused                        raised by drivers: the service definitely did not apply the request
       `- NotNow                      ... and the same request may be tried again
    Terminated (SystemExit) exit 143  SIGTERM: unwinds like Ctrl-C's KeyboardInterrupt, which is exit 130

Every message says what, where, the value seen, and ends with the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

EXIT_HELD = 0
EXIT_VIOLATED = 1
EXIT_INCONCLUSIVE = 2
EXIT_HARNESS = 3
EXIT_USAGE = 64
EXIT_SIGINT = 130
EXIT_SIGTERM = 143

PROBLEMS_SHOWN_MAX = 100
EXTRA_OF = {"asyncmy": "mariadb", "asyncpg": "postgresql", "redis": "redis"}
"""The extras that bring libraries of drivers, by module."""


class HoldfastError(Exception):
    """Root of all errors that Holdfast raises on purpose."""

    exit_code = EXIT_HARNESS


class UsageError(HoldfastError):
    """The command line, an experiment or a stack file asks for something that cannot be done."""

    exit_code = EXIT_USAGE


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a user's file, and where.

    Attributes:
        path: The file as the user named it.
        line: 1-based line, 0 where the place is unknown.
        column: 1-based column, 0 where the place is unknown.
        message: What is wrong, with the value seen.
        hint: What to do about it; shown under the caret.
    """

    path: str
    line: int
    column: int
    message: str
    hint: str = ""


class SourceError(UsageError):
    """All problems of a user's file at once, each with file:line:column, the line and a caret."""

    def __init__(self, problems: Sequence[Problem], text: str | Mapping[str, str] = "") -> None:
        """Format the problems against the file's text, or the texts of several files by path."""
        self.problems = tuple(problems)
        self.texts = {problem.path: text for problem in problems} if isinstance(text, str) else text
        lines = {path: content.splitlines() for path, content in self.texts.items()}
        shown = [_show(problem, lines.get(problem.path, ())) for problem in self.problems[:PROBLEMS_SHOWN_MAX]]
        if more := len(self.problems) - len(shown):
            shown.append(f"... and {more} more; correct these first")
        super().__init__("\n".join(shown))

    @classmethod
    def of_all(cls, errors: Sequence[UsageError], path: str) -> UsageError:
        """All these errors as one; those that name no place of a file as problems of `path`."""
        if len(errors) == 1:
            return errors[0]
        problems: list[Problem] = []
        texts: dict[str, str] = {}
        for error in errors:
            if isinstance(error, SourceError):
                problems += error.problems
                texts |= error.texts
            else:
                problems.append(Problem(path, 0, 0, str(error)))
        first = {problem.path: number for number, problem in reversed([*enumerate(problems)])}
        return cls(sorted(problems, key=lambda each: (first[each.path], each.line, each.column)), texts)


def _show(problem: Problem, lines: Sequence[str]) -> str:
    place = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else problem.path
    shown = [f"{place}: {problem.message}"]
    if 0 < problem.line <= len(lines):
        gutter = f"{problem.line:5d}"
        shown.append(f"{gutter} | {lines[problem.line - 1]}")
        shown.append(f"{' ' * len(gutter)} | {' ' * (problem.column - 1)}^ {problem.hint}".rstrip())
    elif problem.hint:
        shown.append(f"      {problem.hint}")
    return "\n".join(shown)


class SeveralErrors(UsageError):
    """What is wrong with several files, all at once."""

    def __init__(self, wrong: Mapping[str, UsageError], of: int) -> None:
        """Tell the errors by file, of so many files that were given; what several share, such as a stack's, once."""
        told: list[str] = []
        problems: set[Problem] = set()
        for file, error in wrong.items():
            if isinstance(error, SourceError):
                fresh = [problem for problem in error.problems if problem not in problems]
                problems.update(fresh)
                told += [str(SourceError(fresh, error.texts))] if fresh else []
            else:
                told.append(str(error) if str(error).startswith(file) else f"{file}: {error}")
        told.append(f"{len(wrong)} of {of} files cannot be run; correct them first, nothing was started")
        super().__init__("\n".join(dict.fromkeys(told)))


class MissingExtra(UsageError):
    """Something was asked for that needs a package which is installed on demand only."""

    def __init__(self, wanted: str, extra: str, error: ImportError) -> None:
        """`wanted` is what the user asked for, `extra` the name of what brings the package."""
        super().__init__(f"{wanted} needs more than is installed ({error}); {install(extra)}")


def install(extra: str) -> str:
    """The remedy where an extra is missing."""
    return f"install it with: pip install 'holdfast[{extra}]'"


def remedy(error: BaseException) -> str:
    """The remedy where a driver, or what it imports, cannot be imported."""
    extra = EXTRA_OF.get((error.name or "").partition(".")[0]) if isinstance(error, ImportError) else None
    return install(extra) if extra else "install what is missing"


class HarnessError(HoldfastError):
    """Holdfast or its host failed, so the trial says nothing about the service."""


class EndedEarly(HarnessError):
    """A trial was ended, since the run was to stop after another one; nothing is wrong with anything."""


class EngineError(HarnessError):
    """No container engine answers, or it refused a request."""

    def __init__(self, message: str, *, is_forbidden: bool = False) -> None:
        """`is_forbidden`: one is there, and this user may not use it; then another one would not help."""
        super().__init__(message)
        self.is_forbidden = is_forbidden


class AgentError(HarnessError):
    """The agent is gone or refused a request."""


class DriverError(HarnessError):
    """The driver has a defect, or answers without the service; the message names it and the line."""


class CarrierError(HarnessError):
    """The carrier (the proxy between phones and front door) is gone, refused, or is in another state than asked for."""


class ImageError(HarnessError):
    """An image cannot be built, pulled or found."""


class MalformedHistory(HarnessError):
    """A history that cannot be judged: cut short, out of order, or not of this format."""


class Refused(HoldfastError):
    """Raised by a driver: the service answered that it definitely did not apply the request."""


class Terminated(SystemExit):
    """SIGTERM came. Not a HoldfastError: like KeyboardInterrupt, no `except Exception` may swallow it."""

    def __init__(self) -> None:
        """Carry the shell's exit code for it."""
        super().__init__(EXIT_SIGTERM)


class NotNow(Refused):
    """Raised by a driver: not applied, for no fault of the request (no connection, 503); a phone tries again."""

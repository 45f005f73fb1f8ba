r"""Env files, as under `env_file:` and in a `.env` beside the Compose file, read as Compose reads them.

    A=1                 export A=1            A: 1
    B=${A}2 # comment   C="a\tb ${A}"         D='as it is, over
    E                                            several lines'

Without quotes and in double ones `${NAME}` is replaced; in double ones escapes are, too; in single ones nothing is.
A name alone takes its value from outside. Errors name the line and never show it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from chaos.errors import Problem, SourceError
from chaos.experiment.source import Place
from chaos.stack.compose.reading.interpolate import Get, WrongError, expand

SIZE_BYTES_MAX = 256 * 1024

_BLANK = re.compile(r"(?:\s+|#[^\n]*)*")
_NAME = re.compile(r"(?:export[^\S\n]+)?([\w.\-\[\]]+)[^\S\n]*(?:([=:])[^\S\n]*|(?=\n)|\Z)")
_LINE = re.compile(r"[^\n]*\n?")
_ESCAPE = re.compile(r'\\(0\d{0,3}|[abfnrtv"\\$])')
_MEANS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "$": "$$"}


def read_env_file(
    path: Path,
    outside: Get,
    known: Mapping[str, str] = {},
    *,
    raw: bool = False,
    miss: Callable[[str, Place], object] = lambda name, place: None,
) -> dict[str, str]:
    """Variables by name.

    Args:
        path: The file.
        outside: Finds the value of a variable; before those of the file.
        known: Variables of the files before this one, which its values may name, too.
        raw: Everything behind the `=` is the value, quotes and `$` included.
        miss: Hears of each variable that has no value and no default, and where it stands.

    Raises:
        SourceError: The file cannot be read, or has lines that are not of this form.
    """
    try:
        with path.open("rb") as file:
            text = file.read(SIZE_BYTES_MAX + 1).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        problem = Problem(str(path), 0, 0, f"the env file cannot be read: {reason}", "check env_file")
        raise SourceError([problem]) from None
    if len(text) > SIZE_BYTES_MAX:
        raise SourceError([Problem(str(path), 0, 0, "the env file is too large", "is this the right file?")])
    reader = _Reader(path, text.replace("\r\n", "\n"), outside, known, miss)
    reader.read(raw=raw)
    if reader.problems:
        raise SourceError(reader.problems)
    return reader.found


class _Reader:
    """Walks through the text, from one name to the next."""

    def __init__(
        self, path: Path, text: str, outside: Get, known: Mapping[str, str], miss: Callable[[str, Place], object]
    ) -> None:
        self.found: dict[str, str] = {}
        self.problems: list[Problem] = []
        self._path = path
        self._text = text
        self._at = 0
        self._outside = outside
        self._known = known
        self._miss = miss

    def read(self, *, raw: bool) -> None:
        while (at := self._skip(_BLANK)) < len(self._text):
            match = _NAME.match(self._text, at)
            if match is None:
                self._wrong("not of the form NAME=value", "see `holdfast docs compose`")
                self._skip(_LINE)
                continue
            self._at = match.end()
            value = self._value(raw=raw) if match[2] else self._outside(match[1])
            if value is not None:
                self.found[match[1]] = value

    def _value(self, *, raw: bool) -> str | None:
        at, quote = self._at, self._text[self._at : self._at + 1]
        if raw or quote not in ("'", '"'):
            self._skip(_LINE)
            line = self._text[at : self._at].removesuffix("\n")
            return line if raw else self._expanded(line.partition(" #")[0].rstrip(), at)
        inside = re.compile(rf"(?:\\.|[^{quote}\\])*", re.DOTALL).match(self._text, at + 1)
        if inside is None or inside.end() >= len(self._text):
            self._wrong("a quote that is not closed", f"close it by {quote}")
            self._at = len(self._text)
            return None
        self._at = inside.end() + 1
        if quote == "'":
            return inside[0].replace("\\'", "'")
        return self._expanded(_ESCAPE.sub(_unescaped, inside[0]), at)

    def _expanded(self, value: str, at: int) -> str | None:
        try:
            return expand(value, self._get, lambda name: self._miss(name, self._place(at)))
        except WrongError as wrong:
            message, hint = wrong.args
            self._wrong(message, hint, at)
            return None

    def _get(self, name: str) -> str | None:
        outside = self._outside(name)
        return outside if outside is not None else self.found.get(name, self._known.get(name))

    def _skip(self, what: re.Pattern[str]) -> int:
        match = what.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def _wrong(self, message: str, hint: str, at: int | None = None) -> None:
        self.problems.append(self._place(self._at if at is None else at).problem(message, hint))

    def _place(self, at: int) -> Place:
        return Place(str(self._path), self._text.count("\n", 0, at) + 1, 1)


def _unescaped(match: re.Match[str]) -> str:
    letter = match[1]
    if letter[0] == "0":  # an octal number has three digits; of others Compose takes the zero away
        return chr(int(letter, 8)) if re.fullmatch("0[0-3][0-7]{2}", letter) else f"\\{letter[1:]}"
    return _MEANS.get(letter, letter)

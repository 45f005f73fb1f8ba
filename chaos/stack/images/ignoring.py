"""Which files of a folder a build is given: all but those that `.dockerignore` names, by Docker's own rules.

A pattern names a path and all below it. `*` and `?` stop at a slash, `**` does not. Of several patterns that name a
path the last one counts; one with `!` before it takes the path in again.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Pattern:
    path: str
    found: re.Pattern[str]
    takes_in: bool

    def is_for_some_below(self, folder: str) -> bool:
        """Whether it may name something below a folder that it does not name itself."""
        return self.path.startswith(f"{folder}/") or any(sign in self.path for sign in "*?[")


def not_ignored(folder: Path, lines: Sequence[str]) -> Iterator[str]:
    """Paths of files, links and folders below a folder, relative to it, that no line of a `.dockerignore` names."""
    patterns = [pattern for pattern in map(_pattern, lines) if pattern is not None]

    def walk(below: str) -> Iterator[str]:
        with os.scandir(folder / below) as entries:
            for entry in entries:
                path = f"{below}{entry.name}"
                is_ignored = _is_ignored(path, patterns)
                if not is_ignored:
                    yield path
                if entry.is_dir(follow_symlinks=False) and not (
                    is_ignored and not any(each.takes_in and each.is_for_some_below(path) for each in patterns)
                ):
                    yield from walk(f"{path}/")

    return walk("")


def lines_of(file: Path) -> list[str]:
    """The patterns of a `.dockerignore`; none where there is no such file."""
    text = file.read_text(errors="replace") if file.is_file() else ""
    return [line.strip() for line in text.removeprefix("\ufeff").splitlines() if not line.startswith("#")]


def _is_ignored(path: str, patterns: Sequence[_Pattern]) -> bool:
    is_ignored = False
    for each in patterns:
        if each.takes_in == is_ignored and each.found.match(path):
            is_ignored = not each.takes_in
    return is_ignored


def _pattern(line: str) -> _Pattern | None:
    takes_in = line.startswith("!")
    path = line.removeprefix("!").strip()
    path = posixpath.normpath(path).lstrip("/") if path else ""
    if not path or path == ".":
        return None
    try:
        return _Pattern(path, re.compile(_expression(path) + r"(?:/.*)?\Z", re.DOTALL), takes_in)
    except re.error:
        return None  # the builder says what is wrong with it


def _expression(path: str) -> str:
    made, at = "", 0
    while at < len(path):
        sign = path[at]
        if path.startswith("**/", at):
            made, at = made + "(?:.*/)?", at + 3
        elif path.startswith("**", at):
            made, at = made + ".*", at + 2
        elif sign == "*":
            made, at = made + "[^/]*", at + 1
        elif sign == "?":
            made, at = made + "[^/]", at + 1
        elif sign == "[" and (end := path.find("]", at + 2)) > 0:
            inside = path[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            made, at = made + f"[{inside}]", end + 1
        elif sign == "\\" and at + 1 < len(path):
            made, at = made + re.escape(path[at + 1]), at + 2
        else:
            made, at = made + re.escape(sign), at + 1
    return made

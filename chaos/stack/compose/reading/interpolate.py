"""`${NAME}` in Compose files, as Compose has it: defaults, alternatives, required ones, nesting, `$$`.

A `$` that begins no variable stays as it is. Errors name the variable and never its value. A scalar that was
interpolated keeps its text as written, so that later errors about it show `${NAME}` too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from chaos.errors import Problem
from chaos.experiment.source import Items, Node, Place, Table

Get = Callable[[str], str | None]
"""Finds the value of a variable, or None."""
Miss = Callable[[str], object]
"""Hears the name of a variable that has no value and no default."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")


class Lookup:
    """Variables by name, from the first of several sources that has them.

    Attributes:
        used: Those that were asked for and found, by name.
        at: For each place of the files that variables stand at, those that were used there.
        unset: Variables that no source had, and that are a blank text where they stand: each with its first place.
    """

    def __init__(self, *sources: Mapping[str, str]) -> None:
        self._sources = sources
        self.used: dict[str, str] = {}
        self.at: dict[Place, dict[str, str]] = {}
        self.unset: dict[str, Place] = {}
        self.asked: dict[str, Mapping[str, str] | None] = {}
        """The source that had each variable that was asked for; None where none had it."""

    def below(self, last: Mapping[str, str]) -> Lookup:
        """The same with a further source, behind all others; what is used counts as used here, too."""
        made = Lookup(*self._sources, last)
        made.used, made.at, made.asked, made.unset = self.used, self.at, self.asked, self.unset
        for name in last:
            if name in self.asked and self.asked[name] is None:
                del self.asked[name]  # asked for too early to be found
        return made

    def get(self, name: str) -> str | None:
        """The value, or None where no source has one."""
        for source in self._sources:
            if name in source:
                self.used[name], self.asked[name] = source[name], source
                return source[name]
        self.asked[name] = None
        return None

    def miss(self, name: str, place: Place) -> None:
        """Remember that a blank text stands here for a variable without a value or default."""
        self.unset.setdefault(name, place)


class WrongError(Exception):
    """The text cannot be interpolated; carries message and hint."""


def interpolate(node: Node, variables: Lookup, problems: list[Problem]) -> Node:
    """The tree with every leaf interpolated; what cannot be is added to `problems`."""
    if isinstance(node, Items):
        return replace(node, items=tuple(interpolate(item, variables, problems) for item in node.items))
    if isinstance(node, Table):
        entries = {key: (place, interpolate(item, variables, problems)) for key, (place, item) in node.entries.items()}
        return replace(node, entries=entries)
    if not isinstance(node.value, str) or "$" not in node.value:
        return node
    used = variables.at.setdefault(node.place, {})

    def get(name: str) -> str | None:
        value = variables.get(name)
        if value is not None:
            used[name] = value
        return value

    try:
        return replace(node, value=expand(node.value, get, lambda name: variables.miss(name, node.place)))
    except WrongError as wrong:
        problems.append(node.place.problem(*wrong.args))
        return node


def expand(text: str, get: Get, miss: Miss = lambda name: None, depth: int = 0) -> str:
    """One text interpolated; an unset variable without a default is empty, as in Compose, and is told to `miss`."""
    if depth > 10:
        raise WrongError("variables nested deeper than 10 levels", "write it simpler")
    parts: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        rest = text[dollar + 1 :]
        if rest.startswith("$"):
            parts.append("$")
            at = dollar + 2
        elif rest.startswith("{"):
            end = _closing(text, dollar + 1)
            parts.append(_braced(text[dollar + 2 : end], get, miss, depth))
            at = end + 1
        elif name := _NAME.match(rest):
            parts.append(_bare(name[0], get, miss))
            at = dollar + 1 + name.end()
        else:
            parts.append("$")
            at = dollar + 1
    return "".join(parts) + text[at:]


def _closing(text: str, opened: int) -> int:
    """Where the brace at `opened` closes."""
    level = 0
    for at in range(opened, len(text)):
        if text[at] == "{":
            level += 1
        elif text[at] == "}":
            level -= 1
            if level == 0:
                return at
    raise WrongError("a ${ that is not closed", "add the }, or write $$ for the character $ itself")


def _bare(name: str, get: Get, miss: Miss) -> str:
    value = get(name)
    if value is None:
        miss(name)
    return value or ""


def _braced(inside: str, get: Get, miss: Miss, depth: int) -> str:
    name = _NAME.match(inside)
    if name is None:
        raise WrongError("a ${ without the name of a variable", "write $$ for the character $ itself")
    rest = inside[name.end() :]
    if not rest:
        return _bare(name[0], get, miss)
    value = get(name[0])
    operator = _OPERATOR.match(rest)
    if operator is None:
        hint = "known are ${A:-default} ${A-default} ${A:?message} ${A?message} ${A:+other} ${A+other}"
        raise WrongError(f"${{{name[0]}...}} holds something unknown", hint)
    word = rest[operator.end() :]
    there = bool(value) if operator[0].startswith(":") else value is not None
    if operator[0].endswith("+"):
        return expand(word, get, miss, depth + 1) if there else ""
    if there:
        return value or ""
    if operator[0].endswith("-"):
        return expand(word, get, miss, depth + 1)
    message = expand(word, get, miss, depth + 1)
    raise WrongError(f"variable {name[0]} is required: {message}".rstrip(": "), f"set {name[0]}")

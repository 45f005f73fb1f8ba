"""Parses the values of Compose keys: durations, sizes, argument vectors, ports, volumes.

All leaves of a Compose file arrive as text (or None for null), since interpolation yields text anyway.
"""

from __future__ import annotations

import re
import shlex
import stat
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from chaos.experiment.explain import fail
from chaos.experiment.source import Unquoted
from chaos.stack.compose.reading.short import WrongValueError, command_words

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(w|d|h|ms|m|s|us|µs|ns))")
_SECONDS = {"w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_SECONDS |= {"ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,12})?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_UNIT = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}
_YES = ("true", "yes", "y", "on")
_NO = ("false", "no", "n", "off")


def duration(value: object) -> object:
    """`1m30s`, `200ms`, `1d`, `0`; in seconds."""
    if not isinstance(value, str):
        return value
    if value == "0":
        return 0.0
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        fail("this should be a duration", "such as 1m30s or 200ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def size(value: object) -> object:
    """`512M`, `64kb`, `1.5g`, `1048576`; in bytes, units of 1024."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        fail("this should be a size", "such as 512M or 1G")
    unit = _UNIT[match[2].lower()]
    return int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit


def flag(value: object) -> object:
    """`true` or `false`."""
    if isinstance(value, str):
        if value.lower() not in (*_YES, *_NO):
            fail("this should be true or false", "change it")
        return value.lower() in _YES
    return value


def whole(value: object) -> object:
    """A whole number."""
    if isinstance(value, str):
        if not re.fullmatch(r"-?\d{1,18}", value):
            fail("this should be a whole number", "change it")
        return int(value)
    return value


def mode(value: object) -> object:
    """Permissions: octal as `0440`; a number without a leading zero is decimal, as in YAML."""
    if isinstance(value, str):
        octal = value.startswith("0")
        if not isinstance(value, Unquoted) or not re.fullmatch(r"0o?[0-7]{1,6}" if octal else r"\d{1,6}", value):
            fail("this should be permissions", "such as 0440")
        return int(value.lstrip("0o") or "0", 8) if octal else int(value)
    return value


def quoted(value: object) -> object:
    """A text that is no number."""
    if isinstance(value, Unquoted):
        fail(f"this should be text, not {value[:40]}", "put it in quotes")
    return value


def number(value: object) -> object:
    """A number that is not negative."""
    if isinstance(value, str):
        if not re.fullmatch(r"\d{0,12}(\.\d{1,12})?", value) or not value:
            fail("this should be a number", "change it")
        return float(value)
    return value


def restart_policy(value: object) -> object:
    """`no`, `always`, `on-failure`, `on-failure:3` or `unless-stopped`."""
    if isinstance(value, str) and not re.fullmatch(r"no|always|unless-stopped|on-failure(:\d{1,6})?|", value):
        fail("this should be no, always, on-failure, on-failure:N or unless-stopped", "change it")
    return value


def words(value: object) -> object:
    """An argument vector: a list as it is, a text split as Compose does it."""
    if isinstance(value, str):
        try:
            return command_words(value)
        except WrongValueError as wrong:
            fail(wrong.message, wrong.hint)
    return tuple(value) if isinstance(value, list) else value


def argv(value: object) -> object:
    """An argument vector of our own keys: a list as it is, a text split as a shell would."""
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            fail(f"this cannot be split into words: {str(error).lower()}", "write it as a list")
    return tuple(value) if isinstance(value, list) else value


def listed(value: object) -> object:
    """A list, or one text."""
    return tuple([value] if isinstance(value, str) else value) if isinstance(value, str | list) else value


Duration = Annotated[float, BeforeValidator(duration), Field(ge=0, le=604_800)]
Size = Annotated[int, BeforeValidator(size), Field(ge=0, le=2**50)]
Flag = Annotated[bool, BeforeValidator(flag)]
RestartPolicy = Annotated[str, BeforeValidator(restart_policy), BeforeValidator(quoted)]
Whole = Annotated[int, BeforeValidator(whole)]
Mode = Annotated[int, BeforeValidator(mode)]
Text = Annotated[str, BeforeValidator(quoted)]
Number = Annotated[float, BeforeValidator(number)]
Words = Annotated[tuple[str, ...], BeforeValidator(words)]
Argv = Annotated[tuple[str, ...], BeforeValidator(argv)]
Texts = Annotated[tuple[str, ...], BeforeValidator(listed)]


def what_is(path: Path) -> Literal["file", "folder", ""]:
    """What stands at a path; empty for nothing, and for what cannot be a path at all."""
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except (OSError, ValueError):
        return ""

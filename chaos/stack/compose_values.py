"""The small languages inside Compose values: durations, sizes, argument vectors, ports, volumes.

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

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(h|ms|m|s|us|ns))")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_SIZE = re.compile(r"(\d{1,15})\s*([bkmg]?)i?b?", re.IGNORECASE)
_UNIT = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def duration(value: object) -> object:
    """`1m30s`, `200ms`; in seconds."""
    if not isinstance(value, str):
        return value
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        fail("this should be a duration", "such as 1m30s or 200ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def size(value: object) -> object:
    """`512M`, `64kb`, `1048576`; in bytes, units of 1024."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        fail("this should be a size", "such as 512M or 1G")
    return int(match[1]) * _UNIT[match[2].lower()]


def flag(value: object) -> object:
    """`true` or `false`."""
    if isinstance(value, str):
        if value.lower() not in ("true", "false"):
            fail("this should be true or false", "change it")
        return value.lower() == "true"
    return value


def whole(value: object) -> object:
    """A whole number."""
    if isinstance(value, str):
        if not re.fullmatch(r"\d{1,12}", value):
            fail("this should be a whole number", "change it")
        return int(value)
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
    if isinstance(value, str) and not re.fullmatch(r"no|always|unless-stopped|on-failure(:\d{1,6})?", value):
        fail("this should be no, always, on-failure, on-failure:N or unless-stopped", "change it")
    return value


def words(value: object) -> object:
    """An argument vector: a list as it is, a text split as a shell would."""
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            fail(f"this cannot be split into words: {str(error).lower()}", "write it as a list")
    return tuple(value) if isinstance(value, list) else value


def listed(value: object) -> object:
    """A list, or one text."""
    return tuple([value] if isinstance(value, str) else value) if isinstance(value, str | list) else value


Duration = Annotated[float, BeforeValidator(duration), Field(ge=0, le=86_400)]
Size = Annotated[int, BeforeValidator(size), Field(ge=0, le=2**50)]
Flag = Annotated[bool, BeforeValidator(flag)]
RestartPolicy = Annotated[str, BeforeValidator(restart_policy)]
Whole = Annotated[int, BeforeValidator(whole)]
Number = Annotated[float, BeforeValidator(number)]
Words = Annotated[tuple[str, ...], BeforeValidator(words)]
Texts = Annotated[tuple[str, ...], BeforeValidator(listed)]


def what_is(path: Path) -> Literal["file", "folder", ""]:
    """What stands at a path; empty for nothing, and for what cannot be a path at all."""
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except (OSError, ValueError):
        return ""


class WrongValueError(ValueError):
    """A short form that cannot be read; carries message and hint."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


_PORT = re.compile(
    r"(?:(?P<host_ip>\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]):(?=.*:))?(?:(?P<published>\d*):)?"
    r"(?P<target>\d+)(?:/(?P<protocol>\w+))?"
)


def port_parts(text: str) -> dict[str, str]:
    """The long form of a short port, by its keys."""
    match = _PORT.fullmatch(text)
    if match is None:
        what = "port ranges are not supported" if "-" in text else "this should be a port"
        raise WrongValueError(what, "write one port, such as 8080 or 8000:8080")
    return {key: value for key, value in match.groupdict().items() if value}


def volume_parts(text: str) -> dict[str, str]:
    """The long form of a short volume, by its keys."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise WrongValueError("this should be a volume", "write name:/path, ./folder:/path or /path, and :ro if wanted")
    if len(parts) == 1:
        return {"type": "volume", "target": parts[0]}
    source, target = parts[0], parts[1]
    options = parts[2].split(",") if len(parts) == 3 else []
    if unknown := sorted(set(options) - {"ro", "rw"}):
        raise WrongValueError(f"the volume option {unknown[0]} is not supported", "use ro or rw")
    kind = "bind" if source.startswith((".", "/", "~")) else "volume"
    made = {"type": kind, "source": source, "target": target}
    return made | ({"read_only": "true"} if "ro" in options else {})

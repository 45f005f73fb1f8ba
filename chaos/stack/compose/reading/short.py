"""The short forms of ports, volumes and commands taken apart, as Compose does it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PORT = re.compile(
    r"(?:(?P<host_ip>\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]|(?:[0-9a-fA-F]*:){2,}[0-9a-fA-F]*|):(?=.*:))?"
    r"(?:(?P<published>\d*|\d+-\d+):)?(?P<target>\d+|\d+-\d+)(?:/(?P<protocol>\w+))?"
)
_WITHOUT_MEANING = frozenset(
    ["rw", "z", "Z", "cached", "delegated", "consistent", "private", "rprivate", "shared", "rshared", "slave", "rslave"]
)
"""Options of a volume that change nothing here: labels of SELinux, caches of other systems, mounts seen by the host."""
PORTS_MAX = 1000


class WrongValueError(ValueError):
    """A short form that cannot be read; carries message and hint."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def port_parts(text: str) -> list[dict[str, str]]:
    """The long forms of a short port, by their keys: one for each port of a range."""
    match = _PORT.fullmatch(text)
    if match is None:
        raise WrongValueError("this should be a port", "write one port, such as 8080 or 8000:8080")
    found = {key: value.lower() for key, value in match.groupdict().items() if value}
    targets, published = _range(found["target"]), _range(found.get("published", ""))
    if len(targets) > 1 and published and len(published) != len(targets):
        message = f"{len(published)} published ports for {len(targets)} of the container"
        raise WrongValueError(message, "write two ranges of one length, such as 8000-8009:9000-9009")
    if len(targets) == 1:
        return [found]
    return [
        found | {"target": target} | ({"published": published[i]} if published else {})
        for i, target in enumerate(targets)
    ]


def _range(text: str) -> list[str]:
    first, _, last = text.partition("-")
    if not last:
        return [text] if text else []
    if not 0 <= int(last) - int(first) < PORTS_MAX:
        raise WrongValueError(f"{text} is no range of at most {PORTS_MAX} ports", "write the smaller port first")
    return [str(port) for port in range(int(first), int(last) + 1)]


def volume_parts(text: str) -> dict[str, str | Mapping[str, str]]:
    """The long form of a short volume, by its keys."""
    drive = re.match(r"[A-Za-z]:\\[^:]*", text)
    parts = [drive[0], *text[drive.end() + 1 :].split(":")] if drive else text.split(":")
    if len(parts) > 3 or not all(parts):
        raise WrongValueError("this should be a volume", "write name:/path, ./folder:/path or /path, and :ro if wanted")
    if len(parts) == 1:
        return {"type": "volume", "target": parts[0]}
    source, target = parts[0], parts[1]
    options = {*parts[2].split(",")} if len(parts) == 3 else set()
    if unknown := sorted(options - _WITHOUT_MEANING - {"ro", "nocopy"}):
        raise WrongValueError(f"the volume option {unknown[0][:40]!r} is unknown", "use ro, rw or nocopy")
    kind = "bind" if drive or source.startswith((".", "/", "~")) else "volume"
    made: dict[str, str | Mapping[str, str]] = {"type": kind, "source": source, "target": target}
    made |= {"read_only": "true"} if "ro" in options else {}
    return made | ({"volume": {"nocopy": "true"}} if "nocopy" in options and kind == "volume" else {})


_WORD = re.compile(
    r"(?P<space>[ \t\r\n]+)|(?P<operator>[;&|<>])|\\(?P<escaped>.)|'(?P<single>[^']*)'"
    r'|"(?P<double>(?:[^"\\]|\\.)*)"'
    r"|(?P<kept>`[^`]*`|\$\([^)]*\)|[^()`'\"\\;&|<> \t\r\n])",
    re.DOTALL,
)
_AS_LIST = "write it as a list"


def command_words(text: str) -> tuple[str, ...]:
    """A command as its argument vector.

    No shell: `$(...)` and backquotes are kept as one word, and at an operator such as `&&` or `>` the command ends,
    as it does with Compose.
    """
    words: list[str] = []
    word: str | None = None
    at = 0
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            raise WrongValueError("this cannot be split into words: a quote or a bracket is not closed", _AS_LIST)
        at = match.end()
        if match["space"] or match["operator"]:
            number = match["operator"] == ">" and (word or "")[:1].isdecimal()  # as in 2>
            words += [] if word is None or number else [word]
            word = None
            if match["operator"]:
                break
        else:
            kind = str(match.lastgroup)
            part = match[kind]
            word = (word or "") + (re.sub(r"(?s)\\(.)", r"\1", part) if kind == "double" else part)
    return tuple(words if word is None else [*words, word])


def is_elsewhere(text: str) -> bool:
    """Whether a build's context is no folder of this host, but a repository, an image or the like."""
    return "://" in text or text.startswith(("git@", "service:"))

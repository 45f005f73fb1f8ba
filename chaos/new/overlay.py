"""The text of the file that is laid over the Compose file: `x-chaos`, with the reason of each guess as a comment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from chaos.experiment.source import reads_as_text
from chaos.new.guess import Guess

NAME: Final = "holdfast.yaml"
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9_./]|-\w)[\w./-]*")
_HEALTH: Final = "interval: 500ms, timeout: 5s, retries: 240"


def overlay(guess: Guess, files: Sequence[Path]) -> str:
    """The whole file."""
    names = " and ".join(file.name for file in files)
    lines = [
        f"# What {names} cannot say, for Holdfast. `holdfast new` guessed it: correct what is wrong.",
        f"# It is laid over {names}, which stays as it is. `holdfast validate` says whether all is right.",
    ]
    lines += [f"# Not sure: {each}." for each in guess.doubts]
    return "\n".join([*lines, *_services(guess), "x-chaos:", *_chaos(guess)]) + "\n"


def _services(guess: Guess) -> Iterator[str]:
    """What services need beside what the Compose file gives them."""
    added: dict[str, list[str]] = {}
    for name, test in guess.checks.items():
        added[name] = [
            "    # It has no health check, and takes its time to initialise its data.",
            f"    healthcheck: {{test: {listed(('CMD', *test))}, {_HEALTH}}}",
        ]
    if not guess.front.is_published:
        added.setdefault(guess.front.service, []).append(
            f'    ports: ["{guess.front.port}"]  # so that the phones reach it, at a free port of 127.0.0.1'
        )
    if added:
        yield "services:"
    for name, lines in added.items():
        yield f"  {quoted(name)}:"
        yield from lines


def _chaos(guess: Guess) -> Iterator[str]:
    if guess.disks:
        yield "  # Disks that can fail or vanish. What else is mounted and written to is a disk of the array local."
        yield "  arrays:"
    for disk in guess.disks:
        server = guess.servers[disk.service]
        yield f"    # {disk.service} is {server.server.title}, since {server.why}; its data: {disk.what}."
        more = ", contents: none" if disk.is_blank else ""
        yield f"    {quoted(disk.array)}: {{luns: {{{quoted(disk.name)}: {{size: {disk.size_gib}G{more}}}}}}}"
        if disk.is_blank:
            yield "    # contents: none begins with an empty disk; without it, with a copy of what the folder has."
    front = guess.front
    yield f"  front_door: {front.service}:{front.port}  # where the phones knock, since {front.why}"
    yield from _driver(guess)
    if guess.roles:
        roles = ", ".join(f"{role}: {listed(names)}" for role, names in guess.roles.items())
        yield f"  roles: {{{roles}}}"
    if guess.may_lose:
        yield f"  may_lose: {listed(guess.may_lose)}  # made anew at every start"
    yield "  recovery: [{initialise: true}]  # nobody has a backup: an empty disk replaces one that is lost for good"


def _driver(guess: Guess) -> Iterator[str]:
    if guess.has_own_driver:
        yield f"  driver: {guess.driver}  # experiments/driver.py, which is yours to fill in"
        yield "  conflict: last-writer-wins  # or reject, where a write can name the version that it changes"
        yield "  idempotency: none  # or keyed, where a repeated request with the same key changes nothing"
        return
    options = mapped(guess.options)
    named = f"{{{guess.driver}: {{{options}}}}}" if options else guess.driver
    yield f"  driver: {named}  # the phones are clients of {guess.front.service} itself"
    yield f"  conflict: {guess.conflict}"
    yield f"  idempotency: {guess.idempotency}"


def mapped(values: Mapping[str, str]) -> str:
    """A mapping in one line, without its braces."""
    return ", ".join(f"{name}: {quoted(value)}" for name, value in values.items())


def listed(values: Iterable[str]) -> str:
    """A list in one line."""
    return f"[{', '.join(map(quoted, values))}]"


def quoted(text: str) -> str:
    """A text as YAML has it, in quotes where it needs them."""
    return text if _PLAIN.fullmatch(text) and reads_as_text(text) else json.dumps(text, ensure_ascii=False)

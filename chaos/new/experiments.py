"""The texts of three experiments: one without a fault, and the faults that the stack can have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from chaos.new.guess import Guess
from chaos.new.overlay import NAME, listed, quoted

FOLDER: Final = "experiments"
_WORKLOAD: Final = {"users": 10, "devices_per_user": 2, "operations": 400, "rate_per_second": 100}
_AT: Final = "{acknowledged: [100, 160]}"


def experiments(guess: Guess, files: Sequence[Path]) -> Mapping[str, tuple[str, str]]:
    """By name of the file, what the experiment is in a few words, and its text."""
    made = {"steady": ("no fault: is what is acknowledged there at all?", _text(guess, files, "steady", _STEADY, ()))}
    front = guess.front.service
    if guess.struck:
        what = f"every {guess.struck}" if guess.is_role(guess.struck) else guess.struck
        why = f"What a phone was told is saved must survive a power cut of {what}."
        fault = _fault(guess, "disk.power_cut", guess.struck)
        made["power_cut"] = (f"the power of {what} fails", _text(guess, files, "power_cut", why, fault))
    else:
        why = f"What a phone was told is saved must survive that {front} gets a new container, as in an upgrade."
        fault = _fault(guess, "process.recreate", front)
        made["recreate"] = (f"{front} gets a new container", _text(guess, files, "recreate", why, fault))
    why = f"What a phone was told is saved must survive that {front} is killed while it works."
    fault = _fault(guess, "process.kill", front)
    made["kill"] = (f"{front} is killed", _text(guess, files, "kill", why, fault))
    return {f"{FOLDER}/{name}.yaml": each for name, each in made.items()}


_STEADY: Final = (
    "Without any fault everything that was acknowledged must be there: if it is not, service or driver has an error."
)


def _fault(guess: Guess, name: str, target: str) -> tuple[str, ...]:
    key = "role" if guess.is_role(target) else "service"
    return (f"  - fault: {name}", f"    target: {{{key}: {quoted(target)}}}", f"    at: {_AT}", "    for_seconds: 1")


def _text(guess: Guess, files: Sequence[Path], name: str, why: str, fault: Sequence[str]) -> str:
    workload = ", ".join(f"{key}: {value}" for key, value in (_WORKLOAD | dict(guess.workload)).items())

    def lines() -> Iterator[str]:
        yield f"experiment: {name}"
        yield "why: >"
        yield f"  {why}"
        yield f"stack: {listed([*(f'../{file.name}' for file in files), f'../{NAME}'])}"
        if guess.has_own_driver:
            yield "# photos: 0, as long as the driver stores no record.blob."
        yield f"workload: {{{workload}}}"
        if fault:
            yield "schedule:"
            yield from fault
        yield "expect: HELD"

    return "\n".join(lines()) + "\n"

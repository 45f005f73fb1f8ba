"""What would have kept a lost record: the same trial with another setting, where that one HELD.

Nothing is guessed: the user names the other run, both are judged anew, and the sentence is made only where the two
differ in variables of the stack or in images that the plan names, and in nothing else that can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

from chaos.errors import UsageError
from chaos.reporting.result import TrialResult

_ASKED: Final = frozenset({"experiment", "why", "expect", "limits", "search"})
_SETTINGS: Final = frozenset({"variables", "images"})
_PLACES: Final = frozenset({"stack", "driver_folder", "actions", "inputs", "file"})
"""Where files are; what is in them is compared by itself."""
_INPUTS_FILE: Final = "inputs.json"


def kept_by(lost: TrialResult, other: TrialResult) -> str:
    """What was set otherwise in a trial that HELD and is the same as one that lost records, as a sentence.

    Raises:
        UsageError: The first is not VIOLATED, the other is not HELD, or they differ in more or less than in settings.
    """
    if lost.verdict != "VIOLATED":
        raise _refused(lost, other, f"{lost.run_dir} is {lost.verdict}, so nothing had to be kept")
    if other.verdict != "HELD":
        raise _refused(lost, other, f"it is {other.verdict}")
    settings = [
        *_settings("", lost.plan.variables, other.plan.variables),
        *_settings("the image of ", lost.plan.images, other.plan.images),
    ]
    if differs := sorted({*_differing(lost, other)}):
        raise _refused(lost, other, f"the two differ in {', '.join(differs)}")
    if not settings:
        raise _refused(lost, other, "both have the same settings, so the loss only comes now and then")
    return f"With {' and '.join(settings)}, one trial of the same users, faults and seed HELD: {other.run_dir}."


def _settings(of: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            was, now = (f'"{each[name]}"' if name in each else "as the stack has it" for each in (before, after))
            yield f"{of}{name} {now} in place of {was}"


def _differing(lost: TrialResult, other: TrialResult) -> Iterator[str]:
    """What is not the same beside the settings, each in a word or two."""
    for each in fields(lost.plan):
        if each.name not in _ASKED | _SETTINGS | _PLACES and getattr(lost.plan, each.name) != getattr(
            other.plan, each.name
        ):
            yield each.name
    if _actions(lost.plan.actions) != _actions(other.plan.actions):
        yield "actions"
    exchanged = {*lost.plan.images, *other.plan.images}
    for service in {*lost.images, *other.images} - exchanged:
        if lost.images.get(service) != other.images.get(service):
            yield f"the image of {service}"
    if _read(lost.run_dir) != _read(other.run_dir):
        yield "what they read (inputs.json), or it cannot be compared"


def _actions(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _read(run_dir: Path) -> tuple[object, object]:
    """The digests of what a run read. A salted one is like no other, since what it stands for cannot be compared."""
    path = run_dir / _INPUTS_FILE
    try:
        document = json.loads(path.read_bytes())
        files = sorted((str(each["what"]), str(each["digest"])) for each in document["units"])
        return files, sorted((str(name), str(digest)) for name, digest in document["variables"].items() if digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read ({error}); copy the run folder whole") from None


def _refused(lost: TrialResult, other: TrialResult, why: str) -> UsageError:
    return UsageError(
        f"{other.run_dir} does not show what would have kept the records of {lost.run_dir}: {why}; change a value "
        f"under `variables` or `images` in a copy of {lost.run_dir}/plan.yaml beside it, run that, and name that run"
    )

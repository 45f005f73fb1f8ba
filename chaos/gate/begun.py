"""The folder of a gate: what it was begun with, so that it goes on with the same and can be judged again offline."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from chaos.errors import UsageError
from chaos.experiment.loader import DRAWN_SEED_MAX
from chaos.gate.campaign import TRIALS_FILE
from chaos.gate.counted import Counted
from chaos.gate.policy import Policy, load_policy
from chaos.gate.untested import Untested, untested
from chaos.preflight.opening import Opened
from chaos.reporting.progress.kept import KeptLines
from chaos.stack.engine.identity import Run
from chaos.stack.inputs.comparing import compare
from chaos.stack.inputs.manifest import MANIFEST_FILE, read_manifest
from chaos.stack.inputs.sources import Sources

FOLDER: Final = Path("reports/gates")
BEGUN_FILE: Final = "gate.json"


@dataclass(frozen=True)
class Begun:
    """What a gate was begun with.

    Attributes:
        file: The policy's, as the user named it.
        seed: From which the seed of each trial is drawn.
        at: In UTC.
        images: By service, what it runs in place of its own image.
        inputs: What the policy, its experiments and their Compose files held, as digests by path.
        untested: What no trial of it can show.
    """

    policy: Policy
    file: Path
    seed: int
    at: datetime
    images: Mapping[str, str]
    inputs: Mapping[str, str]
    untested: Untested


_FORM: Final = TypeAdapter(Begun)


def begin(file: Path, seed: int | None, images: Mapping[str, str]) -> tuple[Path, Begun, Mapping[str, Opened]]:
    """Make the folder of a new gate.

    Raises:
        UsageError: The policy, or something that it names, cannot be run.
    """
    policy, stacks = load_policy(file, images)
    seed = random.SystemRandom().randint(1, DRAWN_SEED_MAX) if seed is None else seed
    at = datetime.now(UTC).replace(microsecond=0)
    begun = Begun(policy, file, seed, at, images, _digests(file, policy), untested(policy, stacks))
    folder = FOLDER / Run.begin(seed).id
    folder.mkdir(parents=True)
    (folder / BEGUN_FILE).write_bytes(_FORM.dump_json(begun, indent=2))
    return folder, begun, stacks


def read_begun(folder: Path) -> Begun:
    """What the gate in a folder was begun with.

    Raises:
        UsageError: It holds no gate.
    """
    try:
        return _FORM.validate_json((folder / BEGUN_FILE).read_bytes())
    except (OSError, ValidationError):
        raise UsageError(f"{folder} holds no gate; name a policy, or a folder below {FOLDER}") from None


def go_on(folder: Path) -> tuple[Begun, Mapping[str, Opened]]:
    """What a gate goes on with.

    Raises:
        UsageError: It holds no gate, or something is no longer as it was when it was begun.
    """
    begun = read_begun(folder)
    policy, stacks = load_policy(begun.file, begun.images)
    now = _digests(begun.file, policy)
    changed = sorted(path for path in {*now, *begun.inputs} if now.get(path) != begun.inputs.get(path))
    differing = [f"{path} changed since {folder} was begun" for path in changed] or [
        *_differing(folder, policy, stacks)
    ]
    if differing:
        raise UsageError(
            f"{'; '.join(differing[:3])}; trials of two versions decide nothing; "
            f"begin a new gate: holdfast gate {begun.file}"
        )
    return begun, stacks


def _differing(folder: Path, policy: Policy, stacks: Mapping[str, Opened]) -> Iterator[str]:
    """What the first trial on each stack read, and the next one would not find as it was.

    Build contexts are left out: images tell them apart, and are compared at the end.
    """
    seen: set[str] = set()
    for line in KeptLines(folder / TRIALS_FILE, Counted).read():
        stack, file = policy.stack_of(line.part, line.of), folder / line.folder / MANIFEST_FILE
        if stack is not None and stack not in seen and file.is_file():
            seen.add(stack)
            manifest = read_manifest(file)
            units = tuple(each for each in manifest.units if each.what != "build context")
            found = compare(stacks[stack].plans[0], replace(manifest, units=units), Sources(), os.environ)
            yield from (*found.missing, *found.differing)


def _digests(file: Path, policy: Policy) -> dict[str, str]:
    experiments = [each for stratum in policy.strata for each in stratum.experiments]
    experiments += [each.experiment for each in policy.searches]
    experiments += [each.experiment for each in policy.counterexamples]
    composed = (path for each in experiments for path in each.plan(0).stack)
    named: Iterable[Path] = (file, *(each.file for each in experiments), *composed)
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in dict.fromkeys(named)}

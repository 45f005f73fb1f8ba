"""`holdfast gate`: begins a gate by a policy, goes on with one, or judges one again from its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from chaos.errors import HarnessError, UsageError
from chaos.faults import catalogue
from chaos.gate.begun import BEGUN_FILE, FOLDER, Begun, begin, go_on, read_begun
from chaos.gate.campaign import TRIALS_FILE, Campaign, observed, without_a_line
from chaos.gate.comparing import Compared, compare
from chaos.gate.counted import Counted
from chaos.gate.decide import Decision, decide
from chaos.gate.policy import Searching
from chaos.gate.untested import off_luns
from chaos.preflight.opening import Opened
from chaos.reporting.listener import Silent
from chaos.reporting.progress.kept import KeptLines, alone
from chaos.reporting.recall import recall
from chaos.search.campaign import TRIALS_FOLDER as TRIED_FOLDER
from chaos.search.campaign import Budget
from chaos.search.command import Wanted as WantedOfSearch
from chaos.search.command import search_file
from chaos.search.results import TRIALS_FILE as TRIED_FILE
from chaos.search.tried import Tried
from chaos.trials import run_trials

SEARCHES_FOLDER: Final = "searches"


@dataclass(frozen=True)
class Wanted:
    """What is to be done.

    Attributes:
        seed: Of a new gate; None: a fresh one.
        jobs: Stack copies at once.
        against: The folder of an earlier gate, such as that of the last release.
        images: Of a new gate: by service, what it runs in place of its own image.
        again: Nothing is run: what the folder holds is judged again.
    """

    seed: int | None = None
    jobs: int = 1
    against: Path | None = None
    again: bool = False
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gated:
    """What a gate has come to.

    Attributes:
        trials: Every line, those of searches too.
        compared: Beside an earlier gate; none without one.
        off_luns: By stack the paths that are on no LUN.
        differing: Trials that are judged otherwise now, a line each.
    """

    folder: Path
    begun: Begun
    trials: Sequence[Counted]
    decision: Decision
    compared: tuple[Compared, ...]
    against: Path | None
    off_luns: Mapping[str, tuple[str, ...]]
    differing: tuple[str, ...] = ()


def gate(target: Path, wanted: Wanted, out: TextIO, *, quiet: bool) -> Gated:
    """Run a gate; `out` takes what is told meanwhile.

    Args:
        target: A policy; or the folder of a gate, which goes on.
        wanted: What is to be done.
        out: Where it is told.
        quiet: Tell nothing.

    Raises:
        UsageError: The policy cannot be run; or the folder holds no gate, one that was begun with something else, or
            one that another command runs just now.
        HarnessError: Anything but the service failed, several times; what was run until then is kept.
    """

    def say(line: str) -> None:
        if not quiet:
            out.write(f"{line}\n")
            out.flush()

    if (wanted.seed is not None or wanted.images) and target.is_dir():
        raise UsageError(f"{target} was begun with a seed and images of its own; leave --seed and --image out")
    if wanted.again and not target.is_dir():
        raise UsageError(f"{target} is no folder; --again judges what a gate has kept in a folder below {FOLDER}")
    earlier = _earlier(wanted.against) if wanted.against is not None else None
    if wanted.again:
        begun = read_begun(target)
        trials, differing = judged_again(target, all_trials(target, begun))
        return _gated(target, begun, trials, wanted.against, earlier, differing)
    stacks: Mapping[str, Opened]
    if target.is_dir():
        folder, (begun, stacks) = target, go_on(target)
    else:
        folder, begun, stacks = begin(target, wanted.seed, wanted.images)
    say(f"{begun.policy.name}: seed {begun.seed}, folder {folder}")
    with alone(folder / BEGUN_FILE, "gate"):
        _run(begun, stacks, folder, wanted.jobs, say, out, quiet=quiet)
    return _gated(folder, begun, all_trials(folder, begun), wanted.against, earlier)


def _run(
    begun: Begun,
    stacks: Mapping[str, Opened],
    folder: Path,
    jobs: int,
    say: Callable[[str], None],
    out: TextIO,
    *,
    quiet: bool,
) -> None:
    """Run all that is still to be run, searches last."""
    campaign = Campaign(
        begun.policy,
        stacks,
        folder,
        begun.seed,
        run_trials,
        jobs=jobs,
        tell=lambda line: say(f"  {told_line(line)}"),
        listeners=[_Warnings(say)],
    )
    campaign.run()
    for search in begun.policy.searches:
        if not campaign.is_over:
            _search(search, folder, begun.seed, jobs, campaign.seconds_left, out, quiet=quiet)
            if any(each.loses for each in searched(folder, search.name)):
                break


def told_line(line: Counted) -> str:
    """A trial in a line."""
    if line.part == "planted" and line.outcome != "crashed":
        what = f"planted loss {'seen' if line.seen else 'NOT SEEN'}" if line.planted else "no loss could be planted"
        what += f", and {line.beside}" if line.beside else ""
    else:
        what = f"{line.outcome}: {line.why}" if line.outcome != "HELD" else line.outcome
    return f"{line.name}, {line.experiment}: {what}"


def all_trials(folder: Path, begun: Begun) -> list[Counted]:
    """Every line of a gate, and those of its searches."""
    found = [*KeptLines(folder / TRIALS_FILE, Counted).read()]
    for search in begun.policy.searches:
        found += searched(folder, search.name)
    return found


def searched(folder: Path, name: str) -> list[Counted]:
    """What a search of a gate has tried."""
    place = _place(folder, name)
    if place is None:
        return []
    tried = KeptLines(place / TRIED_FILE, Tried).read()
    within = place.relative_to(folder)
    return [
        Counted(
            "search",
            name,
            each.number,
            0,
            each.outcome,
            each.why,
            str(within / TRIED_FOLDER / f"{each.number:04d}"),
            "; ".join(each.schedule),
            seconds=each.seconds,
        )
        for each in tried
    ]


def judged_again(folder: Path, lines: Sequence[Counted]) -> tuple[list[Counted], tuple[str, ...]]:
    """These trials judged again from their histories, without a stack; and those that come to something else now.

    Of a search only what it found has a history; of the rest its own line counts.

    Raises:
        UsageError: A run folder is not there, or has no line.
        HarnessError: A history cannot be judged.
    """
    if killed := without_a_line(folder, lines):
        raise UsageError(
            f"{killed[0]} was under way when the gate was killed, and is not counted yet; first let the gate go on: "
            f"holdfast gate {folder}"
        )
    found, differing = [], []
    for line in lines:
        if line.part == "search" or line.outcome == "crashed":
            found.append(line)
            continue
        try:
            again = observed(line.part, line.of, line.number, recall(folder / line.folder, catalogue()), folder)
        except HarnessError as error:
            raise HarnessError(f"{line.name}: {error}") from error
        if (again.outcome, again.seen, again.beside) != (line.outcome, line.seen, line.beside):
            differing.append(f"{told_line(line)}; judged again: {told_line(again)}")
        found.append(again)
    return found, tuple(differing)


def _gated(
    folder: Path,
    begun: Begun,
    trials: Sequence[Counted],
    against: Path | None,
    earlier: tuple[Begun, Sequence[Counted]] | None,
    differing: tuple[str, ...] = (),
) -> Gated:
    policy = begun.policy
    compared: tuple[Compared, ...] = ()
    worse: tuple[str, ...] = ()
    if earlier is not None:
        compared, worse = compare(policy, trials, (earlier[0].policy, earlier[1]))
    decision = decide(policy, trials, worse)
    paths = off_luns(begun.untested, policy, trials)
    return Gated(folder, begun, trials, decision, compared, against, paths, differing)


def _earlier(folder: Path) -> tuple[Begun, Sequence[Counted]]:
    begun = read_begun(folder)
    return begun, all_trials(folder, begun)


def _search(
    search: Searching, folder: Path, seed: int, jobs: int, seconds_left: float | None, out: TextIO, *, quiet: bool
) -> None:
    """Search, or go on with it; what it finds is left as it was found."""
    bounds = [each for each in (search.minutes and search.minutes * 60, seconds_left) if each is not None]
    budget = Budget(search.trials, min(bounds, default=None), fail_fast=True)
    into, images = folder / SEARCHES_FOLDER / search.name, search.experiment.images
    wanted = WantedOfSearch(budget, jobs, shrink=0, guided=search.guided, into=into, images=images)
    begun = _place(folder, search.name)
    search_file(begun or search.experiment.file, None if begun else seed, wanted, out, quiet=quiet)


def _place(folder: Path, name: str) -> Path | None:
    """The folder of a search of the gate; None: it has not begun."""
    return next((each for each in sorted((folder / SEARCHES_FOLDER / name).glob("*")) if each.is_dir()), None)


class _Warnings(Silent):
    """Tells what trials tell of themselves, each line once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: set[str] = set()

    def log(self, line: str) -> None:
        if line.startswith("warning") and line not in self._said:
            self._said.add(line)
            self._say(f"  {line}")

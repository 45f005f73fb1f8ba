"""The commands of many trials: `holdfast explore`, `holdfast audit`, `holdfast search` and `holdfast gate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from chaos.answering import Answer
from chaos.errors import EXIT_HELD

Seed = Annotated[
    int | None, typer.Option(min=0, help="Draw the plan from this number. Default: a fresh one, which is printed.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="One line for each trial or file, and errors; nothing else.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, the rest on stderr.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Use this many stack copies in parallel.")]


def explore(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An experiment; or the folder of an exploration, which then goes on.")
    ],
    points: Annotated[
        int, typer.Option(min=1, help="Check at most this many crash states: first the instants, then drawn subsets.")
    ] = 300,
    subsets: Annotated[
        int, typer.Option(min=0, help="At each instant also so many subsets of what is not flushed; the first is all.")
    ] = 2,
    representative: Annotated[
        bool,
        typer.Option("--representative", help="Check a few of the states that are alike."),
    ] = False,
    jobs: Jobs = 2,
    seed: Seed = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop after the first violation.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Answer:
    """Record one run, then cut the power at every instant of it and see that nothing acknowledged is gone."""
    from chaos.explore import telling
    from chaos.explore.command import Wanted, explore_file
    from chaos.reporting.logfile import logged_to_file
    from chaos.stack.cleanup.sweep import sweep

    sweep(all_=False)
    wanted = Wanted(points, subsets, jobs, representative=representative, fail_fast=fail_fast)
    with logged_to_file():
        result = explore_file(file, seed, wanted, sys.stderr if as_json else sys.stdout, quiet=quiet)
    return Answer(telling.exit_code(result), telling.document(result), "\n".join(telling.told(result)))


def audit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment; its faults are left out.")],
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Answer:
    """Record one run, and show where the copies of each record were and which losses would take all of them."""
    from chaos.audit import command
    from chaos.reporting.logfile import logged_to_file
    from chaos.stack.cleanup.sweep import sweep

    sweep(all_=False)
    with logged_to_file():
        result = command.audit_file(file, seed, sys.stderr if as_json else sys.stdout, quiet=quiet)
    return Answer(EXIT_HELD, command.document(result), "\n".join(command.told(result)))


def search(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An experiment; or the folder of a search, which then goes on.")
    ],
    trials: Annotated[
        int, typer.Option(min=1, help="Try at most this many schedules, those of earlier ones included.")
    ] = 50,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Draw nothing new after so many minutes; what was found is still made smaller."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="So many trials at once. Default: 2, or 1 for each worker."),
    ] = None,
    seed: Seed = None,
    shrink: Annotated[
        int, typer.Option(min=0, help="Make each finding smaller in at most so many executions; 0: leave it.")
    ] = 40,
    guided: Annotated[
        bool, typer.Option("--guided", help="First audit where the copies are, and try what would take all of them.")
    ] = False,
    uniform: Annotated[
        bool, typer.Option("--uniform", help="Draw everything with the same chance: what priors are measured against.")
    ] = False,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Run the trials on the workers of this Dask scheduler, as tcp://HOST:8786."
        ),
    ] = "",
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Try nothing new after the first violation.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Answer:
    """Draw fault schedules until one loses a record, then make it as small as it can be."""
    from chaos.reporting.logfile import logged_to_file
    from chaos.search import telling
    from chaos.search.campaign import Budget
    from chaos.search.command import Wanted, search_file
    from chaos.stack.cleanup.sweep import sweep

    if guided or not scheduler:  # else no engine is needed here
        sweep(all_=False)
    seconds = None if minutes is None else minutes * 60
    wanted = Wanted(Budget(trials, seconds, fail_fast), jobs, shrink, guided, uniform, scheduler)
    with logged_to_file():
        result = search_file(file, seed, wanted, sys.stderr if as_json else sys.stdout, quiet=quiet)
    return Answer(telling.exit_code(result), telling.document(result), "\n".join(telling.told(result)))


def gate(
    policy: Annotated[
        Path,
        typer.Argument(metavar="POLICY", help="A policy; or the folder of a gate, which then goes on."),
    ],
    jobs: Jobs = 2,
    seed: Seed = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The folder of an earlier gate, such as that of the last release."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVICE=REF", help="Run a service with this image, in every stack that has it."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Run nothing: judge again what the folder of a gate holds.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Answer:
    """Run what a policy names, and say GO or NO-GO by how far that bounds the probability of a loss."""
    from chaos.gate import telling
    from chaos.gate.command import Wanted
    from chaos.gate.command import gate as run_gate
    from chaos.gate.decide import EXIT_CODES
    from chaos.preflight.opening import images_by_service
    from chaos.reporting.logfile import logged_to_file
    from chaos.stack.cleanup.sweep import sweep

    if not again:
        sweep(all_=False)
    wanted = Wanted(seed, jobs, against, again, images_by_service(image or ()))
    with logged_to_file():
        result = run_gate(policy, wanted, sys.stderr if as_json else sys.stdout, quiet=quiet)
    telling.write(result)
    code = EXIT_CODES[result.decision.outcome]
    return Answer(code, telling.document(result), "\n".join(telling.told(result)))

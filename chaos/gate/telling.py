"""What a gate has come to: in lines for people, as a document, and as one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from chaos.experiment.plan import Verdict
from chaos.gate.command import Gated, told_line
from chaos.gate.counted import Bound
from chaos.gate.decide import EXIT_CODES, Outcome
from chaos.reporting.page.page import environment
from chaos.reporting.result import REPORT_FILE, RESULT_FILE, Document, dumps, jsonable
from chaos.reporting.words import at_least, at_most, counted, date, plain, share

LIKE: Final[Mapping[Outcome, Verdict]] = {"GO": "HELD", "NO-GO": "VIOLATED", "NO DECISION": "INCONCLUSIVE"}
_THIRTY: Final = "Thirty clean trials bound a loss at 9.5 % at 95 % and no better."
_LOSSES_SHOWN: Final = 20


@dataclass(frozen=True)
class _Loss:
    """A trial that lost something, with its page as seen from that of the gate."""

    told: str
    page: str


def told(gated: Gated) -> list[str]:
    """The result in lines."""
    decision, policy = gated.decision, gated.begun.policy
    lines = [f"{decision.outcome}: {policy.name}", *(f"  {reason}" for reason in decision.reasons), ""]
    lines += [f"  {_bound(each)}" for each in decision.bounds]
    lines += [
        f"  stack {each.stack}: {each.seen:,} of {each.planted:,} planted losses seen: a loss is seen with at least "
        f"{at_least(each.limit)}"
        for each in decision.stacks
    ]
    lines += ["", *(f"  {line}" for line in claims(gated)), f"  {_THIRTY}", ""]
    lines += [f"  not tested: {each}" for each in not_tested(gated)]
    lines += [f"  beside {gated.against}: {each}" for each in _comparisons(gated)]
    lines += [f"  judged otherwise now: {each}" for each in gated.differing]
    return [*lines, f"seed {gated.begun.seed}, page {gated.folder / REPORT_FILE}"]


def claims(gated: Gated) -> list[str]:
    """What the bounds say, and what they do not."""
    policy = gated.begun.policy
    sure, unsure = share(policy.confidence), share(policy.inconclusive_share_max)
    return [
        f"Each bound holds with a confidence of {sure}: per trial, per stratum, under our sampling.",
        "Each bound is divided by how surely a planted loss is seen.",
        f"Up to {unsure} of the trials of a stratum may be inconclusive, and a loss could hide in them.",
    ]


def not_tested(gated: Gated) -> list[str]:
    """What no trial could show, one line each."""
    known = gated.begun.untested
    lines = [f"{fault}: this host lacks {', '.join(missing)}" for fault, missing in known.lacking.items()]
    unasked = [each for each in known.unasked if each not in known.lacking]
    if unasked:
        lines.append(f"no experiment or search of the policy has {', '.join(unasked)}")
    for stack, paths in gated.off_luns.items():
        lines += [f"{stack}: {', '.join(paths)}: on no LUN, so its loss would not be noticed"] if paths else []
    for stack, warnings in known.warnings.items():
        lines += [f"{stack}: {each}" for each in warnings]
    return lines


def document(gated: Gated) -> Document:
    """The result as one document."""
    decision, begun = gated.decision, gated.begun
    return {
        "verdict": None,
        "decision": decision.outcome,
        "reason": decision.reasons[0],
        "reasons": list(decision.reasons),
        "exit_code": EXIT_CODES[decision.outcome],
        "policy": begun.policy.name,
        "confidence": begun.policy.confidence,
        "strata": {
            each.stratum.name: {
                "stack": each.stratum.stack,
                "clean": each.clean,
                "violated": each.violated,
                "inconclusive": each.inconclusive,
                "loss_probability_bound": each.limit,
                "loss_probability_bound_if_all_seen": each.unweighted,
                "loss_probability_max": each.stratum.loss_probability_max,
                "trials_needed": each.needed,
                "reached": each.is_reached,
            }
            for each in decision.bounds
        },
        "sensitivity": jsonable({each.stack: each for each in decision.stacks}),
        "not_tested": list(not_tested(gated)),
        "images": jsonable(images(gated)),
        "against": None if gated.against is None else str(gated.against),
        "compared": jsonable(gated.compared),
        "differing": list(gated.differing),
        "trials": len(gated.trials),
        "seed": begun.seed,
        "begun": begun.at.isoformat(),
        "folder": str(gated.folder),
    }


def images(gated: Gated) -> dict[str, str]:
    """The digest of each image that ran, by "stack/service" or what else it ran for."""
    policy = gated.begun.policy
    return {
        f"{policy.stack_of(each.part, each.of) or each.of}/{service}": digest
        for each in gated.trials
        for service, digest in each.images.items()
    }


def page(gated: Gated) -> str:
    """The result as one self-contained page."""
    decision, begun = gated.decision, gated.begun
    losses = [_Loss(told_line(each), f"{each.folder}/{REPORT_FILE}") for each in gated.trials if each.loses]
    return (
        environment()
        .get_template("gate.html")
        .render(
            outcome=decision.outcome,
            like=LIKE[decision.outcome],
            name=begun.policy.name,
            why=" ".join(begun.policy.why.split()),
            reasons=decision.reasons,
            date=date(begun.at),
            seed=begun.seed,
            folder=gated.folder,
            trials=counted(len(gated.trials), "trial"),
            thirty=_THIRTY,
            claims=claims(gated),
            confidence=share(begun.policy.confidence),
            bounds=decision.bounds,
            stacks=decision.stacks,
            losses=losses[:_LOSSES_SHOWN],
            not_tested=not_tested(gated),
            images=images(gated),
            against=gated.against,
            compared=gated.compared,
            differing=gated.differing,
            share=lambda value: "none" if value is None else share(value),
            at_most=lambda value: "none" if value is None else at_most(value),
            at_least=at_least,
            seconds_of=lambda value: "" if value is None else f"{plain(round(value, 1))} s",
        )
    )


def write(gated: Gated) -> None:
    """Keep the document and the page in the folder of the gate, each whole or not at all."""
    for name, text in ((RESULT_FILE, dumps(document(gated)) + "\n"), (REPORT_FILE, page(gated))):
        part = gated.folder / f".{name}.part"
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(gated.folder / name)


def _bound(bound: Bound) -> str:
    stratum = bound.stratum
    told_trials = f"{bound.clean} clean, {bound.inconclusive} inconclusive, {bound.violated} violated"
    limit = "no bound" if bound.limit is None else f"a loss at most {at_most(bound.limit)}"
    return f"{stratum.name}: {told_trials}: {limit}, {share(stratum.loss_probability_max)} wanted"


def _comparisons(gated: Gated) -> Iterator[str]:
    for each in gated.compared:
        if each.before is None:
            yield f"{each.stratum} is new"
            continue
        for what, words, before, now in (
            ("a loss at most", at_most, each.before.limit, each.now.limit),
            ("unknown operations", share, each.before.indeterminate_share, each.now.indeterminate_share),
        ):
            if before is not None and now is not None:
                yield f"{each.stratum}: {what} {words(now)}, {words(before)} before"
        if each.before.recover_seconds is not None and each.now.recover_seconds is not None:
            now_seconds, before_seconds = each.now.recover_seconds, each.before.recover_seconds
            yield (
                f"{each.stratum}: recovery {plain(round(now_seconds, 1))} s, {plain(round(before_seconds, 1))} s before"
            )

"""The result of a trial, and its JSON document: `--json` prints it, `result.json` keeps it."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chaos.errors import EXIT_HELD, EXIT_INCONCLUSIVE, EXIT_VIOLATED
from chaos.experiment.plan import Plan, Verdict
from chaos.reporting.causes import NONE, Causes

if TYPE_CHECKING:  # the check is heavy, and a document of an error needs none
    from chaos.checks.verdict import Judgement
    from chaos.reporting.page.outage import Outage

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Document = Mapping[str, Json]

Report = Literal["html", "junit", "allure", "summary"]
"""What `holdfast check` can make again from a run folder."""
EXIT_CODES: Mapping[Verdict, int] = {
    "HELD": EXIT_HELD,
    "VIOLATED": EXIT_VIOLATED,
    "INCONCLUSIVE": EXIT_INCONCLUSIVE,
}
WORST_FIRST: tuple[Verdict, ...] = ("VIOLATED", "INCONCLUSIVE", "HELD")
_NUMBERED = re.compile(r"(\d{8}-\d{6}-\d+-[0-9a-f]{4})-(\d{2,})")
RECORDS_MAX = 20
"""So many life stories are in the document; the page has more of them."""
RESULT_FILE = "result.json"
PLAN_FILE = "plan.yaml"
HISTORY_FILE = "history.jsonl"
REPORT_FILE = "report.html"
LOGS_FOLDER = "logs"
"""Of a run folder: what each service said."""
ERROR_FILE = "error.json"
"""Why a trial broke off, as an `error_document`; a folder has this or `result.json`."""


@dataclass(frozen=True)
class FaultOutcome:
    """What became of one fault of the schedule.

    Attributes:
        injected_at: Seconds after the load began; None: its trigger never came.
        healed_at: Likewise; None: it was never injected, or lasted for good.
        bit: Whether it did what this fault must do to count.
        evidence: What the injector counted, by name.
        why: Why it did not bite, or was missed.
    """

    name: str
    target: str
    injected_at: float | None
    healed_at: float | None
    bit: bool
    evidence: Mapping[str, int | float | str]
    why: str = ""


@dataclass(frozen=True)
class TrialResult:
    """A finished trial.

    Attributes:
        run_dir: Where everything of it is kept.
        judgement: The check's; None where the trial ended before there was something to judge.
        phases: Seconds by name, in the order of the trial.
        not_covered: What a trial could lose without this verdict noticing, such as "gateway:/var/cache/app".
        images: Digest by service.
        outage: The longest time without an acknowledgement, where it was a long one.
        causes: Why attempts failed or stayed unknown.
        kept_by: What would have kept what was lost, as a sentence; empty where no rerun has shown it.
        begun: When the trial began, in UTC; None where its history does not tell it.
        versions: Of what it ran on, by name: "Holdfast", the engine, "Linux", "host"; and its "commit".
    """

    plan: Plan
    run_dir: Path
    judgement: Judgement | None
    verdict: Verdict
    reason: str
    phases: Mapping[str, float]
    faults: tuple[FaultOutcome, ...]
    not_covered: tuple[str, ...]
    images: Mapping[str, str]
    outage: Outage | None = None
    causes: Causes = NONE
    kept_by: str = ""
    begun: datetime | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the experiment names."""
        return self.verdict == self.plan.expect

    @property
    def again(self) -> str:
        """The command that runs this very trial again."""
        return again(self.run_dir)


@dataclass(frozen=True)
class Broken:
    """A trial that broke off without a verdict."""

    plan: Plan
    run_dir: Path
    reason: str


def again(run_dir: Path) -> str:
    """The command that runs the trial of a run folder again."""
    return f"holdfast run {run_dir / PLAN_FILE}"


def overview_path(run_dir: Path) -> Path | None:
    """The page over all trials of a run, beside their folders `<id>-01`, `<id>-02` ...; None for a trial alone."""
    numbered = _NUMBERED.fullmatch(run_dir.name)
    return run_dir.with_name(f"{numbered[1]}.html") if numbered else None


def number_in_run(trial: TrialResult | Broken) -> int:
    """Which trial of its experiment it is within its run, from 1: the same in a run and from the run folders later.

    What compares one run with the next, as JUnit's names and Allure's history do, knows a trial by this, since its seed
    is another one each time.
    """
    own = _NUMBERED.fullmatch(trial.run_dir.name)
    if own is None:
        return 1
    beside = [(_NUMBERED.fullmatch(each.name), each) for each in trial.run_dir.parent.glob(f"{own[1]}-*")]
    earlier = [folder for found, folder in beside if found is not None and int(found[2]) < int(own[2])]
    return 1 + [_plans_name(each) for each in earlier].count(_plans_name(trial.run_dir))


def _plans_name(run_dir: Path) -> str:
    """The first line of a run folder's plan, which has the experiment's name."""
    try:
        with (run_dir / PLAN_FILE).open(encoding="utf-8") as file:
            return file.readline()
    except OSError:
        return ""


def worst(results: Sequence[TrialResult]) -> TrialResult:
    """The first result with the worst verdict: VIOLATED before INCONCLUSIVE before HELD."""
    return min(results, key=lambda result: WORST_FIRST.index(result.verdict))


def to_document(result: TrialResult) -> Document:
    """One trial as JSON-able data; `reports/README.md` lists the members."""
    judgement = result.judgement
    judged: dict[str, Json] = {
        "operations": dict.fromkeys(("ok", "fail", "info", "degraded"), 0),
        "anomalies": {},
        "reported": {},
        "canaries": {"planted": 0, "reported": 0},
        "covered": {"covered": 0, "coverable": 0},
        "mix": {},
        "reasons": [result.reason],
        "records": [],
        "records_total": 0,
        "owners_total": 0,
    }
    if judgement is not None:
        judged["operations"] = dict(judgement.operations)
        judged["anomalies"] = dict(judgement.anomalies)
        judged["reported"] = dict(judgement.reported)
        judged["canaries"] = {
            "planted": judgement.canaries_planted,
            "reported": judgement.canaries_reported,
        }
        judged["covered"] = {"covered": judgement.covered, "coverable": judgement.coverable}
        judged["mix"] = jsonable(judgement.mix)
        judged["reasons"] = list(judgement.reasons)
        judged["records"] = jsonable(judgement.records[:RECORDS_MAX])
        judged["records_total"] = judgement.records_total
        judged["owners_total"] = judgement.owners_total
    return {
        "verdict": result.verdict,
        "reason": result.reason,
        "experiment": result.plan.experiment,
        "seed": result.plan.seed,
        "expect": result.plan.expect,
        "run_dir": str(result.run_dir),
        "again": result.again,
        **judged,
        "faults": [jsonable(fault) for fault in result.faults],
        "outage": _outage(result.outage),
        "causes": jsonable(result.causes.listed),
        "causes_further": result.causes.further,
        "not_covered": list(result.not_covered),
        "phases": {name: round(seconds, 3) for name, seconds in result.phases.items()},
        "images": dict(result.images),
        "begun": None if result.begun is None else result.begun.isoformat(),
        "versions": dict(result.versions),
    }


def _outage(outage: Outage | None) -> Json:
    if outage is None:
        return None
    return {"begun": outage.begun / 1e9, "ended": None if outage.ended is None else outage.ended / 1e9}


def to_documents(results: Sequence[TrialResult], not_run: Sequence[Plan] = (), *, by_file: bool = False) -> Document:
    """Several trials as one document: the members of the worst, all of them under `trials`, and what was not run.

    With `by_file` each trial has its `file`, as the user named it.
    """
    left_out = [{**_file(plan, by_file), "experiment": plan.experiment, "seed": plan.seed} for plan in not_run]
    return {**_document(worst(results), by_file), "trials": _trials(results, by_file), "not_run": left_out}


def _trials(results: Sequence[TrialResult], by_file: bool) -> Sequence[Json]:
    return [_document(result, by_file) for result in results]


def _document(result: TrialResult, by_file: bool) -> Document:
    return {**_file(result.plan, by_file), **to_document(result)}


def _file(plan: Plan, by_file: bool) -> Document:
    return {"file": str(plan.file)} if by_file else {}


def error_document(
    reason: str,
    exit_code: int,
    *,
    seed: int | None = None,
    run_dir: Path | None = None,
    results: Sequence[TrialResult] = (),
    by_file: bool = False,
) -> Document:
    """The document of a command that has no verdict; `trials` lists those that were finished before."""
    return {
        "verdict": None,
        "reason": reason,
        "exit_code": exit_code,
        "seed": seed,
        "run_dir": None if run_dir is None else str(run_dir),
        "trials": _trials(results, by_file),
    }


def write_result(result: TrialResult) -> Path:
    """Keep the document as `result.json` of the run folder; whole or not at all."""
    path = result.run_dir / RESULT_FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(dumps(to_document(result)) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def dumps(document: Document) -> str:
    """A document as text."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def jsonable(value: object) -> Json:
    """Frozen dataclasses, mappings, sequences and paths as JSON-able data.

    Raises:
        TypeError: For any other object, rather than to print its repr into a document.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON knows neither NaN nor infinity
    if value is None or isinstance(value, bool | int | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): jsonable(member) for name, member in value.items()}
    if isinstance(value, set | frozenset):
        return [jsonable(member) for member in sorted(value)]
    if isinstance(value, Sequence):
        return [jsonable(member) for member in value]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a JSON document")

"""The shape of a policy file, strict, with bounds on every number."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from chaos.experiment.schema import Name, Strict

PLANTED_MIN: Final = 30
"""Losses that are planted on each stack at least: fewer would say too little of the sensitivity."""

Probability = Annotated[float, Field(gt=0, lt=1)]
Minutes = Annotated[float, Field(gt=0, le=100_000)]
File = Annotated[str, Field(min_length=1, max_length=4096)]
Count = Annotated[int, Field(ge=1, le=100_000)]


Variables = dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


Files = Annotated[
    list[File],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class StratumModel(Strict):
    """Experiments of one stack whose trials are counted together."""

    experiments: Annotated[Files, Field(min_length=1, max_length=100)]
    stack: Annotated[Files, Field(min_length=1, max_length=10)] | None = None
    trials: Count
    variables: Variables | None = None
    require_mix: bool | None = None
    loss_probability_max: Probability | None = None


class CounterexamplesModel(Strict):
    """Counterexamples that are asked of another stack than the one that they were found on."""

    files: Annotated[Files, Field(min_length=1, max_length=100)]
    stack: Annotated[Files, Field(min_length=1, max_length=10)]
    variables: Variables | None = None


Counterexamples = Annotated[list[File | CounterexamplesModel], BeforeValidator(_listed), Field(max_length=100)]


class SearchModel(Strict):
    """A search that must find nothing."""

    experiment: File
    trials: Count
    minutes: Minutes | None = None
    guided: bool = False


class SensitivityModel(Strict):
    """How many losses are planted on each stack."""

    trials: Annotated[int, Field(ge=PLANTED_MIN, le=10_000)] = PLANTED_MIN


class RegressionModel(Strict):
    """What, in comparison with an earlier gate, is a NO-GO."""

    recover_seconds_factor_max: Annotated[float, Field(ge=1, le=1000)] | None = None
    indeterminate_share_more_max: Annotated[float, Field(ge=0, le=1)] | None = None
    loss_bound_factor_max: Annotated[float, Field(ge=1, le=1000)] | None = None


class PolicyModel(Strict):
    """A policy file."""

    policy: Name
    why: Annotated[str, Field(max_length=4000)] = ""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    loss_probability_max: Probability
    test: Literal["exact", "sequential"] = "exact"
    inconclusive_share_max: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    minutes: Minutes | None = None
    counterexamples: Counterexamples | None = None
    strata: Annotated[dict[Name, StratumModel], Field(min_length=1, max_length=100)]
    searches: dict[Name, SearchModel] = Field(default_factory=dict, max_length=100)
    sensitivity: SensitivityModel = SensitivityModel()
    regression: RegressionModel = RegressionModel()

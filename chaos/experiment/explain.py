"""Turns pydantic's errors into problems with their place, the value seen and a guess at what was meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Never

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from chaos.errors import Problem
from chaos.experiment.source import Loc, Node, Scalar, did_you_mean, find, key_place

SHOWN_MAX = 60

JsonSchema = Mapping[str, Any]  # as pydantic makes it; never leaves this module


def fail(message: str, hint: str = "") -> Never:
    """Refuse a value from inside a validator, in our own words."""
    raise PydanticCustomError("refused", "{message}", {"message": message, "hint": hint})


def shown(node: Node) -> str:
    """A value as an error shows it: as written, cut short."""
    if not isinstance(node, Scalar):
        return "a list" if hasattr(node, "items") else "a mapping"
    if node.text is None:
        return "nothing"
    return repr(node.text if len(node.text) <= SHOWN_MAX else node.text[:SHOWN_MAX] + "...")


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    root: Node,
    *,
    secret: Callable[[Loc], bool] = lambda _: False,
    also_known: Callable[[Loc], Sequence[str]] = lambda _: (),
) -> list[Problem]:
    """Every error as a problem at its place.

    Args:
        error: From `model.model_validate`.
        model: The model, whose known keys make the guesses.
        root: The tree that was validated.
        secret: Whether the value at a loc must not be shown.
        also_known: For the loc of a mapping: further keys that may have been meant by one that is unknown.
    """
    schema = _schema(model)
    found = [_problem(one, schema, root, secret, also_known) for one in error.errors(include_url=False)]
    return sorted(set(found), key=lambda problem: (problem.path, problem.line, problem.column))


@cache
def _schema(model: type[BaseModel]) -> JsonSchema:
    return model.model_json_schema()


def _problem(
    one: ErrorDetails,
    schema: JsonSchema,
    root: Node,
    secret: Callable[[Loc], bool],
    also_known: Callable[[Loc], Sequence[str]],
) -> Problem:
    loc: Loc = tuple(one["loc"])
    if one["type"] == "extra_forbidden":
        place = key_place(root, loc)
        known = [*_known(schema, loc[:-1]), *also_known(loc[:-1])]
        return place.problem(f"unknown key {str(loc[-1])!r}", did_you_mean(str(loc[-1]), known))
    node, place = find(root, loc)
    context = one.get("ctx", {})
    if one["type"] == "refused":
        return place.problem(str(context["message"]), str(context["hint"]))
    if one["type"] == "missing":
        owner = loc[:-1]
        place = key_place(root, owner) if owner and isinstance(owner[-1], str) else place
        return place.problem(f"the key {str(loc[-1])!r} is missing here", "add it")
    if one["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return place.problem(f"{_name(loc)} should be a mapping{_seen(node, loc, secret)}", _keys(schema, loc))
    says = re.sub(r"^(Input|String|List|Tuple|Dictionary|Value error,) ", "", one["msg"])
    hint = ""
    if one["type"] == "literal_error" and isinstance(node, Scalar) and node.text:
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        hint = did_you_mean(node.text, choices)
    return place.problem(f"{_name(loc)} {_humane(says)}{_seen(node, loc, secret)}", hint)


def _humane(says: str) -> str:
    for theirs, ours in (
        ("a valid integer", "a whole number"),
        ("a valid number", "a number"),
        ("a valid string", "text"),
        ("a valid list", "a list"),
        ("a valid boolean", "true or false"),
    ):
        says = says.replace(theirs, ours)
    return says


def _seen(node: Node, loc: Loc, secret: Callable[[Loc], bool]) -> str:
    return "" if secret(loc) else f", not {shown(node)}"


def _name(loc: Loc) -> str:
    names = [str(step) for step in loc if isinstance(step, str)]
    return names[-1] if names else "the file"


def _keys(schema: JsonSchema, loc: Loc) -> str:
    known = _known(schema, loc)
    return f"known keys: {', '.join(known)}" if known else ""


def _known(schema: JsonSchema, loc: Sequence[str | int]) -> list[str]:
    """The keys that the model knows at `loc`, read off its JSON Schema."""
    here = _resolve(schema, schema)
    for step in loc:
        if isinstance(step, int):
            inner = here.get("items")
        else:
            inner = here.get("properties", {}).get(step, here.get("additionalProperties"))
            if not isinstance(inner, Mapping):  # of a dict whose names have a pattern
                inner = next(iter(here.get("patternProperties", {}).values()), None)
        if not isinstance(inner, Mapping):
            return []
        here = _resolve(schema, inner)
    return list(here.get("properties", {}))


def _resolve(schema: JsonSchema, part: JsonSchema) -> JsonSchema:
    while True:
        if "$ref" in part:
            part = schema["$defs"][str(part["$ref"]).rsplit("/", 1)[-1]]
        elif "anyOf" in part:
            part = next((one for one in part["anyOf"] if one.get("type") != "null"), {})
        else:
            return part

"""The user's own Compose files read into a `Stack`.

    read -> interpolate -> canonical form -> merge -> model -> cross-checks -> Stack -> local disks

Every step but the last two works on the tree of nodes, so that each problem has its file, line and column.
Lines that errors show have the values of `environment`, `build.args` and of unknown keys struck out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

from pydantic import ValidationError

from chaos.errors import Problem, SourceError, UsageError
from chaos.experiment.explain import problems_of
from chaos.experiment.source import (
    PROBLEMS_MAX,
    Document,
    Items,
    Loc,
    Node,
    Plain,
    Table,
    did_you_mean,
    leaves,
    read,
)
from chaos.stack.compose_canonical import canonical, text_of
from chaos.stack.compose_checks import Checked, cross_check
from chaos.stack.compose_dotenv import read_env_file
from chaos.stack.compose_interpolate import Lookup, interpolate
from chaos.stack.compose_make import make_stack
from chaos.stack.compose_merge import merge
from chaos.stack.compose_refused import unsupported
from chaos.stack.compose_schema import ComposeModel
from chaos.stack.inputs.sources import Folder, Sources
from chaos.stack.local import on_local_disks
from chaos.stack.spec import Stack

SECRET_LENGTH_MIN = 4
"""Of values that are struck out wherever they occur: shorter ones are no secrets, and would garble messages."""

_SECRET = frozenset({"environment", "args"})


def load_stack(
    files: Sequence[Path],
    variables: Mapping[str, str],
    profiles: Sequence[str],
    environment: Mapping[str, str],
    sources: Sources | None = None,
) -> Stack:
    """Load Compose files into a stack.

    Args:
        files: The first one's folder is what relative paths are relative to; later ones are laid over it.
        variables: For `${NAME}`, before `environment`, before a `.env` beside the first file.
        profiles: That are switched on.
        environment: The process environment.
        sources: Finds the files, and learns what was read.

    Raises:
        SourceError: With every problem of the files, none showing a value of an environment.
        UsageError: No file, or a profile that no service has.
    """
    if not files:
        raise UsageError("a stack needs at least one Compose file")
    sources = sources or Sources()
    folder = Folder(sources.name(files[0].parent.resolve()), sources)
    lookup = Lookup(variables, environment, _dotenv(folder))
    documents = [read(file, quote=False) for file in files]
    problems: list[Problem] = []
    trees = [canonical(interpolate(one.root, lookup, problems), problems) for one in documents]
    root = reduce(merge, trees)
    if problems:
        raise _error(problems, documents, lookup)
    model = _validated(root, documents, lookup)
    active = _active(model, profiles)
    if problems := cross_check(Checked(model, root, active, folder)):
        raise _error(problems, documents, lookup)
    stack = make_stack(model, active, files[0], folder, lookup)
    sources.variables |= {name: lookup.used.get(name) for name, given in lookup.asked.items() if given is not variables}
    return on_local_disks(stack)


def _dotenv(folder: Folder) -> dict[str, str]:
    file = folder.below(".env")
    found = read_env_file(file) if file.is_file() else {}
    return {name: value for name, value in found.items() if value is not None}


def _validated(root: Node, documents: Sequence[Document], lookup: Lookup) -> ComposeModel:
    try:
        return ComposeModel.model_validate(_texts(root))
    except ValidationError as error:
        problems = problems_of(error, ComposeModel, root, secret=_is_secret, unsupported=unsupported)
        unknown = [tuple(one["loc"]) for one in error.errors() if one["type"] == "extra_forbidden"]
        raise _error(problems, documents, lookup, unknown) from None


def _texts(node: Node) -> Plain:
    """The tree as Compose reads it: every leaf a text, or None for null."""
    if isinstance(node, Items):
        return [_texts(item) for item in node.items]
    if isinstance(node, Table):
        return {key: _texts(item) for key, (_, item) in node.entries.items()}
    return text_of(node)


def _active(model: ComposeModel, profiles: Sequence[str]) -> list[str]:
    known = {profile for service in model.services.values() for profile in service.profiles}
    for profile in profiles:
        if profile not in known:
            raise UsageError(f"no service has the profile {profile!r}; {did_you_mean(profile, known)}")
    return [
        name
        for name, service in model.services.items()
        if not service.profiles or set(service.profiles) & set(profiles)
    ]


def _is_secret(loc: Loc) -> bool:
    return not _SECRET.isdisjoint(loc)


def _error(
    problems: Sequence[Problem], documents: Sequence[Document], lookup: Lookup, unknown: Sequence[Loc] = ()
) -> SourceError:
    as_written = {_as_written(one, lookup) for one in problems}
    ordered = sorted(as_written, key=lambda one: (one.path, one.line, one.column))[:PROBLEMS_MAX]
    return SourceError(ordered, {one.path: _struck_out(one, unknown) for one in documents})


def _as_written(problem: Problem, lookup: Lookup) -> Problem:
    """The problem with `${NAME}` for every value that came from a variable, which may be a secret."""
    message, hint = problem.message, problem.hint
    for name, value in lookup.used.items():
        if len(value) >= SECRET_LENGTH_MIN:
            message, hint = (text.replace(value, f"${{{name}}}") for text in (message, hint))
    return replace(problem, message=message, hint=hint)


def _struck_out(document: Document, unknown: Sequence[Loc]) -> str:
    """The text with secret values as stars, line breaks and columns kept."""
    text = list(document.text)
    for loc, leaf in leaves(document.root):
        extension = any(isinstance(step, str) and step.startswith("x-") and step != "x-chaos" for step in loc)
        if not (extension or _is_secret(loc) or any(loc[: len(above)] == above for above in unknown)):
            continue
        start, end = leaf.span
        if isinstance(loc[-1], int) and "=" in document.text[start:end]:  # an item NAME=value keeps its name
            start = document.text.index("=", start) + 1
        text[start:end] = re.sub(r"[^\s]", "*", document.text[start:end])
    return "".join(text)

"""The user's own Compose files read into a `Stack`.

    read -> interpolate -> canonical form -> include, extends -> merge -> sift -> model -> cross-checks -> Stack

Every step but the last two works on the tree of nodes, so that each problem has its file, line and column. A step
goes on without what is wrong, so that all problems are told at once. Lines that errors show have the values of
`environment`, `build.args` and of unknown keys struck out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from chaos.errors import Problem, SourceError, UsageError
from chaos.experiment.driver_form import placed
from chaos.experiment.explain import problems_of
from chaos.experiment.source import (
    Document,
    Items,
    Loc,
    Node,
    Place,
    Plain,
    Scalar,
    Table,
    Unquoted,
    cut,
    did_you_mean,
    leaves,
    read_compose,
)
from chaos.stack.compose.checked import Checked
from chaos.stack.compose.checks import cross_check
from chaos.stack.compose.make import make_stack, ports_notes
from chaos.stack.compose.mounts import mounts_notes
from chaos.stack.compose.reading.canonical import text_of
from chaos.stack.compose.reading.dotenv import read_env_file
from chaos.stack.compose.reading.gather import Gathered
from chaos.stack.compose.reading.interpolate import Lookup, WrongError, expand
from chaos.stack.compose.reading.replicas import replicas_of, replicated, without_replica
from chaos.stack.compose.reading.tree import each_service, table_at, with_images
from chaos.stack.compose.refused import NAMESPACES, OF_A_SERVICE, known_keys, sift
from chaos.stack.compose.schema import ComposeModel
from chaos.stack.durability.switched_off import durability_notes
from chaos.stack.inputs.sources import Folder, Sources
from chaos.stack.local import on_local_disks
from chaos.stack.spec import Stack

SECRET_LENGTH_MIN = 4
"""Of values that are struck out wherever they occur: shorter ones are no secrets, and would garble messages."""

_SECRET = frozenset({"environment", "args", "content"})
_UNKNOWN = "extra_forbidden"
_ROUNDS_MAX = 20


def load_stack(
    files: Sequence[Path],
    variables: Mapping[str, str],
    profiles: Sequence[str],
    environment: Mapping[str, str],
    sources: Sources | None = None,
    images: Mapping[str, str] | None = None,
    *,
    needs_door: bool = True,
) -> Stack:
    """Load Compose files into a stack.

    Args:
        files: The first one's folder is what relative paths are relative to; later ones are laid over it.
        variables: For `${NAME}`, before `environment`, before a `.env` beside the first file.
        profiles: That are switched on, besides those of COMPOSE_PROFILES.
        environment: The process environment.
        sources: Finds the files, and learns what was read.
        images: By service, what it runs in place of its own image.
        needs_door: Whether `x-chaos` has to name the front door; without, a stack may have none (`NO_DOOR`).

    Raises:
        SourceError: With every problem of the files, none showing a value of an environment.
        UsageError: No file, or a profile that no service has, or an image for a service that is not there.
    """
    if not files:
        raise UsageError("a stack needs at least one Compose file")
    sources = sources or Sources()
    folder = Folder(sources.name(files[0].parent.resolve()), sources)
    file = folder.below(".env")
    outside = Lookup(variables, environment)
    lookup = outside.below(read_env_file(file, outside.get, miss=outside.miss) if file.is_file() else {})
    name = _name(files, folder.name, lookup)
    gathered, internal = Gathered(), {"COMPOSE_PROJECT_NAME": name}
    lookup = lookup.below(internal)
    root = with_images(gathered.tree(files, folder, lookup), images or {})
    names = replicas_of(root)
    root = replicated(_implied(root), names)
    idle, active = without_replica(root), _active(root, profiles, lookup)
    sifted = sift(root, active)
    model, wrong, shapes = _validated(sifted.root)
    problems = [*gathered.problems, *sifted.problems, *shapes]
    if model is not None:
        problems += cross_check(Checked(model, sifted.root, active, folder, lookup, wrong, idle, needs_door))
    if problems or model is None:
        raise _error(problems, gathered.documents, lookup, {loc[-1] for loc, kind in wrong.items() if kind == _UNKNOWN})
    several = [f"{one} runs as {', '.join(each)}; phones knock at the first" for one, each in names.items()]
    several += [f"{one} has no replica, so it does not run" for one in idle]
    notes = [*sifted.notes, *several, *ports_notes(model, active), *mounts_notes(model, active, folder)]
    made = make_stack(model, active, files[0], folder, lookup, name, notes)
    unset = tuple(_unset(*each) for each in lookup.unset.items())
    made = replace(made, unset=unset, driver=placed(made.driver, sifted.root, ("x-chaos", "driver")))
    stack = on_local_disks(replace(made, unsafe=tuple(durability_notes(made, sifted.root))))
    foreign = [one for one, given in lookup.asked.items() if given is not variables and given is not internal]
    sources.variables |= {one: lookup.used.get(one) for one in foreign}
    copies = {
        store: tuple(dict.fromkeys(stack.lun_named(volume) or volume for volume in volumes))
        for store, volumes in stack.copies.items()
    }
    return replace(stack, copies=copies)


def _unset(name: str, place: Place) -> str:
    return (
        f"{place.path}:{place.line}: the variable {name} is not set, so a blank text stands in its place, as under "
        f"Compose; set it in the environment, in .env or under `variables:`, or write ${{{name}:-}} if that is meant"
    )


def _name(files: Sequence[Path], folder: Path, lookup: Lookup) -> str:
    """What Compose calls the project: COMPOSE_PROJECT_NAME, else the last `name`, else the folder's."""
    given = lookup.get("COMPOSE_PROJECT_NAME") or ""
    for root in (one.root for file in files for one in read_compose(file)) if not given else ():
        text = text_of(root.entries["name"][1]) if isinstance(root, Table) and "name" in root.entries else None
        try:
            given = expand(text or "", lookup.get) or given
        except WrongError:
            continue  # told when the whole file is read
    return _normalised(given) or _normalised(folder.name) or "stack"


def _normalised(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", name.lower()).lstrip("_-")


def _implied(root: Node) -> Node:
    """The tree with what Compose makes of links, volumes_from and namespaces of others: services to start before."""

    def service(_: str, node: Table) -> Node:
        place, given = node.entries.get("depends_on", (node.place, Table(node.place, {})))
        if not isinstance(given, Table):
            return node
        entries = dict(given.entries)
        for key in ("links", "volumes_from"):
            listed = node.entries[key][1] if key in node.entries else None
            for item in listed.items if isinstance(listed, Items) else ():
                other = (text_of(item) or "").partition(":")[0]
                entries.setdefault(other, (item.place, _started(item)))
        for key in NAMESPACES:
            shared = entry[1] if (entry := node.entries.get(key)) else None
            other = (shared and text_of(shared)) or ""
            if shared and other.startswith(OF_A_SERVICE):
                entries.setdefault(other.removeprefix(OF_A_SERVICE), (shared.place, _started(shared)))
        return replace(node, entries={**node.entries, "depends_on": (place, replace(given, entries=entries))})

    return each_service(root, service)


def _started(node: Node) -> Table:
    condition = Scalar(node.place, "service_started", "service_started")
    return Table(node.place, {"condition": (node.place, condition)})


def _active(root: Node, profiles: Sequence[str], lookup: Lookup) -> list[str]:
    services = table_at(root, "services")
    having: dict[str, set[str]] = {}
    idle = without_replica(root)
    for name in services.entries if services else ():
        service = table_at(root, "services", name)
        listed = service.entries["profiles"][1] if service and "profiles" in service.entries else None
        having[name] = {text_of(item) or "" for item in listed.items} if isinstance(listed, Items) else set()
    known = {profile for each in having.values() for profile in each}
    for profile in profiles:
        if profile not in known:
            raise UsageError(f"no service has the profile {profile!r}; {did_you_mean(profile, known)}")
    outside = {one.strip() for one in (lookup.get("COMPOSE_PROFILES") or "").split(",")}
    on = {*profiles, *(outside - {""} if profiles else outside)}  # the profile "" is on while nobody names another
    return [name for name, own in having.items() if name not in idle and (not own or own & on or "*" in on)]


def _validated(root: Node) -> tuple[ComposeModel | None, dict[Loc, str], list[Problem]]:
    """The model, without what has a wrong shape, and where and what that is; no model where nothing is left."""
    wrong: dict[Loc, str] = {}
    problems: list[Problem] = []
    texts = _texts(root)
    for _ in range(_ROUNDS_MAX):
        try:
            return ComposeModel.model_validate(texts), wrong, problems
        except ValidationError as error:
            if not wrong:
                problems = problems_of(error, ComposeModel, root, secret=_is_secret, also_known=known_keys)
            found: dict[Loc, str] = {tuple(one["loc"]): one["type"] for one in error.errors()}
            wrong |= found
            if not all(cut(texts, loc) for loc in found):
                break
    return None, wrong, problems


def _texts(node: Node) -> Plain:
    """The tree as Compose reads it: every leaf a text, or None for null."""
    if isinstance(node, Items):
        return [_texts(item) for item in node.items]
    if isinstance(node, Table):
        return {key: _texts(item) for key, (_, item) in node.entries.items()}
    text = text_of(node)
    return text if text is None or isinstance(node.value, str) else Unquoted(text)


def _is_secret(loc: Loc) -> bool:
    return not _SECRET.isdisjoint(loc)


def _error(
    problems: Sequence[Problem], documents: Sequence[Document], lookup: Lookup, unknown: Collection[str | int]
) -> SourceError:
    as_written = {_as_written(one, lookup) for one in problems}
    ordered = sorted(as_written, key=lambda one: (one.path, one.line, one.column))
    texts: dict[str, list[str]] = {}
    for one in documents:
        _strike(texts.setdefault(one.path, list(one.text)), one, unknown)
    return SourceError(ordered, {path: "".join(text) for path, text in texts.items()})


def _as_written(problem: Problem, lookup: Lookup) -> Problem:
    """The problem with `${NAME}` for the value of a variable that stands at its place, and may be a secret."""
    message, hint = problem.message, problem.hint
    for place, used in lookup.at.items():
        if (place.path, place.line, place.column) == (problem.path, problem.line, problem.column):
            for name, value in used.items():
                if len(value) >= SECRET_LENGTH_MIN:
                    message, hint = (text.replace(value, f"${{{name}}}") for text in (message, hint))
    return replace(problem, message=message, hint=hint)


def _strike(text: list[str], document: Document, unknown: Collection[str | int]) -> None:
    """Make stars of secret values and of all below a key that nobody knows, line breaks and columns kept."""
    for loc, leaf in leaves(document.root):
        extension = any(isinstance(step, str) and step.startswith("x-") and step != "x-chaos" for step in loc)
        if not (extension or _is_secret(loc) or any(step in unknown for step in loc)):
            continue
        start, end = leaf.span
        if isinstance(loc[-1], int) and "=" in document.text[start:end]:  # an item NAME=value keeps its name
            start = document.text.index("=", start) + 1
        text[start:end] = re.sub(r"[^\s]", "*", document.text[start:end])

"""What `driver: {rest: {...}}` says of a service: its requests, and where its answers have what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from chaos.experiment.explain import fail
from chaos.experiment.source import Loc, Unquoted
from chaos.history.events import Policy
from chaos.workload.drivers.options import DriverOptions, Misfit
from chaos.workload.drivers.rest.templates import TEXTS, placeholders

_IN_A_READ: Final = frozenset({"user", "device"})
_HINT: Final = "`holdfast docs drivers` tells, under rest, which placeholder stands where"
_VALUES: Final = frozenset({"fields", "fields_text", "blob", "packed"})
_OF_A_RECORD: Final = _VALUES | {"type", "write"}
"""What a delete does not have: it names a record, and sends none."""
_BASED: Final = ("revision", "base")
"""What a create does not have, and no write under last-writer-wins."""


def _typed(body: Any) -> Any:
    """A body in whose place in a Compose file numbers and truth values were texts, as they are all over such a file."""
    if isinstance(body, dict):
        return {key: _typed(each) for key, each in body.items()}
    if isinstance(body, list):
        return [_typed(each) for each in body]
    return body.value if isinstance(body, Unquoted) else body


def _checked(
    only: Iterable[str] | None = None, without: Iterable[str] = (), *, path: bool = False
) -> Callable[[Any], Any]:
    def check(template: Any) -> Any:
        if path and not template.startswith("/"):
            fail(f"{template!r} does not begin with /", "write the path alone; the host is the front door")
        try:
            found = list(placeholders(template))
        except ValueError as error:
            fail(str(error), _HINT)
        allowed = sorted((TEXTS | {"fields"} if only is None else frozenset(only)) - frozenset(without))
        for name in found:
            if name.partition(".")[0] not in allowed:
                fail(f"{{{name}}} has no meaning here", f"it may have {', '.join(f'{{{each}}}' for each in allowed)}")
        return template

    return check


Path = Annotated[str, AfterValidator(_checked(without=_VALUES, path=True))]
Header = Annotated[str, AfterValidator(_checked(without=_VALUES))]
Body = Annotated[Any, AfterValidator(_checked()), AfterValidator(_typed)]
ReadPath = Annotated[str, AfterValidator(_checked(_IN_A_READ, path=True))]
ReadHeader = Annotated[str, AfterValidator(_checked(_IN_A_READ))]
ReadBody = Annotated[Any, AfterValidator(_checked(_IN_A_READ)), AfterValidator(_typed)]
DeletePath = Annotated[str, AfterValidator(_checked(without=_OF_A_RECORD, path=True))]
DeleteHeader = Annotated[str, AfterValidator(_checked(without=_OF_A_RECORD))]
DeleteBody = Annotated[Any, AfterValidator(_checked(without=_OF_A_RECORD)), AfterValidator(_typed)]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Request(DriverOptions):
    """How one kind of write is asked for.

    Attributes:
        path: With its query; every value in it is quoted.
        headers: Besides those of all requests.
        body: Sent as JSON; of create and update, that of the description where it is not stated here.
    """

    method: Method
    path: Path
    headers: dict[str, Header] = Field(default_factory=dict)
    body: Body = None


class Deletion(Request):
    """How a delete is asked for: with nothing of the record but its name."""

    path: DeletePath
    headers: dict[str, DeleteHeader] = Field(default_factory=dict)
    body: DeleteBody = None


class Preparation(Request):
    """A request that is about a user, and no record of theirs."""

    path: ReadPath
    headers: dict[str, ReadHeader] = Field(default_factory=dict)
    body: ReadBody = None


class Read(DriverOptions):
    """How all records of a user are read, and where each has what.

    Attributes:
        path: With its query; `{user}` and `{device}` may be in it.
        headers: Besides those of all requests.
        records: Where the list stands in the answer; "": the answer is the list.
        only: Which rows of the list are records: those that have these texts at these places.
        next: Where the address of the next page stands, in the answer or in a header of it; "": there are no pages.
        nothing: Statuses by which the service says that the user has no records.
        name: Where the name stands in each record; the others likewise.
        fields: Of an object, or of its JSON as a text; or of each field by its name.
        blob: Of a photo's content in base64; "": the service keeps none.
        packed: Of a whole record, as `{packed}` sends it; then the five before are not looked for.
        revision: Of what the service calls this version.
        row: Of the service's own identity of the row.
    """

    path: ReadPath
    method: Method = "GET"
    headers: dict[str, ReadHeader] = Field(default_factory=dict)
    records: str = ""
    only: dict[str, str] = Field(default_factory=dict)
    next: str = ""
    nothing: tuple[int, ...] = ()
    name: str = "name"
    type: str = "type"
    write: str = "write"
    fields: str | dict[str, str] = "fields"
    blob: str = ""
    packed: str = ""
    revision: str = ""
    row: str = ""


class RestOptions(DriverOptions):
    """What `driver: {rest: {...}}` may say.

    Attributes:
        create: Of a new record.
        delete: Conditional where `{revision}` or `{base}` is in it.
        read: A full read, by which phones sync, too.
        update: Of a record that is there, conditional likewise; where it is not stated, it is as create.
        prepare: Sent when a create is refused, which is then sent again: makes what a user's first record needs.
        body: What create and update send.
        headers: Of every request; one that needs a value which the request does not have is left out.
        user: For basic authentication, with `{user}` for the phone's user; "": none.
        password: Of each of them.
        revision: Where an acknowledgement names the version that it made; "": nowhere, then it is read when needed.
        warning: Where an acknowledgement has a warning.
        by: Where an answer names the service that gave it.
        refused: Statuses that mean: definitely not applied.
        not_now: Statuses that mean: not applied, try again.
    """

    create: Request
    delete: Deletion
    read: Read
    update: Request | None = None
    prepare: tuple[Preparation, ...] = ()
    body: Body = None
    headers: dict[str, Header] = Field(default_factory=dict)
    user: str = ""
    password: str = ""
    revision: str = ""
    warning: str = ""
    by: str = ""
    refused: tuple[int, ...] = (400, 404, 409, 412, 422)
    not_now: tuple[int, ...] = (429, 503)

    def model_post_init(self, _context: object, /) -> None:
        """Refuse a description by which records cannot come back whole."""
        for kind, request in (("create", self.create), ("update", self.updating)):
            sent = {each.partition(".")[0] for each in placeholders(self.body_of(request))}
            if ("packed" in sent) != bool(self.read.packed):
                fail(f"{kind}.body and read.packed do not fit", "what is sent as {packed} is found at read.packed")
            if not sent & {"packed", "fields", "fields_text"}:
                fail(f"{kind}.body has no {{fields}}", "say there, or in `body`, what of a record is sent")
            if not sent & {"packed", "write"}:
                fail(f"{kind}.body has no {{write}}", "send the id of the version, too, and let read.write find it")

    def misfits(self, policy: Policy) -> Iterator[Misfit]:
        """Where a write is to be conditional and cannot be, and the other way round."""
        kind = "create" if self.update is None else "update"
        if self.update is not None:
            yield from (
                Misfit(loc, f"{{{name}}} is of no use here: a create has no base", "take it out; it belongs to update")
                for loc, name in self._based("create", self.create, common=False)
            )
        of_update, of_delete = list(self._based(kind, self.updating)), list(self._based("delete", self.delete))
        if policy == "last-writer-wins":
            for loc, name in dict.fromkeys((*of_update, *of_delete)):
                is_path = loc[-1] == "path"
                gone = "empty" if is_path else "left out, with the header or member that it is in"
                message = f"under `conflict: last-writer-wins` no write has a base, so {{{name}}} is always {gone}"
                hint = "take it out, or say `conflict: reject` where the service refuses writes on an old version"
                yield Misfit(loc, message, hint, is_fatal=is_path)
            return
        for loc, found in (((kind,), of_update), (("delete",), of_delete)):
            if not found:
                message = (
                    f"under `conflict: reject` a write on an old version has to be refused, but {loc[0]} says neither "
                    "{revision} nor {base}, so that the service cannot know"
                )
                hint = 'say which version is meant, as by headers: {If-Match: "{revision}"}'
                if neither := not of_update and not of_delete:
                    hint += "; or say `conflict: last-writer-wins` where the service takes every write"
                yield Misfit(loc, message, hint, is_fatal=neither)

    def names(self, request: Request, wanted: str) -> bool:
        """Whether this placeholder is in what is sent for such a write."""
        return wanted in {name for _, name in self._based("", request)}

    def _based(self, kind: str, request: Request, *, common: bool = True) -> Iterator[tuple[Loc, str]]:
        """Where the base of a write is named, and by which placeholder; with what is common to all requests or not."""
        parts: dict[Loc, object] = {(kind, part): getattr(request, part) for part in ("path", "headers", "body")}
        if common:
            parts["headers",] = self.headers
            if request.body is None and request is not self.delete:
                parts["body",] = self.body
        for loc, template in parts.items():
            yield from ((loc, name) for name in dict.fromkeys(placeholders(template)) if name in _BASED)

    @property
    def updating(self) -> Request:
        """How an update is asked for."""
        return self.update or self.create

    def body_of(self, request: Request) -> Any:
        """What a create or an update sends."""
        return self.body if request.body is None else request.body

    @property
    def keeps_blobs(self) -> bool:
        """Whether contents of photos are sent."""
        blob = bool(self.read.blob) and "blob" in placeholders(self.body_of(self.create))
        return blob or bool(self.read.packed)

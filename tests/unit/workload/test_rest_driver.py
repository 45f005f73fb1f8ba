"""The driver `rest` before services that are described: the reference gateway, and one with pages and no conditions."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from chaos.errors import NotNow, Refused, UsageError
from chaos.experiment.drivers import DriverChoice
from chaos.stack.compose import load_stack
from chaos.workload.drivers import chosen_driver
from chaos.workload.drivers.rest.session import RestSession
from chaos.workload.records import digest, make
from chaos.workload.session import FrontDoor, Record
from tests.unit.workload.fakes import Service, listening, served

USER = "u-00"
SECONDS_MAX = 10.0
GATEWAY: dict[str, Any] = yaml.safe_load("""
headers: {X-User: "{user}", X-Device: "{device}", Idempotency-Key: "{key}"}
body: {name: "{name}", type: "{type}", write: "{write}", fields: "{fields}"}
create: {method: POST, path: /records}
update: {method: PUT, path: "/records/{name}", headers: {If-Match: "{revision}"}}
delete: {method: DELETE, path: "/records/{name}", headers: {If-Match: "{revision}"}}
read: {path: /records, records: records, revision: revision, row: row}
revision: revision
warning: warning
by: "header:X-Served-By"
""")
"""The reference gateway."""


def record(write: str = "w-1", name: str = "ada-1", kind: str = "contact", size_bytes: int = 700) -> Record:
    return make(USER, name, write, kind, size_bytes=size_bytes)


def driver_of(description: dict[str, Any]) -> Any:
    return chosen_driver(DriverChoice("rest", description), None)


def before_gateway(
    scene: Callable[[RestSession, Service], Awaitable[None]], description: dict[str, Any] = GATEWAY
) -> None:
    async def act() -> None:
        service = Service()
        async with served(service) as door:
            session = driver_of(description)(door, user=USER, device="d-00")
            try:
                await asyncio.wait_for(scene(session, service), SECONDS_MAX)
            finally:
                await session.close()

    asyncio.run(act())


@dataclass
class Notes:
    """A service with pages of two notes, own names for everything, and no conditions.

    Attributes:
        rows: By name.
        asked: Method, path and body of every request.
        answers: The next answers, whatever is asked for: a status, or what is answered with 200.
    """

    rows: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text() or "null")
        self.asked.append((request.method, request.raw_path, body))
        if self.answers:
            answer = self.answers.pop(0)
            return web.Response(status=answer) if isinstance(answer, int) else web.json_response(answer)
        name = request.match_info["name"]
        if request.method == "GET":
            names = sorted(each for each in self.rows if each > request.query.get("after", ""))
            more = {"next": f"/notes/?after={names[1]}"} if len(names) > 2 else {}
            return web.json_response({"page": {"notes": [self.rows[each] for each in names[:2]]}, "links": more})
        if request.method == "DELETE":
            return web.Response(status=204 if self.rows.pop(name, None) else 404)
        self.rows[name] = body
        return web.Response(status=204)


NOTES: dict[str, Any] = yaml.safe_load("""
create: {method: PUT, path: "/notes/{name}"}
delete: {method: DELETE, path: "/notes/{name}"}
body: {id: "{name}", kind: "{type}", w: "{write}", title: "{fields.title}", text: "{fields.body}"}
read:
  path: /notes/
  records: page.notes
  next: links.next
  name: id
  type: kind
  write: w
  fields: {title: title, body: text}
""")


def before_notes(scene: Callable[[RestSession, Notes], Awaitable[None]], description: dict[str, Any] = NOTES) -> None:
    async def act() -> None:
        notes = Notes()
        app = web.Application()
        app.router.add_route("*", "/notes/{name:.*}", notes.handle)
        async with listening(app) as door:
            session = driver_of(description)(door, user=USER, device="d-00")
            try:
                await asyncio.wait_for(scene(session, notes), SECONDS_MAX)
            finally:
                await session.close()

    asyncio.run(act())


@pytest.mark.parametrize("kind", ["contact", "calendar", "todo", "invoice"])
def test_the_reference_gateway_is_described_and_records_come_back_whole(kind: str) -> None:
    async def scene(session: RestSession, _service: Service) -> None:
        await session.put(record("w-1", kind=kind), None, "k-1")
        await session.put(record("w-2", kind=kind), "w-1", "k-2")
        (found,) = await session.everything()
        assert (digest(found), found.row) == (digest(record("w-2", kind=kind)), "1")
        await session.delete("ada-1", "w-2", "k-3")
        assert await session.everything() == []

    before_gateway(scene)


def test_a_key_is_sent_with_writes_and_a_warning_and_the_name_of_who_answered_are_passed_on() -> None:
    async def scene(session: RestSession, service: Service) -> None:
        service.warning = "on one copy only"
        ack = await session.put(record(), None, "k-1")
        assert (ack.warning, ack.by) == ("on one copy only", "fake")
        assert service.keys == ["k-1"]

    before_gateway(scene)


def test_an_old_base_is_refused_and_one_that_was_not_told_is_looked_for() -> None:
    async def scene(session: RestSession, service: Service) -> None:
        await session.put(record("w-1"), None, "k-1")
        await session.put(record("w-2"), "w-1", "k-2")
        with pytest.raises(Refused, match="409"):
            await session.put(record("w-3"), "w-1", "k-3")
        asked = len(service.keys)
        with pytest.raises(Refused, match="nothing there is at w-9"):
            await session.put(record("w-4"), "w-9", "k-4")
        assert len(service.keys) == asked

    before_gateway(scene)
    before_gateway(scene, {**GATEWAY, "revision": ""})


def test_statuses_mean_what_the_description_says() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        for status, error in (
            (418, Refused),
            (429, NotNow),
            (500, RuntimeError),
            (404, RuntimeError),
            (302, RuntimeError),
        ):
            notes.answers = [status]
            with pytest.raises(error, match=str(status)) as raised:
                await session.put(record(kind="note"), None, "k")
            assert isinstance(raised.value, Refused) == (status in (418, 429))
        notes.answers = [204]
        assert await session.everything() == []
        notes.answers = [{"page": {"notes": []}, "links": {"next": "/notes/?after=x"}}, 404]
        with pytest.raises(RuntimeError, match="404"):
            await session.everything()

    before_notes(scene, {**NOTES, "refused": [418], "read": {**NOTES["read"], "nothing": [204, 404]}})


def test_each_field_has_a_place_of_its_own_and_every_page_is_read() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        wanted = [record(f"w-{number}", f"ada-{number}", "note") for number in range(5)]
        for each in wanted:
            await session.put(each, None, "k")
        assert notes.rows["ada-3"].keys() == {"id", "kind", "w", "title", "text"}
        notes.asked.clear()
        found = await session.everything()
        assert sorted(map(digest, found)) == sorted(map(digest, wanted))
        assert [asked for _, asked, _ in notes.asked] == ["/notes/", "/notes/?after=ada-1", "/notes/?after=ada-3"]

    before_notes(scene)


def test_a_field_that_a_record_does_not_have_is_left_out() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        await session.put(record(kind="contact"), None, "k")
        assert notes.rows["ada-1"].keys() == {"id", "kind", "w"}

    before_notes(scene)


def test_a_failed_page_is_a_failed_read_and_so_is_an_answer_without_a_list() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        for answers in ([{"page": {"notes": []}, "links": {"next": "/notes/?after=x"}}, 500], [404], [{"page": None}]):
            notes.answers = answers
            with pytest.raises(RuntimeError, match="/notes/"):
                await session.everything()
        notes.answers = [{"page": {"notes": []}, "links": {"next": "page 2"}}]
        with pytest.raises(RuntimeError, match=r"driver\.rest\.read\.next: 'page 2' is no address"):
            await session.everything()

    before_notes(scene)


def test_a_name_is_one_segment_of_a_path_whatever_is_in_it() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        await session.put(record(name="a/b?c#d"), None, "k")
        assert notes.asked[0][1] == "/notes/a%2Fb%3Fc%23d"

    before_notes(scene)


def test_fields_and_photos_may_travel_as_texts() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        photo = record(kind="photo", size_bytes=2000)
        await session.put(photo, None, "k")
        assert isinstance(notes.rows["ada-1"]["t"], str)
        assert base64.b64decode(notes.rows["ada-1"]["b"]) == photo.blob
        await session.put(record("w-2", "ben-2"), None, "k")
        assert "b" not in notes.rows["ben-2"]
        assert [digest(each) for each in await session.everything()] == [digest(photo), digest(record("w-2", "ben-2"))]

    body = {"id": "{name}", "kind": "{type}", "w": "{write}", "t": "{fields_text}", "b": "{blob}"}
    before_notes(scene, {**NOTES, "body": body, "read": {**NOTES["read"], "fields": "t", "blob": "b"}})


def test_a_photo_that_the_description_has_no_place_for_is_a_defect_of_it() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        with pytest.raises(NotImplementedError, match="photos: 0"):
            await session.put(record(kind="photo"), None, "k")
        assert notes.asked == []

    before_notes(scene)


ZONES: dict[str, Any] = yaml.safe_load("""
create: {method: PUT, path: "/notes/{user}/{name}", body: {kind: TXT, of: ["{user}", {text: '"{packed}"'}]}}
delete: {method: DELETE, path: "/notes/{user}/{name}"}
prepare: [{method: POST, path: /notes/, body: {zone: "{user}."}}]
read: {path: /notes/, records: page.notes, only: {kind: TXT}, packed: of.1.text, row: of.0}
""")
"""A service that keeps one text of a record, in a list that has other things, too, once a user's zone was made."""


def test_a_record_may_travel_as_one_text_and_other_rows_of_the_list_are_none_of_ours() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        for each in (wanted := [record("w-1", "ada-1"), record("w-2", "ben-2", "photo")]):
            await session.put(each, None, "k")
        rows = [body for _, _, body in notes.asked]
        notes.answers = [{"page": {"notes": [{"kind": "SOA", "of": 7}, *rows]}}]
        found = await session.everything()
        assert [digest(each) for each in found] == [digest(each) for each in wanted]
        assert {each.row for each in found} == {USER}
        for damaged in (None, 7, '"AAAA"', '"e30="', rows[0]["of"][1]["text"][:90]):
            notes.answers = [{"page": {"notes": [{"name": "ada-1", "kind": "TXT", "of": ["x", {"text": damaged}]}]}}]
            (broken,) = await session.everything()
            assert broken.name == "ada-1"
            assert digest(broken) != digest(wanted[0])

    before_notes(scene, ZONES)


def test_what_a_first_record_needs_is_made_when_it_is_refused_and_who_comes_late_finds_it_there() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        for made in (201, 409):
            notes.asked.clear()
            notes.answers = [404, made]
            await session.put(record(name=f"ada-{made}"), None, "k")
            assert [method for method, _, _ in notes.asked] == ["PUT", "POST", "PUT"]
            assert notes.asked[1][2] == {"zone": "u-00."}
        notes.answers = [404, 500]
        with pytest.raises(RuntimeError, match="POST /notes/: 500"):
            await session.put(record(name="ben-1"), None, "k")
        notes.answers = [503]
        with pytest.raises(NotNow):
            await session.put(record(name="ben-1"), None, "k")

    before_notes(scene, ZONES)


def test_numbers_and_truth_values_of_a_body_are_such_in_a_compose_file_too(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("""
services: {web: {image: web, ports: ["80"]}}
x-chaos:
  front_door: web:80
  driver:
    rest:
      body: {a: [60, "60", 1.5, false, "false", null, "{fields}"], w: "{write}"}
      create: &one {method: PUT, path: /a}
      delete: *one
      read: {path: /a}
""")
    choice = load_stack([file], {}, (), {}).driver
    driver: Any = chosen_driver(choice, None)
    assert driver.options.body["a"] == [60, "60", 1.5, False, "false", None, "{fields}"]


@pytest.mark.parametrize("damaged", [None, 7, [], {}, {"id": 7}, {"id": "ada-1", "kind": None, "w": [], "title": {}}])
def test_a_damaged_record_is_one_with_what_is_there(damaged: Any) -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        notes.answers = [{"page": {"notes": [damaged]}}]
        (found,) = await session.everything()
        there = damaged if isinstance(damaged, dict) else {}
        assert (found.name, found.write) == (there.get("id"), there.get("w"))

    before_notes(scene)


@pytest.mark.parametrize("text", ["", "{", "null", "7"])
def test_fields_that_are_no_json_any_more_are_the_text_that_is_there(text: str) -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        notes.rows["ada-1"] = {"id": "ada-1", "kind": "todo", "w": "w-1", "t": text}
        (found,) = await session.everything()
        wanted: Any = {"null": None, "7": 7}.get(text, text)
        assert found.fields == wanted

    body = {"id": "{name}", "w": "{write}", "t": "{fields_text}"}
    before_notes(scene, {**NOTES, "body": body, "read": {**NOTES["read"], "fields": "t"}})


def test_where_the_last_writer_wins_what_the_phone_has_put_is_updated() -> None:
    async def scene(session: RestSession, notes: Notes) -> None:
        for write in ("w-1", "w-2"):
            await session.put(record(write, kind="note"), None, "k")
        assert [method for method, _, _ in notes.asked] == ["POST", "PATCH"]

    create, update = {"method": "POST", "path": "/notes/"}, {"method": "PATCH", "path": "/notes/{name}"}
    before_notes(scene, {**NOTES, "create": create, "update": update})


def test_a_create_that_is_tried_again_is_no_update_though_a_read_has_shown_it() -> None:
    async def scene(session: RestSession, service: Service) -> None:
        await session.put(record("w-1"), None, "k-1")
        await session.everything()
        with pytest.raises(Refused, match="POST /records: 409"):  # somebody may have changed it meanwhile
            await session.put(record("w-1"), None, "another key")

    before_gateway(scene)


def test_nobody_at_the_front_door_is_not_now() -> None:
    async def act() -> None:
        session = driver_of(GATEWAY)(FrontDoor("127.0.0.1", 1), user=USER, device="d-00")
        for call in (session.put(record(), None, "k"), session.delete("ada-1", None, "k"), session.everything()):
            with pytest.raises(NotNow):
                await call
        await session.close()

    asyncio.run(act())


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("update.path", "/notes/{nmae}", r"unknown placeholder \{nmae\}; use \{base\}"),
        ("update.path", "notes", "'notes' does not begin with /"),
        ("update.path", "/notes/{name", "'/notes/{name' has a brace"),
        ("update.path", "/notes/{blob}", r"\{blob\} has no meaning here"),
        ("update.headers.If-Match", "{etag}", r"unknown placeholder \{etag\}"),
        ("update.headres", {}, "unknown key 'headres'"),
        ("update.method", "FETCH", "method"),
        ("update.body", {"a": ["x{fields}"]}, r"\{fields\} in 'x\{fields\}' must stand alone"),
        ("read.path", "/notes/{name}", r"\{name\} has no meaning here"),
        ("headers.X-Title", "{fields.title}", r"\{fields\.title\} has no meaning here"),
        ("prepare", [{"method": "PUT", "path": "/{name}"}], r"\{name\} has no meaning here"),
        ("body", {"fields": "{fields}"}, r"create\.body has no \{write\}"),
        ("body", None, r"create\.body has no \{fields\}"),
        ("body", {"all": "{packed}"}, r"create\.body and read\.packed do not fit"),
        ("create", None, "create"),
    ],
)
def test_what_is_wrong_in_a_description_is_said_with_its_place(place: str, value: Any, message: str) -> None:
    description = copy.deepcopy(GATEWAY)
    *above, last = place.split(".")
    within = description
    for key in above:
        within = within[key]
    within[last] = value
    with pytest.raises(UsageError, match=message) as raised:
        driver_of(description)
    told = str(raised.value).splitlines()[0]
    whole = place == "body" and "body" in message  # of the description, since none of its parts is wrong
    assert told.startswith("driver.rest" if whole else f"driver.rest.{place}"), told


def test_a_description_that_lacks_its_requests_names_all_that_it_lacks() -> None:
    with pytest.raises(UsageError) as raised:
        driver_of({})
    assert all(key in str(raised.value) for key in ("create", "delete", "read"))


def test_the_descriptions_of_the_guide_are_such() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "drivers.md").read_text()
    blocks = [
        yaml.safe_load(block) for block in re.findall(r"^```yaml\n(driver:\n  rest:\n.*?)^```", guide, re.M | re.S)
    ]
    assert len(blocks) == 2
    for block in blocks:
        options = driver_of(block["driver"]["rest"]).options
        assert options.names(options.update, "revision")
        assert not list(options.misfits("reject"))

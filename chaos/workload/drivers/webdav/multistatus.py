"""What a driver asks a WebDAV server in XML, and what the server says of each resource.

https://www.rfc-editor.org/rfc/rfc4918 (WebDAV), rfc4791 (CalDAV), rfc6352 (CardDAV), rfc5689 (MKCOL with properties)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

CARDS: Final = "urn:ietf:params:xml:ns:carddav"
CALENDARS: Final = "urn:ietf:params:xml:ns:caldav"
LIST: Final = b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><getetag/><resourcetype/></prop></propfind>'
_GONE: Final = 404


@dataclass(frozen=True)
class Kind:
    """One kind of collection.

    Attributes:
        space: The XML namespace of its specification.
        report: What asks for several items at once.
        data: The property that is an item's text.
        collection: The type of the collection itself.
        suffix: Of the names of items.
        media_type: Of an item.
        components: What a calendar has to be told that it may hold.
    """

    space: str
    report: str
    data: str
    collection: str
    suffix: str
    media_type: str
    components: tuple[str, ...] = ()

    def mkcol(self) -> bytes:
        """Makes a collection of this kind."""
        holds = "".join(f'<k:comp name="{each}"/>' for each in self.components)
        components = f"<k:supported-calendar-component-set>{holds}</k:supported-calendar-component-set>"
        return (
            f'<?xml version="1.0"?><mkcol xmlns="DAV:" xmlns:k="{self.space}"><set><prop><resourcetype><collection/>'
            f"<k:{self.collection}/></resourcetype>{components if holds else ''}</prop></set></mkcol>"
        ).encode()

    def multiget(self, hrefs: Iterable[str]) -> bytes:
        """Asks for the texts of these items."""
        wanted = "".join(f"<href>{escape(href)}</href>" for href in hrefs)
        return (
            f'<?xml version="1.0"?><k:{self.report} xmlns="DAV:" xmlns:k="{self.space}">'
            f"<prop><getetag/><k:{self.data}/></prop>{wanted}</k:{self.report}>"
        ).encode()


ADDRESS_BOOK: Final = Kind(CARDS, "addressbook-multiget", "address-data", "addressbook", ".vcf", "text/vcard")
CALENDAR: Final = Kind(
    CALENDARS, "calendar-multiget", "calendar-data", "calendar", ".ics", "text/calendar", ("VEVENT", "VTODO")
)


@dataclass(frozen=True)
class Resource:
    """What the server says of one resource.

    Attributes:
        path: Unquoted, without host.
        is_gone: Of it nothing is there, and there is nothing else to say.
        is_collection: Rather than an item.
        etag: Of its version; "" where the server names none.
        text: Its content; None where it was not asked for.
    """

    path: str
    is_gone: bool
    is_collection: bool = False
    etag: str = ""
    text: str | None = None


def resources(content: bytes, kind: Kind) -> Iterator[Resource]:
    """Each resource of a multistatus.

    Raises:
        ElementTree.ParseError: It is no XML.
        RuntimeError: The server could not tell of a resource, or of a property that matters.
    """
    for response in ElementTree.fromstring(content).iter("{DAV:}response"):
        path = _path(response.findtext("{DAV:}href") or "")
        if (status := _status(response)) == _GONE:
            yield Resource(path, is_gone=True)
            continue
        if status >= 300:
            raise RuntimeError(f"the server answers {status} for {path}")
        found: dict[str, ElementTree.Element] = {}
        for propstat in response.iter("{DAV:}propstat"):
            properties = propstat.find("{DAV:}prop")
            there = [] if properties is None else list(properties)
            if (status := _status(propstat) or 200) == 200:
                found |= {each.tag: each for each in there}
            elif status != _GONE:
                raise RuntimeError(f"the server answers {status} for {[each.tag for each in there]} of {path}")
        resource_type = found.get("{DAV:}resourcetype")
        etag, text = found.get("{DAV:}getetag"), found.get(f"{{{kind.space}}}{kind.data}")
        yield Resource(
            path,
            False,
            resource_type is not None and resource_type.find("{DAV:}collection") is not None,
            ((etag.text if etag is not None else "") or "").strip(),
            None if text is None else text.text or "",
        )


def _status(of: ElementTree.Element) -> int:
    """The number in `HTTP/1.1 404 Not Found`; 0 where there is no such line."""
    line = (of.findtext("{DAV:}status") or "").split()
    return int(line[1]) if len(line) > 1 and line[1].isdigit() else 0


def _path(href: str) -> str:
    return unquote(urlsplit(href).path)

"""The two forms of a description: texts with placeholders, of which requests are made, and places in an answer.

`/notes/{name}` is a text with the name of the record in it. In a body a placeholder that stands alone, `"{fields}"`,
is the value itself and keeps its type. `items.0.id` is a place in a JSON answer: members by name, elements of a list by
number. `header:ETag` is one in its headers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from chaos.workload.drivers.wire import Answer

TEXTS: Final = frozenset(
    {"user", "device", "name", "type", "write", "key", "base", "revision", "fields_text", "blob", "packed"}
)
"""What may stand within a text, besides `{fields.NAME}`. `{fields}` is an object and stands alone."""
ABSENT: Final = object()
"""In the place of a value that this request does not have."""
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_HEADER: Final = "header:"


def placeholders(template: object) -> Iterator[str]:
    """The placeholders of a text, or of all texts of a body.

    Raises:
        ValueError: One is unknown, or stands where it cannot.
    """
    if isinstance(template, Mapping):
        for each in template.values():
            yield from placeholders(each)
    elif isinstance(template, list | tuple):
        for each in template:
            yield from placeholders(each)
    elif isinstance(template, str):
        if set(_PLACEHOLDER.sub("", template)) & set("{}"):
            raise ValueError(f"{template!r} has a brace that begins or ends no placeholder")
        for name in _PLACEHOLDER.findall(template):
            if name not in TEXTS and name != "fields" and not re.fullmatch(r"fields\.[^.]+", name):
                known = ", ".join(f"{{{each}}}" for each in sorted({*TEXTS, "fields", "fields.NAME"}))
                raise ValueError(f"unknown placeholder {{{name}}}; use {known}")
            if name == "fields" and template != "{fields}":
                raise ValueError(f"{{fields}} in {template!r} must stand alone; its JSON text is {{fields_text}}")
            yield name


def filled(template: Any, values: Mapping[str, object]) -> Any:
    """A body with its placeholders filled in; what needs a value that is absent is left out."""
    if isinstance(template, Mapping):
        made = {key: filled(each, values) for key, each in template.items()}
        return {key: each for key, each in made.items() if each is not ABSENT}
    if isinstance(template, list | tuple):
        return [each for each in (filled(each, values) for each in template) if each is not ABSENT]
    if not isinstance(template, str):
        return template
    if alone := _PLACEHOLDER.fullmatch(template):
        return values.get(alone[1], ABSENT)
    if any(values.get(name, ABSENT) is ABSENT for name in _PLACEHOLDER.findall(template)):
        return ABSENT
    return text(template, values)


def text(template: str, values: Mapping[str, object], quoted: Callable[[str], str] = str) -> str:
    """A text with its placeholders filled in; what is absent is empty."""

    def value(found: re.Match[str]) -> str:
        there = values.get(found[1], ABSENT)
        return "" if there is ABSENT else quoted(str(there))

    return _PLACEHOLDER.sub(value, template)


def path(template: str, values: Mapping[str, object]) -> str:
    """A path, in which every value is one segment, or a part of one."""
    return text(template, values, lambda value: quote(value, safe=""))


def at(place: str, answer: Any) -> Any:
    """What stands at a place of a JSON answer; None where nothing does."""
    for step in place.split(".") if place else ():
        if isinstance(answer, Mapping):
            answer = answer.get(step)
        elif isinstance(answer, list) and step.isdigit() and int(step) < len(answer):
            answer = answer[int(step)]
        else:
            return None
    return answer


def told(place: str, answer: Answer) -> str:
    """The text or number at a place of an answer, or in a header of it, as text; "" where there is none."""
    if place.startswith(_HEADER):
        return answer.headers.get(place.removeprefix(_HEADER), "")
    try:
        found = at(place, json.loads(answer.content)) if place else None
    except ValueError:  # an empty answer, or one that is no JSON, tells nothing
        return ""
    return as_text(found)


def as_text(found: object) -> str:
    """A text as it is, a number as text; anything else tells nothing."""
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""

"""From events to a judgement by way of a file, as in a trial."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaos.checks.counts import Counts
from chaos.checks.verdict import Judgement, judge
from chaos.history.events import End, Event, Header
from chaos.history.reader import read_history
from chaos.history.recorder import encode


def closed(events: Iterable[Event]) -> list[Event]:
    """The events with their end counted anew."""
    body = [event for event in events if not isinstance(event, End)]
    return [*body, End(t=1 << 50, events=len(body))]


def written(events: Iterable[Event], folder: Path) -> Path:
    path = folder / "history.jsonl"
    path.write_bytes(b"".join(map(encode, closed(events))))
    return path


def judged(events: Iterable[Event], folder: Path, further: Counts | None = None) -> Judgement:
    return judge(read_history(written(events, folder)), further)


def with_header(events: Iterable[Event], **changes: Any) -> list[Event]:
    first, *rest = events
    assert isinstance(first, Header)
    return [replace(first, **changes), *rest]

"""The agent's events during a trial, kept in the run folder as JSON lines."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TextIO

import orjson

from chaos.agent.codec import encoded
from chaos.agent.wire import Event

_BYTES_MAX = 4 << 20


class Diary:
    """One file at a time; at most 4 MiB in it."""

    def __init__(self) -> None:
        """Closed: events are dropped until `open`."""
        self._file: TextIO | None = None
        self._left = 0

    def open(self, folder: Path) -> None:
        """Go on in `<folder>/agent.jsonl`."""
        self.close()
        self._file = (folder / "agent.jsonl").open("a", encoding="utf-8", buffering=1)
        self._left = _BYTES_MAX

    def agent(self, event: Event) -> None:
        """Keep one event of the agent."""
        line = (
            orjson.dumps(
                {"t": time.monotonic_ns(), **{name: encoded(value) for name, value in vars(event).items() if value}}
            ).decode()
            + "\n"
        )
        self._left -= len(line)
        if self._file is not None and self._left > 0:
            self._file.write(line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

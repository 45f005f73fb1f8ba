"""Writes a history as one Parquet table: one line for each event, and one for each row that a read returned.

Without the extra `export` importing this raises `MissingExtra`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from chaos.errors import MissingExtra, UsageError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtra("a table in Parquet", "export", error) from None

BATCH_LINES: Final = 50_000

SCHEMA: Final = pa.schema(
    [
        ("line", pa.int64()),
        ("event", pa.string()),
        ("t", pa.int64()),
        *((name, pa.string()) for name in ("owner", "device", "session", "kind", "record", "type", "write", "hash")),
        *((name, pa.string()) for name in ("key", "base", "outcome", "by", "why")),
        ("op", pa.int64()),
        ("n", pa.int64()),
        ("size_bytes", pa.int64()),
        ("outbox", pa.int64()),
        *((name, pa.bool_()) for name in ("full", "cached")),
        ("step", pa.int64()),
        ("door", pa.string()),
        ("round", pa.int64()),
        ("invoked", pa.int64()),
        ("settled", pa.bool_()),
        *((name, pa.string()) for name in ("row", "row_owner", "blob", "stamps")),
        *((name, pa.string()) for name in ("fault", "target", "name", "topic", "happened", "phase", "text")),
        ("index", pa.int64()),
        *((name, pa.bool_()) for name in ("bit", "exceeds")),
        ("members", pa.string()),
    ]
)
"""`line` counts from 1. A row that a read returned is an event `row` with the line, operation, door and owner of its
read; its own owner is `row_owner`, and a record that was reported deleted is an event `gone`. What has no column of its
own (a header, a fault's evidence) is JSON in `members`."""

_NAMES: Final = frozenset(SCHEMA.names)
_OF_READ: Final = ("line", "t", "owner", "op", "n", "step", "door", "round", "invoked", "outcome")


def export(history: Path, to: Path) -> int:
    """Write a history as a Parquet file; returns its number of lines.

    Args:
        history: A history that has been read without error.
        to: The file; its folder must be there, and nothing else under its name.

    Raises:
        UsageError: It cannot be written.
    """
    count = 0
    try:
        with to.open("xb") as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            batch: list[Mapping[str, Any]] = []
            for line in _lines(history):
                batch.append(line)
                if len(batch) >= BATCH_LINES:
                    count += _written(writer, batch)
                    batch = []
            count += _written(writer, batch)
    except OSError as error:
        raise UsageError(f"cannot write {to}: {error.strerror}; give a new file in a folder that is there") from None
    return count


def _written(writer: pq.ParquetWriter, batch: list[Mapping[str, Any]]) -> int:
    writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
    return len(batch)


def _lines(history: Path) -> Iterator[Mapping[str, Any]]:
    operations: dict[int, str] = {}
    with history.open("rb") as file:
        for number, line in enumerate(file, 1):
            event = orjson.loads(line)
            event["line"] = number
            rows, gone = event.pop("rows", ()), event.pop("gone", ())
            if event["event"] == "act":
                operations[event["op"]] = event["owner"]
            elif event["event"] == "back" and (rows or gone):
                event["owner"] = operations[event["op"]]
            members = {name: event.pop(name) for name in set(event) - _NAMES}
            if members:
                event["members"] = orjson.dumps(members).decode()
            yield event
            read = {name: event[name] for name in _OF_READ if name in event}
            for row in rows:
                stamps = orjson.dumps(row["stamps"]).decode() if row.get("stamps") else None
                yield {**row, **read, "event": "row", "row_owner": row["owner"], "stamps": stamps}
            for record in gone:
                yield {**read, "event": "gone", "record": record}

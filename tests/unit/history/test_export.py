"""The table: every line of a history, and the example that the page gives."""

from __future__ import annotations

import os
import re
from pathlib import Path

import duckdb
import pytest

from chaos.errors import UsageError
from chaos.history.export import export
from chaos.history.recorder import encode
from tests.unit.checks.files import closed
from tests.unit.checks.service import Load, legal_history

PAGE = Path(__file__).parents[3] / "docs" / "history.md"


def test_the_table_holds_every_line_and_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.history.export.BATCH_LINES", 100)
    events = closed(legal_history(Load(1, users=2, operations=80)))
    history, table = tmp_path / "history.jsonl", tmp_path / "history.parquet"
    history.write_bytes(b"".join(map(encode, events)))
    rows = sum(len(getattr(event, "rows", ())) for event in events)
    gone = sum(len(getattr(event, "gone", ())) for event in events)
    assert export(history, table) == len(events) + rows + gone
    counts = dict(duckdb.sql(f"SELECT event, count(*) FROM '{table}' GROUP BY event").fetchall())
    assert counts["row"] == rows
    assert counts["act"] == sum(type(event).__name__ == "Act" for event in events)
    wrong = duckdb.sql(f"SELECT count(*) FROM '{table}' WHERE event = 'row' AND owner <> row_owner").fetchall()
    assert wrong == [(0,)]


def test_the_example_on_the_page_runs(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_bytes(b"".join(map(encode, closed(legal_history(Load(1, users=2, operations=80))))))
    export(history, tmp_path / "history.parquet")
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        found = duckdb.sql(query).fetchall()
    finally:
        os.chdir(before)
    services = {service for service, _, _ in found}
    assert "gateway-1" in services
    assert all(acknowledged > 0 and slowest_ms > 0 for _, acknowledged, slowest_ms in found)


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    history, table = tmp_path / "history.jsonl", tmp_path / "history.parquet"
    history.write_bytes(b"")
    table.write_text("mine")
    with pytest.raises(UsageError, match="give a new file"):
        export(history, table)
    assert table.read_text() == "mine"

"""Lines in the recorder's shape are taken apart in bulk, and come to the same as when each is read by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from chaos.checks.bulk.columns import scan as columns
from chaos.checks.bulk.columns.hashes import hash_of
from chaos.checks.bulk.columns.scan import IrregularError, scan
from chaos.checks.bulk.columns.tables import TYPES
from chaos.history.events import Act, Back, DoorRead, Event, Row, Send
from chaos.history.recorder import encode

ROWS = (
    Row("ada-1", "u-01", "w-1", "00" * 8, "311"),
    Row("a record with a longer name", "u-01", "w-2", "", blob="ok"),
)
EVENTS: list[Event] = [
    Act(7, 10**15, "d-05#1", "d-05", "u-01", "create", "ada-1", "contact", "w-1", "00" * 8, "k", None, 212),
    Act(8, 999_999_999_999_999_999, "d-05#1", "d-05", "u-01", "update", "x" * 300, "photo", "w-2", base="w-1"),
    Act(9, 0, "", "", "", "reset", outbox=3),
    Send(7, 1, 12345678),
    Send(8, 10, 123456789, session="d-05#2"),
    Back(7, 1, 5, "ok", by="gateway-1"),
    Back(7, 2, 5, "info", why="no answer in 2 s: [{,}]"),
    Back(9, 1, 6, "ok", cached=True, full=True, rows=ROWS),
    Back(9, 2, 6, "ok", full=True, rows=ROWS[:1], gone=("ben-2", "ben-3")),
    Back(9, 3, 6, "ok", gone=("ben-2",)),
    DoorRead(1, "fresh", "u-01", 1, 7, 8, "ok", rows=ROWS),
]


def tables_of(lines: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "history.jsonl"
    path.write_bytes(lines)
    found = scan(path, 0, len(lines))
    return {tag: table[np.argsort(table["line"], kind="stable")] for tag, table in found.tables.items()}


def test_what_the_recorder_writes_is_taken_in_bulk_and_as_if_read_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(map(encode, EVENTS))
    by_themselves: list[bytes] = []
    read_one = columns._Scanner._line

    def noted(self: columns._Scanner, line: bytes, at: int) -> None:
        by_themselves.append(line)
        read_one(self, line, at)

    monkeypatch.setattr(columns._Scanner, "_line", noted)
    fast = tables_of(lines, tmp_path)
    assert not by_themselves
    # The same, but for a space that the recorder does not write, and as many bytes.
    slow = tables_of(lines.replace(b'"t":', b'"t" :').replace(b'"record":"', b'"record": "'), tmp_path)
    assert len(by_themselves) == len(EVENTS) - 1
    for tag, types in TYPES.items():
        for name in set(types) - {"line", "at"}:
            assert fast[tag][name].tolist() == slow[tag][name].tolist(), (tag, name)


def test_columns_hold_what_the_lines_say(tmp_path: Path) -> None:
    tables = tables_of(b"".join(map(encode, EVENTS)), tmp_path)
    assert tables["act"]["t"].tolist() == [10**15, 999_999_999_999_999_999, 0]
    assert tables["act"]["record"].tolist() == [hash_of("ada-1"), hash_of("x" * 300), 0]
    assert tables["send"]["n"].tolist() == [1, 10]
    assert tables["back"]["outcome"].tolist() == [hash_of(word) for word in ("ok", "info", "ok", "ok", "ok")]
    assert tables["row"]["blob"].tolist() == [0, hash_of("ok"), 0, 0, hash_of("ok")]
    assert tables["gone"]["record"].tolist() == [hash_of(name) for name in ("ben-2", "ben-3", "ben-2")]


@pytest.mark.parametrize("length", range(40))
def test_texts_of_every_length_have_the_hash_of_the_text(length: int, tmp_path: Path) -> None:
    names = ["abcdefgh~ !#[{"[length % 13 :] * 4 for _ in range(3)]
    names = [name[:length] + end for name, end in zip(names, ("", "a", "b"), strict=True)]
    lines = b"".join(encode(Act(n, 1, name, "d", "u", "list")) for n, name in enumerate(names))
    assert tables_of(lines, tmp_path)["act"]["session"].tolist() == [hash_of(name) for name in names]
    assert len({*map(hash_of, names)}) == 3


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (b'"t":1}', b'"t":01}'),
        (b'"t":1}', b'"t":-1}'),
        (b'"t":1}', b'"t":1.0}'),
        (b'"t":1}', b'"t":true}'),
        (b'"t":1}', b'"t":12345678901234567890}'),
        (b'"t":1}', b'"t":}'),
        (b'"t":1}', b'"t":1,"t":1}'),
        (b'"t":1}', b'"t":1,"what":1}'),
        (b'"t":1}', b'"t":1,"session":null}'),
        (b'"t":1}', b'"t":1,"session":"a\x01"}'),
        (b'"t":1}', b'"t":1} '),
        (b'"n":1,', b""),
        (b'"event":"send"', b'"event":"sent"'),
    ],
)
def test_a_line_that_is_not_as_it_should_be_is_never_taken_in_bulk(
    wrong: bytes, right: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_themselves: list[bytes] = []
    monkeypatch.setattr(columns._Scanner, "_line", lambda self, line, at: by_themselves.append(line))
    line = encode(Send(7, 1, 1)).replace(wrong, right)
    path = tmp_path / "history.jsonl"
    path.write_bytes(line)
    found = scan(path, 0, len(line))
    assert not len(found.tables["send"])
    assert len(by_themselves) + len(found.others) == 1


@pytest.mark.parametrize(
    "fields",
    [{"by": 5}, {"why": None}, {"cached": 1}, {"gone": [1]}, {"rows": {}}, {"rows": [{"record": "a"}]}, {"t": 1.5}],
)
def test_fields_of_another_type_are_left_to_the_exact_reader(fields: dict[str, object], tmp_path: Path) -> None:
    line = {"event": "back", "op": 1, "n": 1, "t": 5, "outcome": "ok", **fields}
    with pytest.raises(IrregularError):
        tables_of(orjson.dumps(line) + b"\n", tmp_path)

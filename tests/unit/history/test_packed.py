"""What is packed comes back as it was, share by share, however wide its values are."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaos.checks.bulk.columns import packed
from chaos.checks.bulk.columns.packed import pack, together
from chaos.checks.bulk.columns.tables import DTYPES, TYPES

SHARES = 5
BITS = (0, 1, 8, 9, 31, 32, 47, 56, 63, 64)


def drawn(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tables with columns of every width, and the share of each entry; some tables and shares are empty."""
    draw, tables, share = random.Random(seed), {}, {}
    for tag in TYPES:
        size = draw.choice((0, 1, 2, 40, 300))
        table = np.zeros(size, DTYPES[tag])
        for name, of in TYPES[tag].items():
            bits, base = draw.choice(BITS), draw.getrandbits(64)
            values = [(base + draw.getrandbits(bits or 1) * (bits > 0)) % 2**64 for _ in range(size)]
            table[name] = np.array(values, np.uint64).astype(of)
        tables[tag] = table
        share[tag] = np.array([draw.choice((0, 1, 1, 4)) for _ in range(size)], np.int64)
    return tables, share


@pytest.mark.parametrize("names_max", [packed._NAMES_MAX, 64, 1])
@pytest.mark.parametrize("seed", range(20))
def test_what_is_packed_comes_back(seed: int, names_max: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_NAMES_MAX", names_max)
    tables, share = drawn(seed)
    before = {tag: table.copy() for tag, table in tables.items()}
    parts = pack(tmp_path / "columns", tables, share, SHARES)
    assert len(parts) == SHARES
    for n, part in enumerate(parts):
        for tag, found in together([part]).items():
            assert np.array_equal(found, tables[tag][share[tag] == n])
    assert all(np.array_equal(tables[tag], before[tag]) for tag in TYPES)


def test_parts_and_more_entries_stand_one_after_the_other(tmp_path: Path) -> None:
    many = [drawn(seed) for seed in range(6)]
    parts = [pack(tmp_path / str(n), tables, share, SHARES)[1] for n, (tables, share) in enumerate(many)]
    more = {"back": many[0][0]["back"][:3], "gone": many[0][0]["gone"][:0]}
    for tag, found in together(parts, more).items():
        expected = [tables[tag][share[tag] == 1] for tables, share in many]
        assert np.array_equal(found, np.concatenate([*expected, *([more[tag]] if tag in more else [])]))


def test_columns_near_each_other_take_few_bytes(tmp_path: Path) -> None:
    table = np.zeros(1000, DTYPES["send"])
    table["line"], table["op"], table["t"] = np.arange(1000) * 60 + 2**40, np.arange(1000), 2**60
    table["session"] = np.arange(1000).astype(np.uint64) % 2 + 2**63
    tables = {tag: table if tag == "send" else np.zeros(0, of) for tag, of in DTYPES.items()}
    share = {tag: np.zeros(len(each), np.int64) for tag, each in tables.items()}
    (part,) = pack(tmp_path / "columns", tables, share, 1)
    assert part.size == 1000 * (2 + 2 + 0 + 0 + 1) + 8 * len(TYPES)  # line, op, n, t, session


def test_a_file_that_was_cut_is_noticed(tmp_path: Path) -> None:
    tables, share = next(each for each in map(drawn, range(20)) if len(each[0]["act"]) > 2)
    path = tmp_path / "columns"
    part = pack(path, tables, share, SHARES)[4]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match="shorter than it was"):
        together([part])

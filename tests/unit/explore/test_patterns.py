"""Which crash states are alike, and what the blocks of a file system are."""

from __future__ import annotations

import subprocess
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.agent.recording import WRITE, Recording
from chaos.errors import UsageError
from chaos.explore.patterns import LONG_AGO, Pattern, Patterns, beside
from chaos.explore.places import GONE, JOURNAL, TABLES, UNKNOWN, places
from chaos.explore.points import Boundary, State, states
from chaos.explore.recorded import read_places, write_places

WAL, TABLE = ("data", "/wal"), ("data", "/table")
SIZE = 16 << 20


def windows(*of: str) -> list[Boundary]:
    """Boundaries at 10, 20, ... with un-flushed blocks of the WAL (w) and of the table (t)."""
    found, at = [], 0
    for number, blocks in enumerate(of, start=1):
        found.append(Boundary(number, 10 * number, "data", number, {"data": tuple(range(at, at + len(blocks)))}))
        at += len(blocks)
    return found


def patterns(boundaries: list[Boundary], blocks: str, acknowledged_at: list[int]) -> Patterns:
    named = {"w": WAL[1], "t": TABLE[1]}
    return Patterns(boundaries, {("data", at): named[each] for at, each in enumerate(blocks)}, acknowledged_at)


def test_states_are_alike_when_the_same_places_are_taken_as_many_instants_after_an_answer() -> None:
    of = windows("ww", "w", "w", "wt", "w", "w")
    found = patterns(of, "wwwwwtww", [5, 25])
    of_each = [found.of(State(1, each)) for each in of]
    taken = frozenset({WAL})
    assert of_each == [
        Pattern(taken, frozenset(), 0),
        Pattern(taken, frozenset(), 1),
        Pattern(taken, frozenset(), 0),
        Pattern(frozenset({WAL, TABLE}), frozenset(), 1),
        Pattern(taken, frozenset(), 2),
        Pattern(taken, frozenset(), LONG_AGO),
    ]
    half = State(1, of[3], frozenset({("data", 5)}))
    assert found.of(half) == Pattern(taken, frozenset({TABLE}), 1)


def test_of_each_pattern_the_states_come_first_whose_window_was_open_longest() -> None:
    times = [10, 30, 35, 36, 46, 76, 77]
    of = [replace(each, t_ns=t) for each, t in zip(windows("w", "w", "w", "w", "t", "w", "w"), times, strict=True)]
    ranked = patterns(of, "wwwwtww", []).representatives(list(states(of, 99, 0, 1)))
    assert [[each.boundary.instant for each in alike] for alike in ranked] == [[6, 2, 3], [5]]


def test_beside_a_state_are_those_before_and_after_it_with_as_much_surviving() -> None:
    every = list(states(windows("ww", "ww", "ww"), 99, 2, 1))
    nothing = {each.boundary.instant: each for each in every if not each.survivors}
    everything = {each.boundary.instant: each for each in every if len(each.survivors) == 2}
    assert beside(nothing[2], every) == [nothing[1], nothing[3]]
    assert beside(everything[3], every) == [everything[2]]


def image(folder: Path) -> Path:
    """An ext4 with three files."""
    for name in ("log/0000A1", "objects/fe/c0ffee12ab"):
        path = folder / "files" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 9000)
    (folder / "files" / "notes.db").write_bytes(b"y" * 9000)
    path = folder / "base.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    command = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-d", str(folder / "files"), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def blocks_of(path: Path, name: str) -> list[int]:
    done = subprocess.run(["debugfs", "-R", f"blocks {name}", str(path)], check=True, capture_output=True, text=True)
    return [int(each) for each in done.stdout.split()]


def rewritten(path: Path, blocks: list[int], folder: Path) -> tuple[Recording, Path]:
    """A log in which these blocks are written as they are."""
    content = path.read_bytes()
    data = folder / "data"
    data.write_bytes(b"".join(content[4096 * each : 4096 * (each + 1)] for each in blocks))
    map_, order = array("q", [-1] * (SIZE // 4096)), array("q", range(1, len(blocks) + 1))
    writes = array("q", [WRITE] * len(blocks))
    return Recording(0, map_, order, order, writes, order, array("q", blocks), array("q", range(len(blocks)))), data


def test_blocks_are_told_by_the_files_that_they_belong_to(tmp_path: Path) -> None:
    base = image(tmp_path)
    names = {
        "/log/0000A1": "/log/#",
        "/objects/fe/c0ffee12ab": "/objects/#/#",
        "/notes.db": "/notes.db",
        "<8>": JOURNAL,
    }
    of_files = {blocks_of(base, name)[-1]: place for name, place in names.items()}
    free = SIZE // 4096 - 1
    found = places(*rewritten(base, [0, *of_files, free], tmp_path), base)
    assert found == {0: TABLES, **of_files, free: GONE}


def test_of_another_file_system_all_blocks_are_alike(tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(b"XFSB" + bytes(SIZE - 4))
    assert places(*rewritten(base, [3, 9], tmp_path), base) == {3: UNKNOWN, 9: UNKNOWN}


def test_places_are_kept_and_their_absence_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="install e2fsprogs and record anew"):
        read_places(tmp_path)
    write_places(tmp_path, {"data": {3: JOURNAL, 9: "/notes.db", 4: JOURNAL}})
    assert read_places(tmp_path) == {"data": {3: JOURNAL, 4: JOURNAL, 9: "/notes.db"}}

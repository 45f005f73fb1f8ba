"""The verdict with columns is the verdict without them, whatever the history; HOLDFAST_LARGE_SEEDS compares more."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from chaos.checks import file
from chaos.checks.bulk import large
from chaos.checks.bulk.columns.scan import IrregularError
from chaos.checks.verdict import judge
from chaos.errors import HoldfastError, MalformedHistory
from chaos.history.events import Event, Idempotency, Policy
from chaos.history.reader import read_history
from tests.bench.histories import write_history
from tests.unit.checks.files import with_header, written
from tests.unit.checks.plant import PLANTS
from tests.unit.checks.service import Load, legal_history

FULL = "HOLDFAST_LARGE_SEEDS" in os.environ
SEEDS = range(int(os.environ.get("HOLDFAST_LARGE_SEEDS", "3")))
STACKS: tuple[tuple[Policy, Idempotency], ...] = (
    ("reject", "keyed"),
    ("reject", "none"),
    ("last-writer-wins", "keyed"),
    ("last-writer-wins", "none"),
)


@pytest.fixture(autouse=True)
def _no_history_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "SMALL_BYTES", 0)


def agree(path: Path) -> tuple[int, int]:
    """Compare, in one piece and in shares; returns how many operations needed a closer look, of how many."""
    whole = read_history(path)
    exact = judge(whole)
    if any(event.exceeds for event in whole.faults):  # a declared loss is judged line by line
        with pytest.raises(IrregularError, match="a declared loss"):
            large.looked(path, processes=1)
        assert file.judge_file(path, processes=1)[1] == exact
        return whole.operations, whole.operations
    history, beside = large.looked(path, processes=1)
    assert judge(history, beside) == exact
    return sum(map(len, history.records.values())), history.operations


def histories(seed: int) -> list[list[Event]]:
    found: list[list[Event]] = []
    for policy, idempotency in STACKS:
        trouble, conditional = ((0.0, 1.0), (0.05, 0.7), (0.15, 0.3))[seed % 3]
        load = Load(seed, users=4, operations=150, policy=policy, idempotency=idempotency, trouble=trouble,
                    conditional=conditional)  # fmt: skip
        events = with_header(legal_history(load), sessions=("report", "strict")[seed % 2])
        found.append(events)
        for plants in PLANTS.values():
            for _, plant in plants:
                planted = plant(list(events), random.Random(seed))
                if planted is not None:
                    found.append(planted)
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shares", [False, True], ids=["in one piece", "in shares"])
def test_the_columns_change_no_verdict_and_no_count(
    seed: int, shares: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shares:
        in_chunks(monkeypatch, 20_000)
    looked_at = Counter[str]()
    for events in histories(seed)[seed % 3 :: 1 if FULL else 9 if shares else 3]:
        closer, operations = agree(written(events, tmp_path))
        looked_at["closer"] += closer
        looked_at["all"] += operations
    assert looked_at["closer"] < 0.6 * looked_at["all"]


def test_a_calm_history_is_dismissed_but_for_the_canaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history.jsonl"
    records = write_history(path, 3_000)
    assert agree(path) == (3, 3_000)
    in_chunks(monkeypatch, 200_000)
    assert agree(path) == (3, 3_000)
    _, judgement = file.judge_file(path, processes=2)
    assert judgement.verdict == "HELD"
    assert judgement.covered == records


def test_a_history_of_more_than_a_chunk_may_be_less_than_a_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.jsonl"
    write_history(path, 300)
    in_chunks(monkeypatch, path.stat().st_size - 1)
    assert agree(path) == (3, 300)


def test_what_the_columns_do_not_understand_is_judged_by_the_exact_reader(tmp_path: Path) -> None:
    events = legal_history(Load(1, users=2, operations=60))
    path = written(events, tmp_path)
    lines = path.read_bytes().replace(b'"kind":"create"', b'"kind": "create"', 5)
    path.write_bytes(lines.replace(b'"by":"gateway-1"', b'"by":"gate\\u0077ay, \\"1\\""'))
    agree(path)
    path.write_bytes(lines.replace(b'{"event":"send",', b'{ "event":"send",', 1))
    with pytest.raises((IrregularError, MalformedHistory)):
        large.looked(path)
    assert file.judge_file(path)[1] == judge(read_history(path))


def in_chunks(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    monkeypatch.setattr(large, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(large, "SHARE_BYTES", 3 * chunk_bytes // 2)


def test_attempts_may_end_chunks_after_their_acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history.jsonl"
    write_history(path, 3_000)
    lines = path.read_bytes().splitlines(keepends=True)
    backs = [line for line in lines if line.startswith(b'{"event":"back"')][:1000]
    late = set(random.Random(3).sample(backs, 300))
    first_door = next(n for n, line in enumerate(lines) if line.startswith(b'{"event":"door"'))
    moved = [line for line in lines[:first_door] if line not in late]
    moved += [line for line in backs if line in late]
    path.write_bytes(b"".join(moved + lines[first_door:]))
    in_chunks(monkeypatch, 50_000)
    assert agree(path) == (3, 3_000)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"event":"send","op":%d,"n":1,"t":1}\n', "never acted"),
        (b'{"event":"back","op":%d,"n":1,"t":1,"outcome":"ok"}\n', "never acted"),
        (b'{"event":"act","op":9000000000,"t":1,"session":"s","device":"d","owner":"u","kind":"list"}\n', "far apart"),
        (b'{"event":"act","op":40,"t":1,"session":"s","device":"d","owner":"u","kind":"list"}\n', "acts twice"),
    ],
)
@pytest.mark.parametrize("number", [999_999, 2**17 - 1, 2**61])
def test_numbers_that_contradict_each_other_across_chunks_are_left_to_the_exact_reader(
    line: bytes, why: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.jsonl"
    write_history(path, 2_000)
    lines = path.read_bytes().splitlines(keepends=True)
    lines.insert(len(lines) // 2, line % number if b"%d" in line else line)
    lines[-1] = lines[-1].replace(b'"events":%d' % (len(lines) - 2), b'"events":%d' % (len(lines) - 1))
    path.write_bytes(b"".join(lines))
    in_chunks(monkeypatch, 50_000)
    with pytest.raises(IrregularError, match=why):
        large.looked(path, processes=1)


@pytest.mark.parametrize("damage", ["cut", "dropped", "doubled", "swapped", "changed"])
def test_a_damaged_history_gets_the_verdict_or_the_error_of_the_exact_reader(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, draw = tmp_path / "history.jsonl", random.Random(5)
    chunk_bytes = large.CHUNK_BYTES
    for case in range(int(os.environ.get("HOLDFAST_FUZZ_CASES", "500")) // 5):
        if case % 25 == 0:
            policy, idempotency = STACKS[case // 25 % len(STACKS)]
            load = Load(case // 25, users=2, operations=60, policy=policy, idempotency=idempotency)
            whole = written(legal_history(load), tmp_path).read_bytes()
        in_chunks(monkeypatch, 10_000 if case % 2 else chunk_bytes)
        path.write_bytes(damaged(whole, damage, draw))
        assert outcome(path, exact=False) == outcome(path, exact=True)


def test_a_row_that_stands_before_its_write_is_looked_at_closely(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write_history(path, 300)
    lines = path.read_bytes().splitlines(keepends=True)
    read = next(n for n, line in enumerate(lines) if line.startswith(b'{"event":"door"') and b'"rows":[{' in line)
    lines.insert(1, lines.pop(read))
    path.write_bytes(b"".join(lines))
    exact = judge(read_history(path))
    assert "kept changing" in exact.reason  # the first round showed what nobody had written yet
    assert file.judge_file(path)[1] == exact


def damaged(whole: bytes, damage: str, draw: random.Random) -> bytes:
    lines = whole.splitlines(keepends=True)
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    if damage == "cut":
        return whole[: draw.randrange(len(whole))]
    if damage == "dropped":
        del lines[at]
    elif damage == "doubled":
        lines.insert(other, lines[at])
    elif damage == "swapped":
        lines[at], lines[other] = lines[other], lines[at]
    else:
        changed = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            changed[draw.randrange(len(changed))] = draw.choice(b'0129"\\{}[],:abw-#\n \x00\xff')
        return bytes(changed)
    return b"".join(lines)


def outcome(path: Path, *, exact: bool) -> object:
    try:
        return judge(read_history(path)) if exact else file.judge_file(path, processes=1)[1]
    except HoldfastError as error:
        if "the check itself failed" in str(error):
            raise AssertionError(path.read_bytes()) from error
        return str(error)

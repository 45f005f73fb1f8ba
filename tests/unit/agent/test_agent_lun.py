"""The array's LUN against its model, and the model against planted bugs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from chaos.agent.disk import log
from chaos.agent.disk.lun import Lun
from chaos.agent.recording import BLOCK_BYTES
from tests.unit.agent.lun_model import (
    SIZE,
    Early,
    FlushesNothing,
    FreesWhatACutBroughtBack,
    KeepsOneBlock,
    LogsFlushesLate,
    LogsNoCut,
    LosesTheTail,
    LunMachine,
    ReusesVolatileSlots,
    RevertsInWriteOrder,
    RotIsVolatile,
    SurvivorsAreVolatile,
    TearsToZeros,
)

TestALunBehavesAsItsModel = LunMachine.TestCase
TestALunThatReusesSlotsBehavesAsItsModel = Early.TestCase


BUGS = (
    FlushesNothing,
    FreesWhatACutBroughtBack,
    KeepsOneBlock,
    LogsFlushesLate,
    LogsNoCut,
    LosesTheTail,
    ReusesVolatileSlots,
    RevertsInWriteOrder,
    RotIsVolatile,
    SurvivorsAreVolatile,
    TearsToZeros,
)


@pytest.mark.parametrize("bug", BUGS)
def test_the_model_finds_a_planted_bug(bug: type[Lun]) -> None:
    class Planted(LunMachine if bug in (LogsFlushesLate, LogsNoCut) else Early):  # type: ignore[misc]
        kind = bug

    look = settings(
        max_examples=300, phases=(Phase.generate,), derandomize=True, database=None, deadline=None, print_blob=False
    )
    with pytest.raises(Exception) as found:  # noqa: PT011 - an assertion, or a group of several
        run_state_machine_as_test(Planted, settings=look)
    assert isinstance(found.value, AssertionError | ExceptionGroup)


def test_a_saved_lun_is_sparse(tmp_path: Path) -> None:
    made = Lun(64 << 20, None, str(tmp_path))
    made.write(48 << 20, b"x" * BLOCK_BYTES)
    made.save(str(tmp_path / "saved"))
    made.close()
    found = (tmp_path / "saved").stat()
    assert found.st_size == 64 << 20
    assert found.st_blocks * 512 < 1 << 20


def test_a_clone_copies_nothing(tmp_path: Path) -> None:
    (tmp_path / "base").write_bytes(os.urandom(SIZE))
    made = Lun(SIZE, str(tmp_path / "base"), str(tmp_path))
    assert os.fstat(made._data).st_size == 0
    made.close()


def test_the_log_stops_growing_once_slots_are_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "CHANGES_MAX", 8)
    made = Lun(SIZE, None, str(tmp_path))
    for number in range(500):
        made.write(0, bytes([number % 256]) * BLOCK_BYTES * 2)
        made.flush()
    assert os.fstat(made._data).st_size <= (2 * log._FORGOTTEN_AT_ONCE + 16) * BLOCK_BYTES
    made.close()


def test_a_write_that_the_store_took_only_in_part_is_an_error_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Lun(SIZE, None, str(tmp_path))
    made.write(0, b"a" * BLOCK_BYTES)
    written = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: written(file, data[: len(data) // 2], offset))
    with pytest.raises(OSError, match="No space") as caught:
        made.write(0, b"b" * BLOCK_BYTES)
    assert caught.value.errno == errno.ENOSPC
    assert made.read(0, BLOCK_BYTES) == b"a" * BLOCK_BYTES
    made.close()


@pytest.mark.parametrize("size", [0, -4096, 4095, 4097])
def test_a_size_that_is_no_multiple_of_a_block_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple of 4096"):
        Lun(size, None, str(tmp_path))

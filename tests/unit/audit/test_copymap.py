"""Where the stamps of writes are in write logs, when they were flushed there, and what would take all of them."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from chaos.agent.recording import BLOCK_BYTES, FLUSH, WRITE, Recording
from chaos.audit.copymap import CopyMap, Held, copy_map
from chaos.audit.predicted import domains, predict
from chaos.experiment.plan import Target, Trigger
from chaos.history.events import Header
from chaos.history.model import Attempt, History, Operation
from chaos.preflight.opening import open_experiment
from chaos.workload.records import make

MINIMAL = open_experiment(Path("experiments/power_cut.yaml"), 1).stack
SYNCSTACK = open_experiment(Path("experiments/syncstack/san_loss.yaml"), 1).stack


class Log:
    """A write log that is written here: each write is (block, bytes), each flush a time."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.t = path, b"", 0
        self.columns: dict[str, array[int]] = {
            name: array("q") for name in ("map", "instants", "times", "kinds", "ends", "blocks", "slots")
        }

    def _io(self, kind: int, t: int) -> None:
        for name, value in (("instants", len(self.columns["kinds"])), ("times", t), ("kinds", kind)):
            self.columns[name].append(value)
        self.columns["ends"].append(len(self.columns["blocks"]))

    def write(self, t: int, block: int, content: bytes) -> Log:
        padded = content.ljust(-(-len(content) // BLOCK_BYTES) * BLOCK_BYTES, b"\0")
        for at in range(0, len(padded), BLOCK_BYTES):
            self.columns["blocks"].append(block + at // BLOCK_BYTES)
            self.columns["slots"].append(len(self.data) // BLOCK_BYTES)
            self.data += padded[at : at + BLOCK_BYTES]
        self._io(WRITE, t)
        return self

    def flush(self, t: int) -> Log:
        self._io(FLUSH, t)
        return self

    def done(self) -> tuple[Recording, Path]:
        self.path.write_bytes(self.data)
        return Recording(0, **self.columns), self.path


def history(*writes: tuple[str, str, str, int]) -> History:
    """Of writes, each (record, write id, type, when it was acknowledged), all of user u."""
    found = History(Path("h"), Header("e", 1, "reject", "keyed"))
    for number, (record, write, kind, t) in enumerate(writes):
        what = "delete" if kind == "" else "create"
        one = Operation(number, 0, "s", "d", "u", what, record, kind, write, "", "", None, 0, 0)
        attempt = Attempt(0, "s")
        attempt.back, attempt.outcome = t, "ok"
        one.attempts.append(attempt)
        found.records[("u", record)] = [one]
        found.writes[write] = one
    return found


def row(record: str, write: str, kind: str = "contact") -> bytes:
    return repr(make("u", record, write, kind).fields).encode()


def mapped(tmp_path: Path, of: History, **logs: Log) -> CopyMap:
    done = {lun: log.done() for lun, log in logs.items()}
    return copy_map(of, {lun: each[0] for lun, each in done.items()}, {lun: each[1] for lun, each in done.items()})


def test_a_copy_counts_where_it_was_flushed_before_the_acknowledgement(tmp_path: Path) -> None:
    one = Log(tmp_path / "a").write(5, 3, row("r-1", "w-1")).flush(10).write(12, 4, row("r-2", "w-2")).flush(20)
    other = Log(tmp_path / "b").write(6, 9, row("r-1", "w-1") + row("r-2", "w-2")).flush(30)
    found = mapped(tmp_path, history(("r-1", "w-1", "contact", 11), ("r-2", "w-2", "todo", 31)), a=one, b=other)
    assert found.held == (
        Held("record", frozenset("a"), 1, "u/r-1", (1,), frozenset("ab")),
        Held("record", frozenset("ab"), 1, "u/r-2", (2,), frozenset("ab")),
    )
    assert (found.acknowledged, found.unseen) == (2, 0)


def test_what_was_acknowledged_before_any_flush_had_no_copy(tmp_path: Path) -> None:
    log = Log(tmp_path / "a").write(5, 3, row("r-1", "w-1")).flush(20).write(21, 3, row("r-2", "w-2"))
    found = mapped(tmp_path, history(("r-1", "w-1", "contact", 11), ("r-2", "w-2", "contact", 25)), a=log)
    assert [(each.luns, each.writes, each.later) for each in found.unflushed] == [(frozenset(), 2, frozenset())]


def test_what_is_on_no_lun_is_unseen_and_a_delete_has_no_bytes(tmp_path: Path) -> None:
    log = Log(tmp_path / "a").write(5, 3, b"compressed").flush(6)
    found = mapped(tmp_path, history(("r-1", "w-1", "contact", 11), ("r-2", "w-2", "", 12)), a=log)
    assert (found.acknowledged, found.unseen, found.held) == (1, 1, ())


def test_a_photo_has_a_blob_of_its_own_whose_last_sector_counts(tmp_path: Path) -> None:
    photo = make("u", "r-1", "w-1", "photo", size_bytes=3 * BLOCK_BYTES + 20)
    assert photo.blob is not None
    early, late = photo.blob[:BLOCK_BYTES], photo.blob[BLOCK_BYTES:]
    blobs = Log(tmp_path / "p").write(1, 0, early).flush(2).write(3, 1, late).flush(15)
    rows = Log(tmp_path / "d").write(4, 0, row("r-1", "w-1", "photo")).flush(9)
    found = mapped(tmp_path, history(("r-1", "w-1", "photo", 10)), p=blobs, d=rows)
    assert {(each.part, each.luns, each.later) for each in found.held} == {
        ("record", frozenset("d"), frozenset("d")),
        ("blob", frozenset(), frozenset("p")),
    }


def test_a_stamp_that_goes_over_the_border_of_two_blocks_is_found(tmp_path: Path) -> None:
    content = b"x" * (BLOCK_BYTES - 4) + b" " + row("r-1", "w-1")
    found = mapped(
        tmp_path, history(("r-1", "w-1", "contact", 11)), a=Log(tmp_path / "a").write(1, 7, content).flush(2)
    )
    assert found.unseen == 0


def held(*luns: str, part: str = "record", at: tuple[int, ...] = (10, 20, 30)) -> Held:
    return Held(part, frozenset(luns), len(at), "u/r", at, frozenset(luns))  # type: ignore[arg-type]


def test_the_smallest_losses_that_take_every_copy_are_predicted(tmp_path: Path) -> None:
    luns = {lun.array: lun.name for lun in SYNCSTACK.luns.values() if not lun.is_local}
    core, a, *_ = luns
    found = CopyMap(9, 0, (held(luns[core], luns[a], at=(1, 2, 3, 4)), held(luns[core], part="blob", at=(5, 6, 7))))
    [first] = predict(found, SYNCSTACK)  # what takes both contains what takes the blobs
    assert [(each.fault, each.target, each.at) for each in first.schedule] == [
        ("san.lose", Target("array", core), Trigger(acknowledged=6))
    ]
    [both] = predict(CopyMap(4, 0, found.held[:1]), SYNCSTACK)
    assert both.schedule[0].target == Target("arrays", tuple(sorted((core, a))))


@pytest.mark.parametrize("luns", [(), ("pgdata",)])
def test_a_power_cut_is_predicted_where_something_was_flushed_nowhere(luns: tuple[str, ...]) -> None:
    found = predict(CopyMap(3, 0, (held(*luns),)), MINIMAL)
    assert [each.schedule[0].fault for each in found] == (["disk.power_cut"] if not luns else ["san.lose"])
    assert found[0].schedule[0].at == Trigger(acknowledged=20)


def test_a_local_disk_is_a_domain_of_its_own() -> None:
    of = domains(open_experiment(Path("experiments/redis/power_cut.yaml"), 1).stack)
    assert all(of.values())

"""The folder of a recording, and its history up to an instant."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.checks.file import judge_file
from chaos.errors import HarnessError, UsageError
from chaos.explore.recorded import RECORDED_FILE, CutHistory, Recorded, have
from chaos.history.events import CANARY_OWNER, Act, Back, DoorRead, End, Event, FaultEvent, Header, Note, Row, Send
from chaos.history.recorder import encode

RECORDED = Recorded(10, 90, {"data": "data"}, "1a2b", {"box": "4c2e"}, 7)
CUT = FaultEvent(0, 50, "disk.power_cut", "core", "injected", struck=("data",))


def created(op: int, record: str, owner: str, acknowledged: int, hash_: str = "") -> list[Event]:
    device, hash_ = f"{owner}-d", hash_ or f"h{op}"
    act = Act(op, op, f"{device}#1", device, owner, "create", record, "contact", f"w-{op}", hash_, f"k{op}")
    return [act, Send(op, 1, op), Back(op, 1, acknowledged, "ok")]


def read(owner: str, *rows: Row) -> DoorRead:
    return DoorRead(1, "fresh", owner, 1, 60, 61, "ok", rows=rows)


def row(op: int, record: str, owner: str) -> Row:
    return Row(record, owner, f"w-{op}", f"h{op}")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Two canaries, of which one never went out; of one record the answer came at 40, of another at 60."""
    events: list[Event] = [
        Header("e", 1, "reject", "keyed", canaries={"A": "never", "B": "other"}, faults=("process.kill",)),
        *created(1, "never", CANARY_OWNER, 2),
        *created(3, "other", CANARY_OWNER, 4, hash_="wrong"),
        *created(20, "early", "u-00", 40),
        *created(30, "late", "u-00", 60),
    ]
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"".join(map(encode, [*events, End(99, len(events))])))
    return path


def judged(history: Path, *rows: Row, note: Note | None = None) -> tuple[str | None, dict[str, int]]:
    cut = history.with_name("cut.jsonl")
    then = [note] if note else [read("u-00", *rows), read(CANARY_OWNER, row(3, "other", CANARY_OWNER))]
    CutHistory(history).write(cut, CUT, then)
    judgement = judge_file(cut)[1]
    return judgement.verdict, {name: n for name, n in judgement.anomalies.items() if name != "not-quiescent"}


def test_what_was_acknowledged_before_the_cut_has_to_be_there(history: Path) -> None:
    assert judged(history) == ("VIOLATED", {"lost": 1, "never-read": 1})


def test_what_was_acknowledged_after_it_may_be_missing_and_may_be_there(history: Path) -> None:
    for rows in ([row(20, "early", "u-00")], [row(20, "early", "u-00"), row(30, "late", "u-00")]):
        verdict, anomalies = judged(history, *rows)
        assert (verdict, "lost" in anomalies) == ("INCONCLUSIVE", False)


def test_what_was_never_sent_before_it_must_not_be_there(history: Path) -> None:
    lines = history.read_bytes().replace(b'"t":30', b'"t":55')
    history.write_bytes(lines)
    assert judged(history, row(20, "early", "u-00"), row(30, "late", "u-00"))[1]["phantom"] == 1


def test_a_service_that_does_not_come_back_is_a_violation(history: Path) -> None:
    verdict, anomalies = judged(history, note=Note("unrecoverable", 70, "db did not get ready"))
    assert (verdict, anomalies["unrecoverable"]) == ("VIOLATED", 1)


def test_a_recording_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    RECORDED.write(tmp_path)
    assert Recorded.read(tmp_path) == RECORDED


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 1}', '{"format": 3}'])
def test_what_is_no_recording_is_told_with_its_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / RECORDED_FILE).write_text(content)
    with pytest.raises(UsageError, match="begin a new exploration"):
        Recorded.read(tmp_path)


def test_logs_that_are_cut_short_are_told(tmp_path: Path) -> None:
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording" / "data.log").write_text("{}\n")
    with pytest.raises(HarnessError, match="write logs cannot be read"):
        RECORDED.recordings(tmp_path)


def test_disks_are_recovered_by_the_stack_that_wrote_them_and_by_no_other(tmp_path: Path) -> None:
    RECORDED.require_golden("1a2b", tmp_path)
    with pytest.raises(UsageError, match="the stack or its images have changed"):
        RECORDED.require_golden("3c4d", tmp_path)


def test_a_file_is_there_twice_also_where_it_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.img"
    with path.open("wb") as file:
        file.write(b"as it was")
        file.truncate(1 << 20)
    have(path, tmp_path / "linked")
    assert (tmp_path / "linked").samefile(path)

    def refuse(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    have(path, tmp_path / "copied")
    path.unlink()
    assert (tmp_path / "copied").read_bytes() == (tmp_path / "linked").read_bytes()
    assert (tmp_path / "copied").stat().st_blocks < 100, "its holes are none any more"
    with pytest.raises(HarnessError, match="cannot be copied"):
        have(path, tmp_path / "nothing")

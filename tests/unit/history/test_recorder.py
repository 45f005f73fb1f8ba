"""The recorder: whole lines whatever happens, and counts that triggers can wait for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from chaos.errors import HarnessError, MalformedHistory
from chaos.history.events import CANARY_OWNER, Act, Back, End, Event, Header, Kind, Outcome, Row, Send
from chaos.history.reader import read_history
from chaos.history.recorder import Recorder, encode


def act(op: int, *, owner: str = "u-01", kind: Kind = "create") -> Act:
    return Act(op, op * 10, "d-01#1", "d-01", owner, kind, f"r-{op}", "todo", f"w-{op}", "ab", f"k-{op}")


def attempt(recorder: Recorder, op: int, outcome: Outcome = "ok", **given: str) -> None:
    recorder.append(act(op, **given))  # type: ignore[arg-type]
    recorder.append(Send(op, 1, op * 10 + 1))
    recorder.append(Back(op, 1, op * 10 + 2, outcome))


def test_each_acknowledged_operation_is_counted_once_and_canaries_and_reads_never(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    attempt(recorder, 1)
    attempt(recorder, 2, "info")
    recorder.append(Send(2, 2, 30))
    recorder.append(Back(2, 2, 31, "ok"))
    recorder.append(Send(2, 3, 32))
    recorder.append(Back(2, 3, 33, "ok"))
    attempt(recorder, 3, owner=CANARY_OWNER)
    attempt(recorder, 4, kind="sync")
    attempt(recorder, 5, "degraded")
    assert recorder.acknowledged == 2
    assert recorder.last_acknowledged_at == 31


def test_a_trigger_is_resolved_before_append_returns(tmp_path: Path) -> None:
    async def scene() -> None:
        recorder = Recorder(tmp_path / "history.jsonl")
        second, first, cancelled = (recorder.when_acknowledged(n) for n in (2, 1, 2))
        cancelled.cancel()
        attempt(recorder, 1)
        assert first.done()
        assert first.result() == 12
        assert not second.done()
        attempt(recorder, 2)
        assert second.result() == 22
        assert recorder.when_acknowledged(1).done()

    asyncio.run(scene())


def test_what_equals_its_default_is_left_out_and_what_differs_never_is() -> None:
    header = orjson.loads(encode(Header("x", 1, "reject", "keyed", require_mix=False)))
    assert header["require_mix"] is False
    assert "sessions" not in header
    row = Row("r", "u", "w", "h", stamps=(("u", "r", "w-2"),))
    back = orjson.loads(encode(Back(1, 1, 5, "ok", rows=(row,))))
    assert back["rows"] == [{"record": "r", "owner": "u", "write": "w", "hash": "h", "stamps": [["u", "r", "w-2"]]}]


def test_text_that_is_no_unicode_is_still_evidence() -> None:
    line = orjson.loads(encode(Back(1, 1, 5, "ok", rows=(Row("r\ud800", "u", "w", "h"),))))
    assert line["rows"][0]["record"] == "r\\ud800"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    Recorder(path).close()
    with pytest.raises(HarnessError, match="new and writable"):
        Recorder(path)


def test_after_close_events_are_refused_and_closing_again_is_nothing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.append(Header("x", 1, "reject", "keyed"))
    recorder.close()
    recorder.close()
    assert orjson.loads(recorder.path.read_bytes().splitlines()[-1])["events"] == 1
    assert read_history(recorder.path).ended > 0
    with pytest.raises(HarnessError, match="closed"):
        recorder.append(act(1))


def test_an_abandoned_history_is_not_judged(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.append(Header("x", 1, "reject", "keyed"))
    recorder.abandon()
    with pytest.raises(MalformedHistory, match="cut short"):
        read_history(recorder.path)


def test_a_full_disk_is_told_and_not_swallowed() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    recorder = Recorder.__new__(Recorder)
    recorder.path, recorder._events, recorder._descriptor = full, 0, os.open(full, os.O_WRONLY)
    with pytest.raises(HarnessError, match="make room"):
        recorder.append(Header("x", 1, "reject", "keyed"))


def test_after_kill_9_every_line_that_was_appended_is_there_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    program = (
        "import sys; from pathlib import Path\n"
        "from chaos.history.recorder import Recorder\n"
        "from chaos.history.events import Note\n"
        f"recorder = Recorder(Path({str(path)!r}))\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; recorder.append(Note('runbook', n, 'x' * 500)); sys.stdout.write(f'{n}\\n'); sys.stdout.flush()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = 0
    while told < 200:
        told = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.communicate()[0].splitlines()
    told = max([told, *(int(line) for line in rest[:-1])])
    lines = path.read_bytes().split(b"\n")[:-1]  # the kernel may cut the line that was just being appended
    assert len(lines) >= told
    assert [orjson.loads(line)["t"] for line in lines] == list(range(1, len(lines) + 1))


def test_every_event_survives_the_file() -> None:
    events: list[Event] = [End(5, 3), act(1), Send(1, 2, 3, "d-01#2")]
    for event in events:
        line = encode(event)
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1

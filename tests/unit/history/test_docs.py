"""The page on the format shows lines that the reader takes, of every event."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

from chaos.history.events import TAGS
from chaos.history.reader import read_history

PAGE = Path(__file__).parents[3] / "docs" / "history.md"


def test_every_event_has_an_example_and_the_reader_takes_them_all(tmp_path: Path) -> None:
    examples = [
        orjson.loads(line)
        for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
        for line in block.splitlines()
    ]
    assert {example["event"] for example in examples} == set(TAGS)
    header, *rest = examples
    # Two lines that the excerpts leave out: the read whose answer is shown, and the round before the last.
    read = {"event": "act", "op": 19, "t": 1, "session": "d-06#2", "device": "d-06", "owner": "u-03", "kind": "list"}
    sent = {"event": "send", "op": 19, "n": 1, "t": 2}
    (door,) = [example for example in rest if example["event"] == "door"]
    first_round = {**door, "round": 1, "invoked": 1, "t": 2, "settled": False}
    lines = [header, read, sent]
    for example in rest:
        lines += [first_round, example] if example is door else [example]
    lines[-1] = {**lines[-1], "events": len(lines) - 1}
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    history = read_history(path)
    assert history.doors[1, "u-03", "fresh"][-1].settled
    assert [operation.write for operation in history.doors[1, "u-03", "fresh"][-1].whole.values()] == ["w-17"]

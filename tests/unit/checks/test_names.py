"""What things are called changes nothing: a history in which every name is turned around is judged alike."""

from __future__ import annotations

import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.checks.verdict import Judgement, judge
from chaos.history.events import Policy
from chaos.history.reader import read_history
from tests.unit.checks.files import with_header, written
from tests.unit.checks.plant import PLANTS
from tests.unit.checks.service import Load, legal_history

SEEDS = range(min(int(os.environ.get("HOLDFAST_PLANT_SEEDS", "1")), 20))
_NAMES = re.compile(rb'\b(?:u|d|r|w|k|k-w|row)-[\d#-]+|(?<=")[\da-f]{16}(?=")')
_TURNED = {
    False: bytes.maketrans(b"0123456789", b"zyxwvutsrq"),
    True: bytes.maketrans(b"0123456789abcdef", b"fedcba9876543210"),
}


def turned(content: bytes) -> bytes:
    """With every name of a user, device, record, write, key and row, and every hash, in the opposite order."""
    return _NAMES.sub(lambda found: found[0].translate(_TURNED[b"-" not in found[0]]), content)


def facts(judgement: Judgement) -> tuple[Judgement, int, set[tuple[str, str, tuple[str, ...]]]]:
    """All of it but the texts, in which the first of several may be another one."""
    records = {(each.owner, each.record, each.classes) for each in judgement.records}
    return replace(judgement, reason="", reasons=(), records=(), first_told={}), len(judgement.reasons), records


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("policy", ["reject", "last-writer-wins", "keep-both"])
def test_names_and_hashes_in_the_opposite_order_change_no_judgement(seed: int, policy: Policy, tmp_path: Path) -> None:
    clean = with_header(legal_history(Load(seed, policy=policy)), sessions=("report", "strict")[seed % 2])
    planted = [plant(list(clean), random.Random(seed)) for plants in PLANTS.values() for _, plant in plants]
    assert turned(b'"u-10"') == b'"u-yz"'
    seen = set[str]()
    for events in (clean, *planted):
        if events is None:
            continue
        path = written(events, tmp_path)
        judgement, reasons, records = facts(judge(read_history(path)))
        path.write_bytes(turned(path.read_bytes()))
        theirs = {(turned(o.encode()).decode(), turned(r.encode()).decode(), classes) for o, r, classes in records}
        assert facts(judge(read_history(path))) == (judgement, reasons, theirs)
        seen.update(judgement.anomalies)
    assert len(seen) > 10

"""A store that has nothing of a phone: the short driver of the guide, records of its own type, and no tricks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD
from chaos.history.reader import read_history
from tests.integration.command import holdfast
from tests.integration.plans import ROOT

pytestmark = pytest.mark.engine
OVERLAY = "x-chaos: {idempotency: none}\n"
EXPERIMENT = f"""\
experiment: invoices
stack: [{ROOT}/fixtures/plain_postgres/compose.yaml, overlay.yaml]
driver: guide:Table
workload:
  users: 10
  operations: 300
  rate_per_second: 300
  resets: 0
  types: {{invoice: {{bytes: [300, 20000]}}}}
schedule:
  - fault: disk.power_cut
    target: {{lun: pgdata}}
    at: {{acknowledged: 130}}
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    guide = (ROOT / "docs" / "drivers.md").read_text()
    block = next(each for each in re.findall(r"^```python\n(.*?)^```", guide, re.M | re.S) if "class Table" in each)
    (tmp_path / "guide.py").write_text(block)
    (tmp_path / "overlay.yaml").write_text(OVERLAY)
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    return tmp_path


def test_a_table_of_invoices_is_judged_with_a_driver_of_three_methods_and_no_settings_of_the_checks(
    store: Path,
) -> None:
    outcome = holdfast("run", "e.yaml", "--seed", "4", "--json", cwd=store)
    assert outcome.code == EXIT_HELD, outcome.document["reason"]
    history = read_history(store / outcome.document["run_dir"] / "history.jsonl")
    assert {operation.type for of_one in history.records.values() for operation in of_one} == {"invoice"}
    assert outcome.document["mix"]["photos"] == 0


def test_the_short_driver_of_the_guide_keeps_every_promise_that_its_stack_makes(store: Path) -> None:
    outcome = holdfast("driver-test", "e.yaml", "--json", cwd=store)
    assert outcome.code == EXIT_HELD, outcome.stderr
    skipped = {check["check"] for check in outcome.document["checks"] if check["outcome"] != "ok"}
    assert skipped == {"a photo comes back whole", "the same put again changes nothing"}

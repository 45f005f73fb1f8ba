"""Inner sessions of pytest whose trials nobody runs."""

from __future__ import annotations

import pytest

from tests.unit.testing.fakes import Trials


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> Trials:
    fakes = Trials()
    fakes.stand_in(monkeypatch)
    experiments = pytester.mkdir("experiments")
    (experiments / "power_cut.yaml").write_text("# why\nexperiment: power_cut\nstack: compose.yaml\n", encoding="utf-8")
    return fakes

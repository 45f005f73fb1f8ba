"""What tests of the agent share."""

from __future__ import annotations

import builtins
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.agent.process import cgroups


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], Path]:
    """Puts a process into a cgroup: its /proc/PID/cgroup, a file below the root, and its content."""

    def put(lines: str, file: str, content: str) -> Path:
        path = tmp_path / file
        path.parent.mkdir(parents=True)
        path.write_text(content)
        real = builtins.open
        monkeypatch.setattr(
            cgroups,
            "open",
            lambda name, *mode: io.StringIO(lines) if str(name).endswith("/cgroup") else real(name, *mode),
            raising=False,
        )
        return path

    return put

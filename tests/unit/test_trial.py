"""What a trial leaves in its run folder, with a stack that only takes notes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from chaos.errors import AgentError, HarnessError
from chaos.experiment.plan import Checks, Limits, Plan, Workload
from chaos.history.events import Note
from chaos.stack.cache import CACHE_IN_AGENT, scratch_of
from chaos.stack.spec import Lun, Stack
from chaos.trial import Trial


class NotingStack:
    """Saves one LUN, and fails where it is told to."""

    def __init__(self, cache: Path, fails_in: str = "") -> None:
        self.cache = cache
        self.fails_in = fails_in
        self.did: list[str] = []

    def _do(self, what: str, error: HarnessError) -> None:
        self.did.append(what)
        if what == self.fails_in:
            raise error

    async def take_down(self) -> None:
        self._do("take down", HarnessError("a container cannot be removed"))

    async def unmounted(self) -> None:
        self._do("unmount", HarnessError("somebody else has it mounted"))

    @property
    def disks(self) -> NotingStack:
        return self

    async def save(self, folder: str) -> None:
        (self.cache / folder.removeprefix(f"{CACHE_IN_AGENT}/") / "pgdata.img").write_text("data")
        self._do("save", AgentError("the agent refused save: No space left on device"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    bound = scratch_of("run") / "0-config.json"  # a copy of a file that services write to
    bound.parent.mkdir(parents=True)
    bound.write_text("{}")
    return tmp_path / "cache"


@pytest.mark.parametrize("fails_in", ["", "unmount", "save"])
def test_the_disks_are_kept_as_they_are_once_nobody_writes_beside_copies_of_bound_files(
    cache: Path, tmp_path: Path, fails_in: str
) -> None:
    running, folder = NotingStack(cache, fails_in), tmp_path / "run"
    folder.mkdir()
    trial = Trial.__new__(Trial)
    vars(trial).update(_running=running, _folder=folder, _lab=SimpleNamespace(run=SimpleNamespace(id="run")))
    asyncio.run(trial._keep_luns())
    assert running.did == ["take down", "unmount", "save"]
    assert [path.name for path in (folder / "luns").iterdir()] == ["pgdata.img"]
    assert [path.name for path in scratch_of("run").iterdir()] == ["0-config.json"]


@pytest.mark.parametrize(
    ("topology", "photos", "said"),
    [
        ("report", 0.1, []),
        ("strict", 0.1, ["every copy of records is on array core", "every copy of blobs is on array core"]),
        ("strict", 0.0, ["every copy of records is on array core"]),
    ],
)
def test_only_a_strict_topology_calls_copies_in_one_place_unprotected(
    topology: Literal["report", "strict"], photos: float, said: list[str]
) -> None:
    trial, noted = Trial.__new__(Trial), list[Note]()
    luns = {name: Lun(name, "core", 1 << 20) for name in ("one", "two")}
    copies = {"records": ("one", "two"), "blobs": ("one", "two"), "index": ("one",)}
    vars(trial).update(
        _stack=Stack("s", Path("compose.yaml"), {}, luns, (), ("db", 1), copies=copies),
        _plan=Plan("e", "", (), 1, Workload(photos=photos), (), Checks(topology=topology), Limits()),
        _recorder=SimpleNamespace(append=noted.append),
        _fan=SimpleNamespace(log=lambda line: None),
    )
    trial._note_copies()
    assert [note.text for note in noted if note.topic == "unprotected"] == said
    assert len([note for note in noted if note.topic == "copies"]) == 3

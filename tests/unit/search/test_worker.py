"""A worker's stack copy: kept between the trials of a search, gone when none comes any more. No stack is started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest

from chaos.errors import HarnessError
from chaos.experiment.plan import Plan
from chaos.preflight.opening import Opened
from chaos.search.campaign import placed
from chaos.search.executors import worker
from chaos.search.executors.parcel import packed, unpacked
from chaos.search.executors.worker import Host, Ran
from chaos.search.strategies import drawn_plans, examples
from chaos.stack.cache import cache_folder
from tests.unit.search.simulated import kept, minimal

HERE = version("holdfast")


@dataclass
class Copies:
    """Stack copies that are none.

    Attributes:
        happened: What was made, run and removed, in order.
        trial_is: What happens in a trial.
    """

    happened: list[str] = field(default_factory=list)
    trial_is: Callable[[Path], Awaitable[object]] = lambda folder: asyncio.sleep(0)
    plans: list[Plan] = field(default_factory=list)
    is_removed: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def open(self, opened: Opened, jobs: int, say: Callable[[str], None]) -> AsyncIterator[Copies]:
        assert (jobs, opened.stack.name) == (1, "minimal")
        self.happened.append("made")
        yield self
        self.happened.append("removed")
        self.is_removed.set()

    async def trial(self, plan: Plan, folder: Path) -> None:
        self.plans.append(plan)
        (folder / "history.jsonl").write_text("what happened")
        await self.trial_is(folder)
        self.happened.append("trial")


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Copies:
    made = Copies()
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(worker, "Copies", made)
    monkeypatch.setattr(worker, "sweep", lambda: made.happened.append("swept"))
    return made


@pytest.fixture
def parcel(tmp_path: Path) -> bytes:
    """A trial's run folder, which is on this machine no more."""
    opened = minimal()
    [drawn] = examples(drawn_plans(opened.plans[0], opened.stack), 1, 3)
    folder = tmp_path / "search" / "trials" / "0001"
    placed(kept(opened, tmp_path / "begun"), drawn, folder)
    made = packed(folder)
    (tmp_path / "begun").rename(tmp_path / "elsewhere")
    (tmp_path / "search").rename(tmp_path / "gone")
    return made


def left() -> list[Path]:
    return [*(cache_folder() / "scratch").iterdir()]


def test_a_copy_is_kept_between_the_trials_of_a_search_and_what_a_trial_wrote_comes_back(
    copies: Copies, parcel: bytes, tmp_path: Path
) -> None:
    async def two() -> list[Ran]:
        host = Host()
        ran = [await host.trial("a", HERE, parcel) for _ in range(2)]
        await host.let_go("another")
        assert copies.happened == ["swept", "made", "trial", "trial"]
        await host.let_go("a")
        return ran

    for ran in asyncio.run(two()):
        assert (ran.error, ran.warnings) == ("", ())
        unpacked(ran.made, tmp_path / ran.host)
        assert [path.name for path in (tmp_path / ran.host).iterdir()] == ["history.jsonl"], "its inputs are there"
    assert copies.happened == ["swept", "made", "trial", "trial", "removed"]
    assert left() == []
    stack, actions = ({plan.stack for plan in copies.plans}, {plan.actions for plan in copies.plans})
    assert (len(stack), len(actions)) == (2, 2), "each trial runs in a folder of its own"


def test_another_search_gets_another_copy_when_the_first_is_gone(copies: Copies, parcel: bytes) -> None:
    async def one_each() -> None:
        host = Host()
        await host.trial("a", HERE, parcel)
        await host.trial("b", HERE, parcel)
        await host.let_go("a")
        assert copies.happened == ["swept", "made", "trial", "removed", "swept", "made", "trial"]
        await host.let_go("b")

    asyncio.run(one_each())
    assert left() == []


def test_a_copy_for_which_no_trial_comes_is_removed(
    copies: Copies, parcel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "KEPT_SECONDS", 0.01)

    async def abandoned() -> None:
        host = Host()
        await host.trial("a", HERE, parcel)
        async with asyncio.timeout(20):
            await copies.is_removed.wait()
        await host.trial("a", HERE, parcel)
        await host.let_go("a")

    asyncio.run(abandoned())
    assert copies.happened == ["swept", "made", "trial", "removed", "swept", "made", "trial", "removed"]


def test_a_trial_ends_when_its_search_lets_go(copies: Copies, parcel: bytes) -> None:
    async def interrupted() -> Ran:
        host, is_begun = Host(), asyncio.Event()

        async def for_ever(folder: Path) -> None:
            is_begun.set()
            await asyncio.Event().wait()

        copies.trial_is = for_ever
        running = asyncio.create_task(host.trial("a", HERE, parcel))
        await is_begun.wait()
        async with asyncio.timeout(20):
            await host.let_go("a")
            return await running

    assert asyncio.run(interrupted()).error == "nobody waits for it any more"
    assert copies.happened == ["swept", "made", "removed"]
    assert left() == []


def test_a_worker_that_is_closed_removes_its_copy(copies: Copies, parcel: bytes) -> None:
    async def closed() -> None:
        host, is_begun = Host(), asyncio.Event()

        async def for_ever(folder: Path) -> None:
            is_begun.set()
            await asyncio.Event().wait()

        copies.trial_is = for_ever
        running = asyncio.create_task(host.trial("a", HERE, parcel))
        await is_begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(closed())
    assert copies.happened == ["swept", "made", "removed"]
    assert left() == []


def test_why_a_trial_broke_off_comes_back_with_what_it_wrote(copies: Copies, parcel: bytes, tmp_path: Path) -> None:
    async def broken(folder: Path) -> None:
        raise HarnessError("no engine answers")

    async def one() -> Ran:
        host = Host()
        ran = await host.trial("a", HERE, parcel)
        await host.let_go("a")
        return ran

    copies.trial_is = broken
    ran = asyncio.run(one())
    assert (ran.error, ran.is_usage) == ("no engine answers", False)
    unpacked(ran.made, tmp_path / "back")
    assert (tmp_path / "back" / "history.jsonl").read_text() == "what happened"


def test_what_this_host_lacks_is_for_whoever_searches(copies: Copies, parcel: bytes, tmp_path: Path) -> None:
    unpacked(parcel, tmp_path / "lacking")
    (tmp_path / "lacking" / "inputs.json").unlink()
    ran = asyncio.run(Host().trial("a", HERE, packed(tmp_path / "lacking")))
    assert ran.is_usage
    assert "inputs.json cannot be read" in ran.error
    assert copies.happened == ["swept"]


def test_a_trial_of_another_version_of_holdfast_is_not_run(copies: Copies, parcel: bytes) -> None:
    ran = asyncio.run(Host().trial("a", "9.9", parcel))
    assert ran.is_usage
    assert ran.error == f"Holdfast is {HERE} on this worker, and 9.9 where the search runs; install the same"
    assert copies.happened == []

"""A search on a real scheduler and its workers, all in this process; a trial is a history that is made up."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from distributed import Client, Scheduler, Worker, get_worker

from chaos.errors import HarnessError, UsageError
from chaos.experiment.plan import ACTIONS_FILE
from chaos.reporting.result import PLAN_FILE, RESULT_FILE
from chaos.search import campaign
from chaos.search.campaign import Budget, Search
from chaos.search.executors import scheduled
from chaos.search.executors.parcel import packed, unpacked
from chaos.search.executors.scheduled import Scheduled, trial_id
from chaos.search.executors.worker import Ran
from chaos.search.results import TRIALS_FILE
from chaos.search.strategies import Drawn, drawn_plans, examples
from tests.unit.checks.files import written
from tests.unit.checks.service import Load, legal_history
from tests.unit.search.simulated import kept, minimal

CAMPAIGN = "20261130-search-5-ab12"


async def at_once(run: int) -> None:
    """Nothing happens meanwhile."""


@dataclass
class Cluster:
    """A scheduler, its workers, and what they have done.

    Attributes:
        begun: The plans of the trials that were begun; of one that was run again twice.
        let_go: Campaigns of which workers were told that they are over.
        meanwhile: Happens within each run, by its number from 1.
        answer: What a worker gives back instead of a trial.
    """

    begun: list[str] = field(default_factory=list)
    let_go: list[str] = field(default_factory=list)
    meanwhile: Callable[[int], Awaitable[object]] = at_once
    answer: Ran | None = None
    lost_at_most: int = 3
    scheduler: Scheduler = field(init=False)

    async def lose(self, worker: str) -> None:
        """As when its process is killed."""
        await self.scheduler.remove_worker(worker, stimulus_id="test", expected=False)

    async def lose_this_worker(self) -> None:
        """That of the run that asks for it, which goes nowhere then."""
        await self.lose(get_worker().address)
        await asyncio.Event().wait()

    @asynccontextmanager
    async def running(self, folder: Path, workers: int, offered: int | None = None) -> AsyncIterator[str]:
        """Start so many workers, of which so many offer to run trials; the address of the scheduler."""
        here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        async with AsyncExitStack() as using:
            self.scheduler = Scheduler(port=0, allowed_failures=self.lost_at_most, **here)
            await using.enter_async_context(self.scheduler)
            for number in range(workers):
                offer = {"holdfast": 1} if offered is None or number < offered else {}
                worker = Worker(
                    self.scheduler.address, nthreads=4, resources=offer, local_directory=str(folder), **here
                )
                await using.enter_async_context(worker)
            yield self.scheduler.address


here = Cluster()
"""Functions that workers run are found by their names, so this is, too."""


async def made_up(campaign: str, holdfast: str, parcel: bytes) -> Ran:
    """A trial that only writes a history and a result, other ones in each run."""
    here.begun.append(plan_in(parcel))
    run = len(here.begun)
    await here.meanwhile(run)
    return here.answer or Ran("box", what_it_wrote(run))


def plan_in(parcel: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        unpacked(parcel, Path(folder))
        return Path(folder, PLAN_FILE).read_text()


def what_it_wrote(run: int) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(legal_history(Load(run, users=2, operations=60)), folder)
        (folder / RESULT_FILE).write_text(json.dumps({"not_covered": [], "images": {"run": str(run)}}))
        return packed(folder)


async def let_go(campaign: str) -> None:
    here.let_go.append(campaign)


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    global here
    here = Cluster()
    monkeypatch.setattr(campaign, "write_report", lambda result: None)
    monkeypatch.setattr(scheduled, "run_trial", made_up)
    monkeypatch.setattr(scheduled, "let_go", let_go)


@pytest.fixture(scope="module")
def drawn() -> Sequence[Drawn]:
    opened = minimal()
    return examples(drawn_plans(opened.plans[0], opened.stack), 6, 7)


class Searching:
    """A search of some plans in a folder of its own."""

    def __init__(self, folder: Path, drawn: Sequence[Drawn]) -> None:
        self.folder = folder / CAMPAIGN
        self.folder.mkdir()
        self.search = Search(minimal(), self.folder, kept(minimal(), self.folder / "begun"), Budget(len(drawn)), drawn)
        self.said: list[str] = []
        self.taken = asyncio.Event()

    async def run(self, address: str, jobs: int | None = None) -> None:
        async with asyncio.timeout(60), Scheduled.open(address, self.folder, self.said.append) as there:
            await self.search.run(there, jobs or there.at_once, lambda tried: self.taken.set())

    def on(self, workers: int, jobs: int | None = None, *, offered: int | None = None) -> None:
        async def run() -> None:
            async with here.running(self.folder, workers, offered) as address:
                await self.run(address, jobs)

        asyncio.run(run())

    @property
    def numbers(self) -> list[int]:
        """Of the trials that were taken; the file says the same."""
        lines = (self.folder / TRIALS_FILE).read_bytes().splitlines()
        assert [json.loads(line)["number"] for line in lines] == [each.number for each in self.search.tried]
        return sorted(each.number for each in self.search.tried)

    def run_of(self, number: int) -> str:
        """Which run of a trial its folder has."""
        document = json.loads((self.search.folder_of(number) / RESULT_FILE).read_text())
        return str(document["images"]["run"])


def test_every_trial_comes_back_into_the_folder_of_the_search(tmp_path: Path, drawn: Sequence[Drawn]) -> None:
    used = set()

    async def noted(run: int) -> None:
        used.add(get_worker().address)

    here.meanwhile = noted
    searching = Searching(tmp_path, drawn)
    searching.on(workers=3, offered=2)
    assert len(used) == 2, "the third offers nothing"
    assert searching.numbers == [1, 2, 3, 4, 5, 6]
    assert {each.outcome for each in searching.search.tried} <= {"HELD", "INCONCLUSIVE"}
    assert [each.schedule for each in sorted(searching.search.tried, key=lambda each: each.number)] == [
        each.schedule for each in drawn
    ]
    assert sorted(searching.run_of(number) for number in searching.numbers) == ["1", "2", "3", "4", "5", "6"]
    assert here.let_go == [CAMPAIGN] * 3, "whoever may have a stack copy is told to remove it"
    assert searching.said == ["2 workers on 127.0.0.1"]


def test_a_worker_runs_one_trial_at_a_time(tmp_path: Path, drawn: Sequence[Drawn]) -> None:
    under_way: Counter[str] = Counter()

    async def counted(run: int) -> None:
        address = get_worker().address
        under_way[address] += 1
        assert under_way[address] == 1
        await asyncio.sleep(0.01)
        under_way[address] -= 1

    here.meanwhile = counted
    searching = Searching(tmp_path, drawn)
    searching.on(workers=2, jobs=6)
    assert {each.outcome for each in searching.search.tried} <= {"HELD", "INCONCLUSIVE"}
    assert len(under_way) == 2


def test_a_lost_worker_loses_no_finished_trial_and_its_own_is_run_by_another(
    tmp_path: Path, drawn: Sequence[Drawn]
) -> None:
    async def lost(run: int) -> None:
        if run == 4:
            await here.lose_this_worker()

    here.meanwhile = lost
    searching = Searching(tmp_path, drawn)
    searching.on(workers=2)
    assert searching.numbers == [1, 2, 3, 4, 5, 6]
    assert not [each for each in searching.search.tried if each.outcome == "crashed"]
    assert sorted(Counter(here.begun).values()) == [1, 1, 1, 1, 1, 2], "only what was under way there"


def test_what_the_scheduler_runs_again_though_it_was_finished_is_taken_once(
    tmp_path: Path, drawn: Sequence[Drawn]
) -> None:
    is_again = asyncio.Event()

    async def forgetful() -> None:
        """Somebody else wants the first result as well, and the worker that has it is lost after it was taken."""
        await searching.taken.wait()
        [task] = [each for each in here.scheduler.tasks.values() if "/trials/0001/" in each.key]
        [worker] = task.who_has
        await here.lose(worker.address)

    async def meanwhile(run: int) -> None:
        if run == 1:
            [key] = [key for key in here.scheduler.tasks if "/trials/0001/" in key]
            here.scheduler.client_desires_keys(keys=[key], client=somebody[0])
        elif here.begun[run - 1] == here.begun[0]:
            is_again.set()
        else:
            await is_again.wait()

    async def run() -> None:
        async with (
            here.running(tmp_path, 4) as address,
            Client(address, asynchronous=True, set_as_default=False) as other,
            asyncio.TaskGroup() as group,
        ):
            somebody.append(other.id)
            group.create_task(forgetful())
            group.create_task(searching.run(address, jobs=2))

    somebody: list[str] = []
    here.meanwhile = meanwhile
    searching = Searching(tmp_path, drawn[:4])
    asyncio.run(run())
    assert here.begun.count(here.begun[0]) == 2, "it was run again"
    assert searching.numbers == [1, 2, 3, 4]
    assert searching.run_of(1) == "1"


def test_a_trial_that_takes_worker_after_worker_with_it_is_a_crashed_one(
    tmp_path: Path, drawn: Sequence[Drawn]
) -> None:
    async def fatal(run: int) -> None:
        if here.begun[run - 1] == here.begun[0]:
            await here.lose_this_worker()

    here.meanwhile, here.lost_at_most = fatal, 1
    searching = Searching(tmp_path, drawn[:2])
    searching.on(workers=3, jobs=1)
    first, second = sorted(searching.search.tried, key=lambda each: each.number)
    assert (first.outcome, second.outcome) == ("crashed", "HELD")
    assert "on 2 different workers" in first.why


def test_without_any_worker_a_search_does_not_wait_for_ever(
    tmp_path: Path, drawn: Sequence[Drawn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduled, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(scheduled, "_WITHOUT_WORKERS_SECONDS_MAX", 0.2)
    here.meanwhile = lambda run: here.lose_this_worker()
    with pytest.raises(HarnessError, match="no worker has been there; start some with: dask worker"):
        Searching(tmp_path, drawn).on(workers=1)


def test_a_scheduler_that_is_lost_is_said(tmp_path: Path, drawn: Sequence[Drawn]) -> None:
    async def lost(run: int) -> None:
        asyncio.get_running_loop().create_task(here.scheduler.close())
        await asyncio.Event().wait()

    here.meanwhile = lost
    searching = Searching(tmp_path, drawn[:1])
    searching.on(workers=1)
    [crashed] = searching.search.tried
    assert crashed.outcome == "crashed"
    assert crashed.why.startswith("the scheduler was lost while it had holdfast-20261130-search-5-ab12/trials/0001/")


def test_what_broke_a_trial_off_on_a_worker_is_told_with_its_host_and_what_it_left(
    tmp_path: Path, drawn: Sequence[Drawn]
) -> None:
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "agent.jsonl").write_text("last words")
    here.answer = Ran("box", packed(tmp_path / "left"), "no engine answers", warnings=("variable A differs",))
    searching = Searching(tmp_path, drawn)
    with pytest.raises(HarnessError, match="on box: no engine answers"):
        searching.on(workers=1)
    assert searching.numbers == [1, 2]
    assert (searching.search.folder_of(1) / "agent.jsonl").read_text() == "last words"
    assert searching.said[1:] == ["warning: on box: variable A differs"], "once"


def test_what_a_worker_lacks_ends_the_search_at_once(tmp_path: Path, drawn: Sequence[Drawn]) -> None:
    here.answer = Ran("box", b"", "secret password.txt: put it at /srv", is_usage=True)
    searching = Searching(tmp_path, drawn)
    with pytest.raises(UsageError, match="on box: secret"):
        searching.on(workers=1)
    assert not searching.search.tried


def test_another_version_of_holdfast_is_refused_before_anything_runs(
    tmp_path: Path, drawn: Sequence[Drawn], monkeypatch: pytest.MonkeyPatch
) -> None:
    searching = Searching(tmp_path, drawn)
    monkeypatch.setattr(scheduled, "_HERE", "9.9")
    with pytest.raises(UsageError, match=r"Holdfast is 9\.9 here, and .*tcp://127.*: 0\.1\.0; the scheduler: 0\.1\.0"):
        searching.on(workers=1)
    assert not here.begun


def test_a_scheduler_without_workers_for_trials_is_told_how_to_start_them(
    tmp_path: Path, drawn: Sequence[Drawn]
) -> None:
    with pytest.raises(HarnessError, match="has no worker with the resource 'holdfast'; start some with: dask worker"):
        Searching(tmp_path, drawn).on(workers=1, offered=0)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "tls://127.0.0.1:1"])
def test_an_address_at_which_no_scheduler_answers_is_named(
    address: str, tmp_path: Path, drawn: Sequence[Drawn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduled, "_CONNECT_SECONDS_MAX", 0.5)
    searching = Searching(tmp_path, drawn)
    with pytest.raises(HarnessError, match=f"no scheduler answers at {address}: .*start one with: dask scheduler"):
        asyncio.run(searching.run(address))


def test_the_same_trial_has_the_same_id_and_another_one_another(tmp_path: Path) -> None:
    folder = tmp_path / "a-search" / "trials" / "0007"
    folder.mkdir(parents=True)
    (folder / PLAN_FILE).write_text("plan: a")
    (folder / ACTIONS_FILE).write_text("{}")
    first = trial_id(tmp_path / "a-search", folder)
    assert first.startswith("holdfast-a-search/trials/0007/")
    (folder / "history.jsonl").write_text("what came of it")
    assert trial_id(tmp_path / "a-search", folder) == first
    (folder / ACTIONS_FILE).write_text('{"user": 1}')
    assert trial_id(tmp_path / "a-search", folder) != first


def test_a_parcel_keeps_modes_links_and_owners_and_leaves_out_what_it_is_told_to(tmp_path: Path) -> None:
    folder, there = tmp_path / "here", tmp_path / "there"
    (folder / "inputs" / "bound").mkdir(parents=True)
    script = folder / "inputs" / "bound" / "run.sh"
    script.write_text("#!/bin/sh")
    (folder / "inputs" / "again").symlink_to("bound/run.sh")
    (folder / "plan.yaml").write_text("plan: a")
    if os.geteuid() == 0:
        os.chown(script, 4711, 4712)
    script.chmod(0o751)
    (folder / "inputs" / "bound").chmod(0o777)
    unpacked(packed(folder, {"plan.yaml"}), there)
    assert [path.name for path in there.iterdir()] == ["inputs"]
    copied = there / "inputs" / "bound" / "run.sh"
    assert (copied.stat().st_mode, copied.stat().st_uid) == (script.stat().st_mode, script.stat().st_uid)
    assert copied.parent.stat().st_mode & 0o777 == 0o777
    assert (there / "inputs" / "again").readlink() == Path("bound/run.sh")

"""Golden sets: keyed by all that they depend on, whole or not there, the oldest dropped."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.agent.wire import Format, Inspect, Inspected, Save
from chaos.errors import HarnessError
from chaos.experiment.drivers import DriverChoice
from chaos.stack.agent.link import Agent
from chaos.stack.cache import CACHE_IN_AGENT
from chaos.stack.contents import digest
from chaos.stack.live.files import BoundFiles
from chaos.stack.live.golden import Golden
from chaos.stack.live.hostnames import Hostnames
from chaos.stack.live.running import RunningStack
from chaos.stack.spec import Lun, Mount, Port, Service, Stack
from chaos.stack.waiting import Waits


def stack(**changes: Any) -> Stack:
    service = Service("db", image="postgres:15", environment={"MODE": "a"}, mounts=(Mount("lun", "pgdata", "/data"),))
    return Stack(
        name="unit",
        source=Path("compose.yaml"),
        services={"db": dataclasses.replace(service, **changes)},
        luns={"pgdata": Lun("pgdata", "core", 8 << 20)},
        volumes=(),
        front_door=("db", 5432),
        driver=DriverChoice("http"),
    )


class Running:
    """A running stack whose agent writes files; `content` tells one run's from another's."""

    def __init__(self, cache: Path, content: str, before_save: Callable[[], Awaitable[None]] | None = None) -> None:
        self._cache = cache
        self._content = content
        self._before_save = before_save
        self.did: list[str] = []
        self.problem = ""
        self.inspected: tuple[tuple[str, int, str], ...] = ()
        self.hostnames = Hostnames(stack())
        self.waits = Waits()

    @property
    def agent(self) -> Agent:
        return cast(Agent, self)

    @property
    def made(self) -> RunningStack:
        return cast(RunningStack, self)

    async def call(self, request: Save | Format | Inspect) -> Inspected | None:
        self.did.append(request.do)
        if isinstance(request, Inspect):
            self.inspected = request.files
            return Inspected(tuple(self.problem for _ in request.files))
        path = request.path
        if isinstance(request, Save) and self._before_save is not None:
            await self._before_save()
        (self._cache / Path(path).relative_to(CACHE_IN_AGENT)).write_text(self._content)
        return None

    async def fill(self, lun: str, path: str) -> None:
        self.did.append(f"fill {lun}")
        (self._cache / Path(path).relative_to(CACHE_IN_AGENT)).write_text("filled")

    @property
    def files(self) -> BoundFiles:
        return BoundFiles(stack(), self._cache / "none")

    async def up(self, bases: dict[str, str], seconds_max: float) -> None:
        self.did.append("up")
        self.bases = bases

    async def answers(self, seconds_max: float) -> None:
        self.did.append("answers")

    async def shut_down(self) -> None:
        self.did.append("shut_down")

    async def unmounted(self) -> None:
        self.did.append("unmounted")

    async def clear(self) -> None:
        self.did.append("clear")


def file_of(golden: Golden, cache: Path) -> Path:
    return cache / Path(golden.bases()["pgdata"]).relative_to(CACHE_IN_AGENT)


def test_a_set_is_made_of_disks_that_were_shut_down_in_order(tmp_path: Path) -> None:
    golden, running = Golden(stack(), {"db": "sha256:1"}, tmp_path), Running(tmp_path, "x")
    assert not golden.exists
    asyncio.run(golden.make(running.made, 1.0))
    assert golden.exists
    did = [did for did in running.did if did != "answers"]
    assert did == ["format", "up", "shut_down", "unmounted", "save", "inspect", "clear"]
    assert file_of(golden, tmp_path).read_text() == "x"


def test_two_that_make_the_same_set_at_once_leave_one_whole_set(tmp_path: Path) -> None:
    goldens = [Golden(stack(), {"db": "sha256:1"}, tmp_path) for _ in range(2)]

    makers: list[Running] = []

    async def both() -> None:
        barrier = asyncio.Barrier(2)

        async def meet() -> None:
            await barrier.wait()

        makers.extend(Running(tmp_path, name, meet) for name in ("first", "second"))
        await asyncio.gather(*(golden.make(maker.made, 1.0) for golden, maker in zip(goldens, makers, strict=True)))

    asyncio.run(both())
    kept = ("first", "second").index(file_of(goldens[0], tmp_path).read_text())
    assert goldens[1].hostnames() == makers[kept].hostnames.drawn, "the disks may hold the names"
    assert len([path for path in (tmp_path / "golden").iterdir() if path.is_dir()]) == 1, "no half set is left"


def test_a_maker_that_breaks_off_leaves_no_set(tmp_path: Path) -> None:
    async def broken() -> None:
        raise OSError("disk full")

    golden = Golden(stack(), {"db": "sha256:1"}, tmp_path)
    with pytest.raises(OSError, match="disk full"):
        asyncio.run(golden.make(Running(tmp_path, "x", broken).made, 1.0))
    assert not golden.exists


def test_a_set_whose_copies_are_not_whole_is_not_kept(tmp_path: Path) -> None:
    golden, running = Golden(stack(), {"db": "sha256:1"}, tmp_path), Running(tmp_path, "x")
    running.problem = "it was copied while it was mounted"
    with pytest.raises(HarnessError, match="cannot be kept: pgdata: it was copied while it was mounted"):
        asyncio.run(golden.make(running.made, 1.0))
    assert not golden.exists
    assert running.did[-1] == "clear"


def test_a_set_that_was_taken_wrongly_is_noticed_before_it_is_used(tmp_path: Path) -> None:
    golden, running = Golden(stack(), {"db": "sha256:1"}, tmp_path), Running(tmp_path, "x")
    asyncio.run(golden.make(running.made, 1.0))
    assert asyncio.run(golden.problem(running.agent)) == ""
    assert running.inspected == ((golden.bases()["pgdata"], 8 << 20, "ext4"),)
    running.problem = "it has errors"
    assert asyncio.run(golden.problem(running.agent)) == "pgdata: it has errors"
    (file_of(golden, tmp_path).parent / "golden.json").write_text("")
    assert asyncio.run(golden.problem(running.agent)).startswith("golden.json cannot be read: ")
    golden.discard()
    assert not golden.exists


@pytest.mark.parametrize(
    ("changes", "image"),
    [
        ({"environment": {"MODE": "b"}}, "sha256:1"),
        ({"command": ("postgres", "-c", "fsync=off")}, "sha256:1"),
        ({"user": "postgres"}, "sha256:1"),
        ({}, "sha256:2"),
    ],
)
def test_whatever_shapes_the_disks_makes_another_set(changes: dict[str, Any], image: str, tmp_path: Path) -> None:
    asyncio.run(Golden(stack(), {"db": "sha256:1"}, tmp_path).make(Running(tmp_path, "x").made, 1.0))
    assert not Golden(stack(**changes), {"db": image}, tmp_path).exists


@pytest.mark.parametrize("changes", [{"filesystem": "xfs"}, {"mount_options": ("noatime",)}])
def test_so_does_the_file_system_and_how_it_is_mounted(changes: dict[str, Any], tmp_path: Path) -> None:
    asyncio.run(Golden(stack(), {"db": "sha256:1"}, tmp_path).make(Running(tmp_path, "x").made, 1.0))
    lun = dataclasses.replace(stack().luns["pgdata"], **changes)
    assert not Golden(dataclasses.replace(stack(), luns={"pgdata": lun}), {"db": "sha256:1"}, tmp_path).exists


@pytest.mark.parametrize("changes", [{"ports": (Port(5432),)}, {"restart": "always"}, {"cpus": 2.0}])
def test_what_does_not_shape_the_disks_keeps_the_set(changes: dict[str, Any], tmp_path: Path) -> None:
    asyncio.run(Golden(stack(), {"db": "sha256:1"}, tmp_path).make(Running(tmp_path, "x").made, 1.0))
    assert Golden(stack(**changes), {"db": "sha256:1"}, tmp_path).exists


def test_a_secrets_content_is_part_of_the_key_and_is_kept_nowhere(tmp_path: Path) -> None:
    secret, cache = tmp_path / "secret", tmp_path / "cache"
    secret.write_text("planted-pass-phrase")
    kept = stack(secrets={"password": secret}, environment={"TOKEN": "planted-token"})
    asyncio.run(Golden(kept, {"db": "sha256:1"}, cache).make(Running(cache, "x").made, 1.0))
    assert not [path for path in cache.rglob("*") if path.is_file() and "planted" in path.read_text()]
    secret.write_text("another")
    assert not Golden(kept, {"db": "sha256:1"}, cache).exists


@pytest.mark.parametrize("bound", ["scripts", "scripts/init.sql"])
def test_the_content_of_a_bind_is_part_of_the_key(tmp_path: Path, bound: str) -> None:
    cache, script = tmp_path / "cache", tmp_path / "scripts" / "init.sql"
    script.parent.mkdir()
    script.write_text("CREATE TABLE a ();")
    kept = stack(mounts=(Mount("lun", "pgdata", "/data"), Mount("bind", str(tmp_path / bound), "/init", True)))
    asyncio.run(Golden(kept, {"db": "sha256:1"}, cache).make(Running(cache, "x").made, 1.0))
    assert Golden(kept, {"db": "sha256:1"}, cache).exists
    script.write_text("CREATE TABLE b ();")
    assert not Golden(kept, {"db": "sha256:1"}, cache).exists


@pytest.mark.parametrize("change", ["content", "mode", "owner", "name", "link", "folder"])
def test_a_bound_folder_that_is_written_to_is_copied_once_and_is_part_of_the_key(tmp_path: Path, change: str) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "folder"
    folder.mkdir()
    file, link = folder / "file", folder / "link"
    file.write_text("a")
    link.symlink_to("a")
    made = dataclasses.replace(
        stack(mounts=(Mount("lun", "db:/own", "/own"),)),
        luns={"db:/own": Lun("db:/own", "local", 8 << 20, contents=str(folder))},
    )
    running = Running(cache, "x")
    golden = Golden(made, {"db": "sha256:1"}, cache)
    asyncio.run(golden.make(running.made, 1.0))
    assert running.did[:2] == ["fill db:/own", "up"]
    assert running.bases["db:/own"].endswith(".first.img")
    first = asyncio.run(golden.blanks(running.agent))["db:/own"]
    assert (cache / Path(first).relative_to(CACHE_IN_AGENT)).read_text() == "filled"
    changes: dict[str, Callable[[], object]] = {
        "content": lambda: file.write_text("b"),
        "mode": lambda: file.chmod(0o600),
        "owner": lambda: os.chown(file, 1234, -1),
        "name": lambda: file.rename(folder / "other"),
        "link": lambda: link.rename(file),
        "folder": lambda: (folder / "empty").mkdir(),
    }
    assert Golden(made, {"db": "sha256:1"}, cache).exists
    changes[change]()
    assert not Golden(made, {"db": "sha256:1"}, cache).exists


def test_of_a_large_file_the_key_has_what_no_program_can_forge(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(4 << 20))
    before, times = digest(large), large.stat()
    assert digest(large) == before
    large.write_bytes(bytes((4 << 20) - 1) + b"x")
    os.utime(large, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest(large) != before


def test_the_least_recently_used_set_goes_first(tmp_path: Path) -> None:
    goldens = [Golden(stack(), {"db": f"sha256:{number}"}, tmp_path) for number in range(14)]
    for number, golden in enumerate(goldens):
        asyncio.run(golden.make(Running(tmp_path, "x").made, 1.0))
        os.utime(file_of(golden, tmp_path).parent / "golden.json", (number + 1, number + 1))
        if number > 0:
            goldens[0].bases()
    assert [golden.exists for golden in goldens[:4]] == [True, False, False, True]

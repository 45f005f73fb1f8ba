"""Golden LUNs: an initialised stack's disks, kept as sparse files in the cache folder, cloned for every trial.

Keyed by a digest of everything that they depend on (image ids, LUN sizes, what the containers are told), so a
change of any makes new ones. Values of the environment enter the digest and are not kept.

A copy is taken when nobody has the LUN mounted any more, and its file system says so; it is looked at again before
it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

from chaos.agent.wire import Format, Inspect, Save
from chaos.errors import AgentError, HarnessError
from chaos.stack import contents
from chaos.stack.agent.link import Agent
from chaos.stack.cache import CACHE_IN_AGENT, GOLDEN_FILE, unfinished
from chaos.stack.live.running import RunningStack
from chaos.stack.local import what_is_bound
from chaos.stack.spec import Lun, Service, Stack

_VERSION = 3
_FILES = "files"
_KEPT = 12
"""Golden sets kept; the least recently used goes first."""


class Golden:
    """The golden LUNs of one stack.

    Attributes:
        name: Another one when anything that they depend on is.
    """

    def __init__(self, stack: Stack, images: dict[str, str], cache: Path) -> None:
        """`cache` is the host's folder that the agent sees as CACHE_IN_AGENT.

        This reads what services bind, and blocks for as long as it takes.
        """
        self._stack = stack
        self._cache = cache
        self.name = _digest(stack, images)

    @property
    def _folder(self) -> Path:
        return self._cache / "golden" / self.name

    @property
    def exists(self) -> bool:
        """Whether the golden LUNs are there, whole."""
        return (self._folder / GOLDEN_FILE).exists()

    async def problem(self, agent: Agent) -> str:
        """Why this set must not be used, although it is there; empty where nothing is wrong with it."""
        try:
            self.hostnames()
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"{GOLDEN_FILE} cannot be read: {error}"
        return await self._problem(agent, self._folder)

    def discard(self) -> None:
        """Remove this set."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def bases(self) -> dict[str, str]:
        """Paths of the golden files, in the agent, by LUN."""
        (self._folder / GOLDEN_FILE).touch()
        luns = self._stack.luns.values()
        return {lun.name: f"{CACHE_IN_AGENT}/golden/{self.name}/{lun.file_name}.img" for lun in luns}

    @property
    def files(self) -> Path:
        """Where bound files are, as services left them."""
        return self._folder / _FILES

    def hostnames(self) -> dict[str, str]:
        """What services that state no host name were called when the golden LUNs were made."""
        kept: dict[str, str] = json.loads((self._folder / GOLDEN_FILE).read_text())["hostnames"]
        return kept

    async def make(self, running: RunningStack, seconds_max: float) -> None:
        """Initialise the stack on new LUNs, shut it down in order, and keep the LUNs; `running` ends cleared.

        Raises:
            HarnessError: A service does not get ready, or what it wrote cannot be kept whole.
        """
        # in a folder of its own until it is whole: another run may be making the same set
        part = unfinished(self._folder)
        part.mkdir(parents=True)
        try:
            with running.waits.of("the bound folders to be copied"):
                bases = await self._filled(running, part.name)
            try:
                await running.up(bases, seconds_max)
            except HarnessError as error:
                if remedy := running.disks.about_options(str(error)):
                    raise HarnessError(f"{error}; {remedy}") from error
                raise
            await running.shut_down()
            await running.unmounted()
            with running.waits.of("the initialised disks to be copied"):
                await self._keep(running, part)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            with contextlib.suppress(AgentError):  # the agent's loss is the error; the sweep removes the rest
                await running.clear()

    async def _keep(self, running: RunningStack, part: Path) -> None:
        self._forget_old()
        for lun in self._stack.luns.values():
            path = f"{CACHE_IN_AGENT}/golden/{part.name}/{lun.file_name}.img"
            await running.agent.call(Save(lun.name, path))
        if problem := await self._problem(running.agent, part):
            raise HarnessError(f"the stack was initialised, and its disks cannot be kept: {problem}")
        await asyncio.to_thread(running.files.keep, part / _FILES)
        document = {
            "version": _VERSION,
            "stack": self._stack.name,
            "luns": sorted(self._stack.luns),
            "hostnames": running.hostnames.drawn,
        }
        (part / GOLDEN_FILE).write_text(json.dumps(document))
        if not self.exists:
            shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it has made it meanwhile, and as well
            await asyncio.to_thread(part.rename, self._folder)

    async def _problem(self, agent: Agent, folder: Path) -> str:
        """What is wrong with the files of a set."""
        files: dict[str, tuple[str, int, str]] = {}
        for lun in self._stack.luns.values():
            path = f"{CACHE_IN_AGENT}/golden/{folder.name}/{lun.file_name}.img"
            files[lun.name] = path, lun.size_bytes, lun.filesystem
            if lun.contents:
                files[f"{lun.name}, as it was first"] = _first(folder.name, lun), lun.size_bytes, lun.filesystem
        found = await agent.call(Inspect(tuple(files.values())))
        return "; ".join(f"{name}: {what}" for name, what in zip(files, found.problems, strict=True) if what)

    async def blanks(self, agent: Agent) -> dict[str, str]:
        """Paths of the file systems of new LUNs, in the agent: empty, or with what a bound folder has."""
        bound = [lun for lun in self._stack.luns.values() if lun.contents]
        return await self._empty(agent) | {lun.name: _first(self.name, lun) for lun in bound}

    async def _filled(self, running: RunningStack, part: str) -> dict[str, str]:
        """The same, while this set is made in a folder: what bound folders have is copied there."""
        found = await self._empty(running.agent)
        for lun in self._stack.luns.values():
            if lun.contents:
                found[lun.name] = _first(part, lun)
                await running.fill(lun.name, found[lun.name])
        return found

    async def _empty(self, agent: Agent) -> dict[str, str]:
        """Paths of empty file systems, in the agent, by LUN; of those without a bound folder."""
        found: dict[str, str] = {}
        (self._cache / "golden").mkdir(parents=True, exist_ok=True)
        for lun in self._stack.luns.values():
            name = f"golden/blank-{lun.filesystem}-{lun.size_bytes}.img"
            if lun.contents:
                continue
            if not (self._cache / name).exists():
                part = unfinished(self._cache / name)
                made = Format(f"{CACHE_IN_AGENT}/golden/{part.name}", lun.size_bytes, lun.filesystem)
                await agent.call(made)
                part.replace(self._cache / name)
            found[lun.name] = f"{CACHE_IN_AGENT}/{name}"
        return found

    def _forget_old(self) -> None:
        found = sorted((self._cache / "golden").glob(f"*/{GOLDEN_FILE}"), key=lambda path: path.stat().st_mtime)
        for path in found[: max(0, len(found) - _KEPT + 1)]:
            shutil.rmtree(path.parent, ignore_errors=True)


def _first(folder: str, lun: Lun) -> str:
    """The path, in the agent, of a LUN as it was before any service had it, with what a bound folder has."""
    return f"{CACHE_IN_AGENT}/golden/{folder}/{lun.file_name}.first.img"


def _digest(stack: Stack, images: dict[str, str]) -> str:
    parts = {
        "version": _VERSION,
        "images": images,
        "luns": [dataclasses.astuple(dataclasses.replace(lun, contents="")) for lun in stack.luns.values()],
        "contents": [contents.digest(Path(lun.contents)) for lun in stack.luns.values() if lun.contents],
        "steady": stack.steady,
        "services": [_told(service) for service in stack.services.values()],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


_IRRELEVANT = ("build", "image", "ports", "restart", "restarts_max", "cpus", "memory_bytes", "limits")


def _told(service: Service) -> dict[str, object]:
    """Everything about a service that can change what it writes to its LUNs when it is initialised."""
    described: dict[str, object] = dataclasses.asdict(service)
    for irrelevant in _IRRELEVANT:
        described.pop(irrelevant)
    described["secrets"] = {name: contents.digest(path) for name, path in service.secrets.items()}
    bound = [Path(mount.source) for mount in service.mounts if mount.kind in ("bind", "file")]
    described["binds"] = [contents.digest(path) for path in bound if what_is_bound(str(path)) != "special"]
    described["mounts"] = [  # what is bound counts, and not where it lies: a run folder carries a copy
        dataclasses.replace(mount, source="") if mount.kind in ("bind", "file") else mount for mount in service.mounts
    ]
    return described

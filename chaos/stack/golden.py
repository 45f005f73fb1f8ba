"""Golden LUNs: an initialised stack's disks, kept as sparse files in the cache folder, cloned for every trial.

Keyed by a digest of everything that they depend on (image ids, LUN sizes, what the containers are told), so a
change of any makes new ones. Values of the environment enter the digest and are not kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import secrets
import shutil
from pathlib import Path

from chaos.errors import AgentError
from chaos.stack.agent import CACHE_IN_AGENT, Agent
from chaos.stack.running import RunningStack
from chaos.stack.spec import Service, Stack

_VERSION = 3
_DONE = "golden.json"
_KEPT = 12
"""Golden sets kept; the least recently used goes first."""


class Golden:
    """The golden LUNs of one stack."""

    def __init__(self, stack: Stack, images: dict[str, str], cache: Path) -> None:
        """`cache` is the host's folder that the agent sees as CACHE_IN_AGENT."""
        self._stack = stack
        self._cache = cache
        self._name = _digest(stack, images)

    @property
    def _folder(self) -> Path:
        return self._cache / "golden" / self._name

    @property
    def exists(self) -> bool:
        """Whether the golden LUNs are there, whole."""
        return (self._folder / _DONE).exists()

    def bases(self) -> dict[str, str]:
        """Paths of the golden files, in the agent, by LUN."""
        (self._folder / _DONE).touch()
        return {name: f"{CACHE_IN_AGENT}/golden/{self._name}/{name}.img" for name in self._stack.luns}

    def hostnames(self) -> dict[str, str]:
        """What services that state no host name were called when the golden LUNs were made."""
        kept: dict[str, str] = json.loads((self._folder / _DONE).read_text())["hostnames"]
        return kept

    async def make(self, running: RunningStack, seconds_max: float) -> None:
        """Initialise the stack on blank LUNs, shut it down in order, and keep the LUNs; `running` ends cleared."""
        try:
            await running.up(await self.blanks(running.agent), seconds_max)
            await running.shut_down()
            await self._keep(running)
        finally:
            with contextlib.suppress(AgentError):  # the agent's loss is the error; the sweep removes the rest
                await running.clear()

    async def _keep(self, running: RunningStack) -> None:
        self._forget_old()
        # in a folder of its own until it is whole: another run may be making the same set
        part = self._folder.with_name(f"{self._name}.{secrets.token_hex(4)}.part")
        part.mkdir(parents=True)
        for name in self._stack.luns:
            await running.agent.call("save", lun=name, path=f"{CACHE_IN_AGENT}/golden/{part.name}/{name}.img")
        document = {
            "version": _VERSION,
            "stack": self._stack.name,
            "luns": sorted(self._stack.luns),
            "hostnames": running.hostnames.drawn,
        }
        (part / _DONE).write_text(json.dumps(document))
        if not self.exists:
            shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it has made it meanwhile, and as well
            part.rename(self._folder)
        shutil.rmtree(part, ignore_errors=True)

    async def blanks(self, agent: Agent) -> dict[str, str]:
        """Paths of empty file systems, in the agent, by LUN."""
        found: dict[str, str] = {}
        (self._cache / "golden").mkdir(parents=True, exist_ok=True)
        for lun in self._stack.luns.values():
            name = f"golden/blank-{lun.filesystem}-{lun.size_bytes}.img"
            if not (self._cache / name).exists():
                await agent.call("format", path=f"{CACHE_IN_AGENT}/{name}", size=lun.size_bytes)
            found[lun.name] = f"{CACHE_IN_AGENT}/{name}"
        return found

    def _forget_old(self) -> None:
        found = sorted((self._cache / "golden").glob(f"*/{_DONE}"), key=lambda path: path.stat().st_mtime)
        for path in found[: max(0, len(found) - _KEPT + 1)]:
            shutil.rmtree(path.parent, ignore_errors=True)


def _digest(stack: Stack, images: dict[str, str]) -> str:
    parts = {
        "version": _VERSION,
        "images": images,
        "luns": [dataclasses.astuple(lun) for lun in stack.luns.values()],
        "services": [_told(service) for service in stack.services.values()],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


_IRRELEVANT = ("build", "image", "ports", "healthcheck", "restart", "restarts_max", "cpus", "memory_bytes", "limits")


def _told(service: Service) -> dict[str, object]:
    """Everything about a service that can shape what it writes on its LUNs."""
    described: dict[str, object] = dataclasses.asdict(service)
    for irrelevant in _IRRELEVANT:
        described.pop(irrelevant)
    described["secrets"] = {name: _content(path) for name, path in service.secrets.items()}
    described["binds"] = [_content(Path(mount.source)) for mount in service.mounts if mount.kind == "bind"]
    described["mounts"] = [  # what is bound counts, and not where it lies: a run folder carries a copy
        dataclasses.replace(mount, source="") if mount.kind == "bind" else mount for mount in service.mounts
    ]
    return described


def _content(path: Path) -> str:
    """A digest of a file, or of every file in a folder with its name; of what is no file (a socket) the name alone."""
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        total.update(f"{file.relative_to(path)}\0".encode())
        if file.is_file():
            with file.open("rb") as content:
                total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()

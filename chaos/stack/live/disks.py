"""The disks of a running copy: LUNs attached through the agent, and the engine's volumes that mount them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping

from chaos.agent.states import Crash
from chaos.agent.wire import (
    Attach,
    AwaitUnmount,
    Check,
    Create,
    Drop,
    Format,
    Health,
    Hide,
    KeepLog,
    Save,
    SaveLog,
    Show,
)
from chaos.errors import HarnessError
from chaos.stack.agent.link import Agent
from chaos.stack.engine import volumes
from chaos.stack.engine.client import Engine
from chaos.stack.engine.identity import Run
from chaos.stack.live.readiness import all_over
from chaos.stack.programs import in_own_thread
from chaos.stack.spec import Stack

_UNMOUNT_SECONDS_MAX = 30.0
"""Until everything that a file system has in memory is written back, once no container has it."""
_BAD_OPTION = ("invalid argument", "bad option")
"""What Docker and Podman say of an option that the kernel does not know, and of a file system that is broken."""


class Unrecoverable(HarnessError):
    """A LUN or a service cannot be brought back; in a trial this is a finding, not a failure of the harness."""


class Disks:
    """LUNs and volumes of one stack copy. Every attachment is a new loop device and a new volume."""

    def __init__(self, client: Engine, stack: Stack, run: Run, agent: Agent) -> None:
        """There are none yet."""
        self.names: dict[str, str] = {}
        """The engine's name of each volume that there is now, by its name in the stack."""
        self._client = client
        self._stack = stack
        self._run = run
        self._agent = agent
        self._luns: set[str] = set()
        self._attempts = itertools.count(1)

    async def make(self, bases: Mapping[str, str]) -> None:
        """Clone LUNs from files (paths in the agent) and attach them; one of the same name is dropped."""
        await all_over(self._make(name, base) for name, base in bases.items())

    async def make_crashed(self, bases: Mapping[str, str], crashes: Mapping[str, Crash]) -> None:
        """As `make`, of what a power cut would have left of LUNs over these files; then as `reattach`."""
        await all_over(self._make_crashed(name, base, crashes[name]) for name, base in bases.items())

    async def put_in_place(
        self, checked: Iterable[str], blanks: Mapping[str, str], unmounting: asyncio.Future[None]
    ) -> list[str]:
        """`reattach` some LUNs, and `make` others in the place of those that are gone.

        These are made whatever the checks say: whoever asked for them takes them for replaced.
        """

        async def replace() -> list[str]:
            if blanks:
                await asyncio.shield(unmounting)
                await self.make(blanks)
            return []

        return [said for each in await all_over((self.reattach(checked, unmounting), replace())) for said in each]

    async def reattach(self, luns: Iterable[str], unmounting: asyncio.Future[None]) -> list[str]:
        """Attach LUNs anew after a boot-time check, which replays the journal; return what the checks said.

        Args:
            luns: Their names.
            unmounting: Whatever ends with nobody having them mounted. One that had no power is not waited for: nothing
                that is still written to its old port arrives.

        Raises:
            Unrecoverable: A file system needs more than that.
        """

        async def reattach(name: str) -> str:
            if not (await self._agent.call(Health(name))).closed:
                await asyncio.shield(unmounting)
            return await self._reattach(name)

        return await all_over(reattach(name) for name in luns)

    async def fill(self, name: str, image: str, path: str) -> None:
        """Make a file, a path in the agent, of which a LUN is cloned that has what its bound folder has.

        The copy does not go through the array, which may take ten times as long.

        Args:
            name: The LUN.
            image: One that has `cp`.
            path: Of the file that is made.
        """
        lun = self._stack.luns[name]
        await self._agent.call(Format(path, lun.size_bytes, lun.filesystem))
        await self._mount(name, (await self._agent.call(Show(path))).device)
        await in_own_thread(volumes.copy_folder, self._client, self._run, image, lun.contents, self.names[name])
        await self.remove_volumes(self.set_aside([name]))
        await self._agent.call(Hide(path))

    def set_aside(self, names: Iterable[str]) -> list[str]:
        """The engine's names of the volumes of these LUNs, which have none from now on."""
        return [self.names.pop(name) for name in list(names) if name in self.names]

    async def remove_volumes(self, gone: Iterable[str]) -> None:
        """Remove volumes whose containers are gone, by the engine's names."""
        await asyncio.gather(*(asyncio.to_thread(volumes.remove, self._client, self._run, name) for name in gone))

    async def clear(self) -> None:
        """Remove every volume and drop every LUN."""
        await self.remove_volumes(self.set_aside(list(self.names)))
        await asyncio.gather(*(self._agent.call(Drop(name)) for name in self._luns))
        self._luns.clear()

    async def unmounted(self) -> None:
        """Wait until no LUN is mounted any more, and everything that was written has arrived on it.

        The engine says that a container has ended before that, and knows nothing of other mount namespaces.

        Raises:
            HarnessError: One is still mounted, though no container has it; the message says by whom.
        """
        for name in sorted(self._luns):
            found = await self._agent.call(AwaitUnmount(name, _UNMOUNT_SECONDS_MAX))
            if not found.free:
                who = ", ".join(found.holders) or "a process that has a file on it open"
                raise HarnessError(
                    f"the LUN {name} is still mounted, {_UNMOUNT_SECONDS_MAX:.0f} s after its services ended: {who}; "
                    "what is in its page cache may not have arrived; end that process, or have its mounts follow the "
                    "host's (mount propagation rslave), and run again"
                )

    async def save(self, folder: str) -> None:
        """Write every LUN's content into `folder`, a path in the agent."""
        for name in self._luns:
            await self._agent.call(Save(name, f"{folder}/{self._stack.luns[name].file_name}.img"))

    async def keep_logs(self) -> None:
        """Have every instant from now on."""
        await self._agent.call(KeepLog(tuple(sorted(self._luns))))

    async def save_logs(self, folder: str) -> None:
        """Write every LUN's log into `folder`, a path in the agent."""
        for name in self._luns:
            await self._agent.call(SaveLog(name, f"{folder}/{self._stack.luns[name].file_name}"))

    def about_options(self, refusal: str) -> str:
        """The remedy where the engine refuses to mount a new LUN for its mount options; else empty."""
        if not any(words in refusal for words in _BAD_OPTION):
            return ""
        options = {lun: self._stack.luns[lun].mount_options for lun, volume in self.names.items() if volume in refusal}
        given = [f"[{', '.join(each)}] of {lun}" for lun, each in sorted(options.items()) if each]
        what = f"the kernel does not take one of the mount_options {' or '.join(given)} under x-chaos.arrays"
        return f"{what}, or its value: correct it or leave it out; `dmesg` names it" if given else ""

    async def _make(self, name: str, base: str) -> None:
        await self._create(name, base)
        await self._mount(name, (await self._agent.call(Attach(name))).device)

    async def _make_crashed(self, name: str, base: str, crash: Crash) -> None:
        await self._create(name, base, crash)
        await self._reattach(name)

    async def _create(self, name: str, base: str, crash: Crash | None = None) -> None:
        if name in self._luns:
            await self._agent.call(Drop(name))
        self._luns.add(name)
        lun = self._stack.luns[name]
        await self._agent.call(Create(name, lun.size_bytes, base, lun.filesystem, lun.mounted_with, crash))

    async def _reattach(self, name: str) -> str:
        device = (await self._agent.call(Attach(name))).device
        check = await self._agent.call(Check(name))
        text = "; ".join(f"{name}: {check.output}".replace(device, name).splitlines())
        if not check.ok:
            raise Unrecoverable(f"{text}; it needs more than a boot-time check")
        await self._mount(name, device)
        return text

    async def _mount(self, name: str, device: str) -> None:
        volume = self._new_name(name)
        lun = self._stack.luns[name]
        await asyncio.to_thread(volumes.create_on_lun, self._client, self._run, volume, lun, device)
        self.names[name] = volume

    def _new_name(self, name: str) -> str:
        return f"holdfast-{self._run.id}-{self._stack.luns[name].file_name}-{next(self._attempts)}"

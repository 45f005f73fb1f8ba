"""Carries out requests: one method for each request of `wire`. `__main__` is the loop that calls them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from chaos.agent import wire, wire_states
from chaos.agent.asking import Question, ask
from chaos.agent.disk import filesystems, loop, mounted
from chaos.agent.disk.armed import Arming
from chaos.agent.disk.base import Crashes
from chaos.agent.disk.filesystems import FILE_SYSTEMS
from chaos.agent.disk.fuse import Front
from chaos.agent.disk.lun import Lun
from chaos.agent.disk.state import Port, Target
from chaos.agent.network import links, namespaces
from chaos.agent.network.kept import KeptNamespaces
from chaos.agent.network.links import Links
from chaos.agent.process.processes import Processes
from chaos.agent.request import Done
from chaos.agent.states import LinkState, LunState
from chaos.agent.wire_states import Link

_LIBC = ctypes.CDLL(None, use_errno=True)
_UNMOUNT_SECONDS_MAX = 10.0
"""Until everything of a file system that the engine has unmounted has been written back."""

Key = tuple[Literal["lun", "service"], str] | tuple[Literal["link"], Link]
"""Something of which a state can be wanted."""


class Agent:
    """One run's LUNs, ports and processes."""

    SLOW = frozenset(
        {
            wire.Attach,
            wire.AwaitUnmount,
            wire.Drop,
            wire.Inspect,
            wire.Save,
            wire.SaveLog,
            wire.Check,
            wire.Confine,
            wire.Tidy,
            wire.Format,
            wire.Show,
            wire.Hide,
            wire.Sync,
            wire.Ask,
            wire.Health,
        }
    )
    """Requests that wait for the kernel or a program, which may need FUSE answers meanwhile: done in a thread.

    Even closing a loop device does: the last close writes its dirty pages back, through FUSE.
    """

    def __init__(
        self,
        run: str,
        front: Front,
        front_folder: str,
        store: str,
        tell: Callable[[wire.Event], None] = lambda event: None,
    ) -> None:
        """Keep the LUNs' logs in the folder `store`; show ports through `front`, mounted at `front_folder`.

        `tell` pushes an event at once, from within the thread that serves; others are returned by `tick`.
        """
        self._run = run
        self._front = front
        self._front_folder = front_folder
        self._store = store
        self._luns: dict[str, Target] = {}
        self._ports: dict[str, Port] = {}
        self._instants = itertools.count(1)
        self._crashes = Crashes()
        self._generation = 0
        self._processes = Processes()
        self._links = Links()
        self._kept = KeptNamespaces()
        self._arming = Arming(self.do_apply_luns, tell)
        self._shown: dict[str, tuple[str, int]] = {}
        """Loop devices over files, each with a handle, by path."""
        self._leases: dict[Key, int] = {}
        """When what is wanted of something ends."""
        self._lapsed: set[Key] = set()
        """Those whose lease ran out, until the controller says that nothing is wanted of them any more."""

    def do_beat(self, asked: wire.Beat) -> Done:
        """Nothing to do: that a request came is what counts."""
        return Done()

    def do_create(self, asked: wire.Create) -> Done:
        """Make a LUN."""
        if asked.lun in self._luns:
            raise ValueError(f"there is a LUN {asked.lun} already; drop it first")
        filesystems.require(asked.filesystem)
        base = asked.base if asked.crash is None else self._crashes.base(asked.crash, asked.base)
        lun = Lun(asked.size_bytes, base, self._store, self._instants)
        self._luns[asked.lun] = Target(asked.lun, lun, asked.filesystem, asked.mount_options)
        return Done()

    def do_keep_log(self, asked: wire.KeepLog) -> Done:
        """Have every instant from now on."""
        for name in asked.luns:
            self._luns[name].lun.keep_log()
        return Done()

    def do_save_log(self, asked: wire.SaveLog) -> Done:
        """Write a LUN's log into files."""
        self._luns[asked.lun].lun.save_log(Path(asked.path))
        return Done()

    def do_drop(self, asked: wire.Drop) -> Done:
        """Forget a LUN."""
        self._detach(asked.lun)
        target = self._luns.pop(asked.lun, None)
        self._lease(("lun", asked.lun), None)
        if target is not None:
            target.lun.close()
        return Done()

    def do_attach(self, asked: wire.Attach) -> wire.Device:
        """Show a LUN through a new port."""
        lun = asked.lun
        target = self._luns[lun]
        if target.lost:
            raise ValueError(f"LUN {lun} is lost for good; drop it and create another")
        old = self._ports.get(lun)
        if old is not None and not old.closed:  # what comes through it later would be lost
            _require_unmounted(lun, old.device)
        self._detach(lun)
        self._generation += 1
        port = Port(f"holdfast-{self._run}-{_plain(lun)}-{self._generation}", target)
        self._front.add(port)
        try:
            port.device, port.handle = loop.attach(os.path.join(self._front_folder, port.file))
        except OSError:
            self._front.remove(port)
            raise
        self._ports[lun] = port
        return wire.Device(port.device)

    def do_await_unmount(self, asked: wire.AwaitUnmount) -> wire.Unmounted:
        """Wait until a LUN's port takes no write any more."""
        port = self._ports.get(asked.lun)
        if port is None or port.closed or mounted.wait_until_free(port.device, asked.seconds_max):
            return wire.Unmounted(free=True)
        return wire.Unmounted(free=False, holders=mounted.holders(port.device))

    def do_save(self, asked: wire.Save) -> Done:
        """Write a LUN's content into a file."""
        self._luns[asked.lun].lun.save(asked.path)
        return Done()

    def do_inspect(self, asked: wire.Inspect) -> wire.Inspected:
        """Look at superblocks and logs."""
        return wire.Inspected(tuple(filesystems.not_in_order(*file) for file in asked.files))

    def do_format(self, asked: wire.Format) -> Done:
        """Make a file with an empty file system."""
        filesystems.require(asked.filesystem)
        part = f"{asked.path}.{self._run}.part"  # another run may be making the same
        with open(part, "wb") as file:
            file.truncate(asked.size_bytes)
        FILE_SYSTEMS[asked.filesystem].make(part)
        os.replace(part, asked.path)
        return Done()

    def do_show(self, asked: wire.Show) -> wire.Device:
        """Show a file as a loop device."""
        self._shown[asked.path] = device, _ = loop.attach(asked.path, direct=False)
        return wire.Device(device)

    def do_hide(self, asked: wire.Hide) -> Done:
        """Free the loop device of a file, once nothing has it mounted."""
        device, handle = self._shown.pop(asked.path)
        try:
            _require_unmounted(asked.path, device)
        finally:
            os.close(handle)
        return Done()

    def do_check(self, asked: wire.Check) -> wire.Checked:
        """As a boot does it, which replays the journal."""
        port = self._ports[asked.lun]
        return FILE_SYSTEMS[port.target.filesystem].check(port.device, port.target.mount_options)

    def do_sync(self, asked: wire.Sync) -> Done:
        """Write back through the first service that runs; where none does, the engine has unmounted it already."""
        for service, path in asked.places:
            pid = self._processes.known_pid(service)
            if pid is None:
                continue
            try:
                folder = os.open(f"/proc/{pid}/root{path}", os.O_RDONLY)
            except (FileNotFoundError, ProcessLookupError):  # it is just ending
                continue
            try:
                if _LIBC.syncfs(folder):
                    raise OSError(ctypes.get_errno(), f"syncfs of {path}")
            finally:
                os.close(folder)
            for other, _ in asked.places:
                self._processes.settle(other)
            break
        return Done()

    def do_mounts(self, asked: wire.Mounts) -> wire.MountPoints:
        """Look at each service's mount table; nothing of one that has ended."""
        found: dict[str, tuple[str, ...]] = {}
        for service in asked.services:
            with contextlib.suppress(OSError):
                found[service] = mounted.points(self._processes.pid(service))
        return wire.MountPoints(found)

    def do_health(self, asked: wire.Health) -> wire.LunHealth:
        """Look at a LUN's port and file system.

        One that is mounted tells by itself, but not before its next change when a failed write or flush has aborted its
        journal; so these count by themselves. A file system that is not mounted any more, because its service ended, is
        not to be trusted once an I/O of it has failed.
        """
        port = self._ports.get(asked.lun)
        if port is None or port.closed:
            return wire.LunHealth(closed=True, gave_up=False)
        gave_up = filesystems.gave_up(port.device)
        return wire.LunHealth(
            closed=False, gave_up=port.failed > 0 if gave_up is None else gave_up or port.failed_changes > 0
        )

    def do_apply_luns(self, asked: wire_states.ApplyLuns) -> wire_states.LunsApplied:
        """Kill, close, bring into the wanted state, read back; between two I/Os."""
        wanted = {name: (self._luns[name], state) for name, state in asked.luns.items()}
        now = time.monotonic_ns()
        chains = {name: each.chain_for(asked.cause, state.effects, now) for name, (each, state) in wanted.items()}
        lapsed = self._lapsed_of([("lun", name) for name in wanted])
        with_them = [self._luns[name] for name in (*asked.unplug, *asked.within)]
        dirty = {service: self._processes.dirty_bytes(service) for service in asked.dirty}
        killed = {service: self._processes.kill(service) for service in asked.kill}
        for target in with_them:
            self._closes(target.name, asked.cause)
            if target.name in asked.within:
                target.lun.cut()
        before, closed, kept = {}, {}, {}
        for name, (target, state) in wanted.items():
            before[name] = target.traffic
            if not state.power or state.lost:
                unflushed = target.lun.volatile_bytes
                discarded = target.cut(state.survivors)  # also where it was only unplugged until now
                if self._closes(name, asked.cause):
                    closed[name], kept[name] = discarded, unflushed - discarded
            target.lost = target.lost or state.lost
            target.chain = chains[name]
            self._lease(("lun", name), _until(asked.lease_seconds) if target.chain else None)
        self._front.reconsider()
        after = {name: self._read_back(name) for name in wanted}
        return wire_states.LunsApplied(time.monotonic_ns(), dirty, killed, before, closed, after, lapsed, kept)

    def do_arm(self, asked: wire_states.Arm) -> Done:
        """Have it wait."""
        self._arming.arm(asked, self._luns)
        return Done()

    def do_disarm(self, asked: wire_states.Disarm) -> wire_states.Disarmed:
        """Have it wait no longer."""
        return self._arming.disarm(asked.cause)

    def do_take_apart(self, asked: wire_states.TakeApart) -> Done:
        """Leave operators alone."""
        self._arming.take_apart(asked.luns)
        return Done()

    def do_apply_services(self, asked: wire_states.ApplyServices) -> wire_states.ServicesApplied:
        """Kill, pause or resume, and read back."""
        lapsed = self._lapsed_of([("service", name) for name in asked.services])
        killed = {service: self._processes.kill(service) for service in asked.kill}
        read = {}
        for name, state in asked.services.items():
            read[name] = self._processes.pause(name, state.paused)
            self._lease(("service", name), _until(asked.lease_seconds) if state.paused else None)
        return wire_states.ServicesApplied(time.monotonic_ns(), killed, read, lapsed)

    def do_apply_links(self, asked: wire_states.ApplyLinks) -> wire_states.LinksApplied:
        """Open, close, read back."""
        lapsed = self._lapsed_of([("link", link) for link, _ in asked.links])
        applied = self._links.apply(dict(asked.links))
        for link, state in asked.links:
            self._lease(("link", link), None if state.open else _until(asked.lease_seconds))
        return wire_states.LinksApplied(time.monotonic_ns(), tuple(applied[link] for link, _ in asked.links), lapsed)

    def do_find_alive(self, asked: wire.FindAlive) -> wire.Alive:
        """Tell who is alive."""
        return wire.Alive(tuple(name for name in asked.services if self._processes.is_alive(name)))

    def do_heard(self, asked: wire.Heard) -> wire.HeardPackets:
        """Count packets that arrived."""
        return wire.HeardPackets(*self._links.heard(asked.ends))

    def do_count_ios(self, asked: wire_states.CountIos) -> wire_states.Counts:
        """What was done to I/Os for one cause."""
        luns = {name: self._luns[name] for name in asked.luns}.items()
        counts = {name: wire_states.LunCounts(each.traffic, dict(each.counts[asked.cause])) for name, each in luns}
        return wire_states.Counts(counts)

    def do_count_drops(self, asked: wire_states.CountDrops) -> wire_states.Drops:
        """Packets that were dropped so far."""
        return wire_states.Drops(tuple(self._links.dropped(asked.links).values()))

    def do_watch(self, asked: wire.Watch) -> Done:
        """Know a service's first process."""
        self._processes.watch(asked.service, asked.pid)
        return Done()

    def do_confine(self, asked: wire.Confine) -> Done:
        """Link a container that has started, and confine it; one that has ended again reaches nobody anyway."""
        try:
            self._links.add(asked.service, asked.pid)
            links.apply_baseline(asked.pid, asked.subnet)
        except OSError:
            if namespaces.exists(asked.pid):
                raise
        return Done()

    def do_tidy(self, asked: wire.Tidy) -> wire.Tidied:
        """Close sockets, and compare."""
        return wire.Tidied(self._kept.tidy(asked.pid))

    def do_ask(self, asked: wire.Ask) -> wire.Answers:
        """Ask services over HTTP."""
        known = {each.service: self._processes.known_pid(each.service) or 0 for each in asked.questions}
        questions = [Question(known[each.service], each.port, each.path, each.says) for each in asked.questions]
        return wire.Answers(tuple(ask(questions, asked.seconds_max)))

    def do_forget(self, asked: wire.Forget) -> Done:
        """A container is about to be stopped on purpose."""
        self._processes.forget(asked.service)
        self._links.forget(asked.service)
        return Done()

    def do_release(self, asked: wire.Release) -> Done:
        """End everything that can be ended at once."""
        self._arming.clear()
        self._end([("lun", name) for name in self._luns])
        self._end(list(self._leases))
        self._lapsed.clear()
        return Done()

    def tick(self) -> list[wire.Event]:
        """Sample what must be sampled, end leases that ran out; return the events to push."""
        self._front.tick()
        self._processes.sample()
        self._links.sample()
        events = []
        for service, killed in self._processes.ended().items():
            self._links.forget(service)
            events.append(wire.Event("exited", service=service, killed=killed))
        now = time.monotonic_ns()
        ended = [key for key, until in self._leases.items() if until <= now]
        if ended:
            self._end(ended)
            self._lapsed.update(ended)
            events.append(wire.Event("lease-ended", targets=tuple(_told(key) for key in ended)))
        return events

    def close(self) -> None:
        """Refuse all further I/O and let everybody go on.

        The loop devices go with the process, whose /dev/fuse closes before them, and so do the closed links.
        """
        self._processes.resume_all()
        for port in self._ports.values():
            port.closed = True
        with contextlib.suppress(OSError):  # where /dev/fuse is gone, whoever waited has been told
            self._front.reconsider()

    def _detach(self, lun: str) -> None:
        port = self._ports.pop(lun, None)
        if port is not None:
            self._front.remove(port)
            os.close(port.handle)

    def _closes(self, lun: str, cause: int) -> bool:
        """Close a LUN's port for good, for this cause; return whether there was one open."""
        port = self._ports.get(lun)
        if port is None or port.closed:
            return False
        port.closed, port.cause = True, cause
        return True

    def _lease(self, key: Key, until: int | None) -> None:
        if until is None:
            self._leases.pop(key, None)
            self._lapsed.discard(key)
        else:
            self._leases[key] = until

    def _lapsed_of(self, keys: list[Key]) -> tuple[str, ...]:
        return tuple(sorted(_told(key) for key in self._lapsed.intersection(keys)))

    def _end(self, keys: list[Key]) -> None:
        """Bring these back to their baseline, as far as that can be done at once."""
        opened: dict[Link, LinkState] = {}
        for key in keys:
            self._leases.pop(key, None)
            if key[0] == "lun":
                self._luns[key[1]].chain = []
            elif key[0] == "service":
                self._processes.pause(key[1], False)
            elif key[0] == "link":
                opened[key[1]] = LinkState()
            else:
                raise ValueError(f"nobody knows how to end what is wanted of a {key[0]}")
        self._links.apply(opened)
        self._front.reconsider()

    def _read_back(self, name: str) -> LunState:
        target, port = self._luns[name], self._ports.get(name)
        has_power = port is None or not port.closed
        return LunState(has_power, target.lost, tuple(effect.wanted for effect in target.chain))


def _require_unmounted(what: str, device: str) -> None:
    if not mounted.wait_until_free(device, _UNMOUNT_SECONDS_MAX):
        who = ", ".join(mounted.holders(device)) or "nobody who can be named"
        raise OSError(errno.EBUSY, f"the file system of {what} is still mounted; by {who}")


def _until(lease_seconds: float) -> int:
    return time.monotonic_ns() + int(lease_seconds * 1e9)


def _told(key: Key) -> str:
    return " to ".join(key[1]) if key[0] == "link" else key[1]


def _plain(name: str) -> str:
    """A LUN's name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:60]

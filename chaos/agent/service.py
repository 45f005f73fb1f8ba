"""What the agent does when asked: its requests, one method each. `__main__` is the loop that calls them."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import re
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from chaos.agent import links, loop
from chaos.agent.asking import Question, ask
from chaos.agent.fuse import Front
from chaos.agent.links import Link, Links
from chaos.agent.lun import Lun
from chaos.agent.processes import Processes
from chaos.agent.state import IoRule, Port, Target, rule_from

_LIBC = ctypes.CDLL(None, use_errno=True)
_CHECK_SECONDS_MAX = 120
_E2FSCK_GIVES_UP = 4
"""e2fsck's exit code is a bit mask; from 4 on, errors were left uncorrected."""

Reply = dict[str, Any]


class Agent:
    """One run's LUNs, ports and processes."""

    SLOW = frozenset({"attach", "detach", "drop", "save", "check", "links", "format", "show", "hide", "sync", "ask"})
    """Requests that wait for the kernel or a program, which may need FUSE answers meanwhile: done in a thread.

    Even closing a loop device does: the last close writes its dirty pages back, through FUSE.
    """

    def __init__(self, run: str, front: Front, front_folder: str, store: str) -> None:
        """Keep the LUNs' logs in the folder `store`; show ports through `front`, mounted at `front_folder`."""
        self._run = run
        self._front = front
        self._front_folder = front_folder
        self._store = store
        self._luns: dict[str, Target] = {}
        self._ports: dict[str, Port] = {}
        self._generation = 0
        self._processes = Processes()
        self._links = Links()
        self._shown: dict[str, int] = {}
        """Handles of the loop devices over files, by path."""
        self._leases: dict[tuple[str, Any], int] = {}
        """When what is wanted of a ("lun", name), ("service", name) or ("link", (sender, receiver)) ends."""
        self._lapsed: set[tuple[str, Any]] = set()
        """Those whose lease ran out, until the controller says that nothing is wanted of them any more."""

    def do_create(self, *, lun: str, size: int, base: str | None) -> Reply:
        """Make a LUN as a clone of a golden file, or blank."""
        if lun in self._luns:
            raise ValueError(f"there is a LUN {lun} already; drop it first")
        self._luns[lun] = Target(lun, Lun(size, base, self._store))
        return {}

    def do_drop(self, *, lun: str) -> Reply:
        """Forget a LUN and its content; ports to it fail from now on."""
        self.do_detach(lun=lun)
        target = self._luns.pop(lun, None)
        self._lease(("lun", lun), None)
        if target is not None:
            target.lun.close()
        return {}

    def do_attach(self, *, lun: str) -> Reply:
        """Show a LUN as a loop device through a new port; the old port, if any, is closed."""
        target = self._luns[lun]
        if target.lost:
            raise ValueError(f"LUN {lun} is lost for good; drop it and create another")
        self.do_detach(lun=lun)
        self._generation += 1
        port = Port(f"holdfast-{self._run}-{_plain(lun)}-{self._generation}", target)
        self._front.add(port)
        try:
            port.device, port.handle = loop.attach(os.path.join(self._front_folder, port.file))
        except OSError:
            self._front.remove(port)
            raise
        self._ports[lun] = port
        return {"device": port.device}

    def do_detach(self, *, lun: str) -> Reply:
        """Close a LUN's port; its loop device goes when nothing has it mounted."""
        port = self._ports.pop(lun, None)
        if port is not None:
            self._front.remove(port)
            os.close(port.handle)
        return {}

    def do_save(self, *, lun: str, path: str) -> Reply:
        """Write a LUN's content into a golden file."""
        self._luns[lun].lun.save(path)
        return {}

    def do_format(self, *, path: str, size: int) -> Reply:
        """Make a file with an empty ext4 as a new LUN has it: without lost+found."""
        part = f"{path}.{self._run}.part"  # another run may be making the same
        with open(part, "wb") as file:
            file.truncate(size)
        options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        _run_program("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-E", options, part)
        _run_program("debugfs", "-w", "-R", "rmdir lost+found", part)
        os.replace(part, path)
        return {}

    def do_show(self, *, path: str) -> Reply:
        """Show a file as a loop device, beside every LUN: what is to be on a LUN from the first is copied there."""
        device, self._shown[path] = loop.attach(path, direct=False)
        return {"device": device}

    def do_hide(self, *, path: str) -> Reply:
        """The loop device of a file goes, once nothing has it mounted."""
        os.close(self._shown.pop(path))
        return {}

    def do_check(self, *, lun: str) -> Reply:
        """Boot-time check of an attached, unmounted LUN: `e2fsck -p`, which replays the journal."""
        code, output = _program("e2fsck", "-p", self._ports[lun].device, seconds=_CHECK_SECONDS_MAX)
        return {
            "code": code,
            "output": output,
            "repaired": 0 < code < _E2FSCK_GIVES_UP,
            "ok": code < _E2FSCK_GIVES_UP,
        }

    def do_sync(self, *, places: list[tuple[str, str]]) -> Reply:
        """Write back everything dirty of one file system, through the first of these services that runs.

        They are [service, path where it has it mounted]. Where none runs the engine has unmounted it, which wrote
        everything back.
        """
        for service, path in places:
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
            for other, _ in places:
                self._processes.settle(other)
            return {"synced": True}
        return {"synced": False}

    def do_mounts(self, *, services: list[str]) -> dict[str, list[str]]:
        """Where each of these services has something mounted, as it sees the paths; nothing of one that has ended."""
        found: dict[str, list[str]] = {}
        for service in services:
            with contextlib.suppress(OSError):
                lines = _content(f"/proc/{self._processes.pid(service)}/mountinfo").splitlines()
                found[service] = [_unescaped(line.split(" ")[4]) for line in lines]
        return found

    def do_health(self, *, lun: str) -> Reply:
        """Whether a LUN's port is closed, and whether its file system gave up.

        A mounted ext4 tells by its error count and by being read-only, but not before its next change when a failed
        write or flush has aborted its journal; so these count by themselves. A file system that is not mounted any
        more, because its service ended, is not to be trusted once an I/O of it has failed.
        """
        port = self._ports.get(lun)
        if port is None or port.closed:
            return {"closed": True, "gave_up": False}
        name = os.path.basename(port.device)
        try:
            options = _content(f"/proc/fs/ext4/{name}/options").split()
            errors = int(_content(f"/sys/fs/ext4/{name}/errors_count"))
        except FileNotFoundError:
            return {"closed": False, "gave_up": port.failed > 0}
        gave_up = errors > 0 or port.failed_changes > 0 or bool({"ro", "emergency_ro", "shutdown"} & set(options))
        return {"closed": False, "gave_up": gave_up}

    def do_apply(
        self,
        *,
        luns: dict[str, dict[str, Any]],
        kill: list[str],
        lease_seconds: float,
        cause: int = 0,
        unplug: Sequence[str] = (),
        within: Sequence[str] = (),
        dirty: Sequence[str] = (),
        pause: dict[str, bool] | None = None,
        links: list[tuple[str, str, bool]] | None = None,
    ) -> Reply:
        """Bring LUNs, processes and links into the wanted state, all of them between two I/Os, and read it back.

        A LUN's state is {"power": bool, "lost": bool, "rules": [...]}, a link's [sender, receiver, open]. Processes die
        first, then the LUNs close, so that nothing sneaks out of the page cache. LUNs to `unplug` close as well, while
        their arrays go on: what those have taken stays, what the page cache holds never gets there. Those that are
        `within` the machines lose their power too, and what is not flushed. Rules, pauses and closed links are leased:
        they end by themselves. Ports that this closes are closed for `cause`, as each rule has its own.

        Returns:
            When (ns of CLOCK_MONOTONIC), what the services asked for under `dirty` had to write back just before, what
            was killed and paused, each LUN's counters before and state after,
            those whose port this has `closed` with the bytes discarded, the links in their order, and which of all
            these targets have `lapsed`: something was wanted of them, and its lease ran out.
        """
        wanted_links = {(sender, receiver): is_open for sender, receiver, is_open in links or ()}
        until = time.monotonic_ns() + int(lease_seconds * 1e9)
        wanted = {name: (self._luns[name], _rules(self._luns[name], state["rules"])) for name, state in luns.items()}
        leased = [("lun", name) for name in luns] + [("service", name) for name in pause or ()]
        lapsed = self._lapsed.intersection([*leased, *(("link", link) for link in wanted_links)])
        unplugged = [self._luns[name] for name in (*unplug, *within)]
        dirty_bytes = {service: self._processes.dirty_bytes(service) for service in dirty}
        killed = {service: self._processes.kill(service) for service in kill}
        for target in unplugged:
            self._closes(target.name, cause)
            if target.name in within:
                target.lun.cut()
        before, closed = {}, {}
        for name, (target, rules) in wanted.items():
            before[name] = dataclasses.asdict(target.counters)
            state = luns[name]
            if not state["power"] or state["lost"]:
                discarded = target.lun.cut()  # also where it was only unplugged until now
                if self._closes(name, cause):
                    closed[name] = discarded
            target.lost = target.lost or state["lost"]
            target.rules = rules
            target.applied = state
            self._lease(("lun", name), until if rules else None)
        paused = {}
        for service, is_wanted in (pause or {}).items():
            paused[service] = self._processes.pause(service, is_wanted)
            self._lease(("service", service), until if is_wanted else None)
        applied = self._links.apply(wanted_links)
        for link, is_open in wanted_links.items():
            self._lease(("link", link), None if is_open else until)
        self._front.reconsider()
        return {
            "at": time.monotonic_ns(),
            "dirty": dirty_bytes,
            "killed": killed,
            "paused": paused,
            "links": list(applied.values()),
            "before": before,
            "closed": closed,
            "after": self._states(list(wanted)),
            "lapsed": sorted(" to ".join(name) if kind == "link" else name for kind, name in lapsed),
        }

    def do_counters(self, *, luns: list[str], cause: int = 0) -> Reply:
        """What went through these LUNs so far, and what was failed or held back for this cause."""
        targets = {name: self._luns[name] for name in luns}
        return {
            name: {**dataclasses.asdict(target.counters), **dataclasses.asdict(target.tolls[cause])}
            for name, target in targets.items()
        }

    def do_dropped(self, *, links: list[tuple[str, str]]) -> list[int]:
        """Packets that these links, as [sender, receiver], have dropped so far."""
        return list(self._links.dropped([(sender, receiver) for sender, receiver in links]).values())

    def do_heard(self, *, ends: list[tuple[str, str]]) -> list[int]:
        """Packets that services had so far, each [service, sender], "" being outside, and how often rules changed."""
        return list(self._links.heard([(service, sender) for service, sender in ends]))

    def do_watch(self, *, service: str, pid: int) -> Reply:
        """Know the init process of a service's container."""
        self._processes.watch(service, pid)
        return {}

    def do_links(self, *, service: str, pid: int, subnet: str) -> Reply:
        """Link a container that has started as is wanted now, and confine it to its run's own subnet."""
        self._links.add(service, pid)
        links.apply_baseline(pid, subnet)
        return {}

    def do_ask(self, *, questions: list[dict[str, Any]], seconds: float) -> list[bool]:
        """Ask services over HTTP, each {"service": name, "port": n, "path": p, "says": text}."""
        known = {each["service"]: self._processes.known_pid(each["service"]) for each in questions}
        asked = [Question(known[each["service"]] or 0, each["port"], each["path"], each["says"]) for each in questions]
        return ask(asked, seconds)

    def do_forget(self, *, service: str) -> Reply:
        """A service's container is about to be stopped on purpose: its end is no event."""
        self._processes.forget(service)
        self._links.forget(service)
        return {}

    def tick(self) -> list[Reply]:
        """Sample what must be sampled, end leases that ran out; return the events to push."""
        self._front.tick()
        self._processes.sample()
        self._links.sample()
        events: list[Reply] = []
        for service in self._processes.ended():
            self._links.forget(service)
            events.append({"event": "exited", "service": service})
        now = time.monotonic_ns()
        ended = [key for key, until in self._leases.items() if until <= now]
        if ended:
            self._end(ended)
            self._lapsed.update(ended)
            kinds = {kind: [name for other, name in ended if other == kind] for kind, _ in ended}
            events.append({"event": "lease-ended", **{f"{kind}s": names for kind, names in kinds.items()}})
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

    def do_release(self) -> Reply:
        """End everything that can be ended at once, whatever it was for: a trial broke off, its stack goes away."""
        self._end([("lun", name) for name in self._luns])
        self._end(list(self._leases))
        self._lapsed.clear()
        return {}

    def _closes(self, lun: str, cause: int) -> bool:
        """Close a LUN's port for good, for this cause; return whether there was one open."""
        port = self._ports.get(lun)
        if port is None or port.closed:
            return False
        port.closed, port.cause = True, cause
        return True

    def _lease(self, key: tuple[str, Any], until: int | None) -> None:
        if until is None:
            self._leases.pop(key, None)
            self._lapsed.discard(key)
        else:
            self._leases[key] = until

    def _end(self, keys: list[tuple[str, Any]]) -> None:
        """Bring these back to their baseline, as far as that can be done at once."""
        opened: dict[Link, bool] = {}
        for kind, name in keys:
            self._leases.pop((kind, name), None)
            if kind == "lun":
                self._luns[name].rules = []
            elif kind == "service":
                self._processes.pause(name, False)
            else:
                opened[name] = True
        self._links.apply(opened)
        self._front.reconsider()

    def _states(self, names: list[str]) -> Reply:
        return {
            name: {
                "power": not (port := self._ports.get(name)) or not port.closed,
                "lost": self._luns[name].lost,
                "rules": len(self._luns[name].rules),
            }
            for name in names
        }


def _rules(target: Target, wanted: list[dict[str, Any]]) -> list[IoRule]:
    """The wanted rules; those that stand already keep their count of times."""
    standing = list(zip(target.applied.get("rules", ()), target.rules, strict=False))
    rules = []
    for rule in wanted:
        kept = next((pair for pair in standing if pair[0] == rule), None)
        if kept is not None:
            standing.remove(kept)
        rules.append(kept[1] if kept is not None else rule_from(rule))
    return rules


def _plain(name: str) -> str:
    """A LUN's name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:60]


def _content(path: str) -> str:
    with open(path) as file:
        return file.read()


def _unescaped(path: str) -> str:
    """A path of mountinfo, where blanks and backslashes are three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _program(*arguments: str, seconds: float) -> tuple[int, str]:
    done = subprocess.run(arguments, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace").strip()


def _run_program(*arguments: str) -> None:
    code, output = _program(*arguments, seconds=_CHECK_SECONDS_MAX)
    if code:
        raise OSError(f"{arguments[0]} ended with {code}: {output[-400:]}")

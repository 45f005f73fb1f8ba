"""What runs of Holdfast left on this host: containers, networks, volumes, loop devices, mounts and guards.

Runs of other, living controllers are somebody else's and left out; those of this process are not.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from chaos.agent.disk import loop
from chaos.errors import EngineError
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import OWNER_LABEL, RUN_LABEL, is_alive, owner_of

GUARD = "chaos.stack.cleanup.guard"
CLEAN_SECONDS_MAX = 10.0
_LOOK_SECONDS = 0.1


def wait_until_clean(known: frozenset[str] = frozenset(), seconds_max: float = CLEAN_SECONDS_MAX) -> frozenset[str]:
    """Look until nothing is left but what was `known` before; return what still is when the time is over."""
    until = time.monotonic() + seconds_max
    while True:
        left = leftovers() - known
        if not left or time.monotonic() > until:
            return left
        time.sleep(_LOOK_SECONDS)


def leftovers() -> frozenset[str]:
    """Everything that is there now and belongs to this process or to nobody, one line each."""
    try:
        client = connect()
    except EngineError:
        return frozenset(_guards())  # nothing was made, and of the rest nobody could say whose it is
    with closing(client):
        objects = list(_objects(client.api))
    foreign = {labels[RUN_LABEL] for _, labels in objects if _is_foreign(labels.get(OWNER_LABEL, ""))}
    found = {f"{name} of run {labels[RUN_LABEL]}" for name, labels in objects if labels[RUN_LABEL] not in foreign}
    on_host = [*_loops_and_mounts(), *_guards()]
    return frozenset(found | {line for line in on_host if not any(run in line for run in foreign)})


def of_run(run_id: str) -> frozenset[str]:
    """What is left of one run."""
    return frozenset(line for line in leftovers() if run_id in line)


def _is_foreign(owner: str) -> bool:
    return owner != owner_of(os.getpid()) and is_alive(owner)


def _objects(api: Any) -> Iterator[tuple[str, dict[str, str]]]:
    filters = {"label": [RUN_LABEL]}
    for each in api.containers(all=True, filters=filters):
        yield f"container {(each.get('Names') or [each['Id'][:12]])[0]}", each["Labels"]
    for each in api.networks(filters=filters):
        yield f"network {each['Name']}", each["Labels"]
    for each in api.volumes(filters=filters).get("Volumes") or ():
        yield f"volume {each['Name']}", each["Labels"]


def _loops_and_mounts() -> Iterator[str]:
    loops = {}
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # it is just being freed
            backing = file.read_text().strip()
            if Path(backing).name.startswith("holdfast-"):
                loops[f"/dev/{file.parts[3]}"] = backing
    # an agent that lives tells of itself by its container, or belongs to another engine of this host
    living = {device for device in loops if loop.is_open(device)}
    loops = {device: backing for device, backing in loops.items() if device not in living}
    for device, backing in loops.items():
        yield f"loop device {device} over {backing}"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, place = line.split()[:2]
        if device not in living and (device in loops or "holdfast-" in place):
            yield f"mount of {device} on {place}, over {loops.get(device, 'nothing')}"


def _guards() -> Iterator[str]:
    """Guards of this process, and those whose controller is gone; a controller is a Python program."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if GUARD not in command_line(int(stat.parts[2])):
                continue
            # after the name, which may itself hold spaces and brackets: state, parent
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() or not any(name in command_line(parent) for name in ("python", "holdfast")):
                yield f"guard process {stat.parts[2]}"


def command_line(pid: int) -> str:
    """A process's command line; "" once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""

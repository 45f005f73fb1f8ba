"""What this host and its engine can do, found by doing it where that is cheap.

The mechanisms are tried where the agent would use them: in a container of the agent's image with the agent's
privileges. Without that image they are tried on the host, by root, in namespaces of their own.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from chaos.doctor import inside
from chaos.doctor.diagnosis import Diagnosis, Finding, conclude
from chaos.errors import EngineError, HarnessError, ImageError
from chaos.experiment.drivers import installed_drivers, known_drivers
from chaos.stack.cache import cache_folder, cache_place
from chaos.stack.carrier.image import PUBLISHED, REMEDY, find_server
from chaos.stack.engine import own
from chaos.stack.engine.client import (
    FAILURES,
    Engine,
    NoAnswer,
    Refusal,
    about,
    ask_registry,
    is_gone,
    reach,
    reason_of,
)
from chaos.stack.engine.identity import Run, owner_of
from chaos.stack.images.images import ImageRef, find_agent_image
from chaos.workload.drivers import load_driver

DISK_FREE_BYTES_MIN = 2 << 30
_PROBE_SECONDS_MAX = 30
_CONNECT_SECONDS_MAX = 15
_FIX = "holdfast doctor --fix"
_CAPABILITY_BITS = {"SYS_ADMIN": 21, "NET_ADMIN": 12, "SYS_PTRACE": 19, "MKNOD": 27, "SYS_RESOURCE": 24}
_ROOTFUL = "use the rootful engine: DOCKER_HOST=unix:///var/run/docker.sock, with its socket's group or root"
_TRIED_AGAIN = 3
_NEEDED = ("capabilities", "fuse", "loop", "ext4", "freezer", "nftables")
MECHANISMS = {
    "capabilities": "run the engine where these are in the bounding set, so in no sandboxed container",
    "fuse": "load it with `modprobe fuse`; where it is not permitted, run the engine where it may use /dev/fuse itself",
    "loop": "load it with `modprobe loop max_loop=64`; where it is not permitted, run the engine where it may use "
    "/dev/loop-control itself",
    "ext4": "use a kernel with ext4",
    "xfs": "`modprobe xfs`; only LUNs with `filesystem: xfs` would need it",
    "btrfs": "`modprobe btrfs`; only LUNs with `filesystem: btrfs` would need it",
    "overlay": "`modprobe overlay`; the engine copies every image whole without it",
    "freezer": "mount the freezer controller, or cgroup version 2; pauses need it",
    "nftables": "`modprobe nf_tables`; network faults need it",
    "tbf": "`modprobe sch_tbf`; only limits of a link's rate need it",
    "netem": "`modprobe sch_netem`, or take latency from the carrier; only delays of a link need it",
}
"""The mechanisms that `inside` tries, in the order shown, and what to do where one is missing."""


def examine() -> Diagnosis:
    """Look at everything; changes nothing, and takes about a second.

    Raises:
        UsageError: A driver or a fault of somebody's package cannot be loaded.
    """
    drivers = _drivers()
    try:
        client, address = reach(_CONNECT_SECONDS_MAX)
    except EngineError as error:
        engine = [Finding("engine", "gap", str(error), _engine_remedy(error))]
        return conclude((*engine, _agent_finding(None), *_mechanisms(None, None), *_host(), drivers))
    with closing(client):
        try:
            image = find_agent_image(client)
            engine = _engine(client, address, image)
            mechanisms = [*_mechanisms(client, image), _toxiproxy(client)]
        except (*FAILURES, HarnessError) as error:
            engine, image, mechanisms = (
                [Finding("engine", "gap", str(error), "see the engine's log")],
                None,
                [],
            )
    return conclude((*engine, _agent_finding(image), *mechanisms, *_host(), drivers))


def _engine(client: Engine, address: str, image: ImageRef | None) -> list[Finding]:
    found = about(client)
    name = f"{found.product} {found.version} at {address}"
    elsewhere = own.elsewhere(client, _own_run(), image.id, cache_folder()) if image else ""
    return [
        Finding("engine", "gap", f"{name}: {elsewhere}", own.REMEDY) if elsewhere else Finding("engine", "ok", name),
        Finding("api", "info", f"{found.api}, from {found.api_min} on"),
        Finding("storage driver", "info", found.storage_driver),
        Finding("privileges", "gap", f"{found.confined}: the kernel refuses it block devices", _ROOTFUL)
        if found.confined
        else Finding("privileges", "ok", "rootful"),
        Finding("cgroup version", "info", found.cgroups),
    ]


def _drivers() -> Finding:
    for name in installed_drivers():
        load_driver(name)
    return Finding("drivers", "info", ", ".join(known_drivers()))


def _agent_finding(image: ImageRef | None) -> Finding:
    if image is None:
        return Finding("agent", "info", f"its image is not built yet; `{_FIX}` or the first run builds it")
    return Finding("agent", "ok", image.tag)


def _mechanisms(client: Engine | None, image: ImageRef | None) -> list[Finding]:
    try:
        if client is not None and image is not None:
            where, answers = "in the engine", _tried(client, image)
        elif os.geteuid() == 0:
            where, answers = "on the host", _on_host()
        else:
            where, answers = "not tried: neither root nor the agent's image is here", None
    except (*FAILURES, OSError, ValueError, HarnessError, subprocess.SubprocessError) as error:
        refused = f"the probe cannot start: {reason_of(error) if isinstance(error, Refusal) else error}"
        remedy = MECHANISMS["capabilities"]
        return [_bounding_set(), *(Finding(name, "gap", refused, remedy) for name in MECHANISMS)]
    if answers is None:
        return [_bounding_set(), *(Finding(name, "info", where, f"`{_FIX}`") for name in MECHANISMS)]
    findings = [_bounding_set()]
    for name, remedy in MECHANISMS.items():
        trouble = str(answers.get(name, "not answered"))
        gap = Finding(name, "gap", f"{trouble}, tried {where}", remedy)
        findings.append(gap if trouble else Finding(name, "ok", f"works, tried {where}"))
    return findings


def _toxiproxy(client: Engine) -> Finding:
    """Where the carrier's server would come from; the registry is asked where nothing else would do."""
    try:
        found = find_server(client)
    except ImageError as error:
        return Finding("toxiproxy", "gap", str(error), REMEDY)
    if found:
        return Finding("toxiproxy", "ok", found)
    try:
        ask_registry(client, PUBLISHED)
    except (Refusal, NoAnswer) as error:
        if is_gone(error):  # Podman has no such question
            return Finding("toxiproxy", "info", f"not tried: the first run with a carrier pulls {PUBLISHED}")
        reason = reason_of(error) if isinstance(error, Refusal) else "the registry gave no answer in time"
        return Finding("toxiproxy", "gap", f"not here, no Go to build it, and not to be pulled: {reason}", REMEDY)
    return Finding("toxiproxy", "ok", f"the first run with a carrier pulls {PUBLISHED}")


def _tried(client: Engine, image: ImageRef) -> Mapping[str, object]:
    """Try every mechanism, and again where one that trials need did not work: another run may have been in its way."""
    answers = _in_engine(client, image)
    for _ in range(_TRIED_AGAIN):
        if not any(answers.get(name, "not answered") for name in _NEEDED):
            break
        answers = _in_engine(client, image)
    return answers


def _in_engine(client: Engine, image: ImageRef) -> Mapping[str, object]:
    return _parsed(*own.probe(client, _own_run(), image.id, _source(), _PROBE_SECONDS_MAX))


def _own_run() -> Run:
    """For the label of a container: with this process as its owner a sweep finds it if this process is killed."""
    return Run(f"doctor-{uuid.uuid4().hex[:8]}", owner_of(os.getpid()))


def _on_host() -> Mapping[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", _source(), "unshare"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PROBE_SECONDS_MAX,
        check=False,
    )
    return _parsed(done.stdout, done.stderr)


def _source() -> str:
    return Path(str(inside.__file__)).read_text(encoding="utf-8")


def _parsed(output: bytes, trouble: bytes) -> Mapping[str, object]:
    try:
        answers = json.loads(output)
    except ValueError as error:
        last = trouble.decode(errors="replace").strip().splitlines()[-1:]
        raise HarnessError(last[0] if last else "it said nothing") from error
    if not isinstance(answers, dict):
        raise HarnessError("its answer is not an object")
    return answers


def _bounding_set() -> Finding:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        held = next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:"))
    except (OSError, StopIteration):
        return Finding("bounding set", "info", "not to be seen: no /proc here")
    shown = ", ".join(f"{name} {'yes' if held >> bit & 1 else 'no'}" for name, bit in _CAPABILITY_BITS.items())
    return Finding("bounding set", "info", f"{shown} (of this process)")


def _host() -> list[Finding]:
    python = platform.python_version()
    return [
        _cache(),
        _space(),
        Finding("host", "info", f"{platform.system()} {platform.release()}, Python {python}"),
    ]


def _cache() -> Finding:
    try:
        folder = cache_folder()
    except HarnessError as error:
        return Finding("cache folder", "gap", str(error), "set HOLDFAST_CACHE to a folder that you may write to")
    if not os.access(folder, os.W_OK):
        return Finding("cache folder", "gap", f"{folder} is read-only", "set HOLDFAST_CACHE to another folder")
    return Finding("cache folder", "ok", str(folder))


def _space() -> Finding:
    place = cache_place()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    value = f"{free / (1 << 30):.1f} GiB free at {place}"
    if free < DISK_FREE_BYTES_MIN:
        remedy = f"{DISK_FREE_BYTES_MIN >> 30} GiB are needed; `holdfast clean --all` gives its own back"
        return Finding("disk space", "gap", value, remedy)
    return Finding("disk space", "ok", value)


def _engine_remedy(error: EngineError) -> str:
    if error.is_forbidden:
        return "join the group of its socket, or run `sudo holdfast`"
    if os.geteuid() == 0:
        return f"`{_FIX}`, or start an engine, or name one with DOCKER_HOST"
    return f"`sudo {_FIX}`, or start an engine that you may reach, or name one with DOCKER_HOST"

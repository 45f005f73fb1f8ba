"""Kills the controller, `kill -9`, at random instants of a trial's life, and looks for anything left behind.

    python tests/soak.py N [--together M] [--seed S] [--only NAME ...]

N times the controller alone: the host must be clean within 10 s, by itself. M times (5 by default) the
controller and its guard at once: the host must be clean after the next `holdfast clean`. Exits 0 when it always
was, else 1. Runs of other, living controllers are left out of the account.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker

from chaos.agent.disk import loop
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import OWNER_LABEL, RUN_LABEL, is_alive

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = {
    name: ROOT / "experiments" / f"{name}.yaml"
    for name in (
        "power_cut",
        "lost_replies",
        "syncstack/san_loss",
        "syncstack/san_outage",
        "syncstack/partition_primary",
        "syncstack/pause_primary",
    )
}
"""One of each kind of thing that can be left: ports, the carrier, held I/Os, cut links, frozen processes."""
HOLDFAST = Path(sys.executable).with_name("holdfast")
GUARD = "chaos.stack.cleanup.guard"
CLEAN_SECONDS_MAX = 10.0
LIFE_SECONDS_MAX = 300.0
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Outcome:
    """What was left at the end of the wait, and how long it took until nothing was."""

    left: tuple[str, ...]
    seconds: float


def main() -> int:
    """Measure one undisturbed life, then end the others early."""
    parser = argparse.ArgumentParser(description="Kill the controller at random instants; nothing may be left.")
    parser.add_argument("times", type=int, nargs="?", default=20)
    parser.add_argument("--together", type=int, default=5, help="further times, with the guard")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--only", nargs="+", choices=sorted(EXPERIMENTS), default=list(EXPERIMENTS))
    arguments = parser.parse_args()
    drawn, chosen = random.Random(arguments.seed), [EXPERIMENTS[name] for name in arguments.only]
    with closing(connect()) as client:
        say(f"seed {arguments.seed}")
        misses = 0
        lives: dict[Path, float] = {}
        for number, (experiment, part) in enumerate(moments(drawn, chosen, arguments.times), 1):
            instant = part * life_of(experiment, lives)
            guard = kill_at(experiment, instant, with_guard=False)
            misses += tell(f"controller {number} of {experiment.stem}", instant, wait_until_clean(client, guard))
        for number, (experiment, part) in enumerate(moments(drawn, chosen, arguments.together), 1):
            instant = part * life_of(experiment, lives)
            guard = kill_at(experiment, instant, with_guard=True)
            subprocess.run([HOLDFAST, "clean"], check=False, capture_output=True, timeout=LIFE_SECONDS_MAX)
            name = f"controller and guard {number} of {experiment.stem}"
            misses += tell(name, instant, wait_until_clean(client, guard))
    total = arguments.times + arguments.together
    say(f"{total - misses} passed, {misses} failed")
    return 1 if misses or not total else 0


def moments(drawn: random.Random, chosen: Sequence[Path], count: int) -> list[tuple[Path, float]]:
    """Experiments in turn, each with a random instant of its life in [0, 1): one in each of `count` equal parts."""
    parts = [(part + drawn.random()) / count for part in range(count)]
    drawn.shuffle(parts)
    return [(chosen[number % len(chosen)], part) for number, part in enumerate(parts)]


def life_of(experiment: Path, known: dict[Path, float]) -> float:
    """Seconds of a trial that is left alone. The first of two also makes images and the golden snapshot."""
    for _ in range(0 if experiment in known else 2):
        began = time.monotonic()
        code = start(experiment).wait(timeout=LIFE_SECONDS_MAX)
        known[experiment] = time.monotonic() - began
        if code not in {0, 1, 2}:
            raise SystemExit(f"`holdfast run {experiment}` exits {code} by itself; make it run first")
    return known[experiment]


def start(experiment: Path) -> subprocess.Popen[bytes]:
    """Start a controller in a session of its own, so that no signal of the terminal reaches it."""
    return subprocess.Popen(
        [HOLDFAST, "run", str(experiment)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_at(experiment: Path, instant: float, *, with_guard: bool) -> tuple[int, ...]:
    """Start a controller and kill it so many seconds later, alone or with its guard.

    Returns:
        The pids of its guard: none before it has one.
    """
    controller = start(experiment)
    with contextlib.suppress(subprocess.TimeoutExpired):
        controller.wait(timeout=instant)
    if controller.poll() is not None:
        return ()
    # stopped first, so that it cannot start a guard between the look and the kill
    controller.send_signal(signal.SIGSTOP)
    guards = tuple(pid for pid in children(controller.pid) if GUARD in command_line(pid))
    if with_guard:
        for pid in guards:
            os.kill(pid, signal.SIGKILL)
    controller.kill()
    controller.wait(timeout=LIFE_SECONDS_MAX)
    return guards


def wait_until_clean(client: docker.DockerClient, guards: tuple[int, ...]) -> Outcome:
    """Look until nothing is left, or the time is over."""
    began = time.monotonic()
    while True:
        left = tuple(leftovers(client, guards))
        seconds = time.monotonic() - began
        if not left or seconds > CLEAN_SECONDS_MAX:
            return Outcome(left, seconds)
        time.sleep(LOOK_SECONDS)


def leftovers(client: docker.DockerClient, guards: tuple[int, ...]) -> Iterator[str]:
    """Yield whatever belongs to a controller that is gone."""
    filters = {"label": [RUN_LABEL]}
    living = set()
    found = [("container", each["Id"][:12], each) for each in client.api.containers(all=True, filters=filters)]
    found += [("network", each["Name"], each) for each in client.api.networks(filters=filters)]
    found += [("volume", each["Name"], each) for each in client.api.volumes(filters=filters).get("Volumes") or ()]
    for kind, name, each in found:
        labels = each.get("Labels") or {}
        if is_alive(labels.get(OWNER_LABEL, "")):
            living.add(labels[RUN_LABEL])
        else:
            yield f"{kind} {name}"
    loops = {}
    for block in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            loops[f"/dev/{block.parts[3]}"] = block.read_text().strip()
    # an agent that lives tells of itself by its container, or belongs to another engine of this host
    others = {device for device in loops if loop.is_open(device)}
    for device, backing in loops.items():
        if device not in others and "holdfast" in backing and not any(run in backing for run in living):
            yield f"loop device {device} over {backing}"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, place = line.split()[:2]
        ours = "holdfast" in place or "holdfast" in loops.get(device, "")
        if ours and device not in others and not any(run in place + loops.get(device, "") for run in living):
            yield f"mount {place}"
    for pid in guards:
        if GUARD in command_line(pid):
            yield f"guard process {pid}"


def children(pid: int) -> list[int]:
    """Pids of a process's children, by their stat files: many kernels are built without a list of them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # after the name, which may itself hold spaces and brackets: state, parent
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parts[2]))
    return found


def command_line(pid: int) -> str:
    """A process's command line, "" once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def tell(name: str, instant: float, outcome: Outcome) -> int:
    """Print one line; return 1 for a miss."""
    if outcome.left:
        say(f"MISS {name}: killed at {instant:5.1f} s, left after {outcome.seconds:.1f} s: {'; '.join(outcome.left)}")
        return 1
    say(f"ok   {name}: killed at {instant:5.1f} s, clean {outcome.seconds:.1f} s later")
    return 0


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""Tries Holdfast on engines that this host does not run: `python -m tests.engines [NAME ...]`.

For each engine: the doctor makes it ready, then experiments run until each has its expected verdict, the controller is
killed at random instants, and `holdfast clean --all` takes everything away. A table of what was seen is printed and
written to reports/engines.md, with whatever could not be tried and why. Exits 0 when all that was tried went as it
should, else 1.

    --list          the names
    --kills N       how often the controller is killed (5)
    --seed N        of the experiments (7)
    --start NAME    start that engine, print how to use it, and leave it running
    --stop NAME     end it and remove what it wrote

Needs root, mmdebstrap, and Debian's packages.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import docker

from chaos.errors import EngineError, HarnessError
from chaos.stack.cache import cache_place
from tests.engines.kinds import KINDS, NOT_TO_BE_HAD
from tests.engines.place import REPOSITORY, Kind, Place

REPORT = REPOSITORY / "reports" / "engines.md"
MINIMAL = tuple(sorted((REPOSITORY / "experiments").glob("*.yaml")))
SYNCSTACK = tuple(
    REPOSITORY / "experiments/syncstack" / f"{name}.yaml" for name in ("san_loss", "partition_primary", "kill_primary")
)
"""One that needs all disks again, one that cuts links between services, one that fails over."""
_DOCTOR_SECONDS_MAX = 900.0
_TRIAL_SECONDS_MAX = 1800.0
_SOAK_SECONDS_MAX = 3600.0
_CLEAN_SECONDS_MAX = 120.0
_KEPT = ("images", "toxiproxy")
"""Of the cache folder: what is the same for every engine and takes minutes to make."""
_KILLED = ("power_cut", "lost_replies", "syncstack/partition_primary")
_LAST_LINES = 3


@dataclass
class Row:
    """What was seen on one engine. `trouble` names all that did not go as it should."""

    engine: str
    version: str = ""
    trials: dict[str, str] = field(default_factory=dict)
    kills: str = ""
    left: str = ""
    trouble: list[str] = field(default_factory=list)


def main() -> int:
    """Try the engines that are named, or all."""
    parser = argparse.ArgumentParser(description="Try Holdfast on engines that this host does not run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(KINDS)}; all without one")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--start", metavar="NAME", choices=KINDS)
    parser.add_argument("--stop", metavar="NAME", choices=KINDS)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in KINDS]
    if unknown:
        parser.error(f"there is no engine {unknown[0]} here; there are {', '.join(KINDS)}")
    if arguments.list:
        say("\n".join(KINDS))
    elif arguments.start:
        place = Place(KINDS[arguments.start])
        place.start()
        say(f"DOCKER_HOST=unix://{place.socket} {' '.join(place.command('PROGRAM'))}")
    elif arguments.stop:
        Place(KINDS[arguments.stop]).stop()
    else:
        return tried([KINDS[name] for name in arguments.names or KINDS], arguments.seed, arguments.kills)
    return 0


def tried(kinds: list[Kind], seed: int, kills: int) -> int:
    """Try these engines one after the other, and write the table after each."""
    rows: list[Row] = []
    for kind in kinds:
        place, row = Place(kind), Row(kind.name)
        rows.append(row)
        try:
            place.start()
            try_engine(place, row, seed, kills)
        except (HarnessError, OSError, subprocess.TimeoutExpired) as error:
            row.trouble.append(str(error))
        finally:
            place.stop()
        for trouble in row.trouble:
            say(f"{kind.name}: {trouble}")
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(table(rows))
    say(table(rows))
    return 1 if any(row.trouble for row in rows) else 0


def try_engine(place: Place, row: Row, seed: int, kills: int) -> None:
    """All of it on one engine that runs; what did not go as it should is in `row.trouble`."""
    cache = Path(place.environment()["HOLDFAST_CACHE"])
    for name in _KEPT:
        if (cache_place() / name).is_dir() and not (cache / name).exists():
            shutil.copytree(cache_place() / name, cache / name)
    began = time.monotonic()
    done = holdfast(place, "doctor", "--fix", seconds_max=_DOCTOR_SECONDS_MAX)
    row.version = version_of(place)
    say(f"{place.kind.name}: {row.version}; the doctor exits {done.returncode} after {time.monotonic() - began:.0f} s")
    if done.returncode:
        row.trouble.append(f"the doctor exits {done.returncode}: {end_of(done)}")
        return
    for file in (*MINIMAL, *SYNCSTACK):
        try_experiment(place, row, file, seed)
    if kills:
        command = [sys.executable, "tests/soak.py", str(kills), "--together", "0", "--seed", str(seed)]
        command += ["--only", *_KILLED]
        done = run(place, command, _SOAK_SECONDS_MAX)
        missed = sum(line.startswith("MISS") for line in done.stdout.splitlines())
        row.kills = f"{kills - missed} of {kills}" if not done.returncode or missed else "failed"
        say(f"{place.kind.name}: after kill -9 clean {row.kills}")
        if done.returncode:
            row.trouble.append(f"kill -9: {end_of(done)}")
    holdfast(place, "clean", "--all", seconds_max=_CLEAN_SECONDS_MAX)
    left = images_of(place)
    row.left = str(len(left))
    if left:
        row.trouble.append(f"images left after `clean --all`: {', '.join(left)}")


def try_experiment(place: Place, row: Row, file: Path, seed: int) -> None:
    """One trial, judged by the verdict that the experiment names."""
    name = str(file.relative_to(REPOSITORY / "experiments").with_suffix(""))
    began = time.monotonic()
    command = ("run", str(file), "--seed", str(seed), "--expect", "--json")
    done = holdfast(place, *command, seconds_max=_TRIAL_SECONDS_MAX)
    seconds = time.monotonic() - began
    try:
        verdict = str(json.loads(done.stdout).get("verdict") or "no verdict")
    except ValueError:
        verdict = "no verdict"
    row.trials[name] = f"{verdict}, {seconds:.0f} s"
    say(f"{place.kind.name}: {name}: {row.trials[name]}")
    if done.returncode:
        row.trouble.append(f"{name}: {verdict}, exit code {done.returncode}: {end_of(done)}")


def holdfast(place: Place, *arguments: str, seconds_max: float) -> subprocess.CompletedProcess[str]:
    """Run a command of Holdfast on this engine."""
    command = [sys.executable, "-c", "import sys; from chaos.cli import main; sys.exit(main())", *arguments]
    return run(place, command, seconds_max)


def run(place: Place, command: list[str], seconds_max: float) -> subprocess.CompletedProcess[str]:
    """Run a program of the host in this engine's network, from the repository's folder."""
    return subprocess.run(
        place.command(*command),
        env=place.environment(),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds_max,
        check=False,
    )


def version_of(place: Place) -> str:
    """Such as "Podman Engine 5.8.6, overlay, cgroup version 1"."""
    with closing(docker.DockerClient(base_url=f"unix://{place.socket}", version="auto")) as client:
        version, info = client.version(), client.info()
    product = version["Components"][0]["Name"].replace("Engine", "").strip() or "Docker"
    return f"{product} {version['Version']}, {info['Driver']}, cgroup version {info.get('CgroupVersion') or 1}"


def images_of(place: Place) -> list[str]:
    """Every image that the engine has."""
    with closing(docker.DockerClient(base_url=f"unix://{place.socket}", version="auto")) as client:
        return [(each.get("RepoTags") or [each["Id"]])[0] for each in client.api.images(all=True)]


def table(rows: list[Row]) -> str:
    """What was seen as Markdown, one column an engine."""
    names = dict.fromkeys(name for row in rows for name in row.trials)
    lines = [
        "| | " + " | ".join(row.engine for row in rows) + " |",
        "|---" * (len(rows) + 1) + "|",
        "| engine | " + " | ".join(row.version or "not tried" for row in rows) + " |",
        *(f"| `{name}` | " + " | ".join(row.trials.get(name, "") for row in rows) + " |" for name in names),
        "| clean after `kill -9` | " + " | ".join(row.kills for row in rows) + " |",
        "| images after `clean --all` | " + " | ".join(row.left for row in rows) + " |",
        "",
        *(f"- {row.engine}: {trouble}" for row in rows for trouble in row.trouble),
        *(f"- {name}: not tried, {why}" for name, why in NOT_TO_BE_HAD.items()),
    ]
    return "\n".join(lines) + "\n"


def end_of(done: subprocess.CompletedProcess[str]) -> str:
    """The last that a program said."""
    said = (done.stdout + "\n" + done.stderr).strip().splitlines()
    return "; ".join(line.strip() for line in said[-_LAST_LINES:])


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EngineError as error:
        sys.exit(f"engines: {error}")

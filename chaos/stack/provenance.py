"""What a trial runs on, and from which commit: the report names it, so that a finding can be told from another one."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from chaos.stack.engine.client import Engine, about, engine_errors

_GIT_SECONDS_MAX: Final = 5.0


def versions(client: Engine) -> dict[str, str]:
    """Holdfast, the engine and the kernel by their versions; the host by its name and size.

    Raises:
        EngineError: The engine does not answer.
    """
    with engine_errors("asking the engine for its version"):
        engine = about(client)
    return {
        "Holdfast": version("holdfast"),
        engine.product: engine.version,
        "Linux": platform.release(),
        "host": host(),
    }


def host() -> str:
    """As "ci-7 (x86_64, 2 processors, 7.8 GiB of memory)"."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{platform.node()} ({platform.machine()}, {os.cpu_count()} processors, {gib:.1f} GiB of memory)"


@cache
def commit_of(file: Path | None) -> dict[str, str]:
    """The commit of the git repository that keeps a file, as "commit"; nothing of a file that none keeps.

    A commit with changes that are not committed yet says so. The plan in a run folder is kept by no repository: it is
    run from its own copies, whatever is checked out.
    """
    if file is None:
        return {}
    folder, name = file.resolve().parent, file.resolve().name
    if _git(folder, "ls-files", "--error-unmatch", "--", name) is None:
        return {}
    told = _git(folder, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty= with changes")
    return {"commit": told} if told else {}


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says, None where it refuses, takes too long, or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS_MAX,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # else it may write into the user's repository
            check=False,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

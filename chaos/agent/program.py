"""Programs of the agent's container, each bounded in time."""

from __future__ import annotations

import subprocess

SECONDS_MAX = 120


def run(*arguments: str, seconds: float = SECONDS_MAX) -> tuple[int, str]:
    """Run a program; return its exit code and what it said."""
    done = subprocess.run(arguments, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace").strip()


def require(*arguments: str) -> None:
    """Run a program that has to succeed.

    Raises:
        OSError: It did not; with its last words.
    """
    code, output = run(*arguments)
    if code:
        raise OSError(f"{arguments[0]} ended with {code}: {output[-400:]}")

"""The command `holdfast` as its users run it: a process of its own, its exit code, its one JSON document."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOLDFAST = Path(sys.executable).with_name("holdfast")
COMMAND_SECONDS_MAX = 150.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said: the document on stdout, the lines for people on stderr."""

    code: int
    stdout: str
    stderr: str
    seconds: float = 0.0

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document."""
        found = json.loads(self.stdout)
        assert isinstance(found, dict)
        return found

    @property
    def run_id(self) -> str:
        """Name of the run folder, which is the run's id."""
        return Path(self.document["run_dir"]).name


def holdfast(
    *arguments: str | Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    seconds_max: float = COMMAND_SECONDS_MAX,
) -> Outcome:
    """Run a command to its end."""
    began = time.monotonic()
    done = subprocess.run(
        [HOLDFAST, *arguments],
        cwd=cwd,
        env=None if environment is None else {**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


class Running:
    """A command under way, in a process group of its own as a shell makes one."""

    def __init__(self, *arguments: str | Path, cwd: Path, environment: Mapping[str, str]) -> None:
        self._stdout = cwd / "stdout.txt"
        with self._stdout.open("wb") as stdout:
            self._process = subprocess.Popen(
                [HOLDFAST, *arguments],
                cwd=cwd,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                process_group=0,
            )
        self._said: list[str] = []
        self._silent = False
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self._said.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._silent = True
            self._news.notify_all()

    def wait_until_it_says(self, begin: str) -> str:
        """Wait for a line that begins so, and return it."""

        def said() -> str:
            return next((line for line in self._said if line.strip().startswith(begin)), "")

        with self._news:
            self._news.wait_for(lambda: said() or self._silent, timeout=COMMAND_SECONDS_MAX)
            assert said(), f"it has not said {begin!r} but {self._said}"
            return said()

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends SIGINT to the whole group."""
        os.killpg(self._process.pid, signal.SIGINT)

    def terminate(self) -> None:
        """SIGTERM to the one process, as service managers send it."""
        self._process.terminate()

    def end(self) -> Outcome:
        """Wait for its end."""
        began = time.monotonic()
        code = self._process.wait(COMMAND_SECONDS_MAX)
        seconds = time.monotonic() - began
        self._listener.join(COMMAND_SECONDS_MAX)
        return Outcome(code, self._stdout.read_text(), "\n".join(self._said), seconds)

    def close(self) -> None:
        """End it the hard way, if it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            if self._process.poll() is None:
                self._process.kill()
        self._process.wait(COMMAND_SECONDS_MAX)
        self._listener.join(COMMAND_SECONDS_MAX)
        assert self._process.stderr is not None
        self._process.stderr.close()


@contextmanager
def running(*arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a command."""
    command = Running(*arguments, cwd=cwd, environment=environment or {})
    try:
        yield command
    finally:
        command.close()


@contextmanager
def full_disk(folder: Path, size_kib: int) -> Iterator[Path]:
    """A file system of this size, mounted over a new folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", folder], check=True, timeout=20)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=20)


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    """Look until it holds."""
    until = time.monotonic() + COMMAND_SECONDS_MAX
    while not condition():
        assert time.monotonic() < until, otherwise
        time.sleep(0.05)

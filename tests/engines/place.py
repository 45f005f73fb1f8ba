"""A container engine beside the host's own one: in a root folder, with mounts and a network of its own.

The root folder is made by mmdebstrap from Debian's packages. What the engine writes is in a folder that has the same
path inside and outside, so that Holdfast, on the host, sees files and sockets where the engine says that they are.
Ports of 127.0.0.1 that the engine publishes are in its own network: programs that want to reach them are run by
`Place.command`. Its way out, for builds, is slirp4netns, which changes nothing on the host. Processes are the host's,
so that pids mean the same on both sides.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import EngineError
from chaos.stack.engine.client import knock

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / ".engines"
ENTER = Path(__file__).with_name("enter.sh")
_MAKE_SECONDS_MAX = 900.0
_START_SECONDS_MAX = 60.0
_END_SECONDS_MAX = 20.0
_LOOK_SECONDS = 0.1
_LOG_LINES = 15
_NEEDED = ("ca-certificates", "e2fsprogs", "iproute2", "iptables", "kmod", "nftables", "slirp4netns")
"""Beside the engine itself."""
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")


@dataclass(frozen=True)
class Suite:
    """A release of Debian, with the packages of all engines that are taken from it."""

    name: str
    packages: tuple[str, ...]

    @property
    def root(self) -> Path:
        """The root folder."""
        return HOME / self.name

    def make(self) -> None:
        """Make the root folder, unless it is there.

        Raises:
            EngineError: mmdebstrap is not here, or fails.
        """
        if self.root.is_dir():
            return
        HOME.mkdir(exist_ok=True)
        unfinished = HOME / f"{self.name}-unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = ["mmdebstrap", "--variant=minbase", f"--include={','.join((*self.packages, *_NEEDED))}"]
        command += [f"--dpkgopt=path-exclude={each}" for each in _LEFT_OUT]
        # a mirror may be behind, and the clock of a test machine ahead
        command += ['--aptopt=Acquire::Check-Valid-Until "false"', self.name, str(unfinished)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_MAKE_SECONDS_MAX, check=False
            )
        except FileNotFoundError:
            raise EngineError("no mmdebstrap is here, by which a second engine is made; install it") from None
        except subprocess.TimeoutExpired:
            raise EngineError(f"mmdebstrap does not make {self.name} in {_MAKE_SECONDS_MAX:.0f} s") from None
        if done.returncode:
            last = "; ".join(done.stderr.strip().splitlines()[-3:])
            raise EngineError(f"mmdebstrap cannot make {self.name}: {last}")
        shutil.copy("/etc/resolv.conf", unfinished / "etc/resolv.conf")
        unfinished.rename(self.root)


@dataclass(frozen=True)
class Kind:
    """An engine.

    Attributes:
        name: Of ours.
        suite: Where its programs come from.
        command: Its daemon.
        files: Its configuration, in its own folder. Here and in `command`, FOLDER stands for that folder.
        environment: Added for the daemon.
        cgroup: The folder below each cgroup hierarchy in which it makes its containers' cgroups.
    """

    name: str
    suite: Suite
    command: tuple[str, ...]
    files: Mapping[str, str]
    cgroup: str
    environment: Mapping[str, str]


class Place:
    """Where one engine runs. No state is kept in this object: another process may have started the engine."""

    def __init__(self, kind: Kind) -> None:
        """Nothing is made or started by this."""
        self.kind = kind
        self.folder = HOME / f"{kind.name}-own"
        self.socket = self.folder / "engine.sock"
        self._pid_file = self.folder / "pid"
        self._log = self.folder / "log"

    def start(self) -> None:
        """Make what is needed and start the daemon where it does not run; return when it answers.

        Raises:
            EngineError: It does not; the message has the end of its log.
        """
        self.kind.suite.make()
        if self.processes():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.kind.files.items():
            (self.folder / name).write_text(self._filled(text))
            (self.folder / name).chmod(0o755)
        self.socket.unlink(missing_ok=True)
        daemon = self._enter(["--net"], [self._filled(part) for part in self.kind.command])
        self._pid_file.write_text(f"{daemon.pid}")
        until = time.monotonic() + _START_SECONDS_MAX
        while not self._answers():
            if daemon.poll() is not None or time.monotonic() > until:
                raise EngineError(f"{self.kind.name} does not start:\n{self._last_words()}")
            time.sleep(_LOOK_SECONDS)
        self._enter([], ["slirp4netns", "--configure", "--disable-host-loopback", f"{daemon.pid}", "uplink"])

    def stop(self) -> None:
        """End the daemon and whatever it has started, in order where it still can, and remove what it wrote."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            if pid in self.processes():
                os.kill(pid, signal.SIGTERM)
                _wait_while(lambda: pid in self.processes())
        until = time.monotonic() + _END_SECONDS_MAX
        while (left := self.processes()) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_LOOK_SECONDS)
        if left:
            raise EngineError(f"processes of {self.kind.name} do not end: {left}")
        shutil.rmtree(self.folder, ignore_errors=True)
        for cgroup in Path("/sys/fs/cgroup").glob(f"*/{self.kind.cgroup}"):
            for folder, _, _ in os.walk(cgroup, topdown=False):
                with contextlib.suppress(OSError):  # another engine's containers are in it
                    Path(folder).rmdir()

    def command(self, *command: str | Path) -> list[str]:
        """The command by which a program of the host runs in this engine's network."""
        return ["nsenter", f"--net=/proc/{self._pid_file.read_text()}/ns/net", *map(str, command)]

    def environment(self) -> dict[str, str]:
        """The environment of such a program: it finds this engine, and has a cache folder of its own."""
        return {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "HOLDFAST_CACHE": f"{self.folder}/cache"}

    def processes(self) -> list[int]:
        """Pids of whatever sees the mounts of this engine, and of what those have started."""
        found: set[int] = set()
        parents: dict[int, int] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                pid = int(entry.name)
                parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                mounts = (entry / "mountinfo").read_text().splitlines()
                if any(line.split()[4] == str(self.folder) for line in mounts):
                    found.add(pid)
        size = 0
        while size != len(found):
            size = len(found)
            found |= {pid for pid, parent in parents.items() if parent in found}
        return sorted(found)

    def _enter(self, namespaces: Iterable[str], command: Iterable[str]) -> subprocess.Popen[bytes]:
        """Start a program inside, in a session of its own."""
        seen = "/tmp", str(REPOSITORY), str(self.folder)
        inside = [str(ENTER), str(self.kind.suite.root), *seen, "--", *command]
        environment = {name: self._filled(value) for name, value in self.kind.environment.items()}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                ["unshare", "--mount", *namespaces, *inside],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def _filled(self, text: str) -> str:
        return text.replace("FOLDER", str(self.folder))

    def _answers(self) -> bool:
        try:
            knock(self.socket)
        except OSError:
            return False
        return True

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _wait_while(stands: Callable[[], bool]) -> None:
    until = time.monotonic() + _END_SECONDS_MAX
    while stands() and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)

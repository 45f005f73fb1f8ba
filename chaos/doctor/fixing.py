"""Making a host ready: the distribution's engine installed and started where none answers, then the images.

It acts only where it may, as root on Debian or Ubuntu, and says each thing that it does. It removes nothing
but pid files and sockets of daemons that are gone, and never ends a process or deletes an engine's data.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from chaos.errors import EngineError
from chaos.stack.cache import cache_folder, locked
from chaos.stack.engine.client import Engine, connect, knock
from chaos.stack.images.base import ensure_base
from chaos.stack.images.images import ensure_agent_image
from chaos.stack.images.packages import install, may_install
from chaos.stack.pulse import pulse

Say = Callable[[str], None]

BRIDGE = "198.19.255.1/24"
POOL = "198.19.0.0/17"
POOL_SIZE = 24
"""The engine's own networks lie in the benchmarking range, beside the runs', and meet no real network."""
_PACKAGES = ("docker.io", "iptables", "ca-certificates", "e2fsprogs", "mmdebstrap", "debian-archive-keyring")
_CONFIGURATION = Path("/etc/docker/daemon.json")
_LOG = Path("/var/log/holdfast-dockerd.log")
_OWN_DATA = Path("/var/lib/holdfast-docker")
_RUN = Path("/run")
_PID_FILES = (
    ("dockerd", "docker.pid"),
    ("containerd", "docker/containerd/containerd.pid"),
    ("containerd", "docker/containerd/docker-containerd.pid"),
    ("containerd", "containerd/containerd.pid"),
)
_SOCKETS = ("docker.sock", "docker/containerd/containerd.sock", "containerd/containerd.sock")
_START_SECONDS_MAX = 60.0
_LOCK_SECONDS_MAX = 900.0
_RETRY_SECONDS = 0.2
_TELL_SECONDS = 5.0
_LOG_LINES = 15


def fix(say: Say) -> None:
    """Close the gaps that can be closed from here; does nothing where there are none.

    Raises:
        EngineError: No engine answers, and none may be or could be started; the message says what to do.
        ImageError: The base image or the agent's cannot be made.
        HarnessError: A package cannot be installed.
    """
    with locked("doctor-fix", _LOCK_SECONDS_MAX):
        client = reach_engine(say)
        with closing(client), pulse("the agent's image", say, _TELL_SECONDS) as said:
            ensure_base(client, said)
            image = ensure_agent_image(client, said)
        say(f"the engine answers and the agent's image is there: {image.tag}")


def reach_engine(say: Say) -> Engine:
    """Connect to the engine, which is installed and started first where none answers and it may be."""
    try:
        return connect()
    except EngineError as error:
        refused = error
    _may_act(refused)
    daemon = shutil.which("dockerd", path=_path())
    if daemon is None:
        if not may_install():
            raise EngineError(
                f"{refused}. Holdfast installs it only on Debian and Ubuntu; install one by hand"
            ) from None
        say(f"no engine answers: installing {' '.join(_PACKAGES)}")
        configure(say)  # before the package is there, since its installation may start the service
        install(*_PACKAGES, *(() if _has_cgroups() else ("cgroupfs-mount",)))
        daemon = shutil.which("dockerd", path=_path()) or "dockerd"
    _start(daemon, say)
    return connect()


def _may_act(refused: EngineError) -> None:
    if refused.is_forbidden:
        raise refused
    if os.environ.get("DOCKER_HOST"):
        raise EngineError(f"{refused}. DOCKER_HOST names an engine that Holdfast cannot start; correct or unset it")
    if os.geteuid() != 0:
        raise EngineError(f"{refused}. Only root may install or start one: `sudo holdfast doctor --fix`")


def configure(say: Say) -> None:
    """Write the engine's addresses into its configuration, unless there is one."""
    if _CONFIGURATION.exists():
        return  # someone's own choice of addresses stands
    pools = [{"base": POOL, "size": POOL_SIZE}]
    _CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
    _CONFIGURATION.write_text(json.dumps({"bip": BRIDGE, "default-address-pools": pools}, indent=2) + "\n")
    say(f"wrote {_CONFIGURATION}: default networks from {POOL}")


def _start(daemon: str, say: Say) -> None:
    if _has_systemd():
        say("starting the engine: systemctl start docker")
        command = ["systemctl", "start", "docker"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS_MAX * 2, check=False)
        if done.returncode != 0 or not _answers_within(_START_SECONDS_MAX, None):
            raise EngineError(f"`systemctl start docker` failed: {done.stderr.strip()}; see `journalctl -u docker`")
        return
    if not _has_cgroups() and (mount := shutil.which("cgroupfs-mount", path=_path())):
        subprocess.run([mount], check=False, timeout=_START_SECONDS_MAX)
    if _is_running("dockerd"):
        say("an engine is starting; waiting for it")
        if not _answers_within(_START_SECONDS_MAX, None):
            raise EngineError("a dockerd runs but does not answer; see its log, end it, and run this again")
        return
    _start_by_hand(daemon, say)


def _start_by_hand(daemon: str, say: Say) -> None:
    # The second try is for a data root that this engine cannot read: left by a newer one, or by a storage
    # driver that is not to be had here. It is kept as it is; only its images are out of reach.
    log = _log_file()
    for extra in ((), ("--data-root", str(_OWN_DATA))):
        clear_stale(say)
        command = [daemon, *address_options(), *extra]
        say(f"starting the engine: {' '.join(command)}, log in {log}")
        pid = _spawn(command, log)
        if _answers_within(_START_SECONDS_MAX, pid):
            return
        if _is_alive(pid):
            raise EngineError(f"dockerd (pid {pid}) gives no answer in {_START_SECONDS_MAX:.0f} s:\n{_tail(log)}")
        say(f"it ended at once:\n{_tail(log)}")
    raise EngineError(f"dockerd does not start; correct what its log {log} names, then run this again:\n{_tail(log)}")


def address_options() -> list[str]:
    """The engine's addresses as options of dockerd, without those that its configuration gives."""
    try:
        chosen = json.loads(_CONFIGURATION.read_text())
    except (OSError, ValueError):
        chosen = {}
    # dockerd refuses an option that is given both ways
    options = [] if "bip" in chosen else ["--bip", BRIDGE]
    if "default-address-pools" not in chosen:
        options += ["--default-address-pool", f"base={POOL},size={POOL_SIZE}"]
    return options


def clear_stale(say: Say) -> None:
    """Remove pid files and sockets whose daemon is gone, each of which keeps a new one from starting.

    dockerd trusts a pid file if any process has that pid, and a containerd socket if it exists.
    """
    for name, file in _PID_FILES:
        path = _RUN / file
        if path.is_file() and _name_of(path) != name:
            path.unlink(missing_ok=True)
            say(f"removed {path}: its {name} is gone")
    for file in _SOCKETS:
        path = _RUN / file
        if path.is_socket() and not _accepts(path):
            path.unlink(missing_ok=True)
            say(f"removed {path}: nothing listens on it")


def _name_of(pid_file: Path) -> str:
    try:
        return Path(f"/proc/{int(pid_file.read_text())}/comm").read_text().strip()
    except (OSError, ValueError):
        return ""


def _accepts(path: Path) -> bool:
    try:
        knock(path)
    except TimeoutError:
        return True  # someone listens, if slowly
    except OSError:
        return False
    return True


def _spawn(command: list[str], log: Path) -> int:
    """Start a daemon in a session of its own, so that it outlives this command and its terminal."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o640),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    environment = {**os.environ, "PATH": _path()}
    return os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)


def _answers_within(seconds: float, pid: int | None) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            connect(5).close()
        except EngineError:
            if pid is not None and not _is_alive(pid):
                return False
            # a daemon says nowhere that it is ready, without systemd to tell it
            time.sleep(_RETRY_SECONDS)
        else:
            return True
    return False


def _is_alive(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def _is_running(name: str) -> bool:
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == name:
                return True
        except OSError:
            continue  # it ended in the meantime
    return False


def _has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None


def _has_cgroups() -> bool:
    with Path("/proc/self/mounts").open(encoding="utf-8", errors="replace") as mounts:
        return any(line.split()[2] in {"cgroup", "cgroup2"} for line in mounts)


def _log_file() -> Path:
    return _LOG if os.access(_LOG.parent, os.W_OK) else cache_folder() / _LOG.name


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    except OSError as error:
        lines = [str(error)]
    return "\n".join(f"  {line}" for line in lines)


def _path() -> str:
    # dockerd needs iptables and modprobe, which are not on everyone's PATH
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"

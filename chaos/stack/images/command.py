"""Builds by the `docker` command, which has the engine's BuildKit do it and passes on what lies on this host.

The context goes in as the same tar as to the engine. Values of arguments and secrets go by the environment, since
everybody on the host can read a command line.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO

from chaos.errors import ImageError
from chaos.stack.engine.client import reach
from chaos.stack.engine.images import BuildOrder
from chaos.stack.images.builders import Command
from chaos.stack.programs import run_program
from chaos.stack.pulse import Say
from chaos.stack.spec import Build

_ASK_SECONDS_MAX = 20.0
_REACH_SECONDS_MAX = 30.0
_VERSION = re.compile(r"(\d+)\.(\d+)")
_CONTEXTS_SINCE = (0, 8)
_WITHOUT_BUILDKIT_SINCE = 23
"""From this version on the command itself has no BuildKit, and leaves it to buildx."""
_STEP = re.compile(r"^#\d+ (?:\d+\.\d+ )?")
_STEP_ENDS = ("DONE ", "CACHED")
"""Lines that say nothing by themselves."""
_NOT_OURS = frozenset({"DOCKER_CONTEXT", "BUILDX_BUILDER", "DOCKER_DEFAULT_PLATFORM"})
"""Variables that would have another engine build, or for another machine."""
_FIXED = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "NO_COLOR": "1"}
"""An attestation would make the image an index, with another digest at every build."""
_MEANT_FOR_OTHERS = re.compile(r"^(?:PATH|HOME|TMPDIR|LANG|LD_.*|DOCKER_.*|BUILDX_.*|BUILDKIT_.*|SSH_.*|XDG_.*)$")
"""An argument of such a name would change the command itself, so it goes by the command line."""
_SECRET = "HOLDFAST_SECRET_"


def find_command() -> Command | None:
    """The `docker` command, if it is here and builds with BuildKit."""
    if shutil.which("docker") is None:
        return None
    if any(found := _version(["docker", "buildx", "version"])):
        return Command(has_buildx=True, contexts=found >= _CONTEXTS_SINCE)
    found = _version(["docker", "version", "--format", "{{.Client.Version}}"])
    return Command(has_buildx=False, contexts=False) if any(found) and found[0] < _WITHOUT_BUILDKIT_SINCE else None


def build_by_command(
    command: Command, order: BuildOrder, recipe: Build, context: IO[bytes], seconds_max: float, say: Say
) -> str:
    """Build an image.

    Returns:
        "" when it is built, else why not; what the command wrote has gone to `say`, line by line.

    Raises:
        ImageError: It did not end in time.
    """
    client, address = reach(_REACH_SECONDS_MAX)
    client.close()
    errors: list[str] = []

    def heard(line: str) -> None:
        line = _STEP.sub("", line.rstrip())
        if line.startswith("ERROR: "):
            errors.append(line.removeprefix("ERROR: "))
        if not line.startswith(_STEP_ENDS):
            say(line)

    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(context, file)
        file.seek(0)
        try:
            code, _ = run_program(
                arguments(command, order, recipe),
                seconds_max,
                environment=environment(os.environ, address, order.args, recipe),
                given=file,
                say=heard,
            )
        except TimeoutError as error:
            raise ImageError(f"{order.tag} does not build: {error}") from None
    return "" if code == 0 else errors[-1] if errors else f"docker ended with {code}"


def arguments(command: Command, order: BuildOrder, recipe: Build) -> list[str]:
    """The command line, without a value of an argument or secret."""
    made = ["docker", *(["buildx", "build", "--builder", "default", "--load"] if command.has_buildx else ["build"])]
    made += ["--progress", "plain", "--tag", order.tag, "--file", order.dockerfile]
    for name, value in order.labels.items():
        made += ["--label", f"{name}={value}"]
    for name, value in order.args.items():
        made += ["--build-arg", f"{name}={value}" if _MEANT_FOR_OTHERS.match(name) else name]
    made += ["--target", order.target] if order.target else []
    made += ["--platform", order.platform] if order.platform else []
    for name, path in recipe.secrets.items():
        made += ["--secret", f"id={name},src={path}"]
    for number, name in enumerate(recipe.secret_texts):
        made += ["--secret", f"id={name},env={_SECRET}{number}"]
    for key in recipe.ssh:
        made += ["--ssh", key]
    for name, source in recipe.contexts.items():
        made += ["--build-context", f"{name}={source}"]
    return [*made, "-"]


def environment(own: Mapping[str, str], address: str, args: Mapping[str, str], recipe: Build) -> dict[str, str]:
    """The command's environment, with the values that are not on its command line."""
    made = {name: value for name, value in own.items() if name not in _NOT_OURS}
    made |= {name: value for name, value in args.items() if not _MEANT_FOR_OTHERS.match(name)}
    made |= {f"{_SECRET}{number}": text.decode() for number, text in enumerate(recipe.secret_texts.values())}
    return {**made, **_FIXED, "DOCKER_HOST": address}


def _version(command: list[str]) -> tuple[int, int]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_SECONDS_MAX, check=False)
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    found = _VERSION.search(done.stdout) if done.returncode == 0 else None
    return (int(found[1]), int(found[2])) if found else (0, 0)

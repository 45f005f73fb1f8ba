"""Who the user is at a registry, as `docker login` or `podman login` keeps it: in a file, or with a credential helper.

The files are looked through in this order, and the first that knows the registry counts:

    $REGISTRY_AUTH_FILE
    $DOCKER_CONFIG/config.json, else ~/.docker/config.json
    $XDG_RUNTIME_DIR/containers/auth.json, else /run/containers/<uid>/auth.json
    $XDG_CONFIG_HOME/containers/auth.json, else ~/.config/containers/auth.json

The formats: https://docs.docker.com/reference/cli/docker/login/ and containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from chaos.stack.engine.images import Login

HUB = "https://index.docker.io/v1/"
"""How Docker calls the registry of images whose name has none."""
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HELPER_SECONDS_MAX = 20.0
_TOKEN = "<token>"
"""The name under which a helper gives a token in the place of a password."""

Ask = Callable[[str, str], "tuple[str, str] | str"]
"""Asks a helper for a registry: (name, secret), or "" where it has none, or why it cannot be asked."""


def login_for(image: str, troubles: list[str] | None = None) -> Login | None:
    """The user's login at an image's registry, if there is one.

    Args:
        image: Its name, with or without a registry.
        troubles: What kept a file or a helper from being asked is added here, a line each.
    """
    return find_login(image, files(os.environ), ask_helper, [] if troubles is None else troubles)


def files(environment: Mapping[str, str]) -> list[Path]:
    """Where logins may be kept, best first."""
    home = Path(environment.get("HOME") or Path.home())
    named = environment.get("REGISTRY_AUTH_FILE", "")
    own = environment.get("XDG_RUNTIME_DIR", "")
    return [
        *([Path(named)] if named else []),
        Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
        Path(own or f"/run/containers/{os.geteuid()}") / ("containers/auth.json" if own else "auth.json"),
        Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json",
    ]


def find_login(image: str, places: list[Path], ask: Ask, troubles: list[str]) -> Login | None:
    """As `login_for`, with the files and the helpers given."""
    names = list(_names(image))
    registry = HUB if names[-1] in _HUB_NAMES else names[-1]
    for place in places:
        document = _read(place, troubles)
        if document and (found := _in_file(registry, names, document, ask, troubles)):
            return found
    return None


def registry_of(image: str) -> str:
    """The registry in an image's name: "docker.io" where it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def ask_helper(helper: str, registry: str) -> tuple[str, str] | str:
    """Ask `docker-credential-<helper>`."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=registry,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_HELPER_SECONDS_MAX,
            check=False,
        )
        said = json.loads(done.stdout) if done.returncode == 0 else {}
        return (str(said["Username"]), str(said["Secret"])) if "Secret" in said else ""
    except FileNotFoundError:
        return f"{program} is not installed"
    except subprocess.TimeoutExpired:
        return f"{program} gave no answer in {_HELPER_SECONDS_MAX:.0f} s"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{program} cannot be asked: {error}"


def _in_file(
    registry: str, names: list[str], document: Mapping[str, Any], ask: Ask, troubles: list[str]
) -> Login | None:
    auths = document.get("auths")
    entries = {_plain(key): entry for key, entry in auths.items()} if isinstance(auths, dict) else {}
    helpers = document.get("credHelpers")
    by_host = {_plain(key): str(value) for key, value in helpers.items()} if isinstance(helpers, dict) else {}
    hosts = _HUB_NAMES if registry == HUB else {names[-1]}
    helper = next((by_host[host] for host in sorted(hosts) if host in by_host), str(document.get("credsStore") or ""))
    if helper:
        answer = ask(helper, registry)
        if isinstance(answer, tuple):
            name, secret = answer
            return Login(registry, token=secret) if name == _TOKEN else Login(registry, name, secret)
        if answer and answer not in troubles:
            troubles.append(answer)
    for name in (*names, *sorted(hosts)):
        entry = entries.get(name)
        if isinstance(entry, dict) and (found := _of_entry(registry, entry)):
            return found
    return None


def _of_entry(registry: str, entry: Mapping[str, Any]) -> Login | None:
    if token := entry.get("identitytoken"):
        return Login(registry, token=str(token))
    try:
        plain = base64.b64decode(str(entry.get("auth") or "")).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, colon, password = plain.partition(":")
    if colon:
        return Login(registry, name, password.rstrip("\0"))
    name, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    return Login(registry, name, password) if name and password else None


def _names(image: str) -> Iterator[str]:
    """The keys under which a login for an image may be kept: the most exact first, the registry alone last."""
    registry = registry_of(image)
    head, slash, last = image.partition("@")[0].removeprefix(f"{registry}/").rpartition("/")
    parts = f"{head}{slash}{last.partition(':')[0]}".split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join((registry, *parts[:count]))
    yield registry


def _plain(key: object) -> str:
    """A registry without scheme and version: `https://quay.io/v2/` is quay.io."""
    text = str(key).partition("://")[2] or str(key)
    return text.removesuffix("/").removesuffix("/v1").removesuffix("/v2")


def _read(place: Path, troubles: list[str]) -> Mapping[str, Any]:
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        return {}
    except OSError as error:
        troubles.append(f"{place} cannot be read: {error.strerror}")
        return {}
    except ValueError:
        troubles.append(f"{place} is no JSON")
        return {}
    return document if isinstance(document, dict) else {}

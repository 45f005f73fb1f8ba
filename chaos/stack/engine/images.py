"""The engine's images: looked up, pulled, built, imported, tagged and removed; plain data in and out.

Blocking calls of the engine's API. How long anything may take, and what is done with it, is `chaos.stack.images`'s.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import requests.exceptions

from chaos.errors import EngineError
from chaos.stack.engine import buildkit
from chaos.stack.engine.client import Engine, Refusal, connect, engine_errors, is_gone, status_of

_IN_USE = 409
_IMPORT_SECONDS_MAX = 300.0
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


EngineWay = Literal["engine", "buildkit"]
"""The engine's own builder, or its BuildKit."""


@dataclass(frozen=True)
class Image:
    """What the engine knows of an image.

    Attributes:
        tags: Its names, such as "postgres:15"; none of a step of a build.
        healthcheck: As in the image's configuration: Test, Interval and the like, times in nanoseconds.
        volumes: The paths that it declares as volumes.
    """

    id: str
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Mapping[str, Any] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Login:
    """Who somebody is at a registry: a name and a password, or a token."""

    registry: str
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Abilities:
    """What the engine says that it can build.

    Attributes:
        api: The version of its API.
        buildkit: Whether it builds with BuildKit unless it is told otherwise.
        buildah: The version of buildah, where that is what builds; (0, 0) where it is not.
    """

    api: tuple[int, int]
    buildkit: bool = False
    buildah: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class BuildOrder:
    """What is to be built; the context itself is a tar beside it.

    Attributes:
        dockerfile: Its name within the context.
        logins: At the registries from which the build may have to pull.
    """

    tag: str
    dockerfile: str
    args: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: str = ""
    logins: Sequence[Login] = ()


@dataclass(frozen=True)
class Said:
    """One thing that the engine says while it builds or pulls: of which part, how far it is, or what went wrong."""

    text: str = ""
    part: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    error: str = ""


def find(client: Engine, name: str) -> Image | None:
    """The image of this name or id; None where the engine does not have it.

    Raises:
        EngineError: The engine refused.
    """
    with engine_errors(f"looking for image {name}"):
        try:
            found = client.images.get(name).attrs
        except Refusal as error:
            if is_gone(error):
                return None
            raise
    config = found.get("Config") or {}
    return Image(
        str(found["Id"]),
        tuple(found.get("RepoTags") or ()),
        config.get("Labels") or {},
        config.get("Healthcheck") or {},
        tuple(config.get("Volumes") or ()),
    )


def image_id(client: Engine, name: str) -> str:
    """The id behind an image's name, "" where the engine does not have it."""
    found = find(client, name)
    return found.id if found is not None else ""


def labelled(client: Engine, label: str, *, with_steps: bool = False) -> list[Image]:
    """The images with a label, `name` or `name=value`; `with_steps` also what lies beneath them, as steps of builds."""
    with engine_errors("listing images"):
        rows = client.api.images(all=with_steps, filters={"label": [label]})
    tags = [[str(tag) for tag in row.get("RepoTags") or () if tag != "<none>:<none>"] for row in rows]
    return [Image(str(row["Id"]), tuple(names), row.get("Labels") or {}) for row, names in zip(rows, tags, strict=True)]


def size_bytes(client: Engine, ids: Sequence[str]) -> int:
    """What images take together; what they share counts once."""
    with engine_errors("looking at the images"):
        layers = {
            (layer["Created"], layer["CreatedBy"], layer["Size"])
            for each in ids
            for layer in client.api.history(each)  # type: ignore[no-untyped-call]
        }
    return sum(size for _, _, size in layers)


def remove(client: Engine, name: str) -> bool:
    """Take a name away, and with its last one the image and the steps beneath it; by id, of an image without a name.

    Never by force: Podman 4 would remove the containers that have it, also those that run.

    Returns:
        Whether it is gone: not, where a container or another image needs it.

    Raises:
        EngineError: The engine refused for another reason.
    """
    with engine_errors(f"removing image {name}"):
        try:
            client.api.remove_image(name)
        except Refusal as error:
            if status_of(error) == _IN_USE:
                return False
            if not is_gone(error):
                raise
    return True


def import_tar(client: Engine, tarball: Path, changes: Sequence[str], name: str) -> str:
    """Make an image of a tar of its files; return its id.

    Raises:
        EngineError: The engine refused.
    """
    with engine_errors(f"importing {tarball}"):
        with closing(connect(_IMPORT_SECONDS_MAX)) as patient, tarball.open("rb") as file:
            said = patient.api.import_image(file, changes=list(changes))
        try:
            made = str(json.loads(said.splitlines()[-1]).get("status", ""))
        except (ValueError, IndexError, AttributeError):
            made = ""
        if not made.startswith("sha256:"):
            raise EngineError(f"the engine did not import {tarball}: {said.strip()}; remove that file and run again")
        # tagged by the returned id: between import and tag another import may take the name
        repository, _, tag = name.partition(":")
        client.api.tag(made, repository, tag)
    return made


def abilities(client: Engine) -> Abilities:
    """Ask the engine what it builds with.

    Raises:
        EngineError: The engine refused.
    """
    with engine_errors("asking the engine what it can build"):
        said = client.api.get(f"{client.api.base_url}/_ping", timeout=client.api.timeout).headers
        libpod = said.get("Libpod-API-Version", "")
        buildah = _buildah(client, libpod) if libpod else (0, 0)
    return Abilities(_version(str(client.api.api_version)), said.get("Builder-Version", "") == "2", buildah)


def _buildah(client: Engine, libpod: str) -> tuple[int, int]:
    answer = client.api.get(f"{client.api.base_url}/v{libpod}/libpod/info", timeout=client.api.timeout)
    try:
        return _version(str(answer.json()["host"]["buildahVersion"]))
    except (ValueError, KeyError, TypeError):
        return (1, 0)


def _version(text: str) -> tuple[int, int]:
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def pull(client: Engine, name: str, platform: str, login: Login | None, quiet_seconds_max: float) -> Iterator[Said]:
    """Pull an image, and say how far it is; an error of the registry's is said, too, and is the last thing.

    Args:
        client: The engine.
        name: With tag or digest; the tag is "latest" where there is neither.
        platform: Such as linux/arm64; "" for the engine's own.
        login: At the image's registry.
        quiet_seconds_max: So long the engine may say nothing.

    Raises:
        EngineError: It is gone, or said nothing for so long.
    """
    repository, tag = _repository_and_tag(name)
    asked = {"fromImage": repository, "tag": tag, "platform": platform}
    headers = {"X-Registry-Auth": _encoded(_as_auth(login))} if login else {}
    with engine_errors(f"pulling {name}"):
        for line in _told(client, "/images/create", asked, headers, None, quiet_seconds_max):
            progress = line.get("progressDetail") or {}
            yield Said(
                str(line.get("status") or line.get("stream") or "").strip(),
                str(line.get("id") or ""),
                int(progress.get("current") or 0),
                int(progress.get("total") or 0),
                str(line.get("error") or ""),
            )


def build(
    client: Engine,
    order: BuildOrder,
    context: IO[bytes],
    way: EngineWay,
    quiet_seconds_max: float,
) -> Iterator[Said]:
    """Build an image by the engine's own builder or its BuildKit, and say what the builder says, line by line.

    To leave the loop early ends the build.

    Raises:
        EngineError: The engine is gone, or said nothing for too long.
    """
    asked = {
        "t": order.tag,
        "dockerfile": order.dockerfile,
        "buildargs": json.dumps(dict(order.args)),
        "labels": json.dumps(dict(order.labels)),
        "target": order.target,
        "platform": order.platform,
        "rm": "1",
        "forcerm": "1",
        "version": "2" if way == "buildkit" else "",
    }
    logins = {each.registry: _as_auth(each) for each in order.logins}
    headers = {"Content-Type": "application/x-tar", "X-Registry-Config": _encoded(logins)}
    trace = buildkit.Trace()
    with engine_errors(f"building {order.tag}"):
        for line in _told(client, "/build", asked, headers, context, quiet_seconds_max):
            if line.get("id") == buildkit.TRACE:
                yield from (Said(text) for text in trace.lines(line.get("aux")))
            else:
                yield from (Said(text) for text in str(line.get("stream") or line.get("status") or "").splitlines())
            if "error" in line:
                yield Said(error=str(line["error"]))


def _told(
    client: Engine,
    path: str,
    asked: Mapping[str, str],
    headers: Mapping[str, str],
    body: IO[bytes] | None,
    quiet_seconds_max: float,
) -> Iterator[dict[str, Any]]:
    """The answer's JSON objects as they come; by the SDK's session, whose own calls read the user's logins."""
    api = client.api
    answer = api.post(
        f"{api.base_url}/v{api.api_version}{path}",
        params={name: value for name, value in asked.items() if value},
        headers=dict(headers),
        data=body,
        stream=True,
        timeout=quiet_seconds_max,
    )
    with closing(answer):
        if not answer.ok:
            yield {"error": _explained(answer)}
            return
        try:
            for line in answer.iter_lines(chunk_size=None):
                if line.strip():
                    yield json.loads(line)
        except requests.exceptions.ConnectionError as error:
            if "timed out" in str(error):  # a read that takes too long comes as a broken connection
                raise requests.exceptions.ReadTimeout(str(error)) from error
            raise


def _explained(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip() or f"HTTP {answer.status_code}"


def _repository_and_tag(name: str) -> tuple[str, str]:
    if "@" in name:
        return name, ""
    repository, _, tag = name.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (name, "latest")


def _as_auth(login: Login) -> dict[str, str]:
    who = {"identitytoken": login.token} if login.token else {"username": login.username, "password": login.password}
    return {**who, "serveraddress": login.registry}


def _encoded(document: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()

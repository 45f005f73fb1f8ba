"""Which known server a service is, and by what that was seen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from chaos.stack.images.dockerfile import read_dockerfile
from chaos.stack.servers.known import CLIENTS, KNOWN
from chaos.stack.servers.server import Server
from chaos.stack.spec import Build, Service

_READ_BYTES_MAX = 256 << 10
_KEYWORDS = ("exec", "until", "while", "if", "then", "do", "else", "!")
_SHELLS = ("sh", "bash", "ash", "dash")


@dataclass(frozen=True)
class Recognised:
    """A known server.

    Attributes:
        why: Why it is taken for one, to follow "since".
        image: The image that says so; empty where something else does, so that nothing is known of its folders.
    """

    server: Server
    why: str
    image: str = ""


def recognise(service: Service) -> Recognised | None:
    """The known server that a service is: by its image, what that is built from, its program, its data, its port."""
    image = service.image if service.build is None else base_of(service.build)
    name = image_name(image)
    by_image = next((each for each in KNOWN if name and re.fullmatch(each.images, name)), None)
    if by_image is not None and _is_client(service, by_image):
        return None
    if by_image is not None:
        built = "is" if service.build is None else "is built from"
        return Recognised(by_image, f"its image {built} {image}", image)
    programs = _programs(service)
    for server in KNOWN:
        if program := next((name for name in server.programs if name in programs), ""):
            return Recognised(server, f"it runs {program}")
    written = [each for each in service.mounts if each.kind != "tmpfs" and not each.read_only]
    telling = [each for each in KNOWN if each.is_telling]
    for server in telling:
        places = {folder for folder in server.folders if folder != "/data"}
        if mount := next((each for each in written if each.target.rstrip("/") in places), None):
            return Recognised(server, f"{mount.target}, where {server.title} has its data, is mounted there")
    ports = {port.container_port for port in service.ports}
    if server_by_port := next((each for each in telling if service.build is not None and each.port in ports), None):
        return Recognised(server_by_port, f"{server_by_port.port} is the port of {server_by_port.title}")
    return None


def _is_client(service: Service, server: Server) -> bool:
    """Whether it runs a client of the server that its image is of, or a sentinel that only watches."""
    said = _programs(service)
    is_sentinel = "--sentinel" in (service.command or ())
    return is_sentinel or (not said & {*server.programs} and any(re.fullmatch(CLIENTS, word) for word in said))


def image_name(image: str) -> str:
    """The last part of an image's name, without registry, tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()


def base_of(build: Build) -> str:
    """The image on which that of a build ends up standing; empty where that cannot be read."""
    stages: dict[str, str] = {}
    last = ""
    for each in read_dockerfile(dockerfile_of(build)).instructions:
        if each.keyword == "FROM" and each.words:
            last = stages.get(each.words[0].lower(), each.words[0])
            if len(each.words) > 2 and each.words[1].upper() == "AS":
                stages[each.words[2].lower()] = last
                if build.target.lower() == each.words[2].lower():
                    break
    return last


def dockerfile_of(build: Build) -> str:
    """Its text; empty where it cannot be read."""
    if build.inline:
        return build.inline
    try:
        with (build.context / build.dockerfile).open("rb") as file:
            return file.read(_READ_BYTES_MAX).decode(errors="replace")
    except (OSError, ValueError):
        return ""


def _programs(service: Service) -> set[str]:
    """The programs that entrypoint and command begin with, and those that a shell is told to run there."""
    found = set()
    for words in (service.entrypoint or (), service.command or ()):
        is_shell = len(words) > 2 and PurePosixPath(words[0]).name in _SHELLS and words[1].startswith("-")
        lines = re.split(r"[;&|()\n]+", words[2]) if is_shell else [" ".join(words[:1])]
        heads = (next((word for word in line.split() if word not in _KEYWORDS), "") for line in lines)
        found |= {PurePosixPath(head).name for head in heads}
    return found - {""}

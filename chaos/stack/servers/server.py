"""What is known of a server that people run from somebody else's image, and what a stack's service shows of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from chaos.stack.spec import Mount, Service

Syntax = Literal["pairs", "words", "sections", "yaml"]
"""Of a configuration file: `name = value`, `name value`, the same below `[section]`, YAML with names joined by dots."""


@dataclass(frozen=True)
class Variable:
    """A value that the image takes from its environment, for an option of the driver.

    Attributes:
        names: Variables of the image, of which the first that is set counts.
        otherwise: What holds where none is set; empty: the option is left out then.
    """

    names: tuple[str, ...]
    otherwise: str = ""


@dataclass(frozen=True)
class Server:
    """A server that is known by its image.

    Attributes:
        title: As people call it.
        images: Last parts of the names of its images, as one regular expression.
        programs: What its command begins with.
        port: Where it answers.
        folders: Where its data lies in the images, the usual one first.
        folder_variable: Of the environment, by which the data lies elsewhere.
        folder_flag: Of the command, which says the same.
        folder_since: From which version on the data lies elsewhere, and where.
        is_telling: Whether port and folders are those of no other server.
        is_http: Whether it is spoken to over HTTP.
        role: What it is in a stack.
        driver: The name of the driver that speaks to it; empty where there is none.
        options: Of the driver, by name, where the image has them from.
        password_flag: Of the command, by which it has its password.
        conflict, idempotency: As the driver has them.
        workload: What its driver's workload has otherwise than usual.
        harmless: Folders outside its data that it makes anew at every start.
        health: A command in it that succeeds once it has been initialised, where that takes its time.
        settings_in: Variables that are settings, with the settings' names.
        flags_in: Variables that hold words of its command line.
        files: How names of its configuration files end.
        syntax: That of these files.
        sections: Those that count, of a file with sections.
    """

    title: str
    images: str
    port: int
    folders: tuple[str, ...]
    programs: tuple[str, ...] = ()
    folder_variable: str = ""
    folder_flag: str = ""
    folder_since: tuple[int, str] | None = None
    is_telling: bool = True
    is_http: bool = False
    role: str = "database"
    driver: str = ""
    options: Mapping[str, Variable] = field(default_factory=dict)
    password_flag: str = ""
    conflict: str = "reject"
    idempotency: str = "none"
    workload: Mapping[str, float] = field(default_factory=dict)
    harmless: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    settings_in: Mapping[str, str] = field(default_factory=dict)
    flags_in: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    syntax: Syntax = "pairs"
    sections: tuple[str, ...] = ()

    def folders_of(self, service: Service) -> Sequence[str]:
        """Where the data of this service may lie, the likeliest first."""
        stated = (service.environment.get(self.folder_variable, ""), flag(service, self.folder_flag))
        moved = tuple(each for each in stated if each.startswith("/"))
        of_packager = tuple(each for each in self.folders if each.startswith("/bitnami") and "bitnami" in service.image)
        return tuple(dict.fromkeys((*moved, *of_packager, *self.folders)))

    def usual_folder(self, service: Service, image: str) -> str:
        """Where the data lies if nothing is mounted there, by the version in the image's tag; without one it is new."""
        stated = self.folders_of(service)[0]
        if self.folder_since is None or stated != self.folders[0]:
            return stated
        since, folder = self.folder_since
        version = re.search(r"(?:^|pg)(\d+)", image.rpartition("/")[2].partition(":")[2])
        return stated if version and int(version[1]) < since else folder

    def data_mount(self, service: Service) -> Mount | None:
        """What the service mounts where its data lies: at the very path, above it, or just below it."""
        for folder in map(PurePosixPath, self.folders_of(service)):
            above = [each for each in service.mounts if folder.is_relative_to(each.target)]
            if above:
                return max(above, key=lambda each: len(each.target))
        parents = {PurePosixPath(folder) for folder in self.folders_of(service)}
        below = [each for each in service.mounts if PurePosixPath(each.target).parent in parents]
        return next((each for each in below if each.kind == "lun"), None)


def flag(service: Service, name: str) -> str:
    """What the command gives for `--name value` or `--name=value`; empty where it says nothing."""
    words = " ".join((*(service.entrypoint or ()), *(service.command or ()))).split()
    for i, word in enumerate(words) if name else ():
        given, equals, value = word.partition("=")
        if given == f"--{name}":
            return value if equals else next(iter(words[i + 1 : i + 2]), "")
    return ""

"""What is known of a server that people run from somebody else's image, and what a stack's service shows of it."""

from __future__ import annotations

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
        is_telling: Whether port and folders are those of no other server.
        role: What it is in a stack.
        driver: The name of the driver that speaks to it; empty where there is none.
        options: Of the driver, by name, where the image has them from.
        password_flag: Of the command, by which it has its password.
        idempotency, conflict: As the driver has them.
        workload: What the driver's workload needs beside what is usual, as lines of YAML.
        harmless: Folders outside its data that it makes anew at every start.
        health: How to ask it whether it has been initialised, where that takes its time.
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
    is_telling: bool = True
    role: str = "database"
    driver: str = ""
    options: Mapping[str, Variable] = field(default_factory=dict)
    password_flag: str = ""
    conflict: str = "last-writer-wins"
    idempotency: str = "none"
    workload: Mapping[str, str] = field(default_factory=dict)
    harmless: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    settings_in: Mapping[str, str] = field(default_factory=dict)
    flags_in: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    syntax: Syntax = "pairs"
    sections: tuple[str, ...] = ()

    def folders_of(self, service: Service) -> Sequence[str]:
        """Where the data of this service may lie."""
        moved = service.environment.get(self.folder_variable, "") if self.folder_variable else ""
        return (moved, *self.folders) if moved.startswith("/") else self.folders

    def data_mount(self, service: Service) -> Mount | None:
        """What the service mounts where its data lies: at the very path, above it, or just below it."""
        for folder in self.folders_of(service):
            path = PurePosixPath(folder)
            above = [each for each in service.mounts if path.is_relative_to(each.target) and each.target != "/"]
            if above:
                return max(above, key=lambda each: len(each.target))
        for folder in self.folders_of(service):
            for mount in service.mounts:
                if mount.kind != "tmpfs" and PurePosixPath(mount.target).parent == PurePosixPath(folder):
                    return mount
        return None

"""The settings of a server, as command line, environment and mounted files give them to it, each with its place.

Read is what stands in the Compose file and in files that it mounts. What an image itself brings along is not known.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import SourceError
from chaos.experiment.source import Items, Node, Place, Table, find, leaves, read
from chaos.stack.servers.server import Server
from chaos.stack.spec import Service, Stack

_READ_BYTES_MAX = 256 << 10
_FILES_MAX = 100
_FLAGS = re.compile(r"-[cE](?=[a-z_.]+=)")
"""Before a setting: `-cfsync=off`, `-Eindex.translog.durability=async`."""


@dataclass(frozen=True)
class Setting:
    """One setting; its name in lower case with `_` for `-`, its value as it is written, empty for a bare flag."""

    name: str
    value: str
    place: Place

    @property
    def text(self) -> str:
        """As it is told."""
        return f"{self.name}={self.value}" if self.value else self.name


def settings_of(service: Service, server: Server, stack: Stack, root: Node) -> dict[str, Setting]:
    """The settings that hold, by name: files first, then the environment, then the command, the last one counting."""
    node = find(root, ("services", service.name))[0]
    found = [*_of_files(service, server, stack, node), *_of_environment(service, server, node)]
    found += _of_words(words_of(service, node))
    return {each.name: each for each in found}


def words_of(service: Service, node: Node) -> list[tuple[str, Place]]:
    """What entrypoint and command say, word by word, a text for a shell taken apart, too.

    There `-F` is left out: it may be that of any program.
    """
    found = []
    for key, words in (("entrypoint", service.entrypoint), ("command", service.command)):
        given = find(node, (key,))[0]
        items = given.items if isinstance(given, Items) and len(given.items) == len(words or ()) else ()
        for i, word in enumerate(words or ()):
            place = items[i].place if items else _key(node, key)
            is_text = any(map(str.isspace, word))
            found += [(part, place) for part in (_apart(word) if is_text else [word]) if not is_text or part != "-F"]
    return found


def environment_of(service: Service, node: Node) -> Iterator[tuple[str, str, Place]]:
    """Name, value and place of each variable; the place of one from an env file is the service's."""
    given = find(node, ("environment",))[0]
    for name, value in service.environment.items():
        own = given.entries.get(name) if isinstance(given, Table) else None
        yield name, value, own[0] if own else _key(node, "env_file")


def _of_environment(service: Service, server: Server, node: Node) -> Iterator[Setting]:
    for name, value, place in environment_of(service, node):
        if name in server.settings_in:
            yield Setting(server.settings_in[name], value, place)
        elif name in server.flags_in:
            yield from _of_words([(word, place) for word in _apart(value)])


def _of_words(words: Sequence[tuple[str, Place]]) -> Iterator[Setting]:
    """`--name=value`, `--name value`, `--name`, `-c name=value`, and `-F`, which is PostgreSQL's `fsync=off`."""
    for i, (word, place) in enumerate(words):
        after = words[i + 1][0] if i + 1 < len(words) else ""
        if word == "-F":
            yield Setting("fsync", "off", place)
        elif word == "-c" and "=" in after:
            yield _assigned(after, words[i + 1][1])
        elif _FLAGS.match(word):
            yield _assigned(word[2:], place)
        elif word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            yield _setting(name, value if equals or after.startswith("-") else after, place)


def _assigned(text: str, place: Place) -> Setting:
    name, _, value = text.partition("=")
    return _setting(name, value, place)


def _setting(name: str, value: str, place: Place) -> Setting:
    """Servers take `-` and `_` for the same, and MariaDB `skip-NAME` for a setting that is off."""
    name = name.strip().lower().replace("-", "_").removeprefix("loose_")
    skipped = name.removeprefix("skip_")
    if skipped != name and not value:
        return Setting(skipped, "0", place)
    return Setting(name, value.strip().strip("\"'"), place)


def _of_files(service: Service, server: Server, stack: Stack, node: Node) -> Iterator[Setting]:
    for path in _files(service, server, stack):
        yield from _of_yaml(path) if server.syntax == "yaml" else _of_lines(_lines(path), str(path), server)
    for target, content in service.texts.items():
        if target.endswith(server.files) and server.syntax != "yaml":
            place = _key(node, "configs")
            told = _of_lines(content.decode(errors="replace").splitlines(), "", server)
            yield from (Setting(each.name, each.value, place) for each in told)


def _files(service: Service, server: Server, stack: Stack) -> Iterator[Path]:
    """The configuration files of this host that a service mounts, itself or with a folder."""
    if not server.files:
        return
    for mount in service.mounts:
        source = mount.source if mount.kind in ("bind", "file") else ""
        if mount.kind == "lun" and mount.source in stack.luns:
            source = stack.luns[mount.source].contents
        path = Path(source) if source else None
        try:
            if path is not None and path.is_file() and mount.target.endswith(server.files):
                yield path
            elif path is not None and path.is_dir():
                inside = sorted(each for each in path.iterdir() if each.name.endswith(server.files))
                yield from (each for each in inside[:_FILES_MAX] if each.is_file())
        except OSError:
            continue  # what this user may not read


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return file.read(_READ_BYTES_MAX).decode(errors="replace").splitlines()
    except OSError:
        return []


def _of_lines(lines: Iterable[str], path: str, server: Server) -> Iterator[Setting]:
    section = ""
    for number, line in enumerate(lines, start=1):
        text = re.split(r"\s[#;]", f" {line}", maxsplit=1)[0].strip()
        if header := re.fullmatch(r"\[([\w.-]+)\]", text):
            section = header[1].lower()
        elif text and (server.syntax != "sections" or section in server.sections):
            name, _, value = text.partition("=") if "=" in text else text.partition(" ")
            yield _setting(name, value, Place(path, number, 1))


def _of_yaml(path: Path) -> Iterator[Setting]:
    """Nested names joined by dots; a file that is no YAML, as older ones of MongoDB are, says nothing."""
    try:
        root = read(path, quote=False).root
    except SourceError:
        return
    for loc, leaf in leaves(root):
        yield _setting(".".join(map(str, loc)), leaf.text or "", leaf.place)


def _apart(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _key(node: Node, key: str) -> Place:
    """The place of a key of a service, or of the service where it has none."""
    return node.entries[key][0] if isinstance(node, Table) and key in node.entries else node.place

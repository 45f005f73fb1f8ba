"""Settings that switch durability off, as stacks for tests have them.

Whoever runs with `fsync=off` to be quick loses what it acknowledged in any power cut. A verdict of that is true of the
stack that was tried, and says nothing of one that has it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from chaos.experiment.source import Node, Place, find, leaves
from chaos.stack.durability.settings import Setting, environment_of, settings_of, words_of
from chaos.stack.servers.recognise import recognise
from chaos.stack.servers.server import Server
from chaos.stack.spec import Service, Stack

PROVES: Final = "a trial of this proves nothing about a production that {}"
_IN_MEMORY: Final = PurePosixPath("/dev/shm")


@dataclass(frozen=True)
class Rule:
    """One setting of servers, and when it switches durability off.

    Attributes:
        is_off: By the value, empty for a bare flag.
        means: What is lost, and when.
        default: The server's own value, for where none is given; None: it is a safe one.
        only: Whether it counts, by the settings that hold.
    """

    servers: tuple[str, ...]
    name: str
    is_off: Callable[[str], bool]
    means: str
    default: str | None = None
    only: Callable[[Mapping[str, Setting]], bool] = lambda settings: True
    safe: str = "has it on"


def _no(value: str) -> bool:
    return value.lower() in ("off", "no", "false", "0")


def _yes(value: str) -> bool:
    return not _no(value)


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda value: value.lower() in values


def _keeps_log(settings: Mapping[str, Setting]) -> bool:
    return "appendonly" in settings and settings["appendonly"].value.lower() == "yes"


def _has_binary_log(settings: Mapping[str, Setting], by_default: bool) -> bool:
    return settings["log_bin"].value != "0" if "log_bin" in settings else by_default


_BINARY_LOG: Final = "a power cut loses what replicas and restores need of the binary log"
_MYSQL: Final = ("MariaDB", "MySQL")
_LAST_SECOND: Final = "a power cut loses what was acknowledged in the last second or so"
RULES: Final = (
    Rule(("PostgreSQL",), "fsync", _no, "a power cut loses acknowledged commits, or the whole database"),
    Rule(("PostgreSQL",), "synchronous_commit", _no, "commits are acknowledged before they are in the log on the disk"),
    Rule(("PostgreSQL",), "full_page_writes", _no, "a page of which a power cut left a half cannot be repaired"),
    Rule(
        _MYSQL,
        "innodb_flush_log_at_trx_commit",
        _one_of("0", "2"),
        f"commits are acknowledged before the log is on the disk: {_LAST_SECOND}",
        safe="has 1",
    ),
    Rule(("MySQL",), "sync_binlog", _one_of("0"), _BINARY_LOG, only=lambda settings: _has_binary_log(settings, True)),
    Rule(
        ("MariaDB",), "sync_binlog", _one_of("0"), _BINARY_LOG, only=lambda settings: _has_binary_log(settings, False)
    ),
    Rule(
        _MYSQL,
        "innodb_doublewrite",
        lambda value: bool(value) and (_no(value) or value.lower() == "detect_only"),
        "a page of which a power cut left a half cannot be repaired",
    ),
    Rule(
        ("Redis",),
        "appendonly",
        _no,
        "what was acknowledged since the last snapshot is lost with the process (of a cache say so under may_lose)",
        default="no",
        safe="keeps the log",
    ),
    Rule(
        ("Redis",),
        "appendfsync",
        _one_of("everysec", "no"),
        f"writes are acknowledged before the log is on the disk: {_LAST_SECOND}",
        default="everysec",
        only=_keeps_log,
        safe="has always",
    ),
    Rule(
        ("etcd",), "unsafe_no_fsync", _yes, "a power cut loses acknowledged writes, or the member", safe="waits for it"
    ),
    Rule(("MongoDB",), "nojournal", _yes, "what was acknowledged since the last checkpoint is lost with the process"),
    Rule(
        ("MongoDB",),
        "storage.journal.enabled",
        _no,
        "what was acknowledged since the last checkpoint is lost with the process",
    ),
    Rule(
        ("Elasticsearch",),
        "index.translog.durability",
        _one_of("async"),
        "a power cut loses what was acknowledged in the last seconds",
        safe="has request",
    ),
)


def durability_notes(stack: Stack, root: Node) -> list[str]:
    """One line for each setting of services and LUNs that switches durability off: where, what, what it means.

    Args:
        stack: As the Compose file has it, its mounts with the sources that they have on this host.
        root: The tree of the file, for the places.
    """
    of_services = (note for service in stack.services.values() for note in _notes(service, stack, root))
    return list(dict.fromkeys((*of_services, *_without_barriers(root))))


def _notes(service: Service, stack: Stack, root: Node) -> Iterator[str]:
    node = find(root, ("services", service.name))[0]
    yield from _without_fsync_at_all(service, node)
    found = recognise(service)
    if found is None:
        return
    server = found.server
    if any(stack.is_harmless(service.name, folder) for folder in server.folders_of(service)):
        return
    if _in_memory(service, server):
        where = f"{_at(node.place)}: {service.name} has the data of {server.title} in memory (tmpfs)"
        yield f"{where}: all of it is lost with the machine; {PROVES.format('has a disk')}"
        return
    settings = settings_of(service, server, stack, root)
    for rule in RULES:
        if server.title not in rule.servers or not rule.only(settings):
            continue
        given = settings.get(rule.name)
        if given is not None and rule.is_off(given.value):
            yield _told(service, given.place, given.text, rule)
        elif given is None and rule.default is not None and _is_all_known(service, server, settings):
            yield _told(service, node.place, f"{rule.name}={rule.default}, which is {server.title}'s default", rule)


def _told(service: Service, place: Place, text: str, rule: Rule) -> str:
    return f"{_at(place)}: {service.name} has {text}: {rule.means}; {PROVES.format(rule.safe)}"


def _is_all_known(service: Service, server: Server, settings: Mapping[str, Setting]) -> bool:
    """Whether what is not stated is the server's default: no image or file that was not read may state it."""
    command = " ".join((*(service.entrypoint or ()), *(service.command or ())))
    image = service.image.lower()
    reads_a_file = any(ending in command for ending in server.files) and not settings.keys() - _named(command)
    return service.build is None and not reads_a_file and "bitnami" not in image


def _named(command: str) -> set[str]:
    return {word[2:].partition("=")[0].replace("-", "_").lower() for word in command.split() if word.startswith("--")}


def _in_memory(service: Service, server: Server) -> bool:
    """Whether the data lies on no disk: what is mounted where it lies, or next above, is memory."""
    for folder in server.folders_of(service):
        path = PurePosixPath(folder)
        if path.is_relative_to(_IN_MEMORY):
            return True
        above = [each for each in service.mounts if path.is_relative_to(each.target)]
        if above:
            return max(above, key=lambda each: len(each.target)).kind == "tmpfs"
    return False


def _without_fsync_at_all(service: Service, node: Node) -> Iterator[str]:
    """`libeatmydata` makes nothing of every fsync of a program."""
    words = [place for word, place in words_of(service, node) if PurePosixPath(word).name == "eatmydata"]
    words += [
        place for name, value, place in environment_of(service, node) if name == "LD_PRELOAD" and "eatmydata" in value
    ]
    for place in words[:1]:
        text = f"{_at(place)}: {service.name} runs under eatmydata: nothing that it writes is flushed to the disk"
        yield f"{text}; {PROVES.format('does not')}"


def _without_barriers(root: Node) -> Iterator[str]:
    """Mount options of LUNs by which an fsync sends the disk no flush."""
    for loc, leaf in leaves(root):
        match loc:
            case ("x-chaos", "arrays", _, "luns", name, "mount_options", _) if leaf.text in ("nobarrier", "barrier=0"):
                text = f"{_at(leaf.place)}: LUN {name} is mounted with {leaf.text}: fsync sends the disk no flush, and "
                yield f"{text}a power cut loses what was acknowledged; {PROVES.format('has barriers')}"


def _at(place: Place) -> str:
    return f"{place.path}:{place.line}" if place.path else "the Compose file"

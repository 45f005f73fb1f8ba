"""The names of drivers: those that come with Holdfast, and those that installed packages add.

A package adds its drivers by entry points of the group `holdfast.drivers`, each a name and "module:Class". Nothing is
imported here; `chaos.workload.drivers` does that.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Final

from chaos.errors import UsageError

BUILT_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "http": "chaos.workload.drivers.http:HttpSession",
        "redis": "chaos.workload.drivers.redis:RedisSession",
        "etcd": "chaos.workload.drivers.etcd:EtcdSession",
        "mariadb": "chaos.workload.drivers.sql.mariadb:MariadbSession",
        "postgresql": "chaos.workload.drivers.sql.postgresql:PostgresqlSession",
        "rest": "chaos.workload.drivers.rest.session:RestSession",
        "webdav": "chaos.workload.drivers.webdav.session:WebdavSession",
    }
)
"""The drivers that come with Holdfast, as "module:Class" by name. A new one is a line here."""
ENTRY_POINTS: Final = "holdfast.drivers"
_CLASS_OF_A_MODULE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class DriverChoice:
    """The driver that a file names.

    Attributes:
        name: A name of `known_drivers`, or "module:Class".
        options: What the file says of it, as it stands there. The driver's own class checks it.
        written: The options as a `source.Node`, with their places in the file; None where they stand in no file. Not
            typed so here, since whoever names a driver would have to import all that reads YAML.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    written: Any = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        """The name alone: an option may be a password."""
        return self.name

    @property
    def shown(self) -> Mapping[str, object]:
        """For a document that others may read: what `is_secret` is stars."""
        return {"name": self.name, "options": _starred(self.options)}

    def as_file(self) -> object:
        """As it is written in a file."""
        return {self.name: dict(self.options)} if self.options else self.name


def is_secret(option: object) -> bool:
    """Whether what an option of this name says is shown nowhere."""
    return "password" in str(option)


def _starred(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: "***" if is_secret(key) else _starred(each) for key, each in value.items()}
    return [_starred(each) for each in value] if isinstance(value, list) else value


DEFAULT: Final = DriverChoice("http")


@functools.cache
def installed_drivers() -> Mapping[str, str]:
    """The drivers that installed packages add, as "module:Class" by name.

    Raises:
        UsageError: Two of them have one name, one has the name of a driver that comes with Holdfast, or is no class.
    """
    found: dict[str, str] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if not is_class_of_a_module(point.value):
            raise UsageError(
                f"the driver {point.name} of an installed package is {point.value!r}, not module:Class; mend or "
                "uninstall that package"
            )
        other = {**BUILT_IN, **found}.get(point.name, point.value)
        if other != point.value or point.name in BUILT_IN:
            raise UsageError(
                f"there are two drivers of the name {point.name}, {other} and {point.value}; uninstall the package of "
                "one of them, or name the class itself: driver: module:Class"
            )
        found[point.name] = point.value
    return MappingProxyType(found)


def known_drivers() -> Mapping[str, str]:
    """Every driver that has a name, as "module:Class". Errors as of `installed_drivers`."""
    return {**BUILT_IN, **installed_drivers()}


def is_class_of_a_module(name: str) -> bool:
    """Whether it is "module:Class", a driver of the user's own."""
    return _CLASS_OF_A_MODULE.fullmatch(name) is not None


def names_told() -> str:
    """What a driver may be called, for a message."""
    return f"{', '.join(known_drivers())}, or module:Class for a driver of your own"

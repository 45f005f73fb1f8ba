"""Finds the class of a driver by its name, or by "module:Class" of the user's own code."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from chaos.errors import Terminated, UsageError, remedy
from chaos.experiment.drivers import DriverChoice, is_class_of_a_module, known_drivers, names_told
from chaos.history.events import Policy
from chaos.workload.drivers.options import with_options
from chaos.workload.session import Copy, Session

_CALLS: Mapping[str, int] = {"put": 3, "delete": 3, "changes": 1, "everything": 0, "close": 0}
"""The methods of `Session` and how many arguments each is given."""
_LOOKED_FOR = "it is looked for beside the experiment, then among the installed packages"
_OF_A_PACKAGE = "install what it lacks, or mend or uninstall the package that it is of"

_FOLDERS: set[str] = set()
"""In which drivers of the user's own were looked for by this process."""


def chosen_driver(
    choice: DriverChoice, folder: Path | None, doors: Iterable[str] = (), policy: Policy | None = None
) -> type[Session]:
    """The driver that a file names, with the options that it gives, once it can read these kinds of `x-chaos.doors`.

    Args:
        choice: What the file says.
        folder: As of `load_driver`.
        doors: The kinds.
        policy: As of `with_options`.

    Raises:
        UsageError: As of `load_driver`, `with_options` and `load_doors`.
    """
    driver = with_options(load_driver(choice.name, folder), choice, policy)
    load_doors(driver, doors)
    return driver


def load_driver(name: str, folder: Path | None = None) -> type[Session]:
    """The driver class of this name.

    Args:
        name: A known name, or "module:Class".
        folder: Where the user's modules are looked for first: beside the experiment or the stack.

    Raises:
        UsageError: It cannot be imported, or it lacks something of the protocol; every problem at once.
    """
    own = is_class_of_a_module(name)
    place = name if own else known_drivers().get(name, "")
    if not place:
        raise UsageError(f"unknown driver {name!r}; use {names_told()}")
    module_name, _, class_name = place.partition(":")
    try:
        module = _import(module_name, folder if own else None)
    except Terminated:
        raise
    except (Exception, SystemExit) as error:
        where = f" ({place})" if not own else f" in {folder}" if folder else ""
        advice = _LOOKED_FOR if own else _OF_A_PACKAGE
        if isinstance(error, ImportError) and error.name != module_name.partition(".")[0]:
            advice = remedy(error)
        raise UsageError(
            f"driver {name!r} cannot be imported{where}: {type(error).__name__}: {error}; {advice}"
        ) from error
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        there = ", ".join(
            sorted(n for n, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module_name)
        )
        raise UsageError(f"driver {name!r}: module {module_name} has no class {class_name}; it has {there or 'none'}")
    problems = list(_problems(found))
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise UsageError(f"driver {name!r} is no session as `holdfast docs drivers` describes it:\n{listed}")
    return cast(type[Session], found)


def load_doors(driver: type[Session], kinds: Iterable[str]) -> Mapping[str, type[Copy]]:
    """The driver's classes for these kinds of `x-chaos.doors`.

    Raises:
        UsageError: It has none for one of them, or it cannot be imported.
    """
    known: Mapping[str, type[Copy] | str] = getattr(driver, "doors", {})
    found: dict[str, type[Copy]] = {}
    for kind in kinds:
        if kind not in known:
            raise UsageError(
                f"{driver.__name__} has no door of kind {kind!r}; it has {', '.join(known) or 'none'}: "
                f"see `holdfast docs drivers`, or take it out of x-chaos.doors"
            )
        door = known[kind]
        if isinstance(door, str):
            module, _, name = door.partition(":")
            try:
                door = cast(type[Copy], getattr(importlib.import_module(module), name))
            except (ImportError, AttributeError) as error:
                raise UsageError(f"door {kind!r} of {driver.__name__}: {error}; {remedy(error)}") from error
        found[kind] = door
    return found


def _import(name: str, folder: Path | None) -> object:
    if folder is None:
        return importlib.import_module(name)
    place = str(folder.resolve())
    top = name.partition(".")[0]
    origin = str(getattr(sys.modules.get(top), "__file__", None) or "")
    # Two experiments may each have a module `driver`, or `client` beside it; what is loaded may be the other one's.
    stale = {top} if not origin.startswith(place) else set()
    others = _FOLDERS - {place}
    stale |= {loaded for loaded, module in tuple(sys.modules.items()) if _home(loaded, module) in others}
    stale = {each for each in stale if _is_in(folder, each)}
    for loaded in tuple(sys.modules):
        if loaded.partition(".")[0] in stale:
            del sys.modules[loaded]
    _FOLDERS.add(place)
    if place in sys.path:
        sys.path.remove(place)
    sys.path.insert(0, place)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _is_in(folder: Path, top: str) -> bool:
    return (folder / f"{top}.py").exists() or (folder / top).is_dir()


def _home(name: str, module: object) -> str:
    """The folder on sys.path in which a top-level module was found; "" of any other."""
    file = str(getattr(module, "__file__", None) or "")
    if "." in name or not file:
        return ""
    path = Path(file)
    return str(path.parents[1] if path.name == "__init__.py" else path.parent)


def _problems(driver: type) -> list[str]:
    problems = []
    if not _takes(driver, (object(),), {"user": "", "device": ""}):
        problems.append("__init__ does not take (front_door, *, user, device)")
    for method, count in _CALLS.items():
        found = inspect.getattr_static(driver, method, None)
        function = getattr(driver, method, None)
        if found is None or not callable(function) or getattr(function, "__isabstractmethod__", False):
            problems.append(f"async method {method} is missing")
            continue
        if not inspect.iscoroutinefunction(function):
            problems.append(f"{method} is not `async def`")
        if not _takes(function, (object(),) * (count + 1), {}):
            problems.append(f"{method} does not take {count} arguments")
    left_open: frozenset[str] = getattr(driver, "__abstractmethods__", frozenset())
    problems.extend(
        f"method {name} is missing, which its base class asks for" for name in sorted(left_open - {*_CALLS})
    )
    return problems


def _takes(function: object, positional: tuple[object, ...], named: Mapping[str, object]) -> bool:
    try:
        inspect.signature(function).bind(*positional, **named)  # type: ignore[arg-type]
    except TypeError:
        return False
    except ValueError:
        return True
    return True

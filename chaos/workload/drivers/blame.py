"""Whether an error is the driver's own defect, and where in its code: what an author can mend at once.

A defect is an exception that Python raises for wrong code (a missing key, a None in the place of an object, a wrong
argument) in a line of the driver's own, or a result of another type than the protocol asks for. Everything else may be
the service, which is down, slow or not up yet: connection errors, time-outs, `NotNow`, a status, an answer that cannot
be read.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import chaos
from chaos.experiment.drivers import BUILT_IN
from chaos.workload.session import Ack, Changes, Record

_DEFECTS = (TypeError, AttributeError, NameError, LookupError, ImportError, NotImplementedError, SyntaxError)
_HERE = Path(chaos.__file__).parent
_SHARED = ("chaos.workload.drivers.copies", "chaos.workload.drivers.sql.tables")
_BUILT_IN = frozenset(
    _HERE.parent / f"{module.replace('.', '/')}.py"
    for module in (*(place.partition(":")[0] for place in BUILT_IN.values()), *_SHARED)
)
_LIBRARIES = (_HERE, *{Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_PACKAGES = ("/site-packages/", "/dist-packages/")


class WrongResultError(TypeError):
    """A method returned what the protocol does not have it return."""


def defect_of(error: BaseException) -> str:
    """What is wrong with the driver and where, if this error is its own defect; else empty."""
    if isinstance(error, WrongResultError):
        return str(error)
    summary = traceback.extract_tb(error.__traceback__)
    if not isinstance(error, _DEFECTS) or not summary or not _is_drivers(summary[-1].filename):
        return ""
    return f"{_text(error)}, {_place(summary[-1])}"


def drivers_place(stack: Sequence[traceback.FrameSummary]) -> str:
    """The innermost line of the driver's in a thread's stack, and what it waits in; empty if it has none there."""
    own = next((each for each in reversed(stack) if _is_drivers(each.filename)), None)
    if own is None or own is stack[-1]:
        return _place(own) if own else ""
    return f"{_place(own)}, which waits in {_place(stack[-1])}"


def checked_ack(found: object, method: str) -> Ack:
    """What `put` or `delete` returned.

    Raises:
        WrongResultError: It is no `Ack`.
    """
    if not isinstance(found, Ack):
        raise WrongResultError(f"{method} returned {_shown(found)}, not an Ack; to return means acknowledged")
    return found


def checked_changes(found: object) -> Changes:
    """What `changes` returned.

    Raises:
        WrongResultError: It is no `Changes` of records.
    """
    if not isinstance(found, Changes):
        raise WrongResultError(f"changes returned {_shown(found)}, not a Changes")
    return replace(found, records=checked_records(found.records, "changes"))


def checked_records(found: object, method: str) -> Sequence[Record]:
    """What a read returned.

    Raises:
        WrongResultError: It is no list of records, nor anything like it.
    """
    if not isinstance(found, Iterable) or isinstance(found, str | bytes | Mapping):
        raise WrongResultError(f"{method} returned {_shown(found)}, not a list of Record")
    records = tuple(found)
    for each in records:
        if not isinstance(each, Record):
            raise WrongResultError(f"{method} returned a list with {_shown(each)} in it, not with Record alone")
    return records


def _is_drivers(file: str) -> bool:
    path = Path(file)
    return path in _BUILT_IN or not (
        not path.is_absolute()  # made up, as "<string>", or where a compiled library was built
        or any(path.is_relative_to(folder) for folder in _LIBRARIES)
        or any(folder in file for folder in _PACKAGES)
    )


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _shown(found: object) -> str:
    return "None" if found is None else f"a {type(found).__name__}"

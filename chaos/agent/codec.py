"""Converts the frozen dataclasses of `wire` to JSON and back, and checks their types. Standard library only."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

_PLAIN = frozenset({str, int, float, bool, type(None)})


def encoded(value: object) -> Any:
    """A value as JSON has it; sets in order, so that equal values are equal texts."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, dict):
        return {name: encoded(each) for name, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [encoded(each) for each in value]
    return {name: encoded(getattr(value, name)) for name in _fields(kind)}


def decoded(type_: Any, value: Any) -> Any:
    """The value that `encoded` made this of.

    Raises:
        ValueError: It is none of that type; the message says where.
    """
    return _reader(type_)(value)


@functools.cache
def _reader(type_: Any) -> Callable[[Any], Any]:
    """How values of a type are read."""
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin in (typing.Union, types.UnionType):
        return _union_reader(arguments)
    if origin is Literal:
        return lambda value: _one_of(value, arguments)
    if origin is tuple and arguments[-1:] == (Ellipsis,):
        item = _reader(arguments[0])
        return lambda value: tuple(item(each) for each in _a(list, value))
    if origin is tuple:
        items = [_reader(each) for each in arguments]
        return lambda value: tuple(read(each) for read, each in zip(items, _a(list, value), strict=True))
    if origin is frozenset:
        item = _reader(arguments[0])
        return lambda value: frozenset(item(each) for each in _a(list, value))
    if origin is dict:
        item = _reader(arguments[1])
        return lambda value: {name: item(each) for name, each in _a(dict, value).items()}
    if isinstance(type_, type) and dataclasses.is_dataclass(type_):
        return functools.partial(_object, type_)
    if type_ is float:
        return lambda value: float(value) if type(value) is int else _a(float, value)
    return lambda value: _a(type_, value)


def _union_reader(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Of classes the one whose `kind` it is; else the one that is not None."""
    kinds: dict[str, Callable[[Any], Any]] = {each.kind: _reader(each) for each in arguments if hasattr(each, "kind")}
    if kinds:
        return lambda value: kinds[_one_of(_a(dict, value).get("kind"), kinds)](value)
    (some,) = (_reader(each) for each in arguments if each is not types.NoneType)
    return lambda value: None if value is None else some(value)


@functools.cache
def _fields(type_: Any) -> Mapping[str, Callable[[Any], Any]]:
    hints = typing.get_type_hints(type_)
    return {each.name: _reader(hints[each.name]) for each in dataclasses.fields(type_)}


def _object(type_: Any, value: Any) -> Any:
    readers = _fields(type_)
    unknown = _a(dict, value).keys() - readers.keys()
    if unknown:
        raise ValueError(f"{type_.__name__} has no {', '.join(sorted(unknown))}")
    try:
        return type_(**{name: readers[name](each) for name, each in value.items()})
    except TypeError as error:
        raise ValueError(f"{type_.__name__}: {error}") from error


def _a(type_: Any, value: Any) -> Any:
    if type(value) is not type_:
        raise ValueError(f"{value!r} is no {type_.__name__}")
    return value


def _one_of(value: Any, choices: typing.Collection[Any]) -> Any:
    if value not in choices:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, choices))}")
    return value

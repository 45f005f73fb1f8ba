"""How a file names a driver: `driver: redis`, or `driver: {redis: {database: 1}}`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from chaos.experiment.drivers import DriverChoice, is_class_of_a_module, known_drivers, names_told
from chaos.experiment.explain import fail
from chaos.experiment.source import Loc, Node, Table, find


def _driver_form(value: object) -> object:
    """A known name or "module:Class", alone or as the only key of a mapping that holds its options."""
    name: object = value
    options: dict[str, Any] = {}
    if isinstance(value, dict):
        if len(value) != 1:
            fail("a driver with options is a mapping of one key, its name", "such as {redis: {database: 1}}")
        ((name, options),) = value.items()
        if not isinstance(options, dict):
            fail(f"the options of driver {name} should be a mapping", f"such as {{{name}: {{OPTION: VALUE}}}}")
    if not isinstance(name, str):
        fail("driver should be a name, or a mapping of a name to its options", f"use {names_told()}")
    if not is_class_of_a_module(name) and name not in known_drivers():
        fail(f"unknown driver {name[:60]!r}", f"use {names_told()}")
    return DriverChoice(name, options)


def placed(choice: DriverChoice, root: Node, loc: Loc) -> DriverChoice:
    """The same, with the places of its options: the file names it at this loc."""
    node, _ = find(root, loc)
    written = node.entries.get(choice.name) if isinstance(node, Table) else None
    return choice if written is None else replace(choice, written=written[1])


DriverForm = Annotated[DriverChoice, PlainValidator(_driver_form), WithJsonSchema({})]
"""`driver:` of an experiment and of `x-chaos`."""

"""The shape of the package, held by a test: imports point one way, go round nowhere, and modules stay short.

Looked up in the source, imports inside functions included; those for type checkers only count, too.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "chaos"
LINES_MAX = 450
MODULES_MAX = 12

PARTS = {
    "chaos.agent.codec": "wire",
    "chaos.agent.recording": "wire",
    "chaos.agent.request": "wire",
    "chaos.agent.states": "wire",
    "chaos.agent.wire": "wire",
    "chaos.agent.wire_states": "wire",
    "chaos.stack.spec": "spec",
    "chaos.stack.carrier.toxic": "spec",
    "chaos.faults.aim": "live",
    "chaos.faults.injector": "live",
    "chaos.faults.live": "live",
    **{f"chaos.faults.{medium}.live": "live" for medium in ("lun", "process", "link", "carrier")},
}
"""Modules that are a part by themselves: what the agent is told, the stack as plain data, the live half of faults."""

ALLOWED = {
    "errors": set(),
    "wire": set(),
    "agent": {"wire"},
    "history": {"errors"},
    "experiment": {"errors"},
    "spec": {"experiment"},
    "stack": {"errors", "experiment", "wire", "spec"},
    "faults": {"errors", "history", "experiment", "wire", "spec"},
    "live": {"errors", "history", "experiment", "wire", "spec", "stack", "faults"},
    "preflight": {"errors", "experiment", "spec", "stack", "faults", "workload"},
    "new": {"errors", "experiment", "spec", "stack"},
    "workload": {"errors", "history", "experiment"},
    "checks": {"errors", "history", "experiment", "faults"},
    "reporting": {"errors", "history", "experiment", "faults", "checks"},
    "doctor": {"errors", "stack", "faults", "experiment", "workload"},
    "trial": {"errors", "history", "experiment", "spec", "stack", "live", "workload", "checks", "reporting"},
    "trials": {"errors", "experiment", "spec", "stack", "preflight", "workload", "reporting", "trial"},
    "explore": {
        "errors",
        "history",
        "experiment",
        "wire",
        "spec",
        "stack",
        "preflight",
        "workload",
        "checks",
        "reporting",
        "trial",
        "trials",
    },
    "audit": {
        "errors",
        "history",
        "experiment",
        "wire",
        "spec",
        "stack",
        "preflight",
        "reporting",
        "trial",
        "trials",
        "explore",
    },
    "search": {
        "errors",
        "history",
        "experiment",
        "spec",
        "stack",
        "faults",
        "preflight",
        "workload",
        "checks",
        "reporting",
        "trial",
        "trials",
        "explore",
        "audit",
    },
    "gate": {
        "errors",
        "history",
        "experiment",
        "stack",
        "faults",
        "preflight",
        "checks",
        "reporting",
        "doctor",
        "trials",
        "search",
    },
    "driver_test": {"errors", "experiment", "spec", "stack", "preflight", "workload", "trials"},
    "testing": {
        "errors",
        "experiment",
        "history",
        "stack",
        "preflight",
        "reporting",
        "doctor",
        "trials",
        "search",
    },
    "pytest_plugin": {"errors", "experiment", "preflight", "reporting", "testing"},
    "answering": {"errors", "reporting", "stack"},
    "manual": {"errors"},
    "__main__": {"cli"},
    "cli_many": {"answering", "errors", "reporting", "stack", "explore", "search", "audit", "gate", "preflight"},
    "cli": {
        "answering",
        "errors",
        "experiment",
        "spec",
        "faults",
        "manual",
        "stack",
        "preflight",
        "new",
        "workload",
        "checks",
        "history",
        "reporting",
        "doctor",
        "trials",
        "cli_many",
        "driver_test",
    },
}
"""What each part may import besides itself; a part is a folder of the package, a module beside them, or of PARTS."""

EXCEPTIONS = {
    ("chaos.stack.cleanup.sweep", "chaos.agent.disk.loop"): "frees loop devices that a crash left, as the agent would",
    ("chaos.stack.cleanup.sweep", "chaos.agent.disk.mounted"): "says who has such a loop device mounted",
    (
        "chaos.stack.engine.own",
        "chaos.agent.process.cgroups",
    ): "binds cgroups where the agent looks",
    ("chaos.stack.images.images", "chaos.agent"): "finds the agent's Dockerfile",
    ("chaos.reporting.logfile", "chaos.stack.cache"): "keeps the log in the one folder of files between runs",
}

ENGINES_CLIENTS = {"docker", "podman", "requests", "testcontainers"}
"""What speaks with a container engine, or is raised by what does."""

BESIDE_THE_ENGINE = {
    ("chaos.stack.carrier.image", "requests"): "downloads a server that a URL names",
}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ["chaos", *path.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
FACADE = "chaos"
"""The public names, imported when they are asked for: it stands above everything, and nothing imports them from it."""


def imports(module: str, *, late: bool = True) -> Iterator[str]:
    """Names of the modules that a module imports; without `late` only those that are executed with it."""
    tree = ast.parse(MODULES[module].read_text())
    nodes = ast.walk(tree) if late else iter(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def part(module: str) -> str:
    return PARTS.get(module, module.split(".")[1] if "." in module else "")


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {FACADE}))
def test_a_module_imports_only_from_the_parts_below_its_own(module: str) -> None:
    own = part(module)
    assert own == "" or own in ALLOWED, f"{own} is a new part: say in ALLOWED what it may import"
    wrong = [
        name
        for name in imports(module)
        if name in MODULES
        and part(name) not in ALLOWED.get(own, set()) | {own, ""}
        and (module, name) not in EXCEPTIONS
    ]
    assert not wrong, f"{module} must not import {', '.join(wrong)}"


def test_the_parts_themselves_have_an_order() -> None:
    order = list(TopologicalSorter(ALLOWED).static_order())
    assert (
        order.index("errors")
        < order.index("stack")
        < order.index("faults")
        < order.index("trial")
        < order.index("trials")
    )


def test_modules_import_each_other_in_no_circle() -> None:
    inner = MODULES.keys() - {FACADE}
    graph = {module: {name for name in imports(module) if name in inner} - {module} for module in inner}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", sorted(name for name in MODULES if part(name) in ("agent", "wire")))
def test_the_agent_needs_the_standard_library_and_itself_alone(module: str) -> None:
    """It is copied into an image that has nothing else."""
    foreign = [
        name
        for name in imports(module)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("chaos.agent")
    ]
    assert not foreign


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"chaos.__main__"}))
def test_nobody_imports_the_command_line(module: str) -> None:
    assert "chaos.cli" not in imports(module)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_can_be_read_in_one_go(module: str) -> None:
    lines = len(MODULES[module].read_text().splitlines())
    assert lines <= LINES_MAX, (
        f"{module} has {lines} lines, more than {LINES_MAX}: which noun should be its own module?"
    )


@pytest.mark.parametrize(("module", "name"), sorted(EXCEPTIONS))
def test_an_exception_that_nobody_needs_is_struck(module: str, name: str) -> None:
    assert name in imports(module)
    assert part(name) not in ALLOWED[part(module)], "it is allowed anyway"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if not name.startswith("chaos.stack.engine")))
def test_the_container_engine_is_spoken_with_in_one_folder(module: str) -> None:
    """So another engine is another folder: everybody else hands the connection on, and may close it."""
    asked = {name for name in imports(module) if name.split(".")[0] in ENGINES_CLIENTS}
    asked -= {name for owner, name in BESIDE_THE_ENGINE if owner == module}
    if "chaos.stack.engine.client" in imports(module):
        nodes = ast.walk(ast.parse(MODULES[module].read_text()))
        attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
        asked |= {each.attr for each in attributes if ast.unparse(each.value) in ("client", "self._client")}
    assert asked <= {"close"}


def test_only_the_choice_between_the_two_ways_to_count_knows_the_one_for_large_histories() -> None:
    known_by = {
        module
        for module in MODULES
        if not module.startswith("chaos.checks.bulk")
        and any(name.startswith("chaos.checks.bulk") for name in imports(module))
    }
    assert known_by == {"chaos.checks.file"}


def test_a_folder_holds_what_can_be_seen_at_a_glance() -> None:
    folders = Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    assert {folder: count for folder, count in folders.items() if count > MODULES_MAX} == {}


def test_no_two_test_modules_outside_packages_have_one_name() -> None:
    """pytest imports them by that name alone, and refuses the second."""
    names = Counter(
        path.name
        for path in PACKAGE.parent.joinpath("tests").rglob("test_*.py")
        if not (path.parent / "__init__.py").exists()
    )
    assert [name for name, count in names.items() if count > 1] == []

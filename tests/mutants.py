"""One mutation run over modules of the checker: which mutants of cosmic-ray do the unit tests not notice?

    pip install cosmic-ray==8.7.0
    python -m tests.mutants [--cases few|some|all] [--jobs N] [--out FILE] [MODULE ...]
    python -m tests.mutants --again FILE --cases all --out OTHER      (what survived there, against everything)

Each mutant runs in a fork of a process in which everything but the checks is loaded, against the tests that killed
most before it, with fewer cases than `make test` draws: `few` are those written out, `some` are planted ones as well,
`all` is what `make test` draws. One that takes more than 20 s of a processor has no end, and counts as killed.
FILE gets a line for each mutant; a run that was stopped goes on behind it. Nothing else is written.

Left out is what nothing runs (annotations, decorators), what nobody would write (`is` for `==`, a word that is greater
than another one), and what no test could miss (arithmetic on sets, shifts of numbers).
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import importlib.util
import json
import os
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from importlib.machinery import ModuleSpec, SourceFileLoader
from itertools import zip_longest
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

CHECKS = Path("chaos/checks")
TESTS = Path("tests/unit/checks")
MODULES = (
    "allowed", "keep_both", "logical", "sessions", "restore", "agreement", "doors", "verdict", "canaries", "coverage",
    "outcomes", "tally", "counts", "bite", "traffic", "mix", "story", "finding", "ways", "between", "references",
    "classes", "explain", "file", "answers",
)  # fmt: skip
COLUMNS = frozenset({"plain", "records", "caches", "dismissal", "large", "dismissed"})
"""What large histories are looked at with; their tests compare with the exact rule. Their loops run as they are written
here: compiled ones would be kept on disk, and a mutant might get those of another one."""
FEWER = {
    "HOLDFAST_ORACLE_HISTORIES": "10000",
    "HOLDFAST_DOORS_HISTORIES": "2400",
    "HOLDFAST_RESTORE_SEEDS": "6",
    "HOLDFAST_PLANT_SEEDS": "1",
    "HOLDFAST_LEGAL_RECORDS": "2000",
    "HOLDFAST_FUZZ_CASES": "50",
}
QUICK = (
    "test_in_the_load.py", "test_sights.py", "test_proofs.py", "test_agreement.py", "test_outcomes.py",
    "test_reasons.py", "test_keep_both.py", "test_sessions.py", "test_restore.py", "test_explain.py", "test_verdict.py",
    "test_names.py",
)  # fmt: skip
"""Those that take least come first."""
SURVIVES, NO_PROGRAM = 98, 99
SECONDS_MAX = 20
BYTES_MAX = 4 << 30
FAMILIES = ({"BitOr", "BitAnd", "BitXor", "Sub"}, {"Add", "Sub", "Mul", "FloorDiv"})
ARITHMETIC = {"expr", "xor_expr", "and_expr", "shift_expr", "arith_expr", "term", "power"}
ORDER = {"Lt", "LtE", "Gt", "GtE"}
NEAR = {"Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt",
        "Is_IsNot", "IsNot_Is"}  # fmt: skip
IDENTITY = {"Is", "IsNot"}
KEPT = ("chaos.errors", "chaos.history", "chaos.experiment", "tests.unit.checks.service", "tests.unit.checks.plant")
"""What a mutant does not touch: loaded once, for all."""


@dataclass(frozen=True)
class Mutant:
    """The `occurrence`th place in a module where an operator of cosmic-ray can change something."""

    module: str
    operator: str
    occurrence: int
    line: int

    @property
    def path(self) -> Path:
        return place_of(self.module)

    def source(self) -> str:
        return str(mutate_code(self.path.read_text(), get_operator(self.operator)(), self.occurrence))


def place_of(module: str) -> Path:
    """The file of a module, in whichever folder of the checks it lies."""
    (found,) = CHECKS.rglob(f"{module}.py")
    return found


def mutants(module: str) -> Iterator[Mutant]:
    source = place_of(module).read_text()
    nodes, unused = list(ast_nodes(get_ast(source))), list(_unused(source))
    words = {node.start_pos for node in nodes if node.parent and _is_of_words(node)}
    sums = {node.start_pos for node in nodes if node.parent and node.parent.type in ARITHMETIC}
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments() or name.endswith("RemoveDecorator"):
            continue
        places = [place for node in nodes for place in kind().mutation_positions(node)]
        for occurrence, (begin, end) in enumerate(places):
            if any(first <= begin and end <= last for first, last in unused):
                continue
            if not _odd(name, of_words=begin in words, of_sums=begin in sums):
                yield Mutant(module, name, occurrence, begin[0])


def _difference(source: str, changed: str) -> tuple[str, str]:
    """The lines that differ."""
    one, other = source.splitlines(), changed.splitlines()
    first = next(i for i, pair in enumerate(zip_longest(one, other)) if pair[0] != pair[1])
    behind = next(i for i, pair in enumerate(zip(reversed(one), reversed(other), strict=False)) if pair[0] != pair[1])
    before, after = ("\n".join(lines[first : max(first + 1, len(lines) - behind)]).strip() for lines in (one, other))
    return before, after


def _far(mutant: Mutant) -> bool:
    """Whether it is neither the opposite of a comparison nor the one beside it: these come last."""
    _, _, ops = mutant.operator.partition("ComparisonOperator_")
    return bool(ops) and ops not in NEAR


def _told(file: Path) -> Iterator[tuple[Mutant, str]]:
    """What an earlier run wrote, if any."""
    for line in file.read_text().splitlines() if file.exists() else ():
        said = json.loads(line)
        yield Mutant(said["module"], said["operator"], said["occurrence"], said["line"]), said["outcome"]


def _odd(operator: str, *, of_words: bool, of_sums: bool) -> bool:
    """Whether this is a change that nobody makes, or that nothing survives."""
    what, _, ops = operator.rpartition("Operator_")
    one, _, other = ops.partition("_")
    if what.endswith("ReplaceBinary"):
        return not of_sums or not any({one, other} <= family for family in FAMILIES)
    if what.endswith("ReplaceComparison"):
        return (one in IDENTITY) != (other in IDENTITY) or (of_words and other in ORDER)
    return False


def _is_of_words(node: Any) -> bool:
    """Whether this is the operator of a comparison with a string."""
    beside = (node.get_previous_sibling(), node.get_next_sibling())
    return node.parent.type == "comparison" and any(each is not None and each.type == "string" for each in beside)


def _unused(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations, aliases of types and decorators stand: (line, column) of begin and end."""
    for node in ast.walk(ast.parse(source)):
        found: list[Any] = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        found += getattr(node, "decorator_list", [])
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "Rule":
            found.append(node.value)
        for each in found:
            if each is not None:
                # A decorator begins with its sign.
                yield (each.lineno, max(0, each.col_offset - 1)), (each.end_lineno, each.end_col_offset)


class _Loader(SourceFileLoader):
    """Loads one module from another source than its file's."""

    mutated = ""

    def get_code(self, fullname: str) -> CodeType | None:
        return compile(self.mutated, self.path, "exec", dont_inherit=True)


@dataclass
class _Finder:
    name: str
    path: Path
    source: str

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        loader = _Loader(name, str(self.path.resolve()))
        loader.mutated = self.source
        return importlib.util.spec_from_file_location(name, self.path.resolve(), loader=loader)


def _tests(module: str, *, cases: str) -> list[str]:
    """The files to run, those that take long last."""
    if module in COLUMNS:
        files = ["test_plain.py", "test_mix.py", "test_bite.py", "test_reasons.py", "test_outcomes.py"]
        return files if cases == "few" else [*files, "test_large.py"]
    own = f"test_{module}.py"
    files = [own] if (TESTS / own).exists() else []
    files += [name for name in QUICK if name != own]
    if module in ("bite", "traffic"):
        files.append("test_traffic.py")
    return [*files, *{"few": [], "some": ["test_plants.py"], "all": ["test_plants.py", "test_large.py"]}[cases]]


def _run(mutant: Mutant, tests: Sequence[str], *, cases: str) -> int:
    """Run tests against it, in a process of its own; the place of the one that notices, else SURVIVES."""
    seconds = SECONDS_MAX * (10 if cases == "all" else 1)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES_MAX, BYTES_MAX))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    source = mutant.source()
    try:
        compile(source, "", "exec")
    except SyntaxError:
        return NO_PROGRAM
    finder = _Finder(".".join(mutant.path.with_suffix("").parts), mutant.path, source)
    sys.meta_path.insert(0, finder)
    return next((n for n, name in enumerate(tests) if _pytest([str(TESTS / name)]) != pytest.ExitCode.OK), SURVIVES)


def _pytest(tests: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        return pytest.main(["-x", "-qq", "--noconftest", "-p", "no:cacheprovider", f"--basetemp={folder}/t", *tests])


def outcomes(wanted: Sequence[Mutant], jobs: int, *, cases: str) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with `survives`, `no program`, or the tests that killed it."""
    running: dict[int, tuple[Mutant, list[str]]] = {}
    waiting = list(reversed(wanted))
    kills = Counter[tuple[str, str]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            *tests, last = _tests(mutant.module, cases=cases)
            tests.sort(key=lambda name, of=mutant.module: -kills[of, name])  # type: ignore[misc]
            tests.append(last)
            child = os.fork()
            if child == 0:
                try:
                    os._exit(_run(mutant, tests, cases=cases))
                finally:
                    os._exit(0)
            running[child] = mutant, tests
        child, status = os.wait()
        mutant, tests = running.pop(child)
        code = os.waitstatus_to_exitcode(status)
        if code in (SURVIVES, NO_PROGRAM):
            yield mutant, "survives" if code == SURVIVES else "no program"
        else:
            killer = tests[code] if code >= 0 else "no end"
            kills[mutant.module, killer] += 1
            yield mutant, killer


def _forget() -> None:
    """Have everything that a mutant may touch loaded anew."""
    for name in list(sys.modules):
        mine = name.startswith(("chaos.", "tests.", "test_"))  # pytest calls a file of tests by its name alone
        if mine and not name.startswith(KEPT):
            del sys.modules[name]


def _warm(cases: str) -> None:
    """Load everything, and remember what is the same for every mutant: what is simulated, and what was read."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    simulation: Any = importlib.import_module("tests.unit.checks.service").Simulation
    reader: Any = importlib.import_module("chaos.history.reader")
    recorder: Any = importlib.import_module("chaos.history.recorder")
    run, read, encode = simulation.run, reader.read_history, recorder.encode
    simulated: dict[object, tuple[list[Any], Counter[str]]] = {}
    encoded: dict[int, tuple[object, bytes]] = {}
    histories: dict[bytes, Any] = {}

    def remembered_run(self: Any) -> list[Any]:
        if self.load not in simulated:
            simulated[self.load] = (run(self), self.cases)
            encoded.update((id(event), (event, encode(event))) for event in simulated[self.load][0])
        events, self.cases = simulated[self.load]
        return list(events)

    def remembered_line(event: Any) -> bytes:
        known = encoded.get(id(event))
        return encode(event) if known is None else known[1]

    def remembered_history(path: Path) -> Any:
        digest = blake2b(path.read_bytes()).digest()
        if digest not in histories:
            histories[digest] = read(path)
        return replace(histories[digest], path=path)

    simulation.run, recorder.encode, reader.read_history = remembered_run, remembered_line, remembered_history
    _uncompiled()
    files = {str(TESTS / name) for module in (*MODULES, *COLUMNS) for name in _tests(module, cases=cases)}
    assert _pytest(sorted(files)) == pytest.ExitCode.OK, "without any mutant"
    _forget()
    gc.collect()
    gc.freeze()


def _uncompiled() -> None:
    """Leave the loops of the checks as they are written; those of the history stay compiled."""
    importlib.import_module("chaos.checks.bulk.large")
    compiler: Any = importlib.import_module("chaos.checks.bulk.columns.compiled")
    compiler.compiled = compiler.inlined = lambda function: function
    _forget()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--again", type=Path)
    parser.add_argument("--cases", choices=("few", "some", "all"), default="some")
    given = parser.parse_args(arguments)
    if given.again:
        wanted = [mutant for mutant, outcome in _told(given.again) if outcome == "survives"]
    else:
        wanted = [mutant for module in given.modules for mutant in mutants(module)]
    done = {mutant for mutant, _ in _told(given.out)}
    wanted = sorted((mutant for mutant in wanted if mutant not in done), key=_far)
    if given.cases != "all":
        os.environ.update(FEWER)
    _warm(given.cases)
    with given.out.open("a") as out:
        for mutant, outcome in outcomes(wanted, given.jobs, cases=given.cases):
            one, other = _difference(mutant.path.read_text(), mutant.source()) if outcome == "survives" else ("", "")
            out.write(json.dumps({**asdict(mutant), "outcome": outcome, "before": one, "after": other}) + "\n")
            out.flush()
    for module in given.modules:
        of = Counter(outcome for mutant, outcome in _told(given.out) if mutant.module == module)
        killed = of.total() - of["survives"] - of["no program"]
        sys.stdout.write(f"{module}: {killed} killed, {of['survives']} survive\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""The pages tell the truth where a program can tell: links, commands, experiments, faults, modules, examples."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import yaml

from chaos.checks.finding import Finding
from chaos.cli import app
from chaos.experiment.files import is_experiment
from chaos.experiment.loader import load
from chaos.faults import catalogue
from chaos.reporting.result import to_document
from tests.unit.reporting.samples import judged

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for folder in (".", "docs", "experiments", "fixtures", "reports", "tests")
    for path in (ROOT / folder).glob("*.md")
)
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group, of Typer's own Click
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def invocations(text: str) -> Iterator[str]:
    """Whatever follows `holdfast` in code: between backticks, or on a line of a block."""
    prose = FENCE.sub("", text)
    code = re.findall(r"`([^`\n]+)`", prose)
    code += [line.removeprefix("$ ") for _, block in FENCE.findall(text) for line in block.splitlines()]
    for each in code:
        found = re.match(r"(?:\.venv/bin/)?holdfast\s+([a-z].*)", each)
        if found:
            yield found[1].partition("#")[0]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EVERY_PAGE
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(path), f"{page.name} links to {target}"


@EVERY_PAGE
def test_every_command_and_option_on_a_page_is_a_real_one(page: Path) -> None:
    for line in invocations(page.read_text()):
        name, *rest = re.sub(r"[\[\]]", " ", line).split()
        assert name in COMMANDS, f"{page.name}: holdfast {line}"
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        unknown = {word for word in rest if word.startswith("--")} - known
        assert not unknown, f"{page.name}: holdfast {line}"


def test_the_readme_names_every_command_with_every_option() -> None:
    rows = re.findall(r"^\| `holdfast ([\w-]+) ?([^`]*)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    shown = {name: set(re.findall(r"--[a-z-]+", options)) for name, options in rows}
    assert shown == {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in COMMANDS.items()
    }


@EVERY_PAGE
def test_every_make_verb_on_a_page_is_in_the_makefile(page: Path) -> None:
    text = page.read_text()
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"`make ([a-z-]+)", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert used <= verbs


WRITTEN_BY_NEW = {f"experiments/{name}" for name in ("kill.yaml", "recreate.yaml", "driver.py")}
"""Files of a user's own folder, which `holdfast new` writes."""


@EVERY_PAGE
def test_every_experiment_named_on_a_page_exists(page: Path) -> None:
    named = set(re.findall(r"experiments/[\w/]+\.(?:yaml|py)", page.read_text()))
    missing = [name for name in named - WRITTEN_BY_NEW if not (ROOT / name).exists()]
    assert not missing


def test_every_shipped_experiment_is_listed_with_its_expected_verdict() -> None:
    rows = re.findall(r"^\| `([\w/]+\.yaml)` \|.*\| (\w+) \|$", (ROOT / "experiments" / "README.md").read_text(), re.M)
    found = {
        str(path.relative_to(ROOT / "experiments")): yaml.safe_load(path.read_text()).get("expect", "HELD")
        for path in (ROOT / "experiments").rglob("*.yaml")
        if is_experiment(path)
    }
    assert dict(rows) == found


def test_every_fault_has_its_section_with_its_targets_and_parameters_and_no_other_has() -> None:
    text = (ROOT / "docs" / "faults.md").read_text().partition("# Adding a fault")[0]
    sections = dict(re.findall(r"^## `([\w.]+)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(catalogue().known)
    for name, info in catalogue().known.items():
        (targets,) = re.findall(r"^\| targets \| (.*) \|$", sections[name], re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", targets)) == set(info.targets)
        (parameters,) = re.findall(r"^\| parameters \| (.*) \|$", sections[name], re.MULTILINE)
        assert set(re.findall(r"`(\w+)[`:]", parameters)) >= set(info.parameters)


def test_every_fault_is_in_the_table_of_the_page_on_experiments() -> None:
    table = (ROOT / "docs" / "experiments.md").read_text()
    assert set(re.findall(r"^\| `(\w+\.\w+)` \|", table, re.MULTILINE)) == set(catalogue().known)


def test_the_design_names_every_module_and_no_other() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    table = text.partition("## Modules, in reading order")[2].partition("\n## ")[0]
    folder, named = "chaos/", set()
    for cell in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE):
        if heading := re.match(r"\*\*`(chaos/[\w/]+/)`\*\*", cell):
            folder = heading[1]
        named |= {
            module if module.startswith("chaos/") else folder + module for module in re.findall(r"`([\w/]+\.py)`", cell)
        }
    assert named == {
        str(path.relative_to(ROOT))
        for path in (ROOT / "chaos").rglob("*.py")
        if path.name != "__init__.py" or path.parent.name == "drivers"
    }


@EVERY_PAGE
def test_every_python_example_is_python(page: Path) -> None:
    for language, block in FENCE.findall(page.read_text()):
        if language == "python" and not block.startswith("    "):
            compile(block, page.name, "exec")


@EVERY_PAGE
def test_every_experiment_shown_whole_can_be_loaded(page: Path, tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    (tmp_path / "experiments" / "compose.yaml").write_text("services: {}\n")
    for language, block in FENCE.findall(page.read_text()):
        if language == "yaml" and block.startswith("experiment:") and "flush_error" not in block:
            file = tmp_path / "experiments" / "shown.yaml"
            file.write_text(block)
            plan = load(file, 1, catalogue())
            assert plan.schedule or plan.search.faults


def test_the_command_for_mutants_finds_each_of_its_modules_once() -> None:
    """By its source: the library that makes the mutants is installed for such a run alone."""
    named: list[str] = []
    for node in ast.parse((ROOT / "tests" / "mutants.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("MODULES", "COLUMNS"):
            named += [each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)]  # type: ignore[misc]
    found = [path.stem for path in (ROOT / "chaos" / "checks").rglob("*.py") if "columns" not in path.parts]
    assert sorted(named) == sorted(name for name in found if name != "__init__")


def test_the_page_on_reports_lists_every_member_of_the_json_document() -> None:
    assert _members("The JSON document") == set(to_document(judged()))


def test_the_page_on_reports_lists_every_member_of_a_finding() -> None:
    assert _members("A finding") == {field.name for field in dataclasses.fields(Finding)}


def _members(section: str) -> set[str]:
    """The names in the first column of the tables of a section of the page on reports."""
    text = (ROOT / "reports" / "README.md").read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def glossary() -> list[str]:
    """The terms of the glossary."""
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    return [row for row in rows if row != "term" and not row.startswith("--")]


def test_every_term_of_the_glossary_is_used_on_another_page_and_stands_there_once() -> None:
    terms = glossary()
    assert len(terms) > 60
    assert len(set(terms)) == len(terms)
    text = " ".join(" ".join(page.read_text().split()) for page in PAGES if page.name != "glossary.md").lower()
    assert [term for term in terms if not re.search(rf"\b{re.escape(term.lower())}", text)] == []


RIDDLES = (
    "on so many copies",
    "so many trials:",
    "itself drawn if not given",
    "what of the experiment matters",
    "asked for when it was acknowledged",
    "neither for nor against",
    "beside the faults",
    "cut link",
    "guards of held",
    "guard of held",
    "their other side",
    "stop where they stand",
    "what to be wary of",
)
"""Phrases that readers could not understand, or a second word for a term of the glossary."""


def test_no_riddle_comes_back() -> None:
    files = [*PAGES, *(ROOT / "chaos").rglob("*.py"), *(ROOT / "chaos").rglob("*.html")]
    found = [
        f"{path.relative_to(ROOT)}: {phrase}"
        for path in files
        for phrase in RIDDLES
        if phrase in " ".join(path.read_text().split()).lower()
    ]
    assert found == []

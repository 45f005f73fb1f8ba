"""`holdfast docs`: the pages are there for whoever has the wheel alone, and messages name nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import cli, manual

PACKAGE = Path(cli.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def texts(module: Path) -> Iterator[str]:
    """What may be said to a user: every text that is no docstring."""
    tree = ast.parse(module.read_text())
    holders = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    bodies = [holder.body for holder in (*holders, *(n for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef)))]
    alone = {id(each.value) for body in bodies for each in body if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_message_names_a_file_that_the_wheel_does_not_have_or_a_page_that_is_not_there(module: Path) -> None:
    said = "\n".join(texts(module))
    assert not re.search(r"\b(docs|reports|experiments|fixtures)/[\w-]+\.md", said)
    assert set(re.findall(r"holdfast docs ([a-z-]+)", said)) <= manual.pages().keys()


def test_some_messages_name_pages() -> None:
    said = "\n".join(text for module in MODULES for text in texts(module))
    assert {"drivers", "compose", "experiments"} <= set(re.findall(r"holdfast docs ([a-z-]+)", said))


@pytest.mark.parametrize("name", ["drivers", "drivers.md", "docs/drivers.md"])
def test_a_page_is_printed_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["docs", name]) == 0
    assert capsys.readouterr().out == (PACKAGE.parent / "docs" / "drivers.md").read_text()


def test_without_a_name_all_pages_are_told_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["docs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "drivers          Writing a driver" in lines
    assert {line.split()[0] for line in lines} == manual.pages().keys()


def test_of_a_page_that_is_not_there_all_that_are_there_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["docs", "drivres"]) == 64
    assert "there is no page 'drivres'; there are api, " in capsys.readouterr().err

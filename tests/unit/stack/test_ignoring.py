"""`.dockerignore`, by Docker's own rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.stack.images.ignoring import lines_of, not_ignored

FILES = ("a.md", "b/a.md", "b/c/a.md", "b/c/d.txt", "e[1]", "f", ".hidden/x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("lines", "left_out"),
    [
        ([], set()),
        (["*.md"], {"a.md"}),
        (["**/*.md"], {"a.md", "b/a.md", "b/c/a.md"}),
        (["b"], {"b/a.md", "b/c/a.md", "b/c/d.txt"}),
        (["/b/"], {"b/a.md", "b/c/a.md", "b/c/d.txt"}),
        (["b/*/d.txt"], {"b/c/d.txt"}),
        (["b/**"], {"b/a.md", "b/c/a.md", "b/c/d.txt"}),
        (["b", "!b/c/d.txt"], {"b/a.md", "b/c/a.md"}),
        (["!f", "*"], set(FILES)),
        (["*", "!f"], set(FILES) - {"f"}),
        (["?"], {"b/a.md", "b/c/a.md", "b/c/d.txt", "f"}),
        (["e[[]1]"], {"e[1]"}),
        (["[^f]"], {"b/a.md", "b/c/a.md", "b/c/d.txt"}),
        (["./x/../f"], {"f"}),
        (["", "  ", ".", "!"], set()),
        ([".hidden"], {".hidden/x"}),
    ],
)
def test_patterns_name_a_path_and_all_below_it(folder: Path, lines: list[str], left_out: set[str]) -> None:
    found = {path for path in not_ignored(folder, lines) if (folder / path).is_file()}
    assert found == set(FILES) - left_out


def test_links_are_not_followed(folder: Path) -> None:
    (folder / "round").symlink_to(".")
    assert [path for path in not_ignored(folder, []) if path.startswith("round")] == ["round"]


def test_comments_are_no_patterns(folder: Path) -> None:
    (folder / ".dockerignore").write_text("\ufeff#f\n f \n")
    assert lines_of(folder / ".dockerignore") == ["f"]
    assert lines_of(folder / "none") == []

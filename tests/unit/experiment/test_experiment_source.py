from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.errors import SourceError
from chaos.experiment import source
from chaos.experiment.source import Place, find, key_place, plain, read


def reading(path: Path, text: str) -> source.Node:
    path.write_text(text, encoding="utf-8")
    return read(path).root


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        read(path)
    return str(caught.value).replace(str(path), "f.yaml")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.yaml"


def test_every_value_and_key_knows_its_line_and_column(path: Path) -> None:
    root = reading(path, "a: 1\nb:\n  - x\n  - {c: y}\n")
    assert find(root, ("b", 1, "c"))[1] == Place(str(path), 4, 9)
    assert key_place(root, ("b", 1, "c")) == Place(str(path), 4, 6)


def test_values_are_read_by_the_core_schema_and_not_by_that_of_yaml_1_1(path: Path) -> None:
    text = "{a: no, b: off, c: 22:22, d: true, e: 1, f: 1.5, g: ~, h: 1_0, i: 2020-01-01, j: 0o17}"
    seen = plain(reading(path, text))
    assert seen == {
        "a": "no",
        "b": "off",
        "c": "22:22",
        "d": True,
        "e": 1,
        "f": 1.5,
        "g": None,
        "h": "1_0",
        "i": "2020-01-01",
        "j": 15,
    }


def test_a_merge_key_gives_way_to_what_stands_beside_it(path: Path) -> None:
    root = reading(path, "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert plain(root) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_a_duplicate_key_is_refused_with_both_lines(path: Path) -> None:
    assert refusal(path, b"a: 1\nb: 2\na: 3\n") == (
        "f.yaml:3:1: the key 'a' stands here twice\n    3 | a: 3\n      | ^ the first is in line 1; remove one"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"a: [1\n", "f.yaml:2:1: not YAML"),
        (b"a: \xff\n", "f.yaml:1:1: this is not UTF-8 text"),
        (b"a: \x01\n", "f.yaml:1:4: unprintable character #x0001"),
        (b"--- 1\n--- 2\n", "expected a single document"),
        (
            b"a: !!python/object/apply:os.system [ls]\n",
            "the tag '!!python/object/apply:os.system' is not supported",
        ),
        (b"a: !!int x\n", "the tag '!!int' is not supported"),
        (b"? [a]\n: b\n", "a key must be text"),
        (b"<<: 1\n", "<< needs a mapping"),
        (b"a: *b\n", "undefined alias"),
        (b"a: &a [*a]\n", "an alias contains itself"),
        (b"[" * 300, "nested deeper than"),
        (b'a: "\\uD800"', "half a surrogate pair"),
        (b'a: "\\UFFFFFFFF"', "not YAML"),
        (b"a: 1e999\n", "a number out of range"),
        (b"a: x" + b"x" * source.SIZE_BYTES_MAX, "larger than 256 KiB"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(path: Path, content: bytes, message: str) -> None:
    assert message in refusal(path, content)


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory(path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "more than 20000 values" in refusal(path, "\n".join(lines).encode())


def test_a_missing_file_names_the_one_that_may_have_been_meant(path: Path) -> None:
    path.write_text("a: 1")
    with pytest.raises(SourceError, match=r"no such file\n      did you mean .*f.yaml"):
        read(path.with_name("f.yml"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        read(tmp_path)


PIECES = st.sampled_from(
    [
        "a",
        ": ",
        "- ",
        "\n",
        "  ",
        "{",
        "}",
        "[",
        "]",
        "&x ",
        "*x",
        "<<",
        "!!str ",
        "!x ",
        '"',
        "'",
        "\\",
        "|",
        ">",
        "%",
        "@",
        "#",
        "? ",
        "---",
        "...",
        "1",
        "true",
        "~",
        "\t",
        "\r",
        "\u2028",
        "\x85",
        "é",
        "\U0001f600",
        ",",
    ]
)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=40).map("".join).map(str.encode)))
def test_whatever_the_bytes_reading_ends_in_a_document_or_in_a_source_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with suppress(SourceError):
        plain(read(path).root)

"""Records as values of bytes: what goes in comes out, and what was damaged is a record all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.workload.records import digest, make, observe
from chaos.workload.values import beginning, packed, unpacked


@pytest.mark.parametrize("kind", ["contact", "calendar", "todo", "photo", "invoice"])
def test_a_record_comes_back_whole(kind: str) -> None:
    for number in range(20):
        record = make("u-00", f"ada-{number}", f"w-{number}", kind, size_bytes=5000)
        found = unpacked("u-00", record.name.encode(), packed(record))
        assert digest(found) == digest(record)
        assert found.row == record.name


def test_an_empty_blob_is_a_blob_and_none_is_none() -> None:
    record = make("u-00", "ada-1", "w-1", "photo", size_bytes=0)
    assert unpacked("u-00", b"ada-1", packed(record)).blob == b""
    assert unpacked("u-00", b"ada-1", packed(replace(record, blob=None))).blob is None


def test_a_blob_may_have_line_feeds() -> None:
    record = replace(make("u-00", "ada-1", "w-1", "photo"), blob=b"\n\na\nb\n")
    assert unpacked("u-00", b"ada-1", packed(record)).blob == record.blob


def test_a_value_begins_as_its_write_does_and_as_no_other() -> None:
    value = packed(make("u-00", "ada-1", "w-12", "todo"))
    assert value.startswith(beginning("w-12"))
    assert not value.startswith(beginning("w-1"))


@pytest.mark.parametrize(
    "damage", [b"", b"w-1", b"w-1\n", b"w-1\n{", b"w-1\n7", b"w-1\n{}", b"\xff\n\xff\n\xff", b"w-1\n[]\n"]
)
def test_a_damaged_value_is_a_record_of_its_key_for_the_check_to_judge(damage: bytes) -> None:
    record = make("u-00", "ada-1", "w-1", "todo")
    found = unpacked("u-00", b"ada-1", damage)
    seen = observe(found, "u-00")
    assert (seen.record, seen.row) == ("ada-1", "ada-1")
    assert digest(found) != digest(record)


def test_a_value_under_another_key_is_told_by_its_row() -> None:
    found = unpacked("u-00", b"ben-2", packed(make("u-00", "ada-1", "w-1", "todo")))
    assert (found.name, found.row) == ("ada-1", "ben-2")

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.workload.records import SECTOR_BYTES, TYPES, digest, make, observe, size_of

WORDS = st.text(st.characters(min_codepoint=48, max_codepoint=122, exclude_characters="[]|"), min_size=1, max_size=9)


@given(owner=WORDS, name=WORDS, write=WORDS, kind=st.sampled_from(TYPES), size=st.integers(1, 3000))
def test_a_whole_record_says_whose_and_which_it_is_and_nothing_else(
    owner: str, name: str, write: str, kind: str, size: int
) -> None:
    row = observe(make(owner, name, write, kind, size_bytes=size))
    assert (row.owner, row.record, row.write) == (owner, name, write)
    assert row.stamps == ()
    assert row.blob == ("ok" if kind == "photo" else "")


@given(size=st.integers(200, 20_000))
def test_a_record_of_a_type_of_the_users_own_has_the_size_that_is_asked_for(size: int) -> None:
    record = make("u-499", "ada-99999", "w-99999", "invoice", size_bytes=size)
    assert size_of(record) == size
    assert observe(record).stamps == ()
    body = record.fields["body"]
    for place in range(0, len(body) - SECTOR_BYTES, SECTOR_BYTES):
        assert "[u-499|ada-99999|w-99999]" in body[place : place + SECTOR_BYTES]


def test_a_page_of_another_version_in_a_large_field_is_torn() -> None:
    old, new = (make("u-1", "ada-1", write, "invoice", size_bytes=9_000) for write in ("w-1", "w-2"))
    mixed = old.fields["body"][:4096] + new.fields["body"][4096:]
    row = observe(replace(old, fields={**old.fields, "body": mixed}))
    assert ("u-1", "ada-1", "w-2") in row.stamps


def test_two_parts_of_a_large_field_that_changed_places_change_the_hash() -> None:
    record = make("u-1", "ada-1", "w-1", "invoice", size_bytes=9_000)
    body = record.fields["body"]
    swapped = body[SECTOR_BYTES : 2 * SECTOR_BYTES] + body[:SECTOR_BYTES] + body[2 * SECTOR_BYTES :]
    assert digest(replace(record, fields={**record.fields, "body": swapped})) != digest(record)


def test_the_same_write_makes_the_same_payload_and_hash() -> None:
    one, other = (make("u-1", "ada-1", "w-1", "photo", size_bytes=70_000) for _ in range(2))
    assert one == other
    assert digest(one) == digest(other)
    assert size_of(one) > 70_000


@pytest.mark.parametrize("kind", TYPES)
def test_every_field_and_every_sector_of_the_blob_carries_the_stamp(kind: str) -> None:
    record = make("u-1", "ada-1", "w-1", kind, size_bytes=5 * SECTOR_BYTES)
    assert all("[u-1|ada-1|w-1]" in value for value in record.fields.values())
    assert (record.blob or b"").count(b"[u-1|ada-1|w-1]") == (5 if kind == "photo" else 0)


def test_a_field_of_another_write_is_torn() -> None:
    new, old = make("u-1", "ada-1", "w-2", "contact"), make("u-1", "ada-1", "w-1", "contact")
    row = observe(replace(new, fields={**new.fields, "phone": old.fields["phone"]}))
    assert (row.write, row.stamps) == ("w-2", (("u-1", "ada-1", "w-1"),))
    assert row.hash != digest(new)


def test_one_sector_of_another_write_in_a_blob_is_torn() -> None:
    new, old = (make("u-1", "ada-1", write, "photo", size_bytes=60_000) for write in ("w-2", "w-1"))
    assert new.blob
    assert old.blob
    torn = new.blob[: 7 * SECTOR_BYTES] + old.blob[7 * SECTOR_BYTES : 8 * SECTOR_BYTES] + new.blob[8 * SECTOR_BYTES :]
    assert observe(replace(new, blob=torn)).stamps == (("u-1", "ada-1", "w-1"),)


def test_two_sectors_that_changed_places_change_the_hash() -> None:
    record = make("u-1", "ada-1", "w-1", "photo", size_bytes=4 * SECTOR_BYTES)
    assert record.blob
    a, b, rest = (
        record.blob[:SECTOR_BYTES],
        record.blob[SECTOR_BYTES : 2 * SECTOR_BYTES],
        record.blob[2 * SECTOR_BYTES :],
    )
    assert observe(replace(record, blob=b + a + rest)).hash != digest(record)


def test_a_record_of_another_user_under_this_users_name_is_misattributed() -> None:
    row = observe(replace(make("u-2", "bob-9", "w-9", "todo"), owner="u-1"))
    assert row.owner == "u-2"
    assert ("u-1", "bob-9", "w-9") in row.stamps


def test_an_envelope_that_names_another_write_does_not_go_unnoticed() -> None:
    row = observe(replace(make("u-1", "ada-1", "w-1", "todo"), write="w-2"))
    assert (row.write, row.stamps) == ("w-1", (("u-1", "ada-1", "w-2"),))


def test_a_photo_without_its_blob_is_a_row_with_the_blob_missing() -> None:
    photo = make("u-1", "ada-1", "w-1", "photo", size_bytes=50_000)
    row = observe(replace(photo, blob=None))
    assert row.blob == "missing"
    assert row.hash != digest(photo)


def test_an_empty_or_zeroed_payload_is_told_by_its_envelope_and_its_hash() -> None:
    record = make("u-1", "ada-1", "w-1", "contact")
    row = observe(replace(record, fields=dict.fromkeys(record.fields, "\0\0\0")))
    assert (row.record, row.write) == ("ada-1", "w-1")
    assert row.hash != digest(record)


def test_moving_text_from_one_field_to_its_neighbour_changes_the_hash() -> None:
    record = make("u-1", "ada-1", "w-1", "contact")
    assert digest(replace(record, fields={"a": "xy", "b": "z"})) != digest(
        replace(record, fields={"a": "x", "b": "yz"})
    )

"""Where the copies of a record were."""

from __future__ import annotations

from chaos.history.events import FaultEvent, Note
from chaos.reporting.page.copies import Copy, stores_of


def older(*texts: str) -> list[Note]:
    """Notes as histories had them that told their facts in prose alone."""
    return [Note("copies", 0, text) for text in texts]


NOTES = [
    Note(
        "copies",
        0,
        "in words",
        store="records",
        copies=(("pgdata-a", "left", "array left"), ("pgdata-b", "right", "array right")),
    ),
    Note("copies", 0, "", store="blobs", copies=(("photos", "left", "array left"), ("cache", "", "no LUN"))),
]


def test_a_contact_has_no_copies_in_the_blob_store() -> None:
    assert [store.name for store in stores_of(NOTES, "contact")] == ["records"]
    assert [store.name for store in stores_of(NOTES, "photo")] == ["records", "blobs"]


def test_each_copy_is_known_with_its_array() -> None:
    records, blobs = stores_of(NOTES, "photo")
    assert records.copies == (Copy("pgdata-a", "left", "array left"), Copy("pgdata-b", "right", "array right"))
    assert blobs.copies == (Copy("photos", "left", "array left"), Copy("cache", "", "no LUN"))
    assert (records.one_array, blobs.one_array) == ("", "")


def test_older_notes_that_say_it_in_words_come_to_the_same() -> None:
    told = older(
        "records: pgdata-a on array left, pgdata-b on array right", "blobs: photos on array left, cache on no LUN"
    )
    assert [store.copies for store in stores_of(told, "photo")] == [store.copies for store in stores_of(NOTES, "photo")]


def test_all_copies_on_one_array_are_called_that() -> None:
    (store,) = stores_of(older("records: pgdata-a on array core, pgdata-b on array core"), "todo")
    assert store.one_array == "core"


def test_copies_on_local_disks_are_each_in_their_own_machine() -> None:
    (store,) = stores_of(older("records: a on the local disks of db, b on the local disks of x and y"), "todo")
    assert [copy.place for copy in store.copies] == ["the local disks of db", "the local disks of x and y"]
    assert store.one_array == ""


def test_the_last_word_on_a_store_counts() -> None:
    (store,) = stores_of(older("records: a on array x", "records: b on array y"), "todo")
    assert store.copies == (Copy("b", "y", "array y"),)


def test_a_note_that_is_not_understood_is_kept_as_it_is() -> None:
    (store,) = stores_of(older("records: somewhere safe"), "todo")
    assert (store.copies, store.text) == ((), "somewhere safe")


def test_a_copy_is_struck_by_faults_of_its_volume_and_of_its_array() -> None:
    faults = [
        FaultEvent(0, 1, "san.lose", "left", "injected"),
        FaultEvent(0, 2, "san.lose", "left", "lasting", bit=True),
        FaultEvent(1, 3, "disk.lose", "pgdata-b", "injected"),
    ]
    assert Copy("pgdata-a", "left", "array left").struck(faults) == faults[:1]
    assert Copy("pgdata-b", "right", "array right").struck(faults) == faults[2:]
    assert Copy("cache", "", "no LUN").struck(faults) == []


def test_a_copy_is_struck_by_a_fault_of_the_role_that_its_service_had_then() -> None:
    fault = FaultEvent(0, 1, "disk.lose", "primary (primary is pg1)", "injected")

    assert Copy("pg1", "left", "array left").struck([fault]) == [fault]
    assert Copy("pg2", "right", "array right").struck([fault]) == []


def test_a_fault_that_says_what_it_struck_is_taken_at_its_word() -> None:
    fault = FaultEvent(0, 1, "disk.lose", "left (in words that mean nothing)", "injected", struck=("pg1",))

    assert Copy("pg1", "left", "array left").struck([fault]) == [fault]
    assert Copy("pg2", "left", "array left").struck([fault]) == []

"""Texts as 64-bit hashes, and places of values: what columns compare and look up by.

A hash stands for equality only; what is told of a record is read from its lines again. 0 stands for no text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np

from chaos.checks.bulk.columns.compiled import compiled, inlined

U = np.uint64

SEED: Final = U(0x27D4EB2F165667C5)
_PRIME: Final = U(0x9E3779B97F4A7C15)
_OTHER_PRIME: Final = U(0xC2B2AE3D27D4EB4F)
_SHIFT: Final = U(29)
_NEAR: Final = 32


@inlined
def mixed(found: Any, word: Any) -> Any:
    """A hash so far, and eight more bytes."""
    found = (found ^ word) * _PRIME
    found ^= found >> _SHIFT
    found *= _OTHER_PRIME
    return found ^ (found >> _SHIFT)


@compiled
def _hash_of(words: Any, length: int) -> Any:
    found = SEED
    for word in words:
        found = mixed(found, word)
    return mixed(found, U(length))


@lru_cache(maxsize=1 << 16)
def hash_of(text: str) -> int:
    """The hash that stands for a text in the columns."""
    content = text.encode()
    words = np.frombuffer(content + bytes(8 - len(content) % 8), np.uint64)
    return int(_hash_of(words, len(content)))


@compiled
def paired(one: Any, other: Any) -> Any:
    """Hashes of two hashes each, in this order."""
    found = np.empty(len(one), np.uint64)
    for i in range(len(one)):
        found[i] = mixed(one[i] * _OTHER_PRIME, other[i])
    return found


@compiled
def indexed(names: Any) -> Any:
    """Slots in which `place_of` finds each of these values, or the first of several alike."""
    size = 16
    while size < 2 * len(names):
        size *= 2
    slots = np.full(size, -1, np.int32)
    for i in range(len(names)):
        slot = slot_of(names, slots, names[i])
        if slots[slot] < 0:
            slots[slot] = i
    return slots


@inlined
def slot_of(names: Any, slots: Any, wanted: Any) -> Any:
    """The slot that has the place of a value, or may have it."""
    mix = U(wanted) * _PRIME
    slot = np.int64((mix ^ (mix >> U(32))) & U(len(slots) - 1))
    while slots[slot] >= 0 and names[slots[slot]] != wanted:
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@inlined
def place_of(names: Any, slots: Any, wanted: Any) -> Any:
    """The place of a value, -1 if it is not there."""
    return np.int64(slots[slot_of(names, slots, wanted)])


@compiled
def places_of(names: Any, slots: Any, wanted: Any) -> Any:
    """`place_of` each of many."""
    found = np.empty(len(wanted), np.int64)
    for i in range(len(wanted)):
        found[i] = place_of(names, slots, wanted[i])
    return found


@inlined
def place_near(ordered: Any, wanted: int, near: int) -> Any:
    """The place of a number among ordered ones, -1 if it is not there; quickly found if it is near a place."""
    place: Any = near
    begin, end = max(near - _NEAR, 0), min(near + _NEAR, len(ordered))
    if begin == end or ordered[begin] > wanted or ordered[end - 1] < wanted:
        place = np.searchsorted(ordered, wanted)
    else:
        while ordered[place] > wanted and place > begin:
            place -= 1
        while ordered[place] < wanted and place + 1 < end:
            place += 1
    return place if place < len(ordered) and ordered[place] == wanted else -1


@compiled
def places_near(ordered: Any, wanted: Any) -> Any:
    """`place_near` each of many, that are nearly in order themselves."""
    found = np.empty(len(wanted), np.int64)
    near = 0
    for i in range(len(wanted)):
        found[i] = place_near(ordered, wanted[i], near)
        near = max(found[i], 0)
    return found


@compiled
def numbered(names: Any) -> tuple[Any, Any]:
    """A number from 0 for each different value, in the order in which they first stand; and these places."""
    slots = indexed(names)
    number = np.empty(len(names), np.int64)
    first = np.empty(len(names), np.int64)
    count = 0
    for i in range(len(names)):
        place = place_of(names, slots, names[i])
        if place == i:
            number[i] = count
            first[count] = i
            count += 1
        else:
            number[i] = number[place]
    return number, first[:count].copy()

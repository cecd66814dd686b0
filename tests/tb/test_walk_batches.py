"""Batches of vectors: everything once, and nothing in a batch that could influence anything else of it."""

from collections import Counter
from typing import NamedTuple

import pytest

from seqfault.vectors import load_vectors
from seqfault_golden import PagingMode
from seqfault_tb.walk_batches import WORD, batches

G = 1 << 5
SIZE = 64


class Walk(NamedTuple):
    number: int
    image: int
    va: int
    reads: tuple[int, ...]


def together(first: Walk, second: Walk, *images: dict[int, int], mode: PagingMode = PagingMode.SV39) -> bool:
    return len(list(batches([first, second], images, mode, SIZE))) == 1


@pytest.mark.parametrize("name", ["sv32", "sv39", "sv48", "sv57"])
def test_every_vector_is_in_one_batch_and_owns_what_it_reads(name: str) -> None:
    vectors = load_vectors(name)
    seen: Counter[int] = Counter()
    for batch in batches(vectors.vectors, vectors.images, vectors.mode, SIZE):
        assert 0 < len(batch) <= SIZE
        seen.update(vector.number for vector in batch)
        words: Counter[int] = Counter()
        for vector in batch:
            words.update({address // WORD for address in vector.reads})
        assert all(count == 1 for count in words.values())
    assert seen == Counter(range(len(vectors.vectors)))


def test_entries_of_sv32_in_one_word_do_not_go_together() -> None:
    first, second = Walk(0, 0, 0x1000, (0x8000,)), Walk(1, 1, 0x1000, (0x8004,))
    assert not together(first, second, {}, {}, mode=PagingMode.SV32)
    assert together(first, second._replace(reads=(0x8008,)), {}, {}, mode=PagingMode.SV32)


@pytest.mark.parametrize(
    ("va", "entries", "fits"),
    [
        (0x1000, {}, True),  # nothing is global
        (0x1000, {0x8010: 1 | G}, False),  # a global leaf for this page
        (0x1F_F000, {0x8010: 1 | G}, False),  # or near by: it might have 64 KiB
        (0x20_0000, {0x8010: 1 | G}, True),
        (0x20_0000, {0x8008: 1 | G}, True),  # a global pointer to the last table
        (0x20_0000, {0x8000: 1 | G}, False),  # and to the table above that
        (0x4000_0000, {0x8000: 1 | G}, True),
        (0x1000, {0x8010: G}, True),  # not valid
    ],
)
def test_what_is_global_goes_alone(va: int, entries: dict[int, int], fits: bool) -> None:
    one, other = Walk(0, 0, 0x1000, (0x8000, 0x8008, 0x8010)), Walk(1, 1, va, (0x9000, 0x9008, 0x9010))
    assert together(one, other, entries, {}) == fits
    assert together(other._replace(number=0, image=0), one._replace(number=1, image=1), {}, entries) == fits

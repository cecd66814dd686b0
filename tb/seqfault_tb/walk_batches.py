"""Translation vectors in batches that share one memory, one space number each, and cannot influence one another.

In a batch no two vectors read the same 8-byte word: so a memory access says whose it is, and an A/D update is seen by its own vector alone.
And where an entry on a vector's way is global, no other vector of the batch goes: a TLB may give it that translation in any space.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from seqfault_golden import PagingMode

__all__ = ["WORD", "batches"]

WORD = 8
"""Bytes of one read of memory."""
PTE_V, PTE_G = 1 << 0, 1 << 5
PAGE_BITS = 12


def batches(vectors: Sequence[Any], images: Sequence[dict[int, int]], mode: PagingMode, size: int) -> Iterator[list[Any]]:
    """All vectors (`number`, `image`, `va`, `reads`) in batches of at most `size`: each is filled with what fits, image after image."""
    ranks: Counter[int] = Counter()
    order = []
    for vector in vectors:
        order.append((ranks[vector.image], vector.image, vector.number, vector))
        ranks[vector.image] += 1
    waiting = [item[3] for item in sorted(order, key=lambda item: item[:3])]
    while waiting:
        batch = _Batch(mode)
        left, position = [], 0
        while position < len(waiting) and len(batch.vectors) < size:
            vector = waiting[position]
            position += 1
            if not batch.take(vector, images[vector.image]):
                left.append(vector)
        waiting = left + waiting[position:]
        yield batch.vectors


class _Batch:
    def __init__(self, mode: PagingMode) -> None:
        self._mode = mode
        self.vectors: list[Any] = []
        self._words: set[int] = set()
        self._regions: set[tuple[int, int]] = set()
        self._globals: set[tuple[int, int]] = set()

    def take(self, vector: Any, image: dict[int, int]) -> bool:
        """Add the vector if it fits."""
        words = {address // WORD for address in vector.reads}
        if words & self._words:
            return False
        if vector.reads:
            regions = {(level, self._region(vector.va, level)) for level in range(self._mode.levels)}
            level = self._global_level(vector, image)
            own = set() if level is None else {(level, self._region(vector.va, level))}
            if regions & self._globals or own & self._regions:
                return False
            self._regions |= regions
            self._globals |= own
        self._words |= words
        self.vectors.append(vector)
        return True

    def _region(self, va: int, level: int) -> int:
        """What one entry of this level is about."""
        return (va & (1 << self._mode.va_bits) - 1) >> PAGE_BITS + self._mode.index_bits * level

    def _global_level(self, vector: Any, image: dict[int, int]) -> int | None:
        """The highest level with a global entry on the way; of level 0 the whole table counts, as pages of 64 KiB are larger than an entry's."""
        for index, address in enumerate(vector.reads):
            if image.get(address, 0) & (PTE_V | PTE_G) == PTE_V | PTE_G:
                return max(self._mode.levels - 1 - index, 1)
        return None

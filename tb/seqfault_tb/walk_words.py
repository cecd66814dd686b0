"""The memory that a batch of vectors walks in: words by address, whose they are, and what was read and written for whom."""

from collections.abc import Callable
from typing import Any

from seqfault_golden import BusError, PagingMode

from .walk_batches import WORD

__all__ = ["WalkWords"]

NARROW = 0xFFFF_FFFF


class WalkWords:
    """Words of 8 bytes; what nobody put there reads 0.

    Parameters
    ----------
    mode, limit : of the vectors. on_stray : called with what belongs to no vector, or is no access that a walk makes.
    """

    def __init__(self, mode: PagingMode, limit: int, on_stray: Callable[[str], None]) -> None:
        self._mode, self._limit, self._on_stray = mode, limit, on_stray
        self._words: dict[int, int] = {}
        self._owners: dict[int, Any] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._words.clear()
        self._owners.clear()

    def put(self, address: int, entry: int, owner: Any = None) -> None:
        """Write an entry at a byte address; the word becomes `owner`'s, if given: its `reads` and `updates` are appended to."""
        if owner is not None:
            self._owners[address // WORD] = owner
        if self._mode.ptesize != WORD:
            shift = address % WORD * 8
            entry = self._words.get(address // WORD, 0) & ~(NARROW << shift) | entry << shift
        self._words[address // WORD] = entry

    def entry(self, address: int) -> int:
        """The entry at a byte address; raises `BusError`."""
        if address >= self._limit:
            raise BusError
        word = self._words.get(address // WORD, 0)
        return word if self._mode.ptesize == WORD else word >> address % WORD * 8 & NARROW

    def read(self, address: int, *, plain: bool) -> tuple[int, bool]:
        """A read by the RTL, `plain` if it is of one word: the word, and whether it is an error."""
        if address % WORD or not plain:
            self._on_stray(f"a read of {address:#x} that is not one plain word")
        owner = self._owners.get(address // WORD)
        if owner is None:
            self._on_stray(f"read of {address:#x}")
        else:
            owner.reads.append(address)
        return self._words.get(address // WORD, 0), address >= self._limit

    def swap(self, address: int, old: int, new: int, *, narrow: bool) -> tuple[bool, bool]:
        """An update by the RTL: whether it was made, and whether it is an error."""
        if narrow != (self._mode.ptesize != WORD) or address % self._mode.ptesize:
            self._on_stray(f"an update of {address:#x} that is not one entry")
        if address >= self._limit:
            return False, True
        mask = NARROW if narrow else (1 << 64) - 1
        if self.entry(address) != old & mask:
            return False, False
        self.put(address, new & mask)
        owner = self._owners.get(address // WORD)
        if owner is None:
            self._on_stray(f"update of {address:#x}")
        else:
            owner.updates.append((address, new & mask))
        return True, False

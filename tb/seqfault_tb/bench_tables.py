"""Page tables for measurements: made page by page in a dictionary of 64-bit words, with what each page translates to.

The encodings are written here once more, as the specification has them, and not taken from the RTL.
"""

from dataclasses import dataclass
from random import Random

from seqfault_rtl.config import EngineConfig

__all__ = ["MODES", "PAGE_BITS", "PAGE_SHIFT", "AddressSpace", "Memory", "Mode", "Target", "level_two_pages", "pages_of"]

V, R, W, X, U, A, D = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 6, 1 << 7
NAPOT = 1 << 63
NAPOT_64K = 0b1000
"""PPN[3:0] of a Svnapot leaf of 64 KiB. [Svnapot]"""
LEAF = V | R | W | X | U | A | D
PPN_SHIFT, PAGE_SHIFT = 10, 12
PAGE_BITS = {"4K": 12, "64K": 16, "2M": 21, "4M": 22, "1G": 30, "512G": 39, "256T": 48}
"""Sizes of pages by name: log2 of bytes."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A paging mode: MODE field of satp, levels, bits of an index, bytes of an entry, bits of a PPN. [Priv 12.3, 12.4]"""

    name: str
    satp: int
    levels: int
    index_bits: int = 9
    entry_bytes: int = 8
    ppn_bits: int = 44


MODES = {
    mode.name: mode
    for mode in (
        Mode(name="Sv32", satp=1, levels=2, index_bits=10, entry_bytes=4, ppn_bits=22),
        Mode(name="Sv39", satp=8, levels=3),
        Mode(name="Sv48", satp=9, levels=4),
        Mode(name="Sv57", satp=10, levels=5),
    )
}


def pages_of(mode: Mode) -> dict[str, int]:
    """The leaf sizes of a mode, each with the level of its leaf."""
    sizes = {PAGE_SHIFT + mode.index_bits * level: level for level in range(mode.levels)}
    found = {name: sizes[bits] for name, bits in PAGE_BITS.items() if bits in sizes}
    return found if mode.entry_bytes == 4 else {"4K": 0, "64K": 0, **found}


def level_two_pages(config: EngineConfig) -> int:
    """Pages for each port that stay in the L2 TLB but, asked for in turn, not in the port's L1: 0 if there is no room for so many."""
    pages = 4 * config.tlb_entries
    return pages if 2 * pages * config.ports <= config.l2_sets * config.l2_ways else 0


@dataclass(frozen=True, kw_only=True)
class Target:
    """A mapped address: `va` in `space` translates to `pa`."""

    space: int
    va: int
    pa: int


class Memory:
    """Physical memory with tables in it: `words` by 8-byte aligned address. A word that nobody wrote is an error to read."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.words: dict[int, int] = {}
        self._used: set[int] = set()

    def new_table(self, ppn_bits: int) -> int:
        """Page number of an empty table."""
        ppn = self.rng.getrandbits(ppn_bits)
        while ppn in self._used:
            ppn = self.rng.getrandbits(ppn_bits)
        self._used.add(ppn)
        return ppn

    def write_entry(self, address: int, size: int, value: int) -> None:
        """Write an entry of `size` bytes (4 or 8); the other half of its word keeps its value (at first 0)."""
        if size == 8:
            self.words[address] = value
            return
        shift = 8 * (address & 4)
        word = self.words.get(address & ~7, 0)
        self.words[address & ~7] = word & ~(0xFFFFFFFF << shift) | value << shift


class AddressSpace:
    """The tables of one space.

    Parameters
    ----------
    number : of the space. mode : its paging mode. memory : where its tables are.
    """

    def __init__(self, number: int, mode: Mode, memory: Memory) -> None:
        self.number, self.mode, self._memory = number, mode, memory
        self.root = memory.new_table(mode.ppn_bits)
        self._tables: dict[tuple[int, int], int] = {}

    @property
    def satp(self) -> int:
        """MODE and PPN in the layout of RV64. [Priv 12.1.11]"""
        return self.mode.satp << 60 | self.root

    @property
    def vpn_bits(self) -> int:
        """Width of the page numbers of the mode's lower half (Sv32 too, where it makes no difference), in bits."""
        return self.mode.index_bits * self.mode.levels - 1

    def map_page(self, vpn: int, page: str = "4K") -> Target:
        """Map the page of this size around `vpn` (of the lower or the upper half) to a random frame; returns an address in it."""
        mode, rng, bits = self.mode, self._memory.rng, PAGE_BITS[page]
        level = pages_of(mode)[page]
        within = bits - PAGE_SHIFT
        ppn = rng.getrandbits(mode.ppn_bits) >> within << within
        table = self._table(vpn, level)
        if page == "64K":
            base = vpn & ~0xF
            for index in range(16):
                self._write(table, base + index, 0, NAPOT | (ppn | NAPOT_64K) << PPN_SHIFT | LEAF)
        else:
            self._write(table, vpn, level, ppn << PPN_SHIFT | LEAF)
        va = self._extend(vpn) << PAGE_SHIFT | rng.getrandbits(PAGE_SHIFT)
        return Target(space=self.number, va=va, pa=ppn << PAGE_SHIFT | va & (1 << bits) - 1)

    def _table(self, vpn: int, level: int) -> int:
        """Page number of the table of `level` for `vpn`; made, with those above it, when it is not there."""
        if level == self.mode.levels - 1:
            return self.root
        key = (level, vpn >> self.mode.index_bits * (level + 1))
        if key not in self._tables:
            self._tables[key] = self._memory.new_table(self.mode.ppn_bits)
            self._write(self._table(vpn, level + 1), vpn, level + 1, self._tables[key] << PPN_SHIFT | V)
        return self._tables[key]

    def _write(self, table: int, vpn: int, level: int, entry: int) -> None:
        size, bits = self.mode.entry_bytes, self.mode.index_bits
        index = vpn >> bits * level & (1 << bits) - 1
        self._memory.write_entry((table << PAGE_SHIFT) + index * size, size, entry)

    def _extend(self, vpn: int) -> int:
        """A page number to 52 bits, by its sign; one of Sv32 by zeros."""
        sign = self.mode.index_bits * self.mode.levels - 1
        return vpn | (-1 << sign & (1 << 52) - 1 if vpn >> sign and self.mode.entry_bytes == 8 else 0)

"""Random page tables of every kind, and their words in memory."""

from random import Random

from .page_walk import LEVELS, NAPOT_BITS, PBMT_SHIFT, PPN_SHIFT, SV32, A, D, G, N, R, U, V, W, X, sign_extended

__all__ = ["Tables"]

WIDE_LEVELS, NARROW_LEVELS = 5, 2
NAPOT_PPN = 0b1000
GROUPS = 1 << 9 - NAPOT_BITS


class Tables:
    """Random page tables: few table pages, few indices, every kind of entry; tables of Sv32 are apart from the others.

    At most one index of 16 neighbours has an entry of its own. Where that is a leaf with N, the others are the same. [Svnapot]

    Parameters
    ----------
    pages : tables per level. indices : indices with entries. defects : share of entries that are malformed or answered by a bus error.
    branches : share of pointers among the entries above the leaf tables.
    """

    def __init__(self, rng: Random, *, pages: int = 8, indices: int = 4, defects: float = 0.1, branches: float = 0.65) -> None:
        self.rng, self._defects, self._branches = rng, defects, branches
        spread = [16 * group + rng.randrange(16) for group in rng.sample(range(1, GROUPS - 1), indices - 2)]
        self.indices = {False: [0, 511, *spread], True: [0, 1023, 1, *rng.sample(range(2, 1023), indices)][:indices]}
        self.entries: dict[int, int | None] = {}
        self.kind_of: dict[int, tuple[bool, int]] = {}
        self.pages: dict[bool, list[list[int]]] = {False: [], True: []}
        for narrow, levels in ((False, WIDE_LEVELS), (True, NARROW_LEVELS)):
            for level in range(levels):
                self.pages[narrow].append([self.new_page(narrow, level) for _ in range(pages)])
                for page in self.pages[narrow][level]:
                    for index in self.indices[narrow]:
                        self.entries[self.entry_address(page, index)] = self.random_entry(narrow, level)

    def new_page(self, narrow: bool, level: int) -> int:
        """The page number of one more table, without entries."""
        page = self.rng.getrandbits(22 if narrow else 44)
        self.kind_of[page] = (narrow, level)
        return page

    def entry_address(self, page: int, index: int) -> int:
        """Where the entry is."""
        return (page << 12) + index * (4 if self.kind_of[page][0] else 8)

    def read(self, address: int) -> int | None:
        """The 8-byte word, 0 where no entry was made; a read outside the tables is an error of the design."""
        assert address >> 12 in self.kind_of, f"read at {address:#x}, where there is no table"
        if not self.kind_of[address >> 12][0]:
            return self.entries.get(self.holder(address), 0)
        low, high = (self.entries.get(address + offset, 0) for offset in (0, 4))
        return None if low is None or high is None else low | high << 32

    def holder(self, address: int) -> int:
        """The address of the entry that stands for the one at `address`: another one if that has N and both are among the same 16."""
        narrow, level = self.kind_of[address >> 12]
        if narrow or level or address in self.entries:
            return address
        first = address & ~((8 << NAPOT_BITS) - 1)
        for other in range(first, first + (8 << NAPOT_BITS), 8):
            if (self.entries.get(other) or 0) & (N | V) == N | V:
                return other
        return address

    def grow(self, narrow: bool, level: int) -> int:
        """A new table with new ones below, and leaves at level 0 only; returns its page number."""
        page = self.new_page(narrow, level)
        for index in self.indices[narrow]:
            entry = V | self.grow(narrow, level - 1) << PPN_SHIFT if level else self.random_leaf(narrow, level) & ~N
            self.entries[self.entry_address(page, index)] = entry
        return page

    def root(self, mode: int) -> int:
        """A table page to start from."""
        return self.rng.choice(self.pages[mode == SV32][LEVELS[mode] - 1])

    def random_vpn(self, mode: int) -> int:
        """A page number of 45 bits, canonical for the mode, whose indices have entries (or one of 16 neighbours has)."""
        vpn, narrow = 0, mode == SV32
        for _ in range(LEVELS.get(mode, WIDE_LEVELS)):
            vpn = vpn << (10 if narrow else 9) | self.rng.choice(self.indices[narrow])
        if not narrow and self.rng.random() < 0.2:
            vpn ^= self.rng.getrandbits(NAPOT_BITS)
        return sign_extended(vpn, mode, 45)

    def random_entry(self, narrow: bool, level: int) -> int | None:
        """An entry for a table of `level`; None: the bus answers an error."""
        rng = self.rng
        kind = rng.random()
        if kind < self._defects:
            return self._defect(narrow, level)
        if kind < self._defects + 0.1:
            return rng.getrandbits(32 if narrow else 64) & ~V
        if level and kind < self._defects + 0.1 + self._branches:
            return V | (rng.random() < 0.2) * G | rng.getrandbits(2) << 8 | rng.choice(self.pages[narrow][level - 1]) << PPN_SHIFT
        return self.random_leaf(narrow, level)

    def random_leaf(self, narrow: bool, level: int) -> int:
        """A leaf that starts where it may; at times with N or a memory type, which not every space has."""
        rng = self.rng
        flags = V | rng.choice((R, R | W, X, R | X, R | W | X, R | W | X)) | (rng.random() < 0.75) * U | (rng.random() < 0.2) * G
        flags |= (rng.random() < 0.85) * A | (rng.random() < 0.7) * D | rng.getrandbits(2) << 8
        low = level * (10 if narrow else 9)
        ppn = rng.getrandbits(22 if narrow else 44) >> low << low
        if narrow:
            return flags | ppn << PPN_SHIFT
        if rng.random() < 0.15:
            flags |= rng.randrange(3) << PBMT_SHIFT
        if level == 0 and rng.random() < 0.2:
            flags, ppn = flags | N, ppn & ~0xF | NAPOT_PPN
        return flags | ppn << PPN_SHIFT

    def _defect(self, narrow: bool, level: int) -> int | None:
        rng, random_ppn = self.rng, self.rng.getrandbits(22 if narrow else 44) << PPN_SHIFT
        below = rng.choice(self.pages[narrow][max(level - 1, 0)]) << PPN_SHIFT
        choices = [None, V | W | random_ppn, V | W | X | random_ppn, V | rng.choice((A, D, U)) | below]
        choices.append(V | R | U | A | random_ppn | 1 << PPN_SHIFT)
        if not narrow:
            reserved = 1 << rng.randrange(54, 64)
            choices += [V | R | U | A | reserved, V | reserved | below, V | R | U | A | 3 << PBMT_SHIFT, V | R | U | A | N | random_ppn]
        return rng.choice(choices)

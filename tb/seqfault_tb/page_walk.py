"""An independent page-table walk, and random tables to walk. Numbers as in the privileged specification, no layout of the RTL."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

__all__ = ["Tables", "WalkEnd", "permits", "physical", "walk"]

BARE, SV39, SV48 = 0, 8, 9
LEVELS = {SV39: 3, SV48: 4}
LEAF, NONE, MALFORMED, BUS_ERROR, NO_SPACE = range(5)
LEVEL_BITS = 9
V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
PPN_SHIFT, PPN_MASK = 10, (1 << 44) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkEnd:
    """Where a walk ended: `outcome` as in WalkOutcome, the entry read last."""

    outcome: int
    level: int = 0
    pte: int = 0
    address: int = 0


def walk(read: Callable[[int], int | None], mode: int, root: int, vpn: int) -> WalkEnd:
    """Walk from the table at PPN `root`; `read` gives None for a bus error. [Priv 12.3.2]"""
    if mode not in LEVELS:
        return WalkEnd(outcome=NO_SPACE)
    level, table = LEVELS[mode] - 1, root
    while True:
        address = table << 12 | (vpn >> LEVEL_BITS * level & 0x1FF) << 3
        pte = read(address)
        at = {"level": level, "address": address, "pte": pte or 0}
        if pte is None:
            return WalkEnd(outcome=BUS_ERROR, **at)
        if not pte & V:
            return WalkEnd(outcome=NONE, **at)
        if pte >> 54 or (pte & W and not pte & R):
            return WalkEnd(outcome=MALFORMED, **at)
        ppn = pte >> PPN_SHIFT & PPN_MASK
        if pte & (R | X):
            misaligned = ppn & (1 << LEVEL_BITS * level) - 1
            return WalkEnd(outcome=MALFORMED if misaligned else LEAF, **at)
        if level == 0 or pte & (A | D | U):
            return WalkEnd(outcome=MALFORMED, **at)
        level, table = level - 1, ppn


def permits(pte: int, access: int) -> bool:
    """A leaf that needs no fault for a user's load (0), store (1) or fetch (2)."""
    needed = V | U | A | {0: R, 1: W | D, 2: X}[access]
    return pte & needed == needed


def physical(pte: int, level: int, va: int) -> int:
    """The byte that `va` means through this leaf."""
    within = (1 << 12 + LEVEL_BITS * level) - 1
    return ((pte >> PPN_SHIFT & PPN_MASK) << 12 & ~within) | (va & within)


class Tables:
    """Random page tables: few table pages, few indices, every kind of entry.

    Parameters
    ----------
    defects : share of entries that are malformed or answered by a bus error.
    """

    def __init__(self, rng: Random, *, pages: int = 8, indices: int = 4, defects: float = 0.1) -> None:
        self.rng, self._defects = rng, defects
        self.indices = [0, 511, *rng.sample(range(1, 511), indices - 2)]
        self.pages = [[rng.getrandbits(44) for _ in range(pages)] for _ in range(4)]
        self.words: dict[int, int | None] = {}
        self.level_of: dict[int, int] = {}
        for level, tables in enumerate(self.pages):
            for table in tables:
                for index in self.indices:
                    address = table << 12 | index << 3
                    self.level_of[address] = level
                    self.words[address] = self.random_entry(level)

    def read(self, address: int) -> int | None:
        """The entry, 0 where none was made; a read outside the tables is an error of the design."""
        if address not in self.words:
            assert any(address >> 12 in tables for tables in self.pages), f"read at {address:#x}, where there is no table"
            return 0
        return self.words[address]

    def root(self, mode: int) -> int:
        """A table page to start from."""
        return self.rng.choice(self.pages[LEVELS[mode] - 1])

    def random_vpn(self, mode: int) -> int:
        """A 36-bit page number, canonical for the mode, whose indices have entries."""
        vpn = 0
        for _ in range(LEVELS.get(mode, 4)):
            vpn = vpn << LEVEL_BITS | self.rng.choice(self.indices)
        if mode == SV39 and vpn >> 26:
            vpn |= 0x1FF << 27
        return vpn

    def random_entry(self, level: int) -> int | None:
        """An entry for a table of `level`; None: the bus answers an error."""
        rng = self.rng
        kind = rng.random()
        if kind < self._defects:
            return self._defect(level)
        if kind < self._defects + 0.1:
            return rng.getrandbits(64) & ~V
        if level and kind < 0.85:
            return V | rng.getrandbits(1) << 5 | rng.getrandbits(2) << 8 | rng.choice(self.pages[level - 1]) << PPN_SHIFT
        rights = rng.choice((R, R | W, X, R | X, R | W | X))
        flags = V | rights | (rng.random() < 0.9) * U | (rng.random() < 0.2) * G | (rng.random() < 0.9) * A | (rng.random() < 0.7) * D
        return flags | rng.getrandbits(2) << 8 | (rng.getrandbits(44) >> LEVEL_BITS * level << LEVEL_BITS * level) << PPN_SHIFT

    def _defect(self, level: int) -> int | None:
        rng, ppn = self.rng, self.rng.getrandbits(44) << PPN_SHIFT
        below = rng.choice(self.pages[max(level - 1, 0)]) << PPN_SHIFT
        return rng.choice(
            (
                None,
                V | W | ppn,
                V | W | X | ppn,
                V | R | U | A | 1 << rng.randrange(54, 64),
                V | rng.choice((A, D, U)) | below,
                V | 1 << rng.randrange(54, 64) | below,
                V | R | U | A | (1 | ppn >> PPN_SHIFT) << PPN_SHIFT,
            )
        )

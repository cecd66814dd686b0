"""An independent page-table walk. Numbers as in the privileged specification, no layout of the RTL."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["PAGE_BITS", "Space", "WalkEnd", "is_canonical", "judge", "physical", "refusal", "sign_extended", "walk"]

BARE, SV32, SV39, SV48, SV57 = 0, 1, 8, 9, 10
LEVELS = {SV32: 2, SV39: 3, SV48: 4, SV57: 5}
LEAF, NONE, MALFORMED, BUS_ERROR, NO_SPACE = range(5)
LOAD, STORE, FETCH = range(3)
V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
N = 1 << 63
PBMT_SHIFT, RESERVED = 61, 0x7F << 54
PPN_SHIFT, PPN_MASK = 10, (1 << 44) - 1
NAPOT_BITS = 4
PAGE_BITS = (0, 4, 9, 10, 18, 27, 36)
"""Page-number bits within a page of each `PageSize`."""
ACCESS, AD_CLEAR = 10, 25
"""Reasons for which a leaf refuses an access."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """The root table of a space, and what else is in use."""

    mode: int = BARE
    root: int = 0
    adue: bool = False
    pbmte: bool = False
    napot: bool = False

    @property
    def levels(self) -> int:
        """Levels of its tables."""
        return LEVELS.get(self.mode, 0)

    @property
    def index_bits(self) -> int:
        """Page-number bits translated by one level."""
        return 10 if self.mode == SV32 else 9

    @property
    def is_narrow(self) -> bool:
        """Its entries have 4 bytes."""
        return self.mode == SV32


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkEnd:
    """Where a walk ended: `outcome` as in WalkOutcome, the entry read last; of a leaf, the page-number bits within its page."""

    outcome: int
    level: int = 0
    pte: int = 0
    address: int = 0
    page_bits: int = 0


def walk(read: Callable[[int], int | None], space: Space, vpn: int) -> WalkEnd:
    """Walk the tables of a space; `read` gives an 8-byte word, None for a bus error. [Priv 12.3.2, Svnapot, Svpbmt]"""
    if space.mode not in LEVELS:
        return WalkEnd(outcome=NO_SPACE)
    bits, level, table = space.index_bits, space.levels - 1, space.root
    while True:
        address = (table << 12) + (vpn >> bits * level & (1 << bits) - 1) * (4 if space.is_narrow else 8)
        word = read(address & ~7)
        if word is None:
            return WalkEnd(outcome=BUS_ERROR, level=level, address=address)
        pte = word >> 8 * (address & 4) & 0xFFFFFFFF if space.is_narrow else word
        outcome = judge(pte, space, level)
        if outcome is not None:
            page_bits = NAPOT_BITS if pte & N else bits * level
            return WalkEnd(outcome=outcome, level=level, pte=pte, address=address, page_bits=page_bits)
        level, table = level - 1, pte >> PPN_SHIFT & PPN_MASK


def judge(pte: int, space: Space, level: int) -> int | None:
    """How the walk ends at this entry; None: it goes on."""
    ppn, pbmt = pte >> PPN_SHIFT & PPN_MASK, pte >> PBMT_SHIFT & 3
    if not pte & V:
        return NONE
    if pte & RESERVED or (pte & W and not pte & R):
        return MALFORMED
    if pte & (R | X):
        bad_type = pbmt == 3 or (pbmt and not space.pbmte)
        bad_napot = pte & N and not (space.napot and level == 0 and ppn & 0xF == 8)
        misaligned = ppn & (1 << space.index_bits * level) - 1
        return MALFORMED if bad_type or bad_napot or misaligned else LEAF
    if level == 0 or pte & (A | D | U | N) or pbmt:
        return MALFORMED
    return None


def refusal(pte: int, access: int, *, supervisor: bool = False, sum_bit: bool = False, mxr: bool = False) -> int:
    """Why this leaf refuses the access (ACCESS, AD_CLEAR), or 0. [Priv 12.3.2, steps 6 to 9]"""
    of_user = bool(pte & U)
    suits = (not of_user or (sum_bit and access != FETCH)) if supervisor else of_user
    rights = {LOAD: R | X if mxr else R, STORE: W, FETCH: X}[access]
    if not suits or not pte & rights:
        return ACCESS
    used = A | D if access == STORE else A
    return 0 if pte & used == used else AD_CLEAR


def physical(pte: int, page_bits: int, va: int) -> int:
    """The byte that `va` means through this leaf."""
    within = (1 << 12 + page_bits) - 1
    return ((pte >> PPN_SHIFT & PPN_MASK) << 12 & ~within) | (va & within)


def sign_extended(vpn: int, mode: int, width: int) -> int:
    """The canonical page number of `width` bits whose translated bits are those of `vpn`."""
    bits = LEVELS.get(mode, 5) * (10 if mode == SV32 else 9)
    vpn &= (1 << bits) - 1
    if mode == SV32 or not vpn >> bits - 1:
        return vpn
    return vpn | (1 << width) - (1 << bits)


def is_canonical(vpn: int, mode: int, width: int = 52) -> bool:
    """A page number of `width` bits that the mode can translate."""
    return sign_extended(vpn, mode, width) == vpn

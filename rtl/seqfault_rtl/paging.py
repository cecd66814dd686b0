"""RISC-V page tables: PTE fields, modes, access types, and the one table that maps a failed access to its exception."""

from itertools import pairwise

from amaranth import Cat, Const, Mux, Value
from amaranth.lib import data, enum

from .config import PADDR_BITS

__all__ = [
    "EXCLUSIVE", "LEVEL_BITS", "MAX_LEVELS", "PPN_BITS", "SV32_LEVEL_BITS", "UFFD_WP", "VPN_BITS", "Access", "Cause", "PageSize", "PagingMode",
    "Pte", "is_canonical", "level_index", "page_mask",
]  # fmt: skip

LEVEL_BITS = 9
"""VPN bits translated by one level of Sv39, Sv48 and Sv57. [Priv 12.4]"""
SV32_LEVEL_BITS = 10
"""VPN bits translated by one level of Sv32. [Priv 12.3]"""
MAX_LEVELS = 5
"""Levels of the deepest mode (Sv57)."""
VPN_BITS = LEVEL_BITS * MAX_LEVELS
PPN_BITS = PADDR_BITS - 12


class PageSize(enum.Enum, shape=3):
    """Sizes of pages: those of every level, 4 MiB of Sv32, 64 KiB of Svnapot."""

    KIB_4 = 0
    KIB_64 = 1
    MIB_2 = 2
    MIB_4 = 3
    GIB_1 = 4
    GIB_512 = 5
    TIB_256 = 6

    @property
    def mask_bits(self) -> int:
        """VPN bits that select a 4 KiB page within such a page."""
        return (0, 4, 9, 10, 18, 27, 36)[self.value]

    @staticmethod
    def of_level(level: Value, *, napot: Value | int = 0, sv32: Value | int = 0) -> Value:
        """The size of a leaf at `level`, with N set or not, of Sv32 or not."""
        large = Mux(sv32, PageSize.MIB_4.value, PageSize.MIB_2.value)
        small = Mux(napot, PageSize.KIB_64.value, PageSize.KIB_4.value)
        return Mux(level == 0, small, Mux(level == 1, large, Value.cast(level) + PageSize.GIB_1.value - 2))[:3]


def page_mask(size: Value) -> Value:
    """The VPN bits that select a 4 KiB page within a page of this `PageSize` (KIB_4: none of them). VPN_BITS wide."""
    size = Value.cast(size)
    steps = sorted((page.mask_bits, page.value) for page in PageSize)
    return Cat((size >= value).replicate(bits - below) for (below, _), (bits, value) in pairwise([*steps, (VPN_BITS, 7)]))


def level_index(vpn: Value, level: Value) -> Value:
    """Index of the entry for `vpn` in a table of `level`. LEVEL_BITS wide. [Priv 12.3.2, va.vpn[i]]"""
    return vpn.word_select(level, LEVEL_BITS)


class Access(enum.Enum, shape=2):
    """What a requester wants to do with the page."""

    LOAD = 0
    STORE = 1
    FETCH = 2


class PagingMode(enum.Enum, shape=4):
    """MODE field of satp on RV64, and 1 (reserved there) for the Sv32 of RV32. [Priv 12.1.11]"""

    BARE = 0
    SV32 = 1
    SV39 = 8
    SV48 = 9
    SV57 = 10

    @property
    def levels(self) -> int:
        """Page-table levels of this mode (0 for BARE)."""
        return {"BARE": 0, "SV32": 2, "SV39": 3, "SV48": 4, "SV57": 5}[self.name]


def is_canonical(page: Value, mode: PagingMode) -> Value:
    """The upper bits of a page number repeat its highest translated bit; those of Sv32 are 0. [Priv 12.4.1]"""
    if mode is PagingMode.SV32:
        return ~page[2 * SV32_LEVEL_BITS :].any()
    sign = page[mode.levels * LEVEL_BITS - 1 :]
    return sign.all() | ~sign.any()


class Cause(enum.Enum, shape=6):
    """Exception codes of a refused access. [Priv 12.1.9, table of scause]"""

    FETCH_ACCESS = 1
    LOAD_ACCESS = 5
    STORE_ACCESS = 7
    FETCH_PAGE = 12
    LOAD_PAGE = 13
    STORE_PAGE = 15


EXCLUSIVE, UFFD_WP = 0, 1
"""Bits of `Pte.rsw`, bits 8 and 9 of the entry: no other entry maps the frame; a store is a userfault. [docs/software-contract.md, Frames]"""


class Pte(data.Struct):
    """A page-table entry of 64 bits; one of Sv32 with zeros above its 32 bits. [Priv 12.3.1, 12.4.1]"""

    v: 1
    r: 1
    w: 1
    x: 1
    u: 1
    g: 1
    a: 1
    d: 1
    rsw: 2
    ppn: PPN_BITS
    reserved: 7
    pbmt: 2
    n: 1

    def is_malformed(self) -> Value:
        """V=0 aside: writable but not readable, or a reserved bit is set. [Priv 12.4.1, step 3]"""
        return (self.w & ~self.r) | self.reserved.any()

    def is_malformed_leaf(self, level: Value, *, napot: Value, pbmte: Value) -> Value:
        """N or PBMT where they are reserved (`napot`, `pbmte`: the extension is in use), or an encoding of theirs that is. [Svnapot, Svpbmt]"""
        bad_napot = self.n & (~napot | (level != 0) | (self.ppn[:4] != 0b1000))
        return bad_napot | (self.pbmt.any() & ~pbmte) | self.pbmt.all()

    def is_leaf(self) -> Value:
        """R or X is set. [Priv 12.3.2, step 4]"""
        return self.r | self.x

    def is_malformed_branch(self) -> Value:
        """A pointer to the next level must have D, A, U, PBMT and N clear. [Priv 12.4.1]"""
        return self.d | self.a | self.u | self.pbmt.any() | self.n

    def suits_privilege(self, access: Value, *, supervisor: Value, sum: Value) -> Value:
        """U suits the privilege mode: user pages for users; for the supervisor others, and with SUM user pages too but not to fetch from.

        [Priv 12.3.2, step 6]
        """
        fetch = Value.cast(access) == Access.FETCH.value
        return Mux(supervisor, ~self.u | (sum & ~fetch), self.u)

    def has_right(self, access: Value, *, mxr: Value) -> Value:
        """R, W or X allows it; with MXR one may load from what is executable. [Priv 12.3.2, step 8]"""
        kind = Value.cast(access)
        load, store, fetch = (kind == member.value for member in (Access.LOAD, Access.STORE, Access.FETCH))
        return (load & (self.r | (self.x & mxr))) | (fetch & self.x) | (store & self.w)

    def is_used(self, access: Value) -> Value:
        """A is set, and D for a store. [Priv 12.3.2, step 9]"""
        return self.a & (self.d | (Value.cast(access) != Access.STORE.value))

    def permits(self, access: Value) -> Value:
        """A user-mode access of this kind needs no fault. [Priv 12.3.2, steps 5 to 9]"""
        return self.v & self.u & self.has_right(access, mxr=Const(0)) & self.is_used(access)

    def is_misaligned(self, size: Value) -> Value:
        """A leaf for a page of this size (without Svnapot) that does not start at a multiple of it. [Priv 12.3.2, step 5]"""
        return (self.ppn & page_mask(size)).any()

    def translate(self, va: Value, size: Value) -> Value:
        """Physical address in bytes of `va` through this leaf for a page of `size`. PADDR_BITS wide. [Priv 12.3.2, step 10]"""
        within = page_mask(size)[:PPN_BITS]
        return Cat(va[:12], (self.ppn & ~within) | (va[12 : 12 + PPN_BITS] & within))

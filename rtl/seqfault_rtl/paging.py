"""RISC-V page tables: PTE fields, modes, access types, and the one table that maps a failed access to its exception."""

from amaranth import Cat, Signal, Value
from amaranth.lib import data, enum

from .config import PADDR_BITS

__all__ = ["LEVEL_BITS", "MAX_LEVELS", "PPN_BITS", "VPN_BITS", "Access", "Cause", "PagingMode", "Pte", "level_index", "page_mask"]

LEVEL_BITS = 9
"""VPN bits translated by one level. [Priv 12.4]"""
MAX_LEVELS = 4
"""Levels of the deepest mode built (Sv48)."""
VPN_BITS = LEVEL_BITS * MAX_LEVELS
PPN_BITS = PADDR_BITS - 12


def page_mask(level: Value) -> Value:
    """The VPN bits that select a 4 KiB page within a page of `level` (0: none of them). VPN_BITS wide."""
    return Cat((level > lower).replicate(LEVEL_BITS) for lower in range(MAX_LEVELS))


def level_index(vpn: Value, level: Value) -> Value:
    """Index of the entry for `vpn` in a table of `level`. LEVEL_BITS wide. [Priv 12.3.2, va.vpn[i]]"""
    return vpn.word_select(level, LEVEL_BITS)


class Access(enum.Enum, shape=2):
    """What a requester wants to do with the page."""

    LOAD = 0
    STORE = 1
    FETCH = 2


class PagingMode(enum.Enum, shape=4):
    """MODE field of satp. [Priv 12.1.11]"""

    BARE = 0
    SV39 = 8
    SV48 = 9

    @property
    def levels(self) -> int:
        """Page-table levels of this mode (0 for BARE)."""
        return {"BARE": 0, "SV39": 3, "SV48": 4}[self.name]


class Cause(enum.Enum, shape=6):
    """Exception codes of a refused access. [Priv 12.1.9, table of scause]"""

    FETCH_ACCESS = 1
    LOAD_ACCESS = 5
    STORE_ACCESS = 7
    FETCH_PAGE = 12
    LOAD_PAGE = 13
    STORE_PAGE = 15


class Pte(data.Struct):
    """A page-table entry of Sv39 and Sv48, 64 bits. [Priv 12.4.1]"""

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
        """V=0 aside: writable but not readable, or a reserved bit is set (Svnapot and Svpbmt are not built). [Priv 12.4.1, step 3]"""
        return (self.w & ~self.r) | self.reserved.any() | self.pbmt.any() | self.n

    def is_leaf(self) -> Value:
        """R or X is set. [Priv 12.3.2, step 4]"""
        return self.r | self.x

    def is_malformed_branch(self) -> Value:
        """A pointer to the next level must have D, A and U clear. [Priv 12.4.1]"""
        return self.d | self.a | self.u

    def permits(self, access: Signal) -> Value:
        """A user-mode access of this kind needs no fault: U, the right, and A (and D for a store) are set. [Priv 12.3.2, steps 5 to 9]"""
        right = Value.cast(access)
        allowed = ((right == Access.LOAD.value) & self.r) | ((right == Access.FETCH.value) & self.x)
        allowed = allowed | ((right == Access.STORE.value) & self.w & self.d)
        return self.v & self.u & self.a & allowed

    def is_misaligned(self, level: Value) -> Value:
        """A leaf of `level` whose page does not start at a multiple of its size. [Priv 12.3.2, step 6]"""
        return (self.ppn & page_mask(level)).any()

    def translate(self, va: Value, level: Value) -> Value:
        """Physical address in bytes of `va` through this leaf of `level`. PADDR_BITS wide. [Priv 12.3.2, step 10]"""
        within = page_mask(level)
        low = (self.ppn[:VPN_BITS] & ~within) | (va[12 : 12 + VPN_BITS] & within)
        return Cat(va[:12], low, self.ppn[VPN_BITS:])

"""RISC-V virtual address translation, in the order of the privileged specification, section 12.3.2.

All modes, Svnapot, Svpbmt, Svade and Svadu. No caches, no PMP, no shadow stacks (so step 7 never refuses).
"""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from .layout import (
    PTE_A,
    PTE_D,
    PTE_N,
    PTE_PBMT,
    PTE_R,
    PTE_RESERVED,
    PTE_U,
    PTE_V,
    PTE_W,
    PTE_X,
    Access,
    Outcome,
    is_branch,
    is_leaf,
    pte_ppn,
)  # fmt: skip

__all__ = ["EXCEPTION", "REASON", "BusError", "Cause", "Features", "PagingMode", "Privilege", "Refusal", "Translation", "translate"]

PAGE_BITS = 12
PAGESIZE = 1 << PAGE_BITS
NAPOT_BITS = 4
"""pte.napot_bits of the one encoding in use: 64 KiB. [Svnapot]"""


class PagingMode(Enum):
    """Paging modes by their MODE number (RV64; Sv32 by that of RV32); a mode owns its numbers."""

    SV32 = 1
    SV39 = 8
    SV48 = 9
    SV57 = 10

    @property
    def levels(self) -> int:
        """LEVELS of [Priv 12.3 to 12.6]."""
        return {PagingMode.SV32: 2, PagingMode.SV39: 3, PagingMode.SV48: 4, PagingMode.SV57: 5}[self]

    @property
    def ptesize(self) -> int:
        """PTESIZE in bytes."""
        return 4 if self is PagingMode.SV32 else 8

    @property
    def index_bits(self) -> int:
        """Bits of va.vpn[i]: a table has one page."""
        return 10 if self is PagingMode.SV32 else 9

    @property
    def va_bits(self) -> int:
        """Bits of a virtual address that are translated."""
        return PAGE_BITS + self.index_bits * self.levels

    def is_canonical(self, va: int) -> bool:
        """ "must have bits 63-39 all equal to bit 38, or else a page-fault exception will occur" [Priv 12.4.1; 12.5.1, 12.6.1 likewise]

        An address of Sv32 has 32 bits; in our 64 the others are 0.
        """
        if self is PagingMode.SV32:
            return va >> self.va_bits == 0
        return (va >> self.va_bits - 1) in (0, (1 << 65 - self.va_bits) - 1)

    def vpn(self, va: int, i: int) -> int:
        """va.vpn[i]"""
        return va >> PAGE_BITS + self.index_bits * i & (1 << self.index_bits) - 1


class Privilege(Enum):
    """Effective privilege mode of the access."""

    USER = 0
    SUPERVISOR = 1


class Features(NamedTuple):
    """What is in use: `adue` (Svadu; else Svade) and `pbmte` (Svpbmt) are fields of menvcfg, `napot` is Svnapot."""

    adue: bool = False
    pbmte: bool = False
    napot: bool = False


BASE = Features()
"""None of them: Svade alone."""


class Cause(Enum):
    """Why an access is refused."""

    NON_CANONICAL = "address is not canonical"
    BUS_ERROR = "reading a page-table entry failed"
    NOT_VALID = "V is 0"
    MALFORMED = "reserved bits or encodings are set"
    NO_LEAF = "pointer to a next level below the last"
    MISALIGNED = "misaligned superpage"
    PRIVILEGE = "U does not suit the privilege mode"
    RIGHT = "R, W or X forbids it"
    CLEAR_A_OR_D = "A is 0, or D is 0 on a store"


_ACCESS_FAULT = {Access.FETCH: 1, Access.LOAD: 5, Access.STORE: 7}
_PAGE_FAULT = {Access.FETCH: 12, Access.LOAD: 13, Access.STORE: 15}
EXCEPTION = {(access, cause): (_ACCESS_FAULT if cause is Cause.BUS_ERROR else _PAGE_FAULT)[access] for access in Access for cause in Cause}
"""(access, cause) to exception number: "an exception corresponding to the original access type". [Priv 12.1.9]"""
REASON = {
    Cause.NON_CANONICAL: Outcome.BOUNDS, Cause.BUS_ERROR: Outcome.BUS_ERROR, Cause.NOT_VALID: Outcome.NOT_VALID,
    Cause.MALFORMED: Outcome.BAD_TABLE, Cause.NO_LEAF: Outcome.BAD_TABLE, Cause.MISALIGNED: Outcome.BAD_TABLE,
    Cause.PRIVILEGE: Outcome.ACCESS, Cause.RIGHT: Outcome.ACCESS, Cause.CLEAR_A_OR_D: Outcome.AD_CLEAR,
}  # fmt: skip
"""Cause to the `reason` of an answer. [contract, Requests and answers]"""


class BusError(Exception):
    """Raised by a `read` callback for an address that violates a PMA or PMP check."""


class Translation(NamedTuple):
    """`pa` in bytes; the leaf `pte` as read and its `level` (0: 4 KiB, 64 KiB); `reads`: byte addresses of the entries read, in order.

    `pbmt`: memory type. `update`: (address, new value) of the entry whose A or D must be set before the access, atomically: if it is no
    longer `pte`, the translation begins anew.
    """

    pa: int
    pte: int
    level: int
    reads: tuple[int, ...]
    pbmt: int = 0
    update: tuple[int, int] | None = None


class Refusal(NamedTuple):
    """The access is refused, with `exception` = EXCEPTION[access, cause]; `reads` as in `Translation`."""

    cause: Cause
    exception: int
    reads: tuple[int, ...]


def _has_reserved(mode: PagingMode, pte: int, i: int, features: Features) -> bool:
    """ "any bits or encodings that are reserved for future standard use are set within pte" """
    if mode is PagingMode.SV32:  # its entries have none in these places
        return False
    # "Bits 60-54 are reserved for future standard use" [Priv 12.4.1]
    if pte & PTE_RESERVED:
        return True
    # "If Svpbmt is not implemented, bits 62-61 remain reserved"; "setting bits 62-61 to the value 3 is reserved" [Priv 12.4.1, Svpbmt]
    if (pte & PTE_PBMT and not features.pbmte) or pte & PTE_PBMT == PTE_PBMT:
        return True
    # "If Svnapot is not implemented, bit 63 remains reserved" [Priv 12.4.1]
    if pte & PTE_N and not features.napot:
        return True
    # "If the encoding in pte is reserved [..], then a page-fault exception must be raised": only i=0 with pte.ppn[0] x xxxx 1000 is not [Svnapot]
    return bool(pte & PTE_N and is_leaf(pte) and (i > 0 or pte_ppn(pte) & (1 << NAPOT_BITS) - 1 != 1 << NAPOT_BITS - 1))


def _is_allowed(pte: int, access: Access, mxr: bool) -> bool:
    """The pte.r, pte.w and pte.x bits allow it. "When MXR=1, loads from pages marked either readable or executable will succeed." [Priv 3.1.6.3]"""
    right = {Access.LOAD: PTE_R | (PTE_X if mxr else 0), Access.STORE: PTE_W, Access.FETCH: PTE_X}[access]
    return bool(pte & right)


def translate(
    mode: PagingMode, root: int, va: int, access: Access, read: Callable[[int], int], *,
    privilege: Privilege = Privilege.USER, sum: bool = False, mxr: bool = False, features: Features = BASE,
) -> Translation | Refusal:  # fmt: skip
    """Translate `va` (64 bits) through the table at page number `root`.

    Parameters
    ----------
    read : entry (of PTESIZE) at a byte address; raises `BusError`.
    sum, mxr : fields of mstatus.
    """
    reads: list[int] = []

    def refuse(cause: Cause) -> Refusal:
        return Refusal(cause, EXCEPTION[access, cause], tuple(reads))

    # "must have bits 63-39 all equal to bit 38, or else a page-fault exception will occur"
    if not mode.is_canonical(va):
        return refuse(Cause.NON_CANONICAL)
    # 1. "Let a be satp.ppn*PAGESIZE, and let i=LEVELS-1."
    a = root * PAGESIZE
    i = mode.levels - 1
    while True:
        # 2. "Let pte be the value of the PTE at address a+va.vpn[i]*PTESIZE.
        # If accessing pte violates a PMA or PMP check, raise an access-fault"
        address = a + mode.vpn(va, i) * mode.ptesize
        reads.append(address)
        try:
            pte = read(address)
        except BusError:
            return refuse(Cause.BUS_ERROR)
        # 3. "If pte.v=0, or if pte.r=0 and pte.w=1, or if any bits or encodings that are reserved
        # for future standard use are set within pte, stop and raise a page-fault exception"
        if not pte & PTE_V:
            return refuse(Cause.NOT_VALID)
        if pte & (PTE_R | PTE_W) == PTE_W or _has_reserved(mode, pte, i, features):
            return refuse(Cause.MALFORMED)
        # 4. "If pte.r=1 or pte.x=1, go to step 5. Otherwise, this PTE is a pointer to the next level of the page table."
        if is_leaf(pte):
            break
        # "For non-leaf PTEs, the D, A, and U bits are reserved for future standard use" [Priv 12.4.1]; bits 63-61 likewise [Svnapot, Svpbmt]
        if not is_branch(pte):
            return refuse(Cause.MALFORMED)
        # "Let i=i-1. If i<0, stop and raise a page-fault exception"
        i -= 1
        if i < 0:
            return refuse(Cause.NO_LEAF)
        # "Otherwise, let a=pte.ppn*PAGESIZE and go to step 2."
        a = pte_ppn(pte) * PAGESIZE
    # 5. "If i>0 and pte.ppn[i-1:0] != 0, this is a misaligned superpage; stop and raise a page-fault exception"
    if pte_ppn(pte) & (1 << mode.index_bits * i) - 1:
        return refuse(Cause.MISALIGNED)
    # 6. "Determine if the requested memory access is allowed by the pte.u bit, given the current privilege mode
    # and the value of the SUM and MXR fields of the mstatus register."
    if privilege is Privilege.USER:
        if not pte & PTE_U:
            return refuse(Cause.PRIVILEGE)
    elif pte & PTE_U and (access is Access.FETCH or not sum):
        return refuse(Cause.PRIVILEGE)
    # 8. "Determine if the requested memory access is allowed by the pte.r, pte.w, and pte.x bits."
    if not _is_allowed(pte, access, mxr):
        return refuse(Cause.RIGHT)
    # 9. "If pte.a=0, or if the original memory access is a store and pte.d=0:
    update = None
    used = PTE_A | (PTE_D if access is Access.STORE else 0)
    if pte & used != used:
        # If the Svade extension is implemented, stop and raise a page-fault exception" [menvcfg.ADUE=0]
        if not features.adue:
            return refuse(Cause.CLEAR_A_OR_D)
        # "Perform the following steps atomically: Compare pte to the value of the PTE at address a+va.vpn[i]*PTESIZE. If the values match,
        # set pte.a to 1 and, if the original memory access is a store, also set pte.d to 1. [..] If the comparison fails, return to step 2."
        update = address, pte | used
    # 10. "The translation is successful. [..] If i>0, then this is a superpage translation and pa.ppn[i-1:0] = va.vpn[i-1:0]."
    # "pte.ppn[i][pte.napot_bits-1:0] is replaced by vpn[i][pte.napot_bits-1:0]" [Svnapot]
    pte_n, pbmt = (0, 0) if mode is PagingMode.SV32 else (pte & PTE_N, (pte & PTE_PBMT) >> 61)
    offset = (1 << PAGE_BITS + (NAPOT_BITS if pte_n else mode.index_bits * i)) - 1
    pa = pte_ppn(pte) << PAGE_BITS & ~offset | va & offset
    return Translation(pa, pte, i, tuple(reads), pbmt, update)

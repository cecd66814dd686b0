"""RISC-V virtual address translation, in the order of the privileged specification, section 12.3.2.

No caches, no hardware update of A and D (Svade), no Svnapot, no Svpbmt, no shadow stacks (so step 7 never refuses).
"""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from .layout import (
    PTE_A,
    PTE_D,
    PTE_R,
    PTE_U,
    PTE_V,
    PTE_W,
    PTE_X,
    Access,
    is_branch,
    is_leaf,
    is_malformed,
    is_misaligned,
    leaf_pa,
    pte_ppn,
)  # fmt: skip

__all__ = ["EXCEPTION", "BusError", "Cause", "PagingMode", "Privilege", "Refusal", "Translation", "translate"]

PAGESIZE = 1 << 12
PTESIZE = 8


class PagingMode(Enum):
    """Paging modes by their satp MODE number; a mode owns its numbers."""

    SV39 = 8
    SV48 = 9

    @property
    def levels(self) -> int:
        """LEVELS of [Priv 12.4, 12.5]."""
        return {PagingMode.SV39: 3, PagingMode.SV48: 4}[self]

    @property
    def va_bits(self) -> int:
        """Bits of a virtual address that are translated."""
        return 12 + 9 * self.levels

    def is_canonical(self, va: int) -> bool:
        """ "must have bits 63-39 all equal to bit 38, or else a page-fault exception will occur" [Priv 12.4.1; 12.5.1 with 63-48 and 47]"""
        return (va >> self.va_bits - 1) in (0, (1 << 65 - self.va_bits) - 1)

    def vpn(self, va: int, i: int) -> int:
        """va.vpn[i]"""
        return va >> 12 + 9 * i & 0x1FF


class Privilege(Enum):
    """Effective privilege mode of the access."""

    USER = 0
    SUPERVISOR = 1


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


class BusError(Exception):
    """Raised by a `read` callback for an address that violates a PMA or PMP check."""


class Translation(NamedTuple):
    """`pa` in bytes; the leaf `pte` and its `level` (0: 4 KiB); `reads`: byte addresses of the entries read, in order."""

    pa: int
    pte: int
    level: int
    reads: tuple[int, ...]


class Refusal(NamedTuple):
    """The access is refused, with `exception` = EXCEPTION[access, cause]; `reads` as in `Translation`."""

    cause: Cause
    exception: int
    reads: tuple[int, ...]


def translate(
    mode: PagingMode, root: int, va: int, access: Access, read: Callable[[int], int], *,
    privilege: Privilege = Privilege.USER, sum: bool = False, mxr: bool = False,
) -> Translation | Refusal:  # fmt: skip
    """Translate `va` (64 bits) through the table at page number `root`.

    Parameters
    ----------
    read : 64-bit entry at a byte address; raises `BusError`.
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
        address = a + mode.vpn(va, i) * PTESIZE
        reads.append(address)
        try:
            pte = read(address)
        except BusError:
            return refuse(Cause.BUS_ERROR)
        # 3. "If pte.v=0, or if pte.r=0 and pte.w=1, or if any bits or encodings that are reserved
        # for future standard use are set within pte, stop and raise a page-fault exception"
        if not pte & PTE_V:
            return refuse(Cause.NOT_VALID)
        if is_malformed(pte):
            return refuse(Cause.MALFORMED)
        # 4. "If pte.r=1 or pte.x=1, go to step 5. Otherwise, this PTE is a pointer to the next level of the page table."
        if is_leaf(pte):
            break
        # "For non-leaf PTEs, the D, A, and U bits are reserved for future standard use" [Priv 12.4.1]
        if not is_branch(pte):
            return refuse(Cause.MALFORMED)
        # "Let i=i-1. If i<0, stop and raise a page-fault exception"
        i -= 1
        if i < 0:
            return refuse(Cause.NO_LEAF)
        # "Otherwise, let a=pte.ppn*PAGESIZE and go to step 2."
        a = pte_ppn(pte) * PAGESIZE
    # 5. "If i>0 and pte.ppn[i-1:0] != 0, this is a misaligned superpage; stop and raise a page-fault exception"
    if is_misaligned(pte, i):
        return refuse(Cause.MISALIGNED)
    # 6. "Determine if the requested memory access is allowed by the pte.u bit, given the current privilege mode
    # and the value of the SUM and MXR fields of the mstatus register."
    if privilege is Privilege.USER:
        if not pte & PTE_U:
            return refuse(Cause.PRIVILEGE)
    elif pte & PTE_U and (access is Access.FETCH or not sum):
        return refuse(Cause.PRIVILEGE)
    # 8. "Determine if the requested memory access is allowed by the pte.r, pte.w, and pte.x bits."
    right = {Access.LOAD: PTE_R | (PTE_X if mxr else 0), Access.STORE: PTE_W, Access.FETCH: PTE_X}[access]
    if not pte & right:
        return refuse(Cause.RIGHT)
    # 9. "If pte.a=0, or if the original memory access is a store and pte.d=0:
    # If the Svade extension is implemented, stop and raise a page-fault exception"
    if not pte & PTE_A or (access is Access.STORE and not pte & PTE_D):
        return refuse(Cause.CLEAR_A_OR_D)
    # 10. "The translation is successful. [..] If i>0, then this is a superpage translation and pa.ppn[i-1:0] = va.vpn[i-1:0]."
    return Translation(leaf_pa(pte, i, va), pte, i, tuple(reads))

"""The memory formats and numbers of docs/software-contract.md and of RISC-V page tables, decoded by the golden model alone.

Everything is a plain int: a page-table entry, a record word, an event field. Addresses are in bytes, VPN and PPN in 4 KiB pages.
"""

from enum import IntEnum
from typing import NamedTuple

__all__ = [
    "COMMAND_UNIT",
    "EVERY_SPACE",
    "FRAME_FROM_POOL",
    "LEVELS",
    "NODE_ENTRIES",
    "PAGE_BITS",
    "PTE_A",
    "PTE_BRANCH_MASK",
    "PTE_D",
    "PTE_EXCLUSIVE",
    "PTE_N",
    "PTE_PBMT",
    "PTE_R",
    "PTE_RESERVED",
    "PTE_RIGHTS",
    "PTE_U",
    "PTE_UFFD_WP",
    "PTE_V",
    "PTE_W",
    "PTE_X",
    "TREE_DEPTH",
    "UPDATE_AGENT",
    "VPN_MASK",
    "Access",
    "How",
    "Outcome",
    "Record",
    "RequestBits",
    "RequestFlag",
    "Status",
    "Step",
    "StepEvent",
    "VmaFlag",
    "address_of",
    "branch_table",
    "is_branch",
    "is_leaf",
    "is_malformed",
    "is_misaligned",
    "leaf_pa",
    "node_entry",
    "permits",
    "pointer_kind",
    "pte_ppn",
    "record_words",
    "satp_levels",
    "satp_root",
    "walk_outcome",
]  # fmt: skip


class Access(IntEnum):
    """Request field `access`."""

    LOAD = 0
    STORE = 1
    FETCH = 2


class RequestFlag(IntEnum):
    """Request field `flags`. [contract, Flags of a request]"""

    ALLOW_RETRY, TRIED, NOWAIT, ATOMIC = (1 << bit for bit in range(4))


class Step(IntEnum):
    """Event fields `first` and `last`. [contract, Steps and outcomes]"""

    R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15, R16, R17, R18 = range(19)
    UNDO, HANDOVER, ANSWER, MM_READ_LOCK, MM_READ_UNLOCK, PAGE, FILL, CLEAR, FLUSH, AROUND, TABLE = range(19, 30)
    MM_LOCK, MM_UNLOCK, SEQ_BEGIN, SEQ_END, PTE_LOCK, PTE_CLEAR, PTE_PROTECT, PTE_UNLOCK, INVALIDATE, FENCE = range(32, 42)
    SPACE_TABLE, SPACE_VMAS, ILLEGAL, AD_UPDATE, AD_LOCK, SRCU_CALL, PAGE_RESPONSE = range(42, 49)


class Outcome(IntEnum):
    """Event field `outcome`, an answer's `reason`. [contract, Steps and outcomes]"""

    OK, NO_VMA, ODD, CHANGED, CHANGED_C1, WALK_C2, PTL_BUSY, CHANGED_C3, RACED, BOUNDS, ACCESS, UNSUPPORTED = range(12)
    NO_TABLE, HUGE, PRESENT, POOL_EMPTY, BUS_ERROR, PTL_WAIT, QUEUE_FULL, MM_BUSY, ILLEGAL, BAD_TABLE, BAD_TREE, MAPPED = range(12, 24)
    NOT_VALID, AD_CLEAR, NOT_CACHED, PAGE_BUSY, NOT_WRITABLE, USERFAULT, RELEASED_FULL = range(24, 31)


class Status(IntEnum):
    """An answer's `status`. [contract, Requests and answers]"""

    OK, RETRY, FAULT = range(3)


class How(IntEnum):
    """An answer's `how`. [contract, Requests and answers]"""

    TRANSLATED, SPECULATIVE, RETRIED, CLASSIC, SOFTWARE = range(5)


FRAME_FROM_POOL = 1 << 63
"""Event data of R9 and UNDO: the frame came from the pool."""


class StepEvent(NamedTuple):
    """One event of the event port; any tuple of ten ints in this order will do."""

    first: int
    last: int
    agent: int
    outcome: int = 0
    space: int = 0
    vpn: int = 0
    id: int = 0
    seq: int = 0
    addr: int = 0
    data: int = 0


COMMAND_UNIT = 63
"""Event field `agent` of the command unit."""
UPDATE_AGENT = 62
"""Event field `agent` of A/D updates."""
EVERY_SPACE = 0xFFFF
"""Event field `space` of an INVALIDATE of all spaces."""
PAGE_BITS = 12
VPN_MASK = (1 << 48) - 1
_PPN_MASK = (1 << 44) - 1

# --- page-table entries [Priv 12.4.1] -------------------------------------------------------------------------------

PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D = (1 << bit for bit in range(8))
PTE_RIGHTS = PTE_R | PTE_W | PTE_X
PTE_EXCLUSIVE, PTE_UFFD_WP = 1 << 8, 1 << 9
"""RSW of a leaf: no other entry maps the frame; a store is a userfault. [contract, Frames]"""
PTE_RESERVED, PTE_PBMT, PTE_N = 0x7F << 54, 3 << 61, 1 << 63
"""Reserved [60:54]; PBMT [62:61] of Svpbmt and N [63] of Svnapot, reserved where those are not in use."""
PTE_BRANCH_MASK = PTE_V | PTE_RIGHTS | PTE_U | PTE_A | PTE_D | PTE_RESERVED | PTE_PBMT | PTE_N
"""Of these bits a pointer to the next table has V alone."""
_PBMTE, _NAPOT = 2, 4
"""Bits of a space's features."""
_NAPOT_64K = 8
LEVELS = {1: 2, 8: 3, 9: 4, 10: 5}
"""MODE to page-table levels: Sv32 (1 in SPACE.TABLE as in the satp of RV32), Sv39, Sv48, Sv57."""


def pte_ppn(pte: int) -> int:
    """PPN field [53:10]."""
    return pte >> 10 & _PPN_MASK


def is_leaf(pte: int) -> bool:
    """V, and R or X: "If pte.r=1 or pte.x=1" [Priv 12.3.2, step 4]."""
    return bool(pte & PTE_V and pte & (PTE_R | PTE_X))


def is_branch(pte: int) -> bool:
    """A well-formed pointer to the next table."""
    return pte & PTE_BRANCH_MASK == PTE_V


def branch_table(pte: int) -> int:
    """Byte address of the table that a branch points to."""
    return pte_ppn(pte) << PAGE_BITS


def is_malformed(pte: int) -> bool:
    """Writable without readable, or a bit set that is reserved without Svpbmt and Svnapot. [Priv 12.3.2, step 3]"""
    return pte & (PTE_R | PTE_W) == PTE_W or bool(pte & (PTE_RESERVED | PTE_PBMT | PTE_N))


def is_misaligned(pte: int, level: int) -> bool:
    """A superpage whose low PPN bits are not 0. [Priv 12.3.2, step 5]"""
    return bool(pte_ppn(pte) & ((1 << 9 * level) - 1))


def permits(pte: int, access: int) -> bool:
    """A leaf lets a user-mode access pass without a fault. [Priv 12.3.2, steps 6 to 9; contract, Spaces]"""
    if access == 1:
        need = PTE_V | PTE_U | PTE_A | PTE_R | PTE_W | PTE_D
    elif access == 0:
        need = PTE_V | PTE_U | PTE_A | PTE_R
    else:
        need = PTE_V | PTE_U | PTE_A | PTE_X
    return pte & need == need and not is_malformed(pte)


def leaf_pa(pte: int, level: int, va: int) -> int:
    """Physical address of `va` through a leaf: the low VPN parts of a superpage come from the address. [Priv 12.3.2, step 10]"""
    offset = (1 << PAGE_BITS + 9 * level) - 1
    return pte_ppn(pte) << PAGE_BITS & ~offset | va & offset


def walk_outcome(pte: int, level: int, access: int, features: int = 0) -> Outcome:
    """What R7 makes of the entry at which its walk ended: OK when a fault may change it. [contract, R7]

    An entry with V=0 and content is software's (protocol.md I5: never silently overwritten): PRESENT. `features`: of `SPACE.TABLE`, as in its event.
    """
    if not pte & PTE_V:
        return Outcome.PRESENT if pte else Outcome.OK
    plain = pte & ~PTE_PBMT if features & _PBMTE and pte & PTE_PBMT != PTE_PBMT else pte
    napot = bool(features & _NAPOT and level == 0 and pte & PTE_N and pte_ppn(pte) & 15 == _NAPOT_64K)
    plain = plain & ~PTE_N if napot else plain
    if is_malformed(plain) or not is_leaf(plain) or is_misaligned(plain, level):
        return Outcome.BAD_TABLE
    if permits(plain, access):
        return Outcome.MAPPED
    return Outcome.HUGE if level > 0 or napot else Outcome.OK


def satp_levels(satp: int) -> int:
    """Levels of the page table that a satp word names; 0: no table."""
    return LEVELS.get(satp >> 60, 0)


def satp_root(satp: int) -> int:
    """Byte address of the root table."""
    return (satp & _PPN_MASK) << PAGE_BITS


# --- VMA tree [contract, VMA tree] ----------------------------------------------------------------------------------

NODE_ENTRIES = 8
TREE_DEPTH = 8
_NONE, _NODE, _RECORD = range(3)
_ADDRESS_MASK = (1 << 56) - (1 << 6)


class VmaFlag(IntEnum):
    """Record word 2."""

    READ, WRITE, EXEC, SHARED, ANON, GROWSDOWN, UFFD, LOCKED, HUGE, UFFD_WP, UFFD_MINOR = (1 << bit for bit in range(11))


class Record(NamedTuple):
    """Words 0 to 5 of a VMA record: pages `start` to `end` (exclusive), `flags`, the PTE template `page_prot`, and what file it shows from where."""

    start: int
    end: int
    id: int
    flags: int
    page_prot: int
    pgoff: int = 0
    backing: int = 0


def pointer_kind(word: int) -> int:
    """0 none, 1 node, 2 record."""
    return word & 3


def address_of(word: int) -> int:
    """Byte address that a pointer word holds."""
    return word & _ADDRESS_MASK


def node_entry(word0: int) -> tuple[int, int]:
    """Start VPN and VMA id of a node entry."""
    return word0 & VPN_MASK, word0 >> 48


def record_words(word0: int, word1: int, word2: int, word3: int, word4: int = 0, word5: int = 0) -> Record:
    """Decode the words that a lookup reads."""
    return Record(word0 & VPN_MASK, word1 & VPN_MASK, word0 >> 48, word2, word3, word4 & (1 << 52) - 1, word5)


class RequestBits(NamedTuple):
    """Event data of R0."""

    access: int
    flags: int
    port: int
    tag: int
    attempt: int
    classic: int

    @classmethod
    def decode(cls, data: int) -> "RequestBits":
        """From the 64-bit `data` of an R0 event."""
        return cls(data & 3, data >> 2 & 15, data >> 6 & 255, data >> 14 & 511, data >> 23 & 7, data >> 26 & 1)

    def encode(self) -> int:
        """The `data` of an R0 event."""
        return self.access | self.flags << 2 | self.port << 6 | self.tag << 14 | self.attempt << 23 | self.classic << 26

"""Numbers of docs/software-contract.md as the testbench kernel uses them: written down on their own, nothing comes from the RTL."""

from enum import IntEnum, IntFlag

__all__ = [
    "CACHE_LEVEL_BITS", "CACHE_NODE_BYTES", "NODE_BYTES", "NODE_ENTRIES", "PTE_A", "PTE_D", "PTE_EXCLUSIVE", "PTE_PPN_SHIFT", "PTE_R", "PTE_U",
    "PTE_UFFD_WP", "PTE_V", "PTE_W", "PTE_X", "RECORD_BYTES", "TABLE_BYTES", "Access", "Flags", "How", "Kind", "Mode", "Reason",
    "Register", "Slot", "Status", "VmaFlag",
]  # fmt: skip

TABLE_BYTES = 4096
NODE_BYTES = 128
NODE_ENTRIES = 8
RECORD_BYTES = 64
CACHE_LEVEL_BITS = 6
CACHE_NODE_BYTES = 8 << CACHE_LEVEL_BITS
"""A node of a page cache."""

PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D = (1 << bit for bit in range(8))
PTE_PPN_SHIFT = 10
"""A page-table entry. [Priv 12.4.1]"""
PTE_EXCLUSIVE = 1 << 8
"""No other entry maps the frame, and it is in no page cache. [contract, Frames]"""
PTE_UFFD_WP = 1 << 9
"""A store is a userfault, if the VMA has UFFD_WP. [contract, Frames]"""


class Access(IntEnum):
    LOAD = 0
    STORE = 1
    FETCH = 2


class Flags(IntFlag):
    """Fault flags of a request."""

    ALLOW_RETRY = 1
    TRIED = 2
    NOWAIT = 4
    ATOMIC = 8


class Status(IntEnum):
    OK = 0
    RETRY = 1
    FAULT = 2


class How(IntEnum):
    TRANSLATED = 0
    SPECULATIVE = 1
    RETRIED = 2
    CLASSIC = 3
    SOFTWARE = 4


class Kind(IntEnum):
    """Bits 1:0 of a pointer word of the VMA tree."""

    NONE = 0
    NODE = 1
    RECORD = 2


class Mode(IntEnum):
    """MODE of satp."""

    BARE = 0
    SV39 = 8
    SV48 = 9
    SV57 = 10

    @property
    def levels(self) -> int:
        """Of its tables."""
        return self - 5


class VmaFlag(IntFlag):
    """Flags word of a VMA record."""

    READ = 1
    WRITE = 2
    EXEC = 4
    SHARED = 8
    ANON = 16
    GROWSDOWN = 32
    UFFD = 64
    LOCKED = 128
    HUGE = 256
    UFFD_WP = 512
    UFFD_MINOR = 1024


class Slot(IntFlag):
    """Word of a lowest node of a page cache; the PPN is where an entry has it."""

    PRESENT = 1
    UPTODATE = 2
    LOCKED = 4
    WRITABLE = 8


class Reason(IntEnum):
    """Outcomes that a page request or an answer can carry."""

    OK = 0
    NO_VMA = 1
    ODD = 2
    CHANGED = 3
    CHANGED_C1 = 4
    WALK_C2 = 5
    PTL_BUSY = 6
    CHANGED_C3 = 7
    RACED = 8
    BOUNDS = 9
    ACCESS = 10
    UNSUPPORTED = 11
    NO_TABLE = 12
    HUGE = 13
    PRESENT = 14
    POOL_EMPTY = 15
    BUS_ERROR = 16
    PTL_WAIT = 17
    QUEUE_FULL = 18
    MM_BUSY = 19
    ILLEGAL = 20
    BAD_TABLE = 21
    BAD_TREE = 22
    MAPPED = 23
    NOT_CACHED = 26
    PAGE_BUSY = 27
    NOT_WRITABLE = 28
    USERFAULT = 29
    RELEASED_FULL = 30


class Register(IntEnum):
    """Byte offsets of the registers that the kernel writes."""

    CQB = 0x18
    CQT = 0x24
    PQB = 0x38
    PQH = 0x40
    CQCSR = 0x48
    PQCSR = 0x50
    FFB = 0x2B8
    FFT = 0x2C4
    RFB = 0x2C8
    RFH = 0x2D0
    FFCSR = 0x2D8
    RFCSR = 0x2DC
    ZERO_FRAME = 0x2E0
    CONTROL = 0x2E8
    SCB = 0x1300
    SCH = 0x1308
    SCCSR = 0x1310

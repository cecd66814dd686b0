"""What passes between the blocks: request, answer, event and memory records. Field meanings: docs/software-contract.md."""

from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import PADDR_BITS
from .paging import PPN_BITS, VPN_BITS, Access, PageSize, PagingMode, Pte

__all__ = [
    "Answer", "AnswerStatus", "Event", "FaultAnswer", "FaultFlags", "FaultRequest", "FillRecord", "FindRequest", "FindResponse", "How",
    "InvalidateRecord", "MemoryReadRequest", "MemoryReadResponse", "MemoryReadSignature", "MemoryUpdateRequest",
    "MemoryUpdateResponse", "MemoryUpdateSignature", "MemoryWriteRequest", "MemoryWriteResponse",
    "MemoryWriteSignature", "Outcome", "PageRequest", "PageRequestDone", "PageResponse", "QueueSettings", "ReleasedRecord", "Request",
    "SpaceEntry", "Step", "StepPort", "VmaFields", "WalkOutcome", "WalkRequest", "WalkResponse",
]  # fmt: skip


class Step(enum.Enum, shape=6):
    """Protocol steps, readers' (R*, of protocol.md 0.2) and writers'."""

    R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15, R16, R17, R18 = range(19)
    UNDO = 19
    HANDOVER = 20
    ANSWER = 21
    MM_READ_LOCK = 22
    MM_READ_UNLOCK = 23
    PAGE = 24
    FILL = 25
    CLEAR = 26
    FLUSH = 27
    AROUND = 28
    TABLE = 29
    MM_LOCK = 32
    MM_UNLOCK = 33
    SEQ_BEGIN = 34
    SEQ_END = 35
    PTE_LOCK = 36
    PTE_CLEAR = 37
    PTE_PROTECT = 38
    PTE_UNLOCK = 39
    INVALIDATE = 40
    FENCE = 41
    SPACE_TABLE = 42
    SPACE_VMAS = 43
    ILLEGAL = 44
    AD_UPDATE = 45
    AD_LOCK = 46
    SRCU_CALL = 47
    PAGE_RESPONSE = 48


class Outcome(enum.Enum, shape=5):
    """How a step ended: OK, or the reason why it did not do what it is for."""

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
    NOT_VALID = 24
    AD_CLEAR = 25
    NOT_CACHED = 26
    PAGE_BUSY = 27
    NOT_WRITABLE = 28
    USERFAULT = 29
    RELEASED_FULL = 30


class FaultFlags(data.Struct):
    """FAULT_FLAG bits of a request that the engine knows."""

    allow_retry: 1
    tried: 1
    nowait: 1
    atomic: 1


class AnswerStatus(enum.Enum, shape=2):
    OK = 0
    RETRY = 1
    FAULT = 2


class How(enum.Enum, shape=3):
    """By which path an answer was found."""

    TRANSLATED = 0
    SPECULATIVE = 1
    RETRIED = 2
    CLASSIC = 3
    SOFTWARE = 4


class Request(data.Struct):
    """A requester's translation request. `va` is the full 64-bit virtual address in bytes.

    `supervisor`: the access is made in S-mode, with these SUM and MXR of its status register; else in U-mode (MXR counts there too).
    """

    va: 64
    space: 16
    access: Access
    flags: FaultFlags
    tag: 9
    supervisor: 1
    sum: 1
    mxr: 1


class Answer(data.Struct):
    """The answer to the request with the same tag on the same port.

    `pa` in bytes and `pbmt` (memory type, Svpbmt) are valid for OK, `exception` (a `Cause`) for FAULT; else they are 0.
    """

    pa: PADDR_BITS
    tag: 9
    status: AnswerStatus
    how: How
    reason: Outcome
    pbmt: 2
    exception: 6


class PageResponse(data.Struct):
    """Software is done with the port's page request `tag` (ATS.PRGR): a strobe in which `valid` is 1; the port cannot delay it.

    `code`: 0 success, 1 invalid, 15 failure. [IOMMU 4.1.4]
    """

    valid: 1
    tag: 9
    code: 4


class Event(data.Struct):
    """One step (or several, executed in one cycle) of the protocol; see docs/software-contract.md."""

    first: Step
    last: Step
    agent: 6
    outcome: Outcome
    space: 16
    vpn: 48
    id: 16
    seq: 32
    addr: 64
    data: 64


class StepPort(wiring.Signature):
    """A unit's share of the step slot: it asks with `want`; in the cycle of `grant` it executes one step and drives `event` (with `event_valid`)."""

    def __init__(self) -> None:
        super().__init__({"want": Out(1), "grant": In(1), "event": Out(Event), "event_valid": Out(1)})


# --- memory -------------------------------------------------------------------------------------------------------


class MemoryReadRequest(data.Struct):
    """Read `beats` + 1 consecutive 64-bit words from `addr` (8-byte aligned; the burst stays within 4 KiB).

    `exclusive`: watch this word for an exclusive write of the same client and tag; one word only. [AXI A7.2]
    """

    addr: PADDR_BITS
    beats: 6
    tag: 6
    exclusive: 1


class MemoryReadResponse(data.Struct):
    """One word of a burst, in order within the burst; bursts of different tags may interleave. `error`: the bus answered so.

    `exclusive`: it answered EXOKAY.
    """

    data: 64
    tag: 6
    last: 1
    error: 1
    exclusive: 1


class MemoryWriteRequest(data.Struct):
    """Write those bytes of one 64-bit word at `addr` (8-byte aligned) that `keep` does not name.

    `exclusive`: only if nobody wrote there since the exclusive read of the same client and tag.
    """

    addr: PADDR_BITS
    data: 64
    keep: 8
    tag: 6
    exclusive: 1


class MemoryWriteResponse(data.Struct):
    """`error`: the bus answered so. `exclusive`: it answered EXOKAY; an exclusive write without it did not happen."""

    tag: 6
    error: 1
    exclusive: 1


class MemoryReadSignature(wiring.Signature):
    """A block's read port to memory. The block must accept a response at once or have bounded its requests (no deadlock)."""

    def __init__(self) -> None:
        super().__init__({"request": Out(stream.Signature(MemoryReadRequest)), "response": In(stream.Signature(MemoryReadResponse))})


class MemoryWriteSignature(wiring.Signature):
    """A block's write port to memory; a response means that the write is visible."""

    def __init__(self) -> None:
        super().__init__(
            {
                "request": Out(stream.Signature(MemoryWriteRequest)),
                "response": In(stream.Signature(MemoryWriteResponse)),
            }
        )


class MemoryUpdateRequest(data.Struct):
    """If the entry at `addr` (8-byte aligned; 4-byte with `narrow`) is `old`, make it `new`, atomically. `narrow`: 32 bits, the lower ones.

    `space`, `vpn`: whose leaf it is, for the step's event.
    """

    addr: PADDR_BITS
    old: 64
    new: 64
    narrow: 1
    space: 16
    vpn: 48


class MemoryUpdateResponse(data.Struct):
    """`swapped`: it was `old`, and is `new` now; else nothing was written. `error`: the bus answered so, or has no exclusive access there."""

    swapped: 1
    error: 1


class MemoryUpdateSignature(wiring.Signature):
    """A block's port for atomic updates; one at a time, and a response means that the update is visible."""

    def __init__(self) -> None:
        super().__init__(
            {
                "request": Out(stream.Signature(MemoryUpdateRequest)),
                "response": In(stream.Signature(MemoryUpdateResponse)),
            }
        )


# --- translation --------------------------------------------------------------------------------------------------


class SpaceEntry(data.Struct):
    """Where a space's page table and VMA tree are; BARE mode: the space is not in use.

    `adue`: A and D are set by hardware (Svadu), else their absence is a fault (Svade). `pbmte`, `napot`: Svpbmt and Svnapot are in use, else
    their bits are reserved.
    """

    mode: PagingMode
    root: PPN_BITS
    adue: 1
    pbmte: 1
    napot: 1
    vmas: 64


class WalkOutcome(enum.Enum, shape=3):
    """How a walk ended; permissions are not the walker's business."""

    LEAF = 0
    NONE = 1
    """V=0 at `level`."""
    MALFORMED = 2
    """Reserved bits or encodings, W without R, a branch at level 0, a misaligned superpage."""
    BUS_ERROR = 3
    NO_SPACE = 4
    """The space has no table."""


class WalkRequest(data.Struct):
    """Walk the tables of `space` for `vpn` (bits above those of its mode are not looked at). `tag` comes back."""

    space: 16
    vpn: VPN_BITS
    tag: 6


class WalkResponse(data.Struct):
    """The end of a walk: the entry read last, its address, its level (0: leaf table) and the size of a page there.

    `stale`: an invalidation hit this walk; do not fill from it. `adue`: as in the space's entry. `sv32`: the entry has 4 bytes.
    """

    tag: 6
    outcome: WalkOutcome
    level: 3
    size: PageSize
    adue: 1
    sv32: 1
    pte: Pte
    pte_addr: PADDR_BITS
    stale: 1


class FillRecord(data.Struct):
    """A leaf for the TLB. `vpn` is that of the access."""

    space: 16
    vpn: VPN_BITS
    size: PageSize
    pte: Pte


class InvalidateRecord(data.Struct):
    """What IOTINVAL.VMA invalidates: all spaces or the non-global entries of `space`; all pages or those equal to `vpn` outside `mask`.

    A superpage is hit when it shares a page with them.
    """

    any_space: 1
    space: 16
    any_page: 1
    vpn: VPN_BITS
    mask: VPN_BITS


class VmaFields(data.Struct):
    """The record words 0 to 5 of a VMA as the fault needs them (VPNs are page numbers).

    `pgoff` and `backing` mean nothing in a VMA of private anonymous memory.
    """

    start: VPN_BITS
    end: 48
    id: 16
    flags: 16
    page_prot: 10
    pgoff: 52
    backing: 64


class ChangeCount(data.Struct):
    """Steps of the command unit, and commits for pages of the same low number, since reset; see `page_changes.py`."""

    commands: 24
    commits: 16


class FaultRequest(data.Struct):
    """A page fault found by the Translator; `vpn` of the full address (52 bits, canonical), `offset` the address within the page.

    `reason`: what is wrong with the entry (NOT_VALID, BAD_TABLE, ACCESS, AD_CLEAR), for those who cannot repair it. `empty`: a walk that began
    at `changes` ended at the leaf entry at `pte_addr`, which was 0.
    """

    vpn: 52
    offset: 12
    space: 16
    access: Access
    flags: FaultFlags
    port: 8
    tag: 9
    reason: Outcome
    empty: 1
    pte_addr: PADDR_BITS
    changes: ChangeCount


class FaultAnswer(data.Struct):
    """The FaultUnit's answer, for `port`."""

    port: 8
    answer: Answer


class FindRequest(data.Struct):
    """Find the VMA of `vpn`; `tag` comes back."""

    space: 16
    vpn: VPN_BITS
    tag: 6


class FindResponse(data.Struct):
    """`outcome`: OK, NO_VMA, BAD_TREE or BUS_ERROR. `seq`: the sequence of `fields.id` just before the record was read."""

    tag: 6
    outcome: Outcome
    record_addr: PADDR_BITS
    fields: VmaFields
    seq: 32


class ReleasedRecord(data.Struct):
    """A record of the released ring as it is in memory: an entry that was removed, and the page that it was for."""

    pte: 64
    vpn: 48
    space: 16


class PageRequestDone(data.Struct):
    """The page request of context `agent` is in memory (OK), or was dropped (QUEUE_FULL, BUS_ERROR)."""

    agent: 6
    outcome: Outcome


class PageRequest(data.Struct):
    """A record for the page-request queue, on behalf of context `agent`."""

    agent: 6
    reason: Outcome
    space: 16
    port: 8
    tag: 9
    access: Access
    vpn: 52


class QueueSettings(data.Struct):
    """A ring in memory: `base` PPN, `log2_entries`; `enable`."""

    base: PPN_BITS
    log2_entries: 5
    enable: 1

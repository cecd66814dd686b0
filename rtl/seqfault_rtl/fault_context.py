"""A fault context: the snapshot that a fault works on, and where it stands in the protocol."""

from amaranth.lib import data, enum

from .config import PADDR_BITS
from .messages import Outcome
from .paging import PPN_BITS

__all__ = ["AfterStep", "Context", "ContextState", "Policy"]


class ContextState(enum.Enum, shape=5):
    """The step that a context executes next."""

    BEGIN = 0
    MM_LOCK = 1
    FIND = 2
    WALK = 3
    CHECK = 4
    LOCK = 5
    RECHECK = 6
    COMMIT = 7
    UNLOCK = 8
    UNDO = 9
    MM_UNLOCK = 10
    HANDOVER = 11
    ANSWER = 12
    PAGE = 13
    ALLOCATE = 14
    FILL = 15
    FLUSH = 16
    SET = 17
    AROUND = 18
    TABLE = 19


class AfterStep(enum.Enum, shape=3):
    """What a context waits for after a step."""

    GO_ON = 0
    """nothing: it is ready for its next step"""
    WAIT = 1
    """an answer from memory, walker, finder or queue"""
    PARK_LOCK = 2
    """any PTE lock to be released"""
    PARK_MM = 3
    """any mm lock to be released, or patience to end"""
    FREE = 4
    """nothing more: the fault is answered"""
    PARK_FLUSH = 5
    """the TLBs to be done with an invalidation"""


class Context(data.Struct):
    """What a fault remembers between steps. [protocol.md 1.5: the snapshot list]

    `known`: R7 takes what the miss's walk has found; `attempt` counts from 0; `classic`: under the mm lock as a reader; `holds_vma`: policy
    vma-lock; `locked`: it holds the lock of the entry's table; `rounds`: times parked on a PTE lock; `outcome`: why the attempt ended;
    `id`, `seq`, `page_prot`: the VMA as snapshot; `pte_addr`: where the entry is, in bytes; `table`: it is an upper entry, that gets a table;
    `mapped`: it is a leaf that maps a frame already; `keeps`: it goes on to map that frame, and gets more rights; `around`: the pages around
    are mapped too; `frame`: PPN to map, `owned` if it came from the pool; `reading`: the fault is an SRCU reader, of bank `bank`.
    """

    state: ContextState
    known: 1
    attempt: 3
    classic: 1
    holds_vma: 1
    locked: 1
    rounds: 8
    outcome: Outcome
    id: 16
    seq: 32
    page_prot: 10
    pte_addr: PADDR_BITS
    table: 1
    mapped: 1
    keeps: 1
    around: 1
    frame: PPN_BITS
    owned: 1
    reading: 1
    bank: 1


class Policy(enum.Enum, shape=2):
    """How faults are kept from acting on a VMA that changed."""

    SPEC = 0
    """sequence counters, then the mm lock"""
    VMA_LOCK = 1
    """a read lock on the VMA, then the mm lock"""
    MM_LOCK = 2
    """the mm lock"""

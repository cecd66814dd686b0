"""The state on which the protocol's steps work: plain data, no behaviour but bookkeeping."""

from dataclasses import dataclass, field
from enum import IntEnum

from .history import Memory
from .layout import COMMAND_UNIT, Outcome
from .tables import TableMap

__all__ = [
    "LAST_ATTEMPT", "POLICIES", "RETRIED", "Fault", "Frames", "NotAllowed", "Phase", "Sequences", "State", "Update", "bus_error", "expect_phase",
    "fail",
]  # fmt: skip

POLICIES = ("spec", "vma-lock", "mm-lock")
LAST_ATTEMPT = 7
"""The attempt number has 3 bits: after this attempt any failure goes to software. [contract, R0]"""

RETRIED = frozenset((Outcome.ODD, Outcome.CHANGED, Outcome.CHANGED_C1, Outcome.WALK_C2, Outcome.PTL_BUSY, Outcome.CHANGED_C3, Outcome.RACED))
"""Outcomes after which another attempt is made. [contract, "Retried (a new attempt)"]"""


class NotAllowed(Exception):
    """The protocol does not allow this step now; the text says which rule forbids it."""


class Phase(IntEnum):
    """What a fault context does next; below 19 it is the number of the Step."""

    R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15, R16, R17, R18 = range(1, 19)
    IDLE = 32
    """begin a fault"""
    FAILED = 33
    """UNDO"""
    UNDONE = 34
    """release the mm lock, then another attempt or HANDOVER"""
    REFUSED = 35
    """HANDOVER: the mm lock was not to be had"""
    HANDED = 36
    """ANSWER: the page request is written"""
    MAPPED = 37
    """release the mm lock, then ANSWER: the page was there"""
    COMMITTED = 38
    """release the mm lock: the fault is done"""


@dataclass(slots=True)
class Fault:
    """A fault context: the vm_fault of protocol.md 0.1. Ticks count the checker's calls."""

    agent: int
    phase: Phase = Phase.IDLE
    known: bool = False
    """R0 has named the fault: the fields up to `attempt` are valid."""
    space: int = 0
    vpn: int = 0
    access: int = 0
    flags: int = 0
    port: int = 0
    tag: int = 0
    attempt: int = 0
    classic: bool = False
    holds_read_lock: bool = False
    holds_vma: bool = False
    waited_since: int = 0
    began: int = 0
    """Tick of R0."""
    record_since: int = 0
    """The record was read after this tick."""
    walk_began: int = 0
    """Tick of R3-R6."""
    invalidated: bool = False
    """An INVALIDATE hit the page since the walk began."""
    record: int = 0
    id: int = 0
    seq: int = 0
    vma_flags: int = 0
    page_prot: int = 0
    entry_address: int = 0
    entry: int = 0
    frame: int = 0
    owned: bool = False
    """`frame` was taken from the pool and is to be committed or returned."""
    locked: int = 0
    """Address of the leaf table whose lock is held; 0: none."""
    pte: int = 0
    reason: Outcome = Outcome.OK


class Sequences:
    """The sequence table: id to a 32-bit sequence, modulo its size. [contract, Sequence counters]"""

    __slots__ = ("_changed", "_generations", "_writers", "entries")

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self._generations: dict[int, int] = {}
        self._writers: dict[int, int] = {}
        self._changed: dict[int, int] = {}

    def value(self, vma_id: int) -> int:
        """`generation << 1 | (writers != 0)`"""
        index = vma_id % self.entries
        return self._generations.get(index, 0) << 1 | (self._writers.get(index, 0) != 0)

    def writers(self, vma_id: int) -> int:
        """Active writers of the entry."""
        return self._writers.get(vma_id % self.entries, 0)

    def changed_at(self, vma_id: int) -> int:
        """Tick of the last BEGIN or END of the entry."""
        return self._changed.get(vma_id % self.entries, 0)

    def begin(self, vma_id: int, now: int) -> None:
        """`SEQ.BEGIN`: "generation + 1, writers + 1"."""
        index = vma_id % self.entries
        self._generations[index] = self._generations.get(index, 0) + 1 & 0x7FFFFFFF
        self._writers[index] = self._writers.get(index, 0) + 1
        self._changed[index] = now

    def end(self, vma_id: int, now: int) -> None:
        """`SEQ.END`: "writers - 1"."""
        index = vma_id % self.entries
        self._writers[index] -= 1
        self._changed[index] = now

    def open_entries(self) -> list[int]:
        """Entries with active writers."""
        return [index for index, writers in self._writers.items() if writers]


@dataclass(slots=True)
class Frames:
    """Where every offered frame (PPN) is: free, taken by an agent, or mapped at the address of a leaf entry. [protocol.md I4]"""

    free: set[int] = field(default_factory=set)
    taken: dict[int, int] = field(default_factory=dict)
    home: dict[int, int] = field(default_factory=dict)
    """Frame to entry address, of the entries that the engine committed."""
    mapped: dict[int, int] = field(default_factory=dict)
    """Entry address to frame."""

    def unmap(self, address: int) -> None:
        """The entry at `address` no longer maps the frame that the engine committed there."""
        frame = self.mapped.pop(address, None)
        if frame is not None:
            del self.home[frame]


@dataclass(slots=True)
class Update:
    """The A/D update under way: the entry as golden knew it at AD_LOCK, and the one to be written."""

    space: int
    vpn: int
    address: int
    old: int
    new: int
    possible: bool
    """`new` is `old` with A or D set: the swap may succeed."""
    began: int
    """Tick of AD_LOCK."""


class State:
    """Everything that a step may depend on.

    Attributes
    ----------
    now : tick of the step in execution.
    pte_locks : leaf table address to the agent that holds its lock.
    mm_writers : spaces under MM_LOCK. mm_readers : space to the contexts that hold its mm lock as readers.
    command_step : tick of the command unit's last step.
    update : the A/D update under way.
    leaf_changed : tick of the last change of a leaf entry by the engine. invalidated : tick of the last INVALIDATE.
    """

    def __init__(
        self, *, max_retries: int, sequence_entries: int, policy: str, zero_frame: int, spaces: int, contexts: int, bus_errors: bool,
    ) -> None:  # fmt: skip
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}")
        if not 0 < contexts < COMMAND_UNIT:
            raise ValueError(f"contexts must be 1 to {COMMAND_UNIT - 1}, not {contexts!r}")
        self.max_retries = max_retries
        self.policy = policy
        self.zero_frame = zero_frame
        self.spaces = spaces
        self.bus_errors = bus_errors
        self.now = 0
        self.memory = Memory()
        self.tables = TableMap(self.memory, lambda space, level, vpn, pte: None)
        self.sequences = Sequences(sequence_entries)
        self.frames = Frames()
        self.pte_locks: dict[int, int] = {}
        self.mm_writers: set[int] = set()
        self.mm_readers: dict[int, set[int]] = {}
        self.mm_released: dict[int, int] = {}
        self.leaf_changed = 0
        self.command_step = 0
        self.invalidated = 0
        self.update: Update | None = None
        self.faults = [Fault(agent) for agent in range(contexts)]

    def classic_from(self) -> int:
        """The first attempt (from 0) that is made under the mm lock."""
        return 0 if self.policy == "mm-lock" else self.max_retries


def expect_phase(fault: Fault, phase: Phase) -> None:
    """The step is the next of this context."""
    if fault.phase != phase:
        raise NotAllowed(f"context {fault.agent} is to do {fault.phase.name} next")


def fail(fault: Fault, reason: Outcome) -> None:
    """The attempt ends here; UNDO follows."""
    fault.phase = Phase.FAILED
    fault.reason = reason


def bus_error(state: State, fault: Fault) -> None:
    """A step met a bus error: allowed only where the test injects them."""
    if not state.bus_errors:
        raise NotAllowed("BUS_ERROR although memory answers every access")
    fail(fault, Outcome.BUS_ERROR)

"""The world of the checker: everything that the engine's steps so far have left, as plain data by address, space, id and frame number."""

from dataclasses import dataclass, field

from ..layout import COMMAND_UNIT, Outcome
from ..protocol.world import POLICIES, NotAllowed, Phase, Safeguard, fail
from .history import Memory
from .lookups import table_of
from .tables import TableMap

__all__ = ["Fault", "Frames", "Sequences", "State", "Update", "bus_error"]

RUNNING = frozenset((*map(Phase, range(Phase.R1, Phase.R18 + 1)), Phase.FAILED))
"""An attempt is being made."""


@dataclass(slots=True)
class Fault:
    """A fault context, with what the checker remembers of the request and of the time. Ticks count the checker's calls."""

    agent: int
    phase: int = Phase.IDLE
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
    pinned: bool = False
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
    locked: int = 0
    pte: int = 0
    reason: int = Outcome.OK


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
    """Everything that a step may depend on. [World]

    Attributes
    ----------
    now : tick of the step in execution.
    pte_locks : leaf table address to the agent that holds its lock.
    mm_writers : spaces under MM_LOCK. mm_released : space to the tick of its last MM_UNLOCK.
    mm_claimed : a fault has seen a writer wait for this space's mm lock, so its MM_LOCK is the command unit's next step.
    command_step : tick of the command unit's last step.
    update : the A/D update under way.
    leaf_changed : tick of the last change of a leaf entry by the engine. invalidated : tick of the last INVALIDATE.
    unknown : entries whose write met a bus error: nobody knows what they hold.
    """

    removed: frozenset[Safeguard] = frozenset()
    copies_on_write = False

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
        self._mm_readers: dict[int, set[int]] = {}
        self.mm_claimed: int | None = None
        self.mm_released: dict[int, int] = {}
        self.leaf_changed = 0
        self.command_step = 0
        self.invalidated = 0
        self.unknown: set[int] = set()
        self.update: Update | None = None
        self.faults = [Fault(agent) for agent in range(contexts)]

    # --- VMAs -------------------------------------------------------------------------------------------------------

    def sequence(self, vma_id: int) -> int:
        return self.sequences.value(vma_id)

    def is_linked(self, vma_id: int) -> bool:
        return True

    def begin_section(self, vma_id: int) -> None:
        self.sequences.begin(vma_id, self.now)

    def end_section(self, vma_id: int) -> None:
        self.sequences.end(vma_id, self.now)

    def active_writers(self, vma_id: int) -> int:
        return self.sequences.writers(vma_id)

    def vma_holders(self, vma_id: int) -> list[int]:
        entries = self.sequences.entries
        return [fault.agent for fault in self.faults if fault.holds_vma and fault.id % entries == vma_id % entries]

    def page_prot_now(self, vma_id: int) -> int:
        raise NotAllowed("the engine writes what its snapshot says")

    # --- page tables ------------------------------------------------------------------------------------------------

    def parent_is_same(self, agent: int) -> bool:
        """Decided by the INVALIDATEs since the walk began. [contract, PTE locks: "with the IOTINVAL.VMA before the SEQ.END"]"""
        return not self.faults[agent].invalidated

    def table_of(self, address: int) -> int:
        return table_of(address)

    def read_entry(self, address: int) -> int:
        return self.memory.read(address)

    def write_entry(self, address: int, pte: int) -> None:
        old = self.memory.read(address)
        self.memory.write_unsettled(address, pte, self.now)
        self.tables.entry_written(address, old, pte)
        self.leaf_changed = self.now

    def lock_holder(self, table: int) -> int | None:
        return self.pte_locks.get(table)

    def take_lock(self, table: int, agent: int) -> None:
        self.pte_locks[table] = agent

    def drop_lock(self, table: int) -> None:
        del self.pte_locks[table]
        for address in [address for address in self.memory.unsettled if table_of(address) == table and address not in self.unknown]:
            self.memory.settle(address, self.now)
            self.leaf_changed = self.now

    # --- frames, mm lock, fence -------------------------------------------------------------------------------------

    def take_frame(self, frame: int, agent: int) -> None:
        self.frames.free.remove(frame)
        self.frames.taken[frame] = agent

    def return_frame(self, frame: int) -> None:
        del self.frames.taken[frame]
        self.frames.free.add(frame)

    def map_frame(self, frame: int, address: int) -> None:
        del self.frames.taken[frame]
        self.frames.home[frame] = address
        self.frames.mapped[address] = frame

    def unmap_frame(self, address: int) -> None:
        self.frames.unmap(address)

    def copy_page(self, pte: int, frame: int) -> None:
        raise NotAllowed("the engine leaves copy on write to software")

    def flush_page(self, address: int) -> None:
        raise NotAllowed("the engine leaves copy on write to software")

    def mm_writer(self, space: int) -> bool:
        return space in self.mm_writers

    def mm_readers(self, space: int) -> set[int]:
        return self._mm_readers.setdefault(space, set())

    def set_mm_writer(self, space: int, held: bool) -> None:
        if held:
            self.mm_writers.add(space)
        else:
            self.mm_writers.remove(space)
            self.mm_released[space] = self.now

    def set_mm_reader(self, space: int, agent: int, held: bool) -> None:
        readers = self.mm_readers(space)
        if held:
            readers.add(agent)
        else:
            readers.remove(agent)

    def unfenced(self) -> list[int]:
        """Commands run in order, so the fence started after the command unit's step before."""
        return [fault.agent for fault in self.faults if fault.phase in RUNNING and fault.began < self.command_step]


def bus_error(state: State, fault: Fault) -> None:
    """A step met a bus error: allowed only where the test injects them."""
    if not state.bus_errors:
        raise NotAllowed("BUS_ERROR although memory answers every access")
    fail(fault, Outcome.BUS_ERROR)

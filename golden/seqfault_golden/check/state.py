"""The world of the checker: everything that the engine's steps so far have left, as plain data by address, space, id and frame number."""

from dataclasses import dataclass, field

from ..layout import COMMAND_UNIT, PAGE_BITS, Outcome
from ..protocol.plain_world import RUNNING, PlainFault, PlainWorld
from ..protocol.world import POLICIES, NotAllowed, Safeguard, fail
from .history import Memory
from .lookups import table_of
from .tables import TableMap

__all__ = ["Fault", "Frames", "State", "Update", "bus_error"]


@dataclass(slots=True)
class Fault(PlainFault):
    """A fault context, with what the checker remembers of the request and of the time. Ticks count the checker's calls."""

    known: bool = False
    """R0 has named the fault: its request and attempt are valid."""
    port: int = 0
    tag: int = 0
    began: int = 0
    """Tick of R0."""
    record_since: int = 0
    """The record was read after this tick."""
    walk_began: int = 0
    """Tick of R3-R6, or of the TABLE after which the walk began again."""


@dataclass(slots=True)
class Frames:
    """Where every offered frame (PPN) is: free, taken by an agent, or mapped by the entry at an address (as page or table). [protocol.md I4]"""

    free: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)
    """Of the free ones, those into which a page may have been copied."""
    taken: dict[int, int] = field(default_factory=dict)
    home: dict[int, int] = field(default_factory=dict)
    """Frame to entry address, of the entries that the engine committed."""
    mapped: dict[int, int] = field(default_factory=dict)
    """Entry address to frame."""
    slots: dict[int, int] = field(default_factory=dict)
    """Entry address to slot address, of the entries for which the engine took the frame from the page cache."""

    def unmap(self, address: int) -> None:
        """The entry at `address` no longer maps the frame that the engine committed there."""
        self.slots.pop(address, None)
        frame = self.mapped.pop(address, None)
        if frame is not None:
            del self.home[frame]


@dataclass(slots=True)
class Update:
    """The A/D update under way: the entry as golden knew it at AD_LOCK, and the one to be written."""

    space: int
    vpn: int
    address: int
    olds: list[int]
    """Entries that its request may have found, and of which `new` is the one with A or D set: it swaps one of them."""
    old: int
    new: int
    possible: bool
    """`old` is one of `olds`: the swap may succeed."""
    began: int
    """Tick of AD_LOCK."""
    done: bool = False
    """Software has found `new`, and written over it."""


class State(PlainWorld):
    """Everything that a step may depend on. [World]

    Attributes
    ----------
    mm_released : space to the tick of its last MM_UNLOCK.
    mm_claimed : a fault has seen a writer wait for this space's mm lock, so its MM_LOCK is the command unit's next step.
    command_step : tick of the command unit's last step.
    update : the A/D update under way.
    leaf_changed : tick of the last change of an entry by the engine. invalidated : tick of the last INVALIDATE.
    unknown : entries whose write met a bus error, and the tick of that: nobody knows what they hold, until a walk that began later has read them.
    early : entries of a fault-around that a walk has found before AROUND tells of them.
    """

    removed: frozenset[Safeguard] = frozenset()

    def __init__(
        self, *, max_retries: int, sequence_entries: int, policy: str, zero_frame: int, spaces: int, contexts: int, bus_errors: bool,
        unzeroed: bool = False,
    ) -> None:  # fmt: skip
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}")
        if not 0 < contexts < COMMAND_UNIT:
            raise ValueError(f"contexts must be 1 to {COMMAND_UNIT - 1}, not {contexts!r}")
        self.faults = [Fault(agent) for agent in range(contexts)]
        super().__init__(self.faults, sequence_entries)
        self.max_retries = max_retries
        self.policy = policy
        self.zero_frame = zero_frame
        self.spaces = spaces
        self.bus_errors = bus_errors
        self.unzeroed = unzeroed
        self.memory = Memory()
        self.tables = TableMap(self.memory, lambda space, level, vpn, pte: None)
        self.frames = Frames()
        self.mm_claimed: int | None = None
        self.mm_released: dict[int, int] = {}
        self.leaf_changed = 0
        self.command_step = 0
        self.invalidated = 0
        self.unknown: dict[int, int] = {}
        self.early: set[int] = set()
        self.update: Update | None = None

    def page_prot_now(self, vma_id: int) -> int:
        raise NotAllowed("the engine writes what its snapshot says")

    # --- page tables ------------------------------------------------------------------------------------------------

    def invalidate(self, space: int, first: int, pages: int) -> None:
        super().invalidate(space, first, pages)
        self.invalidated = self.now

    def read_entry(self, address: int) -> int:
        return self.memory.read(address)

    def write_entry(self, address: int, pte: int) -> None:
        old = self.memory.read(address)
        self.memory.write_unsettled(address, pte, self.now)
        self.tables.entry_written(address, old, pte)
        self.leaf_changed = self.now

    def entry_read(self, address: int, pte: int, since: int) -> None:
        """A walk that began at tick `since` has read this: what an unknown entry holds is known then."""
        if self.unknown.get(address, since) < since:
            del self.unknown[address]
            assumed = self.memory.read(address)
            if pte == assumed:
                self.memory.settle(address, self.now)
            else:
                self.memory.revert(address)
                self.tables.entry_written(address, assumed, pte)

    def drop_lock(self, table: int) -> None:
        super().drop_lock(table)
        for address in [address for address in self.memory.unsettled if table_of(address) == table and address not in self.unknown]:
            self.memory.settle(address, self.now)
            self.leaf_changed = self.now

    # --- frames, mm lock, fence -------------------------------------------------------------------------------------

    def take_frame(self, frame: int, agent: int) -> None:
        self.frames.free.remove(frame)
        self.frames.used.discard(frame)
        self.frames.taken[frame] = agent

    def return_frame(self, frame: int, *, used: bool) -> None:
        del self.frames.taken[frame]
        self.frames.free.add(frame)
        if used:
            self.frames.used.add(frame)

    def map_frame(self, frame: int, address: int) -> None:
        del self.frames.taken[frame]
        self.frames.home[frame] = address
        self.frames.mapped[address] = frame

    def unmap_frame(self, address: int) -> None:
        self.frames.unmap(address)

    def can_release(self) -> bool:
        """Only the engine knows: see `RELEASED_FULL`."""
        return True

    def release(self, agent: int, entry: int) -> None:
        """What the ring holds is software's matter."""

    def copy_page(self, source: int, frame: int) -> None:
        """The data of frames is not modelled; the frame is no page table any more."""
        for address in self._words_of(frame):
            del self.memory.words[address]
        self.tables.ever.discard(frame)

    def zero_page(self, frame: int) -> None:
        for address in self._words_of(frame):
            self.memory.write(address, 0, self.now)

    def _words_of(self, frame: int) -> list[int]:
        """Addresses of the words in a frame that are known and not 0."""
        words = self.memory.words
        return [address for address in range(frame << PAGE_BITS, frame + 1 << PAGE_BITS, 8) if words.get(address)]

    def expect_zeros(self, frame: int) -> None:
        """What becomes a page table is empty."""
        for address in self._words_of(frame):
            raise NotAllowed(f"frame {frame:#x} becomes a page table, and has {self.memory.read(address):#x} at {address:#x}")

    def set_mm_writer(self, space: int, held: bool) -> None:
        super().set_mm_writer(space, held)
        if not held:
            self.mm_released[space] = self.now

    def unfenced(self) -> list[int]:
        """Commands run in order, so the fence started after the command unit's step before."""
        return [fault.agent for fault in self.faults if fault.phase in RUNNING and fault.began < self.command_step]


def bus_error(state: State, fault: Fault) -> None:
    """A step met a bus error: allowed only where the test injects them."""
    if not state.bus_errors:
        raise NotAllowed("BUS_ERROR although memory answers every access")
    fail(fault, Outcome.BUS_ERROR)

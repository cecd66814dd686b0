"""The world of the replay: memory as it is now, and what the engine itself holds, as plain data. No time, no windows."""

from collections.abc import Sequence

from ..layout import EVERY_SPACE
from ..lookups import read_record
from ..protocol.world import POLICIES, NotAllowed, Phase, Safeguard
from .context import Context
from .outside import Outside

__all__ = ["ReplayWorld"]

RUNNING = frozenset((*map(Phase, range(Phase.R1, Phase.R18 + 1)), Phase.FAILED))
"""An attempt is being made."""
WALKED = frozenset(map(Phase, range(Phase.R7, Phase.R18 + 1)))
"""An INVALIDATE of the page is to be noticed by C2."""
TABLE_BITS = 12


class ReplayWorld:
    """Everything that a step may depend on. [World]

    Attributes
    ----------
    tables, features, vmas : per space the words of SPACE.TABLE, its options (ADUE, PBMTE, NAPOT from bit 0 on), and of SPACE.VMAS.
    spare : frames that an undo returned; they are taken before the ring's. taken : frames that a context owns.
    mm_wanted : spaces whose mm lock a writer waits for: "`MM.LOCK` stops new readers".
    fenced : agents that a fence waits for.
    """

    copies_on_write = False

    def __init__(
        self, outside: Outside, contexts: Sequence[Context], *, spaces: int, max_retries: int, sequence_entries: int,
        removed: frozenset[Safeguard] = frozenset(),
    ) -> None:  # fmt: skip
        self.removed = removed
        self.policy = POLICIES[0]
        self.max_retries = max_retries
        self.zero_frame = 0
        self.tables = [0] * spaces
        self.features = [0] * spaces
        self.vmas = [0] * spaces
        self.spare: list[int] = []
        self.taken: dict[int, int] = {}
        self.mm_wanted: set[int] = set()
        self.fenced: set[int] = set()
        self._outside = outside
        self._contexts = contexts
        self._sequence_entries = sequence_entries
        self._generations: dict[int, int] = {}
        self._writers: dict[int, int] = {}
        self._pte_locks: dict[int, int] = {}
        self._mm_writers: set[int] = set()
        self._mm_readers: list[set[int]] = [set() for _ in range(spaces)]

    # --- VMAs -------------------------------------------------------------------------------------------------------

    def sequence(self, vma_id: int) -> int:
        """ "generation << 1 | (writers != 0)", modulo the size of the table. [contract, Sequence counters]"""
        index = vma_id % self._sequence_entries
        return self._generations.get(index, 0) << 1 | (self._writers.get(index, 0) != 0)

    def is_linked(self, vma_id: int) -> bool:
        return True

    def begin_section(self, vma_id: int) -> None:
        index = vma_id % self._sequence_entries
        self._generations[index] = self._generations.get(index, 0) + 1 & 0x7FFFFFFF
        self._writers[index] = self._writers.get(index, 0) + 1

    def end_section(self, vma_id: int) -> None:
        self._writers[vma_id % self._sequence_entries] -= 1

    def active_writers(self, vma_id: int) -> int:
        return self._writers.get(vma_id % self._sequence_entries, 0)

    def vma_holders(self, vma_id: int) -> list[int]:
        entries = self._sequence_entries
        return [context.agent for context in self._contexts if context.holds_vma and context.id % entries == vma_id % entries]

    def page_prot_now(self, vma_id: int) -> int:
        record = next(context.record for context in self._contexts if context.id == vma_id)
        return read_record(self._outside.read, record).page_prot

    # --- page tables ------------------------------------------------------------------------------------------------

    def invalidate(self, space: int, first: int, pages: int) -> None:
        """INVALIDATE: no walk that began before may be trusted by a fault of these pages (C2); `pages` 0: all."""
        for context in self._contexts:
            request = context.request
            if request is None or context.phase not in WALKED:
                continue
            if space in (EVERY_SPACE, request.space) and (pages == 0 or first <= request.vpn < first + pages):
                context.invalidated = True

    def parent_is_same(self, agent: int) -> bool:
        """Decided by the INVALIDATEs since the walk began. [contract, PTE locks: "with the IOTINVAL.VMA before the SEQ.END"]"""
        return not self._contexts[agent].invalidated

    def table_of(self, address: int) -> int:
        return address >> TABLE_BITS << TABLE_BITS

    def read_entry(self, address: int) -> int:
        return self._outside.read(address)

    def write_entry(self, address: int, pte: int) -> None:
        self._outside.write(address, pte)

    def lock_holder(self, table: int) -> int | None:
        return self._pte_locks.get(table)

    def take_lock(self, table: int, agent: int) -> None:
        self._pte_locks[table] = agent

    def drop_lock(self, table: int) -> None:
        del self._pte_locks[table]

    # --- frames, mm lock, fence -------------------------------------------------------------------------------------

    def offered_frame(self) -> int | None:
        """The frame that R9 may take; None: there is none."""
        return self.spare[-1] if self.spare else self._outside.offered_frame()

    def take_frame(self, frame: int, agent: int) -> None:
        if self.spare:
            self.spare.remove(frame)
        else:
            self._outside.consume_frame()
        self.taken[frame] = agent

    def return_frame(self, frame: int) -> None:
        del self.taken[frame]
        self.spare.append(frame)

    def map_frame(self, frame: int, address: int) -> None:
        del self.taken[frame]

    def unmap_frame(self, address: int) -> None:
        """Whose frame it was, the released ring says."""

    def copy_page(self, pte: int, frame: int) -> None:
        raise NotAllowed("the engine leaves copy on write to software")

    def flush_page(self, address: int) -> None:
        raise NotAllowed("the engine leaves copy on write to software")

    def mm_writer(self, space: int) -> bool:
        return space in self._mm_writers

    def mm_readers(self, space: int) -> set[int]:
        return self._mm_readers[space]

    def set_mm_writer(self, space: int, held: bool) -> None:
        if held:
            self._mm_writers.add(space)
        else:
            self._mm_writers.remove(space)

    def set_mm_reader(self, space: int, agent: int, held: bool) -> None:
        readers = self._mm_readers[space]
        if held:
            readers.add(agent)
        else:
            readers.remove(agent)

    def start_fence(self) -> None:
        """A fence begins to wait, for the attempts that run now."""
        self.fenced = {context.agent for context in self._contexts if context.phase in RUNNING}

    def attempt_moved(self, context: Context) -> None:
        """A context has taken a step: whoever no longer runs its attempt is waited for no longer."""
        if context.phase not in RUNNING:
            self.fenced.discard(context.agent)

    def unfenced(self) -> list[int]:
        return sorted(self.fenced)

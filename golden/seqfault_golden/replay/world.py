"""The world of the replay: memory as it is now, and what the engine itself holds, as plain data. No time, no windows."""

from collections.abc import Sequence

from ..lookups import read_record
from ..protocol.plain_world import RUNNING, PlainWorld
from ..protocol.world import POLICIES, Safeguard
from .context import Context
from .outside import Outside

__all__ = ["ReplayWorld"]


class ReplayWorld(PlainWorld):
    """Everything that a step may depend on. [World]

    Attributes
    ----------
    tables, features, vmas : per space the words of SPACE.TABLE, its options (ADUE, PBMTE, NAPOT from bit 0 on), and of SPACE.VMAS.
    spare, used : frames that an undo returned; they are taken before the ring's. `used`: a page was copied into them, and only for that they are
        taken. taken : frames that a context owns.
    mm_wanted : spaces whose mm lock a writer waits for: "`MM.LOCK` stops new readers".
    fenced : agents that a fence waits for.
    """

    def __init__(
        self, outside: Outside, contexts: Sequence[Context], *, spaces: int, max_retries: int, sequence_entries: int,
        removed: frozenset[Safeguard] = frozenset(),
    ) -> None:  # fmt: skip
        super().__init__(contexts, sequence_entries)
        self.removed = removed
        self.policy = POLICIES[0]
        self.max_retries = max_retries
        self.zero_frame = 0
        self.unzeroed = False
        self.tables = [0] * spaces
        self.features = [0] * spaces
        self.vmas = [0] * spaces
        self.spare: list[int] = []
        self.used: list[int] = []
        self.taken: dict[int, int] = {}
        self.mm_wanted: set[int] = set()
        self.fenced: set[int] = set()
        self._outside = outside
        self._contexts = contexts

    def page_prot_now(self, vma_id: int) -> int:
        record = next(context.record for context in self._contexts if context.id == vma_id)
        return read_record(self._outside.read, record).page_prot

    # --- page tables ------------------------------------------------------------------------------------------------

    def read_entry(self, address: int) -> int:
        return self._outside.read(address)

    def write_entry(self, address: int, pte: int) -> None:
        self._outside.write(address, pte)

    # --- frames, mm lock, fence -------------------------------------------------------------------------------------

    def offered_frame(self, *, copies: bool) -> int | None:
        """The frame that R9 may take, to copy into it or not; None: there is none."""
        for frames in (self.used if copies else [], self.spare):
            if frames:
                return frames[-1]
        return self._outside.offered_frame()

    def take_frame(self, frame: int, agent: int) -> None:
        returned = next((frames for frames in (self.used, self.spare) if frame in frames), None)
        if returned is not None:
            returned.remove(frame)
        else:
            self._outside.consume_frame()
        self.taken[frame] = agent

    def return_frame(self, frame: int, *, used: bool) -> None:
        del self.taken[frame]
        (self.used if used else self.spare).append(frame)

    def map_frame(self, frame: int, address: int) -> None:
        del self.taken[frame]

    def unmap_frame(self, address: int) -> None:
        """Whose frame it was, the released ring says."""

    def can_release(self) -> bool:
        return self._outside.has_room_for_released()

    def release(self, agent: int, entry: int) -> None:
        context = self._contexts[agent]
        self._outside.put_released(entry, context.space, context.vpn)

    def copy_page(self, source: int, frame: int) -> None:
        self._outside.copy_page(source, frame)

    def zero_page(self, frame: int) -> None:
        self._outside.zero_page(frame)

    def start_fence(self) -> None:
        """A fence begins to wait, for the attempts that run now."""
        self.fenced = {context.agent for context in self._contexts if context.phase in RUNNING}

    def attempt_moved(self, context: Context) -> None:
        """A context has taken a step: whoever no longer runs its attempt is waited for no longer."""
        if context.phase not in RUNNING:
            self.fenced.discard(context.agent)

    def unfenced(self) -> list[int]:
        return sorted(self.fenced)

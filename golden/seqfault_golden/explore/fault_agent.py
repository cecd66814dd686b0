"""A fault as an agent: the reader's steps, with what is in the world now."""

from collections.abc import Callable

from ..layout import PTE_V, PTE_W, Access, Outcome, VmaFlag, pte_ppn
from ..protocol import commit_steps, exit_steps, find_steps
from ..protocol.plan import Plan, clears
from ..protocol.world import RETRIED, Phase, Safeguard, classic_from, keeps
from .cells import Part
from .parts import HUGE, HUGE_PTE, SLOT_AT, Cpu, FaultCells, Violation
from .sentences import SENTENCES
from .small_world import SmallWorld

__all__ = ["FaultAgent"]


class FaultAgent:
    """A fault of one page, with the CPU whose access it is. The steps are the protocol's.

    Parameters
    ----------
    page, access : of the fault.
    """

    def __init__(self, world: SmallWorld, *, page: int = 0, access: Access = Access.STORE) -> None:
        self.world = world
        self.number = len(world.faults)
        self.name = f"fault {self.number}"
        self.fault = FaultCells(world, self.number, page, access)
        self.cpu = Cpu(world, f"cpu {self.number}", page)
        self.parts: tuple[Part, ...] = (self.fault, self.cpu)
        world.faults.append(self.fault)
        world.cpus.append(self.cpu)
        self._steps: dict[int, Callable[[SmallWorld, FaultCells, int], None]] = {
            Phase.IDLE: self._begin, Phase.R1: self._find, Phase.R2: self._snapshot, Phase.R3: self._flags, Phase.R4: self._prot,
            Phase.R5: self._verdicts, Phase.R7: self._walk, Phase.R8: self._plain(commit_steps.r8), Phase.R9: self._allocate,
            Phase.R10: self._plain(commit_steps.r10), Phase.R11: self._plain(commit_steps.r11), Phase.R12: self._plain(commit_steps.r12),
            Phase.R13: self._lock, Phase.R14: self._plain(commit_steps.r14), Phase.R15: self._plain(commit_steps.r15),
            Phase.R16: self._plain(commit_steps.r16), Phase.R17: self._commit, Phase.R18: self._unlock, Phase.FAILED: self._undo,
            Phase.UNDONE: self._go_on, Phase.MAPPED: self._mapped, Phase.COMMITTED: self._release_mm, Phase.PAGE: self._look_up,
            Phase.FILL: self._fill, Phase.CLEAR: self._plain(commit_steps.clear), Phase.FLUSH: self._plain(commit_steps.flush),
            Phase.AROUND: self._around, Phase.TABLE: self._plain(commit_steps.table),
        }  # fmt: skip

    def choices(self) -> int:
        fault = self.fault
        if fault.ended:
            return 0
        if fault.phase == Phase.R13 and not fault.classic and keeps(self.world, Safeguard.TRYLOCK):
            return 2 if self.world.is_locked(self.world.table_of(fault.entry_address)) else 1
        return 1

    def take(self, choice: int) -> None:
        fault = self.fault
        self._steps[fault.phase](self.world, fault, choice)

    def next_step(self, choice: int) -> tuple[str, str]:
        fault = self.fault
        if fault.phase in (Phase.IDLE, Phase.UNDONE):
            return self._next_attempt()
        name, sentence = SENTENCES[Phase(fault.phase)]
        if fault.phase == Phase.R7:
            sentence = f"walks: reads the {('upper', 'pmd', 'leaf')[fault.walked]} entry"
        return name, sentence

    def _next_attempt(self) -> tuple[str, str]:
        fault = self.fault
        if fault.phase == Phase.UNDONE and fault.reason not in RETRIED:
            return ("MM_READ_UNLOCK", "drops the mm lock") if fault.holds_read_lock else ("HANDOVER", "software gets the fault in a page request")
        if self._needs_mm_lock():
            return "MM_READ_LOCK", "takes the mm lock as a reader, for a classic attempt"
        return "R0", "begins a classic attempt" if fault.holds_read_lock else "begins a speculative attempt"

    def outcome(self) -> str:
        fault = self.fault
        if fault.phase == Phase.FAILED:
            return f" -> {Outcome(fault.reason).name}"
        return ""

    # --- steps ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _plain(step: Callable[[SmallWorld, FaultCells], object]) -> Callable[[SmallWorld, FaultCells, int], None]:
        def take(world: SmallWorld, fault: FaultCells, choice: int) -> None:
            step(world, fault)

        return take

    def _needs_mm_lock(self) -> bool:
        fault, first = self.fault, classic_from(self.world)
        attempt = fault.attempt + 1 if fault.phase == Phase.UNDONE else 0
        return attempt >= first and not fault.holds_read_lock and keeps(self.world, Safeguard.MAX_RETRIES)

    def _begin(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        if self._needs_mm_lock():
            exit_steps.mm_read_lock(world, fault, 0)
            return
        find_steps.r0(world, fault)
        if not fault.classic and fault.attempt >= world.max_retries:
            raise Violation("at most max_retries speculative attempts", f"fault {fault.agent} begins speculative attempt {fault.attempt + 1}")

    def _find(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        vma = world.find(fault.page)
        if vma is None:
            find_steps.r1(world, fault, Outcome.NO_VMA, 0, 0)
        else:
            number = world.vmas.index(vma)
            find_steps.r1(world, fault, Outcome.OK, number, number)
            fault.pinned_vma = keeps(world, Safeguard.VMA_PIN)
            if not keeps(world, Safeguard.PREDICATES_AFTER_SNAPSHOT):
                fault.vma_flags = world.vma(number).flags

    def _snapshot(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        find_steps.r2(world, fault)

    def _flags(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        early = not keeps(world, Safeguard.PREDICATES_AFTER_SNAPSHOT)
        find_steps.r3(world, fault, fault.vma_flags if early else world.vma(fault.id).flags)

    def _prot(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        find_steps.r4(world, fault, world.vma(fault.id).prot)

    def _verdicts(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        vma = world.vma(fault.id)
        if find_steps.r5(world, fault, vma.start <= fault.page < vma.end) == Outcome.OK:
            find_steps.r6(world, fault)

    def _walk(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        if fault.walked == 0:
            fault.pinned = keeps(world, Safeguard.WALK_PIN)
            fault.walked = 1
            if not world.mm.upper:
                self._walk_ends(2, 0, 0)
        elif fault.walked == 1:
            fault.parent = world.slot(fault.page).value
            fault.walked = 2
            if fault.parent in (0, HUGE):
                self._walk_ends(1, SLOT_AT + fault.page // world.entries, HUGE_PTE if fault.parent else 0)
        else:
            address = fault.parent * world.entries + fault.page % world.entries
            self._walk_ends(0, address, world.read_entry(address))

    def _walk_ends(self, level: int, address: int, entry: int) -> None:
        self.fault.pinned = False
        self.fault.walked = 0
        find_steps.r7(self.world, self.fault, level, address, entry)

    def _look_up(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        find_steps.page(world, fault, *world.cached(fault.page))

    def _allocate(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        commit_steps.r9(world, fault, world.free_table() if fault.plan == Plan.TABLE else world.free_frame())

    def _fill(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        if fault.entry & PTE_V and world.mm.pending and keeps(world, Safeguard.PENDING_FLUSH):
            world.flush(fault.page)
        commit_steps.fill(world, fault)

    def _lock(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        commit_steps.r13(world, fault, bool(choice) or bool(fault.classic))

    def _commit(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        """R17, and what must be true of it at this instant."""
        if fault.entry == 0 and world.read_entry(fault.entry_address):
            raise Violation("I5", f"R17 silently overwrites the entry of page {fault.page}")
        commit_steps.r17(world, fault)
        if fault.plan == Plan.TABLE:
            return
        if fault.pte & PTE_W and world.frames[pte_ppn(fault.pte) - 1].sharers:
            raise Violation("I7", f"page {fault.page} may be written, whose frame {pte_ppn(fault.pte)} another space maps too")
        if clears(fault.plan, fault.entry):
            world.recycle(pte_ppn(fault.entry))
        if fault.access == Access.STORE and bool(fault.vma_flags & VmaFlag.WRITE) != bool(fault.pte & PTE_W):
            raise Violation("I3", f"page {fault.page} gets flags of one version of the VMA and page_prot of another")
        for number, slot in enumerate(world.slots):
            if slot.value == fault.parent and number != fault.page // world.entries:
                raise Violation("I3", f"the pte of page {fault.page} is installed in a table that translates other addresses now")

    def _around(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        """A window of one page: nothing is around it."""
        commit_steps.around(world, fault, ())

    def _unlock(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        commit_steps.r18(world, fault)
        reached = world.mm.upper and world.slots[fault.page // world.entries].value == fault.parent
        if reached or not keeps(world, Safeguard.FILL_BY_WALK):
            self.cpu.tlb = fault.pte
        self._forget()
        if fault.phase == Phase.IDLE:
            fault.ended = 1

    def _undo(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        exit_steps.undo(world, fault)
        self._forget()

    def _forget(self) -> None:
        """What the next attempt does not use."""
        self.world.mm.fence &= ~(1 << self.number)
        self.fault.clear(
            "record", "id", "seq", "vma_flags", "page_prot", "walked", "parent", "entry_address", "entry", "plan", "source", "frame",
            "pte", "pinned_vma",
        )  # fmt: skip

    def _go_on(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        if fault.reason in RETRIED:
            self._begin(world, fault, choice)
        elif fault.holds_read_lock:
            exit_steps.mm_read_unlock(world, fault, 0)
        else:
            if fault.reason == Outcome.ACCESS and not keeps(world, Safeguard.ERRORS_TO_SLOW_PATH):
                self._deliver_error(world)
            exit_steps.handover(world, fault, Outcome(fault.reason))
            exit_steps.answer(world, fault)
            fault.ended = 2

    def _deliver_error(self, world: SmallWorld) -> None:
        vma = world.find(self.fault.page)
        if vma is not None and vma.flags & VmaFlag.WRITE:
            raise Violation("no spurious error", f"page {self.fault.page} may be written, yet its fault ends with SIGSEGV")

    def _mapped(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        self._forget()
        if fault.holds_read_lock:
            exit_steps.mm_read_unlock(world, fault, 0)
        else:
            exit_steps.answer(world, fault)
            fault.ended = 1

    def _release_mm(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        exit_steps.mm_read_unlock(world, fault, 0)
        fault.ended = 1

"""Pages that are shared and copied on write: fork, userfault write-protection, a device's notifier, a private mapping's driver. [protocol.md 8]"""

from ...layout import PTE_EXCLUSIVE, PTE_V, PTE_W, pte_ppn
from ...protocol.world import NotYet, Safeguard
from .. import moves
from ..cells import Part
from ..fault_agent import FaultAgent
from ..parts import Cpu, FaultCells, Violation
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .common import cast, map_page, world_of_one_page

__all__ = ["CASES", "SCENARIOS"]

WRITTEN = 1
"""Content of a frame after the other thread's write."""


def _other_thread(world: SmallWorld, pte: int) -> tuple[Cpu, tuple[str, tuple[Line, ...]]]:
    """A thread on a CPU of its own, whose TLB holds `pte`: it writes to page 0 once, unless its TLB was flushed before."""
    cpu = Cpu(world, "cpu of the thread", 0)
    cpu.tlb = pte
    world.cpus.append(cpu)

    def act(world: SmallWorld, me: Program) -> None:
        if cpu.tlb & PTE_W:
            world.frames[pte_ppn(cpu.tlb) - 1].content = WRITTEN
            me.cells.a = 1

    return cpu, ("thread", (moves.line("store", "writes to the page through its TLB, if that still lets it", act),))


def _write_survives(world: SmallWorld, thread: Program) -> None:
    """ "its write is lost": the page that the process sees at the end has what its thread wrote. [protocol.md R2, R19]"""
    pte = world.ptes[0].pte
    if thread.cells.a and pte & PTE_V and world.frames[pte_ppn(pte) - 1].content != WRITTEN:
        raise Violation("no write is lost", f"the thread's write is not in frame {pte_ppn(pte)}, which its process has now")


def _copying(removed: frozenset[Safeguard], name: str, lines: tuple[Line, ...], *, exclusive: bool = False) -> Built:
    """Page 0 is mapped writable (`exclusive`: and nowhere else); a fault, a program that takes the right away, and a thread that may still have it in
    its TLB."""
    world = world_of_one_page(removed)
    pte = map_page(world, 1, 1)
    world.ptes[0].pte |= PTE_EXCLUSIVE * exclusive
    built = cast(world, 1, (name, lines))
    _, (thread_name, thread_lines) = _other_thread(world, pte)
    thread = Program(world, thread_name, 2, thread_lines)

    def at_end(world: SmallWorld) -> None:
        built.at_end(world)
        _write_survives(world, thread)

    return Built(world=world, agents=(*built.agents, thread), at_end=at_end)


def _fork(removed: frozenset[Safeguard]) -> Built:
    def share(world: SmallWorld, me: Program) -> None:
        world.frames[0].sharers = 1

    def no_writable_entry(world: SmallWorld, me: Program) -> None:
        for cpu in world.cpus:
            if cpu.tlb & PTE_W and world.frames[pte_ppn(cpu.tlb) - 1].sharers:
                raise Violation("I7", f"after F4 {cpu.name} may still write to frame {pte_ppn(cpu.tlb)}, which the child has too")

    lines = (
        moves.mm_lock(),
        *moves.unless(Safeguard.SEQUENCE, moves.begin(0, "F1")),
        moves.lock(1, "F2"),
        moves.protect(1, "F2", share=True),
        moves.line("F2", "the child maps the page too", share),
        moves.unlock(1, "F2"),
        *moves.only(Safeguard.FLUSH_IN_SECTION, moves.end(0, "F4")),
        moves.flush("F3"),
        *moves.unless((Safeguard.SEQUENCE, Safeguard.FLUSH_IN_SECTION), moves.end(0, "F4")),
        moves.line("F4", "nobody may write to the shared page through a TLB now", no_writable_entry),
        moves.mm_unlock(),
    )
    return _copying(removed, "fork", lines, exclusive=True)


def _shared_page(removed: frozenset[Safeguard]) -> SmallWorld:
    """Page 0 is mapped read-only, as the child of a fork has it too."""
    world = world_of_one_page(removed, frames=3)
    world.ptes[0].pte = map_page(world, 1, 1) & ~PTE_W
    world.frames[0].sharers = 1
    return world


def _copy(removed: frozenset[Safeguard]) -> Built:
    """Two faults of two threads copy the page that a third thread reads."""
    world = _shared_page(removed)
    cpu = Cpu(world, "cpu of the reader", 0)
    cpu.tlb = world.ptes[0].pte
    world.cpus.append(cpu)
    return cast(world, 2)


def _write_protect(removed: frozenset[Safeguard]) -> Built:
    """UFFDIO_WRITEPROTECT under the mm lock as a reader, without a section; the flush is put off."""

    def pending(value: int) -> Line:
        def act(world: SmallWorld, me: Program) -> None:
            world.mm.pending = value

        return moves.line("flush", "notes that a flush is put off" if value else "no flush is put off any more", act)

    lines = (
        moves.lock(1, "W3"),
        pending(1),
        moves.protect(1),
        moves.unlock(1, "W3"),
        moves.flush(),
        pending(0),
    )
    return _copying(removed, "UFFDIO_WRITEPROTECT", lines)


class _Device(Part):
    """A device with a TLB of its own. `registered`: its notifier is; `told`: the fault that copies has seen that."""

    registered: int
    told: int
    tlb: int


class _NotifyingFault(FaultAgent):
    """A copy on write tells the registered notifiers: "mmu_notifier_invalidate_range_start" before the copy, and the device at the commit."""

    def __init__(self, world: SmallWorld) -> None:
        super().__init__(world)
        self.device = _Device(world, "device")

    def _allocate(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        self.device.told = self.device.registered
        super()._allocate(world, fault, choice)

    def _commit(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        super()._commit(world, fault, choice)
        if self.device.told:
            self.device.tlb = 0

    def _forget(self) -> None:
        super()._forget()
        self.device.told = 0


def _notifier(removed: frozenset[Safeguard]) -> Built:
    """A device registers its notifier and reads the page's entry while a fault copies the page, which the child of a fork has too."""
    world = _shared_page(removed)
    fault = _NotifyingFault(world)
    device = fault.device

    def register(world: SmallWorld, me: Program) -> None:
        device.registered = 1

    def read(world: SmallWorld, me: Program) -> None:
        device.tlb = world.read_entry(1)

    def at_end(world: SmallWorld) -> None:
        if device.tlb and pte_ppn(device.tlb) != pte_ppn(world.ptes[0].pte):
            raise Violation("no stale TLB entry", "the device still uses the page that was copied, and nobody tells it")

    lines = (
        moves.mm_lock(),
        *moves.section(
            0,
            moves.line("register", "the device's notifier is registered", register),
        ),
        moves.lock(1),
        moves.line("read", "the device loads the pte into its own table", read),
        moves.unlock(1),
        moves.mm_unlock(),
    )
    return Built(world=world, agents=(fault, Program(world, "device", 1, lines)), at_end=at_end)


def _driver(removed: frozenset[Safeguard]) -> Built:
    """munmap of a driver's VMA (VM_PFNMAP) against the driver's own unmap_mapping_range, which finds VMAs by the reverse map and frees the page."""
    world = world_of_one_page(removed)
    world.vmas[0].rmap = 1
    pte = map_page(world, 1, 1)
    cpu = Cpu(world, "cpu", 0)
    cpu.tlb = pte
    world.cpus.append(cpu)

    def out_of_rmap(world: SmallWorld, me: Program) -> None:
        world.vmas[0].rmap = 0

    def unmap(world: SmallWorld, me: Program) -> str | None:
        if not world.vmas[0].rmap:
            return "free"
        if world.lock_holder(1) is not None:
            raise NotYet("the PTE lock is held")
        return None

    leave_rmap = moves.line("U3", "takes the VMA out of the reverse map", out_of_rmap)
    munmap = (
        moves.mm_lock(),
        *moves.unlink(0),
        moves.lock(1, "U2"),
        moves.zap(1),
        moves.unlock(1, "U2"),
        *moves.only(Safeguard.FLUSH_BEFORE_RMAP, leave_rmap),
        moves.flush("U2"),
        *moves.unless(Safeguard.FLUSH_BEFORE_RMAP, leave_rmap),
        moves.mm_unlock(),
    )

    def free(world: SmallWorld, me: Program) -> None:
        world.recycle(1)

    driver = (
        moves.line("unmap", "looks for VMAs in the reverse map", unmap),
        moves.lock(1),
        moves.zap(1),
        moves.unlock(1),
        moves.flush(),
        Line("free", "frees its page", free, label="free"),
    )
    return cast(world, 0, ("munmap", munmap), ("unmap_mapping_range", driver))


SCENARIOS = (
    Scenario(name="copy-on-write", title="two faults copy a page that a third thread reads", section="1.9 COW", build=_copy),
    Scenario(name="fork", title="fork shares a page that a fault copies and a thread still writes", section="0.3 fork", build=_fork),
    Scenario(name="write-protect", title="userfault write-protection with the flush put off", section="8 R19", build=_write_protect),
    Scenario(name="notifier", title="a device registers while a fault copies the page", section="8 R9", build=_notifier),
    Scenario(name="driver-page", title="munmap against a driver that frees its page", section="8 R18", build=_driver),
)

CASES = (
    case("copy-on-write", "", "ok", "1.9 COW"),
    case("copy-on-write", "cow-flush", "violation", "1.10 COW does clear-flush-set"),
    case("copy-on-write", "c4", "violation", "0.2 R16 (pte_same)"),
    case("fork", "", "ok", "0.3 fork, I7"),
    case("fork", "flush-in-section", "violation", "R2"),
    case("fork", "sequence", "violation", "R2"),
    case("fork", "share", "violation", "contract, EXCLUSIVE"),
    case("fork", "c1+c3", "ok", note="R8 is enough: the entry is read-only only after F1"),
    case("fork", "c1+c3+early-recheck", "violation", note="of R8, C1 and C3 one is needed here"),
    case("write-protect", "", "ok", "R19"),
    case("write-protect", "pending-flush", "violation", "R19"),
    case("notifier", "", "ok", "R9"),
    case("notifier", "sequence", "violation", "R9"),
    case("driver-page", "", "ok", "R18"),
    case("driver-page", "flush-before-rmap", "violation", "R18"),
)

"""Lines that writers' programs are made of: the protocol's writer steps, and what a kernel does beside them. [protocol.md 0.3]"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..layout import PTE_EXCLUSIVE, PTE_V, PTE_W
from ..protocol import writer_steps
from ..protocol.world import NotYet, Phase, Safeguard, keeps
from .program import Line, Program
from .small_world import SmallWorld

__all__ = [
    "begin", "clear_slot", "clear_upper", "end", "fence", "flush", "free_directory", "free_table", "free_vma", "line", "lock", "mm_lock", "mm_unlock",
    "only", "protect", "recycle", "section", "unless", "unlink", "unlock", "wait_for_walkers", "write", "zap",
]  # fmt: skip

Act = Callable[[SmallWorld, Program], str | None]


def line(step: str, sentence: str, act: Act, label: str = "", ways: int = 1) -> Line:
    """A line of a program."""
    return Line(step, sentence, act, label=label, ways=ways)


def unless(safeguards: Safeguard | Iterable[Safeguard], *lines: Line) -> tuple[Line, ...]:
    """Lines that are left out when one of the safeguards is removed: they are the safeguard."""
    names = frozenset((safeguards,)) if isinstance(safeguards, Safeguard) else frozenset(safeguards)
    return tuple(replace(each, unless=each.unless | names) for each in lines)


def only(safeguards: Safeguard | Iterable[Safeguard], *lines: Line) -> tuple[Line, ...]:
    """Lines that are there only when all of the safeguards are removed: what was done in the right place is done here."""
    names = frozenset((safeguards,)) if isinstance(safeguards, Safeguard) else frozenset(safeguards)
    return tuple(replace(each, only=each.only | names) for each in lines)


# --- locks and sections -----------------------------------------------------------------------------------------------


def mm_lock() -> Line:
    def act(world: SmallWorld, me: Program) -> None:
        writer_steps.mm_lock(world, 0)

    return line("MM_LOCK", "takes the mm lock as a writer", act)


def mm_unlock() -> Line:
    def act(world: SmallWorld, me: Program) -> None:
        writer_steps.mm_unlock(world, 0)

    return line("MM_UNLOCK", "drops the mm lock", act)


def begin(vma: int, step: str = "W1") -> Line:
    """W1 of a VMA."""

    def act(world: SmallWorld, me: Program) -> None:
        writer_steps.seq_begin(world, 0, vma)

    return line(step, f"makes the sequence of VMA {vma} odd", act)


def end(vma: int, step: str = "W4") -> Line:
    """W4 of a VMA."""

    def act(world: SmallWorld, me: Program) -> None:
        writer_steps.seq_end(world, 0, vma)

    return line(step, f"makes the sequence of VMA {vma} even", act)


def section(vma: int, *lines: Line) -> tuple[Line, ...]:
    """Lines between W1 and W4, unless the sequence is no safeguard here."""
    return *unless(Safeguard.SEQUENCE, begin(vma)), *lines, *unless(Safeguard.SEQUENCE, end(vma))


def lock(table: int, step: str = "PTE_LOCK") -> Line:
    def act(world: SmallWorld, me: Program) -> None:
        writer_steps.pte_lock(world, table, me.number)

    return line(step, f"locks the PTEs of table {table}", act)


def unlock(table: int, step: str = "PTE_UNLOCK") -> Line:
    def act(world: SmallWorld, me: Program) -> None:
        writer_steps.pte_unlock(world, table, me.number)

    return line(step, f"unlocks the PTEs of table {table}", act)


def fence() -> tuple[Line, Line]:
    """IOFENCE.C with PR: what the engine's software waits for."""

    def start(world: SmallWorld, me: Program) -> None:
        idle = (Phase.IDLE, Phase.UNDONE, Phase.COMMITTED)
        world.mm.fence = sum(1 << fault.agent for fault in world.faults if fault.phase not in idle)

    def finish(world: SmallWorld, me: Program) -> None:
        writer_steps.fence(world)

    return (
        line("FENCE", "IOFENCE.C with PR begins: notes the attempts that are running", start),
        line("FENCE", "IOFENCE.C completes: those attempts have ended", finish),
    )


# --- VMAs -------------------------------------------------------------------------------------------------------------


def write(vma: int, step: str = "W2", sentence: str = "", **fields: int) -> Line:
    """One store to a field of a VMA ("WRITE_ONCE each"); several only where nobody can see them yet."""

    def act(world: SmallWorld, me: Program) -> None:
        for name, value in fields.items():
            setattr(world.vmas[vma], name, value)

    return line(step, sentence or f"writes {' and '.join(fields)} of VMA {vma}", act)


def unlink(vma: int) -> tuple[Line, Line]:
    """U1: out of the index, then (after a write barrier) no longer linked."""
    return (
        write(vma, "U1", "takes the VMA out of the index", indexed=0),
        write(vma, "U1", "after a write barrier: marks the VMA as not linked", linked=0),
    )


def free_vma(vma: int) -> tuple[Line, ...]:
    """U7: the VMA's memory is reused after a grace period, when no reader has it pinned."""

    def wait(world: SmallWorld, me: Program) -> None:
        if any(fault.pinned_vma and fault.id == vma for fault in world.faults):
            raise NotYet("a reader has the VMA pinned")

    def act(world: SmallWorld, me: Program) -> None:
        world.vmas[vma].alive = 0

    return (
        *unless(Safeguard.GRACE_PERIOD, line("U7", "waits for a grace period", wait)),
        line("U7", f"frees the memory of VMA {vma}", act),
    )


# --- page tables ------------------------------------------------------------------------------------------------------


def zap(address: int, step: str = "U2") -> Line:
    """Clear a leaf entry, if there is one; its frame goes to the program's register `a`."""

    def act(world: SmallWorld, me: Program) -> None:
        if world.read_entry(address) & PTE_V:
            me.cells.a = writer_steps.pte_clear(world, address, me.number) >> 10

    return line(step, f"clears the pte at {address}", act)


def protect(address: int, step: str = "W3", *, share: bool = False) -> Line:
    """Take W from a leaf entry, if it is there; `share`: EXCLUSIVE too."""

    def act(world: SmallWorld, me: Program) -> None:
        pte, lost = world.read_entry(address), PTE_W
        if share and keeps(world, Safeguard.SHARE):
            lost |= PTE_EXCLUSIVE
        if pte & PTE_V:
            writer_steps.pte_protect(world, address, pte & ~lost, me.number)

    return line(step, f"takes W {'and EXCLUSIVE ' if share else ''}from the pte at {address}", act)


def flush(step: str = "flush", page: int | None = None) -> Line:
    """No TLB holds anything of the page (None: of any page): all acknowledgements are in."""

    def act(world: SmallWorld, me: Program) -> None:
        world.flush(page)

    return line(step, "the TLBs of all CPUs are flushed" + ("" if page is None else f" of page {page}"), act)


def recycle(step: str = "free") -> Line:
    """The frame that `zap` removed goes back to the pool."""

    def act(world: SmallWorld, me: Program) -> None:
        if me.cells.a:
            world.recycle(me.cells.a)
        me.cells.a = 0

    return line(step, "frees the page that was unmapped", act)


def clear_upper(step: str = "U4") -> Line:
    def act(world: SmallWorld, me: Program) -> None:
        world.mm.upper = 0

    return line(step, "clears the upper entry, which points to the page of pmd entries", act)


def clear_slot(number: int, step: str = "U4") -> Line:
    def act(world: SmallWorld, me: Program) -> None:
        world.slots[number].value = 0

    return line(step, f"clears pmd entry {number}", act)


def wait_for_walkers(step: str = "U5") -> Line:
    """IPI to all CPUs, or an RCU-sched grace period."""

    def act(world: SmallWorld, me: Program) -> None:
        if any(fault.pinned for fault in world.faults):
            raise NotYet("a walker is pinned")

    return line(step, "waits until no walker is pinned", act)


def free_table(table: int, step: str = "U6") -> Line:
    def act(world: SmallWorld, me: Program) -> None:
        world.tables[table - 1].alive = 0

    return line(step, f"frees table {table}", act)


def free_directory(step: str = "U6") -> Line:
    def act(world: SmallWorld, me: Program) -> None:
        world.mm.directory = 0

    return line(step, "frees the page of pmd entries", act)

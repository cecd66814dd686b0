"""Pages that move: mremap, whole-table moves, huge collapse. [protocol.md 0.3 mremap, huge collapse]"""

from ...layout import PTE_V
from ...protocol.world import NotYet, Safeguard
from .. import moves
from ..parts import FLAGS_RW, HUGE, MAPPED, PROT_RW, Cpu, Violation
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .common import cast, map_page, set_vma, world_of_one_page

__all__ = ["CASES", "SCENARIOS"]


def _collapse(removed: frozenset[Safeguard]) -> Built:
    """The page's content is copied into the huge page; the empty table is kept for later (deposited)."""

    def install(world: SmallWorld, me: Program) -> None:
        world.slots[0].value = HUGE

    lines = (
        moves.mm_lock(),
        *moves.section(
            0,
            moves.clear_slot(0, "K2"),
            moves.flush("K2"),
            *moves.unless(Safeguard.WAIT_FOR_WALKERS, moves.wait_for_walkers("K3")),
            moves.lock(1, "K4"),
            moves.zap(1, "K4"),
            moves.unlock(1, "K4"),
            moves.recycle("K4"),
            moves.line("K5", "installs the huge page in pmd entry 0", install),
        ),
        moves.mm_unlock(),
    )
    return cast(world_of_one_page(removed), 2, ("collapse", lines))


def _move_entry(source: int, target: int) -> Line:
    """M3 of one entry, under both PTE locks: "clear+flush old, set new"; the destination must be empty (I5)."""

    def act(world: SmallWorld, me: Program) -> None:
        pte = world.read_entry(source)
        if not pte & PTE_V:
            return
        if world.read_entry(target):
            raise Violation("I5", f"move_ptes overwrites the pte that a fault has set at {target}")
        world.write_entry(source, 0)
        world.write_entry(target, pte)
        for frame in world.frames:
            if frame.place == MAPPED + source:
                frame.place = MAPPED + target

    return moves.line("M3", f"moves the pte from {source} to {target}", act)


def _move_entries() -> tuple[Line, ...]:
    return (
        moves.lock(1, "M3"),
        moves.lock(2, "M3"),
        _move_entry(1, 2),
        *moves.unless(Safeguard.FLUSH_UNDER_LOCK, moves.flush("M3", page=0)),
        moves.unlock(2, "M3"),
        moves.unlock(1, "M3"),
    )


def _two_pages(removed: frozenset[Safeguard], frames: int, vmas: int) -> SmallWorld:
    """Page 0 is VMA 0 and has frame 1; page 1 has a table of its own and nothing in it."""
    world = SmallWorld(removed=removed, vmas=vmas, slots=2, tables=2, frames=frames)
    set_vma(world, 0, 0, 1)
    world.slots[0].value, world.slots[1].value = 1, 2
    map_page(world, 1, 1)
    return world


def _mremap(removed: frozenset[Safeguard]) -> Built:
    """Two faults of the destination."""

    lines = (
        moves.mm_lock(),
        moves.write(1, "M1", flags=FLAGS_RW, prot=PROT_RW, start=1, end=2, alive=1),
        *moves.unless(Safeguard.DESTINATION_ODD, moves.write(1, "M1", "makes the sequence of the new VMA odd", seq=1)),
        moves.write(1, "M1", "links the destination VMA", indexed=1, linked=1),
        moves.begin(0, "M2"),
        *moves.only(Safeguard.SECTION_COVERS_MOVE, moves.end(1, "M4")),
        *_move_entries(),
        moves.end(0, "M4"),
        *moves.unless((Safeguard.SECTION_COVERS_MOVE, Safeguard.DESTINATION_ODD), moves.end(1, "M4")),
        *moves.unlink(0),
        moves.mm_unlock(),
    )
    return cast(_two_pages(removed, frames=3, vmas=2), 2, ("mremap", lines), page=1)


def _whole_table(removed: frozenset[Safeguard]) -> Built:
    """Two faults of the source; the table moves by its pmd entry, under the pmd lock alone."""
    world = SmallWorld(removed=removed, slots=2, tables=2, frames=2)
    set_vma(world, 0, 0, 1)
    world.slots[0].value, world.slots[1].value = 1, 2

    def take(world: SmallWorld, me: Program) -> str | None:
        if any(fault.pinned_vma for fault in world.faults):
            return "entries"
        world.vmas[0].exclusive = 1
        return None

    def move(world: SmallWorld, me: Program) -> str:
        world.slots[1].value, world.slots[0].value = world.slots[0].value, 0
        return "moved"

    lines = (
        moves.mm_lock(),
        *moves.unless(Safeguard.SEQUENCE, moves.begin(0, "M2")),
        *moves.unless(Safeguard.EXCLUSIVE_REFERENCE, moves.line("M1", "takes the only reference to the VMA, or moves entry by entry", take)),
        moves.line("M3", "moves pmd entry 0 to pmd entry 1", move),
        *_labelled("entries", *_move_entries()),
        *_labelled(
            "moved",
            moves.flush("M3"),
            moves.write(0, "M4", "the VMA has its new address, and others may have it", start=1, end=2, exclusive=0),
        ),
        *moves.unless(Safeguard.SEQUENCE, moves.end(0, "M4")),
        moves.mm_unlock(),
    )
    return cast(world, 2, ("mremap", lines))


def _labelled(label: str, first: Line, *rest: Line) -> tuple[Line, ...]:
    return Line(first.step, first.sentence, first.act, first.unless, first.only, label), *rest


def _truncate(removed: frozenset[Safeguard]) -> Built:
    """mremap moves a page; truncate finds it by the reverse map at its new address, and frees it. A third CPU has used the old address."""
    world = _two_pages(removed, frames=1, vmas=1)
    cpu = Cpu(world, "cpu of the old address", 0)
    world.cpus.append(cpu)
    cpu.tlb = world.ptes[0].pte
    mremap = (*_move_entries(), moves.flush("M3", page=0))
    truncate = (moves.lock(2), moves.zap(2), moves.unlock(2), moves.flush(page=1), moves.recycle())
    world.vmas[0].end = 2
    return cast(world, 0, ("mremap", mremap), ("truncate", truncate))


def _retract(removed: frozenset[Safeguard]) -> Built:
    """move_normal_pmd against retract_page_tables, which needs the reverse map's lock alone. The reverse map's lock is the cell `rmap`."""
    world = SmallWorld(removed=removed, slots=2, tables=1, frames=1)
    set_vma(world, 0, 0, 2)
    world.slots[0].value = 1

    def take(world: SmallWorld, me: Program) -> None:
        if world.vmas[0].rmap:
            raise NotYet("the reverse map is locked")
        world.vmas[0].rmap = 1

    def drop(world: SmallWorld, me: Program) -> None:
        world.vmas[0].rmap = 0

    def classify(world: SmallWorld, me: Program) -> str | None:
        return None if world.slots[0].value else "out"

    def recheck(world: SmallWorld, me: Program) -> str | None:
        return None if world.slots[0].value else "drop"

    def move(world: SmallWorld, me: Program) -> None:
        if not world.slots[0].value:
            raise Violation("I1", "an empty pmd entry is moved as if it pointed to a table: page 0 of memory becomes a page table")
        world.slots[1].value, world.slots[0].value = world.slots[0].value, 0

    mremap = (
        moves.line("M3", "sees that pmd entry 0 points to a table", classify),
        moves.line("RMAP_LOCK", "locks the reverse map", take),
        *moves.unless(Safeguard.RECHECK_PMD, moves.line("M3", "looks at pmd entry 0 again, under the lock", recheck)),
        moves.line("M3", "moves pmd entry 0 to pmd entry 1", move),
        *_labelled("drop", moves.line("RMAP_UNLOCK", "unlocks the reverse map", drop)),
        *_labelled("out", moves.line("M4", "is done", lambda world, me: None)),
    )
    retract = (
        moves.line("RMAP_LOCK", "locks the reverse map", take),
        moves.clear_slot(0, "K2"),
        moves.line("RMAP_UNLOCK", "unlocks the reverse map", drop),
    )
    return cast(world, 0, ("mremap", mremap), ("MADV_COLLAPSE", retract))


SCENARIOS = (
    Scenario(name="collapse", title="a huge page replaces the table", section="0.3 huge collapse", build=_collapse),
    Scenario(name="mremap", title="mremap moves a page to where faults are", section="0.3 mremap", build=_mremap),
    Scenario(name="table-move", title="mremap moves a whole table by its pmd entry", section="0.3 mremap", build=_whole_table),
    Scenario(name="mremap-truncate", title="truncate frees a page that mremap has just moved", section="8 R16", build=_truncate),
    Scenario(name="table-move-retract", title="mremap of a whole table against MADV_COLLAPSE", section="8 R17", build=_retract),
)

CASES = (
    case("collapse", "", "ok", "0.5 none: collapse"),
    case("collapse", "c2", "ok", "0.5 collapse with seq bump, without C2"),
    case("collapse", "sequence", "ok", "0.5 collapse without seq bump but with C2 + wait-for-walkers"),
    case("collapse", "sequence+c2", "violation", "0.5 collapse without seq bump and without C2, R3"),
    case("collapse", "sequence+wait-for-walkers", "violation", "0.5 without seq bump, without wait-for-walkers, C2 before the lock"),
    case("collapse", "sequence+wait-for-walkers+early-c2", "ok", "0.5 same but C2 re-checked after taking the PTL"),
    case("collapse", "wait-for-walkers", "ok", note="redundant: nothing is freed, and the section covers K2 to K5"),
    case("collapse", "fill-by-walk", "violation", note="missing in protocol.md: a TLB that is filled from the commit needs another flush after K4"),
    case("mremap", "", "ok", "0.5 none: mremap destination"),
    case("mremap", "destination-odd", "violation", "0.5 mremap without M1, R1"),
    case("mremap", "section-covers-move", "violation", "0.5 section closed before the pte move, R1"),
    case("mremap", "even-sequence", "violation", "0.5 accept odd seq at R2"),
    case("table-move", "", "ok", "0.5 none: pmd move with exclusive ref"),
    case("table-move", "exclusive-reference", "violation", "0.5 whole-pmd move with only a seq bump, R5"),
    case("table-move", "sequence", "violation"),
    case("mremap-truncate", "", "ok", "1.10"),
    case("mremap-truncate", "flush-under-lock", "violation", "R16"),
    case("table-move-retract", "", "ok", "R17"),
    case("table-move-retract", "recheck-pmd", "violation", "R17"),
)

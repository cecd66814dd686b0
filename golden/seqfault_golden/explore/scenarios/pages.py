"""Pages of files and tables of the engine, against software that takes them away: truncation, a neighbour's table, munmap. [contract]"""

from ...layout import Access, VmaFlag, pte_ppn
from ...page_cache import SLOT_PRESENT, SLOT_UPTODATE, is_mappable, slot_ppn
from ...protocol import commit_steps
from ...protocol.around import around_pte
from ...protocol.world import Phase, Safeguard
from .. import moves
from ..cells import Part
from ..fault_agent import FaultAgent
from ..parts import CACHED, FREE, RELEASED, FaultCells, Violation
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .common import map_page, set_vma

__all__ = ["CASES", "SCENARIOS"]


# --- a page leaves the page cache -------------------------------------------------------------------------------------


class _FileWorld(SmallWorld):
    """A private mapping of a file whose pages are all in the cache: page n in frame n + 1. The last frame is the pool's."""

    def __init__(self, removed: frozenset[Safeguard], pages: int) -> None:
        super().__init__(removed=removed, entries=pages, frames=pages + 1, cached=pages)
        set_vma(self, 0, 0, pages)
        self.vmas[0].flags = VmaFlag.READ | VmaFlag.WRITE
        self.slots[0].value = 1
        for page, slot in enumerate(self.cache):
            slot.word = page + 1 << 10 | SLOT_PRESENT | SLOT_UPTODATE
            self.frames[page].place = CACHED

    def copy_page(self, source: int, frame: int) -> None:
        if self.frames[source - 1].place == FREE:
            raise Violation("I4", f"frame {source} is copied after it was freed")
        super().copy_page(source, frame)


class _Looked(Part):
    """What a fault-around has read, one page on: `word` of the slot; `done`: it has read."""

    done: bool
    word: int


class _FaultAround(FaultAgent):
    """AROUND in two steps, as memory takes its time: the slot of the next page is read, then the page's entry is written."""

    def __init__(self, world: SmallWorld) -> None:
        super().__init__(world, access=Access.LOAD)
        self.looked = _Looked(world, f"fault-around of {self.name}")
        self.parts = (*self.parts, self.looked)

    def next_step(self, choice: int) -> tuple[str, str]:
        if self.fault.phase == Phase.AROUND:
            return "AROUND", "maps the next page, if it may" if self.looked.done else "reads the slot of the next page"
        return super().next_step(choice)

    def _around(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        looked, address = self.looked, fault.entry_address + 1
        if not looked.done:
            looked.done, looked.word = True, world.cached(fault.page + 1)[1]
            return
        maps = is_mappable(looked.word) and not world.read_entry(address)
        commit_steps.around(world, fault, [(address, around_pte(fault.page_prot, slot_ppn(looked.word)))] * maps)
        looked.clear("done", "word")


def _truncate(page: int, address: int) -> tuple[Line, ...]:
    """The page goes out of the cache and out of the page table, in a section; its frame is free after a fence."""

    def take_out(world: SmallWorld, me: Program) -> None:
        me.cells.b = pte_ppn(world.cache[page].word)
        world.cache[page].word = 0

    def free(world: SmallWorld, me: Program) -> None:
        world.frames[me.cells.b - 1].place = RELEASED
        world.recycle(me.cells.b)

    return (
        moves.mm_lock(),
        *moves.section(
            0,
            moves.line("truncate", f"takes page {page} out of the page cache", take_out),
            *moves.unless((Safeguard.TRUNCATE_ZAP, Safeguard.ZAP_LOCK), moves.lock(1, "ZAP")),
            *moves.unless(Safeguard.TRUNCATE_ZAP, moves.zap(address, "ZAP")),
            *moves.unless((Safeguard.TRUNCATE_ZAP, Safeguard.ZAP_LOCK), moves.unlock(1, "ZAP")),
            *moves.unless(Safeguard.TRUNCATE_ZAP, moves.flush("INVALIDATE")),
        ),
        moves.mm_unlock(),
        *moves.unless(Safeguard.FENCE, *moves.fence()),
        moves.recycle(),
        moves.line("free", "frees the page's frame", free),
    )


def _of_one_page(removed: frozenset[Safeguard]) -> Built:
    """One thread reads the page, another writes to it, while it is truncated."""
    world = _FileWorld(removed, 1)
    faults = FaultAgent(world, access=Access.LOAD), FaultAgent(world, access=Access.STORE)
    return Built(world=world, agents=(*faults, Program(world, "truncate", 2, _truncate(0, 1))))


def _of_a_neighbour(removed: frozenset[Safeguard]) -> Built:
    """Page 0 is read; page 1, which the fault-around maps, is truncated."""
    world = _FileWorld(removed, 2)
    fault = _FaultAround(world)
    return Built(world=world, agents=(fault, Program(world, "truncate", 1, _truncate(1, 3))))


# --- tables -----------------------------------------------------------------------------------------------------------


class _TableWorld(SmallWorld):
    """Page n is VMA n's; both have one pmd entry, which is empty. Table 1 is a frame of the pool, table 2 is software's."""

    counts_tables = True

    def __init__(self, removed: frozenset[Safeguard], vmas: int) -> None:
        super().__init__(removed=removed, vmas=vmas, slots=1, tables=vmas, frames=3, entries=vmas)
        for number in range(vmas):
            set_vma(self, number, number, number + 1)
            self.tables[number].alive = 0
        self.tables[0].spare = 1


def _populate(removed: frozenset[Safeguard]) -> Built:
    """Software maps page 0, and makes the table for it if there is none, while a fault of VMA 1 may make it."""
    world = _TableWorld(removed, 2)

    def look(world: SmallWorld, me: Program) -> str | None:
        me.cells.b = world.slots[0].value
        return "map" if me.cells.b else None

    def hang(world: SmallWorld, me: Program) -> None:
        if world.slots[0].value:
            raise Violation("I4", f"software overwrites the pointer to table {world.slots[0].value}")
        me.cells.b = world.slots[0].value = 2
        world.tables[1].alive = 1

    def install(world: SmallWorld, me: Program) -> None:
        map_page(world, me.cells.b * world.entries, 3)

    world.frames[2].place = RELEASED  # software's until it is mapped
    neighbour = moves.begin(1), moves.end(1)
    lines = (
        moves.mm_lock(),
        moves.begin(0),
        *moves.unless(Safeguard.NEIGHBOUR_SECTIONS, neighbour[0]),
        *moves.unless(Safeguard.FENCE, *moves.fence()),
        moves.line("look", "is there a table?", look),
        moves.line("hang", "points the pmd entry to table 2", hang),
        moves.line("map", "maps page 0", install, label="map"),
        *moves.unless(Safeguard.NEIGHBOUR_SECTIONS, neighbour[1]),
        moves.end(0),
        moves.mm_unlock(),
    )
    faults = FaultAgent(world, page=1), FaultAgent(world, page=1)
    return Built(world=world, agents=(*faults, Program(world, "populate", 2, lines)), symmetric=2)


def _munmap(removed: frozenset[Safeguard]) -> Built:
    """munmap of a VMA whose table the engine makes: ZAP, and after a fence the table is unlinked; after another it is the pool's again."""
    world = _TableWorld(removed, 1)

    def look(world: SmallWorld, me: Program) -> str | None:
        return None if world.slots[0].value else "flush"

    def unlink(world: SmallWorld, me: Program) -> None:
        me.cells.b = world.slots[0].value
        world.slots[0].value = 0

    def free(world: SmallWorld, me: Program) -> None:
        if me.cells.b:
            world.tables[me.cells.b - 1].alive, world.tables[me.cells.b - 1].spare = 0, 1

    flush = moves.flush("INVALIDATE")
    lines = (
        moves.mm_lock(),
        *moves.section(
            0,
            moves.write(0, "SPACE_VMAS", "publishes a tree without the VMA", indexed=0),
            moves.line("look", "is there a table?", look),
            moves.lock(1, "ZAP"),
            moves.zap(1, "ZAP"),
            moves.unlock(1, "ZAP"),
            Line(flush.step, flush.sentence, flush.act, label="flush"),
            *moves.unless(Safeguard.FENCE, *moves.fence()),
            moves.line("unlink", "clears the pmd entry, which may have got a table meanwhile", unlink),
            moves.flush("INVALIDATE"),
        ),
        moves.mm_unlock(),
        *moves.unless(Safeguard.FENCE, *moves.fence()),
        moves.recycle(),
        moves.line("free", "the table is a frame of the pool", free),
    )
    return Built(world=world, agents=(FaultAgent(world), FaultAgent(world), Program(world, "munmap", 2, lines)), symmetric=2)


SCENARIOS = (
    Scenario(name="truncate", title="a page leaves the page cache while it is read and written", section="contract, 1.11", build=_of_one_page),
    Scenario(name="truncate-around", title="the same with a page that a fault-around maps", section="contract, 1.11", build=_of_a_neighbour),
    Scenario(name="table-populate", title="software and a fault of a neighbour need the same table", section="contract", build=_populate),
    Scenario(name="table-munmap", title="munmap of a VMA whose table the engine makes", section="contract", build=_munmap),
)

CASES = (
    case("truncate", "", "ok", "docs/software-contract.md"),
    case("truncate", "sequence", "violation"),
    case("truncate", "truncate-zap", "violation"),
    case("truncate", "fence", "violation", note="a store copies the frame after it was freed"),
    case("truncate", "c3", "violation"),
    case("truncate", "c1+early-recheck", "ok", note="C3 alone carries it"),
    case("truncate", "c4", "violation", "0.2 R16 (pte_same)"),
    case("truncate", "undo", "violation"),
    case("truncate-around", "", "ok", "1.11"),
    case("truncate-around", "truncate-zap", "violation"),
    case("truncate-around", "zap-lock", "violation"),
    case("truncate-around", "sequence", "ok", note="slots are read under the PTE lock, and ZAP waits for it"),
    case("table-populate", "", "ok", "docs/software-contract.md"),
    case("table-populate", "neighbour-sections", "violation"),
    case("table-populate", "fence", "violation", note="C3 does not wait for a fault that has passed it"),
    case("table-populate", "c1+c3+early-recheck", "ok", note="the fence within the section is enough"),
    case("table-populate", "c4", "violation", note="two faults make one table each"),
    case("table-populate", "undo", "violation"),
    case("table-munmap", "", "ok", "docs/software-contract.md"),
    case("table-munmap", "sequence", "violation"),
    case("table-munmap", "fence", "violation"),
    case("table-munmap", "c3", "violation", note="ZAP comes before the fence"),
    case("table-munmap", "c1+early-recheck", "ok", note="C3 alone carries it"),
)

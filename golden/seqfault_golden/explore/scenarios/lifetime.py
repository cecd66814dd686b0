"""What a reader uses must live: nodes of the index, and references to pages of a file. [protocol.md 8 R13, R25]"""

from ...layout import VmaFlag
from ...protocol.world import NotYet, Phase, Safeguard
from .. import moves
from ..cells import Part
from ..fault_agent import FaultAgent
from ..invariants import check_end
from ..parts import MAPPED, SHARED, FaultCells, Violation
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .common import set_vma

__all__ = ["CASES", "SCENARIOS"]


# --- StackRot ---------------------------------------------------------------------------------------------------------


class _Node(Part):
    """A node of the index: `alive` until its memory is freed; the VMA's range that it knows begins at `start`."""

    alive: bool
    start: int

    def show(self, name: str, value: int) -> str:
        return ("freed", "in use")[value] if name == "alive" else str(value)


class _Root(Part):
    """`node`: the number of the node that lookups find."""

    node: int


class _Index:
    """Two nodes, of which one is in use."""

    def __init__(self, world: SmallWorld) -> None:
        self.root = _Root(world, "index")
        self.nodes = [_Node(world, f"node {number}") for number in range(2)]
        self.nodes[0].alive = True
        self.nodes[0].start = 1


class _Lookup(Program):
    """Finds the VMA, with the mm lock as a reader or in an RCU read section (`rcu`). Register `a`: the node."""

    def __init__(self, world: SmallWorld, number: int, index: _Index, rcu: bool) -> None:
        self.index, self.rcu = index, rcu
        super().__init__(world, f"{'speculative' if rcu else 'classic'} lookup", number, self._lines())

    @property
    def in_rcu_section(self) -> bool:
        return self.rcu and 0 < self.cells.pc < len(self.lines)

    def _lines(self) -> tuple[Line, ...]:
        enter, leave = ("RCU", "RCU") if self.rcu else ("MM_READ_LOCK", "MM_READ_UNLOCK")
        return (
            moves.line(enter, "begins an RCU read section" if self.rcu else "takes the mm lock as a reader", self._enter),
            moves.line("find", "fetches the root: which node?", self._fetch),
            moves.line("find", "reads the node", self._read),
            moves.line(leave, "ends its RCU read section" if self.rcu else "drops the mm lock", self._leave),
        )

    def _enter(self, world: SmallWorld, me: Program) -> None:
        if self.rcu:
            return
        if world.mm_writer(0):
            raise NotYet("a writer holds the mm lock")
        world.set_mm_reader(0, self.number, True)

    def _fetch(self, world: SmallWorld, me: Program) -> None:
        self.cells.a = self.index.root.node
        self.said = f"node {self.cells.a}"

    def _read(self, world: SmallWorld, me: Program) -> None:
        if not self.index.nodes[self.cells.a].alive:
            raise Violation("I8", f"the {self.name} reads node {self.cells.a}, which was freed")

    def _leave(self, world: SmallWorld, me: Program) -> None:
        self.cells.clear("a")
        if not self.rcu:
            world.set_mm_reader(0, self.number, False)


def _stack_rot(removed: frozenset[Safeguard]) -> Built:
    """A stack grows: its VMA touches the one below, the gap between them goes, and so the node is replaced."""
    world = SmallWorld(removed=removed, vmas=0, slots=0, tables=0, frames=0)
    index = _Index(world)
    lookups = _Lookup(world, 0, index, rcu=False), _Lookup(world, 1, index, rcu=True)

    def read_lock(world: SmallWorld, me: Program) -> None:
        world.set_mm_reader(0, me.number, True)

    def read_unlock(world: SmallWorld, me: Program) -> None:
        world.set_mm_reader(0, me.number, False)

    def make(world: SmallWorld, me: Program) -> None:
        index.nodes[1].alive = True
        index.nodes[1].start = 0

    def store(world: SmallWorld, me: Program) -> None:
        index.root.node = 1

    def wait(world: SmallWorld, me: Program) -> None:
        if any(lookup.in_rcu_section for lookup in lookups):
            raise NotYet("an RCU read section has not ended")

    def free(world: SmallWorld, me: Program) -> None:
        index.nodes[0].alive = False

    by_writer = Safeguard.EXPANSION_WRITE_LOCK
    lines = (
        *moves.unless(by_writer, moves.mm_lock()),
        *moves.only(by_writer, moves.line("MM_READ_LOCK", "takes the mm lock as a reader only", read_lock)),
        moves.line("expand", "makes a node without the gap", make),
        moves.line("expand", "stores the node in the root", store),
        *moves.unless(Safeguard.NODE_GRACE, moves.line("call_rcu", "waits for a grace period of RCU", wait)),
        moves.line("call_rcu", "frees the old node", free),
        *moves.only(by_writer, moves.line("MM_READ_UNLOCK", "drops the mm lock", read_unlock)),
        *moves.unless(by_writer, moves.mm_unlock()),
    )
    return Built(world=world, agents=(*lookups, Program(world, "stack expansion", 2, lines)))


# --- a page of a file -------------------------------------------------------------------------------------------------


class _CachedPage(Part):
    """References to a page: one of the page cache, one of each pte, one of whoever is about to map it."""

    references: int


class _FileWorld(SmallWorld):
    """Frame 1 is a page of a file: faults map it instead of a frame of the pool."""

    page: _CachedPage

    def free_frame(self) -> int | None:
        return 1

    def take_frame(self, frame: int, agent: int) -> None:
        self.page.references += 1

    def return_frame(self, frame: int, *, used: bool) -> None:
        self.page.references -= 1

    def map_frame(self, frame: int, address: int) -> None:
        self.frames[0].place = MAPPED + address

    def unmap_frame(self, address: int) -> None:
        self.frames[0].place = SHARED
        self.page.references -= 1


class _FileFault(FaultAgent):
    """A fault of a file's VMA that may be speculative ("allow_speculation"); R9 finds the page in the page cache and takes a reference."""

    def _flags(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        fault.vma_flags = world.vma(fault.id).flags | VmaFlag.ANON  # the pool of this world has the file's page
        fault.phase = Phase.R4

    def next_step(self, choice: int) -> tuple[str, str]:
        if self.fault.phase == Phase.R9:
            return "R9", "map_pages: finds the page in the page cache and takes a reference"
        return super().next_step(choice)


def _file_fault(removed: frozenset[Safeguard]) -> Built:
    world = _FileWorld(removed=removed)
    set_vma(world, 0, 0, 1)
    world.slots[0].value = 1
    world.page = page = _CachedPage(world, "page of the file")
    page.references = 1
    world.frames[0].place = SHARED
    world.vmas[0].flags = VmaFlag.READ | VmaFlag.WRITE
    lines = (
        moves.mm_lock(),
        *moves.unlink(0),
        moves.lock(1, "U2"),
        moves.zap(1),
        moves.unlock(1, "U2"),
        moves.flush("U2"),
        moves.mm_unlock(),
    )

    def at_end(world: SmallWorld) -> None:
        check_end(world)
        if page.references != 1 + bool(world.ptes[0].pte):
            raise Violation("I4", f"the page of the file has {page.references} references, though only the page cache has it: it is never freed")

    agents = _FileFault(world), _FileFault(world), Program(world, "munmap", 2, lines)
    return Built(world=world, agents=agents, symmetric=2, at_end=at_end)


SCENARIOS = (
    Scenario(name="stack-rot", title="a stack expansion replaces a node of the index that lookups read", section="8 R13", build=_stack_rot),
    Scenario(name="file-fault", title="two speculative faults map a page of a file, against munmap", section="1.11, 8 R25", build=_file_fault),
)

CASES = (
    case("stack-rot", "", "ok", "R13"),
    case("stack-rot", "expansion-write-lock", "violation", "R13"),
    case("stack-rot", "node-grace", "violation", note="the mm lock keeps out classic lookups only"),
    case("file-fault", "", "ok", "R25"),
    case("file-fault", "undo", "violation", "R25"),
    case("file-fault", "c1", "ok", note="no table is freed here"),
    case("file-fault", "c3", "violation", note="C1 does not do for C3"),
)

"""Per-VMA locks with a reference count, in a slab that gives a VMA's memory to another mm without a grace period. [protocol.md 2.2, 8 R15]"""

from ...protocol.world import NotYet, Safeguard
from .. import moves
from ..cells import Part
from ..parts import Violation
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld

__all__ = ["CASES", "SCENARIOS"]

OFFSET = 100
"""VMA_LOCK_OFFSET: what a writer adds to the count while it waits for readers."""


class _Vma(Part):
    """The slab's only object. `attached`: it is somebody's VMA; `mm`: whose (0 or 1); it has page `start`; `lock_seq` as of the last writer."""

    attached: bool
    mm: int
    start: int
    count: int
    lock_seq: int

    def show(self, name: str, value: int) -> str:
        return "AB"[value] if name == "mm" else str(value)


class _Mm(Part):
    """`tree`: lookups find the VMA. `lock_seq` goes up when its mmap lock is dropped. `pins`: the mm's own life, and readers'; `freed`."""

    tree: bool
    lock_seq: int
    pins: int
    freed: bool


class _Cast:
    """What everybody shares: mm A, which has the VMA at page 0, and mm B."""

    def __init__(self, world: SmallWorld) -> None:
        self.vma = _Vma(world, "vma")
        self.mms = _Mm(world, "mm A"), _Mm(world, "mm B")
        for mm in self.mms:
            mm.lock_seq = mm.pins = 1
        self.vma.attached = self.mms[0].tree = True
        self.vma.count = 1

    def drop_mm(self, mm: _Mm) -> None:
        mm.pins -= 1
        mm.freed = not mm.pins


class _Reader(Program):
    """lock_vma_under_rcu for page 0 of mm A. Registers: `a`: the mm of the VMA when it dropped its reference; `b`: bits WAKE and PINNED."""

    WAKE, PINNED = 1, 2

    def __init__(self, world: SmallWorld, number: int, cast: _Cast) -> None:
        self.cast = cast
        super().__init__(world, f"fault {number}", number, self._lines())

    def _lines(self) -> tuple[Line, ...]:
        return (
            moves.line("find", "looks for page 0 in the tree of mm A", self._find),
            moves.line("get", "takes a reference to the VMA, if it is attached and no writer waits", self._get),
            *moves.unless(Safeguard.VMA_MM, moves.line("check", "is it mm A's VMA?", self._check_mm)),
            *moves.unless(Safeguard.VMA_LOCK_SEQ, moves.line("check", "has no writer locked it?", self._check_seq)),
            *moves.unless(Safeguard.VMA_BOUNDS, moves.line("check", "has it page 0?", self._check_bounds)),
            moves.line("use", "handles the fault in the VMA", self._use),
            moves.line("put", "drops its reference: was it the last, and a writer waits?", self._put, label="put"),
            moves.line("wake", "wakes the writer, who waits in the mm of the VMA", self._wake),
            moves.line("mmdrop", "unpins that mm", self._unpin, label="mmdrop"),
            moves.line("mmgrab", "pins the other mm", self._pin, label="foreign"),
        )

    def _find(self, world: SmallWorld, me: Program) -> str | None:
        return None if self.cast.mms[0].tree else self._no("it is not there")

    def _no(self, why: str) -> str:
        self.said = f"{why}: goes on under the mm lock"
        return "end"

    def _get(self, world: SmallWorld, me: Program) -> str | None:
        vma = self.cast.vma
        if vma.count >= OFFSET:
            return self._no("a writer waits")
        if vma.count == 0 and Safeguard.COUNT_NOT_ZERO not in world.removed:
            return self._no("it is detached")
        vma.count += 1
        return None

    def _put_unless(self, good: bool) -> str | None:
        self.said = "yes" if good else "no"
        return None if good else "put"

    def _check_mm(self, world: SmallWorld, me: Program) -> str | None:
        if self._put_unless(self.cast.vma.mm == 0) is None:
            return None
        return "foreign" if Safeguard.PIN_FOREIGN_MM not in world.removed else "put"

    def _check_seq(self, world: SmallWorld, me: Program) -> str | None:
        return self._put_unless(self.cast.vma.lock_seq != self.cast.mms[0].lock_seq)

    def _check_bounds(self, world: SmallWorld, me: Program) -> str | None:
        return self._put_unless(self.cast.vma.start == 0)

    def _use(self, world: SmallWorld, me: Program) -> None:
        vma, mm = self.cast.vma, self.cast.mms[0]
        if not vma.attached:
            raise Violation("I8", f"{self.name} uses a VMA whose memory was freed")
        if vma.mm or vma.start:
            raise Violation("I8", f"{self.name} uses the VMA of {'mm B' if vma.mm else 'another address'}: its memory was reused")
        if vma.lock_seq == mm.lock_seq:
            raise Violation("I3", f"{self.name} uses the VMA while a writer has it locked")

    def _put(self, world: SmallWorld, me: Program) -> str | None:
        vma = self.cast.vma
        self.cells.a = vma.mm
        vma.count -= 1
        if vma.count in (OFFSET, OFFSET + 1):
            self.said = "yes"
            return None
        self.said = "no"
        return self._after_wake()

    def _after_wake(self) -> str:
        if self.cells.b & self.PINNED:
            return "mmdrop"
        self.cells.clear("a")
        return "end"

    def _wake(self, world: SmallWorld, me: Program) -> str:
        if self.cast.mms[self.cells.a].freed:
            raise Violation("I8", f"{self.name} reads mm B, which was freed, to wake its writer")
        return self._after_wake()

    def _pin(self, world: SmallWorld, me: Program) -> str:
        self.cast.mms[1].pins += 1
        self.cells.b = self.PINNED
        return "put"

    def _unpin(self, world: SmallWorld, me: Program) -> str:
        self.cast.drop_mm(self.cast.mms[1])
        self.cells.clear("a", "b")
        return "end"


def _munmap(cast: _Cast, mm: _Mm) -> tuple[Line, ...]:
    """vma_start_write, out of the tree, vma_mark_detached, and back to the slab at once."""
    vma = cast.vma

    def announce(world: SmallWorld, me: Program) -> None:
        vma.count += OFFSET

    def wait(readers: int, why: str) -> moves.Act:
        def act(world: SmallWorld, me: Program) -> None:
            if vma.count != OFFSET + readers:
                raise NotYet(why)

        return act

    def lock(world: SmallWorld, me: Program) -> None:
        vma.lock_seq = mm.lock_seq

    def leave(world: SmallWorld, me: Program) -> None:
        vma.count -= OFFSET

    def unlink(world: SmallWorld, me: Program) -> None:
        mm.tree = False

    def detach(world: SmallWorld, me: Program) -> str | None:
        vma.count -= 1
        if vma.count:
            me.said = "no"
            return None
        me.said = "yes"
        return f"free {mm.name}"

    def free(world: SmallWorld, me: Program) -> None:
        vma.attached = False

    def unlock(world: SmallWorld, me: Program) -> None:
        mm.lock_seq += 1

    return (
        moves.line("start_write", "lets no new reader in", announce),
        moves.line("start_write", "waits for the readers", wait(1, "readers have references")),
        moves.line("start_write", "marks the VMA as write-locked", lock),
        moves.line("start_write", "lets readers in, which see the mark", leave),
        moves.line("munmap", f"takes the VMA out of the tree of {mm.name}", unlink),
        moves.line("detach", "drops the tree's reference: was it the last?", detach),
        moves.line("detach", "lets no new reader in", announce),
        moves.line("detach", "waits for readers that are about to see the mark", wait(0, "readers have references")),
        moves.line("detach", "the count is 0", leave),
        moves.line("munmap", "gives the VMA's memory back to the slab", free, label=f"free {mm.name}"),
        moves.line("MM_UNLOCK", f"drops the mmap lock of {mm.name}: all of its VMAs are unlocked", unlock),
    )


def _mmap(cast: _Cast, wait_for: Program) -> tuple[Line, ...]:
    """The slab gives the memory away: to mm B, which then exits, or to mm A for another address."""

    vma = cast.vma

    def take(world: SmallWorld, me: Program) -> None:
        if vma.attached or (me.way == 1 and wait_for.choices()):
            raise NotYet("the VMA's memory is in use, or mm A's mmap lock")
        vma.attached = True
        me.cells.a = me.way
        me.said = "for another address in mm A" if me.way else "for mm B"

    def write(world: SmallWorld, me: Program) -> None:
        vma.mm, vma.start, vma.lock_seq = (1, 0, 0) if me.cells.a == 0 else (0, 1, 0)

    def attach(world: SmallWorld, me: Program) -> None:
        vma.count = 1

    def link(world: SmallWorld, me: Program) -> str | None:
        cast.mms[1 - me.cells.a].tree = True
        return "end" if me.cells.a else None

    def drop(world: SmallWorld, me: Program) -> None:
        cast.drop_mm(cast.mms[1])

    count = moves.line("attach", "sets the count to 1: readers may take references", attach)
    return (
        moves.line("mmap", "gets the VMA's memory from the slab", take, ways=2),
        *moves.only(Safeguard.ATTACH_LAST, count),
        moves.line("mmap", "writes the fields of the VMA", write),
        *moves.unless(Safeguard.ATTACH_LAST, count),
        moves.line("mmap", "links it in the tree", link),
        *_munmap(cast, cast.mms[1]),
        moves.line("exit", "drops its own pin of mm B", drop),
    )


def _build(removed: frozenset[Safeguard]) -> Built:
    world = SmallWorld(removed=removed, vmas=0, slots=0, tables=0, frames=0)
    cast = _Cast(world)
    readers = _Reader(world, 0, cast), _Reader(world, 1, cast)
    munmap = Program(world, "munmap", 2, _munmap(cast, cast.mms[0]))
    return Built(world=world, agents=(*readers, munmap, Program(world, "next owner", 3, _mmap(cast, munmap))), symmetric=2)


SCENARIOS = (
    Scenario(name="vma-refcount", title="lookups with a count, while the slab gives the VMA's memory away", section="2.2, 8 R15", build=_build),
)

CASES = (
    case("vma-refcount", "", "ok", "R15"),
    case("vma-refcount", "pin-foreign-mm", "violation", "R15"),
    case("vma-refcount", "count-not-zero", "violation", "2.2 (a)"),
    case("vma-refcount", "vma-mm", "violation", "2.2 (b)"),
    case("vma-refcount", "vma-lock-seq", "violation", "2.2 (c)"),
    case("vma-refcount", "vma-bounds", "violation", "2.2 (d)"),
    case("vma-refcount", "attach-last", "violation", "2.2 vma_mark_attached"),
)

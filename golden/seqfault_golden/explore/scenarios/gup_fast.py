"""get_user_pages_fast with FOLL_PIN, and the device that uses the pinned page. [protocol.md 4.3, 6]"""

from ...layout import PTE_V, PTE_W, pte_ppn
from ...protocol.world import NotYet, Safeguard
from .. import moves
from ..cells import Part
from ..parts import FREE, HUGE, RELEASED, SHARED, Violation
from ..program import Line, Program
from ..small_world import SmallWorld
from .common import map_page, world_of_one_page

__all__ = ["WRITTEN", "GupFast", "drop_mapping", "is_pinned", "mapped_world", "put_page"]

WRITTEN = 1
"""Content of a frame after the device's write."""


class _Walk(Part):
    """What GUP-fast has read. `irqs_off` holds off whoever waits for walkers; `write_protect_seq` is the mm's, `seq` what was read of it."""

    irqs_off: bool
    write_protect_seq: int
    seq: int
    pmd: int
    pte: int
    frame: int
    wrote: bool

    hidden = frozenset({"seq", "pmd", "pte", "frame", "wrote"})


def put_page(world: SmallWorld, number: int) -> str:
    """Drop the reference of a mapping that is gone: "a page is freed only after" its last reference. Returns what came of it."""
    frame = world.frames[number - 1]
    if frame.pins and Safeguard.PIN_REFERENCE not in world.removed:
        return "others still have references"
    world.recycle(number)
    return "it was the last one: the page is free"


class GupFast(Program):
    """Pins the page at address 0 for a device, which writes to it and unpins it; or leaves it to the slow path, which is not explored."""

    def __init__(self, world: SmallWorld, number: int) -> None:
        super().__init__(world, "GUP-fast", number, self._lines())
        self.walk = _Walk(world, "GUP-fast")

    def _lines(self) -> tuple[Line, ...]:
        return (
            moves.line("GUP", "reads write_protect_seq, which must be even", self._read_seq),
            moves.line("GUP", "turns its interrupts off and reads the pmd entry", self._read_pmd),
            moves.line("GUP", "reads the pte, which must be writable", self._read_pte),
            moves.line("GUP", "takes a reference to the page, if it has one at all", self._try_get),
            *moves.unless(Safeguard.GUP_PMD_RECHECK, moves.line("GUP", "is the pmd entry still the same?", self._recheck_pmd)),
            *moves.unless(Safeguard.GUP_PTE_RECHECK, moves.line("GUP", "is the pte still the same?", self._recheck_pte)),
            moves.line("GUP", "turns its interrupts on; is write_protect_seq still the same?", self._recheck_seq),
            moves.line("DMA", "the device writes to the page", self._write),
            moves.line("UNPIN", "the device marks the page dirty and unpins it", self._unpin),
            moves.line("GUP", "drops its reference; the slow path will do it", self._undo, label="undo"),
        )

    def _slow(self, why: str) -> str:
        self.said = f"{why}: the slow path will do it"
        self.walk.clear("irqs_off", "seq", "pmd", "pte")
        return "end"

    def _read_seq(self, world: SmallWorld, me: Program) -> str | None:
        self.walk.seq = self.walk.write_protect_seq
        return self._slow("odd") if self.walk.seq & 1 else None

    def _read_pmd(self, world: SmallWorld, me: Program) -> str | None:
        self.walk.irqs_off = True
        self.walk.pmd = world.slot(0).value
        if self.walk.pmd in (0, HUGE):
            return self._slow("there is no table")
        self.said = f"table {self.walk.pmd}"
        return None

    def _read_pte(self, world: SmallWorld, me: Program) -> str | None:
        self.walk.pte = world.read_entry(self.walk.pmd)
        if self.walk.pte & (PTE_V | PTE_W) != PTE_V | PTE_W:
            return self._slow("it is not")
        self.said = f"frame {pte_ppn(self.walk.pte)}"
        return None

    def _try_get(self, world: SmallWorld, me: Program) -> str | None:
        frame = world.frames[pte_ppn(self.walk.pte) - 1]
        if frame.place == FREE and Safeguard.GUP_TRY_GET not in world.removed:
            return self._slow("nobody has a reference, it is free")
        self.walk.frame = pte_ppn(self.walk.pte)
        frame.pins += 1
        return None

    def _or_undo(self, same: bool) -> str | None:
        self.said = "yes" if same else "no: somebody changed it"
        return None if same else "undo"

    def _recheck_pmd(self, world: SmallWorld, me: Program) -> str | None:
        return self._or_undo(world.slot(0).value == self.walk.pmd)

    def _recheck_pte(self, world: SmallWorld, me: Program) -> str | None:
        return self._or_undo(world.read_entry(self.walk.pmd) == self.walk.pte)

    def _recheck_seq(self, world: SmallWorld, me: Program) -> str | None:
        self.walk.irqs_off = False
        return self._or_undo(self.walk.write_protect_seq == self.walk.seq)

    def _write(self, world: SmallWorld, me: Program) -> None:
        number = self.walk.frame
        if world.frames[number - 1].place < SHARED:
            raise Violation("a pinned frame is never recycled", f"the device writes to frame {number}, which was freed by its process")
        world.frames[number - 1].content = WRITTEN
        self.walk.wrote = True

    def _put(self, world: SmallWorld) -> None:
        number = self.walk.frame
        frame = world.frames[number - 1]
        if frame.place == FREE:
            raise Violation("I4", f"frame {number} is freed twice: GUP-fast drops the only reference to a page that is in the pool")
        frame.pins -= 1
        if frame.place == RELEASED and not frame.pins:
            world.recycle(number)
            self.said = "it was the last one: the page is free"
        self.walk.clear("irqs_off", "seq", "pmd", "pte", "frame")

    def _unpin(self, world: SmallWorld, me: Program) -> str:
        self._put(world)
        return "end"

    def _undo(self, world: SmallWorld, me: Program) -> None:
        self._put(world)

    # --- what others do about it ------------------------------------------------------------------------------------

    def wait(self, step: str) -> Line:
        """IPI to all CPUs: a line of whoever empties or frees a table."""

        def act(world: SmallWorld, me: Program) -> None:
            if self.walk.irqs_off:
                raise NotYet("GUP-fast has its interrupts off")

        return moves.line(step, "sends an IPI to all CPUs, and waits until no walker has its interrupts off", act)

    def bump(self, step: str, odd: bool) -> Line:
        """A half of fork's bracket."""

        def act(world: SmallWorld, me: Program) -> None:
            self.walk.write_protect_seq += 1

        return moves.line(step, f"makes write_protect_seq {'odd' if odd else 'even'}", act)

    def expect_write(self, content: int) -> None:
        """ "no write is lost": raise `Violation` unless the device's write, if there was one, is in what its process sees at the end."""
        if self.walk.wrote and content != WRITTEN:
            raise Violation("no write is lost", "the device wrote to a page that its process does not see any more")


def mapped_world(removed: frozenset[Safeguard]) -> SmallWorld:
    """Page 0 is mapped writable, by frame 1."""
    world = world_of_one_page(removed)
    map_page(world, 1, 1)
    return world


def drop_mapping() -> Line:
    """The line after a `zap` and a flush."""

    def act(world: SmallWorld, me: Program) -> None:
        if me.cells.a:
            me.said = put_page(world, me.cells.a)
        me.cells.a = 0

    return moves.line("free", "drops the mapping's reference to the page", act)


def is_pinned(world: SmallWorld, me: Program, then: str) -> bool:
    """ "page_maybe_dma_pinned": somebody has a reference to frame 1 beside the mapping; `then` says what follows from that."""
    me.said = f"yes: {then}" if world.frames[0].pins else "no"
    return bool(world.frames[0].pins)

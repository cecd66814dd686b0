"""Pages that a device has pinned: MADV_DONTNEED and write-back. [protocol.md 6]"""

from ...protocol.world import Safeguard
from .. import moves
from ..cells import Part
from ..invariants import check_end
from ..parts import FREE, RELEASED, Violation
from ..program import Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .gup_fast import GupFast, drop_mapping, is_pinned, mapped_world, put_page

__all__ = ["CASES", "SCENARIOS"]


class _File(Part):
    """The page's file. `disk`: content that was written back; `dirty`: the page is to be; `prepared`: the file system has room and a plan for it."""

    disk: int
    dirty: bool
    prepared: bool


# --- MADV_DONTNEED ----------------------------------------------------------------------------------------------------


def _dontneed(removed: frozenset[Safeguard]) -> Built:
    """The flush is a broadcast of the hardware, which waits for no walker; the page may be somebody else's soon."""
    world = mapped_world(removed)

    def reuse(world: SmallWorld, me: Program) -> str | None:
        if world.frames[0].place != FREE:
            me.said = "it is not"
            return "end"
        world.take_frame(1, me.number)
        return None

    def give_back(world: SmallWorld, me: Program) -> None:
        world.frames[0].place = RELEASED
        me.said = put_page(world, 1)

    lines = (
        moves.lock(1, "U2"),
        moves.zap(1),
        moves.unlock(1, "U2"),
        moves.flush("U2"),
        drop_mapping(),
        moves.line("reuse", "another process gets the page, if it is free", reuse),
        moves.line("reuse", "and frees it", give_back),
    )
    return Built(world=world, agents=(GupFast(world, 0), Program(world, "MADV_DONTNEED", 1, lines)))


# --- write-back -------------------------------------------------------------------------------------------------------


class _FilePin(GupFast):
    """Unpins with set_page_dirty, for which the file system must be prepared."""

    file: _File

    def _unpin(self, world: SmallWorld, me: Program) -> str:
        if not self.file.prepared:
            raise Violation("write-back never makes a pinned page clean", "the device dirties a page that the file system holds to be clean")
        self.file.dirty = True
        return super()._unpin(world, me)


def _write_back(removed: frozenset[Safeguard]) -> Built:
    """Page 0 is a dirty page of a file; write-back cleans it while a device pins it and writes to it."""
    world = mapped_world(removed)
    gup = _FilePin(world, 0)
    file = gup.file = _File(world, "file")
    file.dirty = file.prepared = True

    def keep_dirty(world: SmallWorld, me: Program) -> str | None:
        return "end" if is_pinned(world, me, "it stays dirty") else None

    def clean(world: SmallWorld, me: Program) -> None:
        file.dirty = False

    def store(world: SmallWorld, me: Program) -> None:
        file.disk = world.frames[0].content

    def forget(world: SmallWorld, me: Program) -> None:
        file.prepared = file.dirty

    pinned = moves.unless(Safeguard.WRITE_BACK_KEEPS_PINNED, moves.line("write-back", "may the page be pinned?", keep_dirty))
    lines = (
        *moves.only(Safeguard.WRITE_BACK_CHECKS_LAST, *pinned),
        moves.lock(1, "mkclean"),
        moves.protect(1, "mkclean"),
        moves.flush("mkclean"),
        moves.unlock(1, "mkclean"),
        *moves.unless(Safeguard.WRITE_BACK_CHECKS_LAST, *pinned),
        moves.line("write-back", "marks the page clean", clean),
        moves.line("write-back", "writes the page to the disk", store),
        moves.line("write-back", "the file system forgets about the page, if it is still clean", forget),
    )

    def at_end(world: SmallWorld) -> None:
        check_end(world)
        if not file.dirty and file.disk != world.frames[0].content:
            raise Violation("write-back never makes a pinned page clean", "the page is clean, but the device's write is not on the disk")

    return Built(world=world, agents=(gup, Program(world, "write-back", 1, lines)), at_end=at_end)


SCENARIOS = (
    Scenario(name="gup-dontneed", title="GUP-fast against MADV_DONTNEED", section="4.3, 6", build=_dontneed),
    Scenario(name="pin-write-back", title="write-back of a page that a device pins", section="6", build=_write_back),
)

CASES = (
    case("gup-dontneed", "", "ok", "4.3 gup_fast"),
    case("gup-dontneed", "gup-pte-recheck", "violation", "4.3 gup_fast"),
    case("gup-dontneed", "gup-pmd-recheck", "ok"),
    case("gup-dontneed", "gup-try-get", "violation", "4.3 gup_fast"),
    case("gup-dontneed", "pin-reference", "violation", "6 FOLL_PIN"),
    case("pin-write-back", "", "ok", "6 page_mkclean"),
    case("pin-write-back", "write-back-keeps-pinned", "violation", "6 page_mkclean"),
    case("pin-write-back", "write-back-checks-last", "violation", note="the pin is looked at after the pte is clean, not before"),
    case("pin-write-back", "gup-pte-recheck", "violation"),
)

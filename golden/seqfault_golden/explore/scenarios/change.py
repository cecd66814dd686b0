"""Changes of a VMA's attributes: mprotect, a split, mbind, a VMA that is linked before it is final, two writers. [protocol.md 0.3, 1.6]"""

from ...protocol.world import Safeguard
from .. import moves
from ..parts import FLAGS_RO, FLAGS_RW, PROT_RO, PROT_RW
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .common import cast, set_vma, world_of_one_page

__all__ = ["CASES", "SCENARIOS"]


def _protect_entry() -> tuple[Line, ...]:
    return moves.lock(1, "W3"), moves.protect(1), moves.unlock(1, "W3"), moves.flush("W3")


def _mprotect(policy: str, removed: frozenset[Safeguard]) -> Built:
    lines = (
        moves.mm_lock(),
        *moves.unless(Safeguard.SEQUENCE, moves.begin(0)),
        *moves.only(Safeguard.RELEASE, moves.end(0)),
        moves.write(0, flags=FLAGS_RO),
        moves.write(0, prot=PROT_RO),
        *_protect_entry(),
        *moves.unless((Safeguard.SEQUENCE, Safeguard.RELEASE), moves.end(0)),
        moves.mm_unlock(),
    )
    return cast(world_of_one_page(removed, policy=policy), 2, ("mprotect", lines))


def _split(removed: frozenset[Safeguard]) -> Built:
    """mprotect of page 0 of two: VMA 0 keeps page 0 and becomes read-only, VMA 1 is made for page 1. The fault is of page 1, writable all along."""
    world = SmallWorld(removed=removed, vmas=2, slots=1, entries=2, frames=1)
    set_vma(world, 0, 0, 2)
    world.slots[0].value = 1
    lines = (
        moves.mm_lock(),
        *moves.section(
            0,
            moves.write(0, flags=FLAGS_RO),
            moves.write(0, prot=PROT_RO),
            moves.write(1, flags=FLAGS_RW, prot=PROT_RW, start=1, end=2, alive=1, linked=1),
            moves.write(0, end=1),
            moves.write(1, indexed=1),
        ),
        moves.mm_unlock(),
    )
    return cast(world, 2, ("mprotect", lines), page=1)


def _insert(removed: frozenset[Safeguard]) -> Built:
    """mmap links a writable VMA and takes the right to write away afterwards (VM_LOCKED, soft-dirty and page_prot come after linking)."""
    world = world_of_one_page(removed)
    world.vmas[0].indexed = world.vmas[0].linked = 0
    lines = (
        moves.mm_lock(),
        *moves.unless(Safeguard.INSERT_ODD, moves.write(0, "W1", "makes the sequence of the new VMA odd", seq=1)),
        moves.write(0, "mmap", "links the VMA", indexed=1, linked=1),
        moves.write(0, flags=FLAGS_RO),
        moves.write(0, prot=PROT_RO),
        *moves.unless(Safeguard.INSERT_ODD, moves.end(0)),
        moves.mm_unlock(),
    )
    return cast(world, 2, ("mmap", lines))


def _bump(step: str, sentence: str) -> tuple[Line, Line]:
    """`seq++` as it is: a load and a store."""

    def load(world: SmallWorld, me: Program) -> None:
        me.cells.b = world.vmas[0].seq

    def store(world: SmallWorld, me: Program) -> None:
        world.vmas[0].seq = me.cells.b + 1

    return moves.line(step, f"loads the sequence ({sentence})", load), moves.line(step, f"stores the sequence + 1 ({sentence})", store)


def _two_writers(removed: frozenset[Safeguard]) -> Built:
    """Both bump the sequence of the same VMA; the mm lock, held for writing, keeps one from the other's section."""

    def under_lock(*lines: Line) -> tuple[Line, ...]:
        return (
            *moves.unless(Safeguard.EXCLUSIVE_WRITER, moves.mm_lock()),
            *lines,
            *moves.unless(Safeguard.EXCLUSIVE_WRITER, moves.mm_unlock()),
        )

    zap = moves.lock(1), moves.zap(1), moves.unlock(1), moves.flush(), moves.recycle()
    dontneed = under_lock(*_bump("W1", "section begins"), *zap, *_bump("W4", "section ends"))
    mprotect = under_lock(
        *_bump("W1", "section begins"),
        moves.write(0, flags=FLAGS_RO),
        moves.write(0, prot=PROT_RO),
        *_protect_entry(),
        *_bump("W4", "section ends"),
    )
    return cast(world_of_one_page(removed), 1, ("MADV_DONTNEED", dontneed), ("mprotect", mprotect))


SCENARIOS = (
    Scenario(
        name="mprotect", title="mprotect takes the right to write away", section="0.3 change attributes",
        build=lambda removed: _mprotect("spec", removed),
    ),
    Scenario(name="mprotect-vma-lock", title="the same under policy vma-lock", section="2.1", build=lambda removed: _mprotect("vma-lock", removed)),
    Scenario(name="split", title="mprotect of half a VMA, a fault in the other half", section="1.6 __vma_adjust", build=_split),
    Scenario(name="insert", title="mmap links a VMA before it is final", section="1.6 mmap_region tail", build=_insert),
    Scenario(name="two-writers", title="MADV_DONTNEED and mprotect bump one sequence", section="8 R8", build=_two_writers),
)  # fmt: skip

CASES = (
    case("mprotect", "", "ok", "0.5 none: mprotect"),
    case("mprotect", "c1", "ok", note="redundant: nothing is freed, C3 decides; Spin agrees"),
    case("mprotect", "c2", "ok", note="redundant: no table moves"),
    case("mprotect", "c3", "violation", "0.5 drop C3 (mprotect)"),
    case("mprotect", "early-recheck", "ok", "0.5 drop R8 only"),
    case("mprotect", "c1+c2+early-recheck", "ok", note="C3 alone carries it"),
    case("mprotect", "snapshot", "violation", "0.5 re-read flags/prot at R17"),
    case("mprotect", "even-sequence", "violation", "0.5 accept odd seq at R2"),
    case("mprotect", "parity", "violation", "0.5 counter parity inverted"),
    case("mprotect", "sequence", "violation", "R11 (a bump of 1.6 is missing)"),
    case("mprotect", "release", "violation", "R12"),
    case("mprotect", "predicates-after-snapshot", "violation", "R10, R12 (mirror image)"),
    case("mprotect-vma-lock", "", "ok", "2.1"),
    case("mprotect-vma-lock", "c1+c2+c3+early-recheck+snapshot", "ok", note="2.4: under the lock the live VMA may be used"),
    case("mprotect-vma-lock", "even-sequence", "violation", "2.1 (vma_start_read tests the writer's mark)"),
    case("split", "", "ok", "1.6 __vma_adjust"),
    case("split", "errors-to-slow-path", "violation", "R24"),
    case("insert", "", "ok", "1.6 mmap_region tail"),
    case("insert", "insert-odd", "violation", "R14"),
    case("two-writers", "", "ok", "R8"),
    case("two-writers", "exclusive-writer", "violation", "R8"),
)

"""munmap and MADV_DONTNEED: pages, tables and the VMA go away. [protocol.md 0.3 unmap, 0.5]"""

from ...protocol.world import NotYet, Safeguard
from .. import moves
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .common import cast, world_of_one_page

__all__ = ["CASES", "SCENARIOS"]


def _zap(*under_lock: Line) -> tuple[Line, ...]:
    """U2 of the one entry; with more lines before the lock is dropped."""
    return (
        *moves.unless(Safeguard.ZAP_LOCK, moves.lock(1, "U2")),
        moves.zap(1),
        *under_lock,
        *moves.unless(Safeguard.ZAP_LOCK, moves.unlock(1, "U2")),
    )


def _free_tables() -> tuple[Line, ...]:
    return (
        moves.clear_slot(0),
        moves.clear_upper(),
        *moves.unless(Safeguard.WAIT_FOR_WALKERS, moves.wait_for_walkers()),
        moves.free_table(1),
        moves.free_directory(),
    )


def _munmap_lines() -> tuple[Line, ...]:
    return (
        moves.mm_lock(),
        *moves.unless(Safeguard.UNLINK_FIRST, *moves.unlink(0)),
        *_zap(),
        *moves.only(Safeguard.UNLINK_FIRST, *moves.unlink(0)),
        moves.flush("U2"),
        moves.recycle("U2"),
        *_free_tables(),
        *moves.free_vma(0),
        moves.mm_unlock(),
    )


def _munmap(removed: frozenset[Safeguard]) -> Built:
    return cast(world_of_one_page(removed), 2, ("munmap", _munmap_lines()))


def _by_sequence(policy: str, removed: frozenset[Safeguard]) -> Built:
    """Out of the index, but `linked` for ever: only the sequence (or the lock) tells."""
    lines = (
        moves.mm_lock(),
        *moves.section(
            0,
            moves.write(0, "U1", "takes the VMA out of the index", indexed=0),
            *_zap(),
            moves.flush("U2"),
            moves.recycle("U2"),
            *_free_tables(),
        ),
        *moves.free_vma(0),
        moves.mm_unlock(),
    )
    return cast(world_of_one_page(removed, policy=policy), 2, ("munmap", lines))


def _by_ipi(removed: frozenset[Safeguard]) -> Built:
    """The zap flushes under the PTE lock, and a CPU whose walker is pinned (interrupts off) does not answer."""

    def flush(world: SmallWorld, me: Program) -> None:
        if any(fault.pinned for fault in world.faults):
            raise NotYet("a CPU with interrupts off does not acknowledge the flush")
        world.flush()

    lines = (
        moves.mm_lock(),
        *moves.unlink(0),
        *_zap(moves.line("U2", "asks all CPUs to flush, and waits for their acknowledgements, with the PTE lock held", flush)),
        moves.recycle("U2"),
        *_free_tables(),
        moves.mm_unlock(),
    )
    return cast(world_of_one_page(removed), 2, ("munmap", lines))


def _contract(removed: frozenset[Safeguard]) -> Built:
    """What docs/software-contract.md asks of the engine's software: a section, and a fence before anything is reused."""
    lines = (
        moves.mm_lock(),
        *moves.section(
            0,
            moves.write(0, "SPACE_VMAS", "publishes a tree without the VMA", indexed=0),
            *_zap(),
            moves.flush("INVALIDATE"),
            moves.clear_slot(0),
            moves.clear_upper(),
        ),
        moves.mm_unlock(),
        *moves.unless(Safeguard.FENCE, *moves.fence()),
        moves.recycle(),
        moves.free_table(1),
        moves.free_directory(),
        moves.write(0, "free", "reuses the record of the VMA", alive=0),
    )
    return cast(world_of_one_page(removed), 2, ("munmap", lines))


def _dontneed(removed: frozenset[Safeguard]) -> Built:
    """Under the mm lock as a reader, without a section (Android): the VMA stays."""

    def take(world: SmallWorld, me: Program) -> None:
        world.set_mm_reader(0, me.number, True)

    def drop(world: SmallWorld, me: Program) -> None:
        world.set_mm_reader(0, me.number, False)

    def flush_one(number: int) -> Line:
        def act(world: SmallWorld, me: Program) -> None:
            world.cpus[number].tlb = 0

        return moves.line("flush", f"CPU {number} acknowledges the flush", act)

    lines = (
        moves.line("MM_READ_LOCK", "takes the mm lock as a reader", take),
        *_zap(),
        *moves.only(Safeguard.FLUSH_BEFORE_FREE, moves.recycle()),
        flush_one(0),
        flush_one(1),
        *moves.unless(Safeguard.FLUSH_BEFORE_FREE, moves.recycle()),
        moves.line("MM_READ_UNLOCK", "drops the mm lock", drop),
    )
    return cast(world_of_one_page(removed, frames=3), 2, ("MADV_DONTNEED", lines), symmetric=False)


def _with_policy(policy: str) -> Scenario:
    return Scenario(
        name=f"munmap-{policy}", title=f"munmap under policy {policy}", section="2.1" if policy == "vma-lock" else "0.2 RETRY",
        build=lambda removed: _by_sequence(policy, removed),
    )  # fmt: skip


SCENARIOS = (
    Scenario(name="munmap", title="munmap with the freeing of its tables, told by `linked`", section="0.3 unmap", build=_munmap),
    Scenario(
        name="munmap-sequence", title="the same, told by the sequence alone", section="0.3 unmap", build=lambda removed: _by_sequence("spec", removed)
    ),
    _with_policy("vma-lock"),
    _with_policy("mm-lock"),
    Scenario(name="munmap-ipi", title="munmap that flushes by IPI under the PTE lock", section="1.4", build=_by_ipi),
    Scenario(name="munmap-contract", title="munmap as the engine's software does it, with a fence", section="contract", build=_contract),
    Scenario(name="dontneed", title="MADV_DONTNEED under the mm lock as a reader, TLBs flushed CPU by CPU", section="1.6, 1.10", build=_dontneed),
)

CASES = (
    case("munmap", "", "ok", "0.5 none: munmap (detach-based)"),
    case("munmap", "c1", "violation", "0.5 drop C1"),
    case("munmap", "c2", "ok", note="redundant here: C1, C3 and the pinned walker cover it; Spin agrees"),
    case("munmap", "c3", "violation", "0.5 drop C3 (no IPI inside the zap)"),
    case("munmap", "c4", "violation", note="two faults of one page: the second overwrites the first"),
    case("munmap", "walker-pin", "violation", "0.5 drop walker pin (R10)"),
    case("munmap", "walk-pin", "violation", "R7"),
    case("munmap", "early-recheck", "ok", "0.5 drop R8 only"),
    case("munmap", "undo", "violation", "0.5 skip undo at abort"),
    case("munmap", "unlink-first", "violation", "0.5 unlink after zap"),
    case("munmap", "wait-for-walkers", "violation", "0.5 free without waiting for walkers"),
    case("munmap", "zap-lock", "violation", "0.5 zap without PTL, R6"),
    case("munmap", "vma-pin", "violation", "0.4 I8"),
    case("munmap", "grace-period", "violation", "0.4 I8"),
    case("munmap", "max-retries", "violation", "4.2 (engine: at most three speculative attempts)"),
    case("munmap-sequence", "", "ok", "0.5 none: munmap (seq-based)"),
    case("munmap-sequence", "even-sequence", "violation", "0.5 accept odd seq at R2"),
    case("munmap-sequence", "c1", "violation", "0.5 drop C1"),
    case("munmap-sequence", "c3", "violation", "0.5 drop C3 (no IPI inside the zap)"),
    case("munmap-vma-lock", "", "ok", "2.1"),
    case("munmap-vma-lock", "c1+c2+c3+early-recheck", "ok", note="2.4: no late validation is needed when the writer waits for readers"),
    case("munmap-mm-lock", "", "ok", "0.2 RETRY"),
    case("munmap-mm-lock", "c1+c2+c3+early-recheck+even-sequence+walker-pin", "ok", note="the mm lock excludes every writer"),
    case("munmap-ipi", "", "ok", "1.4"),
    case("munmap-ipi", "trylock", "deadlock", "0.5 blocking lock at R13, R4"),
    case("munmap-contract", "", "ok", "docs/software-contract.md"),
    case("munmap-contract", "fence", "violation"),
    case("munmap-contract", "walker-pin+walk-pin+vma-pin", "ok", note="the fence alone keeps tables, record and frame alive"),
    case("munmap-contract", "c1+c2+early-recheck", "ok", note="with a fence before reuse, C3 under the PTE lock is enough"),
    case("munmap-contract", "c3", "violation"),
    case("dontneed", "", "ok", "1.6 MADV_DONTNEED (Android)"),
    case("dontneed", "flush-before-free", "violation", "1.10"),
    case("dontneed", "zap-lock", "violation", "0.5 zap without PTL"),
)

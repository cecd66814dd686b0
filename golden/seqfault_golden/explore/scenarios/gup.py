"""GUP-fast, which pins a page without a lock, against collapse and fork. [protocol.md 4.3, 6, 8]"""

from dataclasses import replace

from ...layout import PTE_W, pte_ppn
from ...protocol.world import Safeguard
from .. import moves
from ..cells import Part
from ..fault_agent import FaultAgent
from ..invariants import check_end
from ..parts import HUGE
from ..program import Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .gup_fast import GupFast, drop_mapping, is_pinned, mapped_world

__all__ = ["CASES", "SCENARIOS"]


class _Copy(Part):
    """The huge page that a collapse made."""

    content: int


# --- collapse ---------------------------------------------------------------------------------------------------------


def _collapse(removed: frozenset[Safeguard], wait_first: bool) -> Built:
    """Waits for walkers before it empties the table, or (with tables freed by RCU) only before it frees it."""
    world = mapped_world(removed)
    gup = GupFast(world, 0)
    huge = _Copy(world, "huge page")

    def give_up(world: SmallWorld, me: Program) -> str | None:
        return "give up" if is_pinned(world, me, "no collapse") else None

    def copy(world: SmallWorld, me: Program) -> None:
        huge.content = world.frames[0].content

    def install(world: SmallWorld, me: Program) -> str:
        world.slots[0].value = HUGE
        return "leave"

    def put_back(world: SmallWorld, me: Program) -> None:
        world.slots[0].value = 1

    wait = moves.unless(Safeguard.WAIT_FOR_WALKERS, gup.wait("K3"))
    lines = (
        moves.mm_lock(),
        moves.clear_slot(0, "K2"),
        moves.flush("K2"),
        *(wait if wait_first else ()),
        moves.lock(1, "K4"),
        *moves.unless(Safeguard.COLLAPSE_REFERENCES, moves.line("K4", "has anybody else a reference to the page?", give_up)),
        moves.line("K4", "copies the page", copy),
        moves.zap(1, "K4"),
        moves.unlock(1, "K4"),
        drop_mapping(),
        *(() if wait_first else wait),
        moves.free_table(1, "K4"),
        moves.line("K5", "installs the huge page", install),
        moves.line("K4", "puts the pmd entry back", put_back, label="give up"),
        moves.unlock(1, "K4"),
        replace(moves.mm_unlock(), label="leave"),
    )

    def at_end(world: SmallWorld) -> None:
        check_end(world)
        gup.expect_write(huge.content if world.slots[0].value == HUGE else world.frames[0].content)

    return Built(world=world, agents=(gup, Program(world, "collapse", 1, lines)), at_end=at_end)


def _collapse_with_ipi(removed: frozenset[Safeguard]) -> Built:
    return _collapse(removed, wait_first=True)


def _collapse_with_rcu(removed: frozenset[Safeguard]) -> Built:
    return _collapse(removed, wait_first=False)


# --- fork -------------------------------------------------------------------------------------------------------------


def _fork(removed: frozenset[Safeguard]) -> Built:
    world = mapped_world(removed)
    parent = FaultAgent(world)
    gup = GupFast(world, 1)

    def copy_if_pinned(world: SmallWorld, me: Program) -> str | None:
        if not is_pinned(world, me, "the child gets a copy, the parent keeps the page"):
            return None
        world.write_entry(1, world.read_entry(1) | PTE_W)
        return "copied"

    def share(world: SmallWorld, me: Program) -> None:
        world.frames[0].sharers = 1

    look = moves.unless(Safeguard.FORK_COPIES_PINNED, moves.line("F2", "may the page be pinned?", copy_if_pinned))
    lines = (
        moves.mm_lock(),
        moves.begin(0, "F1"),
        *moves.unless(Safeguard.WRITE_PROTECT_SEQ, gup.bump("F2", odd=True)),
        moves.lock(1, "F2"),
        *moves.unless(Safeguard.FORK_CHECKS_PIN_FIRST, *look),
        moves.protect(1, "F2"),
        *moves.only(Safeguard.FORK_CHECKS_PIN_FIRST, *look),
        moves.line("F2", "the child maps the page too", share),
        replace(moves.unlock(1, "F2"), label="copied"),
        moves.flush("F3"),
        *moves.unless(Safeguard.WRITE_PROTECT_SEQ, gup.bump("F4", odd=False)),
        moves.end(0, "F4"),
        moves.mm_unlock(),
    )

    def at_end(world: SmallWorld) -> None:
        check_end(world)
        pte = world.ptes[0].pte
        gup.expect_write(world.frames[pte_ppn(pte) - 1].content)

    return Built(world=world, agents=(parent, gup, Program(world, "fork", 2, lines)), at_end=at_end)


SCENARIOS = (
    Scenario(name="gup-collapse", title="GUP-fast against a collapse that waits for walkers", section="4.3, 8 R20", build=_collapse_with_ipi),
    Scenario(name="gup-collapse-rcu", title="the same, with tables that RCU frees", section="4.3, 8 R20", build=_collapse_with_rcu),
    Scenario(name="gup-fork", title="GUP-fast with FOLL_PIN against fork, and the parent's next write", section="6, 8 R21", build=_fork),
)

CASES = (
    case("gup-collapse", "", "ok", "R20"),
    case("gup-collapse", "wait-for-walkers", "violation", "R20"),
    case("gup-collapse", "gup-pmd-recheck", "ok", note="a collapse that waits for walkers leaves it nothing to find"),
    case("gup-collapse", "gup-pmd-recheck+gup-pte-recheck", "ok", note="nor the other re-check"),
    case("gup-collapse", "collapse-references", "violation", note="a collapse must leave pinned pages alone"),
    case("gup-collapse-rcu", "", "ok", "R20"),
    case("gup-collapse-rcu", "wait-for-walkers", "violation", "R20"),
    case("gup-collapse-rcu", "gup-pmd-recheck", "violation", "R20"),
    case("gup-collapse-rcu", "gup-pte-recheck", "ok", note="the pmd entry goes first"),
    case("gup-fork", "", "ok", "R21"),
    case("gup-fork", "write-protect-seq", "violation", "R21"),
    case("gup-fork", "fork-copies-pinned", "violation", "6 fork"),
    case("gup-fork", "gup-pte-recheck", "ok", note="write_protect_seq is enough against fork"),
    case("gup-fork", "fork-checks-pin-first", "ok"),
    case(
        "gup-fork", "fork-checks-pin-first+write-protect-seq", "ok",
        note="with the pin looked at after the entry is protected, the re-check of the pte is enough",
    ),
    case("gup-fork", "fork-checks-pin-first+gup-pte-recheck+write-protect-seq", "violation"),
)  # fmt: skip

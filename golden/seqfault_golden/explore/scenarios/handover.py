"""Faults that become somebody else's: userfault registration while faults run, and page requests. [protocol.md 1.9; contract, Page requests]"""

from functools import partial

from ...layout import Outcome, VmaFlag
from ...protocol import exit_steps
from ...protocol.world import RETRIED, NotYet, Phase, Safeguard
from .. import moves
from ..cells import Part
from ..fault_agent import FaultAgent
from ..invariants import check_end
from ..parts import FLAGS_RW, FaultCells, Violation
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .common import set_vma, world_of_one_page

__all__ = ["CASES", "SCENARIOS"]


# --- registration -----------------------------------------------------------------------------------------------------


class _Armed(Part):
    """`missing`: user space has seen that the page is missing after its registration was complete."""

    missing: bool


class _WatchedFault(FaultAgent):
    """A fault of a page that user space may have registered meanwhile."""

    armed: _Armed

    def _commit(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        if self.armed.missing:
            raise Violation("user space serves what it registered", f"fault {fault.agent} maps a page, which only user space was to do from now on")
        super()._commit(world, fault, choice)


def _register(policy: str, removed: frozenset[Safeguard]) -> Built:
    """UFFDIO_REGISTER (missing pages); then user space looks which pages are missing, and relies on it."""
    world = world_of_one_page(removed, policy=policy)
    faults = _WatchedFault(world), _WatchedFault(world)
    armed = _Armed(world, "user space")
    for fault in faults:
        fault.armed = armed

    def look(world: SmallWorld, me: Program) -> None:
        armed.missing = not world.read_entry(1)
        me.said = "the page is missing" if armed.missing else "the page is there"

    lines = (
        moves.mm_lock(),
        *moves.section(
            0,
            moves.write(0, "W2", "writes vm_flags: user space serves missing pages", flags=FLAGS_RW | VmaFlag.UFFD),
            *moves.unless(Safeguard.REGISTER_DRAIN, moves.lock(1, "W3"), moves.unlock(1, "W3")),
        ),
        moves.mm_unlock(),
        moves.line("look", "user space looks whether the page is missing", look),
    )
    return Built(world=world, agents=(*faults, Program(world, "UFFDIO_REGISTER", 2, lines)), symmetric=2)


# --- page requests ----------------------------------------------------------------------------------------------------


class _Request(Part):
    """A page request: `posted` to software; `answered` by it (ATS.PRGR)."""

    posted: bool
    answered: bool


class _Requester(FaultAgent):
    """Who asks for a translation; after a page request waits for software's response, and asks again."""

    def __init__(self, world: SmallWorld) -> None:
        super().__init__(world)
        self.request = _Request(world, f"request of {self.name}")
        self.parts = (*self.parts, self.request)

    def take(self, choice: int) -> None:
        if not self.request.posted:
            super().take(choice)
        elif not self.request.answered:
            raise NotYet("software has not answered")
        else:
            self.request.clear("posted", "answered")

    def next_step(self, choice: int) -> tuple[str, str]:
        fault = self.fault
        if self.request.posted:
            return "PRGR", "gets software's response"
        if fault.phase == Phase.UNDONE and fault.reason not in RETRIED and not exit_steps.releases_first(self.world, fault):
            return "HANDOVER", f"software gets the fault in a page request{', with the mm lock still held' if fault.holds_read_lock else ''}"
        return super().next_step(choice)

    def _go_on(self, world: SmallWorld, fault: FaultCells, choice: int) -> None:
        if fault.reason in RETRIED or exit_steps.releases_first(world, fault):
            super()._go_on(world, fault, choice)
            return
        exit_steps.handover(world, fault, Outcome(fault.reason))
        if not fault.holds_read_lock:
            exit_steps.answer(world, fault)
        self.request.posted = True


def _answer(requesters: tuple[_Requester, ...]) -> tuple[Line, ...]:
    """Software, which makes the VMA longer (a stack), under the mm lock as a writer, and then responds to whoever has asked."""

    def wait(world: SmallWorld, me: Program) -> str | None:
        if not any(requester.choices() for requester in requesters):
            return "end"
        if not any(requester.request.posted and not requester.request.answered for requester in requesters):
            raise NotYet("there is no page request")
        return None

    def respond(world: SmallWorld, me: Program) -> str:
        answered = [requester for requester in requesters if requester.request.posted]
        for requester in answered:
            requester.request.answered = True
        me.said = ", ".join(requester.name for requester in answered)
        return "wait"

    return (
        moves.line("request", "reads a page request", wait, label="wait"),
        moves.mm_lock(),
        *moves.section(0, moves.write(0, start=0)),
        moves.mm_unlock(),
        moves.line("PRGR", "responds to those who have asked", respond),
    )


def _request(policy: str, removed: frozenset[Safeguard]) -> Built:
    """Page 0 lies below the VMA, which software makes longer."""
    world = SmallWorld(removed=removed, policy=policy, frames=2, entries=2)
    set_vma(world, 0, 1, 2)
    world.slots[0].value = 1
    requesters = _Requester(world), _Requester(world)

    def at_end(world: SmallWorld) -> None:
        check_end(world)
        if not world.ptes[0].pte:
            raise Violation("every fault ends", "page 0 is not mapped, though software has answered")

    return Built(world=world, agents=(*requesters, Program(world, "software", 2, _answer(requesters))), symmetric=2, at_end=at_end)


SCENARIOS = (
    Scenario(name="register", title="userfault registration against two faults", section="1.9, 4.4", build=partial(_register, "spec")),
    Scenario(name="register-vma-lock", title="the same, with per-VMA locks", section="1.9, 2", build=partial(_register, "vma-lock")),
    Scenario(name="page-request", title="two page requests, which software answers", section="contract", build=partial(_request, "spec")),
    Scenario(name="page-request-mm-lock", title="the same, with faults under the mm lock", section="contract", build=partial(_request, "mm-lock")),
)

CASES = (
    case("register", "", "ok", "1.9 Userfault registration"),
    case("register", "sequence", "violation", "1.9 Userfault registration"),
    case("register", "c3", "violation", "1.9 Userfault registration"),
    case("register", "c1", "ok"),
    case(
        "register", "register-drain", "violation",
        note="1.9 calls registration safe as it bumps seq; yet it can begin and end between C3 and R17: it must pass through the PTE lock",
    ),
    case("register-vma-lock", "", "ok", "1.9, 2"),
    case("register-vma-lock", "sequence", "violation", "1.9, 2"),
    case("register-vma-lock", "c1+c3", "ok", "2.4 late validation: none needed"),
    case("register-vma-lock", "register-drain", "ok", note="the writer waits for the readers of the VMA"),
    case("page-request", "", "ok", "contract, Page requests"),
    case("page-request", "sequence", "ok", note="the bump of 1.6 for a VMA that only grows: no fault of the new range has found it"),
    case("page-request", "max-retries", "violation", "contract, mm lock"),
    case("page-request-mm-lock", "", "ok", "contract, Page requests"),
    case("page-request-mm-lock", "release-first", "deadlock", "contract, Page requests"),
)  # fmt: skip

"""Faults that user space serves: waiting, waking and trying again. [protocol.md 4.1, 4.4, 8 R22, R23]"""

from functools import partial

from ...layout import PTE_V
from ...protocol import retry_steps, writer_steps
from ...protocol.retry_steps import FaultFlag, Waiting
from ...protocol.world import NotAllowed, NotYet, Safeguard
from .. import moves
from ..cells import Part
from ..parts import Violation
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .common import map_page, world_of_one_page

__all__ = ["CASES", "SCENARIOS"]


class _Wait(Part):
    """A userfault: `queued` where user space sees it; `asleep`: marked as sleeping; `must_wait`: the page was not there."""

    flags: int
    queued: bool
    asleep: bool
    must_wait: bool

    def show(self, name: str, value: int) -> str:
        return str(FaultFlag(value)) if name == "flags" else str(value)


class _UserFault(Program):
    """A fault of page 0, which user space serves. `flags`: of its first try."""

    def __init__(self, world: SmallWorld, number: int, flags: FaultFlag) -> None:
        self.may_retry = bool(flags & FaultFlag.ALLOW_RETRY)
        super().__init__(world, f"fault {number}", number, self._lines(world.removed))
        self.wait = _Wait(world, self.name)
        self.wait.flags = flags
        self.parts = (self.cells, self.wait)

    def _lines(self, removed: frozenset[Safeguard]) -> tuple[Line, ...]:
        early, late = self._announce(removed)
        return (
            moves.line("MM_READ_LOCK", "takes the mm lock as a reader", self._lock, label="try"),
            moves.line("UFFD", "is the page there? if not, may the fault wait?", self._look),
            *early,
            moves.line("UFFD", "must it wait? reads the pte without a lock", self._test),
            *late,
            moves.line("UFFD", "drops the mm lock, if it may", self._drop),
            moves.line("UFFD", "sleeps until somebody wakes it", self._sleep),
            moves.line("UFFD", "leaves the queue; the fault will be tried again", self._again),
            moves.line("MM_READ_UNLOCK", "drops the mm lock", self._unlock, label="done"),
            moves.line("end", "the fault is over", lambda world, me: "end"),
            moves.line("MM_READ_UNLOCK", "drops the mm lock, which is still held; will try where it may wait", self._not_waited, label="not waited"),
        )

    def _announce(self, removed: frozenset[Safeguard]) -> tuple[list[Line], list[Line]]:
        """What is done before and after the test whether it must wait: "enqueue [..]; set task state; **then** test"."""
        early: list[Line] = []
        late: list[Line] = []
        enqueue = moves.line("UFFD", "puts itself into the queue, where user space sees it", self._enqueue)
        mark = moves.line("UFFD", "marks itself as sleeping", self._mark)
        (early if Safeguard.ENQUEUE_FIRST not in removed else late).append(enqueue)
        (early if Safeguard.STATE_FIRST not in removed else late).append(mark)
        if len(early) == 2 and Safeguard.QUEUE_LOCK not in removed:
            early = [moves.line("UFFD", "under the queue's lock: puts itself into the queue, and marks itself as sleeping", self._enqueue_and_mark)]
        return early, late

    def _lock(self, world: SmallWorld, me: Program) -> None:
        if world.mm_writer(0):
            raise NotYet("a writer holds the mm lock")
        world.set_mm_reader(0, self.number, True)

    def _unlock(self, world: SmallWorld, me: Program) -> None:
        if self.number not in world.mm_readers(0):
            raise NotAllowed(f"{self.name} drops the mm lock, which it does not hold any more")
        world.set_mm_reader(0, self.number, False)

    def _look(self, world: SmallWorld, me: Program) -> str | None:
        if world.read_entry(1) & PTE_V:
            self.said = "it is there"
            return "done"
        verdict = retry_steps.userfault(FaultFlag(self.wait.flags), world.removed)
        self.said = verdict.value
        if verdict == Waiting.REFUSED:
            if self.may_retry:
                raise Violation("no spurious error", "the fault may be tried again, but ends with SIGBUS")
            return "done"
        return "not waited" if verdict == Waiting.NOT_WAITED else None

    def _enqueue(self, world: SmallWorld, me: Program) -> None:
        self.wait.queued = True

    def _mark(self, world: SmallWorld, me: Program) -> None:
        self.wait.asleep = True

    def _enqueue_and_mark(self, world: SmallWorld, me: Program) -> None:
        self.wait.queued = self.wait.asleep = True

    def _test(self, world: SmallWorld, me: Program) -> None:
        self.wait.must_wait = not world.read_entry(1) & PTE_V
        self.said = "yes" if self.wait.must_wait else "no"

    def _drop(self, world: SmallWorld, me: Program) -> None:
        if self.wait.flags & FaultFlag.ALLOW_RETRY:
            self._unlock(world, me)
        else:
            self.said = "it may not"

    def _sleep(self, world: SmallWorld, me: Program) -> None:
        if self.wait.must_wait and self.wait.asleep:
            raise NotYet("nobody has woken it")
        self.said = "somebody did" if self.wait.must_wait else "it need not"

    def _again(self, world: SmallWorld, me: Program) -> str:
        if self.number in world.mm_readers(0):
            self._unlock(world, me)
        self.wait.clear("queued", "asleep", "must_wait")
        if self.wait.flags & FaultFlag.RETRY_NOWAIT:
            return "not waited"
        self.wait.flags = retry_steps.next_try(FaultFlag(self.wait.flags), world.removed)
        return "try"

    def _not_waited(self, world: SmallWorld, me: Program) -> str:
        self._unlock(world, me)
        self.wait.flags &= ~FaultFlag.RETRY_NOWAIT
        return "try"

    def wake(self) -> None:
        """What UFFDIO_COPY does to a fault in the queue."""
        if self.wait.queued:
            self.wait.clear("queued", "asleep")


# --- user space -------------------------------------------------------------------------------------------------------


def _copy(faults: list[_UserFault]) -> tuple[Line, ...]:
    """UFFDIO_COPY: the page is installed "under PTL only if still none", then those in the queue are woken."""

    def lock(world: SmallWorld, me: Program) -> None:
        if world.mm_writer(0):
            raise NotYet("a writer holds the mm lock")
        world.set_mm_reader(0, me.number, True)

    def install(world: SmallWorld, me: Program) -> None:
        if world.read_entry(1) & PTE_V:
            me.said = "it is there"
        elif (frame := world.free_frame()) is None:
            raise NotYet("no page is free")
        else:
            map_page(world, 1, frame)

    def unlock(world: SmallWorld, me: Program) -> None:
        world.set_mm_reader(0, me.number, False)

    def wake(world: SmallWorld, me: Program) -> None:
        woken = [fault.name for fault in faults if fault.wait.queued]
        for fault in faults:
            fault.wake()
        me.said = ", ".join(woken) or "the queue is empty"

    return (
        moves.line("COPY", "takes the mm lock as a reader", lock),
        moves.lock(1, "COPY"),
        moves.line("COPY", "installs the page, if it is not there", install),
        moves.unlock(1, "COPY"),
        moves.line("COPY", "drops the mm lock", unlock),
        moves.line("COPY", "wakes whoever is in the queue", wake),
    )


def _serve(faults: list[_UserFault], *before: Line) -> tuple[Line, ...]:
    """Reads messages and serves them, as long as there are faults; `before` it serves one, it does something else."""

    def read(world: SmallWorld, me: Program) -> str | None:
        if not any(fault.choices() for fault in faults):
            return "end"
        if not any(fault.wait.queued for fault in faults):
            raise NotYet("there is no message")
        return None

    return (
        moves.line("read", "reads a message: somebody waits for the page", read, label="read"),
        *before,
        *_copy(faults),
        moves.line("read", "goes on reading messages", lambda world, me: "read"),
    )


def _cast(removed: frozenset[Safeguard], count: int, flags: FaultFlag) -> tuple[SmallWorld, list[_UserFault]]:
    world = world_of_one_page(removed)
    return world, [_UserFault(world, number, flags) for number in range(count)]


def _unasked(removed: frozenset[Safeguard]) -> Built:
    """User space installs the page once, without waiting for a message."""
    world, faults = _cast(removed, 2, FaultFlag.ALLOW_RETRY)
    return Built(world=world, agents=(*faults, Program(world, "user space", 2, _copy(faults))), symmetric=2)


def _dontneed(removed: frozenset[Safeguard]) -> Built:
    """MADV_DONTNEED removes the page once."""
    world, faults = _cast(removed, 2, FaultFlag.ALLOW_RETRY)
    lines = (moves.lock(1, "U2"), moves.zap(1), moves.unlock(1, "U2"), moves.flush("U2"), moves.recycle())
    agents = (*faults, Program(world, "user space", 2, _serve(faults)), Program(world, "MADV_DONTNEED", 3, lines))
    return Built(world=world, agents=agents, symmetric=2)


def _flags(flags: FaultFlag, removed: frozenset[Safeguard]) -> Built:
    """User space needs the mm lock as a writer before it serves (it maps memory for the page)."""
    world, faults = _cast(removed, 1, flags)

    def lock(world: SmallWorld, me: Program) -> None:
        writer_steps.mm_lock(world, 0)

    before = moves.line("mmap", "takes the mm lock as a writer", lock), moves.mm_unlock()
    return Built(world=world, agents=(*faults, Program(world, "user space", 1, _serve(faults, *before))))


SCENARIOS = (
    Scenario(name="userfault", title="two userfaults, and user space that installs the page unasked", section="4.4, 8 R22", build=_unasked),
    Scenario(name="userfault-dontneed", title="two userfaults, served again after MADV_DONTNEED", section="4.4, 8 R23", build=_dontneed),
    Scenario(name="userfault-no-retry", title="a userfault without ALLOW_RETRY", section="4.1", build=partial(_flags, FaultFlag(0))),
    Scenario(
        name="userfault-nowait",
        title="a userfault that must not wait, and then may",
        section="4.1",
        build=partial(_flags, FaultFlag.ALLOW_RETRY | FaultFlag.RETRY_NOWAIT),
    ),
)

CASES = (
    case("userfault", "", "ok", "R22"),
    case("userfault", "enqueue-first", "deadlock", "R22"),
    case("userfault", "state-first", "deadlock", "R22"),
    case("userfault", "queue-lock", "ok", note="a page that comes and stays is seen by the test"),
    case("userfault-dontneed", "", "ok", "R23"),
    case("userfault-dontneed", "enqueue-first", "ok", note="user space that answers every message with a wake-up, late ones too, loses none"),
    case("userfault-dontneed", "state-first", "deadlock", "R22"),
    case(
        "userfault-dontneed",
        "queue-lock",
        "deadlock",
        note="woken between the queue and the mark, and then the page is removed: 4.4 must say that the two are one step",
    ),
    case("userfault-dontneed", "keep-allow-retry", "violation", "R23"),
    case("userfault-no-retry", "", "ok", "4.1", "refused: SIGBUS"),
    case("userfault-no-retry", "refuse-without-retry", "deadlock", "4.4 why ALLOW_RETRY is required"),
    case("userfault-nowait", "", "ok", "4.1"),
    case("userfault-nowait", "nowait-keeps-lock", "violation", "4.1", "who asked not to wait drops a lock that is gone"),
)

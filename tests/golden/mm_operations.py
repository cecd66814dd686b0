"""Operations on an address space, twice: as programs of protocol steps that interleave, and as one step each on a naive sequential model."""

from dataclasses import dataclass

from seqfault_golden.explore import moves
from seqfault_golden.explore.fault_agent import FaultAgent
from seqfault_golden.explore.invariants import check_end
from seqfault_golden.explore.parts import FLAGS_RO, FLAGS_RW, PROT_RO, PROT_RW
from seqfault_golden.explore.program import Line, Program
from seqfault_golden.explore.small_world import SmallWorld
from seqfault_golden.layout import PTE_V, PTE_W, Access
from seqfault_golden.protocol import NotYet

PAGES = 2
FAULTS = {"load": Access.LOAD, "store": Access.STORE}
CHANGES = ("munmap", "mmap", "read-only", "read-write", "dontneed")
MOST_STEPS, LATEST_START = 3000, 40


@dataclass(frozen=True)
class Operation:
    """`kind` of FAULTS or CHANGES, on a page."""

    kind: str
    page: int


@dataclass
class Ran:
    """An operation's result, and the steps (counted over all agents) of its first and its last step."""

    operation: Operation
    began: int | None = None
    ended: int | None = None
    result: bool | None = None


# --- the sequential oracle: one lock, one step per operation ----------------------------------------------------------


@dataclass(frozen=True)
class PageState:
    """`vma`: "none", "ro" or "rw"; `entry`: the rights of the mapped page, "" if none is."""

    vma: str = "rw"
    entry: str = ""


def apply(page: PageState, kind: str) -> tuple[PageState, bool]:
    """The page after the operation, and whether it succeeded (a fault: was resolved and not left to software)."""
    if kind == "mmap":
        return (PageState("rw", page.entry), True) if page.vma == "none" else (page, False)
    if page.vma == "none":
        return page, False
    if kind == "munmap":
        return PageState("none"), True
    if kind == "dontneed":
        return PageState(page.vma), True
    if kind == "read-only":
        return PageState("ro", "r" if page.entry else ""), True
    if kind == "read-write":  # entries get the right by a fault
        return PageState("rw", page.entry), True
    if kind == "load":
        return (page, True) if page.entry else (PageState(page.vma, "r"), True)
    if page.entry == "rw":
        return page, True
    return (PageState(page.vma, "rw"), True) if page.vma == "rw" else (page, False)


# --- the same as programs ---------------------------------------------------------------------------------------------


def _program(operation: Operation) -> tuple[Line, ...]:
    """Lines; register `b` is 1 when the operation found what it needs."""
    page, address, table = operation.page, operation.page + 1, operation.page + 1

    def look(world, me):
        there = bool(world.vmas[page].indexed)
        me.cells.b = there != (operation.kind == "mmap")
        return None if me.cells.b else "out"

    zap = moves.lock(table), moves.zap(address), moves.unlock(table), moves.flush(page=page), moves.recycle()
    body = {
        "munmap": (*moves.unlink(page), *zap),
        "mmap": (moves.write(page, seq=2, linked=1, flags=FLAGS_RW, prot=PROT_RW), moves.write(page, indexed=1)),
        "read-only": moves.section(
            page, moves.write(page, flags=FLAGS_RO), moves.write(page, prot=PROT_RO), moves.lock(table), moves.protect(address),
            moves.unlock(table), moves.flush(page=page),
        ),
        "read-write": moves.section(page, moves.write(page, flags=FLAGS_RW), moves.write(page, prot=PROT_RW)),
        "dontneed": zap,
    }[operation.kind]  # fmt: skip
    out = moves.mm_unlock()
    return (
        moves.mm_lock(),
        moves.line("look", "looks for the VMA", look),
        *body,
        Line(out.step, out.sentence, out.act, label="out"),
    )


class Machine:
    """Operations as agents of one small world; `entries` 1, so page p has table and entry p + 1 and VMA p."""

    def __init__(self, operations, removed=frozenset(), policy="spec", max_retries=2):
        world = self.world = SmallWorld(
            removed=removed, policy=policy, max_retries=max_retries, vmas=PAGES, slots=PAGES, tables=PAGES, frames=len(operations) + 1,
        )  # fmt: skip
        for page in range(PAGES):
            vma = world.vmas[page]
            vma.indexed = vma.linked = vma.alive = 1
            vma.start, vma.end, vma.flags, vma.prot = page, page + 1, FLAGS_RW, PROT_RW
            world.slots[page].value = page + 1
        faults = [operation for operation in operations if operation.kind in FAULTS]
        changes = [operation for operation in operations if operation.kind not in FAULTS]
        self.ran = [Ran(operation) for operation in (*faults, *changes)]
        self.agents = [FaultAgent(world, page=each.page, access=FAULTS[each.kind]) for each in faults]
        self.agents += [Program(world, each.kind, len(faults) + number, _program(each)) for number, each in enumerate(changes)]

    def run(self, random) -> None:
        """Interleave at random until all are done; agents start at different times, and some are faster than others.

        Raises whatever breaks a rule, `AssertionError` for a deadlock or no end.
        """
        world, now = self.world, 0
        speed = [random.choice((1, 4, 16)) for _ in self.agents]
        start = [random.randrange(LATEST_START) for _ in self.agents]
        while waiting := [number for number, agent in enumerate(self.agents) if agent.choices()]:
            waiting = [number for number in waiting if now >= start[number] or self.ran[number].began is not None] or waiting
            assert now < MOST_STEPS, f"no end after {now} steps"
            for number in sorted(waiting, key=lambda number: -(random.random() ** (1 / speed[number]))):
                agent, before = self.agents[number], world.cells[:]
                try:
                    agent.take(random.randrange(agent.choices()))
                except NotYet:
                    world.cells = before
                    continue
                break
            else:
                raise AssertionError("everybody waits for somebody else")
            now += 1
            ran = self.ran[number]
            ran.began = now if ran.began is None else ran.began
            if not agent.choices():
                ran.ended = now
                ran.result = agent.fault.ended == 1 if isinstance(agent, FaultAgent) else bool(agent.cells.b)
        check_end(world)

    def pages(self) -> tuple[PageState, ...]:
        """The end as the oracle would say it."""
        states = []
        for page in range(PAGES):
            vma, pte = self.world.vmas[page], self.world.ptes[page].pte
            kind = "none" if not vma.indexed else "rw" if vma.flags == FLAGS_RW else "ro"
            states.append(PageState(kind, "" if not pte & PTE_V else "rw" if pte & PTE_W else "r"))
        return tuple(states)


def explanation(ran, end, start=None) -> list[Ran] | None:
    """An order of the operations, one after the other, in which the oracle gives every result and the end; None: there is none.

    An operation that ended before another began comes before it [linearizability, Herlihy and Wing 1990].
    """
    start = start or tuple(PageState() for _ in range(PAGES))

    def search(left: frozenset[int], pages):
        if not left:
            return [] if pages == end else None
        if (left, pages) in hopeless:
            return None
        first_end = min(ran[number].ended for number in left)
        for number in left:
            each = ran[number]
            if each.began > first_end:
                continue
            page = each.operation.page
            after, result = apply(pages[page], each.operation.kind)
            if result == each.result:
                rest = search(left - {number}, (*pages[:page], after, *pages[page + 1 :]))
                if rest is not None:
                    return [each, *rest]
        hopeless.add((left, pages))
        return None

    hopeless: set = set()
    return search(frozenset(range(len(ran))), start)

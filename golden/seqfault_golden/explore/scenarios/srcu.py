"""SRCU: three readers of a VMA, and an updater that replaces and frees VMAs without waiting. [protocol.md 3]"""

from collections.abc import Callable

from ...protocol import srcu_steps
from ...protocol.world import NotYet, Safeguard
from .. import moves
from ..cells import Part
from ..parts import Violation
from ..program import Line, Program
from ..scenario import Built, Scenario, case
from ..small_world import SmallWorld
from .common import set_vma

__all__ = ["CASES", "SCENARIOS"]

CPUS = 2
UPDATES = 2
_GRACE_PERIOD = "a grace period ends only after every reader that began before it"


class _Counters(Part):
    """What a CPU has counted in a bank."""

    lock: int
    unlock: int


class _Section(Part):
    """Of a reader: `inside` its section; `waited_for` by the grace period, which began later."""

    inside: bool
    waited_for: bool

    hidden = frozenset({"inside"})
    forgotten = frozenset({"waited_for"})


class _Worker(Part):
    """Of the worker: the bank that it scans, and the one that was active when the grace period began; callbacks that have run."""

    bank: int
    active: int
    done: int

    hidden = frozenset({"bank", "active", "done"})


class _Srcu(Part):
    """Implements `srcu_steps.Srcu`."""

    idx: int
    waiting: int
    batch: int

    def __init__(self, world: SmallWorld) -> None:
        super().__init__(world, "srcu")
        self.removed = world.removed
        self._counters = [[_Counters(world, f"srcu cpu {cpu} bank {bank}") for bank in range(2)] for cpu in range(CPUS)]

    def counters(self, cpu: int, bank: int) -> _Counters:
        return self._counters[cpu][bank]


class _Reader(Program):
    """Finds the VMA of a page in a read section, and uses it. Register `a`: the bank; `b`: the VMA."""

    def __init__(self, world: SmallWorld, number: int, srcu: _Srcu) -> None:
        self.srcu = srcu
        super().__init__(world, f"reader {number}", number, self._lines())
        self.section = _Section(world, self.name)
        self.parts = (self.cells, self.section)

    def _lines(self) -> tuple[Line, ...]:
        return (
            moves.line("SRCU_LOCK", "fetches the index of the bank for new readers", self._fetch),
            moves.line("SRCU_LOCK", "counts its lock on CPU {way}: the read section begins", self._lock, ways=CPUS),
            moves.line("find", "finds the VMA in the index", self._find),
            moves.line("use", "reads the VMA, after it slept for a while", self._use),
            moves.line("SRCU_UNLOCK", "counts its unlock on CPU {way}: the read section ends", self._unlock, ways=CPUS),
        )

    def _fetch(self, world: SmallWorld, me: Program) -> None:
        self.cells.a = srcu_steps.fetch_index(self.srcu)
        self.said = f"bank {self.cells.a}"

    def _lock(self, world: SmallWorld, me: Program) -> None:
        srcu_steps.lock(self.srcu, self.way, self.cells.a)
        self.section.inside = True

    def _find(self, world: SmallWorld, me: Program) -> None:
        vma = world.find(0)
        assert vma is not None
        self.cells.b = world.vmas.index(vma)
        self.said = vma.name

    def _use(self, world: SmallWorld, me: Program) -> None:
        world.vma(self.cells.b)

    def _unlock(self, world: SmallWorld, me: Program) -> None:
        srcu_steps.unlock(self.srcu, self.way, self.cells.a)
        self.cells.clear("a", "b")
        self.section.clear("inside", "waited_for")


def _update(srcu: _Srcu, old: int) -> tuple[Line, ...]:
    """Replace a VMA and free it later; no line waits for anybody."""

    def replace(world: SmallWorld, me: Program) -> None:
        world.vmas[old].indexed = 0
        world.vmas[old + 1].indexed = 1

    def call(world: SmallWorld, me: Program) -> None:
        srcu_steps.call_srcu(srcu, old)

    return (
        moves.line("U1", f"replaces VMA {old} by VMA {old + 1} in the index (one store)", replace),
        moves.line("CALL_SRCU", f"has VMA {old} freed after a grace period, and goes on at once", call),
    )


class _GracePeriods(Program):
    """The worker: one grace period after the other, until all callbacks have run. Registers: `a` sums unlocks, `b` locks."""

    def __init__(self, world: SmallWorld, number: int, srcu: _Srcu, readers: list[_Reader]) -> None:
        self.srcu, self.readers = srcu, readers
        super().__init__(world, "worker", number, self._lines())
        self.mine = _Worker(world, "worker scan")

    def _lines(self) -> tuple[Line, ...]:
        return (
            moves.line("GP_START", "a grace period begins for the callbacks that wait", self._start, label="start"),
            *moves.unless(Safeguard.SRCU_FIRST_SCAN, *self._scan("SCAN1", "the bank that is not active", self._first)),
            *moves.unless(Safeguard.SRCU_FLIP, moves.line("FLIP", "flips the index: new readers use the other bank", self._flip)),
            *moves.unless(Safeguard.SRCU_SECOND_SCAN, *self._scan("SCAN2", "the bank that was active", self._second)),
            moves.line("GP_END", "the grace period ends; its callbacks free what they were called for", self._end),
        )

    def _scan(self, step: str, which: str, choose: Callable[[], int]) -> tuple[Line, ...]:
        """Sums counter by counter, and once more if there are readers. `choose` gives the bank, by what only this worker changes."""
        unlocks = [("unlocks", cpu) for cpu in range(CPUS)]
        locks = [("locks", cpu) for cpu in range(CPUS)]

        def lines(order: list[tuple[str, int]]) -> tuple[Line, ...]:
            return tuple(self._sum(step, which, what, cpu, choose if at == 0 else None, at == len(order) - 1) for at, (what, cpu) in enumerate(order))

        unlocks_first = Safeguard.SRCU_UNLOCKS_FIRST
        return *moves.unless(unlocks_first, *lines(unlocks + locks)), *moves.only(unlocks_first, *lines(locks + unlocks))

    def _sum(self, step: str, which: str, what: str, cpu: int, choose: Callable[[], int] | None, last: bool) -> Line:
        def act(world: SmallWorld, me: Program) -> str | None:
            mine, cells = self.mine, self.cells
            if choose is not None:
                mine.bank = choose()
            if what == "unlocks":
                cells.a = srcu_steps.add_unlocks(self.srcu, cells.a, cpu, mine.bank)
            else:
                cells.b = srcu_steps.add_locks(self.srcu, cells.b, cpu, mine.bank)
            self.said = f"bank {mine.bank}, {cells.b if what == 'locks' else cells.a} so far"
            if not last:
                return None
            idle = cells.a == cells.b
            self.said = f"{cells.b} locks and {cells.a} unlocks: the bank {'is idle' if idle else 'has readers'}"
            cells.clear("a", "b")
            mine.clear("bank")
            return None if idle else step

        return moves.line(step, f"looks for readers in {which}: adds the {what} of CPU {cpu}", act, label="" if choose is None else step)

    def _start(self, world: SmallWorld, me: Program) -> str | None:
        if not self.srcu.waiting:
            raise NotYet("no callback waits")
        srcu_steps.start(self.srcu)
        self.mine.active = self.srcu.idx
        for reader in self.readers:
            reader.section.waited_for = reader.section.inside
        return None

    def _first(self) -> int:
        return srcu_steps.first_bank(self.srcu)

    def _second(self) -> int:
        return srcu_steps.second_bank(self.srcu, self.mine.active)

    def _flip(self, world: SmallWorld, me: Program) -> None:
        srcu_steps.flip(self.srcu)

    def _expect_readers_gone(self) -> None:
        for reader in self.readers:
            if reader.section.waited_for:
                raise Violation(_GRACE_PERIOD, f"the grace period ends while {reader.name}, which began before it, reads")

    def _end(self, world: SmallWorld, me: Program) -> str:
        self._expect_readers_gone()
        for vma in srcu_steps.end(self.srcu):
            world.vmas[vma].alive = 0
            self.mine.done += 1
        self.mine.clear("active")
        return "start" if self.mine.done < UPDATES else "end"


def _build(removed: frozenset[Safeguard]) -> Built:
    world = SmallWorld(removed=removed, vmas=UPDATES + 1, slots=0, tables=0, frames=0)
    for number in range(UPDATES + 1):
        set_vma(world, number, 0, 1)
        world.vmas[number].indexed = number == 0
    srcu = _Srcu(world)
    readers = [_Reader(world, number, srcu) for number in range(3)]
    updater = Program(world, "updater", 3, tuple(line for old in range(UPDATES) for line in _update(srcu, old)))
    return Built(world=world, agents=(*readers, updater, _GracePeriods(world, 4, srcu, readers)), symmetric=3)


SCENARIOS = (
    Scenario(name="srcu", title="SRCU: three readers, two VMAs replaced and freed by callbacks after grace periods", section="3 SRCU", build=_build),
)

CASES = (
    case("srcu", "", "ok", "3 baseline"),
    case("srcu", "srcu-first-scan", "violation", "3 no first scan", "needs two grace periods"),
    case("srcu", "srcu-second-scan", "violation", "3 no second scan"),
    case("srcu", "srcu-unlocks-first", "violation", "3 summing locks before unlocks"),
    case("srcu", "srcu-flip", "violation", "3 no flip", "SCAN2 takes its bank from idx, and so looks at the bank of SCAN1 again"),
    case("srcu", "srcu-flip+srcu-bank-from-idx", "ok", "3 no flip", "SCAN2 remembers the bank that was active: the flip only keeps it from starving"),
    case(
        "srcu", "srcu-first-scan+srcu-flip+srcu-bank-from-idx", "ok",
        note="one bank and one scan are safe: the flip needs the first scan, and both are there for progress alone",
    ),
    case("srcu", "srcu-batch", "violation", note="a callback that came during a grace period must wait for the next one"),
    case("srcu", "srcu-same-bank", "violation", note="the unlock counts in the bank of its lock"),
)  # fmt: skip

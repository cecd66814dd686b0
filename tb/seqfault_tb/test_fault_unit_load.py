"""FaultUnit under load: many faults at once, random delays, and software that changes VMAs, tables and locks meanwhile.

Every step is checked by `fault_model.py`; here is what must hold at the end, whatever the order was: one answer for each fault within
bounds, no frame lost or used twice, no entry overwritten, and every entry as the VMA of now gives it. [protocol.md 0.4: I2 to I5]
"""

import os
from collections import Counter
from random import Random
from typing import Any

import cocotb

from seqfault_golden.layout import Access, Outcome, VmaFlag

from .fault_bench import FaultBench
from .fault_model import show
from .fault_unit_top import TEST_CONFIG as CONFIG
from .fault_world import BUS_ERROR, NONE, RWX, PlainWorld, Vma

SEED = int(os.environ.get("FAULT_SEED", "1"))
MUTANT = int(os.environ.get("FAULT_MUTANT", "0"))
FAULTS = int(os.environ.get("FAULT_COUNT", "160"))
LATENCY = 4000
"""Cycles from a fault's acceptance to its answer: eight attempts, mm-lock patience, and writers' sections between them."""
ZERO_FRAME = 0x777
FRAMES = range(0x500, 0x500 + 24)
SPACES = 2
PAGES = 16
"""Pages of each VMA, some beyond its record's bounds."""
A, D, W = 0x40, 0x80, 4


class ErrorWorld(PlainWorld):
    """A `PlainWorld` with accidents."""

    def __init__(self, rng: Random, rate: float) -> None:
        super().__init__()
        self.rng, self.rate = rng, rate

    def _accident(self) -> bool:
        return self.rng.random() < self.rate

    def find(self, request: dict[str, int]) -> dict[str, Any]:
        self.find_outcome = self.rng.choice((Outcome.BUS_ERROR, Outcome.BAD_TREE)) if self._accident() else Outcome.OK
        return super().find(request)

    def walk(self, request: dict[str, int]) -> dict[str, int]:
        broken = self.rng.choice(({"outcome": NONE, "level": 1, "pte": 0}, {"outcome": BUS_ERROR}))
        self.walked = broken if self._accident() else None
        return super().walk(request)

    def write(self, address: int, data: int) -> bool:
        self.write_error = self._accident()
        return super().write(address, data)

    def queue(self, request: dict[str, int]) -> int:
        return self.rng.choice((Outcome.QUEUE_FULL, Outcome.BUS_ERROR)) if self._accident() else Outcome.OK


class Load:
    """Faults on six VMAs, three in each space, whose ids share four sequence counters; and a writer."""

    def __init__(self, dut: Any, policy: str, seed: int, *, accidents: float = 0.01, pace: float = 0.5) -> None:
        self.rng = rng = Random(seed)
        self.world = ErrorWorld(rng, accidents)
        self.bench = FaultBench(dut, CONFIG, self.world, rng, policy=policy, pace=pace)
        self.bench.walked_before = 0.5
        self.latest: tuple[Vma, int] | None = None
        self.bench.model.zero_frame = ZERO_FRAME
        self.bench.model.pool.extend(FRAMES)
        self.bench.observe = self._observe
        self.commands = self.bench.commands
        self.released: list[int] = []
        self.seen: Counter[str] = Counter()
        self.late: list[str] = []
        for index in range(6):
            first = 0x1000 + index // SPACES * 508  # the second one's pages are in two tables
            self.world.vmas.append(
                Vma((first, first + PAGES), index + 1, first, first + PAGES, space=index % SPACES, record=0x8000_0000 + 64 * index)
            )

    def _observe(self, event: dict[str, int], context: Any) -> None:
        self.seen[show(event).split()[0]] += 1
        if context is not None and context.done and self.bench.model.cycle - context.accepted > LATENCY:
            self.late.append(f"{self.bench.model.cycle - context.accepted} cycles: {' '.join(context.trail)}")

    def request(self, index: int) -> dict[str, int]:
        """A random fault, mostly within a VMA, and now and then of the page of the one before."""
        rng, vma = self.rng, self.rng.choice(self.world.vmas)
        vpn = rng.randrange(vma.slot[0], vma.slot[1] + (rng.random() < 0.1))
        if rng.random() < 0.25 and self.latest:
            vma, vpn = self.latest
        self.latest = vma, vpn
        access = rng.choice((Access.LOAD, Access.STORE, Access.STORE, Access.FETCH))
        return {
            "vpn": vpn, "offset": rng.getrandbits(12), "space": vma.space, "access": int(access), "flags": rng.getrandbits(4),
            "port": index >> 9, "tag": index & 0x1FF,
        }  # fmt: skip

    async def run(self, count: int) -> None:
        """`count` faults, with writers all the time, then to the end of all."""
        bench, model = self.bench, self.bench.model
        left = [self.request(index) for index in range(count)]
        for _ in range(LATENCY * count):
            if not left:
                break
            # with the mm lock first, nothing tells two faults on one page apart until R0
            pages = [
                (r["space"], r["vpn"]) for r in [*bench.faults, *(r for _, r in model.accepted), *(c.request for c, _ in model.running.values())]
            ]
            pages += [(bench.offered["space"], bench.offered["vpn"])] if bench.offered else []
            if len(bench.faults) < 2 and (model.policy != "mm-lock" or (left[0]["space"], left[0]["vpn"]) not in pages):
                bench.faults.append(left.pop(0))
            if not self.commands.queue:
                self.writer()
            await bench.cycle()
        assert not left, "the faults are not taken"
        await bench.run(LATENCY * 2)
        bench.check_at_rest()
        assert len(model.answered) == count
        assert not self.late, self.late
        self.check_memory()

    # --- software -------------------------------------------------------------------------------------------------------

    def writer(self) -> None:
        """What software does next."""
        rng, commands = self.rng, self.commands
        vma = rng.choice(self.world.vmas)
        table = self.world.table(vma.space, vma.slot[0])
        pause = rng.randrange(60)
        self.refill(pause)
        match rng.randrange(7):
            case 0:
                commands.sequence_begin(vma.id, delay=rng.randrange(8))
                commands.sequence_end(vma.id, delay=rng.randrange(30))
            case 1:
                commands.lock_table(table)
                commands.unlock_table(table, delay=rng.randrange(60))
            case 2 | 3:
                mask = rng.choice((0, 0, 1, 7, 0x1FF))
                commands.invalidate(space=rng.choice((vma.space, None)), vpn=rng.choice((rng.randrange(*vma.slot), None)), mask=mask)
            case 4:
                commands.mm_lock(vma.space)
                commands.mm_unlock(vma.space, delay=rng.randrange(300))
            case _:
                self.change(vma)

    def refill(self, delay: int) -> None:
        """Released frames are free again, at times late."""

        def edit() -> None:
            if self.rng.random() < 0.7:
                self.bench.model.pool.extend(self.released)
                self.released.clear()

        self.commands.software(edit, delay=delay)

    def change(self, vma: Vma) -> None:
        """mprotect or a smaller VMA: the record changes field by field in a section, and the entries are zapped."""
        rng, commands = self.rng, self.commands
        rights = rng.choice((VmaFlag.READ, VmaFlag.READ | VmaFlag.WRITE, VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC))
        prot = RWX & ~0xE | (int(rights) << 1) | rng.randrange(4) << 8
        flags = int(rights | (VmaFlag.ANON if rng.random() < 0.85 else 0))
        size = rng.choice((PAGES, PAGES, PAGES // 2))
        edits = [("page_prot", prot), ("flags", flags), ("end", vma.start + size)]
        rng.shuffle(edits)
        commands.mm_lock(vma.space)
        commands.sequence_begin(vma.id)
        for name, value in edits:
            commands.software(lambda name=name, value=value: setattr(vma, name, value), delay=rng.randrange(20))
        pages = range(*vma.slot)
        for table in sorted({self.world.table(vma.space, page) for page in pages}):
            commands.lock_table(table)
            for page in pages:
                if self.world.table(vma.space, page) == table:
                    commands.change_leaf(vma.space, page, lambda page=page: self.zap(vma.space, page), delay=rng.randrange(3))
            commands.unlock_table(table)
        commands.invalidate(space=vma.space, vpn=None)
        commands.sequence_end(vma.id)
        commands.mm_unlock(vma.space)

    def zap(self, space: int, page: int) -> None:
        entry = self.world.entries.pop(self.world.address(space, page), 0)
        if entry and entry >> 10 != ZERO_FRAME:
            self.released.append(entry >> 10)

    def check_memory(self) -> None:
        """Frames are conserved; entries are those of the VMAs of now."""
        world, model = self.world, self.bench.model
        assert not world.overwritten
        mapped = [entry >> 10 for entry in world.entries.values() if entry and entry >> 10 != ZERO_FRAME]
        assert sorted([*model.pool, *self.released, *model.lost, *mapped]) == list(FRAMES)
        pages = {world.address(vma.space, page): (vma, page) for vma in world.vmas for page in range(*vma.slot)}
        for address, entry in world.entries.items():
            vma, page = pages[address]
            assert vma.start <= page < vma.end, f"page {page:#x} is mapped beyond {vma}"
            given = vma.page_prot | A
            given = given & ~W if entry >> 10 == ZERO_FRAME else given | D
            assert entry & 0x3FF == given, f"page {page:#x}: entry {entry:#x}, {vma}"


async def load(dut: Any, policy: str, must_see: set[str], *, runs: int = 2, **options: Any) -> None:
    """Runs with different seeds; together they must have seen these steps."""
    seen: Counter[str] = Counter()
    known_walks = 0
    for run in range(runs):
        case = Load(dut, policy, SEED + run, **options)
        await case.bench.start(MUTANT)
        await case.run(FAULTS)
        seen += case.seen
        known_walks += case.bench.model.known_walks
    dut._log.info("steps: %s", dict(seen.most_common()))
    assert known_walks, "never seen: a miss's walk that still stood"
    assert must_see <= set(seen), f"never seen: {must_see - set(seen)}"


COMMON = {
    "R18",
    "R7!MAPPED",
    "R16!RACED",
    "R10-R12!WALK_C2",
    "R1-R5!BOUNDS",
    "R1-R6!ACCESS",
    "MM_READ_LOCK",
    "R13!PTL_WAIT",
}
"""What any load of this kind meets; the rarer failures are in `test_fault_unit`."""


@cocotb.test()
async def speculative(dut) -> None:
    """Policy spec."""
    await load(dut, "spec", COMMON | {"R1-R2!ODD", "R1-R2!CHANGED", "R7-R8!CHANGED"})


@cocotb.test()
async def vma_lock(dut) -> None:
    """Policy vma-lock."""
    await load(dut, "vma-lock", COMMON | {"R1-R2!ODD", "R1-R2!CHANGED"})


@cocotb.test()
async def mm_lock(dut) -> None:
    """Policy mm-lock: no writer comes between, so C2 always passes, and C4 fails between two faults of one page only."""
    await load(dut, "mm-lock", COMMON - {"R10-R12!WALK_C2", "R16!RACED"} | {"MM_READ_LOCK!MM_BUSY"})


@cocotb.test()
async def fast_memory(dut) -> None:
    """Everything answers at once: steps follow each other without a gap."""
    await load(dut, "spec", {"R18"}, runs=1, pace=1.0, accidents=0.0)


@cocotb.test()
async def answers_are_not_taken(dut) -> None:
    """The translator takes no answers for long: none is lost, and no more faults are taken than there is room for."""
    case = Load(dut, "spec", SEED, accidents=0.0)
    case.bench.answers_ready = 0.0
    await case.bench.start(MUTANT)
    case.bench.faults.extend(case.request(index) for index in range(6 * CONFIG.contexts))
    for _ in range(300 * CONFIG.contexts):
        await case.bench.cycle()
    assert case.bench.faults, "faults are taken without room for their answers"
    case.bench.answers_ready = 1.0
    await case.bench.run(LATENCY)
    case.bench.check_at_rest()
    assert len(case.bench.model.answered) == 6 * CONFIG.contexts

"""Many faults at once on VMAs of all kinds, random delays, accidents; and what must hold of memory at the end. Software: `fault_writers.py`."""

import os
from collections import Counter
from random import Random
from typing import Any

from seqfault_golden.layout import Access, Outcome, VmaFlag

from .fault_bench import FaultBench
from .fault_model import show
from .fault_unit_top import TEST_CONFIG as CONFIG
from .fault_world import BUS_ERROR, MALFORMED, PlainWorld, Vma
from .fault_writers import FRAMES, PAGES, ZERO_FRAME, Writers

__all__ = ["CONFIG", "FAULTS", "LATENCY", "MUTANT", "SEED", "Load"]

SEED = int(os.environ.get("FAULT_SEED", "1"))
MUTANT = int(os.environ.get("FAULT_MUTANT", "0"))
FAULTS = int(os.environ.get("FAULT_COUNT", "160"))
LATENCY = 8000
"""Cycles from a fault's acceptance to its answer: eight attempts, mm-lock patience, and writers' sections between them."""
SPACES = 2
R, W, X, U, G, A, D, EXCLUSIVE = (1 << bit for bit in range(1, 9))


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
        self.walked = {"outcome": self.rng.choice((BUS_ERROR, MALFORMED))} if self._accident() else None
        return super().walk(request)

    def write(self, address: int, data: int) -> bool:
        self.write_error = self._accident()
        return super().write(address, data)

    def look(self, request: dict[str, int]) -> dict[str, int]:
        bad = self.rng.choice((Outcome.BUS_ERROR, Outcome.BAD_TREE, Outcome.NOT_CACHED))
        self.looked = {"outcome": bad, "addr": 0x123_0000, "word": 0} if self._accident() else None
        return super().look(request)

    def move(self, request: dict[str, int]) -> bool:
        return self._accident()

    def around(self, request: dict[str, int]) -> dict[str, int]:
        self.around_error = self._accident()
        return super().around(request)

    def queue(self, request: dict[str, int]) -> int:
        return self.rng.choice((Outcome.QUEUE_FULL, Outcome.BUS_ERROR)) if self._accident() else Outcome.OK


class Load:
    """Faults on six VMAs, three in each space, whose ids share four sequence counters; and a writer."""

    def __init__(self, dut: Any, policy: str, seed: int, *, accidents: float = 0.01, pace: float = 0.5, unzeroed: bool = False) -> None:
        self.rng = rng = Random(seed)
        self.world = ErrorWorld(rng, accidents)
        self.bench = FaultBench(dut, CONFIG, self.world, rng, policy=policy, pace=pace)
        self.bench.walked_before, self.bench.released_pace = 0.5, 0.8
        self.latest: tuple[Vma, int] | None = None
        model = self.bench.model
        model.zero_frame, model.unzeroed = ZERO_FRAME, unzeroed
        model.pool.extend(FRAMES)
        model.contents = dict.fromkeys(FRAMES, "what software left there") if unzeroed else {}
        self.bench.observe = self._observe
        self.seen: Counter[str] = Counter()
        self.late: list[str] = []
        for index in range(6):
            first = 0x1000 + index // SPACES * 508  # the second one's pages are in two tables
            self.world.vmas.append(
                Vma(
                    (first, first + PAGES), index + 1, first, first + PAGES, space=index % SPACES, record=0x8000_0000 + 64 * index,
                    pgoff=60 + index, backing=0x9000_0000 + (index << 16) | 2,
                )
            )  # fmt: skip
        self.writers = Writers(self.bench, self.world, rng)

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
            self.writers.next()
            await bench.cycle()
        assert not left, "the faults are not taken"
        await bench.run(LATENCY * 2)
        bench.check_at_rest()
        assert len(model.answered) == count
        assert not self.late, self.late
        self.check_memory()

    def check_memory(self) -> None:
        """Frames are conserved; entries are those of the VMAs of now. [protocol.md 0.4: I2 to I5]"""
        world, model = self.world, self.bench.model
        tables = list(world.tables.values())
        leaves = {address: entry for address, entry in world.entries.items() if entry and not self._is_upper(address)}
        mapped = [entry >> 10 for entry in leaves.values() if entry >> 10 in FRAMES]
        self.writers.read_released_ring()
        assert sorted([*model.pool, *model.used, *self.writers.released, *model.lost, *mapped, *tables]) == list(FRAMES)
        pages = {world.address(vma.space, page): (vma, page) for vma in world.vmas for page in range(*vma.slot)}
        for address, entry in leaves.items():
            self._check_leaf(entry, *pages[address])

    def _is_upper(self, address: int) -> bool:
        vmas = self.world.vmas
        return any(address == self.world.upper_address(vma.space, page, level) for vma in vmas for page in vma.slot for level in (1, 2))

    def _check_leaf(self, entry: int, vma: Vma, page: int) -> None:
        text = f"page {page:#x}: entry {entry:#x}, {vma}"
        assert vma.start <= page < vma.end, f"beyond its VMA, {text}"
        assert not entry & ~vma.page_prot & (R | W | X | U | G), f"more rights than the VMA, {text}"
        frame, anonymous = entry >> 10, vma.flags & (VmaFlag.ANON | VmaFlag.SHARED) == VmaFlag.ANON
        if frame in FRAMES:
            assert not vma.flags & VmaFlag.SHARED, f"a frame of the pool in a shared mapping, {text}"
        elif frame == ZERO_FRAME:
            assert anonymous, f"the zero frame in a file, {text}"
        else:
            assert frame == self.world.slots[self.world.slot_address(vma, page)] >> 10, f"not the frame of the file, {text}"
            assert not anonymous, f"a file's frame in anonymous memory, {text}"
        assert not entry & EXCLUSIVE or frame in FRAMES, f"EXCLUSIVE of a frame that is not, {text}"
        assert not entry & W or vma.flags & VmaFlag.SHARED or entry & EXCLUSIVE, f"others' frame is writable, {text}"

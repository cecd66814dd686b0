"""PageLookup against a Python model of the page cache's tree: every height, holes, errors; cycles as stated."""

import os
from random import Random

import cocotb

from seqfault_rtl.page_messages import PageLookupRequest, PageLookupResponse

from .memory_ports import WORD_BYTES, WordMemory
from .move_memory import LatentReads
from .page_bench import PageBench

OK, BUS_ERROR, BAD_TREE, NOT_CACHED = 0, 16, 22, 26
NODE_WORDS, NODE_BYTES = 64, 512
HIGHEST = 8
PAGES = 1 << 52
SEED = int(os.environ.get("SEED", "1"))
CONTEXTS = int(os.environ["CONTEXTS"])


class CacheTree:
    """Page-cache trees in memory, as docs/software-contract.md describes them; shares nothing with the RTL's layouts."""

    def __init__(self, memory: WordMemory, rng: Random) -> None:
        self._memory, self._rng = memory, rng
        self._taken: set[int] = set()

    def node(self) -> int:
        """The address of a new node without entries: bit 0 is clear in all of its words, the rest may be anything."""
        while (address := self._rng.getrandbits(47) * NODE_BYTES) in self._taken:
            pass
        self._taken.add(address)
        for word in range(NODE_WORDS):
            self._memory[address + WORD_BYTES * word] = self._rng.choice((0, self._rng.getrandbits(63) << 1))
        return address

    def tree(self, height: int, pages: list[int]) -> int:
        """A tree that leads to these pages' slots (those that are not beyond it), which are anything. Returns the backing word."""
        root = self.node()
        for page in pages:
            address = root
            for level in reversed(range(height)):
                at = address + WORD_BYTES * (page >> 6 * level & NODE_WORDS - 1)
                if level == 0 or page >> 6 * height:
                    break
                if not self._memory[at] & 1:
                    # the bits that mean nothing are anything
                    self._memory[at] = self.node() | self._rng.getrandbits(8) << 1 | self._rng.getrandbits(8) << 56 | 1
                address = self._memory[at] & (1 << 56) - NODE_BYTES
        return root | height | self._rng.getrandbits(3) << 6 | self._rng.getrandbits(8) << 56


def look_up(memory: WordMemory, backing: int, page: int) -> tuple[int, int, int]:
    """Outcome, address and word, as the contract says."""
    height = backing & 0x3F
    if height > HIGHEST:
        return BAD_TREE, 0, 0
    if page >= 64**height or not height:
        return NOT_CACHED, 0, 0
    node = (backing >> 9 & (1 << 47) - 1) << 9
    for level in range(height - 1, -1, -1):
        address = node + WORD_BYTES * (page // 64**level % 64)
        if address in memory.failing:
            return BUS_ERROR, address, 0
        word = memory[address]
        if level and not word & 1:
            return NOT_CACHED, address, word
        node = (word >> 9 & (1 << 47) - 1) << 9
    return OK, address, word


class Bench(PageBench):
    def __init__(self, dut) -> None:
        rng = Random(SEED)
        ends = {"ask": ("request", PageLookupRequest), "answer": ("response", PageLookupResponse)}
        super().__init__(dut, rng, **ends, tags=CONTEXTS, streams=("memory__request",))
        self.reads = LatentReads(dut, "memory", self.memory, rng)
        self.models = [self.reads]
        self.trees = CacheTree(self.memory, rng)

    def request(self, backing: int, page: int) -> dict[str, int]:
        """A request whose VMA shows this page of the file anywhere."""
        pgoff = self.rng.choice((0, page, self.rng.randint(max(0, page - (1 << 40)), page)))
        pgoff = max(pgoff, page - (1 << 44))
        start = self.rng.randrange((1 << 45) - (page - pgoff))
        return {"vpn": start + page - pgoff, "start": start, "pgoff": pgoff, "backing": backing}

    def forest(self, pages: int) -> list[tuple[int, list[int]]]:
        """A tree of each height, with the pages that it leads to; and no tree, and too high ones."""
        trees = [(self.trees.node() | height, [0, 1]) for height in (0, 9, 63, 40)]
        for height in range(1, HIGHEST + 1):
            inside = [self.rng.randrange(64**height) for _ in range(pages)] + [0, 64**height - 1]
            trees.append((self.trees.tree(height, inside), inside))
        return trees

    def some_page(self, height: int, inside: list[int]) -> int:
        """A page of the tree, a neighbour of one, or one beyond it."""
        near = self.rng.choice(inside) ^ self.rng.choice((0, 0, 0, 1, 1 << 6 * self.rng.randrange(min(max(height, 1), HIGHEST))))
        beyond = min(64 ** min(height, HIGHEST), PAGES - 1)
        return self.rng.choice((near, near, near, beyond, beyond << self.rng.randrange(4) & PAGES - 1, PAGES - 1))


def expect(bench: Bench, asked: dict, answer: dict) -> int:
    """The answer is the model's; returns its outcome."""
    page = asked["pgoff"] + asked["vpn"] - asked["start"]
    wanted = look_up(bench.memory, asked["backing"], page)
    found = (answer["outcome"], answer["addr"], answer["word"])
    assert found == wanted, f"page {page:#x}, backing {asked['backing']:#x}: {found} instead of {wanted}"
    return wanted[0]


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def trees(dut) -> None:
    """Trees of all heights, all contexts at once, memory at any pace: every answer is exact, every context was in flight."""
    bench = Bench(dut)
    await bench.start()
    seen: dict[tuple[int, int], int] = {}
    for ready, rate, latency, patience in ((1.0, 1.0, 1, 1.0), (0.6, 0.9, 9, 0.2), (0.9, 0.3, 2, 0.9), (0.2, 1.0, 40, 1.0)):
        bench.reads.set_pace(ready=ready, rate=rate, latency=lambda latency=latency: bench.rng.randint(1, latency))
        bench.patience = patience
        forest = bench.forest(6)
        requests = [(tree, bench.some_page(tree & 0x3F, inside)) for tree, inside in forest for _ in range(16)]
        bench.rng.shuffle(requests)
        for asked, answer, _ in await bench.run(*(bench.request(*request) for request in requests)):
            case = asked["backing"] & 0x3F, expect(bench, asked, answer)
            seen[case] = seen.get(case, 0) + 1
    wanted = {(height, OK) for height in range(1, 9)} | {(height, NOT_CACHED) for height in range(9)} | {(height, BAD_TREE) for height in (9, 40, 63)}
    assert set(seen) == wanted, f"cases (height, outcome) without a test: {wanted - set(seen)}"
    assert bench.most == CONTEXTS, f"at most {bench.most} lookups in flight"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def wide_sum(dut) -> None:
    """pgoff + VPN - start of 53 bits is beyond every tree, although its lower 52 bits are a page of it."""
    bench = Bench(dut)
    await bench.start()
    backing = bench.trees.tree(HIGHEST, [5])
    request = {"vpn": 100 + 6, "start": 100, "pgoff": PAGES - 1, "backing": backing}
    ((asked, answer, _),) = await bench.run(request)
    assert expect(bench, asked, answer) == NOT_CACHED


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def bus_errors(dut) -> None:
    """A word that cannot be read at any level is BUS_ERROR with its address; the lookups beside it are exact."""
    bench = Bench(dut)
    await bench.start()
    bench.reads.set_pace(ready=0.8, rate=0.8, latency=lambda: bench.rng.randint(1, 9))
    errors = 0
    for height in range(1, HIGHEST + 1):
        pages = [bench.rng.randrange(64**height) for _ in range(8)]
        backing = bench.trees.tree(height, pages)
        bench.memory.failing = {look_up(bench.memory, backing, pages[0])[1]}
        root = backing & (1 << 56) - NODE_BYTES
        bench.memory.failing.add(root + WORD_BYTES * (pages[1] // 64 ** (height - 1)))
        for asked, answer, _ in await bench.run(*(bench.request(backing, page) for page in pages * 2)):
            errors += expect(bench, asked, answer) == BUS_ERROR
    assert errors >= 4 * HIGHEST, f"only {errors} errors"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def cycles(dut) -> None:
    """As the docstring of PageLookup says."""
    bench = Bench(dut)
    await bench.start()
    bench.patience = 1.0
    for latency in (1, 5, 20):
        bench.reads.set_pace(ready=1.0, rate=1.0, latency=lambda latency=latency: latency)
        for height in range(HIGHEST + 2):
            backing = bench.trees.tree(height, [7]) if 0 < height <= HIGHEST else height
            ((asked, answer, cycles),) = await bench.run(bench.request(backing, 7))
            expect(bench, asked, answer)
            wanted = height * (latency + 1) + 2 if height <= HIGHEST else 2
            assert cycles == wanted, f"height {height}, latency {latency}: {cycles} cycles instead of {wanted}"

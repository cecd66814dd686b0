"""FaultAround against a Python model: windows cut by alignment, VMA and node; only what may be written is written; cycles as stated."""

import os
from collections.abc import Callable
from random import Random

import cocotb

from seqfault_rtl.page_messages import FaultAroundAnswer, FaultAroundJob

from .memory_ports import PAGE_BYTES, WORD_BYTES
from .move_memory import LatentReads, LatentWrites
from .page_bench import PageBench

PRESENT, UPTODATE, LOCKED, WRITABLE = 1, 2, 4, 8
W, A, D = 1 << 2, 1 << 6, 1 << 7
NODE_BYTES, NODE_SLOTS, TABLE_ENTRIES, WINDOW = 512, 64, 512, 16
SEED = int(os.environ.get("SEED", "1"))


class Bench(PageBench):
    """Leaf tables and lowest nodes at random places; a job's result is compared word by word."""

    def __init__(self, dut) -> None:
        rng = Random(SEED)
        ends = {"ask": ("jobs", FaultAroundJob), "answer": ("answers", FaultAroundAnswer)}
        super().__init__(dut, rng, **ends, tags=64, streams=("read__request", "write__request"))
        self.reads, self.writes = LatentReads(dut, "read", self.memory, rng), LatentWrites(dut, "write", self.memory, rng)
        self.models = [self.reads, self.writes]
        self.mapped = self.windows = 0
        self.set_pace(ready=0.7, rate=0.7, latency=lambda: rng.randint(1, 20))
        self.patience = 0.7

    def set_pace(self, *, ready: float, rate: float, latency: Callable[[], int], in_order: bool = False) -> None:
        for port in (self.reads, self.writes):
            port.set_pace(ready=ready, rate=rate, latency=latency, in_order=in_order)

    def fill(self, table: int, node: int, *, empty: float, cached: float) -> None:
        """A leaf table of which `empty` entries are 0, and a node of which `cached` slots may be mapped."""
        rng = self.rng
        for index in range(TABLE_ENTRIES):
            content = rng.choice((rng.getrandbits(63) + 1, 1 << rng.randrange(64)))
            self.memory[table + WORD_BYTES * index] = 0 if rng.random() < empty else content
        for index in range(NODE_SLOTS):
            state = rng.choice((0, PRESENT, UPTODATE, PRESENT | LOCKED, PRESENT | UPTODATE | LOCKED, UPTODATE | LOCKED))
            state = PRESENT | UPTODATE if rng.random() < cached else state
            # the bits that mean nothing are anything
            self.memory[node + WORD_BYTES * index] = state | rng.choice((0, WRITABLE)) | rng.getrandbits(60) << 4

    def job(self, **given: int) -> dict[str, int]:
        """A job anywhere, `given` places it; nothing else is in memory."""
        rng = self.rng
        self.memory.words.clear()
        vpn = given.get("vpn", rng.getrandbits(45))
        table = given.get("table", rng.getrandbits(44) * PAGE_BYTES)
        node = given.get("node", rng.getrandbits(47) * NODE_BYTES)
        before, behind = (given.get(name, rng.choice((0, 1, rng.randrange(17), rng.getrandbits(30)))) for name in ("before", "behind"))
        self.fill(table, node, empty=given.get("empty", rng.choice((0, 50, 90, 100))) / 100, cached=given.get("cached", rng.choice((50, 100))) / 100)
        return {
            "vpn": vpn, "start": max(vpn - before, 0), "end": vpn + 1 + behind, "pte_addr": table + WORD_BYTES * (vpn % TABLE_ENTRIES),
            "slot_addr": node + WORD_BYTES * given.get("slot", rng.randrange(NODE_SLOTS)), "page_prot": rng.getrandbits(10),
        }  # fmt: skip

    def window(self, job: dict[str, int]) -> list[int]:
        """The pages of the window."""
        vpn, slot = job["vpn"], job["slot_addr"] % NODE_BYTES // WORD_BYTES
        aligned = range(vpn - vpn % WINDOW, vpn - vpn % WINDOW + WINDOW)
        return [page for page in aligned if job["start"] <= page < job["end"] and 0 <= slot + page - vpn < NODE_SLOTS]

    def wanted(self, job: dict[str, int]) -> dict[int, int]:
        """The entries that are to be set, by address."""
        written = {}
        for page in self.window(job):
            slot = self.memory[job["slot_addr"] + WORD_BYTES * (page - job["vpn"])]
            address = job["pte_addr"] + WORD_BYTES * (page - job["vpn"])
            if page != job["vpn"] and self.memory[address] == 0 and slot & (PRESENT | UPTODATE | LOCKED) == PRESENT | UPTODATE:
                written[address] = job["page_prot"] & ~(W | D) | A | (slot >> 10 & (1 << 44) - 1) << 10
        return written

    async def one(self, job: dict[str, int], *, reads_fail: bool = False) -> int:
        """Run a job and compare everything; returns the cycles that it took."""
        first = job["pte_addr"] + WORD_BYTES * (self.window(job)[0] - job["vpn"])
        entries = {} if reads_fail else self.wanted(job)
        after = self.memory.words | {address: entry for address, entry in entries.items() if address not in self.writes.failing}
        ((_, answer, cycles),) = await self.run(job)
        assert answer["first_addr"] == first, f"window at {answer['first_addr']:#x} instead of {first:#x}: {job}"
        mask = sum(1 << (address - first) // WORD_BYTES for address in entries)
        assert answer["mask"] == mask, f"mask {answer['mask']:#018b} instead of {mask:#018b}: {job}"
        error = reads_fail or bool(self.writes.failing & entries.keys())
        assert answer["error"] == error, f"error {answer['error']} instead of {error}"
        changed = {address for address in after if self.memory.words[address] != after[address]}
        shown = {hex(address): (hex(self.memory.words[address]), hex(after[address])) for address in changed}
        assert not changed, f"words (as found, as wanted instead of that): {shown}"
        assert len(after) == len(self.memory.words), f"{len(self.memory.words)} words instead of {len(after)}"
        self.mapped += len(entries)
        self.windows += 1
        return cycles


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def windows(dut) -> None:
    """Random jobs with memory at any pace: exactly the right entries, exactly their content."""
    bench = Bench(dut)
    await bench.start()
    sizes = set()
    for ready, rate, latency, patience in ((1.0, 1.0, 1, 1.0), (0.6, 0.9, 9, 0.2), (0.9, 0.3, 2, 0.9), (0.2, 1.0, 40, 1.0)):
        bench.set_pace(ready=ready, rate=rate, latency=lambda latency=latency: bench.rng.randint(1, latency))
        bench.patience = patience
        for _ in range(40):
            job = bench.job()
            sizes.add(len(bench.window(job)))
            await bench.one(job)
    assert sizes >= {1, 2, WINDOW}, f"windows of {sizes} pages only"
    assert bench.mapped > 200, f"only {bench.mapped} entries were set"


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def edges(dut) -> None:
    """Each of the three bounds at each distance, on both sides, while the others are far; and the ends of address space."""
    bench = Bench(dut)
    await bench.start()
    bench.set_pace(ready=1.0, rate=1.0, latency=lambda: 2)
    bench.patience = 1.0
    middle = {"before": 1 << 30, "behind": 1 << 30, "slot": 32, "empty": 100, "cached": 100}
    for distance in range(WINDOW):
        await bench.one(bench.job(**middle, vpn=(1 << 20) + distance))
        await bench.one(bench.job(**middle | {"before": distance}, vpn=(1 << 20) + 15))
        await bench.one(bench.job(**middle | {"behind": distance}, vpn=1 << 20))
        await bench.one(bench.job(**middle | {"slot": distance}, vpn=(1 << 20) + 15))
        await bench.one(bench.job(**middle | {"slot": NODE_SLOTS - 1 - distance}, vpn=1 << 20))
    assert bench.mapped == WINDOW * (WINDOW - 1) + 4 * sum(range(WINDOW)), f"{bench.mapped} entries were set"
    await bench.one(bench.job(**middle, vpn=0))
    await bench.one(bench.job(**middle | {"behind": 0}, vpn=(1 << 45) - 1, table=((1 << 44) - 1) * PAGE_BYTES))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def read_errors(dut) -> None:
    """Any word of either burst that cannot be read: nothing is written, an error; the next job is well."""
    bench = Bench(dut)
    await bench.start()
    middle = {"before": 1 << 30, "behind": 1 << 30, "slot": 32, "empty": 100, "cached": 100}
    for distance in (0, 1, 7, 14, 15):
        for name in ("pte_addr", "slot_addr"):
            job = bench.job(**middle, vpn=1 << 20)
            bench.memory.failing = {job[name] + WORD_BYTES * distance}
            await bench.one(job, reads_fail=True)
            bench.memory.failing = set()
            await bench.one(job)
    assert bench.mapped == 10 * (WINDOW - 1)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def write_errors(dut) -> None:
    """An entry that cannot be written: an error, the others are set; the next job is well."""
    bench = Bench(dut)
    await bench.start()
    middle = {"before": 1 << 30, "behind": 1 << 30, "slot": 32, "empty": 100, "cached": 100}
    for distance in (1, 2, 14, 15):
        job = bench.job(**middle, vpn=1 << 20)
        failing = job["pte_addr"] + WORD_BYTES * distance
        bench.writes.failing = {failing}
        await bench.one(job)
        bench.writes.failing = set()
        await bench.one(bench.job(**middle, vpn=1 << 20))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def cycles(dut) -> None:
    """As the docstring of FaultAround says, at three latencies."""
    bench = Bench(dut)
    await bench.start()
    bench.patience = 1.0
    for latency in (1, 5, 20):
        bench.set_pace(ready=1.0, rate=1.0, latency=lambda latency=latency: latency, in_order=True)
        for behind in (0, 1, 2, 9, 15):
            for empty in (0, 50, 100):
                job = bench.job(vpn=1 << 20, before=0, behind=behind, slot=0, empty=empty, cached=100)
                pages, mapped = behind + 1, len(bench.wanted(job))
                stated = 2 * pages + latency + 3 if mapped == 0 else 2 * pages + mapped + 2 * latency + 2
                stated = 3 if pages == 1 else stated
                took = await bench.one(job)
                assert took == stated, f"{pages} pages, {mapped} set, latency {latency}: {took} cycles instead of {stated}"

"""PageRequestQueue with memory: exact records, visible before the tail and the answer; full, stopped, disabled, bus errors."""

import os
from random import Random

import cocotb

from seqfault_rtl.messages import PageRequest, PageRequestDone

from .fields import pack, unpack
from .ring_bench import RingBench

OK, BUS_ERROR, QUEUE_FULL = 0, 16, 18
SEED = int(os.environ.get("SEED", "1"))
BASE = 0x3_4560_0000
RECORD_BYTES = 16
LOAD, STORE, FETCH = 0, 1, 2


def record(request: dict[str, int]) -> tuple[int, int]:
    """The two words, written down from docs/software-contract.md."""
    word0 = request["reason"] | request["space"] << 12 | 1 << 32 | (request["access"] == FETCH) << 34 | request["port"] << 40
    word1 = (request["access"] == LOAD) | (request["access"] == STORE) << 1 | 1 << 2 | request["tag"] << 3 | request["vpn"] << 12
    return word0, word1


class Bench(RingBench):
    """Sends requests one by one; whenever the tail moves, the record behind it must be in memory."""

    def __init__(self, dut, rng: Random, **options) -> None:
        super().__init__(dut, "queue", rng, **options)
        self.current: dict[str, int] = {}
        self.tail = 0
        self.compared = 0
        self.checks.append(self._visible)

    def _visible(self) -> None:
        tail = int(self.port("tail").value)
        if tail == self.tail:
            return
        assert tail == (self.tail + 1) % self.entries, f"tail went from {self.tail} to {tail}"
        address = self.base + self.tail * RECORD_BYTES
        words = self.region.word(address), self.region.word(address + 8)
        assert words == record(self.current), f"tail {tail}: memory has {words}, expected {record(self.current)} of {self.current}"
        self.tail = tail
        self.compared += 1

    def head(self, value: int) -> None:
        self.port("head").value = value % self.entries

    async def request(self) -> int:
        """One random request; its outcome."""
        rng = self.rng
        self.current = {
            "agent": rng.randrange(62), "reason": rng.randrange(1, 24), "space": rng.getrandbits(16), "port": rng.getrandbits(8),
            "tag": rng.getrandbits(9), "access": rng.choice((LOAD, STORE, FETCH)), "vpn": rng.getrandbits(52),
        }  # fmt: skip
        before = self.tail
        await self.send("request", pack(PageRequest, self.current))
        done = unpack(PageRequestDone, await self.receive("done"))
        assert done["agent"] == self.current["agent"], f"answer for {done['agent']}, not for {self.current['agent']}"
        moved = (self.tail - before) % self.entries
        assert moved == (done["outcome"] == OK), f"outcome {done['outcome']}, but the tail moved by {moved}"
        return int(done["outcome"])

    async def started(self) -> "Bench":
        await self.start("request__valid", "done__ready", "queue__head")
        return self


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def records_and_wrap(dut):
    """Random records round a small ring, software following at random."""
    bench = await Bench(dut, Random(SEED)).started()
    bench.configure(base=BASE, log2_entries=2)
    bench.head(0)
    for _ in range(60):
        bench.head(bench.tail - bench.rng.randrange(3))
        assert await bench.request() == OK
    assert bench.compared == bench.strobes["written"] == 60
    assert bench.strobes["dropped"] == bench.strobes["overflow"] == 0
    bench.checker.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def large_ring(dut):
    """A ring over 4 KiB: the records of its second page are where they belong."""
    bench = await Bench(dut, Random(SEED), pause=0.0).started()
    bench.configure(base=BASE, log2_entries=9)
    bench.head(0)
    for _ in range(300):
        assert await bench.request() == OK
    assert bench.compared == 300


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def full_and_stopped(dut):
    """The last entry stays free: the next record is dropped, counted, and answered; so are those that find the queue stopped."""
    bench = await Bench(dut, Random(SEED)).started()
    bench.configure(base=BASE, log2_entries=2)
    bench.head(0)
    outcomes = [await bench.request() for _ in range(5)]
    assert outcomes == [OK, OK, OK, QUEUE_FULL, QUEUE_FULL]
    assert bench.strobes["overflow"] == bench.strobes["dropped"] == 2
    bench.port("stop").value = 1
    bench.head(2)
    assert await bench.request() == QUEUE_FULL
    assert (bench.strobes["overflow"], bench.strobes["dropped"]) == (2, 3)
    bench.port("stop").value = 0
    assert await bench.request() == OK
    assert bench.compared == 4


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def disabled(dut):
    """Nothing is written while the queue is off; turning it on sets the tail to 0."""
    bench = await Bench(dut, Random(SEED)).started()
    bench.configure(base=BASE, log2_entries=3)
    bench.head(0)
    for _ in range(3):
        assert await bench.request() == OK
    bench.configure(base=BASE, log2_entries=3, enable=False)
    writes = bench.checker.addresses
    assert await bench.request() == QUEUE_FULL
    await bench.cycle(20)
    assert bench.checker.addresses == writes
    assert (bench.strobes["overflow"], bench.strobes["dropped"]) == (0, 1)
    assert int(bench.port("tail").value) == 3
    bench.checks.remove(bench._visible)
    bench.configure(base=BASE + 0x1000, log2_entries=3)
    await bench.cycle(2)
    bench.tail = 0
    bench.checks.append(bench._visible)
    assert await bench.request() == OK
    assert int(bench.port("tail").value) == 1


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def disabled_meanwhile(dut):
    """A record begun when the queue is turned off is finished, and the unit says that it is busy until then."""
    bench = await Bench(dut, Random(SEED)).started()
    bench.configure(base=BASE, log2_entries=3)
    bench.head(0)
    await bench.cycle(2)
    bench.current = {"agent": 5, "reason": 3, "space": 7, "port": 1, "tag": 9, "access": STORE, "vpn": 0x1234}
    await bench.send("request", pack(PageRequest, bench.current))
    bench.configure(base=BASE, log2_entries=3, enable=False)
    await bench.cycle()
    assert bench.port("busy").value == 1
    await bench.until(lambda: not bench.port("busy").value, "busy falls")
    assert bench.checker.addresses == 2
    assert unpack(PageRequestDone, await bench.receive("done"))["outcome"] == OK
    assert bench.compared == 1


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def bus_error(dut):
    """An error on either word: the tail stays, the fault is reported, and the next record goes to the same entry."""
    bench = await Bench(dut, Random(SEED)).started()
    bench.configure(base=BASE, log2_entries=3)
    bench.head(0)
    assert await bench.request() == OK
    for word in (0, 8):
        bench.region.failing = {BASE + RECORD_BYTES + word}
        assert await bench.request() == BUS_ERROR
    assert bench.strobes["memory_fault"] == bench.strobes["dropped"] == 2
    bench.region.failing = set()
    assert await bench.request() == OK
    assert bench.compared == 2

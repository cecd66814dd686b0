"""Registers over AXI4-Lite, against offsets and bits written down from the RISC-V IOMMU's layout and docs/software-contract.md."""

import os
from collections.abc import Iterator
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from seqfault_rtl.messages import QueueSettings

from .fields import unpack

SEED = int(os.environ.get("SEED", "1"))
PATIENCE_NS = 20_000
SETTLE_NS = 1
CAPABILITIES, FCTL = 0x00, 0x08
IPSR, ZERO_FRAME, CONTROL, ERRORS, ICVEC = 0x54, 0x2E0, 0x2E8, 0x2EC, 0x2F8
CYCLES, DROPPED, RELEASED_WAIT, FAULTS_DROPPED, SRCU_REFUSED, ANSWERS, OUTCOMES = 0x1000, 0x1008, 0x1010, 0x1018, 0x1020, 0x1100, 0x1200
FAULTS, FAULT_CYCLES = 0x1028, 0x1030
UNMAPPED = (0x0C, 0x10, 0x58, 0x270, 0x2F0, 0x300, 0xFFC, 0x1038, 0x1128, 0x1314, 0x1FFC)
QUEUES = {
    "command_queue": {"base": 0x18, "software": 0x24, "engine": 0x20, "csr": 0x48, "in": "head", "out": "tail"},
    "fault_queue": {"base": 0x28, "software": 0x30, "engine": 0x34, "csr": 0x4C, "in": "tail", "out": "head"},
    "page_queue": {"base": 0x38, "software": 0x40, "engine": 0x44, "csr": 0x50, "in": "tail", "out": "head"},
    "free_ring": {"base": 0x2B8, "software": 0x2C4, "engine": 0x2C0, "csr": 0x2D8, "in": "head", "out": "tail"},
    "released_ring": {"base": 0x2C8, "software": 0x2D0, "engine": 0x2D4, "csr": 0x2DC, "in": "tail", "out": "head"},
    "completion_ring": {"base": 0x1300, "software": 0x1308, "engine": 0x130C, "csr": 0x1310, "in": "tail", "out": "head"},
}
ENABLE, INTERRUPT, FAULT, ON, BUSY = 1 << 0, 1 << 1, 1 << 8, 1 << 16, 1 << 17
STICKY = [
    ("command_queue", "memory_fault", 8, True), ("command_queue", "illegal", 10, True), ("command_queue", "fence_done", 11, False),
    ("fault_queue", "memory_fault", 8, True), ("fault_queue", "overflow", 9, True),
    ("page_queue", "memory_fault", 8, True), ("page_queue", "overflow", 9, True), ("free_ring", "memory_fault", 8, True),
    ("released_ring", "memory_fault", 8, True), ("released_ring", "overflow", 9, False),
    ("completion_ring", "memory_fault", 8, True), ("completion_ring", "overflow", 9, False), ("completion_ring", "srcu_refused", 10, False),
]  # fmt: skip
"""Queue, strobe (of the queue's port; `srcu_refused` is a pin of its own), bit of its CSR, whether it stops the queue."""
PENDING = {"command_queue": 0, "fault_queue": 1, "page_queue": 3, "free_ring": 8, "released_ring": 9, "completion_ring": 10}
WIRES = {"command_queue": 0, "page_queue": 1, "free_ring": 2, "released_ring": 3, "fault_queue": 4, "completion_ring": 5}
PRODUCERS = ("fault_queue", "page_queue", "released_ring", "completion_ring")
LOCKED_WRITE, BUSY_WRITE = 1 << 0, 1 << 1


def pauses(rng: Random, probability: float) -> Iterator[bool]:
    while True:
        yield rng.random() < probability


def strobe_name(queue: str, strobe: str) -> str:
    """The pin of a strobe in `STICKY`."""
    return strobe if strobe == "srcu_refused" else f"{queue}__{strobe}"


class Bench:
    """Register accesses by number, each bounded; inputs from the units are 0 unless a test sets them."""

    def __init__(self, dut, pause: float = 0.0) -> None:
        self.dut = dut
        self.rng = Random(SEED)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "bus_"), dut.clk, dut.rst)
        write, read = self.master.write_if, self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(pauses(Random(self.rng.random()), pause))

    async def start(self) -> "Bench":
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        for name in ("how", "outcome_valid", "outcome", "began", "ended"):
            getattr(dut, f"counters__{name}").value = 0
        for queue, names in QUEUES.items():
            for name in ("busy", "memory_fault", names["in"]):
                getattr(dut, f"{queue}__{name}").value = 0
        for name in ("illegal", "fence_done"):
            getattr(dut, f"command_queue__{name}").value = 0
        dut.srcu_refused.value = 0
        for queue in PRODUCERS:
            for name in ("overflow", "dropped", "written"):
                getattr(dut, f"{queue}__{name}").value = 0
        dut.rst.value = 1
        for _ in range(3):
            await FallingEdge(dut.clk)
        dut.rst.value = 0
        return self

    async def read(self, offset: int, size: int = 4) -> int:
        response = await with_timeout(self.master.read(offset, size), PATIENCE_NS, "ns")
        assert int(response.resp) == 0, f"read of {offset:#x} answered {response.resp}"
        return int.from_bytes(response.data, "little")

    async def write(self, offset: int, value: int, size: int = 4) -> None:
        response = await with_timeout(self.master.write(offset, value.to_bytes(size, "little")), PATIENCE_NS, "ns")
        assert int(response.resp) == 0, f"write of {offset:#x} answered {response.resp}"

    async def expect(self, offset: int, value: int, size: int = 4) -> None:
        got = await self.read(offset, size)
        assert got == value, f"{offset:#x} reads {got:#x}, expected {value:#x}"

    async def strobe(self, name: str, value: int = 1, cycles: int = 1) -> None:
        signal = getattr(self.dut, name)
        await FallingEdge(self.dut.clk)
        signal.value = value
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
        signal.value = 0

    def settings(self, queue: str) -> dict[str, int]:
        return unpack(QueueSettings, int(getattr(self.dut, f"{queue}__settings").value))

    def out(self, name: str) -> int:
        return int(getattr(self.dut, name).value)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_values(dut):
    """After reset all is off and 0, but for the constants; unmapped offsets read 0 and ignore writes."""
    bench = await Bench(dut).start()
    capabilities = 0x10 | 1 << 9 | 1 << 10 | 1 << 28 | 56 << 32 | 1 << 43 | 1 << 56
    await bench.expect(CAPABILITIES, capabilities, 8)
    await bench.expect(FCTL, 1 << 1)
    await bench.expect(ICVEC, 4 << 4 | 1 << 12, 8)
    for queue in QUEUES.values():
        await bench.expect(queue["base"], 0, 8)
        for name in ("software", "engine", "csr"):
            await bench.expect(queue[name], 0)
    for offset in (IPSR, ZERO_FRAME, CONTROL, ERRORS, DROPPED, RELEASED_WAIT, FAULTS_DROPPED, SRCU_REFUSED, FAULTS, FAULT_CYCLES):
        await bench.expect(offset, 0)
    for offset in UNMAPPED:
        await bench.write(offset, 0xFFFF_FFFF)
        await bench.expect(offset, 0)
    for offset in (CAPABILITIES, FCTL, ICVEC):
        before = await bench.read(offset)
        await bench.write(offset, ~before & 0xFFFF_FFFF)
        await bench.expect(offset, before)
    assert dut.interrupts.value == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def queue_settings(dut):
    """Base, indices and enable of each queue reach its unit, and only its own."""
    bench = await Bench(dut).start()
    for number, (queue, names) in enumerate(QUEUES.items()):
        ppn, log2 = 0xABC_DEF0_1230 | number, 5 + number
        await bench.write(names["base"], (log2 - 1) | 0b11111 << 5 | ppn << 10 | 0x3FF << 54, 8)
        await bench.expect(names["base"], (log2 - 1) | ppn << 10, 8)
        await bench.write(names["software"], 0xFFFF_FFF0 | number)
        index = (0xFFF0 | number) & (1 << log2) - 1
        await bench.expect(names["software"], index)
        assert bench.out(f"{queue}__{names['out']}") == index
        getattr(dut, f"{queue}__{names['in']}").value = 7 + number
        await bench.expect(names["engine"], 7 + number)
        await bench.write(names["engine"], 0)
        await bench.expect(names["engine"], 7 + number)
        await bench.write(names["csr"], ENABLE)
        await bench.expect(names["csr"], ENABLE | ON)
        assert bench.settings(queue) == {"base": ppn, "log2_entries": log2, "enable": 1}
    for number, queue in enumerate(QUEUES):
        assert bench.settings(queue) == {"base": 0xABC_DEF0_1230 | number, "log2_entries": 5 + number, "enable": 1}
    await bench.write(ZERO_FRAME, 0xFFF_1234_5678, 8)
    await bench.write(CONTROL, 2)
    assert (bench.out("zero_frame"), bench.out("policy")) == (0xFFF_1234_5678, 2)
    await bench.expect(ERRORS, 0)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def log2_is_warl(dut):
    """A driver finds the largest ring by writing ones: 65536 entries."""
    bench = await Bench(dut).start()
    await bench.write(0x18, 0x1F, 8)
    await bench.expect(0x18, 0xF, 8)
    assert bench.settings("command_queue")["log2_entries"] == 16
    await bench.write(0x24, 0xFFFF_FFFF)
    await bench.expect(0x24, 0xFFFF)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def wrong_writes(dut):
    """A base may change only while its queue is off and idle; a queue may not be turned on while it is being turned off."""
    bench = await Bench(dut).start()
    for queue, names in QUEUES.items():
        value = 3 | 0x1111 << 10
        await bench.write(names["base"], value, 8)
        await bench.write(names["csr"], ENABLE)
        await bench.expect(ERRORS, 0)
        await bench.write(names["base"], 5 | 0x2222 << 10, 8)
        await bench.expect(names["base"], value, 8)
        await bench.expect(ERRORS, LOCKED_WRITE)
        await bench.write(ERRORS, LOCKED_WRITE)
        await bench.expect(ERRORS, 0)
        getattr(dut, f"{queue}__busy").value = 1
        await bench.write(names["csr"], 0)
        await bench.expect(names["csr"], ON | BUSY)
        assert bench.settings(queue)["enable"] == 0
        await bench.write(names["base"], 5 | 0x2222 << 10, 8)
        await bench.expect(names["base"], value, 8)
        await bench.write(names["csr"], ENABLE | INTERRUPT)
        await bench.expect(names["csr"], ON | BUSY | INTERRUPT)
        await bench.expect(ERRORS, LOCKED_WRITE | BUSY_WRITE)
        getattr(dut, f"{queue}__busy").value = 0
        await bench.expect(names["csr"], INTERRUPT)
        await bench.write(names["base"], 5 | 0x2222 << 10, 8)
        await bench.expect(names["base"], 5 | 0x2222 << 10, 8)
        await bench.write(ERRORS, LOCKED_WRITE | BUSY_WRITE)
        await bench.expect(ERRORS, 0)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def sticky_bits(dut):
    """Strobes set their bit, 1 clears it, 0 does not; errors stop the queue; enabling clears all; a strobe in the cycle of a clear wins."""
    bench = await Bench(dut).start()
    for queue, strobe, bit, stops in STICKY:
        csr = QUEUES[queue]["csr"]
        await bench.write(csr, ENABLE)
        name = strobe_name(queue, strobe)
        await bench.strobe(name)
        await bench.expect(csr, ENABLE | ON | 1 << bit)
        assert bench.out(f"{queue}__stop") == stops, f"{queue}.{strobe}: stop is {bench.out(f'{queue}__stop')}"
        await bench.write(csr, ENABLE)
        await bench.expect(csr, ENABLE | ON | 1 << bit)
        await bench.write(csr, ENABLE | 1 << bit)
        await bench.expect(csr, ENABLE | ON)
        assert bench.out(f"{queue}__stop") == 0
        await bench.strobe(name)
        await bench.write(csr, 0)
        await bench.expect(csr, 1 << bit)
        await bench.write(csr, ENABLE)
        await bench.expect(csr, ENABLE | ON)
        getattr(dut, name).value = 1
        await bench.write(csr, ENABLE | 1 << bit)
        getattr(dut, name).value = 0
        await bench.expect(csr, ENABLE | ON | 1 << bit)
        await bench.write(csr, ENABLE | 1 << bit)
        await bench.write(csr, 0)
    assert bench.out("cqcsr") == await bench.read(QUEUES["command_queue"]["csr"])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def interrupts(dut):
    """Each cause raises its wire and pending bit if enabled, again while it lasts, and not if disabled."""
    bench = await Bench(dut).start()
    causes = [(queue, strobe, 1 << bit) for queue, strobe, bit, _ in STICKY]
    causes += [(queue, "written", 0) for queue in PRODUCERS]
    for queue, strobe, sticky in causes:
        csr, pending, wire = QUEUES[queue]["csr"], 1 << PENDING[queue], 1 << WIRES[queue]
        await bench.write(csr, 0)
        await bench.strobe(strobe_name(queue, strobe))
        await bench.expect(IPSR, 0)
        assert dut.interrupts.value == 0
        await bench.write(csr, ENABLE | INTERRUPT | sticky)
        await bench.expect(IPSR, 0)
        await bench.strobe(strobe_name(queue, strobe))
        await bench.expect(IPSR, pending)
        assert dut.interrupts.value == wire
        await bench.write(IPSR, pending)
        await bench.expect(IPSR, pending if sticky else 0)
        await bench.write(csr, ENABLE | INTERRUPT | sticky)
        await bench.write(IPSR, pending)
        await bench.expect(IPSR, 0)
        assert dut.interrupts.value == 0
        await bench.write(csr, 0)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def counters(dut):
    """Each strobe counts once, in its own counter."""
    bench = await Bench(dut).start()
    rng = bench.rng
    answers, outcomes = [0] * 5, [0] * 32
    for _ in range(200):
        await FallingEdge(dut.clk)
        how, valid, outcome = rng.getrandbits(5), rng.getrandbits(1), rng.randrange(24)
        dut.counters__how.value, dut.counters__outcome_valid.value, dut.counters__outcome.value = how, valid, outcome
        outcomes[outcome] += valid
        answers = [count + (how >> index & 1) for index, count in enumerate(answers)]
    await FallingEdge(dut.clk)
    dut.counters__how.value = dut.counters__outcome_valid.value = 0
    await bench.strobe("page_queue__dropped", cycles=3)
    await bench.strobe("released_ring__overflow", cycles=5)
    await bench.strobe("fault_queue__dropped", cycles=7)
    await bench.strobe("srcu_refused", cycles=9)
    await bench.strobe("completion_ring__overflow", cycles=11)
    for index, count in enumerate(answers):
        await bench.expect(ANSWERS + 8 * index, count, 8)
    for index, count in enumerate(outcomes):
        await bench.expect(OUTCOMES + 8 * index, count, 8)
    await bench.expect(DROPPED, 3, 8)
    await bench.expect(RELEASED_WAIT, 5, 8)
    await bench.expect(FAULTS_DROPPED, 7, 8)
    await bench.expect(SRCU_REFUSED, 9, 8)
    await _fault_counters(bench)
    first = await bench.read(CYCLES, 8)
    for _ in range(100):
        await FallingEdge(dut.clk)
    assert 100 <= await bench.read(CYCLES, 8) - first <= 130


async def _fault_counters(bench: Bench) -> None:
    """Faults begin and end at random, up to as many at once as there are agents: each counts its cycles from the one to the other."""
    dut, rng = bench.dut, bench.rng
    running: list[int] = []
    ended = cycles = most = 0
    await FallingEdge(dut.clk)
    for cycle in range(600):
        began = len(running) < 63 and rng.random() < (0.8 if cycle < 250 else 0.3)
        ends = bool(running) and rng.random() < (0.2 if cycle < 250 else 0.7)
        if ends:
            cycles += cycle - running.pop(rng.randrange(len(running)))
            ended += 1
        if began:
            running.append(cycle)
        most = max(most, len(running))
        dut.counters__began.value, dut.counters__ended.value = began, ends
        await FallingEdge(dut.clk)
    dut.counters__began.value = 0
    for cycle in range(600, 600 + len(running)):
        cycles, ended = cycles + cycle - running.pop(), ended + 1
        dut.counters__ended.value = 1
        await FallingEdge(dut.clk)
    dut.counters__ended.value = 0
    assert most == 63
    await bench.expect(FAULTS, ended, 8)
    await bench.expect(FAULT_CYCLES, cycles, 8)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def back_pressure(dut):
    """Random pauses on all five channels, so that AW and W come in either order: every write takes effect exactly once, also by bytes."""
    bench = await Bench(dut, pause=0.6).start()
    value, base = 0, 0
    for step in range(80):
        size = bench.rng.choice((1, 2, 4))
        offset = bench.rng.randrange(0, 4, size)
        part = bench.rng.getrandbits(8 * size)
        mask = (1 << 8 * size) - 1 << 8 * offset
        value = value & ~mask | part << 8 * offset
        await bench.write(ZERO_FRAME + offset, part, size)
        base = bench.rng.getrandbits(30) << 10
        await bench.write(0x18, base, 8)
        assert await bench.read(ZERO_FRAME) == value, f"step {step}"
        assert await bench.read(0x18, 8) == base, f"step {step}"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def data_before_address(dut):
    """W long before AW, AW long before W, and an answer that is not taken: one write each, none early."""
    Clock(dut.clk, 10, unit="ns").start()
    for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
        getattr(dut, f"bus__{name}").value = 0
    dut.rst.value = 1
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    dut.bus__awaddr.value, dut.bus__wstrb.value = CONTROL, 0xF

    async def give(channel: str) -> None:
        getattr(dut, f"bus__{channel}valid").value = 1
        for _ in range(10):
            await Timer(SETTLE_NS, unit="ns")
            taken = getattr(dut, f"bus__{channel}ready").value
            await FallingEdge(dut.clk)
            if taken:
                getattr(dut, f"bus__{channel}valid").value = 0
                return
        raise AssertionError(f"{channel} was not taken")

    for order, value in ((("w", "aw"), 1), (("aw", "w"), 2)):
        before = int(dut.policy.value)
        dut.bus__wdata.value = value
        await give(order[0])
        for _ in range(10):
            await FallingEdge(dut.clk)
            assert not dut.bus__bvalid.value, "answered half a write"
            assert int(dut.policy.value) == before, "half a write took effect"
        await give(order[1])
        for _ in range(3):
            await FallingEdge(dut.clk)
        assert int(dut.policy.value) == value
        for _ in range(10):
            await FallingEdge(dut.clk)
            assert dut.bus__bvalid.value, "the answer was withdrawn"
        dut.bus__bready.value = 1
        await FallingEdge(dut.clk)
        dut.bus__bready.value = 0
        await FallingEdge(dut.clk)
        assert not dut.bus__bvalid.value, "answered twice"

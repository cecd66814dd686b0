"""AxiManager under several clients: every word arrives at the client that asked for it, in order of its tag, whatever the bus does."""

import os
from collections.abc import Callable
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer
from cocotbext.axi import AxiBus, AxiRam

from seqfault_rtl.messages import MemoryReadRequest, MemoryReadResponse, MemoryWriteRequest, MemoryWriteResponse

from .axi_bursts import BurstChecker, BurstMemory
from .axi_memory import EXOKAY, FailingRegion, attach_memory, pause_channels
from .burst_client import BurstClient
from .bus_client import Client
from .fields import pack, unpack
from .memory_ports import ALL_STROBES, PAGE_BYTES, WORD_BYTES, WordMemory

READERS = int(os.environ.get("READERS", "3"))
WRITERS = int(os.environ.get("WRITERS", "2"))
BURSTS = os.environ.get("BURSTS", "0") == "1"
SEED = int(os.environ.get("SEED", "1"))
SETTLE_NS = 1
PATIENCE = 20000
"""Cycles in which all traffic must have drained."""
TAGS = 64
READ_BASE = 0x10_0000
WRITE_BASE = 0x80_0000
BURST_BASE = 0xC0_0000
PAGES = 4


def content(address: int) -> int:
    """What a test's memory holds at `address`: another word everywhere."""
    return address * 0x9E37_79B9_7F4A_7C15 & (1 << 64) - 1


def bytes_mask(strobes: int) -> int:
    """The bits of the bytes that these strobes name."""
    return sum(0xFF << 8 * byte for byte in range(WORD_BYTES) if strobes >> byte & 1)


class Bench:
    """All clients and the checker; `memory.failing` are words at which the bus answers an error."""

    def __init__(self, dut, rng: Random, patience: float = 0.7) -> None:
        self.dut, self.rng = dut, rng
        self.failing: set[int] = set()
        self.readers = [Client(dut, f"reads__{i}", rng, patience) for i in range(READERS)]
        self.writers = [Client(dut, f"writes__{i}", rng, patience) for i in range(WRITERS)]
        self.bursts = [BurstClient(dut, "burst", rng, patience)] if BURSTS else []
        self.checker = BurstChecker(dut, "axi", sparse=True)
        self.written: dict[int, int] = {}
        self.pairs: dict[tuple[int, int], tuple[int, int]] = {}
        self.won: dict[tuple[int, int], bool] = {}
        self.model: BurstMemory | None = None

    @property
    def clients(self) -> list:
        return [*self.readers, *self.writers, *self.bursts]

    async def start(self) -> None:
        Clock(self.dut.clk, 10, unit="ns").start()
        self.dut.rst.value = 1
        for _ in range(3):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def cycle(self) -> None:
        await FallingEdge(self.dut.clk)
        for client in self.readers:
            client.drive(lambda values: pack(MemoryReadRequest, values))
        for client in self.writers:
            client.drive(lambda values: pack(MemoryWriteRequest, values))
        for client in self.bursts:
            client.drive()
        if self.model:
            self.model.drive()
        await Timer(SETTLE_NS, unit="ns")
        self.checker.sample()
        if self.model:
            self.model.sample()
        for client in self.readers:
            self._sample_reader(client)
        for number, client in enumerate(self.writers):
            self._sample_writer(number, client)
        for client in self.bursts:
            self.written |= client.sample(self.failing)

    def _sample_reader(self, client: Client) -> None:
        if client.response[0].value and client.response[1].value:
            client.check(unpack(MemoryReadResponse, int(client.response[2].value)))
        if request := client.taken():
            for beat in range(request["beats"] + 1):
                address = request["addr"] + beat * WORD_BYTES
                error = int(address in self.failing)
                word = {"data": content(address), "tag": request["tag"], "last": int(beat == request["beats"]), "error": error}
                client.expected[request["tag"]].append(word | {"exclusive": request.get("exclusive", 0)})

    def _sample_writer(self, number: int, client: Client) -> None:
        if client.response[0].value and client.response[1].value:
            answer = unpack(MemoryWriteResponse, int(client.response[2].value))
            if (pair := (number, answer["tag"])) in self.pairs:
                client.expected[answer["tag"]][0]["exclusive"] = int(self.won[pair])
            client.check(answer)
        if request := client.taken():
            error, mask = int(request["addr"] in self.failing), bytes_mask(ALL_STROBES & ~request["keep"])
            client.expected[request["tag"]].append({"tag": request["tag"], "error": error, "exclusive": 0})
            if request.get("exclusive"):
                self.pairs[number, request["tag"]] = (request["addr"], request["data"] & mask | content(request["addr"]) & ~mask)
            elif not error:
                self.written[request["addr"]] = request["data"] & mask

    def observe(self, identity: int, *, response: int, lock: int = 0, **access: int) -> None:
        """The memory has done an exclusive write, or not."""
        if not lock:
            return
        pair = (identity // TAGS, identity % TAGS)
        self.won[pair] = response == EXOKAY
        address, word = self.pairs[pair]
        self.written[address] = word if self.won[pair] else content(address)

    def traffic(self, count: int, tags: int = TAGS) -> None:
        """`count` random requests for each client. Words are written once each, so the order of writers does not matter."""
        free = list(range(PAGES * PAGE_BYTES // WORD_BYTES))
        self.rng.shuffle(free)
        for client in self.readers:
            for _ in range(count):
                first = self.rng.randrange(PAGES * PAGE_BYTES // WORD_BYTES)
                room = (PAGE_BYTES // WORD_BYTES) - first % (PAGE_BYTES // WORD_BYTES)
                beats = min(self.rng.choice((1, 1, 2, 4, 8, 16)), room)
                address = READ_BASE + first * WORD_BYTES
                client.waiting.append({"addr": address, "beats": beats - 1, "tag": self.rng.randrange(tags)})
        for client in self.writers:
            for _ in range(count):
                address = WRITE_BASE + free.pop() * WORD_BYTES
                keep = self.rng.choice((0, 0, self.rng.getrandbits(8)))
                client.waiting.append({"addr": address, "data": self.rng.getrandbits(64), "tag": self.rng.randrange(tags), "keep": keep})
        for client in self.bursts:
            client.traffic(count, BURST_BASE, PAGES, tags)

    def exclusive(self, clients: list[Client], count: int) -> None:
        """An exclusive access with each of `count` tags of those clients: all clients' are of words of their own."""
        for number, client in enumerate(clients[: min(READERS, WRITERS)]):
            for tag in range(count):
                request = {"addr": READ_BASE + (number * count + tag) * WORD_BYTES, "tag": tag, "exclusive": 1}
                request |= {"beats": 0} if clients is self.readers else {"data": self.rng.getrandbits(64), "keep": self.rng.getrandbits(8)}
                client.waiting.append(request)

    async def drain(self, read_back: Callable[[int], int]) -> None:
        """Run until all is answered; then memory must hold what was written."""
        for _ in range(PATIENCE):
            await self.cycle()
            if all(client.drained for client in self.clients):
                break
        else:
            raise AssertionError(f"not drained after {PATIENCE} cycles: {[c.expected for c in self.clients]}")
        self.checker.finish()
        for client in self.clients:
            assert client.sent, f"{client.prefix} sent nothing"
            assert client.compared >= client.sent, f"{client.prefix}: {client.sent} sent, {client.compared} compared"
        assert self.written, "nothing was written"
        assert bool(self.checker.bursts) == BURSTS, f"{self.checker.bursts} write bursts"
        for address, data in self.written.items():
            assert read_back(address) == data, f"{address:#x} holds {read_back(address):#x}, {data:#x} was written"


def preload(store: Callable[[int, int], None]) -> None:
    for address in range(READ_BASE, READ_BASE + PAGES * PAGE_BYTES, WORD_BYTES):
        store(address, content(address))


async def reordering(dut, rng: Random, **options) -> tuple[Bench, WordMemory]:
    bench = Bench(dut, rng)
    memory = WordMemory()
    preload(memory.__setitem__)
    bench.model = BurstMemory(dut, "axi", memory, rng, observe=bench.observe, **options)
    memory.failing = bench.failing
    await bench.start()
    return bench, memory


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def random_traffic(dut):
    """cocotbext-axi's memory, random back-pressure on all five channels and at every client."""
    rng = Random(SEED)
    ram = AxiRam(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=1 << 24)
    preload(lambda address, word: ram.write(address, word.to_bytes(WORD_BYTES, "little")))
    pause_channels(ram, rng, 0.4)
    bench = Bench(dut, rng)
    await bench.start()
    bench.traffic(60)
    await bench.drain(lambda address: int.from_bytes(ram.read(address, WORD_BYTES), "little"))


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def engine_memory(dut):
    """The memory of the engine's tests: words of bursts fail one by one, and all others are seen when they are written."""
    rng = Random(SEED + 9)
    bench, seen = Bench(dut, rng), {}
    region = FailingRegion(seen.__setitem__)
    preload(region.set_word)
    for base in (READ_BASE, BURST_BASE):
        bench.failing |= {base + WORD_BYTES * rng.randrange(PAGES * PAGE_BYTES // WORD_BYTES) for _ in range(64)}
    region.failing = bench.failing
    attach_memory(dut, "axi", region, rng, 0.3)
    await bench.start()
    bench.traffic(60)
    await bench.drain(region.word)
    in_bursts = {address: word for address, word in bench.written.items() if address >= BURST_BASE}
    assert {address: word for address, word in seen.items() if address >= BURST_BASE} == in_bursts, "writes were seen otherwise than made"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def out_of_order(dut):
    """Answers of different IDs overtake each other and interleave; few tags, so equal ones are under way together."""
    for rate in (0.3, 1.0):
        bench, memory = await reordering(dut, Random(SEED + 1), rate=rate)
        bench.traffic(100, tags=5)
        await bench.drain(memory.__getitem__)
        assert bench.model is not None
        assert bench.model.overtaken > 20, "the memory hardly reordered anything"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def bus_errors(dut):
    """SLVERR is reported with exactly the words and writes that it came with."""
    bench, memory = await reordering(dut, Random(SEED + 2))
    bench.traffic(60)
    reads = [request["addr"] for client in bench.readers for request in client.waiting]
    writes = [request["addr"] for client in bench.writers for request in client.waiting]
    beats = [burst["addr"] + WORD_BYTES * bench.rng.randrange(len(burst["words"])) for client in bench.bursts for burst in client.waiting]
    bench.failing |= set(reads[::5]) | set(writes[::5]) | set(beats[::5])
    await bench.drain(memory.__getitem__)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def full_rate_and_fair(dut):
    """With everybody willing, one request a cycle goes out in each direction, a word a cycle of bursts, and each client gets its share."""
    cycles = 120
    bench, _ = await reordering(dut, Random(SEED + 3), ready=1.0, rate=1.0)
    for client in bench.clients:
        client.patience = 1.0
    for client in bench.readers:
        client.waiting += [{"addr": READ_BASE, "beats": 0, "tag": i % TAGS} for i in range(cycles)]
    for number, client in enumerate(bench.writers):
        client.waiting += [{"addr": WRITE_BASE + (number * cycles + i) * WORD_BYTES, "data": i, "tag": i % TAGS, "keep": 0} for i in range(cycles)]
    for client in bench.bursts:
        for i in range(cycles):
            client.add(BURST_BASE + i * 8 * WORD_BYTES, list(range(8)), i % TAGS)
    for _ in range(cycles):
        await bench.cycle()
    for group in (bench.readers, [*bench.writers, *bench.bursts]):
        counts = [client.sent for client in group]
        words = sum(client.words_sent if client in bench.bursts else client.sent for client in group)
        assert words >= cycles - 1, f"{words} words by {counts} requests in {cycles} cycles"
        assert max(counts) - min(counts) <= 1, f"unfair: {counts}"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def exclusive_pairs(dut):
    """Both halves of an exclusive pair are locked and have one ID; what the memory says of them comes back."""
    pairs = 40
    bench, memory = await reordering(dut, Random(SEED + 4))
    bench.traffic(40, tags=TAGS)
    await bench.drain(memory.__getitem__)
    bench.exclusive(bench.readers, pairs)
    while not all(client.drained for client in bench.readers):
        await bench.cycle()
    memory.reserved = {identity: address for identity, address in memory.reserved.items() if bench.rng.random() < 0.7}
    bench.exclusive(bench.writers, pairs)
    await bench.drain(memory.__getitem__)
    count = pairs * min(READERS, WRITERS)
    assert bench.checker.exclusives == len(bench.won) == count, f"{len(bench.won)} exclusive writes of {count}"
    assert 0 < sum(bench.won.values()) < count, "no exclusive write succeeded, or none failed"

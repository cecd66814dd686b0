"""Mover behind an AxiManager with another reader and another writer: AXI's rules, their share of the bus, errors on the bus."""

import os
from random import Random

import cocotb

from seqfault_rtl.messages import MemoryReadRequest, MemoryReadResponse, MemoryWriteRequest, MemoryWriteResponse

from .axi_bursts import BurstChecker, BurstMemory
from .fields import pack, unpack
from .move_bench import COPY, FRAMES, ZERO, MoveBench, frame
from .move_memory import wires

SEED = int(os.environ.get("SEED", "1"))
LINE_WORDS = 8
"""Words of the Mover's bursts: as long as another writer may have to wait."""
*FREE, NEIGHBOUR = FRAMES
"""The neighbour's accesses are to a frame of its own."""


class Neighbour:
    """Another client: single words, always one more; writes are of what is there already.

    Members
    -------
    active : it asks for more. sent, answered : accesses taken and answered. longest : cycles that one waited to be taken.
    """

    def __init__(self, dut, prefix: str, bench: MoveBench) -> None:
        self._request, self._response = wires(dut, f"{prefix}__request"), wires(dut, f"{prefix}__response")
        self._shape = (MemoryReadRequest, MemoryReadResponse) if prefix == "reads" else (MemoryWriteRequest, MemoryWriteResponse)
        self._bench, self._reads = bench, prefix == "reads"
        self._waited = self.longest = self.sent = self.answered = 0
        self.active = False
        self._request[0].value = self._response[1].value = 0

    def _word(self, number: int) -> tuple[int, int]:
        address = frame(NEIGHBOUR)[number % len(frame(NEIGHBOUR))]
        return address, self._bench.memory[address]

    def drive(self) -> None:
        self._request[0].value = self.active or bool(self._request[0].value and self._waited)
        address, word = self._word(self.sent)
        self._request[2].value = pack(self._shape[0], {"addr": address} | ({} if self._reads else {"data": word}))
        self._response[1].value = 1

    def sample(self) -> None:
        self._waited = self._waited + 1 if self._request[0].value and not self._request[1].value else 0
        self.longest = max(self.longest, self._waited)
        self.sent += bool(self._request[0].value and self._request[1].value)
        if self._response[0].value:
            answer = unpack(self._shape[1], int(self._response[2].value))
            assert not answer["error"], f"error of the neighbour's access {self.answered}"
            assert not self._reads or answer["data"] == self._word(self.answered)[1], f"wrong word for the neighbour's read {self.answered}"
            self.answered += 1


class Bench(MoveBench):
    """With memory at the bus that takes and answers with these probabilities."""

    def __init__(self, dut, rng: Random, *, ready: float, rate: float) -> None:
        super().__init__(dut, rng)
        self.checker = BurstChecker(dut, "axi")
        self.reader, self.writer = (Neighbour(dut, prefix, self) for prefix in ("reads", "writes"))
        self.models = [BurstMemory(dut, "axi", self.memory, rng, ready=ready, rate=rate), self.reader, self.writer]
        self.watch = self.checker.sample

    async def finish(self) -> None:
        """All that the neighbours asked for is answered."""
        self.reader.active = self.writer.active = False
        for _ in range(1000):
            await self.cycle()
        for name, client in (("reader", self.reader), ("writer", self.writer)):
            assert client.answered == client.sent, f"{name}: {client.sent} sent, {client.answered} answered"
        self.checker.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def frames(dut):
    """Jobs of both kinds with a slow bus and busy neighbours; errors of either side end a job, and none of a neighbour's."""
    bench = Bench(dut, Random(SEED), ready=0.8, rate=0.9)
    await bench.start()
    bench.reader.active = bench.writer.active = True
    jobs = await bench.run((COPY, FREE[0], FREE[1]), (ZERO, FREE[0], FREE[2]), (COPY, FREE[1], FREE[-1]))
    assert not any(job.error for job in jobs)
    for failing, move in ((FREE[0], (COPY, FREE[0], FREE[1])), (FREE[1], (COPY, FREE[0], FREE[1])), (FREE[1], (ZERO, FREE[0], FREE[1]))):
        bench.memory.failing = {frame(failing)[bench.rng.randrange(512)]}
        (job,) = await bench.run(move)
        assert job.error, f"no error of {move}"
    bench.memory.failing = set()
    (job,) = await bench.run((COPY, FREE[0], FREE[1]))
    assert not job.error
    await bench.finish()
    assert bench.checker.bursts >= 4 * 64, f"{bench.checker.bursts} write bursts"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def share_of_the_bus(dut):
    """Alone, a frame takes its words and little more; beside it a writer waits for one burst at the most, and gets its turn after each."""
    bench = Bench(dut, Random(SEED), ready=1.0, rate=1.0)
    await bench.start()
    bench.patience = 1.0
    for operation, most in ((ZERO, 512 + 10), (COPY, 512 + 30)):
        (job,) = await bench.run((operation, FREE[0], FREE[1]))
        assert job.cycles <= most, f"operation {operation} took {job.cycles} cycles"
    bench.writer.active = True
    (job,) = await bench.run((ZERO, FREE[0], FREE[1]))
    assert bench.writer.longest <= LINE_WORDS + 1, f"a write waited for {bench.writer.longest} cycles"
    assert bench.writer.sent >= 64, f"{bench.writer.sent} writes beside 64 bursts"
    assert job.cycles <= 64 * (LINE_WORDS + 1) + 10, f"with one write for each burst it took {job.cycles} cycles"
    await bench.finish()

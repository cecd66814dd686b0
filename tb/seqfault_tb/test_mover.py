"""Mover with memory at its own ports: frames exact and nothing else touched, at any pace; cycles as stated; bus errors; what others notice."""

import os
from random import Random

import cocotb

from .move_bench import COPY, FRAMES, ZERO, MoveBench, frame
from .move_memory import BurstWrites, LatentReads

SEED = int(os.environ.get("SEED", "1"))
LINE_WORDS = 8
"""Words of a burst."""
AHEAD_WORDS = 16 * LINE_WORDS
"""Words asked for and not yet here, at most."""


class Bench(MoveBench):
    """The Mover with memory at its ports."""

    def __init__(self, dut, rng: Random) -> None:
        super().__init__(dut, rng)
        self.reads = LatentReads(dut, "read", self.memory, rng)
        self.writes = BurstWrites(dut, "write", self.memory, rng)
        self.models = [self.reads, self.writes]
        self.streams += ["read__request", "write__request", "write__data"]

    def random_pace(self, *, ready: float, rate: float, latency: int) -> None:
        """Memory that takes and answers with these probabilities, after up to `latency` cycles."""
        self.patience = 0.7
        for port in (self.reads, self.writes):
            port.set_pace(ready=ready, rate=rate, latency=lambda: self.rng.randrange(1, latency + 1))

    def no_pause(self, latency: int) -> None:
        """Everybody takes and gives at once, memory after `latency` cycles."""
        self.patience = 1.0
        for port in (self.reads, self.writes):
            port.set_pace(ready=1.0, rate=1.0, latency=lambda: latency)

    def random_move(self) -> tuple[int, int, int]:
        return self.rng.choice((ZERO, COPY)), self.rng.choice(FRAMES), self.rng.choice(FRAMES)


async def started(dut) -> Bench:
    bench = Bench(dut, Random(SEED))
    await bench.start()
    bench.random_pace(ready=0.8, rate=0.8, latency=20)
    return bench


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def any_pace(dut):
    """Random jobs one behind the other; memory fast, slow, pausing on each side; a frame copied to itself too."""
    bench = await started(dut)
    for ready, rate, latency in ((1.0, 1.0, 1), (0.5, 0.9, 30), (0.9, 0.5, 3), (0.15, 1.0, 1), (1.0, 0.3, 200)):
        bench.random_pace(ready=ready, rate=rate, latency=latency)
        jobs = await bench.run((COPY, FRAMES[0], FRAMES[1]), (COPY, FRAMES[-1], FRAMES[2]), (ZERO, FRAMES[1], FRAMES[-1]), bench.random_move())
        jobs += await bench.run((COPY, FRAMES[2], FRAMES[2]), bench.random_move())
        assert not any(job.error for job in jobs)
    assert bench.compared == 30


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def cycles(dut):
    """The cycles that the Mover's docstring states, at five latencies, for each of two jobs in a row."""
    bench = await started(dut)
    for latency in (1, 5, 20, 50, 115):
        bench.no_pause(latency)
        for job in await bench.run(*[(ZERO, 0, FRAMES[0])] * 2):
            assert job.cycles == 515 + latency, f"ZERO took {job.cycles} cycles at a latency of {latency}"
        for job in await bench.run(*[(COPY, FRAMES[1], FRAMES[2])] * 2):
            assert job.cycles == 524 + 2 * latency, f"COPY took {job.cycles} cycles at a latency of {latency}"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def read_errors(dut):
    """A word that cannot be read, anywhere in a burst and in the frame: an error, and neither its burst nor a later one is written."""
    bench = await started(dut)
    for failing in (0, 7, 8, 100, 255, 504, 511, bench.rng.randrange(512)):
        bench.memory.failing = {frame(FRAMES[0])[failing]}
        move = (COPY, FRAMES[0], FRAMES[1])
        bench.scramble(FRAMES[1])
        (job,) = await bench.run(move)
        assert job.error, f"no error of word {failing}"
        late = [number for number in bench.changed(job) if number >= failing - failing % LINE_WORDS]
        assert not late, f"words {late} were written after the error of word {failing}"
        # ZERO does not look at the source, and no error is left over
        bench.memory.failing |= {frame(FRAMES[0])[0]}
        for job in await bench.run((ZERO, FRAMES[0], FRAMES[1]), (COPY, FRAMES[2], FRAMES[1])):
            assert not job.error, f"error of a later job {job.operation}"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def write_errors(dut):
    """A word that cannot be written, by either operation: an error, nothing outside the frame, the next job is well."""
    bench = await started(dut)
    for operation in (ZERO, COPY):
        for failing in (0, 7, 100, 511, bench.rng.randrange(512)):
            bench.memory.failing = {frame(FRAMES[1])[failing]}
            (job,) = await bench.run((operation, FRAMES[0], FRAMES[1]))
            assert job.error, f"no error of word {failing}, operation {operation}"
            bench.memory.failing = set()
            (job,) = await bench.run((operation, FRAMES[0], FRAMES[1]))
            assert not job.error, "error of the next job"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def stops_early(dut):
    """After an error only what was offered is finished: an error of the first word ends the job soon, and costs few accesses."""
    latency = 10
    bench = await started(dut)
    bench.no_pause(latency)
    for operation, failing in ((COPY, FRAMES[0]), (COPY, FRAMES[1]), (ZERO, FRAMES[1])):
        bench.memory.failing = {frame(failing)[0]}
        reads, writes = len(bench.reads.asked), len(bench.writes.asked)
        (job,) = await bench.run((operation, FRAMES[0], FRAMES[1]))
        assert job.error
        assert job.cycles <= 5 * (latency + LINE_WORDS), f"{job.cycles} cycles to the answer"
        assert len(bench.reads.asked) - reads <= 6, f"{len(bench.reads.asked) - reads} bursts were read"
        assert len(bench.writes.asked) - writes <= 4, f"{len(bench.writes.asked) - writes} bursts were written"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def leaves_room(dut):
    """Reads are asked for at the bus' pace, with two bursts of slack; in a memory that is slower, no more than the stated words wait."""
    bench = await started(dut)
    bench.no_pause(20)
    await bench.run((COPY, FRAMES[0], FRAMES[1]))
    first = bench.reads.asked[0]
    for number, cycle in enumerate(bench.reads.asked):
        assert number * LINE_WORDS <= cycle - first + 2 * LINE_WORDS, f"read burst {number} asked for in cycle {cycle - first}"
    bench.random_pace(ready=1.0, rate=0.2, latency=50)
    most = 0

    def watch() -> None:
        nonlocal most
        most = max(most, bench.reads.outstanding)
        assert most <= AHEAD_WORDS, f"{most} words asked for and not answered"

    bench.watch = watch
    await bench.run((COPY, FRAMES[0], FRAMES[1]))
    assert most == AHEAD_WORDS, f"at most {most} words were outstanding: the bound was not reached"

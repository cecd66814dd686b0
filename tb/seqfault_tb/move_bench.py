"""Jobs for the Mover and what must become of memory: the target frame as asked for, and everything else as it was."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from cocotb.triggers import FallingEdge

from seqfault_rtl.move_messages import MoveAnswer, MoveJob

from .fields import pack, unpack
from .memory_ports import PAGE_BYTES, WORD_BYTES
from .move_memory import wires
from .stream_bench import StreamBench

__all__ = ["COPY", "FRAMES", "ZERO", "Job", "MoveBench", "frame"]

ZERO, COPY = 0, 1
PATIENCE = 40_000
"""Cycles that one job may take, whatever the memory's pace."""
FRAMES = (0x1, 0x2, 0x3, 0x7_0000, (1 << 44) - 1)
"""PPNs: neighbours, a far one, and the last there is."""


def frame(ppn: int) -> list[int]:
    """Addresses of a frame's words."""
    return [ppn * PAGE_BYTES + offset for offset in range(0, PAGE_BYTES, WORD_BYTES)]


@dataclass(kw_only=True)
class Job:
    """One job; the later fields are known when it has been taken, and when it has ended."""

    operation: int
    source: int
    target: int
    tag: int
    began: int = 0
    before: dict[int, int] = field(default_factory=dict, repr=False)
    wanted: dict[int, int] = field(default_factory=dict, repr=False)
    error: int = 0
    cycles: int = 0


class MoveBench(StreamBench):
    """Offers jobs one behind the other, takes answers, and compares memory at each answer.

    Members
    -------
    those of `StreamBench`; in its `memory` all frames of `FRAMES` hold random words. watch : called in each cycle.
    """

    def __init__(self, dut: Any, rng: Random, *, patience: float = 0.7) -> None:
        super().__init__(dut, rng, streams=["answers"], patience=patience)
        for ppn in FRAMES:
            self.scramble(ppn)
        self._jobs, self._answers = wires(dut, "jobs"), wires(dut, "answers")
        self._jobs[0].value = self._answers[1].value = 0
        self._waiting: deque[Job] = deque()
        self._offered = False
        self._running: Job | None = None
        self.watch: Callable[[], None] = lambda: None
        self.compared = 0

    def scramble(self, ppn: int) -> None:
        """Random words in a frame."""
        for address in frame(ppn):
            self.memory[address] = self.rng.getrandbits(64)

    async def cycle(self) -> None:
        """One cycle of everything."""
        await FallingEdge(self.dut.clk)
        self._offered = bool(self._waiting) and (self._offered or self.rng.random() < self.patience)
        if self._offered:
            job = self._waiting[0]
            self._jobs[2].value = pack(MoveJob, {name: getattr(job, name) for name in ("operation", "source", "target", "tag")})
        self._jobs[0].value = self._offered
        self._answers[1].value = self.rng.random() < self.patience
        await self.settle()
        self.watch()
        if self._answers[0].value and self._answers[1].value:
            self._end(unpack(MoveAnswer, int(self._answers[2].value)))
        if self._jobs[0].value and self._jobs[1].value:
            assert self._running is None, "a job was taken before the answer to the one before it"
            self._running, self._offered = self._waiting.popleft(), False
            job = self._running
            job.began, job.before, job.wanted = self.now, dict(self.memory.words), self.wanted(job)
        self.now += 1

    def _end(self, answer: dict[str, int]) -> None:
        assert self._running, "an answer to no job"
        job, self._running = self._running, None
        assert answer["tag"] == job.tag, f"answer for job {answer['tag']}, not for {job.tag}"
        job.error, job.cycles = answer["error"], self.now - job.began
        self.compare(job)
        self.compared += 1

    async def run(self, *moves: tuple[int, int, int]) -> list[Job]:
        """Jobs of (operation, source, target), offered one behind the other, until all have been answered."""
        jobs = [Job(operation=move[0], source=move[1], target=move[2], tag=self.rng.getrandbits(6)) for move in moves]
        self._waiting.extend(jobs)
        for _ in range(PATIENCE * len(jobs)):
            await self.cycle()
            if not self._waiting and not self._running:
                return jobs
        raise AssertionError(f"{self._running or self._waiting[0]} not answered within {PATIENCE} cycles")

    def wanted(self, job: Job) -> dict[int, int]:
        """What the target frame must hold in the end."""
        words = [0] * len(frame(job.target)) if job.operation == ZERO else [self.memory[address] for address in frame(job.source)]
        return dict(zip(frame(job.target), words, strict=True))

    def compare(self, job: Job) -> None:
        """All of memory; of a job that failed, each word of the target is new or old."""
        after = self.memory.words
        assert after.keys() == job.before.keys(), f"written outside of all frames: {sorted(after.keys() - job.before.keys())[:4]}"
        for address in after.keys() - job.wanted.keys():
            assert after[address] == job.before[address], f"{address:#x}, not in frame {job.target:#x}, was written"
        for address, word in job.wanted.items():
            allowed = (word, job.before[address]) if job.error else (word,)
            assert after[address] in allowed, f"{address:#x} holds {after[address]:#x}, expected {word:#x}"

    def changed(self, job: Job) -> list[int]:
        """Numbers of the target's words that are not what they were."""
        return [number for number, address in enumerate(frame(job.target)) if self.memory[address] != job.before[address]]

"""The cocotb test that runs the stress program in the harness, with one bug planted or none."""

import json
import os
from collections import Counter
from pathlib import Path
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_golden import Outcome, Step
from seqfault_rtl.config import PRESETS

from .checked import check_counters, checked_kernel
from .fast_machine import FastMachine, start
from .kernel import Kernel, kernel
from .kernel.memory_layout import FreeRing, Pool, ReleasedRing
from .stress import Stress, run_stress

SMALL_LOG2, SMALLEST_LOG2 = 2, 1
"""Three frames, three removed entries; one page request."""
LOOKS, LOOK_NS = 100, 500
"""Software sees to a small ring at every hundredth look, and looks every 500 ns at the least."""
GARBAGE = 0x5A5A_5A5A_0000_0001
"""As an entry it is valid, and a pointer."""
PAGE_WORDS = 512
WAYS_OUT = (Step.UNDO, Step.HANDOVER, Step.ANSWER, Step.MM_READ_UNLOCK)
"""Steps that tell why an attempt failed before."""


def _count_events(machine: FastMachine) -> tuple[Counter[str], Counter[str]]:
    """From now on: A/D updates by outcome, and the steps of faults that failed, as "R13!PTL_WAIT"."""
    updates: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    inner = machine.on_event

    def on_event(record: list[int]) -> None:
        last, outcome = record[3], record[5]
        if last == Step.AD_UPDATE:
            updates[Outcome(outcome).name] += 1
        elif outcome and last < Step.MM_LOCK and (last not in WAYS_OUT or (last, outcome) == (Step.HANDOVER, Outcome.QUEUE_FULL)):
            failures[f"{Step(last).name}!{Outcome(outcome).name}"] += 1
        assert inner is not None
        inner(record)

    machine.on_event = on_event
    return updates, failures


class _SlowFreeRing(FreeRing):
    """Software comes late; but not to the first filling."""

    _looks = -1

    def fill(self, head: int, frames: Pool) -> None:
        self._looks += 1
        if self._looks % LOOKS == 0:
            super().fill(head, frames)


class _SlowReleasedRing(ReleasedRing):
    """Likewise."""

    _looks = 0

    def drain(self, tail: int) -> list[tuple[int, int, int]]:
        self._looks += 1
        return [] if self._looks % LOOKS else super().drain(tail)


def _shrink_rings() -> None:
    """Rings that are empty, or full, again and again. Before the kernel is made."""
    kernel.FreeRing = lambda machine, base: _SlowFreeRing(machine, base, SMALL_LOG2)  # type: ignore[misc, assignment]
    kernel.ReleasedRing = lambda machine, base: _SlowReleasedRing(machine, base, SMALL_LOG2)  # type: ignore[misc, assignment]
    kernel.PAGE_REQUEST_LOG2 = SMALLEST_LOG2


async def _look_again_and_again(made: Kernel) -> None:
    while True:
        await made.scheduler.sleep(LOOK_NS)


def _leave_garbage(made: Kernel, rng: Random) -> None:
    """Frames are not zero when they are given to the engine."""
    frames, write = made.memory.frames, made.machine.write64
    take = frames.take

    def dirty() -> int:
        frame = take()
        for word in rng.sample(range(PAGE_WORDS), 4):
            write(frame << 12 | word << 3, GARBAGE)
        return frame

    frames.take = dirty  # type: ignore[method-assign]


@cocotb.test()
async def stress_harness(dut: SimHandleBase) -> None:
    """The stress program in the harness; the job's file gets what the checker said."""
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    config = PRESETS[job["preset"]].with_settings(job["settings"])
    machine = FastMachine(dut, ports=config.ports, tags=config.port_misses, latency=job["latency"], watchdog=20_000)
    await start(dut)
    machine.plant(job["plant"])
    if job["small_rings"]:
        _shrink_rings()
    made, checker, aborts = checked_kernel(machine, config, job["policy"], unzeroed=job["unzeroed"])
    made.adue = job["adue"]
    updates, failures = _count_events(machine)
    result: dict[str, object] = {"updates": updates, "failures": failures}
    if job["small_rings"]:
        made.scheduler.spawn(_look_again_and_again(made), "a look at the rings")
    if job["unzeroed"]:
        _leave_garbage(made, Random(job["seed"]))
    try:
        result["counts"] = await run_stress(made, Random(job["seed"]), Stress(**job["program"]))
        await check_counters(machine, checker)
        checker.finish(machine.read64)
    except Exception as error:  # a planted bug may confuse the kernel before the end; the checker's word is what counts
        result["stopped"] = f"{type(error).__name__}: {error}"
    result |= {"difference": checker.first_difference, "agreed": checker.agreed, "steps": checker.steps_checked, "aborts": dict(aborts)}
    Path(job["result"]).write_text(json.dumps(result))

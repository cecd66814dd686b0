"""The cocotb test that runs one program in the harness; the file that SEQFAULT_JOB names says which, and where its result goes."""

import json
import os
import time
import traceback
from pathlib import Path
from typing import Any

import cocotb
from cocotb.handle import SimHandleBase
from cocotb.triggers import Timer

from ..checked import check_counters
from ..coverage import Coverage
from ..errors import HangError
from ..fast_machine import FastMachine, start
from ..machine import CLOCK_NS
from ..planted import Plant
from .conditions import config_of, prepare
from .execute import Execution
from .golden_view import GoldenView
from .interleavings import Interleavings
from .program import Program
from .statistics import Statistics
from .watch import Watcher, watch

__all__ = ["WATCHERS", "noted", "run_program"]

WATCHDOG = 50_000
AFTERMATH = 100
"""Cycles that a waveform goes on after what ended the run."""
PROGRESS_SECONDS = 0.25
WATCHERS: dict[str, type[Watcher]] = {watcher.name: watcher for watcher in (Statistics, Coverage)}
"""What a job can have noted."""


@cocotb.test()
async def regression_job(dut: SimHandleBase) -> None:
    """Whatever goes wrong is a result."""
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    golden_view = Path(job["golden_view"]) if job.get("golden_view") else None
    result = await run_program(
        dut, Program.from_json(job["program"]), watchers=[WATCHERS[name]() for name in job["watchers"]], golden_view=golden_view,
        since=job.get("since", 0), progress=Path(job["progress"]),
    )  # fmt: skip
    Path(job["result"]).write_text(json.dumps(result))


async def run_program(
    dut: SimHandleBase, program: Program, *, watchers: list[Watcher], golden_view: Path | None = None, since: int = 0, progress: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run it and judge: the job's result, with that of each watcher under its name. `golden_view` : a file for `GoldenView`, which
    begins in the cycle `since`.

    Its `outcome` is "ok", "difference" (the checker's), "hang", or "failed" (the testbench's own checks); `message` says what is wrong, in the cycle
    `ended`. A difference ends the run.
    """
    began, config = time.perf_counter(), config_of(program.conditions)
    machine = FastMachine(dut, ports=config.ports, tags=config.port_misses, latency=program.conditions.latency, watchdog=WATCHDOG)
    await start(dut)
    machine.plant(Plant[program.conditions.plant].value if program.conditions.plant else 0)
    machine.disturb(seed=program.seed + 1, pressure=program.conditions.pressure, error_rate=program.conditions.error_rate)
    kernel, checker, aborts = prepare(machine, program.conditions, program.seed)
    overlaps = Interleavings()
    view = GoldenView(checker, golden_view, {"seed": program.seed, "profile": program.profile}, since=since) if golden_view else None
    watch(machine, [overlaps, *watchers, *([view] if view else [])])
    for watcher in watchers:
        watcher.start(kernel)
    outcome, message = "ok", None
    run = Execution(kernel, program, stop=lambda: checker.first_difference is not None, on_fault=_Progress(progress) if progress else None)
    try:
        await run.run()
        if checker.first_difference is None:
            await check_counters(machine, checker)
            checker.finish(machine.read64)
    except HangError as error:
        outcome, message = "hang", str(error)
    except Exception as error:  # a wrong engine may confuse the kernel before the checker sees it
        outcome, message = "failed", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    if checker.first_difference is not None:  # whatever came of it
        outcome, message = "difference", checker.first_difference
    ended = machine.cycle
    if view is not None:
        await Timer(AFTERMATH * CLOCK_NS, "ns")
        view.close(None if outcome in ("ok", "difference") else message)
    return {
        "seed": program.seed, "profile": program.profile, "preset": program.conditions.preset, "policy": program.conditions.policy,
        "latency": program.conditions.latency, "contexts": config.contexts, "outcome": outcome, "message": message, "ended": ended, "cycles": ended,
        "steps": checker.steps_checked, "faults": overlaps.faults, "interleavings": overlaps.pairs, "interleaved": overlaps.interleaved,
        "counts": dict(run.counts), "begun": run.begun, "aborts": dict(aborts), "commands": dict(kernel.command_counts),
        "failed_reads": machine.failed_reads, "seconds": time.perf_counter() - began, **{watcher.name: noted(watcher) for watcher in watchers},
    }  # fmt: skip


def noted(watcher: Watcher) -> Any:
    """None where an event had a number that names no step or outcome, which the checker has refused."""
    try:
        return watcher.result()
    except ValueError:
        return None


class _Progress:
    """Leaves the number of faults done in a file, a few times a second."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self._path.write_text(str(done))

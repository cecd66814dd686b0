"""The cocotb test that `seqfault run` executes in the simulator: one replay, described by the file that SEQFAULT_JOB names."""

import json
import os
import time
import traceback
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_golden import Checker
from seqfault_rtl.config import PRESETS
from seqfault_tb.checked import check_counters, checked_kernel
from seqfault_tb.errors import HangError
from seqfault_tb.fast_machine import FastMachine, start
from seqfault_tb.regression.golden_view import GoldenView
from seqfault_tb.regression.watch import watch

from .replay import replay
from .replay_report import replay_report
from .trace import load_trace

PROGRESS_SECONDS = 0.25


@cocotb.test()
async def replay_job(dut: SimHandleBase) -> None:
    """Replay, check, and leave the result as JSON; what goes wrong is a result too."""
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    try:
        result = await _replay(dut, job)
    except HangError as error:
        result = {"error": f"hang: {error}", "details": traceback.format_exc()}
    except Exception as error:
        result = {"error": f"the replay failed: {type(error).__name__}: {error}", "details": traceback.format_exc()}
    Path(job["result"]).write_text(json.dumps(result))


async def _replay(dut: SimHandleBase, job: dict[str, Any]) -> dict[str, Any]:
    config = PRESETS[job["preset"]].with_settings(job["settings"])
    trace = load_trace(job["trace"], limit=job["limit"])
    machine = FastMachine(dut, ports=config.ports, tags=config.port_misses, latency=job["latency"])
    await start(dut)
    kernel, checker, aborts = checked_kernel(machine, config, job["policy"])
    progress = _Progress(Path(job["progress"]))
    began = time.perf_counter()
    with _golden_view(machine, checker, job):
        result = await replay(trace, kernel, machine, clock_mhz=job["clock_mhz"], on_progress=progress)
        seconds = time.perf_counter() - began
        await check_counters(machine, checker)
        checker.finish(machine.read64)
    return replay_report(trace, result, checker, aborts, job, seconds=seconds)


def _golden_view(machine: FastMachine, checker: Checker, job: dict[str, Any]) -> AbstractContextManager[Any]:
    """What writes golden's view beside the waveform, where one is recorded."""
    if job["golden_view"] is None:
        return nullcontext()
    about = {key: job[key] for key in ("trace", "preset", "settings", "policy", "seed", "latency")}
    view = GoldenView(checker, Path(job["golden_view"]), about)
    watch(machine, [view])
    return view


class _Progress:
    """Leaves the number of events done in a file, a few times a second."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self._path.write_text(str(done))

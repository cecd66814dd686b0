"""The cocotb test that `seqfault run` executes in the simulator: one replay, described by the file that SEQFAULT_JOB names."""

import json
import os
import time
import traceback
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_rtl.config import PRESETS
from seqfault_tb.checked import checked_kernel
from seqfault_tb.errors import HangError
from seqfault_tb.fast_machine import FastMachine, start

from .replay import OUTCOMES, ReplayResult, replay
from .trace import Clone, Exec, Trace, load_trace

PROGRESS_SECONDS = 0.25
CLONE_THREAD = 0x10000
"""Flag of clone: the child is a thread of the same process."""


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
    result = await replay(trace, kernel, machine, clock_mhz=job["clock_mhz"], on_progress=progress)
    seconds = time.perf_counter() - began
    checker.finish(machine.read64)
    return {
        **_report(result, job, aborts),
        **_population(trace),
        "cycles_per_s": round(result.cycles / seconds),
        "faults_per_s": round(result.total / seconds),
        "golden": {"steps_checked": checker.steps_checked, "agreed": checker.agreed, "first_difference": checker.first_difference},
    }


def _population(trace: Trace) -> dict[str, int]:
    """Threads, processes and address spaces that had a part in the replayed events."""
    clones = [event for event in trace.events if isinstance(event, Clone)]
    execs = [event for event in trace.events if isinstance(event, Exec)]
    children = {clone.child_mm for clone in clones} | {trace.mm} | {execution.mm for execution in execs}
    return {
        "threads": 1 + len(clones), "processes": 1 + sum(not clone.flags & CLONE_THREAD for clone in clones), "address_spaces": len(children),
    }  # fmt: skip


class _Progress:
    """Leaves the number of events done in a file, a few times a second."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self._path.write_text(str(done))


def _report(result: ReplayResult, job: dict[str, Any], aborts: Counter[str]) -> dict[str, Any]:
    """The JSON of `run` (formats.md) with our additions."""
    by_kind: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(OUTCOMES, 0))
    for _, outcome, kind, _ in result.recorded:
        by_kind[kind][OUTCOMES[outcome]] += 1
    latency, linux = result.latency(), result.linux_ns()
    by_outcome = {}
    for index, name in enumerate(OUTCOMES):
        count = sum(1 for record in result.recorded if record[1] == index)
        part = result.latency(outcome=name)
        by_outcome[name] = {"count": count, "p50": part.p50, "p99": part.p99, "p999": part.p999, "max": part.max}
    return {
        "policy": job["policy"], "preset": job["preset"], "events": result.events, "cycles": result.cycles,
        "faults": {"total": result.total, **result.faults},
        "aborts": dict(aborts.most_common()),
        "commands": dict(result.commands.most_common()),
        "latency_cycles": {"p50": latency.p50, "p99": latency.p99, "p999": latency.p999, "max": latency.max},
        "linux_ns": {"p50": linux.p50, "p99": linux.p99, "p999": linux.p999},
        "by_kind": dict(by_kind), "latency_by_outcome": by_outcome, "clock_mhz": job["clock_mhz"], "latency": job["latency"],
        "page_requests": dict(result.page_requests.most_common()), "reconciled": dict(result.reconciled),
        "already_mapped": result.already_mapped, "mismatched": result.mismatched, "first_mismatch": result.first_mismatch,
        "space_evictions": result.evictions,
    }  # fmt: skip

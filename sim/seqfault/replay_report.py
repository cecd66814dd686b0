"""The JSON of `run` (formats.md) with our additions, for both engines."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from seqfault_golden import Checker

from .replay_result import OUTCOMES, ReplayResult
from .trace import Clone, Exec, Trace

__all__ = ["CYCLES", "TURNS", "replay_report"]

CYCLES, TURNS = "cycles", "turns"
"""What the result's `cycles`, and all latencies, count: clock cycles of the RTL, or turns of the golden engine."""
CLONE_THREAD = 0x10000
"""Flag of clone: the child is a thread of the same process."""


def replay_report(
    trace: Trace, result: ReplayResult, checker: Checker, aborts: Counter[str], job: Mapping[str, Any], *, seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """The result of a replay that took so many seconds and whose checker is finished; `job`: the options of the run."""
    return {
        **_measures(result, job, aborts),
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


def _measures(result: ReplayResult, job: Mapping[str, Any], aborts: Counter[str]) -> dict[str, Any]:
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
        "engine": job["engine"], "time_unit": TURNS if job["engine"] == "golden" else CYCLES,
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

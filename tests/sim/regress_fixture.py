"""Results of regressions as their programs leave them, for the tests of what is made from them: real statistics, of the functional engine."""

from functools import cache
from typing import Any

from seqfault.regress_html import regress_page
from seqfault_rtl.config import PRESETS
from seqfault_tb.checked import checked_kernel
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.regression.execute import run_at_once
from seqfault_tb.regression.generate import Shape
from seqfault_tb.regression.statistics import Statistics
from seqfault_tb.regression.watch import watch

__all__ = ["COVERAGE", "HOSTILE", "PLOTS", "failing", "page_of", "result", "results"]

HOSTILE = "<script>document.title = 'run'</script> & \"quotes\" \x1b[31m"
PLOTS = ("latency", "aborts", "occupancy", "busy", "slowest")
"""All that a page has, by name."""
COVERAGE = [
    {
        "name": "steps", "sentence": "Every failure of every step", "bins": 40, "hit": 38, "percent": 95.0,
        "holes": ["R18!BUS_ERROR", "CLEAR!<RACED>"],
        "excluded": [{"bin": "R3!UNSUPPORTED", "reason": "software writes no GROWSDOWN", "reached": 0}],
    },
    {"name": "flags", "sentence": "Each flag", "bins": 4, "hit": 4, "excluded": [], "percent": 100.0, "holes": []},
]  # fmt: skip
"""As `coverage_summary` makes it."""


@cache
def _run(seed: int, policy: str) -> dict[str, Any]:
    config = PRESETS["small"]
    machine, watcher = GoldenMachine.of(config, seed=seed, strict=True), Statistics()
    kernel, checker, aborts = checked_kernel(machine, config, policy)
    watch(machine, [watcher])
    counts = run_at_once(kernel, seed, Shape(faults=300, files=5, forks=True, regions=6, pause_ns=300, mutators=3))
    del counts["operations"]
    return {
        "seed": seed, "policy": policy, "cycles": machine.cycle, "steps": checker.steps_checked, "faults": checker.tally.faults, "counts": counts,
        "aborts": dict(aborts), "commands": {"SEQ.BEGIN": 12, "ZAP": 3}, "statistics": watcher.result(),
    }  # fmt: skip


def result(seed: int = 1, *, policy: str = "spec", **changes: Any) -> dict[str, Any]:
    """Of a program that passed, with some keys replaced."""
    return {
        **_run(seed, policy), "profile": "mixed", "preset": "small", "latency": 20, "outcome": "ok", "message": None, "interleavings": 77,
        "seconds": 0.5, **changes,
    }  # fmt: skip


def failing(seed: int, **changes: Any) -> dict[str, Any]:
    """Of one that the golden model disagrees with."""
    folder = f"left/mixed seed {seed}"
    return result(**{
        "seed": seed, "outcome": "difference", "message": f"cycle {seed}: C1 passed although\n{HOSTILE}",
        "repeat": f"seqfault regress --seeds {seed}:{seed} --waves failure.vcd", "files": [f"{folder}/failure.vcd", f"{folder}/program.json"],
    } | changes)  # fmt: skip


@cache
def results() -> list[dict[str, Any]]:
    """Of a run in which two programs failed."""
    return [result(1), result(2, latency=5), result(1, policy="mm-lock"), failing(3), failing(4, outcome="hang", message="nothing happened")]


def page_of(programs: list[dict[str, Any]], **changes: Any) -> str:
    """The page, with some of its parameters replaced."""
    return regress_page(programs, **{"title": "Nightly", "command": "seqfault regress --seeds 5", "coverage": COVERAGE, "wall_s": 2.0} | changes)

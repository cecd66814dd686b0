"""How fast regressions are: simulated cycles and checked faults in wall time, the one benchmark that is not exact."""

from dataclasses import asdict
from typing import Any

from .bench_task import Task
from .errors import CheckFailed
from .regress import Regression, prepare
from .regress_plan import plan
from .regress_workers import run_here

__all__ = ["measure_simulation"]

PROGRAMS, FAULTS = 8, 3000
"""Programs that each job runs, and the faults of each."""


def measure_simulation(task: Task, *, seed: int) -> dict[str, Any]:
    """Run a regression of mixed programs from this seed on; the time is that of the whole run without the build.

    Raises `CheckFailed` when a program fails: what is not right has no speed.
    """
    jobs = task.params["jobs"]
    settings = {name: str(value).lower() for name, value in asdict(task.config).items()}
    latency = (task.settings or {})["latency"]
    cases = plan(
        range(seed, seed + PROGRAMS * jobs), profiles=["mixed"], presets=["default"], settings=settings, faults=FAULTS, fixed={"latency": latency},
    )  # fmt: skip
    prepare(cases)
    regression = Regression(cases)
    regression.gather(run_here(cases, jobs), lambda _: None)
    regression.finish()
    if regression.failures:
        raise CheckFailed(f"a program failed: {regression.failures[0]['repeat']}")
    return regression.rates()

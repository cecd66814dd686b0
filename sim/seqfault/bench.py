"""`seqfault bench`: cycle-exact measurements on the RTL in Verilator, every answer checked against the page tables that were made for it.

Here is the process that the user started: it plans, builds a model per configuration, and reads the results. Inside the simulation runs
`seqfault_tb.bench_job`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import seqfault_tb
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.mmu import Mmu

from .bench_plan import Task
from .job import failed, run_job
from .simulator import Model, SimulationFailed, build_model
from .verilog_text import component_verilog, rtl_key

__all__ = ["measure"]

TOP = "mmu"
TEST = "seqfault_tb.bench_job"
DIGITS = 4
"""Decimal places of a value."""
Progress = Callable[[int, int], None]


def measure(
    tasks: Sequence[Task], *, seed: int = 1, progress: Progress | None = None, component: Callable[[EngineConfig], Mmu] = Mmu, key: str = "",
) -> list[dict[str, Any]]:  # fmt: skip
    """Do these measurements; returns the JSON of `bench` (formats.md), in the order of the tasks.

    Parameters
    ----------
    seed : of the random addresses and frames. progress : called now and then with tasks done and tasks in all.
    component : makes what is measured, with the ports of `Mmu`; `key` must tell apart those that are not `Mmu`.

    Raises
    ------
    CheckFailed : an answer was wrong or did not come, or the simulation died.
    """
    values: dict[int, dict[str, float]] = {}

    def report_tasks(done: int) -> None:
        if progress is not None:
            progress(len(values) + done, len(tasks))

    for config in dict.fromkeys(task.config for task in tasks):
        numbers = [number for number, task in enumerate(tasks) if task.config == config]
        folder = _build(config, component, key)
        todo = [{"measure": tasks[number].measure, "parameters": tasks[number].params} for number in numbers]
        outcome = run_job(folder, TOP, TEST, {"config": asdict(config), "seed": seed, "tasks": todo}, seed=seed, progress=report_tasks)
        values |= dict(zip(numbers, outcome["results"], strict=True))
    return [
        {"bench": task.bench, "params": task.params, "metric": metric, "value": round(values[number][metric], DIGITS), "unit": unit}
        for number, task in enumerate(tasks)
        for metric, unit in task.units.items()
    ]


def _build(config: EngineConfig, component: Callable[[EngineConfig], Mmu], key: str) -> Path:
    model = Model(
        name="bench",
        top=TOP,
        verilog=lambda: component_verilog(component(config), name=TOP),
        verilog_key=f"{rtl_key()} {config!r} {key}",
        files=[Path(seqfault_tb.__file__).parent / "harness" / "top_public.vlt"],
        all_public=False,
    )
    try:
        return build_model(model)
    except SimulationFailed as error:
        raise failed(error) from error

"""`seqfault bench`: cycle-exact measurements on the RTL in Verilator, every answer checked.

Here is the process that the user started: it plans, builds a model per configuration, and reads the results. Inside the simulation runs
`seqfault_tb.bench_job` (the Mmu, all measurements of a configuration after each other) or `seqfault_tb.bench_engine_job` (the whole engine, one
measurement from reset). How fast the simulation itself is comes from regressions (`bench_simulation`).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import seqfault_tb
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.engine import Engine
from seqfault_rtl.mmu import Mmu

from .bench_task import Task
from .engine_model import HARNESS_TOP, build_engine
from .job import failed, run_job
from .simulator import Model, SimulationFailed, build_model
from .verilog_text import component_verilog, rtl_key

__all__ = ["measure"]

TOP = "mmu"
SIMULATION = "simulation"
TEST = "seqfault_tb.bench_job"
ENGINE_TEST = "seqfault_tb.bench_engine_job"
Progress = Callable[[int, int], None]


def measure(
    tasks: Sequence[Task], *, seed: int = 1, progress: Progress | None = None, component: Callable[[EngineConfig], Mmu] = Mmu,
    engine: Callable[[EngineConfig], Engine] = Engine, key: str = "", plant: int = 0,
) -> list[dict[str, Any]]:  # fmt: skip
    """Do these measurements; returns the JSON of `bench` (formats.md), in the order of the tasks.

    Parameters
    ----------
    seed : of the random addresses and frames. progress : called now and then with tasks done and tasks in all.
    component : makes what is measured, with the ports of `Mmu`; `engine` : what is measured whole; `key` must tell apart those that are neither.
    plant : bug to be switched on in an engine that has them.

    Raises
    ------
    CheckFailed : an answer was wrong or did not come, or the simulation died.
    """
    values: dict[int, dict[str, Any]] = {}

    def report_tasks(done: int) -> None:
        if progress is not None:
            progress(len(values) + done, len(tasks))

    of_mmu = {number: task for number, task in enumerate(tasks) if not task.faults and task.bench != SIMULATION}
    for config in dict.fromkeys(task.config for task in of_mmu.values()):
        numbers = [number for number, task in of_mmu.items() if task.config == config]
        folder = _build(config, component, key)
        todo = [{"measure": tasks[number].measure, "parameters": tasks[number].arguments} for number in numbers]
        outcome = run_job(folder, TOP, TEST, {"config": asdict(config), "seed": seed, "tasks": todo}, seed=seed, progress=report_tasks)
        values |= dict(zip(numbers, outcome["results"], strict=True))
    engines = {config: _build_engine(config, engine, key) for config in dict.fromkeys(task.config for task in tasks if task.faults)}
    for number, task in enumerate(tasks):
        if task.bench == SIMULATION:
            from .bench_simulation import measure_simulation  # needs the packages of regressions

            report_tasks(0)
            values[number] = measure_simulation(task, seed=seed)
        elif task.faults:
            report_tasks(0)
            values[number] = _on_engine(task, engines[task.config], seed=seed, plant=plant)
    return [record for number, task in enumerate(tasks) for record in task.records(values[number])]


def _on_engine(task: Task, folder: Path, *, seed: int, plant: int) -> dict[str, Any]:
    """One measurement, from reset."""
    job = {"config": asdict(task.config), "measure": task.measure, "parameters": task.arguments, "faults": task.faults}
    results: dict[str, Any] = run_job(folder, HARNESS_TOP, ENGINE_TEST, {**job, "seed": seed, "plant": plant}, seed=seed)["results"]
    return results


def _build_engine(config: EngineConfig, engine: Callable[[EngineConfig], Engine], key: str) -> Path:
    try:
        return build_engine(config, engine=engine, key=key)
    except SimulationFailed as error:
        raise failed(error) from error


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

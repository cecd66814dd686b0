"""The cocotb test that sweeps races in the harness; the file that SEQFAULT_JOB names says which, and where the results go."""

import json
import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_rtl.config import PRESETS, EngineConfig

from ..checked import check_counters, checked_kernel
from ..fast_machine import FastMachine, start
from ..planted import Plant
from ..regression.job import WATCHERS
from ..regression.watch import Watcher
from .bench import RaceBench
from .catalogue import RACES
from .sweep import Sweep, run_races

__all__ = ["sweep_in"]

WATCHDOG = 50_000


@cocotb.test()
async def races_job(dut: SimHandleBase) -> None:
    """The result is `races`: a list with one for each race, in order, up to the first that is not "ok"."""
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    config = PRESETS[job["preset"]].with_settings(job["settings"])
    machine = FastMachine(dut, ports=config.ports, tags=config.port_misses, latency=job["latency"], watchdog=WATCHDOG)
    await start(dut)
    machine.plant(Plant[job.get("plant", "NONE")].value)
    watchers = [WATCHERS[name]() for name in job.get("watchers", ())]
    settings = {key: job[key] for key in ("step", "without", "blind") if key in job}
    sweep = Sweep(policy=job["policy"], offsets=tuple(job.get("offsets", ())), meets=tuple(job.get("meets", ())), **settings)
    results = await sweep_in(machine, config, job["races"], sweep, watchers)
    for result in results:
        result |= {"preset": job["preset"], "latency": job["latency"]}
    for watcher in watchers:  # of all races of the job
        results[-1][watcher.name] = watcher.result()
    Path(job["result"]).write_text(json.dumps({"races": results}))


async def sweep_in(machine: FastMachine, config: EngineConfig, names: list[str], sweep: Sweep, watchers: list[Watcher]) -> list[dict[str, Any]]:
    """Sweep these races ("R1" ..) on a machine that nobody has used; the checker's end and the engine's counters are the last one's."""
    races = [RACES[name] for name in names]
    kernel, checker, aborts = checked_kernel(machine, config, sweep.policy, spaces=max(race.spaces for race in races))
    for watcher in watchers:
        watcher.start(kernel)
    results = await run_races(RaceBench(kernel, config), checker, aborts, races, sweep, watchers)
    if results[-1]["outcome"] == "ok" and not sweep.blind:
        await check_counters(machine, checker)
        checker.finish(machine.read64)
        if checker.first_difference is not None:
            results[-1] |= {"outcome": "difference", "message": checker.first_difference}
    return results

"""The cocotb test that sweeps races in the harness; the file that SEQFAULT_JOB names says which, and where the results go."""

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import cocotb
from cocotb.handle import SimHandleBase
from cocotb.triggers import Timer

from seqfault_golden import Checker
from seqfault_rtl.config import PRESETS, EngineConfig

from ..checked import check_counters, checked_kernel
from ..fast_machine import FastMachine, start
from ..machine import CLOCK_NS
from ..planted import Plant
from ..regression.golden_view import GoldenView
from ..regression.job import AFTERMATH, WATCHERS, noted
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
    about = {"race": ", ".join(job["races"]), **{key: job[key] for key in ("policy", "latency", "offsets", "without") if job.get(key)}}
    view = partial(GoldenView, path=Path(job["golden_view"]), about=about, since=job.get("since", 0)) if job.get("golden_view") else None
    results = await sweep_in(machine, config, job["races"], sweep, watchers, view)
    for result in results:
        result |= {"preset": job["preset"], "latency": job["latency"], "contexts": config.contexts}
    for watcher in watchers:  # of all races of the job
        results[-1][watcher.name] = noted(watcher)
    Path(job["result"]).write_text(json.dumps({"races": results}))


async def sweep_in(
    machine: FastMachine, config: EngineConfig, names: list[str], sweep: Sweep, watchers: list[Watcher],
    view_of: Callable[[Checker], GoldenView] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Sweep these races ("R1" ..) on a machine that nobody has used; the checker's end and the engine's counters are the last one's.

    `view_of` : makes golden's view, where a waveform is recorded; the simulation goes on a little after the end then.
    """
    races = [RACES[name] for name in names]
    kernel, checker, aborts = checked_kernel(machine, config, sweep.policy, spaces=max(race.spaces for race in races))
    for watcher in watchers:
        watcher.start(kernel)
    with nullcontext() if view_of is None else view_of(checker) as view:
        results = await run_races(RaceBench(kernel, config), checker, aborts, races, sweep, watchers if view is None else [*watchers, view])
        if results[-1]["outcome"] == "ok" and not sweep.blind:
            await check_counters(machine, checker)
            checker.finish(machine.read64)
            if checker.first_difference is not None:
                results[-1] |= {"outcome": "difference", "message": checker.first_difference}
        if view is not None:
            await Timer(AFTERMATH * CLOCK_NS, "ns")
            view.close(None if results[-1]["outcome"] in ("ok", "difference") else results[-1]["message"])
    return results

"""The cocotb test that runs the stress program in the harness, with one bug planted or none."""

import json
import os
from collections import Counter
from pathlib import Path
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_golden import Outcome, Step
from seqfault_rtl.config import PRESETS

from .checked import checked_kernel
from .fast_machine import FastMachine, start
from .stress import Stress, run_stress


def _count_updates(machine: FastMachine) -> Counter[str]:
    """A/D updates by outcome, from now on."""
    updates: Counter[str] = Counter()
    inner = machine.on_event

    def on_event(record: list[int]) -> None:
        if record[2] == Step.AD_UPDATE:
            updates[Outcome(record[5]).name] += 1
        inner(record)

    machine.on_event = on_event
    return updates


@cocotb.test()
async def stress_harness(dut: SimHandleBase) -> None:
    """The stress program in the harness; the job's file gets what the checker said."""
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    config = PRESETS[job["preset"]].with_settings(job["settings"])
    machine = FastMachine(dut, ports=config.ports, tags=config.port_misses, latency=job["latency"], watchdog=20_000)
    await start(dut)
    machine.plant(job["plant"])
    kernel, checker, aborts = checked_kernel(machine, config, job["policy"])
    kernel.adue = job["adue"]
    updates = _count_updates(machine)
    result: dict[str, object] = {"updates": updates}
    try:
        result["counts"] = await run_stress(kernel, Random(job["seed"]), Stress(faults=job["faults"]))
        checker.finish(machine.read64)
    except Exception as error:  # a planted bug may confuse the kernel before the end; the checker's word is what counts
        result["stopped"] = f"{type(error).__name__}: {error}"
    result |= {"difference": checker.first_difference, "agreed": checker.agreed, "steps": checker.steps_checked, "aborts": dict(aborts)}
    Path(job["result"]).write_text(json.dumps(result))

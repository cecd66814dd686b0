"""Cocotb tests that run the stress program: on the engine's pins (`test_engine`), or in the harness with one bug planted (`stress_harness`)."""

import json
import os
from collections import Counter
from pathlib import Path
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_golden import Checker
from seqfault_rtl.config import PRESETS, EngineConfig

from .checked import attach_checker
from .fast_machine import FastMachine, start
from .kernel import Kernel
from .pin_machine import PinMachine
from .stress import Stress, run_stress

POLICIES = ("spec", "vma-lock", "mm-lock")


def checked_kernel(machine: FastMachine | PinMachine, config: EngineConfig, policy: str) -> tuple[Kernel, Checker, Counter[str]]:
    kernel = Kernel(machine, spaces=config.spaces, policy=POLICIES.index(policy))
    checker = Checker(
        max_retries=config.max_retries, sequence_entries=config.sequence_entries, policy=policy, zero_frame=kernel.frames.zero,
        spaces=config.spaces, contexts=config.contexts,
    )  # fmt: skip
    aborts: Counter[str] = Counter()
    attach_checker(machine, kernel, checker, aborts)
    return kernel, checker, aborts


@cocotb.test()
async def stress_harness(dut: SimHandleBase) -> None:
    """The stress program in the harness; the job's file gets what the checker said."""
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    config = PRESETS[job["preset"]]
    machine = FastMachine(dut, ports=config.ports, tags=config.port_misses, latency=job["latency"], watchdog=20_000)
    await start(dut)
    machine.plant(job["plant"])
    kernel, checker, aborts = checked_kernel(machine, config, job["policy"])
    result: dict[str, object] = {}
    try:
        result["counts"] = await run_stress(kernel, Random(job["seed"]), Stress(faults=job["faults"]))
        checker.finish(machine.read64)
    except Exception as error:  # a planted bug may confuse the kernel before the end; the checker's word is what counts
        result["stopped"] = f"{type(error).__name__}: {error}"
    result |= {"difference": checker.first_difference, "agreed": checker.agreed, "steps": checker.steps_checked, "aborts": dict(aborts)}
    Path(job["result"]).write_text(json.dumps(result))

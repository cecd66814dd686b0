"""The whole engine on its pins: the stress program with cocotbext-axi as memory, random back-pressure, the golden model checking every step."""

import os
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_rtl.config import PRESETS

from .checked import check_counters, checked_kernel
from .pin_machine import PinMachine
from .stress import Stress, run_stress

FAULTS = 60
PROGRAMS = {
    "anonymous": Stress(faults=FAULTS, faulters=4, mutators=1, regions=2),
    "all kinds": Stress(faults=2 * FAULTS, faulters=4, mutators=1, regions=6, files=5, moving=True, pitch=1 << 18, pause_ns=3000),
}


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def faults_against_mutators(dut: SimHandleBase) -> None:
    """No step differs, every fault ends, the counters count that, the bus rules are kept."""
    config, policy, program = PRESETS["small"], os.environ["POLICY"], os.environ["PROGRAM"]
    rng = Random(int(os.environ["SEED"]))
    machine = PinMachine(dut, ports=config.ports, tags=config.port_misses, rng=rng, pause=float(os.environ["PAUSE"]))
    kernel, checker, aborts = checked_kernel(machine, config, policy)
    await machine.start()
    counts = await run_stress(kernel, rng, PROGRAMS[program])
    await check_counters(machine, checker)
    checker.finish(machine.read64)
    assert checker.first_difference is None, checker.first_difference
    assert checker.agreed
    machine.bus_checker.finish()
    cocotb.log.info(f"{counts} aborts {dict(aborts)} steps {checker.steps_checked} cycles {machine.cycle}")
    resolved = counts["speculative"] + counts["retried"] + counts["classic"]
    assert resolved > FAULTS // (4 if program == "anonymous" else 20)  # not most, as some may not wait, and others are software's
    assert checker.tally.faults > FAULTS // 2

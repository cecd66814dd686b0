"""The whole engine on its pins: a random program with cocotbext-axi as memory, random back-pressure, the golden model checking every step."""

import os
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_rtl.config import PRESETS

from .checked import check_counters
from .pin_machine import PinMachine
from .regression.conditions import prepare
from .regression.execute import Execution
from .regression.generate import Shape, make_program
from .regression.program import Conditions

FAULTS = 60
PROGRAMS = {
    "anonymous": Shape(faults=FAULTS, faulters=4, mutators=1, regions=2),
    "all kinds": Shape(
        faults=2 * FAULTS,
        faulters=4,
        mutators=1,
        regions=6,
        files=5,
        forks=True,
        moves=True,
        pitch=1 << 18,
        pause_ns=3000,
    ),
}


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def faults_against_mutators(dut: SimHandleBase) -> None:
    """No step differs, every fault ends, the counters count that, the bus rules are kept."""
    config, policy, program = PRESETS["small"], os.environ["POLICY"], os.environ["PROGRAM"]
    seed, conditions = int(os.environ["SEED"]), Conditions(preset="small", policy=policy)
    machine = PinMachine(dut, ports=config.ports, tags=config.port_misses, rng=Random(seed), pause=float(os.environ["PAUSE"]))
    kernel, checker, aborts = prepare(machine, conditions, seed)
    await machine.start()
    run = Execution(kernel, make_program(seed, PROGRAMS[program], conditions))
    await run.run()
    counts = run.counts
    await check_counters(machine, checker)
    checker.finish(machine.read64)
    assert checker.first_difference is None, checker.first_difference
    assert checker.agreed
    machine.bus_checker.finish()
    cocotb.log.info(f"{counts} aborts {dict(aborts)} steps {checker.steps_checked} cycles {machine.cycle}")
    resolved = counts["speculative"] + counts["retried"] + counts["classic"]
    assert resolved > FAULTS // (4 if program == "anonymous" else 20)  # not most, as some may not wait, and others are software's
    assert checker.tally.faults > FAULTS // 2

"""SRCU.CALL through the whole engine on its pins: cookies come back in the completion ring, in order, and not before faults have ended."""

import os
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_rtl.config import PRESETS

from .pin_machine import PinMachine
from .srcu_program import SrcuKernel, run_srcu_program

SCCSR, SRCU_REFUSED = 0x1310, 0x1020
REFUSED = 1 << 10


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def calls_beside_faults(dut: SimHandleBase) -> None:
    """Random faults, ZAPs and calls with back-pressure; the golden model knows which faults each cookie waits for."""
    config = PRESETS["small"]
    rng = Random(int(os.environ["SEED"]))
    machine = PinMachine(dut, ports=config.ports, tags=config.port_misses, rng=rng, pause=float(os.environ["PAUSE"]))
    kernel = SrcuKernel(machine, spaces=config.spaces, contexts=config.contexts, sequence_entries=config.sequence_entries)
    await machine.start()
    waited = await run_srcu_program(kernel, rng, calls=30, faults=150, at_once=4)
    cocotb.log.info(f"{machine.cycle} cycles, {len(kernel.completed)} calls, {waited} waited, {kernel.checker.steps_checked} steps")
    kernel.checker.finish(machine.read64)
    assert kernel.checker.agreed, kernel.checker.first_difference
    machine.bus_checker.finish()
    assert len(kernel.completed) >= 30
    assert waited > 3
    assert machine.responses == kernel.told
    assert not await machine.read_register(SCCSR) & REFUSED
    assert await machine.read_register(SRCU_REFUSED) == 0

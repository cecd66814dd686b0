"""The `GoldenMachine` executes SRCU.CALL and ATS.PRGR as the checker wants them, and an SRCU that does not wait is noticed."""

import asyncio
from random import Random

import pytest

from seqfault_golden import Outcome, Step
from seqfault_rtl.config import PRESETS
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import commands as cmd
from seqfault_tb.srcu_program import SrcuKernel, run_srcu_program

CONFIG = PRESETS["small"]


def run(seed: int, *, waits: bool = True) -> tuple[SrcuKernel, int]:
    """The kernel after the program; it has finished its checker."""
    machine = GoldenMachine.of(CONFIG, seed=seed)
    kernel = SrcuKernel(machine, spaces=CONFIG.spaces, contexts=CONFIG.contexts, max_retries=CONFIG.max_retries)
    if not waits:
        machine.engine.contexts = []  # so a call sees no reader
    waited = asyncio.run(run_srcu_program(kernel, Random(seed), calls=60, faults=300, at_once=4))
    kernel.checker.finish(machine.read64)
    assert kernel.told == machine.responses
    assert len(kernel.told) > 5
    assert machine.violations == []
    return kernel, waited


@pytest.mark.parametrize("seed", range(3))
def test_cookies_and_responses(seed: int) -> None:
    kernel, waited = run(seed)
    assert kernel.checker.agreed, kernel.checker.first_difference
    assert len(kernel.completed) >= 60
    assert waited > 3


def test_srcu_that_does_not_wait_is_noticed() -> None:
    kernel, _ = run(1, waits=False)
    assert "runs a fault that had begun before its SRCU_CALL" in (kernel.checker.first_difference or "")


def test_call_beyond_the_bound_is_refused() -> None:
    machine = GoldenMachine.of(CONFIG)
    kernel = SrcuKernel(machine, spaces=CONFIG.spaces, contexts=CONFIG.contexts)
    kernel.start()
    machine.write_register(0x1310, 0)  # the completion ring is off, so all calls stay pending
    outcomes = []
    check = machine.on_event
    assert check is not None

    def observe(record: list[int]) -> None:
        if record[2] == Step.SRCU_CALL:
            outcomes.append(record[5])
        check(record)

    machine.on_event = observe
    for cookie in range(CONFIG.srcu_calls + 2):
        kernel.commands.post(cmd.srcu_call(3, cookie))
    kernel.pump()
    while len(outcomes) < CONFIG.srcu_calls + 2:
        asyncio.run(machine.wait())
    assert outcomes == [Outcome.OK] * CONFIG.srcu_calls + [Outcome.QUEUE_FULL] * 2
    assert machine.pointers().completion_tail == 0
    machine.write_register(0x1310, 1)
    asyncio.run(machine.wait())
    assert machine.pointers().completion_tail == 1
    assert kernel.checker.first_difference is None, kernel.checker.first_difference


@pytest.mark.parametrize(
    "command",
    [
        cmd.srcu_call(CONFIG.spaces, 1), cmd.page_response(CONFIG.spaces, 0, 1), cmd.page_response(0, CONFIG.ports, 1),
        ("PV=0", cmd.page_response(0, 0, 1)[1] & ~(1 << 32), 1 << 32), ("RID", cmd.page_response(0, 0, 1)[1] | 1 << 56, 1 << 32),
        ("reserved", cmd.page_response(0, 0, 1)[1], 1 << 32 | 1), ("SHARE", cmd.srcu_call(0, 1)[1] | 1 << 31, 1),
    ],
)  # fmt: skip
def test_malformed_command_is_refused(command: tuple[str, int, int]) -> None:
    machine = GoldenMachine.of(CONFIG)
    kernel = SrcuKernel(machine, spaces=CONFIG.spaces, contexts=CONFIG.contexts)
    kernel.start()
    kernel.commands.post(command)
    kernel.pump()
    asyncio.run(machine.wait())
    assert machine.pointers().cqcsr & 1 << 10
    assert machine.responses == []

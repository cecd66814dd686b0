"""Gives a machine's merged log, and what the testbench kernel writes, to the golden checker."""

from collections import Counter
from typing import TYPE_CHECKING, Union

from seqfault_golden import Checker, Outcome, Step
from seqfault_rtl.config import EngineConfig

from .kernel import Kernel
from .machine import POLICIES

if TYPE_CHECKING:
    from .fast_machine import FastMachine
    from .golden_machine import GoldenMachine
    from .pin_machine import PinMachine

__all__ = ["Checked", "attach_checker", "checked_kernel", "watched_kernel"]

Checked = Union["FastMachine", "PinMachine", "GoldenMachine"]
"""Machines with a merged log. A simulator is needed by those that drive one, not here."""


def checked_kernel(machine: Checked, config: EngineConfig, policy: str) -> tuple[Kernel, Checker, Counter[str]]:
    """A testbench kernel for this machine, the checker that watches both, and its count of aborted attempts by reason."""
    return watched_kernel(
        machine, policy=policy, spaces=config.spaces, contexts=config.contexts, max_retries=config.max_retries,
        sequence_entries=config.sequence_entries,
    )  # fmt: skip


def watched_kernel(machine: Checked, *, spaces: int, policy: str = "spec", **parameters: int) -> tuple[Kernel, Checker, Counter[str]]:
    """The same; `parameters` are those of `Checker`, where the machine's are not its defaults."""
    kernel = Kernel(machine, spaces=spaces, policy=POLICIES.index(policy))
    checker = Checker(policy=policy, zero_frame=kernel.frames.zero, spaces=spaces, **parameters)
    aborts: Counter[str] = Counter()
    attach_checker(machine, kernel, checker, aborts)
    return kernel, checker, aborts


def attach_checker(machine: Checked, kernel: Kernel, checker: Checker, aborts: Counter[str]) -> None:
    """From now on `checker` sees everything in order; `aborts` counts the attempts that were undone, by reason.

    Call it when the kernel is made and has not started. The kernel's queues and rings come first in its memory: of these only the frames put
    into the free ring concern the protocol.
    """
    free_ring = kernel.free_ring
    structures = kernel.memory.region(8)
    names = {outcome.value: outcome.name.lower() for outcome in Outcome}

    def on_event(record: list[int]) -> None:
        event = record[2:]
        checker.event(record[1], event)
        if event[0] == Step.UNDO:
            aborts[names[event[3]]] += 1

    def on_write(cycle: int, address: int, value: int) -> None:
        if address >= structures:
            checker.software_write(cycle, address, value)
        elif free_ring.start <= address < free_ring.stop:
            checker.software_frames((value,))

    machine.on_event = on_event
    machine.on_request = lambda record: checker.request(record[1], *record[2:8])
    machine.on_answer = lambda record: checker.answer(record[1], *record[2:8])
    machine.on_write = on_write

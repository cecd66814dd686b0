"""Gives a machine's merged log, and what the testbench kernel writes, to the golden checker."""

from collections import Counter

from seqfault_golden import Checker, Outcome, Step

from .fast_machine import FastMachine
from .kernel import Kernel
from .pin_machine import PinMachine

__all__ = ["attach_checker"]


def attach_checker(machine: FastMachine | PinMachine, kernel: Kernel, checker: Checker, aborts: Counter[str]) -> None:
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

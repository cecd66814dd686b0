"""Gives a machine's merged log, what the testbench kernel writes, and at the end the engine's counters to the golden checker."""

from collections import Counter
from typing import TYPE_CHECKING, Union

from seqfault_golden import Checker, How, Outcome, Step
from seqfault_rtl.config import EngineConfig

from .kernel import Kernel
from .machine import POLICIES

if TYPE_CHECKING:
    from .fast_machine import FastMachine
    from .golden_machine import GoldenMachine
    from .pin_machine import PinMachine

__all__ = ["Checked", "attach_checker", "check_counters", "checked_kernel", "watched_kernel"]

Checked = Union["FastMachine", "PinMachine", "GoldenMachine"]
"""Machines with a merged log. A simulator is needed by those that drive one, not here."""
UNZEROED = 1 << 8
"""`control.unzeroed`."""
SETTLE_CYCLES = 200
"""After a run's last answer: what is left of a fault (MM_READ_UNLOCK) and of the commands is done within these."""
COUNTERS = {
    "page_requests_dropped": 0x1008, "srcu_refused": 0x1020, "faults": 0x1028, "fault_cycles": 0x1030,
    **{f"answers[{how.name}]": 0x1100 + 8 * how for how in How},
    **{f"outcomes[{outcome.name}]": 0x1200 + 8 * outcome for outcome in Outcome},
}  # fmt: skip
"""Byte offsets of the counters (64 bits) that say what the golden model counts too."""


def checked_kernel(machine: Checked, config: EngineConfig, policy: str, **parameters: int) -> tuple[Kernel, Checker, Counter[str]]:
    """A testbench kernel for this machine, the checker that watches both, and its count of aborted attempts by reason.

    `parameters` : as of `watched_kernel`, where they are not those of the configuration.
    """
    own = {name: getattr(config, name) for name in ("spaces", "contexts", "max_retries", "sequence_entries")}
    return watched_kernel(machine, policy=policy, **(own | parameters))


def watched_kernel(
    machine: Checked, *, spaces: int, policy: str = "spec", unzeroed: bool = False, **parameters: int,
) -> tuple[Kernel, Checker, Counter[str]]:  # fmt: skip
    """The same; `parameters` are those of `Checker`, where the machine's are not its defaults.

    `unzeroed` : the frames of the free ring are not zeroed, and the engine is told so.
    """
    kernel = Kernel(machine, spaces=spaces, policy=POLICIES.index(policy) | (UNZEROED if unzeroed else 0))
    checker = Checker(policy=policy, zero_frame=kernel.frames.zero, spaces=spaces, unzeroed=unzeroed, **parameters)
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

    def on_write(cycle: int, address: int, value: int, found: int) -> None:
        if address >= structures:
            checker.software_write(cycle, address, value, found)
        elif free_ring.start <= address < free_ring.stop:
            checker.software_frames((value,))

    machine.on_event = on_event
    machine.on_request = lambda record: checker.request(record[1], *record[2:8])
    machine.on_answer = lambda record: checker.answer(record[1], *record[2:8])
    machine.on_write = on_write


async def check_counters(machine: Union["FastMachine", "PinMachine"], checker: Checker) -> None:
    """The engine's counters, as software reads them when no fault is running, must be what the checker has counted: else that is its difference."""
    end = machine.cycle + SETTLE_CYCLES
    while machine.cycle < end:
        await machine.wait(SETTLE_CYCLES)
    read = machine.read_register
    checker.counters({name: await read(offset) | await read(offset + 4) << 32 for name, offset in COUNTERS.items()})

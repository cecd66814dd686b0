"""The main loop: virtual time goes with the simulated cycles while the engine has something to do, and jumps to the next due event else."""

from collections.abc import Callable
from math import ceil, inf
from typing import TYPE_CHECKING

from ..errors import HangError

if TYPE_CHECKING:
    from .kernel import Kernel

__all__ = ["drive"]


async def drive(kernel: "Kernel", finished: Callable[[], bool], *, clock_mhz: float = 100.0, most_cycles: float = inf) -> int:
    """Start the kernel and run its tasks until `finished()`; returns the cycles that it took.

    `clock_mhz` converts cycles to virtual ns. Raises `HangError` when nothing can go on, or after `most_cycles`, with what is waited for.
    """
    machine, scheduler, ns_per_cycle = kernel.machine, kernel.scheduler, 1000.0 / clock_mhz
    kernel.start()
    began = machine.cycle
    epoch = -began * ns_per_cycle
    while True:
        scheduler.run()
        kernel.pump()
        if finished():
            return machine.cycle - began
        if machine.cycle - began > most_cycles:
            raise HangError(f"not finished after {machine.cycle - began} cycles: {scheduler.describe()}")
        due = scheduler.next_due()
        if not kernel.busy:
            if due is None:
                raise HangError(f"nothing is left to do, but the work is not finished: {scheduler.describe()}")
            epoch = due - machine.cycle * ns_per_cycle
            scheduler.fire(due)
            continue
        cycles = None if due is None else max(ceil((due - epoch) / ns_per_cycle) - machine.cycle, 1)
        try:
            answers = await machine.wait(cycles)
        except HangError as error:
            raise HangError(f"{error}; {scheduler.describe()}") from error
        scheduler.fire(epoch + machine.cycle * ns_per_cycle)
        kernel.poll(answers)

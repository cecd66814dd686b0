"""A testbench kernel on a `GoldenMachine`, with everybody who may find fault with it."""

import asyncio
from collections.abc import Coroutine

from seqfault_golden.lookups import walk
from seqfault_tb.checked import watched_kernel
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import AddressSpace, FaultCall, FaultReport, LayoutChange, drive
from seqfault_tb.memory_audit import audit

__all__ = ["BASE", "EXCLUSIVE", "FETCH", "FILE", "LOAD", "STORE", "Bench", "W", "set_range"]

LOAD, STORE, FETCH = 0, 1, 2
W, EXCLUSIVE = 1 << 2, 1 << 8
BASE = 0x7F000_0000
FILE = ("lib.so", 99)


def set_range(start: int, end: int, perm: str = "rw-p", kind: str = "anon", file: object = None) -> LayoutChange:
    return LayoutChange(op="set", start=start, end=end, perm=perm, kind=kind, file=file, pgoff=start & 0xFF if file else 0)


class Bench:
    """A kernel with one address space on a strict GoldenMachine, the checker watching both; `run` executes coroutines to their ends."""

    def __init__(self, changes: list[LayoutChange], *, spaces: int = 8, **machine: int) -> None:
        self.machine = GoldenMachine(strict=True, spaces=spaces, **machine)
        self.kernel, self.checker, _ = watched_kernel(self.machine, spaces=spaces)
        self.mm = self.kernel.new_mm(0, changes)

    def run(self, *coroutines: Coroutine) -> list:
        tasks = [self.kernel.scheduler.spawn(coroutine, f"task {n}") for n, coroutine in enumerate(coroutines)]
        asyncio.run(drive(self.kernel, lambda: all(task.done for task in tasks)))
        return [task.value for task in tasks]

    async def fault(self, vpn: int, access: int = STORE, *, mm: AddressSpace | None = None, present: bool = False, **more) -> FaultReport:
        call = FaultCall(
            mm=mm or self.mm, port=more.get("port", 0), va=vpn << 12 | 0x18, access=access, present=present,
            refused=more.get("refused", False), grow=more.get("grow"), label=f"the fault at {vpn:#x}", cached=more.get("cached", False),
        )  # fmt: skip
        return await self.kernel.faults.run(call, reconcile=more.get("reconcile", False))

    def entry(self, vpn: int, mm: AddressSpace | None = None) -> int:
        return walk(self.machine.read64, (mm or self.mm).table.satp, vpn)[1]

    def frame(self, vpn: int, mm: AddressSpace | None = None) -> int:
        return self.entry(vpn, mm) >> 10

    def complaints(self) -> list[str]:
        """What software or the engine did wrong; the run is over."""
        self.checker.finish(self.machine.read64)
        difference = [] if self.checker.agreed else [str(self.checker.first_difference)]
        return [*difference, *self.machine.violations, *audit(self.machine)]

"""The whole engine under measurement: the harness, the testbench kernel as its software, and two judges of every answer.

The golden checker sees the event port, the requests, the answers and what software writes; at the end `FaultAudit` compares every answer with the
page table as memory has it, without the golden model.
"""

from collections.abc import Coroutine
from typing import Any

from cocotb.handle import SimHandleBase

from seqfault_rtl.config import EngineConfig

from .bench_audit import FaultAudit
from .checked import check_counters, checked_kernel
from .errors import HangError, WrongAnswer
from .fast_machine import FastMachine, start
from .kernel import AddressSpace, FaultCall, FaultReport, Future, LayoutChange
from .kernel.constants import Access, Register
from .kernel.entries import resolve
from .kernel.page_table import PageTable
from .machine import POLICIES

__all__ = ["TABLE_PAGES", "BenchEngine"]

TABLE_PAGES = 512
"""Pages of a leaf table."""
WATCHDOG = 50_000
SV39_MODE, SV39_LEVELS = 8, 3
UNZEROED = 1 << 8
"""`control.unzeroed`."""


class _Sv39Table(PageTable):
    """A page table of three levels."""

    mode, levels = SV39_MODE, SV39_LEVELS


class BenchEngine:
    """One engine and its software. Time is counted in cycles everywhere, also in the kernel's scheduler.

    Parameters
    ----------
    dut : handle of `seqfault_sim`. config : of the engine in it. latency : of memory, in cycles.

    Attributes
    ----------
    kernel, machine, checker : the parts. resolved : cycle of the answer of each fault that the engine resolved itself, ascending.
    """

    def __init__(self, dut: SimHandleBase, config: EngineConfig, latency: int) -> None:
        self.config = config
        self._dut = dut
        self.machine = FastMachine(dut, ports=config.ports, tags=config.port_misses, latency=latency, watchdog=WATCHDOG)
        self.kernel, self.checker, _ = checked_kernel(self.machine, config, POLICIES[0])
        self.resolved: list[int] = []
        self._goal: tuple[int, Future] | None = None
        self._audit = FaultAudit(self.machine)

    @property
    def now(self) -> int:
        """The cycle."""
        return self.machine.cycle

    def new_space(self, ranges: list[LayoutChange]) -> AddressSpace:
        """The only address space, in Sv39."""
        mm = AddressSpace(self.kernel, 0)
        mm.table = _Sv39Table(self.machine, self.kernel.memory)
        mm.populate(ranges)
        self.kernel.mms[0] = mm
        return mm

    def make_tables(self, mm: AddressSpace, start: int, end: int) -> None:
        """All leaf tables for these pages."""
        for vpn in range(start, end, TABLE_PAGES):
            mm.table.ensure(vpn)

    def populate(self, mm: AddressSpace, start: int, end: int) -> None:
        """Software itself maps these pages, before anybody has seen the space."""
        for vpn in range(start, end):
            vma = mm.layout.find(vpn)
            assert vma is not None
            mm.table.write(vpn, resolve(self.kernel.frames, vma, vpn, Access.STORE, 0))

    async def run(self, program: Coroutine[Any, None, Any], *, plant: int = 0) -> Any:
        """Run the program from reset to its end, with what it spawns; then every judge has its say. Returns its result.

        Raises
        ------
        HangError : nothing goes on. WrongAnswer : an answer, a step or an entry in memory is wrong.
        """
        kernel, machine, scheduler = self.kernel, self.machine, self.kernel.scheduler
        await start(self._dut)
        machine.plant(plant)
        kernel.start()
        task = scheduler.spawn(program, "the measurement")
        while True:
            scheduler.run()
            kernel.pump()
            if task.done and not kernel.busy:
                break
            due = scheduler.next_due()
            try:
                answers = await machine.wait(None if due is None else max(int(due) - machine.cycle, 1))
                scheduler.fire(machine.cycle)
                kernel.poll(answers)
            except HangError as error:
                self._stop_if_wrong()  # the first thing that went wrong
                raise HangError(f"{error}; {scheduler.describe()}") from error
            self._stop_if_wrong()
        await check_counters(machine, self.checker)
        self.checker.finish(machine.read64)
        self._stop_if_wrong()
        self._audit.finish()
        return task.value

    def _stop_if_wrong(self) -> None:
        if self.checker.first_difference is not None:
            raise WrongAnswer(f"the golden model does not allow a step: {self.checker.first_difference}")

    async def fault(self, mm: AddressSpace, port: int, vpn: int, access: int, *, bits: int, frame: int = 0) -> FaultReport:
        """One fault, until it is resolved; the entry then has to have these bits, and this frame (0: one of its own)."""
        call = FaultCall(
            mm=mm, port=port, va=vpn << 12, access=access, present=False, refused=False, grow=None, label=f"fault of port {port} at page {vpn:#x}",
        )  # fmt: skip
        report = await self.kernel.faults.run(call, reconcile=False)
        if report.outcome == "refused":
            raise WrongAnswer(f"{call.label} was refused")
        if report.outcome != "software":
            self.resolved.append(self.now)
            if self._goal is not None and len(self.resolved) >= self._goal[0]:
                self._goal[1].resolve()
        self._audit.expect(mm, vpn, bits, frame)
        return report

    async def more_resolved(self, number: int) -> float:
        """Wait until so many more faults are resolved; returns how many that were per 1000 cycles."""
        began, first = self.now, len(self.resolved)
        done = Future(f"{number} resolved faults")
        self._goal = first + number, done
        await done
        return 1000 * (len(self.resolved) - first) / (self.now - began)

    async def sleep_until(self, cycle: int) -> None:
        """Until this cycle; returns at once if it is over."""
        await self.kernel.scheduler.sleep(cycle - self.now)

    def set_policy(self, policy: str) -> None:
        """Choose a policy by its register. No fault may be under way; it is in force some cycles later."""
        self.machine.write_register(Register.CONTROL, POLICIES.index(policy))
        self.checker.state.policy = policy

    def leave_frames_unzeroed(self) -> None:
        """From now on the frames of the pool count as not zeroed, under the policy `spec`. No fault may be under way."""
        self.machine.write_register(Register.CONTROL, UNZEROED)
        self.checker.state.unzeroed = True

"""Replays a trace: every thread of the recorded program runs against the testbench kernel and a `Machine`, with the recorded pauses.

The threads are coroutines of the kernel's own scheduler, so a replay needs nothing of cocotb but what `Machine.wait` awaits. What a thread
must wait for of another is worked out beforehand (`replay_plan`); otherwise faults run concurrently with changes of the address space.

A page of a file is in the page cache from its first fault in the trace on: put there before a minor fault, read in on the request of a major one.
A trace does not show what Linux mapped around a fault, nor what else was in its cache. So fault-around here maps what faults have shown, a part of
what it mapped there, and a page is seldom mapped that Linux faults on later (then it is unmapped first: `reconciled`).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine

from seqfault_tb.errors import HangError
from seqfault_tb.kernel import AddressSpace, FaultCall, Future, Kernel, drive
from seqfault_tb.kernel.constants import Flags
from seqfault_tb.machine import Machine

from .replay_plan import Item, Operation, Plan, layout_of, make_plan
from .replay_result import OUTCOMES, Percentiles, ReplayResult
from .trace import Call, Clone, Exec, Fault, Trace

__all__ = ["OUTCOMES", "Percentiles", "ReplayResult", "replay"]

CLONE_VFORK = 0x4000
LOAD, STORE, FETCH = 0, 1, 2
PAGE = 12


async def replay(
    trace: Trace, kernel: Kernel, machine: Machine, *, clock_mhz: float = 100.0, on_progress: Callable[[int, int], None] | None = None
) -> ReplayResult:
    """Run the trace. The kernel is started by this function and belongs to the same machine.

    `clock_mhz` converts cycles to the trace's time. `on_progress(events done, events)` is called now and then.
    Raises `HangError` when nothing can go on, with what is waited for.
    """
    if kernel.machine is not machine:
        raise ValueError("kernel must belong to this machine")
    run = _Run(trace, kernel, on_progress)
    run.start()
    try:
        cycles = await drive(kernel, lambda: run.finished, clock_mhz=clock_mhz)
    except HangError as error:
        raise HangError(f"the replay of {trace.name} after {run.done} of {len(trace.events)} events: {error}") from error
    return run.result_at(cycles)


class _Run:
    """The threads of a replay and what they wait for."""

    def __init__(self, trace: Trace, kernel: Kernel, on_progress: Callable[[int, int], None] | None) -> None:
        self._trace, self._kernel, self._on_progress = trace, kernel, on_progress
        self._plan: Plan = make_plan(trace)
        self._result = ReplayResult(trace=trace.name, events=len(trace.events))
        self._running = 0
        self._ports: dict[int, int] = {}
        self._tickets: Counter[int] = Counter()
        self._ticket_waiters: dict[tuple[int, int], list[Future]] = {}
        self._progress: Counter[int] = Counter()
        self._item_waiters: dict[tuple[int, int], list[Future]] = {}
        self._left = self._plan.mm_items.copy()
        self._vforks: dict[int, Future] = {}
        self.done = 0

    def start(self) -> None:
        trace = self._trace
        self._kernel.new_mm(trace.mm, layout_of(trace.maps), [address >> PAGE for address in trace.prefaulted])
        self._begin_thread(trace.tid, 0)

    @property
    def finished(self) -> bool:
        return self._running == 0

    def result_at(self, cycles: int) -> ReplayResult:
        result, kernel = self._result, self._kernel
        result.cycles = cycles
        result.already_mapped = kernel.faults.already_mapped
        result.reconciled = kernel.faults.reconciled
        result.page_requests = kernel.page_requests.reasons
        result.commands = kernel.command_counts
        result.evictions = kernel.spaces.evictions
        return result

    def _spawn(self, coroutine: Coroutine[Future, None, None], label: str) -> None:
        async def counted() -> None:
            await coroutine
            self._running -= 1

        self._running += 1
        self._kernel.scheduler.spawn(counted(), label)

    def _begin_thread(self, tid: int, recorded_start: int) -> None:
        self._ports[tid] = len(self._ports) % self._kernel.machine.ports
        self._spawn(self._thread(tid, recorded_start), f"thread {tid}")

    async def _thread(self, tid: int, recorded_end: int) -> None:
        """All items of a thread, each after the recorded pause."""
        sleep = self._kernel.scheduler.sleep
        for index, item in enumerate(self._plan.threads[tid]):
            event = item.event
            await sleep(event.t_ns - recorded_end)
            if isinstance(event, Fault):
                await self._fault(item, event)
                end = event.t_ns + event.dur_ns
            elif isinstance(event, Call):
                await self._call(item, event)
                end = event.t_ns + event.dur_ns
            elif isinstance(event, Clone):
                await self._clone(item, event)
                end = event.t_ns + event.dur_ns
            else:
                if isinstance(event, Exec):
                    self._kernel.new_mm(event.mm, layout_of(event.maps), [address >> PAGE for address in event.prefaulted])
                    self._release_vfork(tid)
                for operation in item.operations:
                    await self._operate(operation)
                end = event.t_ns
            recorded_end = max(recorded_end, end)
            self._complete(tid, index, item)
        self._release_vfork(tid)

    def _complete(self, tid: int, index: int, item: Item) -> None:
        self._progress[tid] = index + 1
        for future in self._item_waiters.pop((tid, index), ()):
            future.resolve()
        mm = item.event.mm
        if mm is not None:
            self._left[mm] -= 1
            if self._left[mm] == 0 and mm in self._plan.mm_ends:
                self._spawn(self._kernel.mms.pop(mm).tear_down(), f"the end of mm {mm}")
        self.done += 1 + sum(len(operation.changes) for operation in item.operations)
        if self._on_progress is not None and self.done % 64 == 0:
            self._on_progress(self.done, len(self._trace.events))

    async def _call(self, item: Item, call: Call) -> None:
        """A system call: until the lock is taken, the change, and the rest."""
        sleep = self._kernel.scheduler.sleep
        before, after = call.dur_ns, 0
        if call.locks:
            before, after = call.locks[0][0] - call.lock_wait_ns, call.dur_ns - call.locks[-1][1]
        elif item.operations:
            before = 0
        await sleep(before)
        for operation in item.operations:
            await self._operate(operation)
        await sleep(after)

    async def _clone(self, item: Item, clone: Clone) -> None:
        """The copy of the layout if there is one, then the child."""
        sleep = self._kernel.scheduler.sleep
        until_child = clone.t_child_ns - clone.t_ns
        until_copy = until_child if clone.t_copy_ns is None else clone.t_copy_ns - clone.t_ns
        await sleep(min(until_copy, until_child))
        for operation in item.operations:
            await self._operate(operation)
        if clone.flags & CLONE_VFORK:
            self._vforks[clone.child] = Future("the exec or exit of its vfork child")
        self._begin_thread(clone.child, clone.t_child_ns)
        if clone.flags & CLONE_VFORK:
            await self._vforks[clone.child]
        else:
            await sleep(clone.dur_ns - until_child)

    def _release_vfork(self, tid: int) -> None:
        if tid in self._vforks:
            self._vforks[tid].resolve()

    async def _operate(self, operation: Operation) -> None:
        """Make a change when it is its turn."""
        mm = self._kernel.mms[operation.mm]
        if operation.ticket:
            await self._ticket(operation.mm, operation.ticket - 1)
            for tid, index in operation.wait_for.items():
                if self._progress[tid] <= index:
                    future = Future(f"item {index} of thread {tid}")
                    self._item_waiters.setdefault((tid, index), []).append(future)
                    await future
        if operation.clone is not None:
            await self._fork(mm, operation.clone)
        else:
            await mm.change(operation.changes, tuple(operation.drops), tuple(operation.moves))
        if operation.ticket:
            self._tickets[operation.mm] = operation.ticket
            for future in self._ticket_waiters.pop((operation.mm, operation.ticket), ()):
                future.resolve()

    async def _fork(self, mm: AddressSpace, clone: Clone) -> None:
        child = self._kernel.new_mm(clone.child_mm, [])
        await mm.fork(child, tuple((start >> PAGE, end >> PAGE) for start, end in clone.nofork))

    async def _ticket(self, mm: int, ticket: int) -> None:
        """Wait until this operation of the mm is done."""
        if self._tickets[mm] < ticket:
            future = Future(f"operation {ticket} of mm {mm}")
            self._ticket_waiters.setdefault((mm, ticket), []).append(future)
            await future

    async def _fault(self, item: Item, fault: Fault) -> None:
        """A fault. A kernel access with faults disabled (nofault) is an ATOMIC one: Linux refuses all of these, the engine those that would wait."""
        await self._ticket(fault.mm, item.after)
        atomic = fault.result == "nofault"
        call = FaultCall(
            mm=self._kernel.mms[fault.mm], port=self._ports[fault.tid], va=fault.addr,
            access=FETCH if fault.exec else STORE if fault.write else LOAD,
            present=bool(fault.present), refused=fault.refused, grow=self._growth(item), label=_name(fault),
            flags=Flags.ATOMIC if atomic else Flags.ALLOW_RETRY, cached=not (fault.major or fault.refused),
        )  # fmt: skip
        report = await self._kernel.faults.run(call)
        if call.grow is not None:
            await call.grow()  # if the engine did not ask for it, later changes still need it
        refused = report.outcome == "refused"
        if refused != fault.refused and fault.result != "open" and not (atomic and not refused):
            self._result.mismatched += 1
            if self._result.first_mismatch is None:
                linux = f"Linux gave {fault.result}" if fault.refused else "Linux resolved it"
                self._result.first_mismatch = f"{_name(fault)}: {report.outcome} here, {linux}"
        self._count(fault, report.outcome, report.cycles)

    def _growth(self, item: Item) -> Callable[[], Awaitable[None]] | None:
        """The growth of the stack that came with this fault; done once."""
        if not item.operations:
            return None
        todo = list(item.operations)

        async def grow() -> None:
            while todo:
                await self._operate(todo.pop(0))

        return grow

    def _count(self, fault: Fault, outcome: str, cycles: int) -> None:
        self._result.faults[outcome] += 1
        self._result.recorded.append((cycles, OUTCOMES.index(outcome), fault.kind, fault.dur_ns))


def _name(fault: Fault) -> str:
    what = "fetch" if fault.exec else "write" if fault.write else "read"
    return f"{what} of {fault.addr:#x} by thread {fault.tid} in mm {fault.mm} at {fault.t_ns} ns"

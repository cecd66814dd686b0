"""Srcu against a set of readers for each call: it may come out when the set is empty, and must soon after. [protocol.md 3]"""

import os
from collections import deque
from dataclasses import dataclass
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.srcu_call import SrcuCall

from .fields import pack

CALLS = int(os.environ.get("SRCU_CALLS", "4"))
SEED = int(os.environ.get("SEED", "1"))
SETTLE_NS = 1
QUIET_LATENCY = 3
"""Cycles from a call to its completion when there are no readers."""
MOST_READERS = 255
LONGEST_READER = 40
"""Cycles that a reader of the random test stays."""
STEP = 2
"""Cycles in which a grace period begins, or ends and lets its calls out."""


@dataclass(kw_only=True)
class Pending:
    """A call that has not come out.

    `first`: readers that entered before it and are inside; while there is one it must not come out. When they have left, so have those of the
    grace period that ran when it came, if one did; then its own begins, and may wait for the readers inside then: `second`. When these
    have left it must come out. `quiet`: cycles since the last of them left.
    """

    payload: int
    since: int
    first: set[int]
    second: set[int] | None = None
    quiet: int = 0

    def leave(self, reader: int) -> None:
        self.first.discard(reader)
        if self.second:
            self.second.discard(reader)

    def end_cycle(self, readers: set[int]) -> None:
        if self.first or self.second:
            return
        self.quiet += 1
        if self.second is None and self.quiet > STEP:
            self.second, self.quiet = readers, 0

    @property
    def is_due(self) -> bool:
        return self.second is not None and not self.second and self.quiet > STEP


class Bench:
    """Readers by name, with the bank that they were given, and the calls that are pending. A cycle is `await bench.cycle(...)`."""

    def __init__(self, dut, rng: Random) -> None:
        self.dut, self.rng = dut, rng
        self.readers: dict[int, int] = {}
        self.calls: deque[Pending] = deque()
        self.now = self.completed = self.refused = 0
        self.latency: list[int] = []
        self._names = 0

    async def start(self) -> "Bench":
        Clock(self.dut.clk, 10, unit="ns").start()
        for name in ("enter", "leave", "leave_bank", "call__valid", "call__payload", "done__ready"):
            getattr(self.dut, name).value = 0
        self.dut.rst.value = 1
        await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        return self

    async def cycle(self, *, enter: bool = False, leave: int | None = None, call: bool = False, take: bool = True) -> int | None:
        """One cycle; `leave` names a reader. The result is the name of the reader that entered."""
        dut = self.dut
        payload = pack(SrcuCall, {"space": self.rng.getrandbits(16), "cookie": self.rng.getrandbits(64)})
        dut.enter.value, dut.leave.value = enter, leave is not None
        dut.leave_bank.value = self.readers[leave] if leave is not None else self.rng.getrandbits(1)
        dut.call__valid.value, dut.call__payload.value, dut.done__ready.value = call, payload, take
        await Timer(SETTLE_NS, unit="ns")
        assert dut.call__ready.value == 1
        assert dut.refused.value == (call and len(self.calls) == CALLS), f"refused is {dut.refused.value} with {len(self.calls)} calls pending"
        accepted = call and not dut.refused.value
        if dut.done__valid.value:
            self._compare(int(dut.done__payload.value), take)
        else:
            assert not (self.calls and self.calls[0].is_due), f"the call of cycle {self.calls[0].since} is late: its readers have left"
        if leave is not None:
            del self.readers[leave]
            for pending in self.calls:
                pending.leave(leave)
        if enter:
            self._names += 1
            self.readers[self._names] = int(dut.enter_bank.value)
        if accepted:
            self.calls.append(Pending(payload=payload, since=self.now, first=set(self.readers)))
        for pending in self.calls:
            pending.end_cycle(set(self.readers))
        self.refused += call and not accepted
        self.now += 1
        await FallingEdge(dut.clk)
        return self._names if enter else None

    def _compare(self, payload: int, take: bool) -> None:
        assert self.calls, f"{payload:#x} came out, and no call was pending"
        call = self.calls[0]
        assert payload == call.payload, f"{payload:#x} came out, expected {call.payload:#x}"
        assert not call.first, f"a call came out while readers that entered before it are inside: {sorted(call.first)}"
        if take:
            self.calls.popleft()
            self.completed += 1
            self.latency.append(self.now - call.since)

    async def drained(self) -> None:
        """All readers leave, and all calls come out in the time of two grace periods."""
        while self.readers:
            await self.cycle(leave=next(iter(self.readers)))
        for _ in range(2 * QUIET_LATENCY + CALLS):
            await self.cycle()
        assert not self.calls, f"{len(self.calls)} calls did not come out"


@cocotb.test()
async def random_readers_and_calls(dut) -> None:
    """Readers enter and leave, calls come and are taken at random, often at the bound."""
    bench = await Bench(dut, Random(SEED)).start()
    rng = bench.rng
    since: dict[int, int] = {}
    most = overlapped = 0
    for phase in range(60):
        readers, calls, takes = rng.choice((0.05, 0.3, 0.8)), rng.choice((0.02, 0.2, 0.9)), 1.0 if phase % 2 else 0.3
        for _ in range(100):
            late = [name for name in bench.readers if bench.now - since[name] >= LONGEST_READER]
            leave = late[0] if late else rng.choice([*bench.readers, *[None] * 3])
            enter = rng.random() < readers and len(late) < 2
            name = await bench.cycle(enter=enter, leave=leave, call=rng.random() < calls, take=rng.random() < takes)
            if name is not None:
                since[name] = bench.now
            most, overlapped = max(most, len(bench.readers)), overlapped + bool(len(set(bench.readers.values())) == 2)
    await bench.drained()
    assert bench.completed > 300
    assert bench.refused > 100
    assert most > 8
    assert overlapped > 500, "readers in both banks were rare"


@cocotb.test()
async def without_readers(dut) -> None:
    """A call alone takes three cycles; calls in each of four cycles share grace periods and come out one a cycle."""
    bench = await Bench(dut, Random(SEED)).start()
    await bench.cycle(call=True)
    for _ in range(QUIET_LATENCY):
        await bench.cycle()
    assert bench.latency == [QUIET_LATENCY]
    for _ in range(4):
        await bench.cycle(call=True)
    await bench.drained()
    assert bench.completed == 5
    assert max(bench.latency) <= 2 * QUIET_LATENCY


@cocotb.test()
async def waits_for_earlier_readers_only(dut) -> None:
    """A reader before the call, and one in its cycle, are waited for; those who enter in every cycle afterwards are not."""
    bench = await Bench(dut, Random(SEED)).start()
    before = await bench.cycle(enter=True)
    same = await bench.cycle(enter=True, call=True)
    later = [await bench.cycle(enter=True) for _ in range(20)]
    await bench.cycle(leave=before, enter=True)
    for _ in range(20):
        await bench.cycle(enter=True)
    assert bench.completed == 0
    await bench.cycle(leave=same, enter=True)
    for _ in range(10):
        await bench.cycle(enter=True)
        if bench.completed:
            break
    # a reader that entered in the cycle in which the grace period began is waited for too: `later[0]`
    assert bench.completed == 0
    await bench.cycle(leave=later[0], enter=True)
    await bench.cycle(enter=True)
    await bench.cycle(enter=True)
    assert bench.completed == 1
    assert len(bench.readers) > 40
    await bench.drained()


@cocotb.test()
async def calls_during_a_grace_period_share_the_next(dut) -> None:
    """The first call's grace period runs; two more come, with a reader between: one more grace period is for both, and waits for it."""
    bench = await Bench(dut, Random(SEED)).start()
    first = await bench.cycle(enter=True)
    await bench.cycle(call=True)
    await bench.cycle()
    await bench.cycle(call=True)
    second = await bench.cycle(enter=True)
    await bench.cycle(call=True)
    await bench.cycle(leave=first)
    for _ in range(10):
        await bench.cycle()
    assert bench.completed == 1, "the second call shares the third's grace period, which waits for the second reader"
    await bench.cycle(leave=second)
    await bench.cycle()
    await bench.cycle()
    await bench.cycle()
    assert bench.completed == 3
    await bench.drained()


@cocotb.test()
async def refused_at_the_bound(dut) -> None:
    """While as many calls as there is room for are pending one more is refused, whether they wait for readers or to be taken; none is lost."""
    bench = await Bench(dut, Random(SEED)).start()
    reader = await bench.cycle(enter=True)
    for _ in range(CALLS + 3):
        await bench.cycle(call=True, take=False)
    assert bench.refused == 3
    await bench.cycle(leave=reader, take=False)
    for _ in range(2 * QUIET_LATENCY):
        await bench.cycle(take=False)
    await bench.cycle(call=True, take=True)  # room is made in this cycle, and there in the next
    assert (bench.refused, bench.completed) == (4, 1)
    await bench.cycle(call=True, take=False)
    assert bench.refused == 4
    await bench.drained()
    assert bench.completed == CALLS + 1


@cocotb.test()
async def most_readers(dut) -> None:
    """As many readers as a bank counts; each of them is waited for."""
    bench = await Bench(dut, Random(SEED)).start()
    for _ in range(MOST_READERS):
        await bench.cycle(enter=True)
    await bench.cycle(call=True)
    while bench.readers:
        assert bench.completed == 0
        await bench.cycle(leave=next(iter(bench.readers)))
    await bench.drained()
    assert bench.completed == 1

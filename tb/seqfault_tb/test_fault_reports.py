"""FaultReports: every report comes out once, in the order of its source, however the answers that it is for are held up."""

import os
from collections import deque
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from seqfault_rtl.fault_records import FaultReport

from .fields import pack, unpack

SEED, CONTEXTS = int(os.environ.get("SEED", "1")), int(os.environ["CONTEXTS"])
ENDED, UPDATED, REFUSED = range(3)
NAMES = ("ended", "updated", "refused")
ROOM = 2 * CONTEXTS
"""Answers that the fault unit may hold; one more, or AdUpdate's, is in the merge before the ports."""


class Bench:
    """The sources as they may behave at worst: `held` are the answers that were reported and have not left for the ports."""

    def __init__(self, dut: Any) -> None:
        self.dut, self.rng = dut, Random(SEED)
        self.held = [0, 0, 0]
        self.waiting: tuple[deque[int], ...] = (deque(), deque(), deque())
        self.number = 0
        self.most = 0

    async def start(self) -> "Bench":
        Clock(self.dut.clk, 10, unit="ns").start()
        for name in NAMES:
            getattr(self.dut, f"{name}__valid").value = 0
        self.dut.rst.value = 1
        for _ in range(3):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        return self

    async def cycle(self, *, ended: float, leaving: float, updated: float, refused: float) -> None:
        """At most one answer leaves: MissEnd's, reported in this cycle, or one of the others. Then those report what there is room for."""
        rng, reporting = self.rng, [False, False, False]
        if rng.random() < ended:
            reporting[ENDED] = True
        elif any(self.held) and rng.random() < leaving:
            self.held[rng.choice([source for source in (UPDATED, REFUSED) if self.held[source]])] -= 1
        if not self.held[UPDATED] and self.held[REFUSED] <= ROOM and rng.random() < updated:
            reporting[UPDATED], self.held[UPDATED] = True, 1
        if self.held[REFUSED] + self.held[UPDATED] <= ROOM and rng.random() < refused:
            reporting[REFUSED], self.held[REFUSED] = True, self.held[REFUSED] + 1
        for source, name in enumerate(NAMES):
            getattr(self.dut, f"{name}__valid").value = reporting[source]
            if reporting[source]:
                self.number += 1
                self.waiting[source].append(self.number)
                getattr(self.dut, f"{name}__payload").value = pack(FaultReport, {"address": self.number, "port": source})
        await FallingEdge(self.dut.clk)
        self._check(reporting[ENDED])
        self.most = max(self.most, sum(map(len, self.waiting)))

    def _check(self, ended: bool) -> None:
        """What came out in the cycle after the reports."""
        source = None
        if self.dut.output__valid.value:
            fields = unpack(FaultReport, int(self.dut.output__payload.value))
            source = fields["port"]
            assert self.waiting[source], f"{NAMES[source]}: report {fields['address']} was not made, or came out before"
            expected = self.waiting[source].popleft()
            assert fields["address"] == expected, f"{NAMES[source]}: report {fields['address']} instead of {expected}"
        assert (source == ENDED) == ended, "a report of MissEnd did not come out in the next cycle"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def worst_and_random(dut):
    """Phases with every mix of the sources, among them: no answer of the others leaves for long, then one in each cycle and another comes."""
    bench = await Bench(dut).start()
    for phase in range(60):
        blocked = {"ended": 1.0, "leaving": 0.0, "updated": 1.0, "refused": 1.0}
        flowing = {"ended": 0.0, "leaving": 1.0, "updated": 1.0, "refused": 1.0}
        mixed = {name: bench.rng.choice((0.1, 0.5, 0.9)) for name in blocked}
        for settings in (blocked, flowing) if phase % 2 else (mixed,):
            for _ in range(bench.rng.randrange(2 * ROOM, 5 * ROOM)):
                await bench.cycle(**settings)
    for _ in range(4 * ROOM):
        await bench.cycle(ended=0.0, leaving=1.0, updated=0.0, refused=0.0)
    left = [len(reports) for reports in bench.waiting]
    assert left == [0, 0, 0], f"lost: {dict(zip(NAMES, left, strict=True))}"
    assert bench.most >= ROOM, f"never more than {bench.most} reports waited"

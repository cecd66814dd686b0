"""What the tests of FaultQueue share: random reports, the records that software finds, and the sticky bits of the register block."""

from random import Random

from cocotb.triggers import Timer

from seqfault_rtl.fault_records import FaultReport

from .fields import pack
from .ring_bench import SETTLE_NS, RingBench

__all__ = ["BASE", "BUFFER", "RECORD_BYTES", "FaultBench"]

BASE = 0x5_6780_0000
RECORD_BYTES = 32
LOAD, STORE, FETCH = 0, 1, 2
PAGE_FAULTS = {LOAD: 13, STORE: 15, FETCH: 12}
ACCESS_FAULTS = {LOAD: 5, STORE: 7, FETCH: 1}
TTYP = {FETCH: 1, LOAD: 2, STORE: 3}
BUFFER = 16
COUNTED_WITHIN = 20
"""Cycles until what was dropped has been counted."""


def record(report: dict[str, int]) -> list[int]:
    """The four words, written down from docs/software-contract.md."""
    word0 = report["cause"] | report["space"] << 12 | 1 << 32 | report["supervisor"] << 33 | TTYP[report["access"]] << 34 | report["port"] << 40
    return [word0, report["reason"] | report["tag"] << 5, report["address"], 0]


class FaultBench(RingBench):
    """Reports, and what software finds behind the tail whenever it moves; `stop` follows the sticky bits as the register block's does.

    Every record found must be the next of those reported, after those that may have been dropped: `lost` counts the ones passed over.
    """

    def __init__(self, dut, rng: Random, **options) -> None:
        super().__init__(dut, "queue", rng, **options)
        self.reported: list[list[int]] = []
        self.passed = self.tail = self.found = self.lost = 0
        self.sticky = {"overflow": 0, "memory_fault": 0}
        self.gap_allowed = False
        self.checks.append(self._visible)
        self.checks.append(self._registers)

    def _registers(self) -> None:
        for name in self.sticky:
            self.sticky[name] |= int(self.port(name).value)

    async def cycle(self, count: int = 1) -> None:
        for _ in range(count):
            self.port("stop").value = int(any(self.sticky.values()))
            await super().cycle()

    def clear(self) -> None:
        """Software clears the sticky bits: from now on records may be missing between what was found and what is found next."""
        self.sticky = dict.fromkeys(self.sticky, 0)
        self.gap_allowed = True

    def _visible(self) -> None:
        tail = int(self.port("tail").value)
        if tail == self.tail:
            return
        assert tail == (self.tail + 1) % self.entries, f"tail went from {self.tail} to {tail}"
        address = self.base + self.tail * RECORD_BYTES
        words = [self.region.word(address + 8 * word) for word in range(4)]
        assert words in self.reported[self.passed :], f"entry {self.tail} holds {words}, not one of those reported after the last one"
        at = self.reported.index(words, self.passed)
        assert at == self.passed or self.gap_allowed, f"entry {self.tail}: {at - self.passed} reports before it were dropped without a word"
        self.lost += at - self.passed
        self.passed, self.gap_allowed = at + 1, False
        self.tail = tail
        self.found += 1

    def head(self, value: int) -> None:
        self.port("head").value = value % self.entries

    async def report(self) -> None:
        """One random report, taken in this cycle."""
        rng = self.rng
        access = rng.choice((LOAD, STORE, FETCH))
        fields = {
            "cause": rng.choice((PAGE_FAULTS, ACCESS_FAULTS))[access], "access": access, "space": rng.getrandbits(16), "port": rng.getrandbits(8),
            "tag": rng.getrandbits(9), "supervisor": rng.getrandbits(1), "reason": rng.randrange(1, 26), "address": rng.getrandbits(64),
        }  # fmt: skip
        self.dut.report__valid.value, self.dut.report__payload.value = 1, pack(FaultReport, fields)
        await Timer(SETTLE_NS, unit="ns")
        assert self.dut.report__ready.value == 1, "a reporter has to wait"
        self.reported.append(record(fields))
        await self.cycle()
        self.dut.report__valid.value = 0

    async def quiet(self, limit: int = 3000) -> None:
        """Until everything reported is in memory or counted as dropped."""
        await self.until(lambda: self.found + self.strobes["dropped"] == len(self.reported), "all reports written or dropped", limit)
        await self.cycle(COUNTED_WITHIN)
        counts = self.found, self.strobes["dropped"], len(self.reported)
        assert counts[0] + counts[1] == counts[2], f"{counts[0]} found and {counts[1]} dropped of {counts[2]}"
        assert self.strobes["written"] == self.found

    async def started(self, log2_entries: int) -> "FaultBench":
        await self.start("report__valid", "queue__head")
        self.configure(base=BASE, log2_entries=log2_entries)
        self.head(0)
        await self.cycle(2)
        return self

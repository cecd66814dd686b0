"""Races of the index of VMAs and of what is reused: nodes, records, ids. [protocol.md 8, R13, R15]"""

from ..kernel.constants import Status
from .scenario import BASE, LOAD, PAGES, STORE, Scenario, clear, vma

__all__ = ["ReplacedNodes", "ReusedRecord"]

VMAS, PITCH = 20, 16
"""More than one node has room for."""
OURS = BASE + 9 * PITCH
ELSEWHERE = BASE + 4096


class ReplacedNodes(Scenario):
    """Neighbours go: each time the nodes above the fault's VMA are replaced; the old ones have garbage in them as soon as they may be reused."""

    def layout(self) -> list:
        return [vma(BASE + PITCH * index, PAGES) for index in range(VMAS)]

    async def set_up(self) -> None:
        await self.bench.give(OURS + PAGES - 1)
        self.bench.mm.table.touch(OURS)

    async def fault(self) -> None:
        self.report = await self.bench.store(OURS, 1)

    async def write(self) -> None:
        for start in (OURS - PITCH, OURS + PITCH):
            await self.bench.mm.change([clear(start, PAGES)])

    async def check(self) -> None:
        assert self.report is not None
        self.expect(self.served and self.report.outcome not in ("software", "refused"), f"a fault in a VMA that stayed was {self.report.outcome}")
        self.expect(self.bench.frame(OURS), "the page is not there")
        again = await self.bench.fault(OURS - PITCH, LOAD, port=1)
        self.expect(again.answer.status != Status.OK, "a VMA that went is still found")


class ReusedRecord(Scenario):
    """munmap, and another address space gets the same record and the same id for a VMA elsewhere."""

    async def write(self) -> None:
        bench, memory = self.bench, self.bench.kernel.memory
        old = bench.mm.layout.find(BASE)
        assert old is not None
        await bench.mm.change([clear(BASE, PAGES)])
        bench.take_exactly(memory.records, old.record)
        bench.take_exactly(memory.ids, old.id)
        self.next = bench.new_mm([vma(ELSEWHERE, PAGES, "r--p")])
        new = self.next.layout.find(ELSEWHERE)
        assert new is not None
        self.expect((new.record, new.id) == (old.record, old.id), "the record or the id was not reused: the scenario is wrong")
        self.other = await bench.fault(ELSEWHERE, LOAD, mm=self.next, port=1)

    async def check(self) -> None:
        self.expect(self.other.answer.status == Status.OK, "the new owner's load was refused")
        self.expect(not (self.served and self.came_late), "a store was served after munmap")
        self.expect_gone(BASE)
        found = self.bench.frame(BASE, self.next)
        self.expect(not found, f"the new owner has frame {found:#x} at the old owner's page")
        again = await self.bench.fault(BASE, STORE)
        self.expect(again.answer.status != Status.OK, "the VMA that went is still found")

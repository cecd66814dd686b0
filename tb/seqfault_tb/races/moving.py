"""Races of mremap: pages that move entry by entry, and with their table. [protocol.md 8, R1, R5, R16, R17]"""

from ..kernel.constants import Status
from ..kernel.table_moves import move_table
from .scenario import BASE, LOAD, PAGES, STORE, Scenario, moved, vma

__all__ = ["FastMove", "MovedTable", "MremapDestination", "StaleAfterMove"]

TO = BASE + 16
"""In the same table."""
TABLE = 512
TABLE_TO = BASE + 4 * TABLE
OLD, NEW = 0x11, 0x22


class MremapDestination(Scenario):
    """MREMAP_FIXED onto a VMA in which the fault is."""

    def layout(self) -> list:
        return [vma(BASE, PAGES), vma(TO, PAGES)]

    async def set_up(self) -> None:
        await self.bench.give(BASE, data=OLD)
        self.page = self.bench.frame(BASE)
        self.bench.mm.table.touch(TO)

    async def fault(self) -> None:
        self.report = await self.bench.store(TO, NEW)

    async def write(self) -> None:
        drops = ((BASE, BASE + PAGES), (TO, TO + PAGES))
        await self.bench.mm.change(moved(BASE, TO, PAGES), drops=drops, moves=((BASE, TO, PAGES),))

    async def check(self) -> None:
        assert self.report is not None
        self.expect(self.served, "the store was refused, though the destination was mapped all the time")
        self.expect_frame(TO, self.page, "the page that moved is lost")
        wrote_it = self.report.answer.pa >> 12 == self.page
        self.expect(self.bench.read(self.page) == (NEW if wrote_it else OLD), "the data of the page that moved are not the last ones written")
        self.expect(wrote_it or not self.came_late, "a store after the move went to another page")
        self.expect_gone(BASE)
        again = await self.bench.fault(TO, LOAD, port=1)
        self.expect(again.answer.pa >> 12 == self.page, "another thread sees another page")


class FastMove(Scenario):
    """A whole table moves with its VMA, in which the fault is."""

    to_mapped = False

    def layout(self) -> list:
        return [vma(BASE, TABLE), *([vma(TABLE_TO, TABLE)] if self.to_mapped else [])]

    async def set_up(self) -> None:
        await self.bench.give(BASE, data=OLD)
        self.page = self.bench.frame(BASE)
        self.bench.mm.table.touch(BASE + 5)

    async def fault(self) -> None:
        self.report = await self.bench.store(BASE + 5, NEW)

    async def write(self) -> None:
        await move_table(self.bench.kernel, self.bench.mm, moved(BASE, TABLE_TO, TABLE), BASE, TABLE_TO)

    async def check(self) -> None:
        assert self.report is not None
        self.expect_frame(TABLE_TO, self.page, "the page that moved is lost")
        self.expect_gone(BASE, BASE + 5)
        found = self.bench.frame(TABLE_TO + 5)
        if self.served:
            self.expect(found == self.report.answer.pa >> 12, f"the store's page did not move with its table: there is frame {found:#x}")
            self.expect(self.bench.read(found) == NEW, "the data of the store are lost")
        self.expect(self.served or not found, "the store was refused, but there is an entry in a table that belongs to another address")
        self.expect(not (self.served and self.came_late), "a store to the old address was served after the move")


class MovedTable(FastMove):
    """The same, and the fault makes a table where this one is to go."""

    to_mapped = True

    async def set_up(self) -> None:
        await super().set_up()
        self.bench.mm.table.touch(TABLE_TO + 5)

    async def fault(self) -> None:
        self.report = await self.bench.store(TABLE_TO + 5, NEW)

    async def check(self) -> None:
        assert self.report is not None
        self.expect(self.served, "the store was refused, though the destination was mapped all the time")
        self.expect_frame(TABLE_TO, self.page, "the page that moved is lost")
        self.expect_gone(BASE)
        found = self.bench.frame(TABLE_TO + 5)
        late = found == self.report.answer.pa >> 12
        self.expect(late or not found, "the destination has a page of before the move")
        self.expect(late or not self.came_late, "the page of a store after the move is lost")


class StaleAfterMove(Scenario):
    """A thread has the old address in its TLB; the page moves, and then goes. Loads that may not wait tell what the TLB says."""

    async def set_up(self) -> None:
        await self.bench.store(BASE, OLD, port=1)
        self.page = self.bench.frame(BASE)
        self.moved = 0

    async def fault(self) -> None:
        self.report = await self.bench.fault(BASE, LOAD, port=1, flags=0)

    async def write(self) -> None:
        mm = self.bench.mm
        await mm.change(moved(BASE, TO, PAGES), drops=((BASE, BASE + PAGES), (TO, TO + PAGES)), moves=((BASE, TO, PAGES),))
        self.moved = self.bench.machine.cycle
        await mm.change([], drops=((TO, TO + PAGES),))

    async def check(self) -> None:
        assert self.report is not None
        answer = self.report.answer
        if self.served:
            self.expect(answer.pa >> 12 == self.page, f"the load got {answer.pa:#x}, never a page of this address")
            self.expect(answer.issued < self.moved, "the old address was translated after the move's fence")
        again = await self.bench.fault(BASE, LOAD, port=1, flags=0)
        self.expect(again.answer.status == Status.FAULT, "the old address is translated when its page is free")
        self.expect_gone(BASE, TO)
        late = await self.bench.fault(TO, STORE, port=1)
        self.expect(late.answer.status == Status.OK and self.bench.read(late.answer.pa >> 12) == 0, "the new address has no fresh page")

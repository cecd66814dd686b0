"""Races of page tables that go while a fault or a walk is in them. [protocol.md 8, R3, R6, R7, R20]"""

from ..kernel import LayoutChange
from ..kernel.table_moves import collapse, drop_directory, split
from .bench import GARBAGE
from .scenario import BASE, LOAD, STORE, Scenario, clear, vma

__all__ = ["Collapse", "FreedDirectory", "FreedTable", "WalkOfCollapsed"]

TABLE = 512
OLD, NEW = 0x11, 0x22
PAGE = 5
"""Of the fault."""
AROUND = 16
"""Pages that a fault of a file maps at the most."""
REUSED = 100
"""Cycles that a table is used for something else."""


class _WholeTable(Scenario):
    """A VMA that is one leaf table's; page 0 is there."""

    def layout(self) -> list[LayoutChange]:
        return [vma(BASE, TABLE)]

    async def set_up(self) -> None:
        await self.bench.give(BASE, data=OLD)
        self.page = self.bench.frame(BASE)
        self.bench.mm.table.touch(BASE + PAGE)

    async def fault(self) -> None:
        self.report = await self.bench.store(BASE + PAGE, NEW)


class Collapse(_WholeTable):
    """khugepaged makes a huge page of the range in which the fault is."""

    async def write(self) -> None:
        self.huge = self.bench.huge()
        await collapse(self.bench.kernel, self.bench.mm, BASE, self.huge, self.bench.copy, reuse=self.reuse)

    async def reuse(self, table: int) -> None:
        """The table is something else now; the entries that it had are taken from it afterwards."""

    async def check(self) -> None:
        self.expect(self.served, "the access was refused, though its memory was mapped all the time")
        for page, data in ((0, OLD), (PAGE, NEW)):
            self.expect_frame(BASE + page, self.huge + page, "the range is no huge page")
            found = self.bench.read(self.huge + page)
            self.expect(found == data, f"page {page} of the huge page has {found:#x}, its thread wrote {data:#x}: a page is lost")
        again = await self.bench.fault(BASE + PAGE, STORE, port=1)
        self.expect(again.answer.pa >> 12 == self.huge + PAGE, "another thread does not see the huge page")

    async def tidy(self) -> None:
        await split(self.bench.kernel, self.bench.mm, BASE)


class WalkOfCollapsed(Collapse):
    """The same against a walk of a page that is there; the withdrawn table has garbage in it as soon as no walk can be there."""

    async def set_up(self) -> None:
        await super().set_up()
        await self.bench.give(BASE + PAGE, data=NEW)
        self.small = self.bench.frame(BASE + PAGE)

    async def fault(self) -> None:
        self.report = await self.bench.fault(BASE + PAGE, LOAD, port=1)

    async def reuse(self, table: int) -> None:
        self.bench.machine.write64(table + 8 * PAGE, GARBAGE)
        await self.bench.sleep(REUSED)

    async def check(self) -> None:
        assert self.report is not None
        await super().check()
        got = self.report.answer.pa >> 12
        self.expect(got in (self.huge + PAGE, self.small), f"the walk got frame {got:#x}, which the page never had")
        self.expect(not self.came_late or got == self.huge + PAGE, "a walk after the collapse got the page of before")


class FreedTable(_WholeTable):
    """munmap of all that a leaf table translates, so that the table goes. The fault maps pages around its own, and so holds the lock for long."""

    def layout(self) -> list[LayoutChange]:
        self.file = self.bench.file()
        return [vma(BASE, TABLE, "rw-s", "file_shared", self.file)]

    async def set_up(self) -> None:
        await super().set_up()
        for page in range(AROUND):
            self.bench.kernel.frames.cache.add((("file", self.file), page))
        self.table = self.bench.mm.table.entry(BASE)

    async def fault(self) -> None:
        self.report = await self.bench.fault(BASE + PAGE, LOAD)

    async def write(self) -> None:
        await self.bench.mm.change([clear(BASE, TABLE)])

    async def check(self) -> None:
        self.expect(not (self.served and self.came_late), "a load was served after munmap")
        self.expect_gone(*range(BASE, BASE + AROUND))
        self.expect(not self.bench.mm.table.entry(BASE), "the table is still in the tree")
        left = [index for index in range(TABLE) if self.bench.machine.read64(self.table + 8 * index)]
        self.expect(not left, f"entries {left} were written to the table after it was free")


class FreedDirectory(_WholeTable):
    """munmap of all of a GiB: the leaf table and the one above it go, and have garbage in them as soon as no fault can be there."""

    async def write(self) -> None:
        await drop_directory(self.bench.kernel, self.bench.mm, BASE, self.reuse)

    async def reuse(self, leaf: int, directory: int) -> None:
        machine, used = self.bench.machine, (leaf + 8 * PAGE, directory + 8 * (BASE >> 9 & 511))
        for address in used:
            machine.write64(address, GARBAGE)
        await self.bench.sleep(REUSED)
        for address in used:
            self.expect(machine.read64(address) == GARBAGE, "somebody wrote to a table that has a new owner")
            machine.write64(address, 0)

    async def check(self) -> None:
        self.expect(not (self.served and self.came_late), "a store was served after munmap")
        self.expect_gone(BASE, BASE + PAGE)

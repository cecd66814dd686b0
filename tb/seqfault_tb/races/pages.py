"""Races of pages that go or come beside the fault: locks, files, userfaults, frames. [protocol.md 8, R4, R18, R22, R23, R25]"""

from ..kernel.constants import Flags, Status
from ..kernel.eviction import evict
from ..kernel.layout import VM_LOCKED, VM_UFFD_MISSING
from ..kernel.page_requests import install
from .scenario import BASE, LOAD, PAGES, STORE, Scenario, clear, vma

__all__ = ["AbortedCopy", "BusyLock", "CopyAndDrop", "GoneFilePage", "LostWakeUp"]

OTHER = BASE + 64
"""Another VMA in the same table."""
MANY = 48


class BusyLock(Scenario):
    """MADV_DONTNEED of many pages holds the lock of a table for long, and its fence waits for faults that want that lock: nobody waits for ever."""

    def layout(self) -> list:
        return [vma(BASE, MANY), vma(OTHER, PAGES)]

    async def set_up(self) -> None:
        mm = self.bench.mm
        await self.bench.give(*range(BASE, BASE + MANY))
        for vpn in (OTHER, OTHER + 1):
            mm.table.touch(vpn)

    async def fault(self) -> None:
        flags = Flags.ALLOW_RETRY | Flags.ATOMIC
        atomic = self.bench.kernel.scheduler.spawn(self.bench.fault(OTHER + 1, port=1, flags=flags), "a fault that may not wait")
        self.report = await self.bench.store(OTHER, 1)
        self.atomic = await atomic

    async def write(self) -> None:
        await self.bench.mm.change([], drops=((BASE, BASE + MANY),))

    async def check(self) -> None:
        self.expect(self.served, "a fault beside the pages that went was refused")
        self.expect_gone(*range(BASE, BASE + MANY))
        for page, report in ((OTHER, self.report), (OTHER + 1, self.atomic)):
            assert report is not None
            there = report.answer.status == Status.OK
            self.expect(bool(self.bench.frame(page)) == there, f"page {page:#x} is there, or not, against the answer")


class GoneFilePage(Scenario):
    """munmap of one mapping of a file's page, then the page goes out of the page cache: no TLB has it for the mapping that is gone already."""

    def layout(self) -> list:
        self.file = self.bench.file()
        return [vma(BASE, PAGES, "r--p", "file_priv", self.file), vma(OTHER, PAGES, "r--p", "file_priv", self.file)]

    async def set_up(self) -> None:
        self.page = ("file", self.file), 0
        self.old = self.bench.kernel.frames.cache.add(self.page)
        self.unmapped = 0
        self.bench.mm.table.touch(BASE)
        await self.bench.fault(OTHER, LOAD, port=1)

    async def fault(self) -> None:
        second = self.bench.kernel.scheduler.spawn(self.bench.fault(OTHER, LOAD, port=1), "a load through the other mapping")
        self.report = await self.bench.fault(BASE, LOAD)
        self.second = await second

    async def write(self) -> None:
        await self.bench.mm.change([clear(BASE, PAGES)])
        self.unmapped = self.bench.machine.cycle
        await evict(self.bench.kernel, self.page)

    async def check(self) -> None:
        assert self.report is not None
        if self.served:
            self.expect(self.report.answer.pa >> 12 == self.old, "the load got a frame that the page never had there")
            self.expect(self.report.answer.issued < self.unmapped, "a load was served after munmap")
        self.expect_gone(BASE)
        self.expect(self.bench.frame(OTHER) != self.old, "a mapping still shows the page that went")
        again = await self.bench.fault(OTHER, LOAD, port=1)
        got = again.answer.pa >> 12
        self.expect(again.answer.status == Status.OK and got != self.old, "a load after the page went got its old frame")
        late = self.second.answer.issued > self.ended
        self.expect(not late or self.second.answer.pa >> 12 != self.old, "a load after the page went got its old frame")


class LostWakeUp(Scenario):
    """User space puts a page there while two threads begin to wait for it. Whoever waits is woken; all have the same page."""

    def layout(self) -> list:
        return [vma(BASE, PAGES, vmflags=VM_UFFD_MISSING)]

    async def fault(self) -> None:
        second = self.bench.kernel.scheduler.spawn(self.bench.fault(BASE, LOAD, port=1), "another thread's load")
        self.report = await self.bench.store(BASE, 1)
        self.second = await second

    async def write(self) -> None:
        await self._copy()

    async def _copy(self) -> None:
        """UFFDIO_COPY."""
        mm = self.bench.mm
        async with mm.lock:
            found = mm.layout.find(BASE)
            assert found is not None
            await install(self.bench.kernel, mm, [(found, BASE, STORE)])

    async def check(self) -> None:
        assert self.report is not None
        self.expect(self.served and self.second.answer.status == Status.OK, "a userfault was refused")
        frame = self.bench.frame(BASE)
        self.expect(frame and self.report.answer.pa >> 12 == frame, "the thread has another page than its process")
        self.expect(self.bench.read(frame) == 1, "the store is lost")


class CopyAndDrop(LostWakeUp):
    """The same, and MADV_DONTNEED takes the page away again: the thread that was woken has the same fault once more, and may wait again."""

    async def write(self) -> None:
        await self._copy()
        await self.bench.mm.change([], drops=((BASE, BASE + PAGES),))

    async def check(self) -> None:
        assert self.report is not None
        self.expect(self.served and self.second.answer.status == Status.OK, "a userfault that was woken and tried again was refused")
        self.expect(not self.came_late or self.bench.frame(BASE) == self.report.answer.pa >> 12, "the page of a store after the drop is lost")
        again = await self.bench.fault(BASE, STORE, port=1)
        self.expect(again.answer.status == Status.OK, "the next userfault was refused")


class AbortedCopy(Scenario):
    """A private copy of a file's page, whose attempts are undone by MADV_DONTNEED: each takes a frame and fills it. No frame is lost."""

    def layout(self) -> list:
        self.file = self.bench.file()
        return [vma(BASE, PAGES, "rw-p", "file_priv", self.file)]

    async def set_up(self) -> None:
        await super().set_up()
        self.source = self.bench.kernel.frames.cache.add((("file", self.file), 0))
        self.bench.write(self.source, 5, 1)

    async def write(self) -> None:
        """mlock as well, so that there is a section: MADV_DONTNEED alone has none."""
        locked = vma(BASE, PAGES, "rw-p", "file_priv", self.file, vmflags=VM_LOCKED)
        await self.bench.mm.change([locked], drops=((BASE, BASE + PAGES),))

    async def check(self) -> None:
        assert self.report is not None
        self.expect(self.served, "the store was refused, though the file was mapped all the time")
        if frame := self.bench.frame(BASE):
            self.expect(frame == self.report.answer.pa >> 12 != self.source, "the page is not the copy that the store got")
            self.expect((self.bench.read(frame), self.bench.read(frame, 1)) == (1, 5), "the copy is not whole")
        self.expect(frame or not self.came_late, "the page of a store after the drop is lost")
        self.expect((self.bench.read(self.source), self.bench.read(self.source, 1)) == (0, 5), "the file's page was written")

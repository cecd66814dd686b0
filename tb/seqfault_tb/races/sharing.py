"""Races of pages that are shared and copied: fork, userfault write-protection, another requester's translation. [protocol.md 8, R2, R9, R19, R21]"""

from ..kernel.constants import PTE_W, Status
from ..kernel.layout import VM_UFFD_WP
from ..kernel.write_protect import write_protect
from .scenario import BASE, LOAD, PAGES, Scenario, vma

__all__ = ["DeviceStore", "ForkCopy", "OtherTranslation", "WriteProtected"]

F_WORD, T_WORD = 0, 1
"""Words of the page that the fault's thread and the other one write."""
LOOKED_AT = 40
"""Cycles that user space looks at a protected page."""


class ForkCopy(Scenario):
    """While a fork shares a page, one thread faults on it, and another writes to it through its TLB as fast as it can."""

    pause = 12

    async def set_up(self) -> None:
        self.value = 1
        await self.bench.store(BASE, self.value, word=T_WORD, port=1)
        self.child = self.bench.new_mm([])
        self.before = self.after = 0

    async def fault(self) -> None:
        self.report = await self.bench.store(BASE, 7, word=F_WORD)

    async def beside(self) -> None:
        while not self.over:
            await self._store()
            await self.bench.sleep(self.pause)

    async def _store(self) -> None:
        report = await self.bench.store(BASE, self.value + 1, word=T_WORD, port=1)
        self.expect(report.answer.status == Status.OK, "a store was refused in memory that is writable all the time")
        self.value += 1

    async def write(self) -> None:
        self.before = self.value
        await self.bench.mm.fork(self.child)
        self.after = self.value

    async def check(self) -> None:
        bench = self.bench
        self.expect(self.served, "the store was refused")
        await self._store()
        frame, theirs = bench.frame(BASE), bench.frame(BASE, self.child)
        self.expect(
            bench.read(frame, T_WORD) == self.value, f"the page has {bench.read(frame, T_WORD)}, its thread wrote {self.value}: a write is lost"
        )
        self.expect(bench.read(frame, F_WORD) == 7, "the store of the fault is lost")
        self.expect(frame != theirs and theirs, "parent and child do not have a page each")
        self.expect(not bench.entry(BASE, self.child)[0] & PTE_W, "the child's page is writable before it has faulted")
        shared = bench.read(theirs, T_WORD)
        self.expect(self.before <= shared <= self.after + 1, f"the child sees {shared}; the fork began at {self.before} and ended at {self.after}")


class OtherTranslation(Scenario):
    """A copy on write against another requester that begins to use the page: it must be told of the copy."""

    async def set_up(self) -> None:
        await self.bench.give(BASE, data=3)
        self.child = self.bench.new_mm([])
        await self.bench.mm.fork(self.child)
        self.shared = self.bench.frame(BASE)

    async def fault(self) -> None:
        self.report = await self.bench.store(BASE, 4)

    async def write(self) -> None:
        self.first = await self.bench.fault(BASE, LOAD, port=1)

    async def check(self) -> None:
        assert self.report is not None
        copied = self.bench.frame(BASE)
        self.expect(self.served and copied == self.report.answer.pa >> 12 != self.shared, "the page was not copied")
        self.expect(self.bench.read(copied) == 4 and self.bench.read(self.shared) == 3, "parent and child do not have their own data")
        got = self.first.answer.pa >> 12
        late = self.first.answer.issued > self.report.answer.cycle
        self.expect(got in ((copied,) if late else (copied, self.shared)), f"the other requester got frame {got:#x}")
        again = await self.bench.fault(BASE, LOAD, port=1)
        self.expect(again.answer.pa >> 12 == copied, "the other requester still uses the page that was copied")


class WriteProtected(Scenario):
    """UFFDIO_WRITEPROTECT against a thread that writes through its TLB, and a fault that user space will serve."""

    pause = 12

    def layout(self) -> list:
        return [vma(BASE, PAGES, vmflags=VM_UFFD_WP)]

    async def set_up(self) -> None:
        self.value = 1
        await self.bench.store(BASE, self.value, word=T_WORD, port=1)

    async def fault(self) -> None:
        self.report = await self.bench.store(BASE, 7, word=F_WORD)

    async def beside(self) -> None:
        """Stores that may not wait: the first that is refused is the last."""
        while not self.over:
            report = await self.bench.store(BASE, self.value + 1, word=T_WORD, port=1, flags=0)
            if report.answer.status != Status.OK:
                return
            self.value += 1
            await self.bench.sleep(self.pause)

    async def write(self) -> None:
        await write_protect(self.bench.kernel, self.bench.mm, BASE, BASE + PAGES)
        frame, seen = self.bench.frame(BASE), self.value
        async with self.bench.mm.lock:  # user space cannot give the right back
            await self.bench.sleep(LOOKED_AT)
            if not self.bench.entry(BASE)[0] & PTE_W:
                self.expect(self.bench.read(frame, T_WORD) == seen, "a protected page was written before user space had let it")

    async def check(self) -> None:
        assert self.report is not None
        bench, frame = self.bench, self.bench.frame(BASE)
        self.expect(self.served, "the store was refused, though user space serves it")
        self.expect(
            bench.read(frame, T_WORD) == self.value, f"the page has {bench.read(frame, T_WORD)}, its thread wrote {self.value}: a write is lost"
        )
        self.expect(bench.read(frame, F_WORD) == 7, "the store of the fault is lost")
        self.expect(not self.came_late or self.report.outcome == "software", f"a store to a protected page was {self.report.outcome}")


class DeviceStore(Scenario):
    """Another requester gets the right to store to a page while a fork shares it; it must not keep the child's page."""

    async def set_up(self) -> None:
        await self.bench.give(BASE, data=3)
        self.child = self.bench.new_mm([])

    async def fault(self) -> None:
        self.report = await self.bench.store(BASE, 9, word=T_WORD, port=1)

    async def write(self) -> None:
        await self.bench.mm.fork(self.child)

    async def check(self) -> None:
        assert self.report is not None
        bench = self.bench
        self.expect(self.served, "the device's store was refused")
        again = await bench.store(BASE, 10, word=T_WORD, port=1)
        parents = await bench.store(BASE, 5, word=F_WORD)
        frame, theirs = bench.frame(BASE), bench.frame(BASE, self.child)
        self.expect(frame == parents.answer.pa >> 12 == again.answer.pa >> 12, "the device and its process use different pages")
        self.expect(theirs not in (0, frame), "the child has no page of its own")
        self.expect((bench.read(frame, F_WORD), bench.read(frame, T_WORD)) == (5, 10), "a store of the process or its device is lost")
        self.expect(bench.read(theirs, F_WORD) == 3, "the child sees what its parent wrote after the fork")
        seen = bench.read(theirs, T_WORD)
        self.expect(seen in (0, 9) and not (seen and self.came_late), f"the child sees the device's store of after the fork ({seen})")
        load = await bench.fault(BASE, LOAD, mm=self.child)
        self.expect(load.answer.pa >> 12 == theirs, "the child's translation is not its page")

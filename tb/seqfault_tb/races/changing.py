"""Races of what a VMA says: its rights, its file, its userfaults, and when it can be seen. [protocol.md 8, R8, R10, R11, R12, R14, R24]"""

from ..kernel import LayoutChange
from ..kernel import commands as cmd
from ..kernel.constants import PTE_W, PTE_X, Status, VmaFlag
from ..kernel.layout import VM_UFFD_MISSING, Vma
from ..kernel.sections import section
from .scenario import BASE, LOAD, PAGES, STORE, Scenario, vma

__all__ = ["EarlyVma", "NewBacking", "RegisteredVma", "SpuriousError", "TornRecord", "TwoWriters"]

READ_EXECUTE = VmaFlag.READ | VmaFlag.EXEC


def _protect(vma: Vma, rights: int) -> None:
    vma.flags = vma.flags & ~7 | rights


class TwoWriters(Scenario):
    """Two writers are active on one sequence entry at a time; the one that came second ends first."""

    async def write(self) -> None:
        bench, mm = self.bench, self.bench.mm
        post, found = bench.kernel.commands.post, mm.layout.find(BASE)
        assert found is not None
        other = found.id + bench.sequence_entries
        async with mm.lock:
            space = mm.space
            mm.open_sections([found.id])
            post(cmd.sequence_begin(space, other))
            post(cmd.sequence_end(space, other))
            await bench.kernel.fence()
            _protect(found, VmaFlag.READ)
            mm.write_record(found)
            for first, count in mm.table.runs(BASE, BASE + PAGES):
                post(cmd.protect(space, first, count, VmaFlag.READ))
            for command in cmd.invalidate_range(space, BASE, PAGES):
                post(command)
            mm.close_sections([found.id])
            await bench.kernel.fence()

    async def check(self) -> None:
        self.expect(not self.bench.entry(BASE)[0] & PTE_W, "a writable entry is left in a read-only VMA")
        self.expect(not (self.served and self.came_late), "a store was served in a read-only VMA")
        how = (await self.bench.fault(BASE + 1, LOAD, port=1)).outcome
        self.expect(how in ("speculative", "classic"), f"the sequence is not even again: the next fault was {how}")


class RegisteredVma(Scenario):
    """UFFDIO_REGISTER: from its end on no page appears that user space has not put there."""

    there = False

    async def write(self) -> None:
        await self.bench.mm.change([vma(BASE, PAGES, vmflags=VM_UFFD_MISSING)])
        self.there = bool(self.bench.frame(BASE))

    async def check(self) -> None:
        assert self.report is not None
        self.expect(self.served, "the store was refused in a writable VMA")
        if not self.there:
            self.expect(self.report.outcome == "software", f"a page appeared ({self.report.outcome}) after user space had seen it missing")
        late = await self.bench.fault(BASE + 1, STORE, port=1)
        self.expect(late.outcome == "software", f"a fault after the registration was {late.outcome}, not user space's")


class NewBacking(Scenario):
    """MAP_FIXED: the VMA shows another file from now on; its record and the old file's pages may be used for something else."""

    def layout(self) -> list:
        self.old, self.new = self.bench.file(), self.bench.file()
        return [vma(BASE, PAGES, "r--p", "file_priv", self.old)]

    async def set_up(self) -> None:
        await super().set_up()
        cache = self.bench.kernel.frames.cache
        self.frames = {file: [cache.add((("file", file), page)) for page in range(PAGES)] for file in (self.old, self.new)}
        await self.bench.mm.change([], drops=((BASE, BASE + PAGES),))

    async def fault(self) -> None:
        self.report = await self.bench.fault(BASE, LOAD)

    async def write(self) -> None:
        await self.bench.mm.change([vma(BASE, PAGES, "r--p", "file_priv", self.new)], drops=((BASE, BASE + PAGES),))

    async def check(self) -> None:
        assert self.report is not None
        got = self.report.answer.pa >> 12
        self.expect(self.served and got in (self.frames[self.old][0], self.frames[self.new][0]), f"the load got frame {got:#x} of neither file")
        self.expect(not self.came_late or got == self.frames[self.new][0], "a load after the change got a page of the old file")
        for page in range(PAGES):
            found = self.bench.frame(BASE + page)
            self.expect(found in (0, self.frames[self.new][page]), f"page {page} still shows frame {found:#x} of the old file")
        again = await self.bench.fault(BASE, LOAD, port=1)
        self.expect(again.answer.pa >> 12 == self.frames[self.new][0], "another thread sees the old file")


class TornRecord(Scenario):
    """A record is edited in place, word by word with pauses; flags, rights and offset must come from one version."""

    pause = 40
    shift = 100

    def layout(self) -> list:
        self.file = self.bench.file()
        return [vma(BASE, PAGES, "r--p", "file_priv", self.file)]

    async def set_up(self) -> None:
        await super().set_up()
        cache = self.bench.kernel.frames.cache
        self.old, self.new = (cache.add((("file", self.file), page)) for page in (0, self.shift))
        await self.bench.mm.change([], drops=((BASE, BASE + PAGES),))

    async def fault(self) -> None:
        self.report = await self.bench.fault(BASE, LOAD)
        word, frame = self.bench.entry(BASE)[0], self.bench.frame(BASE)
        versions = {(0, False), (self.old, False), (self.new, True)}
        self.expect((frame, bool(word & PTE_X)) in versions, f"entry {word:#x} is of two versions of the record")

    async def write(self) -> None:
        bench, mm = self.bench, self.bench.mm
        found = mm.layout.find(BASE)
        assert found is not None
        async with section(bench.kernel, mm, BASE, BASE + PAGES):
            _protect(found, READ_EXECUTE)
            found.pgoff += self.shift
            backing = bench.kernel.frames.cache.backing(found.file_key, found.pgoff + PAGES)
            words = {32: found.pgoff, 16: found.flags, 24: found.template & ~(1 << 6), 40: backing}
            for at, word in words.items():
                bench.machine.write64(found.record + at, word)
                await bench.sleep(self.pause)
            for first, count in mm.table.runs(BASE, BASE + PAGES):
                bench.kernel.commands.post(cmd.zap(mm.space, first, count))
            for command in cmd.invalidate_range(mm.space, BASE, PAGES):
                bench.kernel.commands.post(command)

    async def check(self) -> None:
        assert self.report is not None
        got, (word, _) = self.report.answer.pa >> 12, self.bench.entry(BASE)
        self.expect(self.served and got in (self.old, self.new), f"the load got frame {got:#x}, which is neither version's")
        self.expect(not self.came_late or got == self.new, "a load after the change was served from the old record")
        self.expect(not word or (self.bench.frame(BASE) == self.new and word & PTE_X), f"entry {word:#x} is not what the new record gives")


class EarlyVma(Scenario):
    """mmap publishes a writable VMA and makes it read-only before its section ends: a store finds no VMA, or the final one."""

    at = BASE + 16

    async def set_up(self) -> None:
        await super().set_up()
        self.bench.mm.table.touch(self.at)

    async def fault(self) -> None:
        self.report = await self.bench.fault(self.at, STORE)

    async def write(self) -> None:
        bench, mm = self.bench, self.bench.mm
        async with mm.lock:
            _, added = mm.layout.apply([vma(self.at, PAGES)])
            mm.prepare(added)
            mm.open_sections([added[0].id])
            mm.publish(added)
            await bench.kernel.fence()
            _protect(added[0], VmaFlag.READ)
            mm.write_record(added[0])
            mm.close_sections([added[0].id])
            await bench.kernel.fence()

    async def check(self) -> None:
        self.expect(not self.served, "a store was served in a VMA that never was writable in the end")
        self.expect_gone(self.at)
        load = await self.bench.fault(self.at, LOAD, port=1)
        self.expect(load.answer.status == Status.OK, "the VMA is there, but a load of it was refused")
        self.expect(not self.bench.entry(self.at)[0] & PTE_W, "the page of a read-only VMA is writable")


class SpuriousError(Scenario):
    """mprotect splits a VMA and grants a right elsewhere. The faults have no flags: whoever may not have the page is told FAULT at once."""

    granted = BASE + 16

    def layout(self) -> list:
        return [vma(BASE, PAGES), vma(self.granted, PAGES, "r--p")]

    async def set_up(self) -> None:
        await super().set_up()
        for vpn in (BASE + PAGES - 2, self.granted):
            self.bench.mm.table.touch(vpn)

    async def fault(self) -> None:
        kept = self.bench.kernel.scheduler.spawn(self.bench.fault(BASE + PAGES - 2, port=1, flags=0), "a store where nothing changes")
        self.report = await self.bench.fault(self.granted, flags=0)
        self.kept = await kept

    async def write(self) -> None:
        changes = [(BASE, BASE + 2, "r--p"), (self.granted, self.granted + PAGES, "rw-p")]
        await self.bench.mm.change([LayoutChange(op="prot", start=start, end=end, perm=perm) for start, end, perm in changes])

    async def check(self) -> None:
        self.expect(self.kept.answer.status == Status.OK, "a store was refused in memory that was writable all the time")
        self.expect(self.served or not self.came_late, "a store was refused after the right to it had been granted")
        again = await self.bench.fault(self.granted, flags=0, port=1)
        self.expect(again.answer.status == Status.OK, "the next store was refused too")

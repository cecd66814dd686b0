"""An address space as the testbench kernel keeps it: layout, VMA tree, page table, and the operations that change them.

Every operation runs under the kernel's lock of the address space and ends when the engine has executed it. [docs/software-contract.md:
"Every SEQ.BEGIN/END, ZAP and PROTECT of a space is given under its MM.LOCK"]
"""

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from . import commands as cmd
from .constants import PTE_A, PTE_D, PTE_V, VmaFlag
from .effects import Effects, Move, Range, plan
from .fork import copy_pages, has_own_pages
from .layout import Layout, LayoutChange, Vma
from .moves import move_and_reveal, new_pages
from .page_table import PageTable
from .sections import section
from .tasks import Future, Lock
from .vma_tree import VmaTree, write_record

if TYPE_CHECKING:
    from .kernel import Kernel
    from .page_requests import PageRequest

__all__ = ["AddressSpace"]

MOST_RETIRED = 64
"""Nodes, records and the like that may wait for some later change's fence."""


class AddressSpace:
    """One mm. All numbers are VPNs.

    Attributes
    ----------
    slot : its space in the engine, None if it has none now. users : operations and faults in progress.
    stash : pages of ranges without any access right: the entries that ZAP removed, put back when rights return.
    hiding : ranges whose removed entries go to the stash, while an operation runs. faulting : 64 KiB with faults in progress, and how many.
    """

    def __init__(self, kernel: "Kernel", number: int) -> None:
        self._kernel = kernel
        self.number = number
        self.layout = Layout()
        self.table = PageTable(kernel.machine, kernel.memory, kernel.mode)
        self.tree = VmaTree(kernel.machine, kernel.memory)
        self.lock = Lock(f"the lock of mm {number}")
        self.slot: int | None = None
        self.assigning: Future | None = None
        self.users = 0
        self.idle_since = 0
        self.stash: dict[int, int] = {}
        self.hiding: list[Range] = []
        self.faulting: dict[int, int] = {}
        self.requests: list[PageRequest] = []
        self.handling = False
        self._in_place = False
        self._sweeping: list[Range] = []

    def populate(self, changes: list[LayoutChange]) -> None:
        """The first layout; nobody has seen the address space yet."""
        if changes:
            _, added = self.layout.apply(changes)
            self.prepare(added)
            self._rebuild(added)

    def adopt(self, vmas: list[Vma]) -> None:
        """The first layout, as VMAs without ids and records."""
        self.layout = Layout(vmas)
        self.prepare(vmas)
        self._rebuild(vmas)

    async def change(self, changes: list[LayoutChange], drops: tuple[Range, ...] = (), moves: tuple[Move, ...] = ()) -> None:
        """Change the layout and what follows from it.

        `drops`: ranges whose pages go (munmap, MAP_FIXED, DONTNEED). `moves`: (from, to, pages) of mremap.
        """
        async with self.lock:
            await self._kernel.spaces.hold(self)
            await self.change_locked(changes, drops, moves)
            self._kernel.spaces.drop(self)

    async def change_locked(self, changes: list[LayoutChange], drops: tuple[Range, ...] = (), moves: tuple[Move, ...] = ()) -> None:
        """The same for a caller that has the lock and a slot."""
        removed, added = self.layout.apply(changes) if changes else ([], [])
        effects = plan(self.layout, removed, added, drops, moves)
        if removed or effects.touches(self.table, self.stash):
            await self._section(removed, added, effects)
        elif added:
            self.prepare(added)
            self.publish(added)
            # nothing was taken away: nobody has to be waited for, unless too much of the old tree has not been given back
            await self._kernel.fence(previous_reads=self._kernel.memory.quarantine.waits_for_a_fence > MOST_RETIRED)

    async def fork(self, child: "AddressSpace", skipped: tuple[Range, ...] = ()) -> None:
        """Copy this address space into a new one: private pages become read-only in both. [protocol.md 0.3, fork F1 to F4]"""
        async with self.lock:
            await self._kernel.spaces.hold(self)
            post, space = self._kernel.commands.post, self.space
            private = [vma for vma in self.layout.vmas if has_own_pages(self._kernel.frames, self, vma)]
            ids = [vma.id for vma in private]
            self.open_sections(ids)
            for vma in private:
                rights = vma.rights & ~VmaFlag.WRITE | VmaFlag.READ
                for start, count in self.table.runs(vma.start, vma.end):
                    post(cmd.protect(space, start, count, rights, share=True))
            post(cmd.invalidate_space(space))
            self._sweeping = [(vma.start, vma.end) for vma in private]
            await self._kernel.fence()
            copy_pages(self._kernel.frames, self, child, set(private), skipped)
            self.close_sections(ids)
            await self._kernel.fence()
            self._sweeping = []
            self._kernel.spaces.drop(self)

    async def age(self, start: int, end: int) -> None:
        """Clear A and D of these pages, each by an atomic operation, to see which are used."""
        async with section(self._kernel, self, start, end):
            for vpn in list(self.table.pages(start, end)):
                word = self.table.read(vpn)
                if word & PTE_V and word & (PTE_A | PTE_D):  # else the write would be one that nobody can tell from none
                    self.table.write(vpn, word & ~(PTE_A | PTE_D))
            for command in cmd.invalidate_range(self.space, start, end - start):
                self._kernel.commands.post(command)

    async def tear_down(self) -> None:
        """The last user is gone: give everything back."""
        async with self.lock:
            await self._kernel.spaces.retire(self)
            memory = self._kernel.memory
            for word in [*self.table.destroy(), *self.stash.values()]:
                self._kernel.frames.release(word)
            self.stash.clear()
            self.tree.retire()
            for vma in self.layout.vmas:
                memory.quarantine.retire(memory.records, vma.record)
                memory.quarantine.retire(memory.ids, vma.id)
            self.layout = Layout()

    def take_released(self, entry: int, vpn: int) -> None:
        """ZAP has removed this entry, or a fault has replaced it by one for a copy. To be hidden is what ZAP finds: the last one of a page."""
        if any(start <= vpn < end for start, end in self.hiding):
            entry, self.stash[vpn] = self.stash.get(vpn, 0), entry
        self._kernel.frames.release(entry)

    async def settled(self, vpn: int) -> None:
        """Wait until a fault on this page may start.

        A change posts its ZAPs and PROTECTs for the pages touched so far, and the engine executes them later. A fault on a page that nobody has
        touched must not come in between.
        """
        while not self.table.is_touched(vpn) and any(start <= vpn < end for start, end in self._sweeping):
            async with self.lock:
                pass

    @property
    def space(self) -> int:
        """Its slot, which it has while it is held."""
        assert self.slot is not None, "only while held"
        return self.slot

    def open_sections(self, ids: Iterable[int]) -> None:
        """Post the beginning of what a writer does to these VMAs; the caller has the lock."""
        self._kernel.commands.post(cmd.mm_lock(self.space))
        for vma_id in ids:
            self._kernel.commands.post(cmd.sequence_begin(self.space, vma_id))

    def close_sections(self, ids: Iterable[int]) -> None:
        """And the end."""
        for vma_id in ids:
            self._kernel.commands.post(cmd.sequence_end(self.space, vma_id))
        self._kernel.commands.post(cmd.mm_unlock(self.space))

    async def _section(self, removed: list[Vma], added: list[Vma], effects: Effects) -> None:
        """The writer's section: one batch of commands, and a second one where software touches entries, tables or a record itself."""
        post, space = self._kernel.commands.post, self.space
        in_place = self._edits_in_place(removed, added)
        if not in_place:
            self.prepare(added)
        ids = self._sequence_ids(removed, added, effects)
        unlinking = any(self.table.may_have_tables(start, end) for start, end in effects.gaps)
        self._begin(ids, effects)
        if (removed or added) and not in_place:
            self.publish(removed + added)
        self._fix_entries(effects)
        if in_place or unlinking or effects.needs_software(self.stash):
            await self._kernel.fence()
            for old, new in zip(removed, added, strict=True) if in_place else ():
                new.record = old.record
                self.write_record(new)
            move_and_reveal(self.table, self.stash, effects)
            unlinks = sorted({prefix for start, end in effects.gaps for prefix in self.table.tables_inside(start, end)})
            for prefix in unlinks:
                self.table.unlink(prefix)
            for start, end in [(old, old + count) for old, _, count in effects.moves] + [(p << 9, p + 1 << 9) for p in unlinks]:
                for command in cmd.invalidate_range(space, start, end - start):
                    post(command)
        self.close_sections(ids)
        if not in_place:
            self.give_back(removed, added, effects.kept_ids)
        await self._kernel.fence()
        self.hiding, self._sweeping = [], []
        for start, end in effects.gaps:
            self.table.forget(start, end, self.faulting)

    def _edits_in_place(self, removed: list[Vma], added: list[Vma]) -> bool:
        """The tree stays as it is and only records change: then every second time the record is edited where it is, not copied."""
        same = bool(removed) and [(vma.start, vma.id) for vma in removed] == [(vma.start, vma.id) for vma in added]
        self._in_place = same and not self._in_place
        return self._in_place

    def _sequence_ids(self, removed: list[Vma], added: list[Vma], effects: Effects) -> list[int]:
        """VMAs that change, new ones whose entries this section still works on, and those that a table made for a page that moves translates too."""
        ids = {vma.id for vma in removed}
        ids |= self.ids_of_new_tables(new_pages(self.table, self.stash, effects))
        for start, end in effects.all_ranges():
            ids.update(vma.id for vma in added if vma.start < end and vma.end > start)
        for old, new, count in effects.moves:
            for start in (old, new):
                ids.update(vma.id for vma in self.layout.overlapping(start, start + count))
        return sorted(ids)

    def ids_of_new_tables(self, pages: Iterable[int]) -> set[int]:
        """VMAs in whose sections software must be to make the tables that are missing for these pages."""
        spans = {span for vpn in {vpn >> 9 << 9 for vpn in pages} if (span := self.table.missing(vpn))}
        return {vma.id for start, end in spans for vma in self.layout.overlapping(start, end)}

    def _begin(self, ids: list[int], effects: Effects) -> None:
        self.open_sections(ids)
        self.hiding, self._sweeping = list(effects.hides), [*effects.all_ranges(), *((old, old + count) for old, _, count in effects.moves)]

    def _fix_entries(self, effects: Effects) -> None:
        """Post ZAP, PROTECT and IOTINVAL for the entries that there may be; drop stashed pages."""
        post, space, frames = self._kernel.commands.post, self.space, self._kernel.frames
        moved = [(old, old + count) for old, _, count in effects.moves]
        changed: list[Range] = []
        for start, end in effects.drops:
            if self.stash:
                for vpn in [vpn for vpn in self.stash if start <= vpn < end and not any(a <= vpn < b for a, b in moved)]:
                    frames.release(self.stash.pop(vpn))
        for start, end in effects.zaps():
            for first, count in self.table.runs(start, end):
                post(cmd.zap(space, first, count))
                changed.append((first, count))
        for start, end, rights in effects.protects:
            for first, count in self.table.runs(start, end):
                post(cmd.protect(space, first, count, rights))
                changed.append((first, count))
        if len(changed) > cmd.MOST_BLOCKS:
            post(cmd.invalidate_space(space))
        else:
            for first, count in changed:
                for command in cmd.invalidate_range(space, first, count):
                    post(command)

    def prepare(self, added: list[Vma]) -> None:
        """Give new VMAs a record, and an id if they have none."""
        memory = self._kernel.memory
        for vma in added:
            if not vma.id:
                vma.id = memory.ids.take()
            vma.record = memory.records.take()
            self.write_record(vma)

    def publish(self, changed: list[Vma]) -> None:
        """Post a tree that has the layout as it is now where these VMAs are."""
        self._rebuild(changed)
        self._kernel.commands.post(cmd.set_vmas(self.space, self.tree.pointer))

    def give_back(self, removed: list[Vma], added: list[Vma], kept_ids: Container[int] = ()) -> None:
        """The records of VMAs that are no more, and the ids that nobody carries on; the tree without them is posted, a fence is to come."""
        memory, live = self._kernel.memory, {vma.id for vma in added}
        for vma in removed:
            memory.quarantine.retire(memory.records, vma.record)
            if vma.id not in live and vma.id not in kept_ids:
                memory.quarantine.retire(memory.ids, vma.id)

    def write_record(self, vma: Vma) -> None:
        """Write its record as it is now: a new one, or in a section of its id."""
        file, end = vma.page(vma.end)
        write_record(self._kernel.machine, vma, self._kernel.frames.cache.backing(file, end) if file is not None else 0)

    def _rebuild(self, changed: list[Vma]) -> None:
        """A new version of the tree, with the layout as it is now where these VMAs are."""
        if changed:
            low, high = min(vma.start for vma in changed), max(vma.start for vma in changed) + 1
            self.tree.replace(low, high, self.layout.starting_in(low, high))

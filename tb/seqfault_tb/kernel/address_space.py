"""An address space as the testbench kernel keeps it: layout, VMA tree, page table, and the operations that change them.

Every operation runs under the kernel's lock of the address space and ends when the engine has executed it. [docs/software-contract.md:
"Every SEQ.BEGIN/END, ZAP and PROTECT of a space is given under its MM.LOCK"]
"""

from typing import TYPE_CHECKING

from . import commands as cmd
from .constants import PTE_A, PTE_D, PTE_PPN_SHIFT, PTE_V, PTE_W, VmaFlag
from .effects import Effects, Move, Range, plan
from .layout import Layout, LayoutChange, Vma
from .page_table import PageTable
from .tasks import Future, Lock
from .vma_tree import VmaTree, write_record

if TYPE_CHECKING:
    from .kernel import Kernel
    from .page_requests import PageRequest

__all__ = ["AddressSpace"]


class AddressSpace:
    """One mm. All numbers are VPNs.

    Attributes
    ----------
    slot : its space in the engine, None if it has none now. users : operations and faults in progress.
    stash : pages of ranges without any access right: the entries that ZAP removed, put back when rights return.
    hiding : ranges whose removed entries go to the stash, while an operation runs. faulting : pages with faults in progress, and how many.
    """

    def __init__(self, kernel: "Kernel", number: int) -> None:
        self._kernel = kernel
        self.number = number
        self.layout = Layout()
        self.table = PageTable(kernel.machine, kernel.memory)
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

    def populate(self, changes: list[LayoutChange]) -> None:
        """The first layout; nobody has seen the address space yet."""
        if changes:
            _, added = self.layout.apply(changes)
            self._give_records(added)
            self._rebuild(added)

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
            self._give_records(added)
            self._rebuild(added)
            self._kernel.commands.post(cmd.set_vmas(self._space, self.tree.pointer))
            await self._kernel.fence()

    async def fork(self, child: "AddressSpace", skipped: tuple[Range, ...] = ()) -> None:
        """Copy this address space into a new one: private pages become read-only in both. [protocol.md 0.3, fork F1 to F4]"""
        async with self.lock:
            await self._kernel.spaces.hold(self)
            post, space = self._kernel.commands.post, self._space
            private = [vma for vma in self.layout.vmas if self._has_own_pages(vma)]
            post(cmd.mm_lock(space))
            for vma in private:
                post(cmd.sequence_begin(space, vma.id))
            for vma in private:
                if vma.flags & VmaFlag.WRITE:
                    rights = vma.rights & ~VmaFlag.WRITE | VmaFlag.READ
                    for start, count in self.table.runs(vma.start, vma.end):
                        post(cmd.protect(space, start, count, rights))
            post(cmd.invalidate_space(space))
            await self._kernel.fence()
            self._copy_to(child, set(private), skipped)
            for vma in private:
                post(cmd.sequence_end(space, vma.id))
            post(cmd.mm_unlock(space))
            await self._kernel.fence()
            self._kernel.spaces.drop(self)

    async def age(self, start: int, end: int) -> None:
        """Clear A and D of these pages, to see which are used."""
        async with self.lock:
            await self._kernel.spaces.hold(self)
            post, space = self._kernel.commands.post, self._space
            ids = sorted({vma.id for vma in self.layout.overlapping(start, end)})
            post(cmd.mm_lock(space))
            for vma_id in ids:
                post(cmd.sequence_begin(space, vma_id))
            await self._kernel.fence()
            for vpn in list(self.table.pages(start, end)):
                word = self.table.read(vpn)
                if word & PTE_V and word & (PTE_A | PTE_D):  # else the write would be one that nobody can tell from none
                    self.table.write(vpn, word & ~(PTE_A | PTE_D))
            for command in cmd.invalidate_range(space, start, end - start):
                post(command)
            for vma_id in ids:
                post(cmd.sequence_end(space, vma_id))
            post(cmd.mm_unlock(space))
            await self._kernel.fence()
            self._kernel.spaces.drop(self)

    async def tear_down(self) -> None:
        """The last user is gone: give everything back."""
        async with self.lock:
            await self._kernel.spaces.retire(self)
            frames, write, memory = self._kernel.frames, self._kernel.machine.write64, self._kernel.memory
            for vpns in self.table.touched.values():
                for vpn in vpns:
                    word = self.table.read(vpn)
                    if word:
                        frames.release(word)
                        write(self.table.entry(vpn), 0)
            for word in self.stash.values():
                frames.release(word)
            self.stash.clear()
            self.table.destroy()
            self.tree.retire()
            for vma in self.layout.vmas:
                memory.quarantine.retire(memory.records, vma.record)
                memory.quarantine.retire(memory.ids, vma.id)
            self.layout = Layout()

    def take_released(self, entry: int, vpn: int) -> None:
        """ZAP has removed this entry."""
        if any(start <= vpn < end for start, end in self.hiding):
            self.stash[vpn] = entry
        else:
            self._kernel.frames.release(entry)

    @property
    def _space(self) -> int:
        assert self.slot is not None, "only while held"
        return self.slot

    async def _section(self, removed: list[Vma], added: list[Vma], effects: Effects) -> None:
        """The writer's section: one batch of commands, and a second one where software touches entries, tables or a record itself."""
        post, space, memory = self._kernel.commands.post, self._space, self._kernel.memory
        in_place = self._edits_in_place(removed, added)
        if not in_place:
            self._give_records(added)
        ids = self._sequence_ids(removed, added, effects)
        unlinks = sorted({prefix for start, end in effects.gaps for prefix in self.table.tables_inside(start, end)})
        self._begin(ids, effects)
        if (removed or added) and not in_place:
            self._rebuild(removed + added)
            post(cmd.set_vmas(space, self.tree.pointer))
        self._fix_entries(effects)
        if in_place or unlinks or effects.needs_software(self.stash):
            await self._kernel.fence()
            for old, new in zip(removed, added, strict=True) if in_place else ():
                new.record = old.record
                write_record(self._kernel.machine, new)
            self._move_and_reveal(effects)
            for prefix in unlinks:
                self.table.unlink(prefix)
            for start, end in [(old, old + count) for old, _, count in effects.moves] + [(p << 9, p + 1 << 9) for p in unlinks]:
                for command in cmd.invalidate_range(space, start, end - start):
                    post(command)
        for vma_id in ids:
            post(cmd.sequence_end(space, vma_id))
        post(cmd.mm_unlock(space))
        live = {vma.id for vma in added}
        for vma in removed:
            if not in_place:
                memory.quarantine.retire(memory.records, vma.record)
            if vma.id not in live and vma.id not in effects.kept_ids:
                memory.quarantine.retire(memory.ids, vma.id)
        await self._kernel.fence()
        self.hiding = []
        for start, end in effects.gaps:
            self.table.forget(start, end, self.faulting)

    def _edits_in_place(self, removed: list[Vma], added: list[Vma]) -> bool:
        """The tree stays as it is and only records change: then every second time the record is edited where it is, not copied."""
        same = bool(removed) and [(vma.start, vma.id) for vma in removed] == [(vma.start, vma.id) for vma in added]
        self._in_place = same and not self._in_place
        return self._in_place

    def _sequence_ids(self, removed: list[Vma], added: list[Vma], effects: Effects) -> list[int]:
        """VMAs that change, and new ones whose entries this section still works on."""
        ids = {vma.id for vma in removed}
        for start, end in effects.all_ranges():
            ids.update(vma.id for vma in added if vma.start < end and vma.end > start)
        for old, new, count in effects.moves:
            for start in (old, new):
                ids.update(vma.id for vma in self.layout.overlapping(start, start + count))
        return sorted(ids)

    def _begin(self, ids: list[int], effects: Effects) -> None:
        post, space = self._kernel.commands.post, self._space
        post(cmd.mm_lock(space))
        for vma_id in ids:
            post(cmd.sequence_begin(space, vma_id))
        self.hiding = list(effects.hides)

    def _fix_entries(self, effects: Effects) -> None:
        """Post ZAP, PROTECT and IOTINVAL for the entries that there may be; drop stashed pages."""
        post, space, frames = self._kernel.commands.post, self._space, self._kernel.frames
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

    def _move_and_reveal(self, effects: Effects) -> None:
        """Direct writes: entries that mremap moves, and stashed pages of ranges that have rights again."""
        for old, new, count in effects.moves:
            for vpn in list(self.table.pages(old, old + count)):
                word = self.table.read(vpn)
                if word & PTE_V:
                    self.table.write(vpn, 0)
                    self.table.write(vpn - old + new, word)
            for vpn in [vpn for vpn in self.stash if old <= vpn < old + count]:
                self.stash[vpn - old + new] = self.stash.pop(vpn)
        for start, end, vma in effects.reveals:
            for vpn in [vpn for vpn in self.stash if start <= vpn < end]:
                word = self.stash.pop(vpn)
                self.table.write(vpn, word >> PTE_PPN_SHIFT << PTE_PPN_SHIFT | vma.template | word & PTE_D)

    def _give_records(self, added: list[Vma]) -> None:
        memory = self._kernel.memory
        for vma in added:
            if not vma.id:
                vma.id = memory.ids.take()
            vma.record = memory.records.take()
            write_record(self._kernel.machine, vma)

    def _rebuild(self, changed: list[Vma]) -> None:
        """A new version of the tree, with the layout as it is now where these VMAs are."""
        if changed:
            low, high = min(vma.start for vma in changed), max(vma.start for vma in changed) + 1
            self.tree.replace(low, high, self.layout.starting_in(low, high))

    def _has_own_pages(self, vma: Vma) -> bool:
        """The VMA has pages that a fault of a fork's child could not bring back: only then are its entries copied, as Linux does."""
        if vma.shared:
            return False
        is_cached, read = self._kernel.frames.is_cached, self.table.read
        return any(word & PTE_V and not is_cached(word >> PTE_PPN_SHIFT) for word in map(read, self.table.pages(vma.start, vma.end)))

    def _copy_to(self, child: "AddressSpace", private: set[Vma], skipped: tuple[Range, ...]) -> None:
        """The child's layout, and the entries of these VMAs; they have lost the right to write already."""
        frames, vmas = self._kernel.frames, []
        for vma in self.layout.vmas:
            if any(vma.start < end and vma.end > start for start, end in skipped):
                continue
            vmas.append(vma.part(vma.start, vma.end, 0))
            if vma in private:
                for vpn in self.table.pages(vma.start, vma.end):
                    word = self.table.read(vpn)
                    if word & PTE_V:
                        frames.share(word)
                        child.table.write(vpn, word & ~PTE_W)
            for vpn in [vpn for vpn in self.stash if vma.start <= vpn < vma.end]:
                frames.share(self.stash[vpn])
                child.stash[vpn] = self.stash[vpn]
        child.layout = Layout(vmas)
        child._give_records(vmas)
        child._rebuild(vmas)

"""What is done to upper entries beside making tables: a huge page in place of a table, tables that move or go with all that they hold.

"software writes an upper entry (makes, removes or moves a table) only in such a section of every VMA that overlaps what the entry translates;
removing one, with the IOTINVAL.VMA before the SEQ.END, and a fence before reuse" [docs/software-contract.md, PTE locks]
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from . import commands as cmd
from .constants import PTE_A, PTE_D, PTE_PPN_SHIFT, PTE_V, PTE_W, VmaFlag
from .layout import LayoutChange
from .sections import section

if TYPE_CHECKING:
    from .address_space import AddressSpace
    from .kernel import Kernel

__all__ = ["collapse", "drop_directory", "move_table", "split"]

PAGES = 512
"""Of a leaf table."""
PAGE_BITS, LEVEL_BITS = 12, 9


async def collapse(
    kernel: "Kernel", mm: "AddressSpace", start: int, huge: int, copy: Callable[[int, int], None], *,
    reuse: Callable[[int], Awaitable[None]] | None = None,
) -> None:  # fmt: skip
    """The 512 pages from `start` on become one huge page. [protocol.md 0.3, huge collapse K1 to K6]

    `huge`: PPN of its 512 frames, zeroed and software's own. `copy(from, to)`: copies a frame. `reuse(address)`: does what it likes with the table
    that was withdrawn, when no walker can be in it any more; but for the entries that it had, it must be empty again after that.
    """
    async with section(kernel, mm, start, start + PAGES):
        table, vma = mm.table, mm.layout.find(start)
        assert vma is not None
        words = {vpn: word for vpn in table.pages(start, start + PAGES) if (word := table.read(vpn)) & PTE_V}
        withdrawn = table.detach(start >> LEVEL_BITS) if words else 0
        for command in cmd.invalidate_range(mm.space, start, PAGES):
            kernel.commands.post(command)
        await kernel.fence()
        if withdrawn and reuse is not None:
            await reuse(withdrawn)
        for vpn, word in words.items():
            copy(word >> PTE_PPN_SHIFT & (1 << 44) - 1, huge + vpn - start)
            kernel.machine.write64(withdrawn + 8 * (vpn - start), 0)
            kernel.frames.release(word)
        if withdrawn:
            kernel.memory.retire_table(withdrawn)
        rights = vma.template | PTE_A | PTE_D | (PTE_W if vma.flags & VmaFlag.WRITE else 0)
        table.attach(start >> LEVEL_BITS, huge << PTE_PPN_SHIFT | rights)


async def split(kernel: "Kernel", mm: "AddressSpace", start: int) -> None:
    """The huge page goes; its frames stay software's."""
    async with section(kernel, mm, start, start + PAGES):
        mm.table.attach(start >> LEVEL_BITS, 0)
        for command in cmd.invalidate_range(mm.space, start, PAGES):
            kernel.commands.post(command)


async def move_table(kernel: "Kernel", mm: "AddressSpace", changes: list[LayoutChange], start: int, to: int) -> None:
    """mremap of 512 pages with their table; the layout changes so that nothing is left at `start`. What was at `to` goes. [protocol.md 0.3, M1 to M4]

    Whether there is a table at `to` is seen when no fault is running that could make one. [protocol.md 8, R17]
    """
    async with mm.lock:
        await kernel.spaces.hold(mm)
        removed, added = mm.layout.apply(changes)
        mm.prepare(added)
        ids = sorted({vma.id for vma in removed + added + mm.layout.overlapping(to, to + PAGES)})
        mm.open_sections(ids)
        mm.publish(removed + added)
        for first, count in mm.table.runs(to, to + PAGES):
            kernel.commands.post(cmd.zap(mm.space, first, count))
        await kernel.fence()
        if mm.table.entry(to):
            mm.table.unlink(to >> LEVEL_BITS)
        if mm.table.entry(start):
            touched = list(mm.table.pages(start, start + PAGES))
            table = mm.table.detach(start >> LEVEL_BITS)
            mm.table.attach(to >> LEVEL_BITS, table >> PAGE_BITS << PTE_PPN_SHIFT | PTE_V)
            for vpn in touched:
                mm.table.touch(vpn - start + to)
        for at in (start, to):
            for command in cmd.invalidate_range(mm.space, at, PAGES):
                kernel.commands.post(command)
        mm.close_sections(ids)
        mm.give_back(removed, added)
        await kernel.fence()
        mm.table.forget(start, start + PAGES, mm.faulting)
        kernel.spaces.drop(mm)


async def drop_directory(kernel: "Kernel", mm: "AddressSpace", start: int, reuse: Callable[[int, int], Awaitable[None]]) -> None:
    """munmap of the only VMA of a GiB, which begins at `start`: the leaf table and the table above it go too.

    `reuse(leaf table, directory)`: as of `collapse`; both are empty before and after it.
    """
    async with mm.lock:
        await kernel.spaces.hold(mm)
        vma = mm.layout.find(start)
        assert vma is not None
        removed, _ = mm.layout.apply([LayoutChange(op="clear", start=vma.start, end=vma.end)])
        mm.open_sections([vma.id])
        mm.publish(removed)
        for first, count in mm.table.runs(vma.start, vma.end):
            kernel.commands.post(cmd.zap(mm.space, first, count))
        await kernel.fence()
        leaf = mm.table.detach(start >> LEVEL_BITS)
        directory = mm.table.detach(start >> 2 * LEVEL_BITS, 1)
        kernel.commands.post(cmd.invalidate_space(mm.space))
        mm.close_sections([vma.id])
        mm.give_back(removed, [])
        await kernel.fence()
        await reuse(leaf, directory)
        for table in (leaf, directory):
            kernel.memory.retire_table(table)
        await kernel.fence()
        mm.table.forget(vma.start, vma.end, mm.faulting)
        kernel.spaces.drop(mm)

"""Taking a page out of the page cache, as truncation does: nobody maps it afterwards. [docs/software-contract.md, Page cache]"""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from . import commands as cmd
from .page_cache import Page

if TYPE_CHECKING:
    from .address_space import AddressSpace
    from .kernel import Kernel

__all__ = ["evict"]


async def evict(kernel: "Kernel", page: Page) -> None:
    """Take the page out if it is there: "only while for every VMA that shows the page a section is open, with a ZAP of the page in it".

    All address spaces are locked meanwhile, and those that show the page need a slot of the engine at the same time. Private copies go too.
    """
    async with AsyncExitStack() as stack:
        mms = [kernel.mms[number] for number in sorted(kernel.mms)]
        for mm in mms:
            await stack.enter_async_context(mm.lock)
        shown = {mm: found for mm in mms if (found := _shown(mm, page))}
        for mm in shown:
            await kernel.spaces.hold(mm)
        for mm, pages in shown.items():
            mm.open_sections(sorted({vma_id for vma_id, _ in pages}))
            for _, vpn in pages:
                kernel.commands.post(cmd.zap(mm.space, vpn, 1))
                kernel.commands.post(cmd.invalidate_page(mm.space, vpn))
        await kernel.fence()
        if kernel.frames.cache.slot(page):
            kernel.frames.cache.take_out(page)
        for mm, pages in shown.items():
            mm.close_sections(sorted({vma_id for vma_id, _ in pages}))
        await kernel.fence()
        for mm in shown:
            kernel.spaces.drop(mm)


def _shown(mm: "AddressSpace", page: Page) -> list[tuple[int, int]]:
    """Where an address space shows the page: id of the VMA, VPN."""
    file, number = page
    found = [(vma, vma.start + number - vma.pgoff) for vma in mm.layout.vmas if vma.file_key == file]
    return [(vma.id, vpn) for vma, vpn in found if vma.start <= vpn < vma.end]

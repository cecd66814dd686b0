"""UFFDIO_WRITEPROTECT: the pages are read-only until user space has looked at them. [docs/software-contract.md, Frames; protocol.md 8, R19]"""

from typing import TYPE_CHECKING

from . import commands as cmd
from .constants import PTE_UFFD_WP, PTE_V, PTE_W
from .sections import section

if TYPE_CHECKING:
    from .address_space import AddressSpace
    from .kernel import Kernel

__all__ = ["write_protect"]


async def write_protect(kernel: "Kernel", mm: "AddressSpace", start: int, end: int) -> None:
    """Stores to the pages of [start, end) that are there are userfaults from now on; the VMA has UFFD_WP."""
    async with section(kernel, mm, start, end):
        for vpn in list(mm.table.pages(start, end)):
            word = mm.table.read(vpn)
            if word & PTE_V:
                mm.table.write(vpn, word & ~PTE_W | PTE_UFFD_WP)
        for command in cmd.invalidate_range(mm.space, start, end - start):
            kernel.commands.post(command)

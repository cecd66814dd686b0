"""The simplest writer's section: wait until nobody is in these VMAs, change what is theirs, let the others go on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .address_space import AddressSpace
    from .kernel import Kernel

__all__ = ["section"]


@asynccontextmanager
async def section(kernel: "Kernel", mm: "AddressSpace", start: int, end: int) -> AsyncIterator[None]:
    """A section of every VMA that overlaps [start, end), in which no fault is running that began before; at its end they have seen it all."""
    async with mm.lock:
        await kernel.spaces.hold(mm)
        ids = sorted({vma.id for vma in mm.layout.overlapping(start, end)})
        mm.open_sections(ids)
        await kernel.fence()
        yield
        mm.close_sections(ids)
        await kernel.fence()
        kernel.spaces.drop(mm)

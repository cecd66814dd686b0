"""Which pages a fault-around may map beside its own. [contract, Frames: "Fault-around"; protocol.md 1.11]"""

from typing import NamedTuple

from ..layout import Access
from .commit_steps import installed_pte
from .plan import Plan

__all__ = ["AROUND_PAGES", "Neighbour", "around_pte", "neighbours", "window_address"]

AROUND_PAGES = 16
"""The pages of the naturally aligned 64 KiB."""
_NODE_BYTES = 512


class Neighbour(NamedTuple):
    """Another page of the window: the byte addresses of its slot and of its leaf entry."""

    vpn: int
    slot: int
    entry: int


def window_address(entry_address: int) -> int:
    """Address of the lowest entry of the window."""
    return entry_address & ~(AROUND_PAGES * 8 - 1)


def neighbours(vpn: int, start: int, end: int, slot: int, entry_address: int) -> list[Neighbour]:
    """ "the 16 pages of the naturally aligned 64 KiB of the faulting page, as far as they are in the VMA and their slots are in the same lowest
    node", without the page itself. `start`, `end`: the VMA's pages; `slot`, `entry_address`: of the page itself."""
    window = vpn & -AROUND_PAGES
    node = slot & -_NODE_BYTES
    pages = range(max(window, start), min(window + AROUND_PAGES, end))
    found = [Neighbour(page, slot + 8 * (page - vpn), entry_address + 8 * (page - vpn)) for page in pages if page != vpn]
    return [each for each in found if node <= each.slot < node + _NODE_BYTES]


def around_pte(page_prot: int, frame: int) -> int:
    """What the entry of such a page gets: as for a load of its own."""
    return installed_pte(Plan.SLOT, 0, page_prot, frame, Access.LOAD)

"""Entries that software writes itself when a layout changes: those that mremap moves, and hidden ones of ranges that have rights again."""

from .constants import PTE_D, PTE_EXCLUSIVE, PTE_PPN_SHIFT, PTE_V
from .effects import Effects
from .page_table import PageTable

__all__ = ["move_and_reveal", "new_pages"]


def new_pages(table: PageTable, stash: dict[int, int], effects: Effects) -> list[int]:
    """Pages that may get an entry."""
    pages = [vpn for start, end, _ in effects.reveals for vpn in stash if start <= vpn < end]
    for old, new, count in effects.moves:
        pages += [vpn - old + new for vpn in table.pages(old, old + count)]
    return pages


def move_and_reveal(table: PageTable, stash: dict[int, int], effects: Effects) -> None:
    """Write the entries, in a section of all VMAs concerned, and after its fence."""
    for old, new, count in effects.moves:
        for vpn in list(table.pages(old, old + count)):
            word = table.read(vpn)
            if word & PTE_V:
                table.write(vpn, 0)
                table.write(vpn - old + new, word)
        for vpn in [vpn for vpn in stash if old <= vpn < old + count]:
            stash[vpn - old + new] = stash.pop(vpn)
    for start, end, vma in effects.reveals:
        for vpn in [vpn for vpn in stash if start <= vpn < end]:
            word = stash.pop(vpn)
            table.write(vpn, word >> PTE_PPN_SHIFT << PTE_PPN_SHIFT | vma.template | word & (PTE_D | PTE_EXCLUSIVE))

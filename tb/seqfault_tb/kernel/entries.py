"""Leaf entries as Linux' slow path would make them: anonymous pages, the zero page, file pages, copy on write."""

from .constants import PTE_A, PTE_D, PTE_EXCLUSIVE, PTE_PPN_SHIFT, PTE_R, PTE_V, PTE_W, PTE_X, Access, Slot
from .frames import Frames
from .layout import Vma

__all__ = ["permits", "resolve", "shown"]


def permits(word: int, access: int) -> bool:
    """The engine answers this access from the entry without a fault. [Priv 12.3.2, contract: Spaces]"""
    if not word & PTE_V or not word & PTE_A:
        return False
    if access == Access.STORE:
        return bool(word & PTE_W and word & PTE_D)
    return bool(word & (PTE_X if access == Access.FETCH else PTE_R))


def shown(frames: Frames, vma: Vma, vpn: int) -> int:
    """The entry of a page that somebody else made present: readable, not writable. A page of a file is then in the cache."""
    frame = frames.zero if vma.file_key is None else frames.cache.add(vma.page(vpn))
    return frame << PTE_PPN_SHIFT | vma.template


def resolve(frames: Frames, vma: Vma, vpn: int, access: int, word: int) -> int:
    """The entry after a fault of this kind that the VMA permits, given the entry now (0: none)."""
    store, present = access == Access.STORE, word & PTE_V
    if not store:
        return word | vma.template if present else shown(frames, vma, vpn)
    if vma.shared:
        frame = frames.cache.add(vma.page(vpn))
        frames.cache.change(vma.page(vpn), add=Slot.WRITABLE)
        return frame << PTE_PPN_SHIFT | vma.template | PTE_W | PTE_D
    frame = word >> PTE_PPN_SHIFT
    if not present or not frames.is_exclusive(frame):
        frame = frames.take()
    return frame << PTE_PPN_SHIFT | vma.template | PTE_W | PTE_D | PTE_EXCLUSIVE

"""Leaf entries as Linux' slow path would make them: anonymous pages, the zero page, file pages, copy on write."""

from .constants import PTE_A, PTE_D, PTE_PPN_SHIFT, PTE_R, PTE_V, PTE_W, PTE_X, Access
from .frames import Frames
from .layout import ANONYMOUS_KINDS, Vma

__all__ = ["permits", "resolve", "shown"]


def permits(word: int, access: int) -> bool:
    """The engine answers this access from the entry without a fault. [Priv 12.3.2, contract: Spaces]"""
    if not word & PTE_V or not word & PTE_A:
        return False
    if access == Access.STORE:
        return bool(word & PTE_W and word & PTE_D)
    return bool(word & (PTE_X if access == Access.FETCH else PTE_R))


def shown(frames: Frames, vma: Vma, vpn: int) -> int:
    """The entry of a page that somebody else made present: readable, not writable."""
    if vma.kind in ANONYMOUS_KINDS and not vma.shared:
        return frames.zero << PTE_PPN_SHIFT | vma.template
    return _cached(frames, vma, vpn) << PTE_PPN_SHIFT | vma.template


def resolve(frames: Frames, vma: Vma, vpn: int, access: int, word: int) -> int:
    """The entry after a fault of this kind that the VMA permits, given the entry now (0: none)."""
    store = access == Access.STORE
    if not word & PTE_V:
        if vma.shared:
            writable = store or (vma.kind == "shm" and vma.permits(Access.STORE))
            return _cached(frames, vma, vpn) << PTE_PPN_SHIFT | vma.template | (PTE_W | PTE_D if writable else 0)
        if store:
            return frames.take() << PTE_PPN_SHIFT | vma.template | PTE_W | PTE_D
        return shown(frames, vma, vpn)
    frame = word >> PTE_PPN_SHIFT
    if not store:
        return word | vma.template
    if not vma.shared and not frames.is_exclusive(frame):
        frame = frames.take()
    return frame << PTE_PPN_SHIFT | vma.template | PTE_W | PTE_D


def _cached(frames: Frames, vma: Vma, vpn: int) -> int:
    """The frame of the page cache that the VMA shows at this page."""
    return frames.cached((vma.kind, vma.file), vma.pgoff + vpn - vma.start)

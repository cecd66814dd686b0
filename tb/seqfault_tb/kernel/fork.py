"""What a fork copies: the layout, and the entries of private memory, which both processes then share until one writes."""

from typing import TYPE_CHECKING

from .constants import PTE_EXCLUSIVE, PTE_PPN_SHIFT, PTE_V, PTE_W

if TYPE_CHECKING:
    from .address_space import AddressSpace
    from .effects import Range
    from .frames import Frames
    from .layout import Vma

__all__ = ["copy_pages", "has_own_pages"]


def has_own_pages(frames: "Frames", parent: "AddressSpace", vma: "Vma") -> bool:
    """The VMA has pages that a fault of a fork's child could not bring back: only then are its entries copied, as Linux does."""
    if vma.shared:
        return False
    words = map(parent.table.read, parent.table.pages(vma.start, vma.end))
    return any(word & PTE_V and not frames.is_cached(word >> PTE_PPN_SHIFT) for word in words)


def copy_pages(frames: "Frames", parent: "AddressSpace", child: "AddressSpace", private: "set[Vma]", skipped: "tuple[Range, ...]") -> None:
    """The child's layout without the VMAs in `skipped`, and the entries of `private`, which lost W and EXCLUSIVE in the parent already."""
    vmas = []
    for vma in parent.layout.vmas:
        if any(vma.start < end and vma.end > start for start, end in skipped):
            continue
        vmas.append(vma.part(vma.start, vma.end, 0))
        if vma in private:
            for vpn in parent.table.pages(vma.start, vma.end):
                word = parent.table.read(vpn)
                if word & PTE_V:
                    frames.share(word)
                    child.table.write(vpn, word & ~(PTE_W | PTE_EXCLUSIVE))
        for vpn in [vpn for vpn in parent.stash if vma.start <= vpn < vma.end]:
            frames.share(parent.stash[vpn])
            child.stash[vpn] = parent.stash[vpn] = parent.stash[vpn] & ~PTE_EXCLUSIVE
    child.adopt(vmas)

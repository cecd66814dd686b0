"""What a fault does about the entry that its walk found: the table of the contract's "Frames, and what a leaf entry says about them".

Checker, explorer and replay all take it from here.
"""

from enum import IntEnum

from ..layout import PTE_EXCLUSIVE, PTE_UFFD_WP, PTE_V, PTE_W, Access, Outcome, RequestFlag, VmaFlag, pte_ppn
from ..page_cache import SLOT_LOCKED, SLOT_PRESENT, SLOT_UPTODATE, SLOT_WRITABLE, slot_ppn

__all__ = ["Plan", "clears", "copies", "fault_around", "is_anonymous", "looks_up", "page_outcome", "plan_of", "takes_frame", "zeroes"]


class Plan(IntEnum):
    """Which frame the entry is to map."""

    ZERO = 0
    """the zero frame"""
    POOL = 1
    """a frame of the pool"""
    SLOT = 2
    """the slot's"""
    COPY_SLOT = 3
    """one of the pool, into which the slot's is copied"""
    COPY = 4
    """one of the pool, into which the entry's is copied (copy on write)"""
    STAY = 5
    """its own: rights are added"""
    STAY_SHARED = 6
    """its own, if it is the slot's and may be written"""
    TABLE = 7
    """a frame of the pool becomes the table below"""


_FROM_POOL = frozenset((Plan.POOL, Plan.COPY_SLOT, Plan.COPY, Plan.TABLE))
_COPIES = frozenset((Plan.COPY_SLOT, Plan.COPY))
_ZEROES = frozenset((Plan.POOL, Plan.TABLE))
_LOOKS_UP = frozenset((Plan.SLOT, Plan.COPY_SLOT, Plan.STAY_SHARED))
_USERFAULTS = VmaFlag.UFFD | VmaFlag.UFFD_WP | VmaFlag.UFFD_MINOR


def is_anonymous(vma_flags: int) -> bool:
    """ "A VMA with ANON and without SHARED shows anonymous memory; every other one shows the pages of its backing"."""
    return vma_flags & (VmaFlag.ANON | VmaFlag.SHARED) == VmaFlag.ANON


def plan_of(access: int, flags: int, vma_flags: int, level: int, entry: int, zero_frame: int) -> tuple[Outcome, Plan]:
    """How an `entry` of `level` is served that is empty, or valid and without what the access needs: OK and the plan, or why R7 gives it up."""
    atomic = bool(flags & RequestFlag.ATOMIC)
    if level > 0:  # only an empty entry comes here from above
        return (Outcome.NO_TABLE if atomic else Outcome.OK), Plan.TABLE
    if not entry & PTE_V:
        return _first_touch(access, vma_flags)
    if access != Access.STORE:
        return Outcome.OK, Plan.STAY
    if entry & PTE_UFFD_WP and vma_flags & VmaFlag.UFFD_WP:
        return Outcome.USERFAULT, Plan.STAY
    if entry & (PTE_W | PTE_EXCLUSIVE):
        return Outcome.OK, Plan.STAY
    if vma_flags & VmaFlag.SHARED:
        return Outcome.OK, Plan.STAY_SHARED
    if pte_ppn(entry) == zero_frame:
        return Outcome.OK, Plan.POOL
    return (Outcome.PRESENT if atomic else Outcome.OK), Plan.COPY


def _first_touch(access: int, vma_flags: int) -> tuple[Outcome, Plan]:
    store = access == Access.STORE
    if is_anonymous(vma_flags):
        return (Outcome.USERFAULT if vma_flags & VmaFlag.UFFD else Outcome.OK), Plan.POOL if store else Plan.ZERO
    return Outcome.OK, Plan.COPY_SLOT if store and not vma_flags & VmaFlag.SHARED else Plan.SLOT


def page_outcome(plan: int, access: int, flags: int, vma_flags: int, entry: int, found: Outcome, word: int) -> Outcome:
    """What PAGE makes of the lookup's end: `found` OK and a slot's word, or NOT_CACHED, BAD_TREE, BUS_ERROR. [contract, Page cache; Frames]"""
    if found not in (Outcome.OK, Outcome.NOT_CACHED):
        return found
    empty, ready = not entry & PTE_V, SLOT_PRESENT | SLOT_UPTODATE
    if found != Outcome.OK or word & ready != ready:
        return Outcome.USERFAULT if empty and vma_flags & VmaFlag.UFFD else Outcome.NOT_CACHED
    if word & SLOT_LOCKED:
        return Outcome.PAGE_BUSY
    if empty and vma_flags & VmaFlag.UFFD_MINOR:
        return Outcome.USERFAULT
    if access == Access.STORE and vma_flags & VmaFlag.SHARED and not word & SLOT_WRITABLE:
        return Outcome.NOT_WRITABLE
    other_frame = plan == Plan.STAY_SHARED and slot_ppn(word) != pte_ppn(entry)
    return Outcome.PRESENT if other_frame or (plan == Plan.COPY_SLOT and flags & RequestFlag.ATOMIC) else Outcome.OK


def takes_frame(plan: int) -> bool:
    """R9 takes a frame of the pool."""
    return plan in _FROM_POOL


def copies(plan: int) -> bool:
    """FILL copies into it."""
    return plan in _COPIES


def zeroes(plan: int) -> bool:
    """It must hold zeros when it is mapped."""
    return plan in _ZEROES


def looks_up(plan: int) -> bool:
    """PAGE: the slot's frame is needed."""
    return plan in _LOOKS_UP


def clears(plan: int, entry: int) -> bool:
    """ "An entry that maps another frame after the fault than before is changed in the order clear, flush, set"."""
    return bool(entry & PTE_V) and plan in (Plan.POOL, Plan.COPY)


def fault_around(plan: int, access: int, flags: int, vma_flags: int) -> bool:
    """A load or fetch of a file's page; "Not with UFFD, UFFD_WP or UFFD_MINOR, and not for ATOMIC"."""
    return plan == Plan.SLOT and access != Access.STORE and not vma_flags & _USERFAULTS and not flags & RequestFlag.ATOMIC

"""The scenarios, by what the writer does."""

from . import change, gup, handover, lifetime, move, pages, pin, share, srcu, unmap, userfault, vma_refcount

__all__ = ["MODULES"]

MODULES = (
    unmap,
    change,
    move,
    share,
    srcu,
    gup,
    pin,
    userfault,
    handover,
    lifetime,
    vma_refcount,
    pages,
)
"""Each has SCENARIOS and CASES."""

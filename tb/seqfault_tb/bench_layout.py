"""The address space of the measurements: one big VMA for the faults, and others beside it, so that the VMA tree has a root and a level of leaves."""

from .bench_engine import TABLE_PAGES, BenchEngine
from .kernel import AddressSpace, LayoutChange

__all__ = ["BIG_END", "BIG_START", "OTHER_PAGES", "OTHER_START", "SCRATCH_START", "anonymous", "tree_of_height_two"]

BIG_TABLES = 128
BIG_START = 0x10_0000
BIG_END = BIG_START + BIG_TABLES * TABLE_PAGES
"""The VMA of the measured faults, page numbers."""
OTHER_START, OTHER_PAGES, OTHER_PITCH, OTHERS = 0x8_0000, 16, 64, 15
"""The first of the VMAs below it, which has pages already; sizes in pages."""
SCRATCH_START = 0x9_0000
"""Where nothing is: for the mutators."""


def anonymous(start: int, pages: int, perm: str = "rw-p") -> LayoutChange:
    """A private anonymous VMA."""
    return LayoutChange(op="set", start=start, end=start + pages, perm=perm)


def tree_of_height_two(engine: BenchEngine, *, perm: str = "rw-p", vma: str = "anon") -> AddressSpace:
    """16 VMAs: two leaf nodes below a root. All leaf tables of the big one, which has this `perm` and kind, are there."""
    others = [anonymous(OTHER_START + OTHER_PITCH * number, OTHER_PAGES) for number in range(OTHERS)]
    big = LayoutChange(op="set", start=BIG_START, end=BIG_END, perm=perm, kind=vma, file=None if vma == "anon" else "the file")
    mm = engine.new_space([*others, big])
    engine.make_tables(mm, BIG_START, BIG_END)
    engine.populate(mm, OTHER_START, OTHER_START + OTHER_PAGES)
    return mm

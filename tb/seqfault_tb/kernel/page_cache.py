"""The page cache: which frame holds which page of a file, in memory as the engine reads it. [docs/software-contract.md, Page cache]

A file is what VMAs name as such (`Vma.cache_key`); shared memory without a name is one too. Its radix tree grows upwards: the old root becomes
the first child of a new one. A record tells the height and root of the time when it was written, high enough for the VMA's own pages, and they
stay right: what was a root goes on to be the node of the same pages. So no record is written because of another VMA.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .constants import CACHE_LEVEL_BITS, PTE_PPN_SHIFT, Slot

if TYPE_CHECKING:
    from ..machine import Machine
    from .memory_layout import MemoryMap

__all__ = ["Page", "PageCache"]

Page = tuple[object, int]
"""A file and the number of a page in it."""
NODE_VALID = 1
INDEX_MASK = (1 << CACHE_LEVEL_BITS) - 1
ALWAYS_WRITABLE = frozenset({"shm", "anon", "heap", "stack"})
"""Kinds of shared memory that nobody has to be asked about before it is written."""


@dataclass(slots=True)
class _File:
    """`nodes`: by height and by what is left of the page number; at 1 are the lowest ones. `height`: of the root; 0: there is none."""

    height: int = 0
    nodes: list[dict[int, int]] = field(default_factory=lambda: [{}])


class PageCache:
    """Pages by file. A page that is added has a frame, is PRESENT and UPTODATE at once, and stays until it is taken out."""

    def __init__(self, machine: "Machine", memory: "MemoryMap") -> None:
        self._machine, self._memory = machine, memory
        self._files: dict[object, _File] = {}
        self._pages: dict[int, Page] = {}

    def backing(self, file: object, end: int) -> int:
        """Word 5 of the record of a VMA that shows pages below `end`."""
        tree = self._grown(file, end - 1)
        return tree.nodes[tree.height][0] | tree.height

    def slot(self, page: Page) -> int:
        """The slot of a page; 0 also if it has none."""
        address = self._address(page)
        return self._machine.read64(address) if address else 0

    def owner(self, frame: int) -> Page | None:
        """The page that this frame holds, or has held; None: it never was in a page cache."""
        return self._pages.get(frame)

    @property
    def frames(self) -> int:
        """Frames that it has ever had: it keeps them."""
        return len(self._pages)

    def add(self, page: Page) -> int:
        """The frame of a page, which is read in if it is not there."""
        slot = self.slot(page)
        if not slot & Slot.PRESENT:
            file, number = page
            frame = self._memory.frames.take()
            self._pages[frame] = page
            writable = Slot.WRITABLE if isinstance(file, tuple) and file[0] in ALWAYS_WRITABLE else 0
            slot = frame << PTE_PPN_SHIFT | int(Slot.PRESENT | Slot.UPTODATE | writable)
            node = self._node(self._grown(file, number), 1, number >> CACHE_LEVEL_BITS)
            self._machine.write64(node + 8 * (number & INDEX_MASK), slot)
        return slot >> PTE_PPN_SHIFT

    def change(self, page: Page, *, add: int = 0, remove: int = 0) -> None:
        """Set or clear flags (`Slot`) of a page that is there. WRITABLE and UPTODATE go only in a section."""
        slot = self.slot(page)
        if (new := (slot | add) & ~int(remove)) != slot:
            self._machine.write64(self._address(page), new)

    def take_out(self, page: Page) -> None:
        """The page goes: in a section of every VMA that shows it, after a fence behind its ZAPs. Its frame stays the cache's and is not used again:
        whoever reads a late record of it in the released ring must not take it for a page of its own.
        """
        self._machine.write64(self._address(page), 0)

    def _address(self, page: Page) -> int:
        """Where the slot is; 0: nowhere."""
        file, number = page
        tree = self._files.get(file)
        node = tree.nodes[1].get(number >> CACHE_LEVEL_BITS) if tree is not None else None
        return node + 8 * (number & INDEX_MASK) if node else 0

    def _grown(self, file: object, number: int) -> _File:
        """The tree of a file, high enough for this page."""
        tree = self._files.setdefault(file, _File())
        while not tree.height or number >> CACHE_LEVEL_BITS * tree.height:
            root = self._memory.cache_nodes.take()
            if tree.height:
                self._machine.write64(root, tree.nodes[tree.height][0] | NODE_VALID)
            tree.nodes.append({0: root})
            tree.height += 1
        return tree

    def _node(self, tree: _File, height: int, prefix: int) -> int:
        """A node at this height; makes what is missing, from above, each node empty when it can be seen."""
        node = tree.nodes[height].get(prefix)
        if node is None:
            node = tree.nodes[height][prefix] = self._memory.cache_nodes.take()
            above = self._node(tree, height + 1, prefix >> CACHE_LEVEL_BITS)
            self._machine.write64(above + 8 * (prefix & INDEX_MASK), node | NODE_VALID)
        return node

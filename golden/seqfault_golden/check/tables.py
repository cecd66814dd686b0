"""Which page is a page table of which space, learned from SPACE_TABLE and from the upper entries, and which translations ended.

The reverse map serves the checks that start from an address (a software write, a final memory comparison); whoever keeps old
translations (the check of answers) is told of each leaf that stops to be reachable or changes.
"""

from collections.abc import Callable

from ..layout import PAGE_BITS, branch_table, is_branch, is_leaf, satp_levels, satp_root
from .history import Memory

__all__ = ["TableMap"]

Place = tuple[int, int, int]
"""Space, level, and the first VPN that a table translates."""


class TableMap:
    """Page number to `Place` of every table that is reachable; a page serves one place at a time.

    Attributes
    ----------
    retire : called with (space, level, vpn, pte) when the leaf `pte` for `vpn` ends.
    ever : page numbers of all tables that were reachable at any time.
    """

    __slots__ = ("_memory", "_places", "ever", "retire")

    def __init__(self, memory: Memory, retire: Callable[[int, int, int, int], None]) -> None:
        self._memory = memory
        self._places: dict[int, Place] = {}
        self.retire = retire
        self.ever: set[int] = set()

    def place(self, address: int) -> Place | None:
        """Space, level and VPN of the entry at a byte address; None: not in a reachable table."""
        place = self._places.get(address >> PAGE_BITS)
        if place is None:
            return None
        space, level, base = place
        return space, level, base | (address >> 3 & 511) << 9 * level

    def is_table(self, page: int) -> bool:
        """The page with this number is a reachable table."""
        return page in self._places

    def set_root(self, space: int, old: int, new: int) -> None:
        """SPACE.TABLE replaced the satp word."""
        if old == new:
            return
        if satp_levels(old):
            self._forget(satp_root(old), space, satp_levels(old) - 1, 0)
        if satp_levels(new):
            self._learn(satp_root(new), space, satp_levels(new) - 1, 0)

    def entry_written(self, address: int, old: int, new: int) -> None:
        """An entry changed from `old` to `new`; memory already holds `new`."""
        place = self.place(address)
        if place is None or old == new:
            return
        space, level, vpn = place
        if is_leaf(old):
            self.retire(space, level, vpn, old)
        elif level > 0 and is_branch(old):
            self._forget(branch_table(old), space, level - 1, vpn)
        if level > 0 and is_branch(new):
            self._learn(branch_table(new), space, level - 1, vpn)

    def _learn(self, table: int, space: int, level: int, base: int) -> None:
        page = table >> PAGE_BITS
        self._places[page] = (space, level, base)
        self.ever.add(page)
        if level > 0:
            for vpn, pte in self._entries(table, level, base):
                if is_branch(pte):
                    self._learn(branch_table(pte), space, level - 1, vpn)

    def _forget(self, table: int, space: int, level: int, base: int) -> None:
        page = table >> PAGE_BITS
        if self._places.get(page) != (space, level, base):
            return
        del self._places[page]
        for vpn, pte in self._entries(table, level, base):
            if is_leaf(pte):
                self.retire(space, level, vpn, pte)
            elif level > 0 and is_branch(pte):
                self._forget(branch_table(pte), space, level - 1, vpn)

    def _entries(self, table: int, level: int, base: int) -> list[tuple[int, int]]:
        """(first VPN, entry) of the entries that are not 0."""
        words = self._memory.words
        entries = ((base | index << 9 * level, words.get(table + 8 * index, 0)) for index in range(512))
        return [(vpn, pte) for vpn, pte in entries if pte]

    def leaves(self) -> list[tuple[int, int, int, int, int]]:
        """All reachable leaf entries: (address, space, level, vpn, pte)."""
        found = []
        for page, (space, level, base) in self._places.items():
            table = page << PAGE_BITS
            for vpn, pte in self._entries(table, level, base):
                if is_leaf(pte):
                    found.append((table + 8 * (vpn - base >> 9 * level), space, level, vpn, pte))
        return found

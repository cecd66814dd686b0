"""What an L2 TLB may, must and must not answer, and how long it is busy, in plain Python: only the meaning of the contract is shared."""

from dataclasses import dataclass

__all__ = ["ADDRESS_PAGE_BITS", "MASK_BITS", "L2Model", "Leaf", "Record", "is_canonical"]

MASK_BITS = (0, 4, 9, 10, 18, 27, 36)
"""Page-number bits within a page, by `PageSize`."""
ADDRESS_PAGE_BITS = 52
VALID, READ, WRITE, EXECUTE, GLOBAL = 0x1, 0x2, 0x4, 0x8, 0x20
SWEEP_TAIL = 2
"""Cycles of a sweep after the last set was addressed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """An entry `pte` (64 bits) that maps the page of `size` around page `vpn` (52 bits, canonical) of `space`."""

    space: int
    vpn: int
    size: int
    pte: int

    @property
    def key(self) -> tuple[int, int, int]:
        """What it maps; a TLB holds one of a kind."""
        return self.space, self.size, self.vpn >> MASK_BITS[self.size]

    @property
    def is_good(self) -> bool:
        """V is set, and R or X."""
        return bool(self.pte & VALID and self.pte & (READ | EXECUTE))

    def maps(self, space: int, vpn: int) -> bool:
        return self.key == (space, self.size, vpn >> MASK_BITS[self.size])


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """An invalidation: `space` None for all spaces, `vpn` None for all pages; bits of `mask` (a power of two less one) do not count."""

    space: int | None = None
    vpn: int | None = None
    mask: int = 0

    def covers(self, leaf: Leaf) -> bool:
        if self.space is not None and (self.space != leaf.space or leaf.pte & GLOBAL):
            return False
        return self.vpn is None or ((self.vpn ^ leaf.vpn) & ~self.mask) >> MASK_BITS[leaf.size] == 0

    def busy_cycles(self, sets: int) -> int:
        """How long an L2 TLB of so many sets is busy with it."""
        pages = sets if self.space is None or self.vpn is None else self.mask + 1
        return min(sets, pages) + SWEEP_TAIL


def is_canonical(vpn: int, levels: int) -> bool:
    """A 52-bit page number whose bits from the topmost translated one up are all equal."""
    signs = vpn >> (9 * levels - 1)
    return signs in (0, (1 << (ADDRESS_PAGE_BITS - 9 * levels + 1)) - 1)


class L2Model:
    """Cycle by cycle: `step` takes what was strobed in a cycle.

    Members
    -------
    held : leaves that may be there, by key (the TLB may have lost any). latest : the one stored last, which must be there.
    busy : cycles for which it is still busy.
    """

    def __init__(self, *, levels: int, sets: int, spaces: int, sizes: frozenset[int]) -> None:
        self._levels, self._sets, self._spaces, self._sizes = levels, sets, spaces, sizes
        self.held: dict[tuple[int, int, int], Leaf] = {}
        self.reset()

    def reset(self) -> None:
        self.held.clear()
        self.latest: Leaf | None = None
        self.busy = self._sets + SWEEP_TAIL
        self._fill: Leaf | None = None
        self._phase = 0

    def candidates(self, space: int, vpn: int) -> list[Leaf]:
        """What a lookup may find now."""
        if self.busy or space >= self._spaces or not is_canonical(vpn, self._levels):
            return []
        keys = ((space, size, vpn >> MASK_BITS[size]) for size in self._sizes)
        return [self.held[key] for key in keys if key in self.held]

    def step(self, *, lookup: bool, fill: Leaf | None, invalidate: Record | None) -> None:
        if invalidate:
            cover = Record() if self.busy else invalidate
            self._finish_fill(lookup)
            self.held = {key: leaf for key, leaf in self.held.items() if not cover.covers(leaf)}
            if self.latest and cover.covers(self.latest):
                self.latest = None
            self._fill = None
            self.busy = cover.busy_cycles(self._sets)
            return
        free = self._fill is None and not self.busy
        self._finish_fill(lookup)
        if free and fill and fill.is_good and fill.space < self._spaces and fill.size in self._sizes:
            self._fill, self._phase = fill, 0
        self.busy = max(0, self.busy - 1)

    def _finish_fill(self, lookup: bool) -> None:
        """Three cycles: read (without a lookup), compare, store (without a lookup, else again)."""
        if self._fill is None:
            return
        if lookup and self._phase != 1:
            self._phase = 0
        elif self._phase < 2:
            self._phase += 1
        else:
            self.held[self._fill.key] = self.latest = self._fill
            self._fill = None

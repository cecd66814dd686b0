"""What a TLB may and must not answer, in plain Python: it shares nothing with the RTL but the meaning of the contract."""

from dataclasses import dataclass, field

__all__ = ["PAGE_BITS", "Invalidation", "TlbModel", "Translation", "canonical", "covers", "possible_sizes", "same_page"]

LEVEL_BITS = 9
PAGE_BITS = (0, 4, 9, 10, 18, 27, 36)
"""Page-number bits within a page of each size: 4 KiB, 64 KiB, 2 MiB, 4 MiB, 1 GiB, 512 GiB, 256 TiB."""
MIB_4 = 3
V, R, X = 1, 2, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """A leaf entry `pte` (64 bits) for the page of `size` (index in PAGE_BITS) of `space` that page number `vpn` (45 bits) lies in."""

    space: int
    vpn: int
    size: int
    pte: int

    @property
    def is_global(self) -> bool:
        """G, bit 5 of the entry."""
        return bool(self.pte >> 5 & 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Invalidation:
    """IOTINVAL.VMA: `space` None for all spaces, `vpn` None for all pages; bits of `mask` do not count."""

    space: int | None
    vpn: int | None
    mask: int = 0


def possible_sizes(levels: int, *, sv32: bool) -> list[int]:
    """Sizes of pages in tables of up to so many levels."""
    return [size for size, bits in enumerate(PAGE_BITS) if bits < LEVEL_BITS * levels and (sv32 or size != MIB_4)]


def canonical(vpn: int, levels: int) -> bool:
    """A 52-bit page number whose bits above the tables' reach all equal the topmost translated one."""
    top = vpn >> (LEVEL_BITS * levels - 1)
    return top in (0, (1 << (52 - LEVEL_BITS * levels + 1)) - 1)


def same_page(a: int, b: int, size: int) -> bool:
    """Both page numbers lie in one page of `size`."""
    return a >> PAGE_BITS[size] == b >> PAGE_BITS[size]


def covers(invalidation: Invalidation, entry: Translation, *, spare_globals: bool = True) -> bool:
    """The entry must be gone after the invalidation."""
    if invalidation.space is not None and (invalidation.space != entry.space or (entry.is_global and spare_globals)):
        return False
    if invalidation.vpn is None:
        return True
    different = (invalidation.vpn ^ entry.vpn) & ~invalidation.mask
    return different >> PAGE_BITS[entry.size] == 0


@dataclass(kw_only=True, slots=True)
class TlbModel:
    """The translations that a TLB may hold: all of them, while they were never more than its entries."""

    levels: int
    spaces: int
    held: list[Translation] = field(default_factory=list)
    arriving: Translation | None = None

    def find(self, space: int, vpn: int) -> Translation | None:
        """The translation of this 52-bit page."""
        if not canonical(vpn, self.levels):
            return None
        page = vpn & (1 << LEVEL_BITS * self.levels) - 1
        found = [entry for entry in self.held if entry.space == space and same_page(entry.vpn, page, entry.size)]
        assert len(found) <= 1, "the model holds two translations of a page"
        return found[0] if found else None

    def cycle(self, fill: Translation | None, invalidation: Invalidation | None) -> Translation | None:
        """What these strobes do to the set; returns what is held from now on.

        A fill takes effect one cycle late, and gives way to any invalidation until then.
        """
        if invalidation:
            self.held = [entry for entry in self.held if not covers(invalidation, entry)]
            self.arriving = None
            return None
        new = self.arriving
        if new:
            self.held = [entry for entry in self.held if entry.space != new.space or not same_page(entry.vpn, new.vpn, max(entry.size, new.size))]
            self.held.append(new)
        self.arriving = fill if fill and fill.pte & V and fill.pte & (R | X) and fill.space < self.spaces else None
        return new

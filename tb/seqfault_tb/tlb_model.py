"""What a TLB may and must not answer, in plain Python: it shares nothing with the RTL but the meaning of the contract."""

from dataclasses import dataclass

__all__ = ["Invalidation", "Translation", "canonical", "covers", "same_superpage"]

LEVEL_BITS = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """A leaf entry `pte` (64 bits) of `level` that maps page `vpn` (of 36 bits) of `space`."""

    space: int
    vpn: int
    level: int
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


def canonical(vpn: int, levels: int) -> bool:
    """A 52-bit page number whose bits above the tables' reach all equal the topmost translated one."""
    top = vpn >> (LEVEL_BITS * levels - 1)
    return top in (0, (1 << (52 - LEVEL_BITS * levels + 1)) - 1)


def same_superpage(a: int, b: int, level: int) -> bool:
    """Both page numbers lie in one page of `level`."""
    return a >> (LEVEL_BITS * level) == b >> (LEVEL_BITS * level)


def covers(invalidation: Invalidation, entry: Translation, *, spare_globals: bool = True) -> bool:
    """The entry must be gone after the invalidation."""
    if invalidation.space is not None and (invalidation.space != entry.space or (entry.is_global and spare_globals)):
        return False
    if invalidation.vpn is None:
        return True
    different = (invalidation.vpn ^ entry.vpn) & ~invalidation.mask
    return different >> (LEVEL_BITS * entry.level) == 0

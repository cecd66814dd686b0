"""What a change of the layout means for pages: which entries go, lose rights, are hidden or come back. Pure arithmetic on page ranges."""

from dataclasses import dataclass, field

from .constants import VmaFlag
from .layout import Layout, Vma
from .page_table import PageTable

__all__ = ["Effects", "Move", "Range", "plan"]

Range = tuple[int, int]
"""[start, end)"""
Move = tuple[int, int, int]
"""From, to, pages."""


@dataclass(kw_only=True)
class Effects:
    """Page ranges [start, end) in VPNs.

    Attributes
    ----------
    drops : pages that go. hides : pages that no access may reach now, kept aside. protects : (start, end, rights) that entries get.
    reveals : (start, end, VMA) whose hidden pages come back. moves : (from, to, pages). gaps : ranges where no VMA is left.
    kept_ids : ids of removed VMAs that live on in other VMAs.
    """

    drops: list[Range] = field(default_factory=list)
    hides: list[Range] = field(default_factory=list)
    protects: list[tuple[int, int, int]] = field(default_factory=list)
    reveals: list[tuple[int, int, Vma]] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    gaps: list[Range] = field(default_factory=list)
    kept_ids: set[int] = field(default_factory=set)

    def zaps(self) -> list[Range]:
        """Ranges to ZAP: what goes or is hidden, without what is moved away before."""
        moved = sorted((old, old + count) for old, _, count in self.moves)
        zaps = []
        for start, end in self.drops + self.hides:
            for low, high in moved:
                if low < end and high > start:
                    if start < low:
                        zaps.append((start, low))
                    start = max(start, high)
            if start < end:
                zaps.append((start, end))
        return zaps

    def all_ranges(self) -> list[Range]:
        """Everything whose entries are worked on."""
        ranges = self.drops + self.hides + [(start, end) for start, end, _ in self.protects]
        ranges += [(start, end) for start, end, _ in self.reveals]
        return ranges + [(new, new + count) for _, new, count in self.moves]

    def needs_software(self, stash: dict[int, int]) -> bool:
        """Entries are to be written by software."""
        return bool(self.moves) or any(start <= vpn < end for start, end, _ in self.reveals for vpn in stash)

    def touches(self, table: PageTable, stash: dict[int, int]) -> bool:
        """There may be something to do."""
        return self.needs_software(stash) or any(
            table.runs(start, end) or any(start <= vpn < end for vpn in stash) for start, end in self.drops + self.hides
        )


def plan(layout: Layout, removed: list[Vma], added: list[Vma], drops: tuple[Range, ...], moves: tuple[Move, ...]) -> Effects:
    """Effects of having replaced `removed` by `added`, and of what the caller says beyond that."""
    effects = Effects(drops=list(drops), moves=list(moves))
    for old in removed:
        at = old.start
        for new in layout.overlapping(old.start, old.end):
            if new.id == old.id:
                effects.kept_ids.add(old.id)
            start, end = max(old.start, new.start), min(old.end, new.end)
            if at < start:
                effects.gaps.append((at, start))
            at = end
            _compare(effects, old, new, start, end)
        if at < old.end:
            effects.gaps.append((at, old.end))
    effects.drops = _union(effects.drops + effects.gaps)
    effects.gaps = [_widen(layout, gap) for gap in effects.gaps]
    return effects


def _compare(effects: Effects, old: Vma, new: Vma, start: int, end: int) -> None:
    """Pages of `old` in [start, end) now belong to `new`."""
    if old.source != new.source or old.shared != new.shared:
        effects.drops.append((start, end))
    elif not new.rights:
        if old.rights:
            effects.hides.append((start, end))
    elif not old.rights:
        effects.reveals.append((start, end, new))
    elif old.rights & ~new.rights & VmaFlag.WRITE or (old.rights ^ new.rights) & VmaFlag.EXEC:
        writable = new.flags & VmaFlag.WRITE if new.shared and new.kind == "shm" else 0
        effects.protects.append((start, end, new.rights & VmaFlag.EXEC | VmaFlag.READ | writable))


def _union(ranges: list[Range]) -> list[Range]:
    """The same pages, without overlaps."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _widen(layout: Layout, gap: Range) -> Range:
    """The whole stretch without VMAs around a gap, up to the 2 MiB borders: its leaf tables are not needed any more."""
    low, high = gap[0] >> 9 << 9, -(-gap[1] >> 9) << 9
    for vma in layout.overlapping(low, high):
        if vma.end <= gap[0]:
            low = max(low, vma.end)
        elif vma.start >= gap[1]:
            high = min(high, vma.start)
    return low, high

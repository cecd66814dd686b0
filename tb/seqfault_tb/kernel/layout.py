"""The kernel's own list of VMAs of an address space: what the `vma` lines of a trace do to it. Page numbers throughout."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from .constants import PTE_A, PTE_R, PTE_U, PTE_V, PTE_X, Access, VmaFlag
from .page_cache import Page

__all__ = ["ANONYMOUS_KINDS", "Layout", "LayoutChange", "Vma"]

VM_GROWSDOWN, VM_UFFD_MISSING, VM_UFFD_WP, VM_LOCKED, VM_HUGETLB = 0x100, 0x200, 0x1000, 0x2000, 0x400000
"""Linux' vm_flags that the record shows."""
FLAG_OF = {VM_UFFD_MISSING: VmaFlag.UFFD, VM_UFFD_WP: VmaFlag.UFFD_WP, VM_LOCKED: VmaFlag.LOCKED, VM_HUGETLB: VmaFlag.HUGE}
ANONYMOUS_KINDS = frozenset({"anon", "heap", "stack"})
FILE_KINDS = frozenset({"file_priv", "file_shared"})
RIGHT_OF = {Access.LOAD: VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC, Access.STORE: VmaFlag.WRITE, Access.FETCH: VmaFlag.EXEC}
"""Any of these rights permits the access; as on x86, what can be written or executed can be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutChange:
    """One `vma` line. `op`: set (this range is now one VMA), clear (nothing is there), prot (rights of the VMAs in it).

    `perm` as in /proc/PID/maps; `vmflags` Linux' flags; `file` identifies what a file mapping shows.
    """

    op: str
    start: int
    end: int
    perm: str = "---p"
    pgoff: int = 0
    vmflags: int = 0
    kind: str = "anon"
    file: object = None


@dataclass(slots=True, eq=False)
class Vma:
    """A VMA; treated as immutable but for `id` and `record`, which are given once. `id` 0 and `record` 0: not yet given."""

    start: int
    end: int
    flags: int
    pgoff: int
    kind: str
    file: object
    id: int = 0
    record: int = 0

    @property
    def rights(self) -> int:
        """READ, WRITE, EXEC."""
        return self.flags & 7

    @property
    def shared(self) -> bool:
        return bool(self.flags & VmaFlag.SHARED)

    @property
    def template(self) -> int:
        """PTE bits of a page of this VMA without the right to write; 0: no access at all."""
        if not self.flags & 7:
            return 0
        return PTE_V | PTE_U | PTE_A | PTE_R | (PTE_X if self.flags & VmaFlag.EXEC else 0)

    @property
    def file_key(self) -> object:
        """The file in the page cache whose pages this VMA shows; None: private anonymous memory. A file is the same one for all who map it."""
        if not self.shared and self.kind in ANONYMOUS_KINDS:
            return None
        return "file" if self.kind in FILE_KINDS else self.kind, self.file

    def page(self, vpn: int) -> Page:
        """What is shown at this page."""
        return self.file_key, self.pgoff + vpn - self.start

    @property
    def source(self) -> tuple[str, object, int]:
        """What the pages are of; two VMAs with the same source at the same page show the same memory."""
        if self.kind in ANONYMOUS_KINDS:
            return "anon", None, 0
        return self.kind, self.file, self.pgoff - self.start

    def permits(self, access: int) -> bool:
        return bool(self.flags & RIGHT_OF[Access(access)])

    def same_as(self, other: "Vma") -> bool:
        """All but id and record."""
        return (self.start, self.end, self.flags, self.pgoff, self.kind, self.file) == (
            other.start, other.end, other.flags, other.pgoff, other.kind, other.file,
        )  # fmt: skip

    def part(self, start: int, end: int, vma_id: int) -> "Vma":
        """A piece of it, without a record."""
        return Vma(start, end, self.flags, self.pgoff + start - self.start, self.kind, self.file, vma_id)


def _rights(perm: str) -> int:
    return (perm[0] == "r") | (perm[1] == "w") << 1 | (perm[2] == "x") << 2


def _new(change: LayoutChange) -> Vma:
    """The VMA of a `set` line."""
    flags = _rights(change.perm) | (VmaFlag.SHARED if change.perm[3] == "s" else 0)
    if change.kind in ANONYMOUS_KINDS:
        flags |= VmaFlag.ANON
    if change.kind == "stack" or change.vmflags & VM_GROWSDOWN:
        flags |= VmaFlag.GROWSDOWN
    for vm_flag, flag in FLAG_OF.items():
        if change.vmflags & vm_flag:
            flags |= flag
    return Vma(change.start, change.end, int(flags), change.pgoff, change.kind, change.file)


class Layout:
    """VMAs by ascending start, never overlapping."""

    def __init__(self, vmas: list[Vma] | None = None) -> None:
        self.vmas = vmas or []
        self._starts = [vma.start for vma in self.vmas]

    def find(self, vpn: int) -> Vma | None:
        """The VMA that holds this page."""
        at = bisect_right(self._starts, vpn) - 1
        return self.vmas[at] if at >= 0 and self.vmas[at].end > vpn else None

    def above(self, vpn: int) -> Vma | None:
        """The first VMA that starts above this page."""
        at = bisect_right(self._starts, vpn)
        return self.vmas[at] if at < len(self.vmas) else None

    def overlapping(self, start: int, end: int) -> list[Vma]:
        low, high = self._window(start, end)
        return self.vmas[low:high]

    def starting_in(self, start: int, end: int) -> list[Vma]:
        """VMAs whose start is in [start, end)."""
        return self.vmas[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def apply(self, changes: list[LayoutChange]) -> tuple[list[Vma], list[Vma]]:
        """Make these changes, in order. Returns the VMAs that are no more and those that are new, both by start.

        A new VMA without a record is to be given one, and an id if it has none; it carries the id of the old VMA that it continues.
        """
        gone: dict[int, Vma] = {}
        for change in changes:
            if change.op == "prot":
                for vma in self.overlapping(change.start, change.end):
                    piece = vma.part(max(vma.start, change.start), min(vma.end, change.end), 0)
                    piece.flags = piece.flags & ~7 | _rights(change.perm)
                    self._put(piece, gone)
            elif change.op == "set":
                self._put(_new(change), gone)
            else:
                self._cut(change.start, change.end, gone)
        added = []
        if gone:
            low, high = min(vma.start for vma in gone.values()), max(vma.end for vma in gone.values())
            low, high = min([low, *(c.start for c in changes)]), max([high, *(c.end for c in changes)])
        else:
            low, high = min(c.start for c in changes), max(c.end for c in changes)
        for at in range(*self._window(low, high)):
            vma = self.vmas[at]
            if vma.record == 0:
                old = gone.get(vma.start)
                if old is not None and old.same_as(vma):
                    self.vmas[at] = gone.pop(vma.start)
                else:
                    added.append(vma)
        taken = {vma.id for vma in self.vmas[slice(*self._window(low, high))] if vma.record}
        for vma in added:
            if vma.id in taken:
                vma.id = 0
            elif vma.id:
                taken.add(vma.id)
        return sorted(gone.values(), key=lambda vma: vma.start), added

    def _window(self, start: int, end: int) -> tuple[int, int]:
        """Indices [low, high) of the VMAs that overlap the range."""
        low = bisect_right(self._starts, start) - 1
        if low < 0 or self.vmas[low].end <= start:
            low += 1
        return low, bisect_left(self._starts, end, low)

    def _cut(self, start: int, end: int, gone: dict[int, Vma]) -> set[int]:
        """Remove the range; the rests of VMAs stay, without records. Returns the ids that nobody carries on, oldest VMA first."""
        low, high = self._window(start, end)
        if low == high:
            return set()
        old = self.vmas[low:high]
        for vma in old:
            if vma.record:
                gone[vma.start] = vma
        ids = {vma.id for vma in old if vma.id}
        rest = []
        if old[0].start < start:
            rest.append(old[0].part(old[0].start, start, old[0].id))
            ids.discard(old[0].id)
        if old[-1].end > end:
            keep = old[-1].id if old[-1].id in ids else 0
            rest.append(old[-1].part(end, old[-1].end, keep))
            ids.discard(keep)
        self.vmas[low:high] = rest
        self._starts[low:high] = [vma.start for vma in rest]
        return ids

    def _put(self, vma: Vma, gone: dict[int, Vma]) -> None:
        ids = self._cut(vma.start, vma.end, gone)
        if not vma.id and ids:
            vma.id = min(ids)
        at = bisect_left(self._starts, vma.start)
        self.vmas.insert(at, vma)
        self._starts.insert(at, vma.start)

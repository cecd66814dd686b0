"""A fault context as coverage follows it: from its events, what kind of fault it serves and where it is."""

from seqfault_golden import Access, Outcome, Step

__all__ = ["KINDS", "UNKNOWN", "Tracked"]

UNKNOWN = "not known yet"
"""The kind of an attempt that ends before its walk has found what is there."""
KINDS = (
    "anon-read", "anon-write", "cow-zero", "cow", "upgrade", "upgrade-shared", "file-read", "file-write", "shared-write", "table", "mapped",
)  # fmt: skip
"""In the words of docs/performance.md; `upgrade-shared`: the entry maps the page of a shared file and only its rights are missing."""
PTE_V, PTE_W, PTE_EXCLUSIVE = 1, 1 << 2, 1 << 8
PPN_AT, PPN_MASK = 10, (1 << 44) - 1
INDEX = 511
ANON, SHARED = 1 << 4, 1 << 3
"""Flags of a VMA. [contract, VMA tree]"""
STORE = int(Access.STORE)
R3, R7 = int(Step.R3), int(Step.R7)
OK, MAPPED = int(Outcome.OK), int(Outcome.MAPPED)


class Tracked:
    """What the events of a fault have told so far.

    Attributes
    ----------
    busy : a fault is served. phase : its last step that went well, and None before the first. space, vpn, id : as its events have them.
    table, place : PPN of the table that the walk ended in (0: not known), and the entry's place in it.
    access, flags, attempt, classic : as R0 has them (flags -1: not yet). vma : the VMA's flags. entry : that the walk has found.
    kind : one of `KINDS` or `UNKNOWN`. failure, first_failure : step and outcome that ended the last attempt, and the first one.
    tables : made by this fault. waits : times that this attempt was parked on a PTE lock.
    """

    __slots__ = (
        "access", "attempt", "busy", "classic", "entry", "failure", "first_failure", "flags", "id", "kind", "phase", "place", "space", "table",
        "tables", "vma", "vpn", "waits",
    )  # fmt: skip

    def __init__(self) -> None:
        self.begin(0, 0)
        self.busy = False

    def begin(self, space: int, vpn: int) -> None:
        """A fault's first event."""
        self.busy, self.phase, self.space, self.vpn = True, None, space, vpn
        self.access = self.attempt = self.tables = 0
        self.flags = -1
        self.classic = False
        self.failure: tuple[int, int] | None = None
        self.first_failure: tuple[int, int] | None = None
        self._forget()

    def _forget(self) -> None:
        """What an attempt has found."""
        self.id = self.table = self.place = self.vma = self.waits = 0
        self.entry: int | None = None
        self.kind = UNKNOWN

    def attempts(self, data: int) -> None:
        """R0."""
        self._forget()
        self.access, self.flags = data & 3, data >> 2 & 15
        self.attempt, self.classic = data >> 23 & 7, bool(data >> 26 & 1)

    def takes_lock(self) -> None:
        """MM_READ_LOCK, for a classic attempt."""
        self._forget()
        self.classic = True

    def found(self, first: int, last: int, data: int) -> None:
        """R1 to R6, or R3 to R6."""
        if last >= R3:
            self.vma = data & 0xFFFF

    def walked(self, last: int, outcome: int, addr: int, data: int) -> None:
        """R7; with R8-R9 the entry was an empty leaf entry of anonymous memory."""
        if outcome == MAPPED:
            self.kind = "mapped"
        if last == R7:
            if outcome == OK:
                self.entry, self.table, self.place = data, addr >> 12, addr >> 3 & INDEX
            return
        self.entry = 0
        if outcome == OK:
            self.table = addr >> 12
        self.kind = "anon-write" if self.access == STORE else "anon-read"

    def looked_up(self) -> None:
        """PAGE: the slot is needed."""
        assert self.entry is not None
        if self.entry & PTE_V:
            self.kind = "upgrade-shared"
        elif self.access != STORE:
            self.kind = "file-read"
        else:
            self.kind = "shared-write" if self.vma & SHARED else "file-write"

    def allocates(self, zero_frame: int) -> None:
        """R8: where PAGE has not told the kind, the entry does."""
        if self.kind != UNKNOWN or self.entry is None:
            return
        if not self.entry & PTE_V:
            self.kind = "anon-write" if self._at_a_leaf and self.access == STORE else "anon-read" if self._at_a_leaf else "table"
        elif self.access != STORE or self.entry & (PTE_W | PTE_EXCLUSIVE):
            self.kind = "upgrade"
        else:
            self.kind = "cow-zero" if self.entry >> PPN_AT & PPN_MASK == zero_frame else "cow"

    def leaves(self, step: int) -> None:
        """UNDO and HANDOVER: it is at no VMA and no entry any more."""
        self.phase, self.id, self.table = step, 0, 0

    @property
    def _at_a_leaf(self) -> bool:
        """Where R7 has told of an empty entry in an event of its own: the engine tells of a leaf together with R8-R9, the functional one does not.

        The entry's place in its table decides, unless the page's other indices are the same.
        """
        indices = [self.vpn >> 9 * level & INDEX for level in range(5)]
        return self.vma & (ANON | SHARED) == ANON and self.place == indices[0] and indices[0] not in indices[1:]

    def hung(self) -> None:
        """TABLE: the walk goes on."""
        self.tables += 1
        self.entry, self.kind, self.table = None, UNKNOWN, 0

"""From a trace to a program for the replay: what each thread does, and which of it must wait for what another thread does.

Threads may drift against each other in a replay. Two things keep the outcome of every fault what it was, and nothing else is ordered:

* the changes of one layout are made in the order of the file: each `Operation` has a ticket;
* a fault waits for the last operation that made its access possible (or impossible, when it was refused), and the next operation that
  makes it otherwise waits for the fault.

All waits point to what was recorded earlier, so they cannot form a ring.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from seqfault_tb.kernel import LayoutChange

from .trace import Call, Clone, Event, Exec, Fault, Map, MmExit, Trace, VmaLine

__all__ = ["Item", "Operation", "Plan", "layout_of", "make_plan"]

PAGE = 12
LOAD, STORE, FETCH = 1, 2, 4
DISCARDS = {4, 8, 9, 24}
"""madvise: DONTNEED, FREE, REMOVE, DONTNEED_LOCKED."""
MREMAP_DONTUNMAP = 4
SETTLED = 64
"""Pieces whose last changes are this many operations ago are joined: what waits for one then waits for both."""


@dataclass(slots=True)
class Operation:
    """One change of an address space, under one hold of mmap_lock.

    Attributes
    ----------
    ticket : its place in the order of changes of this mm, from 1; 0: pages only, not ordered.
    drops, moves : page effects that the layout does not show. wait_for : thread to the index of its item that must be done before.
    clone : this operation is the copy of the layout by a fork.
    """

    mm: int
    ticket: int
    changes: list[LayoutChange] = field(default_factory=list)
    drops: list[tuple[int, int]] = field(default_factory=list)
    moves: list[tuple[int, int, int]] = field(default_factory=list)
    wait_for: dict[int, int] = field(default_factory=dict)
    clone: Clone | None = None


@dataclass(slots=True)
class Item:
    """An event of a thread with the operations that it makes. `after`: a fault waits until this ticket of its mm is done."""

    event: Event
    operations: list[Operation] = field(default_factory=list)
    after: int = 0


@dataclass(slots=True)
class Plan:
    """`threads`: tid to its items, in order. `mm_items`: how many items each mm has. `mm_ends`: mms that are torn down."""

    threads: dict[int, list[Item]]
    mm_items: Counter[int]
    mm_ends: set[int]


def layout_of(maps: list[Map]) -> list[LayoutChange]:
    """`set` changes that build this layout."""
    return [
        LayoutChange(op="set", start=m.start >> PAGE, end=m.end >> PAGE, perm=m.perm, pgoff=m.pgoff, kind=m.kind, file=m.source)
        for m in maps
    ]


def _change_of(line: VmaLine) -> LayoutChange:
    return LayoutChange(
        op=line.op, start=line.start >> PAGE, end=line.end >> PAGE, perm=line.perm, pgoff=line.pgoff, vmflags=line.vmflags,
        kind=line.kind, file=line.source,
    )  # fmt: skip


@dataclass(slots=True)
class _Piece:
    """Pages with one state; `since`: for load, store and fetch the ticket from which on this has been the answer."""

    start: int
    end: int
    rights: int
    source: object
    since: tuple[int, int, int] = (0, 0, 0)

    @property
    def allowed(self) -> int:
        """LOAD, STORE and FETCH that are permitted. `rights`: 1 read, 2 write, 4 execute; any of them permits to read."""
        return (LOAD if self.rights else 0) | self.rights & 6

    def part(self, start: int, end: int) -> "_Piece":
        return _Piece(start, end, self.rights, self.source, self.since)


class _History:
    """What may be done with each page of an mm, and since when."""

    def __init__(self, pieces: list[_Piece] | None = None) -> None:
        self.pieces = pieces or []
        self.starts = [piece.start for piece in self.pieces]
        self.tickets = 0
        self.last: tuple[Operation, Item] | None = None
        self.faults: dict[int, list[tuple[int, int, int]]] = {}
        self.open: list[tuple[Item, int, int, int, int, int]] = []

    def copy(self) -> "_History":
        return _History([_Piece(p.start, p.end, p.rights, p.source) for p in self.pieces])

    def find(self, vpn: int) -> _Piece | None:
        at = bisect_right(self.starts, vpn) - 1
        return self.pieces[at] if at >= 0 and self.pieces[at].end > vpn else None

    def apply(self, change: LayoutChange, ticket: int) -> list[tuple[int, int, int]]:
        """Returns what became otherwise: (start, end, accesses)."""
        low = bisect_right(self.starts, change.start) - 1
        if low < 0 or self.pieces[low].end <= change.start:
            low += 1
        high = bisect_left(self.starts, change.end, low)
        flips: list[tuple[int, int, int]] = []
        fresh: list[_Piece] = []
        for old in self._filled(low, high, change.start, change.end):
            start, end = max(old.start, change.start), min(old.end, change.end)
            if old.start < start:
                fresh.append(old.part(old.start, start))
            self._add(fresh, self._changed(old.part(start, end), change, ticket, flips), ticket)
            if old.end > end:
                fresh.append(old.part(end, old.end))
        self.pieces[low:high] = fresh
        self.starts[low:high] = [piece.start for piece in fresh]
        return flips

    def _filled(self, low: int, high: int, start: int, end: int) -> Iterator[_Piece]:
        """The pieces, with empty ones for the holes of [start, end)."""
        for piece in self.pieces[low:high]:
            if start < piece.start:
                yield _Piece(start, piece.start, 0, None)
            yield piece
            start = piece.end
        if start < end:
            yield _Piece(start, end, 0, None)

    @staticmethod
    def _changed(piece: _Piece, change: LayoutChange, ticket: int, flips: list[tuple[int, int, int]]) -> _Piece:
        """The piece after the change; what this flips is added to `flips`."""
        before, source = piece.allowed, piece.source
        if change.op == "clear":
            piece.rights, piece.source = 0, None
        else:
            piece.rights = (change.perm[0] == "r") | (change.perm[1] == "w") << 1 | (change.perm[2] == "x") << 2
        if change.op == "set":
            anonymous = change.file is None and change.kind != "special"
            piece.source = "anon" if anonymous else (change.kind, change.file, change.pgoff - change.start)
        flipped = before ^ piece.allowed | (before & piece.allowed if source != piece.source else 0)
        if flipped:
            since = piece.since
            piece.since = tuple(ticket if flipped >> bit & 1 else since[bit] for bit in range(3))  # type: ignore[assignment]
            flips.append((piece.start, piece.end, flipped))
        return piece

    @staticmethod
    def _add(fresh: list[_Piece], piece: _Piece, ticket: int) -> None:
        """Add a piece, joined with the one before when both are alike and settled."""
        if fresh and (last := fresh[-1]).end == piece.start and (last.rights, last.source) == (piece.rights, piece.source):
            since = tuple(map(max, last.since, piece.since))
            if last.since == piece.since or max(since) + SETTLED < ticket:
                last.end, last.since = piece.end, since  # type: ignore[assignment]
                return
        fresh.append(piece)


def make_plan(trace: Trace) -> Plan:
    """The program of a trace."""
    return _Planner(trace).plan()


class _Planner:
    """Goes through the events in order of time, with the layouts as they were."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._threads: dict[int, list[Item]] = {trace.tid: []}
        self._mm_items: Counter[int] = Counter()
        self._mm_ends: set[int] = set()
        self._mms = {trace.mm: self._history(trace.maps)}
        self._calls: dict[int, tuple[Item, int]] = {}
        self._grows: dict[int, tuple[Item, int]] = {}
        self._clones: dict[int, Item] = {}

    def plan(self) -> Plan:
        for event, is_copy in self._in_time():
            if is_copy:
                assert isinstance(event, Clone)
                self._copy(event)
            elif isinstance(event, VmaLine):
                self._line(event)
            elif isinstance(event, Fault):
                self._fault(event)
            elif isinstance(event, MmExit):
                self._mm_ends.add(event.mm)
            else:
                self._other(event)
        for items in self._threads.values():
            for item in items:
                if isinstance(item.event, Call):
                    self._page_effects(item.event, item)
        return Plan(self._threads, self._mm_items, self._mm_ends)

    def _in_time(self) -> list[tuple[Event, bool]]:
        """Events, and the instants at which forks copy a layout, by time."""
        keyed: list[tuple[int, float, Event, bool]] = []
        for index, event in enumerate(self._trace.events):
            keyed.append((event.t_ns, index, event, False))
            if isinstance(event, Clone) and event.t_copy_ns is not None:
                keyed.append((max(event.t_copy_ns, event.t_ns), index + 0.5, event, True))
        keyed.sort(key=lambda entry: entry[:2])
        return [(event, is_copy) for _, _, event, is_copy in keyed]

    @staticmethod
    def _history(maps: list[Map]) -> _History:
        history = _History()
        for change in layout_of(maps):
            history.apply(change, 0)
        return history

    def _item(self, event: Event) -> Item:
        item = Item(event)
        self._threads.setdefault(event.tid, []).append(item)
        if event.mm is not None:
            self._mm_items[event.mm] += 1
        return item

    def _other(self, event: Event) -> None:
        item = self._item(event)
        if isinstance(event, Call | Clone):
            self._calls[event.tid] = item, event.t_ns + event.dur_ns
        if isinstance(event, Clone):
            self._clones[id(event)] = item
            self._threads.setdefault(event.child, [])
        elif isinstance(event, Exec):
            self._mms[event.mm] = self._history(event.maps)

    def _copy(self, clone: Clone) -> None:
        """The instant at which a fork copies the layout."""
        parent = self._mms[clone.mm]
        parent.tickets += 1
        operation = Operation(clone.mm, parent.tickets, clone=clone)
        item = self._clones[id(clone)]
        item.operations.append(operation)
        parent.last = operation, item
        child = self._mms[clone.child_mm] = parent.copy()
        for start, end in clone.nofork:
            child.apply(LayoutChange(op="clear", start=start >> PAGE, end=end >> PAGE), 0)

    def _line(self, line: VmaLine) -> None:
        """A change: part of the call or stack growth of its thread, and of the same operation as the line before if nobody came between."""
        item, until = self._grows.get(line.tid, (None, 0))
        if item is None or line.t_ns > until:
            item, until = self._calls.get(line.tid, (None, 0))
        if item is None or line.t_ns > until:
            item = self._item(line)
        history = self._mms[line.mm]
        if history.last is not None and history.last[1] is item and history.last[0].clone is None:
            operation = history.last[0]
        else:
            history.tickets += 1
            operation = Operation(line.mm, history.tickets)
            item.operations.append(operation)
            history.last = operation, item
        change = _change_of(line)
        operation.changes.append(change)
        if line.op == "clear":
            operation.drops.append((change.start, change.end))
        flips = history.apply(change, operation.ticket)
        for start, end, accesses in flips:
            self._wait_for_faults(history, operation, line.tid, start, end, accesses)
        if history.open:
            self._settle(history, operation.ticket, line.t_ns)

    @staticmethod
    def _wait_for_faults(history: _History, operation: Operation, tid: int, start: int, end: int, accesses: int) -> None:
        """Faults of other threads that had this answer must be done before it changes."""
        pages = history.faults
        inside = range(start, end) if end - start < len(pages) else [vpn for vpn in pages if start <= vpn < end]
        for vpn in inside:
            entries = pages.get(vpn)
            if entries is None:
                continue
            kept = []
            for entry in entries:
                other, index, access = entry
                if not access & accesses:
                    kept.append(entry)
                elif other != tid:
                    operation.wait_for[other] = max(index, operation.wait_for.get(other, -1))
            if kept:
                pages[vpn] = kept
            else:
                del pages[vpn]

    def _fault(self, fault: Fault) -> None:
        history = self._mms[fault.mm]
        item = self._item(fault)
        index = len(self._threads[fault.tid]) - 1
        access = FETCH if fault.exec else STORE if fault.write else LOAD
        if fault.grow:
            self._grows[fault.tid] = item, fault.t_ns + fault.dur_ns
        vpn = fault.addr >> PAGE
        piece = history.find(vpn)
        allowed = bool(piece is not None and piece.allowed & access)
        if allowed != fault.refused or fault.grow:
            self._answered(history, item, vpn, access, index)
        else:
            history.open.append((item, vpn, access, fault.t_ns + fault.dur_ns, index, not fault.refused))

    @staticmethod
    def _answered(history: _History, item: Item, vpn: int, access: int, index: int) -> None:
        """The answer of this fault is that of the layout as it is now."""
        piece = history.find(vpn)
        item.after = piece.since[access >> 1] if piece is not None else 0
        history.faults.setdefault(vpn, []).append((item.event.tid, index, access))

    def _settle(self, history: _History, ticket: int, now: int) -> None:
        """Faults that began before this operation and got the answer that holds after it."""
        still = []
        for entry in history.open:
            item, vpn, access, until, index, expected = entry
            piece = history.find(vpn)
            if until >= now and bool(piece is not None and piece.allowed & access) == expected:
                self._answered(history, item, vpn, access, index)
            elif until >= now:
                still.append(entry)
        history.open = still

    @staticmethod
    def _page_effects(call: Call, item: Item) -> None:
        """What the call does to pages beyond the layout."""
        if call.ret is None or call.ret < 0:
            return
        length = _pages(call, "len")
        start = call.address("addr") >> PAGE
        if call.name == "madvise" and call.fields["advice"] in DISCARDS:
            item.operations.append(Operation(call.mm, 0, drops=[(start, start + length)]))
        elif call.name == "mmap" and item.operations:
            item.operations[-1].drops.append((call.ret >> PAGE, (call.ret >> PAGE) + length))
        elif call.name == "mremap" and item.operations and call.ret != call.address("addr"):
            old, new, to = _pages(call, "old_len"), _pages(call, "new_len"), call.ret >> PAGE
            item.operations[-1].drops.append((to, to + new))
            if old:
                item.operations[-1].moves.append((start, to, min(old, new)))


def _pages(call: Call, name: str) -> int:
    value = call.fields.get(name, 0)
    return value + (1 << PAGE) - 1 >> PAGE if isinstance(value, int) else 0

"""From a trace to a program for the replay: what each thread does, and which of it must wait for what another thread does.

Threads may drift against each other in a replay. Two things keep the outcome of every fault what it was, and nothing else is ordered:

* the changes of one layout are made in the order of the file: each `Operation` has a ticket;
* a fault waits for the last operation that made its access possible (or impossible, when it was refused), and the next operation that
  makes it otherwise waits for the fault.

All waits point to what was recorded earlier, so they cannot form a ring.
"""

from collections import Counter
from dataclasses import dataclass, field

from seqfault_tb.kernel import LayoutChange

from .page_history import FETCH, LOAD, STORE, Flip, PageHistory
from .trace import Call, Clone, Event, Exec, Fault, Map, MmExit, Trace, VmaLine

__all__ = ["Item", "Operation", "Plan", "layout_of", "make_plan"]

PAGE = 12
DISCARDS = {4, 8, 9, 24}
"""madvise: DONTNEED, FREE, REMOVE, DONTNEED_LOCKED."""


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
    return [LayoutChange(op="set", start=m.start >> PAGE, end=m.end >> PAGE, perm=m.perm, pgoff=m.pgoff, kind=m.kind, file=m.source) for m in maps]


def _change_of(line: VmaLine) -> LayoutChange:
    return LayoutChange(
        op=line.op, start=line.start >> PAGE, end=line.end >> PAGE, perm=line.perm, pgoff=line.pgoff, vmflags=line.vmflags,
        kind=line.kind, file=line.source,
    )  # fmt: skip


@dataclass(slots=True)
class _Mm:
    """An address space while its events are gone through.

    Attributes
    ----------
    tickets : given so far. last : the newest operation, and the item that makes it.
    faults : page to the faults on it (thread, index of its item, access) whose answer has not changed since.
    open : faults whose answer does not fit the layout yet: (item, VPN, access, end in ns, index, resolved).
    """

    history: PageHistory
    tickets: int = 0
    last: tuple[Operation, Item] | None = None
    faults: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    open: list[tuple[Item, int, int, int, int, bool]] = field(default_factory=list)


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
        self._mms = {trace.mm: _Mm(self._history(trace.maps))}
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
    def _history(maps: list[Map]) -> PageHistory:
        history = PageHistory()
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
            self._mms[event.mm] = _Mm(self._history(event.maps))

    def _copy(self, clone: Clone) -> None:
        """The instant at which a fork copies the layout."""
        parent = self._mms[clone.mm]
        parent.tickets += 1
        operation = Operation(clone.mm, parent.tickets, clone=clone)
        item = self._clones[id(clone)]
        item.operations.append(operation)
        parent.last = operation, item
        child = parent.history.copy()
        for start, end in clone.nofork:
            child.apply(LayoutChange(op="clear", start=start >> PAGE, end=end >> PAGE), 0)
        self._mms[clone.child_mm] = _Mm(child)

    def _line(self, line: VmaLine) -> None:
        """A change: of the call or stack growth of its thread, and of the same operation as the line before unless another came between."""
        item, until = self._grows.get(line.tid, (None, 0))
        if item is None or line.t_ns > until:
            item, until = self._calls.get(line.tid, (None, 0))
        if item is None or line.t_ns > until:
            item = self._item(line)
        mm = self._mms[line.mm]
        if mm.last is not None and mm.last[1] is item and mm.last[0].clone is None:
            operation = mm.last[0]
        else:
            mm.tickets += 1
            operation = Operation(line.mm, mm.tickets)
            item.operations.append(operation)
            mm.last = operation, item
        change = _change_of(line)
        operation.changes.append(change)
        if line.op == "clear":
            operation.drops.append((change.start, change.end))
        for flip in mm.history.apply(change, operation.ticket):
            self._wait_for_faults(mm, operation, line.tid, flip)
        if mm.open:
            self._settle(mm, line.t_ns)

    @staticmethod
    def _wait_for_faults(mm: _Mm, operation: Operation, tid: int, flip: Flip) -> None:
        """Faults of other threads that had this answer must be done before it changes."""
        start, end, accesses = flip
        inside = range(start, end) if end - start < len(mm.faults) else [vpn for vpn in mm.faults if start <= vpn < end]
        for vpn in inside:
            entries = mm.faults.pop(vpn, None)
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
                mm.faults[vpn] = kept

    def _fault(self, fault: Fault) -> None:
        mm = self._mms[fault.mm]
        item = self._item(fault)
        index = len(self._threads[fault.tid]) - 1
        access = FETCH if fault.exec else STORE if fault.write else LOAD
        if fault.grow:
            self._grows[fault.tid] = item, fault.t_ns + fault.dur_ns
        vpn = fault.addr >> PAGE
        if mm.history.allows(vpn, access) != fault.refused or fault.grow:
            self._answered(mm, item, vpn, access, index)
        else:
            mm.open.append((item, vpn, access, fault.t_ns + fault.dur_ns, index, not fault.refused))

    @staticmethod
    def _answered(mm: _Mm, item: Item, vpn: int, access: int, index: int) -> None:
        """The answer of this fault is that of the layout as it is now."""
        item.after = mm.history.since(vpn, access)
        mm.faults.setdefault(vpn, []).append((item.event.tid, index, access))

    def _settle(self, mm: _Mm, now: int) -> None:
        """Faults that began before this change and got the answer that holds after it."""
        still = []
        for entry in mm.open:
            item, vpn, access, until, index, resolved = entry
            if until < now:
                continue
            if mm.history.allows(vpn, access) == resolved:
                self._answered(mm, item, vpn, access, index)
            else:
                still.append(entry)
        mm.open = still

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

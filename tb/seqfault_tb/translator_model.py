"""What the Translator may answer: every walk that memory allowed from the acceptance of a request to its answer."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from .page_tables import Tables
from .page_walk import AD_CLEAR, BUS_ERROR, LEAF, NONE, PBMT_SHIFT, STORE, Space, WalkEnd, is_canonical, judge, physical, refusal, walk

__all__ = ["PAGE_FAULT", "Pending", "World", "fault"]

OK, RETRY, FAULT = 0, 1, 2
NO_REASON, BOUNDS, BUS_FAULT, BAD_TABLE, NOT_VALID = 0, 9, 16, 21, 24
PAGE_EXCEPTIONS, ACCESS_EXCEPTIONS = (13, 15, 12), (5, 7, 1)
"""By access: load, store, fetch. [Priv 12.1.9, table of scause]"""
PAGE_FAULT = "page fault"
VPN_MASK = (1 << 45) - 1


@dataclass(kw_only=True, eq=False)
class Pending:
    """A request on its way.

    `verdicts`: what walks since its acceptance gave: (status, reason, pa, memory type, exception), or (PAGE_FAULT, reason) for the fault unit.
    `tables`: of its space in that time. `faulted`: the fault unit has it. `promised`: (status, how, reason, pa) as the fault unit answered.
    """

    port: int
    va: int
    space: int
    access: int
    flags: int
    supervisor: int = 0
    sum: int = 0
    mxr: int = 0
    tag: int = -1
    issued: int = 0
    verdicts: set = field(default_factory=set)
    tables: set = field(default_factory=set)
    faulted: bool = False
    promised: tuple | None = None


def fault(access: int, reason: int) -> tuple:
    """The answer FAULT."""
    exceptions = ACCESS_EXCEPTIONS if reason == BUS_FAULT else PAGE_EXCEPTIONS
    return FAULT, reason, 0, 0, exceptions[access]


class World:
    """Tables and spaces as memory has them now.

    Members
    -------
    spaces : by number. before : entries whose A or D hardware has set, as they were when they were last announced.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.spaces: dict[int, Space] = {}
        self.before: dict[int, int] = {}

    def space(self, number: int) -> Space:
        """A space never set has no table."""
        return self.spaces.get(number, Space())

    def walk(self, space: int, vpn: int) -> WalkEnd:
        """The walk of a page now."""
        return walk(self.tables.read, self.space(space), vpn & VPN_MASK)

    def put(self, address: int, entry: int | None) -> None:
        """Software's write of an entry."""
        self.before.pop(address, None)
        self.tables.entries[address] = entry

    def note_update(self, address: int, old: int) -> None:
        """Hardware has set A or D."""
        self.before.setdefault(address, old)

    def verdicts(self, pending: Pending) -> set:
        """What the request may be answered now.

        A walk that began in a table that its space had since the request may go on in it. While the mode changes, the address may have been
        judged by one mode and walked by the other.
        """
        pending.tables.add(self.space(pending.space))
        changing = len({space.mode for space in pending.tables}) > 1
        return set().union(*(self._verdicts_in(pending, space, changing) for space in pending.tables))

    def _verdicts_in(self, pending: Pending, space: Space, changing: bool) -> set:
        if not space.levels:
            return {fault(pending.access, BAD_TABLE)}
        found = set()
        canonical = is_canonical(pending.va >> 12, space.mode)
        if not canonical:
            found.add(fault(pending.access, BOUNDS))
        if canonical or changing:
            end = walk(self.tables.read, space, pending.va >> 12 & VPN_MASK)
            for pte in {end.pte, self.before.get(self.tables.holder(end.address), end.pte)}:
                found |= self._end_of(pending, space, end, pte, changing)
        return found

    def _end_of(self, pending: Pending, space: Space, end: WalkEnd, pte: int, changing: bool) -> set:
        """What the request gets if its walk ends so, with this entry."""
        if end.outcome == BUS_ERROR:
            return {fault(pending.access, BUS_FAULT)}
        if end.outcome != LEAF:
            reason = NOT_VALID if end.outcome == NONE else BAD_TABLE
        else:
            reason = refusal(pte, pending.access, supervisor=bool(pending.supervisor), sum_bit=bool(pending.sum), mxr=bool(pending.mxr))
            if reason == 0 or (reason == AD_CLEAR and space.adue):
                return {(OK, NO_REASON, physical(pte, end.page_bits, pending.va), pte >> PBMT_SHIFT & 3, 0)}
        served = not pending.supervisor and not space.is_narrow
        answers = {True: (PAGE_FAULT, reason), False: fault(pending.access, reason)}
        return set(answers.values()) if changing else {answers[served]}

    def allows_update(self, pending: Pending, address: int, *, dirty: bool, moved: bool) -> bool:
        """The request asks for A at this entry (at any, if its walk may have `moved` since), and for D if `dirty`."""
        if dirty and pending.access != STORE:
            return False
        for space in pending.tables:
            end = walk(self.tables.read, space, pending.va >> 12 & VPN_MASK)
            if space.adue and (moved or (end.outcome == LEAF and self.tables.holder(end.address) == address)):
                return True
        return False

    def users(self, address: int) -> set[tuple[int, int, int]]:
        """Spaces, page numbers and their lowest bit that counts, whose walks end at this entry."""
        found = set()
        for number, space in self.spaces.items():
            for place, vpn, level in self._ends(space, space.root, space.levels - 1, 0):
                if place == address:
                    found.add((number, vpn, space.index_bits * level))
        return found

    def _ends(self, space: Space, table: int, level: int, prefix: int) -> Iterator[tuple[int, int, int]]:
        """Entries at which walks in this table end: address, page number, level."""
        if level < 0:
            return
        for index in self.tables.indices[space.is_narrow]:
            address = self.tables.entry_address(table, index)
            vpn = prefix | index << space.index_bits * level
            word = self.tables.read(address & ~7)
            entry = word if word is None or not space.is_narrow else word >> 8 * (address & 4) & 0xFFFFFFFF
            if entry is not None and judge(entry, space, level) is None:
                yield from self._ends(space, entry >> 10 & (1 << 44) - 1, level - 1, vpn)
            else:
                yield address, vpn, level

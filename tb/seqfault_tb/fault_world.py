"""Memory around a fault unit under test: VMAs and leaf tables of a few pages, with faults of its own to order."""

from dataclasses import dataclass, field
from typing import Any

from seqfault_golden.layout import Outcome, VmaFlag

from .fault_blocks import World

__all__ = ["FIRST_TABLE", "RWX", "PlainWorld", "Vma"]

FIRST_TABLE = 0x40000
"""PPN of the leaf table of page 0 of space 0."""
FIRST_UPPER_TABLE = 0x50000
TABLE_PAGES = 512
WINDOW = 16
"""Pages of a fault-around window."""
NODE_LOG2 = 9
"""Bytes of a node of the page cache, as a power of two."""
TABLES_PER_SPACE = 16
V, R, W, X, U = 1, 2, 4, 8, 16
RWX = V | R | W | X | U
LEAF, NONE, MALFORMED, BUS_ERROR, NO_SPACE = range(5)
PAGE_SIZE_OF_LEVEL = (0, 2, 4, 5)
"""`PageSize` of a leaf at a level, in numbers."""
ANONYMOUS = int(VmaFlag.ANON | VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC)


@dataclass
class Vma:
    """Pages `slot` (first, end) find this record; it is for `start` to `end`, and shows the file at `backing` from page `pgoff` on."""

    slot: tuple[int, int]
    id: int
    start: int
    end: int
    space: int = 0
    flags: int = ANONYMOUS
    page_prot: int = RWX
    record: int = 0x8000_0000
    pgoff: int = 0
    backing: int = 0


@dataclass
class PlainWorld(World):
    """Answers from `vmas`, `entries` (page-table entries by address) and `slots` (of the page cache, by address).

    `missing` : addresses of upper entries that have no table below. `tables` : tables (PPN) that were made there.
    `find_outcome`, `walked` (`WalkResponse` fields), `looked` (`PageLookupResponse` fields), `write_error`, `move_error`, `around_error` and
    `queue_outcome` replace what it would say; `held` has the kinds of answer that do not come for now.
    """

    vmas: list[Vma] = field(default_factory=list)
    entries: dict[int, int] = field(default_factory=dict)
    find_outcome: Outcome = Outcome.OK
    walked: dict[str, int] | None = None
    slots: dict[int, int] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    tables: dict[int, int] = field(default_factory=dict)
    looked: dict[str, int] | None = None
    write_error: bool = False
    move_error: bool = False
    around_error: bool = False
    queue_outcome: Outcome = Outcome.OK
    held: set[str] = field(default_factory=set)

    def holds(self, kind: str) -> bool:
        return kind in self.held

    def table(self, space: int, vpn: int) -> int:
        """PPN of the leaf table of a page."""
        made = self.tables.get(self.upper_address(space, vpn, 1))
        return made if made is not None else FIRST_TABLE + space * TABLES_PER_SPACE + vpn // TABLE_PAGES % TABLES_PER_SPACE

    def address(self, space: int, vpn: int) -> int:
        """Byte address of a page's leaf entry."""
        return self.table(space, vpn) << 12 | vpn % TABLE_PAGES * 8

    def upper_address(self, space: int, vpn: int, level: int) -> int:
        """Byte address of the entry of `level` above a page."""
        return FIRST_UPPER_TABLE + space * 8 + level << 12 | (vpn >> 9 * level) % TABLE_PAGES * 8

    def slot_address(self, vma: Vma, vpn: int) -> int:
        """Byte address of a page's slot; all nodes of a file are side by side."""
        return (vma.backing >> 9 << 9) + (vma.pgoff + vpn - vma.start) * 8

    def _vma(self, request: dict[str, int]) -> Vma | None:
        in_slot = (vma for vma in self.vmas if vma.space == request["space"] and vma.slot[0] <= request["vpn"] < vma.slot[1])
        return next(in_slot, None)

    def find_id(self, request: dict[str, int]) -> int:
        vma = self._vma(request)
        return vma.id if vma else 0

    def find(self, request: dict[str, int]) -> dict[str, Any]:
        vma = self._vma(request)
        outcome = self.find_outcome if vma or self.find_outcome != Outcome.OK else Outcome.NO_VMA
        if vma is None or outcome != Outcome.OK:  # an answer's other fields mean nothing then
            return {
                "outcome": outcome,
                "record_addr": 0x1234_0000,
                "fields": {"id": 0xBAD, "flags": 0x3F, "page_prot": 1, "start": 0, "end": 9},
            }
        names = ("start", "end", "id", "flags", "page_prot", "pgoff", "backing")
        return {"outcome": outcome, "record_addr": vma.record, "fields": {name: getattr(vma, name) for name in names}}

    def walk(self, request: dict[str, int]) -> dict[str, int]:
        for level in (2, 1):
            address = self.upper_address(request["space"], request["vpn"], level)
            if address in self.missing:
                return {"outcome": NONE, "level": level, "pte": 0, "pte_addr": address, "size": PAGE_SIZE_OF_LEVEL[level]} | (self.walked or {})
        address = self.address(request["space"], request["vpn"])
        pte = self.entries.get(address, 0)
        walked = {"outcome": LEAF if pte & V else NONE, "level": 0, "pte": pte, "pte_addr": address} | (self.walked or {})
        return walked | {"size": PAGE_SIZE_OF_LEVEL[walked["level"]]}

    def write(self, address: int, data: int) -> bool:
        if self.write_error:
            return True
        if address in self.missing:
            self.missing.remove(address)
            self.tables[address] = data >> 10
        self.entries[address] = data
        return False

    def entry(self, address: int) -> int:
        return self.entries.get(address, 0)

    def look(self, request: dict[str, int]) -> dict[str, int]:
        address = (request["backing"] >> 9 << 9) + (request["pgoff"] + request["vpn"] - request["start"]) * 8
        return self.looked or {"outcome": Outcome.OK, "addr": address, "word": self.slots.get(address, 0)}

    def move(self, request: dict[str, int]) -> bool:
        return self.move_error

    def around(self, request: dict[str, int]) -> dict[str, int]:
        vpn = request["vpn"]
        first_page = vpn & -WINDOW
        first_addr, mask = request["pte_addr"] - (vpn - first_page) * 8, 0
        for index in range(WINDOW):
            page, address = first_page + index, first_addr + 8 * index
            slot_addr = request["slot_addr"] + (page - vpn) * 8
            slot = self.slots.get(slot_addr, 0) if slot_addr >> NODE_LOG2 == request["slot_addr"] >> NODE_LOG2 else 0
            if request["start"] <= page < request["end"] and page != vpn and slot & 7 == 3 and not self.entries.get(address):
                self.entries[address] = request["page_prot"] & 0xFF & ~(W | 0x80) | 0x40 | slot >> 10 << 10
                mask |= 1 << index
        return {"first_addr": first_addr, "mask": mask, "error": self.around_error}

    def queue(self, request: dict[str, int]) -> int:
        return self.queue_outcome

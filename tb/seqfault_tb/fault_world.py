"""Memory around a fault unit under test: VMAs and leaf tables of a few pages, with faults of its own to order."""

from dataclasses import dataclass, field
from typing import Any

from seqfault_golden.layout import Outcome, VmaFlag

from .fault_bench import World

__all__ = ["FIRST_TABLE", "RWX", "PlainWorld", "Vma"]

FIRST_TABLE = 0x40000
"""PPN of the leaf table of page 0 of space 0."""
TABLE_PAGES = 512
TABLES_PER_SPACE = 16
V, R, W, X, U = 1, 2, 4, 8, 16
RWX = V | R | W | X | U
LEAF, NONE, MALFORMED, BUS_ERROR, NO_SPACE = range(5)
PAGE_SIZE_OF_LEVEL = (0, 2, 4, 5)
"""`PageSize` of a leaf at a level, in numbers."""
ANONYMOUS = int(VmaFlag.ANON | VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC)


@dataclass
class Vma:
    """Pages `slot` (first, end) find this record; it is for `start` to `end`."""

    slot: tuple[int, int]
    id: int
    start: int
    end: int
    space: int = 0
    flags: int = ANONYMOUS
    page_prot: int = RWX
    record: int = 0x8000_0000


@dataclass
class PlainWorld(World):
    """Answers from `vmas` and `entries` (leaf entries by address).

    `find_outcome`, `walked` (`WalkResponse` fields), `write_error` and `queue_outcome` replace what it would say; `held` has the kinds of
    answer that do not come for now; `overwritten` collects addresses of entries that were mapped when they were written.
    """

    vmas: list[Vma] = field(default_factory=list)
    entries: dict[int, int] = field(default_factory=dict)
    find_outcome: Outcome = Outcome.OK
    walked: dict[str, int] | None = None
    write_error: bool = False
    queue_outcome: Outcome = Outcome.OK
    held: set[str] = field(default_factory=set)
    overwritten: list[int] = field(default_factory=list)

    def holds(self, kind: str) -> bool:
        return kind in self.held

    def table(self, space: int, vpn: int) -> int:
        """PPN of the leaf table of a page."""
        return FIRST_TABLE + space * TABLES_PER_SPACE + vpn // TABLE_PAGES % TABLES_PER_SPACE

    def address(self, space: int, vpn: int) -> int:
        """Byte address of a page's leaf entry."""
        return self.table(space, vpn) << 12 | vpn % TABLE_PAGES * 8

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
        names = ("start", "end", "id", "flags", "page_prot")
        return {"outcome": outcome, "record_addr": vma.record, "fields": {name: getattr(vma, name) for name in names}}

    def walk(self, request: dict[str, int]) -> dict[str, int]:
        address = self.address(request["space"], request["vpn"])
        pte = self.entries.get(address, 0)
        walked = {"outcome": LEAF if pte & V else NONE, "level": 0, "pte": pte, "pte_addr": address} | (self.walked or {})
        return walked | {"size": PAGE_SIZE_OF_LEVEL[walked["level"]]}

    def write(self, address: int, data: int) -> bool:
        if self.write_error:
            return True
        if self.entries.get(address):
            self.overwritten.append(address)
        self.entries[address] = data
        return False

    def queue(self, request: dict[str, int]) -> int:
        return self.queue_outcome

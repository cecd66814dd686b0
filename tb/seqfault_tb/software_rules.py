"""Rules for software that the golden checker does not follow, watched by the `GoldenMachine`: stale translations, fences, VMA trees and page caches.

The checker cannot judge fences: the engine's FENCE leaves the event port after software may have seen the word that the fence writes. Here both
are one turn.
[docs/software-contract.md, VMA tree: "Software replaces nodes by copy [..]; it never edits a reachable node. It may edit a reachable record between
SEQ.BEGIN and SEQ.END of its id. Old nodes, records and page tables are reused only after an IOFENCE.C with PR"; Page cache: "It takes a page out,
exchanges it, or takes WRITABLE or UPTODATE away only while for every VMA that shows the page a section is open"]
"""

from typing import TYPE_CHECKING

from seqfault_golden import Outcome, Step, StepEvent
from seqfault_golden.layout import PAGE_BITS, Record, pte_ppn
from seqfault_golden.lookups import find_vma, read_record, tree_entries, walk
from seqfault_golden.page_cache import find_page, page_index

if TYPE_CHECKING:
    from .golden_machine import GoldenMachine

__all__ = ["RECORD", "SoftwareRules"]

NODE, RECORD = 1, 2
LINE = 64
SLOT_PRESENT, SLOT_UPTODATE, SLOT_WRITABLE = 1, 2, 8
SLOT_FLAGS = 10
"""Bits of a slot below its PPN."""


class SoftwareRules:
    """Collects violations. A "mark" counts SPACE_VMAS and SEQ_BEGIN steps, so that a fence knows what came before it.

    `strict` follows every line of the published VMA trees: slow with many VMAs.
    """

    def __init__(self, machine: "GoldenMachine", strict: bool) -> None:
        self._machine, self._strict = machine, strict
        self.violations: list[str] = []
        self._mark = self._fenced = 0
        self._begun: dict[int, int] = {}
        self._leaf_tables: dict[int, tuple[int, int]] = {}
        self._slots: dict[int, set[tuple[int, int]]] = {}
        self._reachable: dict[int, dict[int, int | None]] = {}
        self._retired: dict[int, int] = {}

    def translated(self, space: int, vpn: int, pa: int) -> None:
        """A kept translation is used: unless the space or the page's table is being changed, it must agree with the tables."""
        machine = self._machine
        world = machine.engine.world
        address, now, level = walk(machine.read64, world.tables[space], vpn)
        changes = world.mm_writer(space) or world.lock_holder(world.table_of(address)) is not None
        if not changes and pte_ppn(now) | vpn & (1 << 9 * level) - 1 != pa >> PAGE_BITS:
            self.violations.append(f"space {space}: the TLB still maps page {vpn:#x} to {pa:#x}, the table says {now:#x}")

    def event(self, event: StepEvent) -> None:
        """A step took effect. A fence covers what was done before it: commands run in order."""
        if event.first == Step.R7:
            self._leaf_tables[event.addr >> PAGE_BITS] = event.space, event.vpn >> 9
        elif event.first == Step.PAGE:
            self._slots.setdefault(event.addr, set()).add((event.space, event.vpn))
        elif event.first == Step.SEQ_BEGIN:
            self._mark += 1
            self._begun[event.id] = self._mark
        elif event.first == Step.SPACE_VMAS:
            self._mark += 1
            if self._strict:
                self._published(event.space, event.data)
        elif event.first == Step.FENCE and event.data & 1:
            self._fenced = self._mark

    def _published(self, space: int, root: int) -> None:
        lines: dict[int, int | None] = {}
        for pointer, _, vma_id in tree_entries(self._machine.read64, root):
            if pointer & 3 == RECORD:
                lines[pointer & ~(LINE - 1)] = vma_id
            elif pointer & 3 == NODE:
                lines.update({pointer & ~127: None, (pointer & ~127) + LINE: None})
        for line in self._reachable.get(space, {}):
            if line not in lines:
                self._retired[line] = self._mark
        self._reachable[space] = lines

    def software_writes(self, address: int, value: int) -> None:
        """Before a software write takes effect."""
        if address >> PAGE_BITS in self._leaf_tables:
            self._leaf_write(address)
        if address in self._slots:
            self._slot_write(address, value)
        if self._strict:
            self._tree_write(address & ~(LINE - 1))

    def _leaf_write(self, address: int) -> None:
        """In a section of its VMA (which the checker sees to), after a fence."""
        read, world = self._machine.read64, self._machine.engine.world
        space, prefix = self._leaf_tables[address >> PAGE_BITS]
        vpn = prefix << 9 | address >> 3 & 511
        here, _, level = walk(read, world.tables[space], vpn)
        if here != address or level != 0:
            return
        found = self._vma(space, vpn)
        if found is not None and world.active_writers(found.id) and self._begun[found.id] > self._fenced:
            self.violations.append(f"space {space}: software writes the entry of page {vpn:#x} before the fence of its section")

    def _slot_write(self, address: int, value: int) -> None:
        """A slot that faults have looked at loses its page, or a right: in a section of each VMA in which it was looked at, after a fence."""
        read, world = self._machine.read64, self._machine.engine.world
        old = read(address)
        lost = old & ~value & (SLOT_PRESENT | SLOT_UPTODATE | SLOT_WRITABLE) or (old ^ value) >> SLOT_FLAGS
        if not old & SLOT_PRESENT or not lost:
            return
        for space, vpn in sorted(self._slots[address]):
            found = self._vma(space, vpn)
            if found is None or find_page(read, found.backing, page_index(found.start, found.pgoff, vpn))[1] != address:
                continue
            if not world.active_writers(found.id) or self._begun[found.id] > self._fenced:
                self.violations.append(f"space {space}: software takes page {vpn:#x} from VMA {found.id} outside a section, or before its fence")

    def _vma(self, space: int, vpn: int) -> Record | None:
        """The record that covers a page now."""
        outcome, address, _ = find_vma(self._machine.read64, self._machine.engine.world.vmas[space], vpn)
        if outcome != Outcome.OK:
            return None
        record = read_record(self._machine.read64, address)
        return record if record.start <= vpn < record.end else None

    def _tree_write(self, line: int) -> None:
        for space, lines in self._reachable.items():
            if line in lines:
                vma_id = lines[line]
                if vma_id is None:
                    self.violations.append(f"space {space}: software writes the reachable node at {line:#x}")
                elif not self._machine.engine.world.active_writers(vma_id):
                    self.violations.append(f"space {space}: software writes the record of VMA {vma_id} outside a section")
                return
        if line in self._retired:
            if self._retired[line] > self._fenced:
                self.violations.append(f"software reuses {line:#x}, which was unlinked, before a fence has completed")
            else:
                del self._retired[line]

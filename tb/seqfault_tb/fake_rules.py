"""The contract's rules for software, watched by the `FakeMachine`: who may write where and when, and what may be reused."""

from typing import TYPE_CHECKING

from .fake_walks import Leaf, find_vma, tree_lines, walk

if TYPE_CHECKING:
    from .fake_machine import FakeMachine

__all__ = ["Rules"]


class Rules:
    """Collects violations. A "mark" counts SPACE.VMAS and SEQ.BEGIN steps, so that a fence knows what came before it.

    `strict` follows every line of the published VMA trees: slow with many VMAs.
    """

    def __init__(self, machine: "FakeMachine", strict: bool) -> None:
        self._machine, self._strict = machine, strict
        self.violations: list[str] = []
        self._mark = self._fenced = 0
        self._begun: dict[int, int] = {}
        self._leaf_tables: dict[int, tuple[int, int]] = {}
        self._reachable: dict[int, dict[int, int | None]] = {}
        self._retired: dict[int, int] = {}

    def sequence_begun(self, vma_id: int) -> None:
        self._mark += 1
        self._begun[vma_id] = self._mark

    def fence_started(self) -> int:
        """What the fence covers."""
        return self._mark

    def fence_done(self, mark: int) -> None:
        self._fenced = max(self._fenced, mark)

    def leaf_seen(self, space: int, vpn: int, leaf: Leaf) -> None:
        """The engine has read a leaf entry here."""
        if leaf.level == 0:
            self._leaf_tables[leaf.address >> 12] = space, vpn >> 9

    def published(self, space: int) -> None:
        """SPACE.VMAS was executed."""
        if not self._strict:
            return
        self._mark += 1
        lines = dict(tree_lines(self._machine.read64, self._machine.vmas[space]))
        for line in self._reachable.get(space, {}):
            if line not in lines:
                self._retired[line] = self._mark
        self._reachable[space] = lines

    def translated(self, space: int, vpn: int, access: int, word: int) -> None:
        """The TLB answers: outside a section it must agree with the tables."""
        machine = self._machine
        now = walk(machine.read64, machine.tables[space], vpn).entry
        if space not in machine.locked and (now ^ word) >> 10:
            self.violations.append(f"space {space}: the TLB still maps page {vpn:#x} to {word:#x}, the table says {now:#x}")

    def software_writes(self, address: int) -> None:
        """Before a software write takes effect."""
        if address >> 12 in self._leaf_tables:
            self._leaf_write(address)
        if self._strict:
            self._tree_write(address & ~63)

    def _leaf_write(self, address: int) -> None:
        machine = self._machine
        space, prefix = self._leaf_tables[address >> 12]
        vpn = prefix << 9 | address >> 3 & 511
        if not machine.tables[space] or walk(machine.read64, machine.tables[space], vpn).address != address:
            return
        record = find_vma(machine.read64, machine.vmas[space], vpn)
        if record is None or not record.start <= vpn < record.end:
            return
        if not machine.sequence(record.id) & 1:
            self.violations.append(f"space {space}: software writes the entry of page {vpn:#x} outside a section of VMA {record.id}")
        elif self._begun[record.id] > self._fenced:
            self.violations.append(f"space {space}: software writes the entry of page {vpn:#x} before the fence of its section")

    def _tree_write(self, line: int) -> None:
        for space, lines in self._reachable.items():
            if line in lines:
                vma_id = lines[line]
                if vma_id is None:
                    self.violations.append(f"space {space}: software writes the reachable node at {line:#x}")
                elif not self._machine.sequence(vma_id) & 1:
                    self.violations.append(f"space {space}: software writes the record of VMA {vma_id} outside a section")
                return
        if line in self._retired:
            if self._retired[line] > self._fenced:
                self.violations.append(f"software reuses {line:#x}, which was unlinked, before a fence has completed")
            else:
                del self._retired[line]

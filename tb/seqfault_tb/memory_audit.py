"""A look at all tables and trees when nothing is in progress: is every mapped page covered, and every frame where it belongs? [protocol.md I3, I4]

It knows more than the golden checker may ask of any software: every entry is the testbench kernel's or the engine's, so no page without a VMA is
mapped, and no page that may be written is mapped twice but where memory is shared.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from seqfault_golden.layout import PTE_RIGHTS, PTE_W, Record, VmaFlag, branch_table, is_branch, is_leaf, pte_ppn, satp_levels, satp_root
from seqfault_golden.lookups import find_vma, read_record, tree_entries

from .software_rules import RECORD

if TYPE_CHECKING:
    from .golden_machine import GoldenMachine

__all__ = ["audit", "records"]

Read = Callable[[int], int]
FREE = "the free ring"


def records(read: Read, root: int) -> Iterator[tuple[int, int, Record]]:
    """All leaf entries of a VMA tree in order: (start VPN and id in the node, record)."""
    for pointer, start, vma_id in tree_entries(read, root):
        if pointer & 3 == RECORD:
            yield start, vma_id, read_record(read, pointer & ~63)


def _leaves(read: Read, table: int, level: int, prefix: int) -> Iterator[tuple[int, int]]:
    """All leaf entries below a table: (first VPN, entry)."""
    for index in range(512):
        entry, vpn = read(table + 8 * index), (prefix << 9 | index) << 9 * level
        if is_leaf(entry):
            yield vpn, entry
        elif level and is_branch(entry):
            yield from _leaves(read, branch_table(entry), level - 1, prefix << 9 | index)


def audit(machine: "GoldenMachine") -> list[str]:
    """What is wrong with the tables and trees now."""
    wrong: list[str] = []
    read, world = machine.read64, machine.engine.world
    owners = dict.fromkeys([*machine.free_frames, *world.spare], FREE)
    for space, satp in enumerate(world.tables):
        if not satp_levels(satp):
            continue
        found = list(records(read, world.vmas[space]))
        for start, vma_id, record in found:
            if (start, vma_id) != (record.start, record.id) or record.start >= record.end:
                wrong.append(f"space {space}: the tree names VMA {vma_id} at {start:#x}, the record is {record}")
        for (_, _, left), (_, _, right) in pairwise(found):
            if left.end > right.start:
                wrong.append(f"space {space}: VMAs {left.id} and {right.id} overlap")
        for vpn, entry in _leaves(read, satp_root(satp), satp_levels(satp) - 1, 0):
            wrong += _wrong_entry(read, world.vmas[space], f"space {space}, page {vpn:#x}", vpn, entry, owners)
    return wrong


def _wrong_entry(read: Read, root: int, name: str, vpn: int, entry: int, owners: dict[int, str]) -> list[str]:
    _, address, _ = find_vma(read, root, vpn)
    record = read_record(read, address) if address else None
    if record is None or not record.start <= vpn < record.end:
        return [f"{name} is mapped, no VMA covers it"]
    wrong = []
    if entry & PTE_RIGHTS & ~record.page_prot:
        wrong.append(f"{name} has more rights ({entry:#x}) than its VMA ({record.page_prot:#x})")
    frame = pte_ppn(entry)
    if entry & PTE_W and not record.flags & VmaFlag.SHARED:
        if frame in owners:
            wrong.append(f"{name} writes frame {frame:#x}, which belongs to {owners[frame]}")
        owners[frame] = name
    elif owners.get(frame) == FREE:
        wrong.append(f"{name} maps frame {frame:#x}, which is free")
    return wrong

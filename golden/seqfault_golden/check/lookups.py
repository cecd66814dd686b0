"""Lookups in golden's memory: the page walk and the descent of the VMA tree, now or at any time in a window."""

from .. import lookups
from ..layout import PAGE_BITS, Outcome, Record, branch_table, is_branch, satp_levels, satp_root
from ..lookups import NO_TABLE_LEVEL
from .history import Memory, table_key, vmas_key

__all__ = [
    "NO_TABLE_LEVEL", "covering_record", "find_vma_since", "read_record", "table_of", "walk", "walk_ends_at",
]  # fmt: skip


def walk(memory: Memory, space: int, vpn: int) -> tuple[int, int, int]:
    """Where a walk ends now: (entry address, entry, level); level -1: the space has no table."""
    return lookups.walk(memory.read, memory.read(table_key(space)), vpn)


def walk_ends_at(memory: Memory, space: int, vpn: int, since: int, address: int, pte: int) -> int | None:
    """The level at which a walk that ran in the window may have ended at `address` with `pte`; None: it cannot have."""
    now_address, now_pte, level = walk(memory, space, vpn)
    if now_address == address and now_pte == pte:
        return level
    missing = None
    for satp in memory.values(table_key(space), since):
        top = satp_levels(satp) - 1
        if top < 0:
            missing = NO_TABLE_LEVEL
            continue
        found = _descend(memory, satp_root(satp), top, vpn, since, address, pte)
        if found is not None:
            return found
    return missing


def _descend(memory: Memory, table: int, level: int, vpn: int, since: int, address: int, pte: int) -> int | None:
    """`walk_ends_at` from one table on."""
    here = table + (vpn >> 9 * level & 511) * 8
    for value in memory.values(here, since):
        if level > 0 and is_branch(value):
            found = _descend(memory, branch_table(value), level - 1, vpn, since, address, pte)
            if found is not None:
                return found
        elif here == address and value == pte:
            return level
    return None


def find_vma_since(memory: Memory, space: int, vpn: int, since: int) -> list[tuple[Outcome, int, int]]:
    """What a lookup may have found in the window: one result per root published in it (reachable nodes never change)."""
    return [lookups.find_vma(memory.read, root, vpn) for root in memory.values(vmas_key(space), since)]


def read_record(memory: Memory, address: int) -> Record:
    """The record's words as of now."""
    return lookups.read_record(memory.read, address)


def covering_record(memory: Memory, space: int, vpn: int) -> Record | None:
    """The record that covers a page now, if any; its id is the tree's."""
    outcome, address, vma_id = lookups.find_vma(memory.read, memory.read(vmas_key(space)), vpn)
    if outcome is not Outcome.OK:
        return None
    record = read_record(memory, address)
    return record._replace(id=vma_id) if record.start <= vpn < record.end else None


def table_of(address: int) -> int:
    """Byte address of the table that holds an entry."""
    return address >> PAGE_BITS << PAGE_BITS

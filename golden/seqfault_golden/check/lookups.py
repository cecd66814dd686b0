"""Lookups in golden's memory: the page walk, the descent of the VMA tree, the page cache; now or at any time in a window."""

from collections.abc import Iterator
from itertools import product

from .. import lookups
from ..layout import (
    PAGE_BITS,
    TREE_DEPTH,
    VPN_MASK,
    Outcome,
    Record,
    address_of,
    branch_table,
    is_branch,
    pointer_kind,
    satp_levels,
    satp_root,
)  # fmt: skip
from ..lookups import NO_TABLE_LEVEL
from ..page_cache import backing_root, find_page, index_path, node_below, page_index
from .history import Memory, table_key, vmas_key

__all__ = [
    "NO_TABLE_LEVEL", "covering_record", "find_page_now", "find_vma_since", "overlapping_records", "page_lookup_ends_at", "read_record", "table_of",
    "walk", "walk_ends_at",
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


def overlapping_records(memory: Memory, space: int, first: int, end: int) -> Iterator[Record]:
    """The records that have a page among [first, end), by the published tree."""
    yield from _overlapping(memory, memory.read(vmas_key(space)), 0, first, end, TREE_DEPTH)


def _overlapping(memory: Memory, pointer: int, vma_id: int, first: int, end: int, depth: int) -> Iterator[Record]:
    """`overlapping_records` below one pointer word; the entries of a node ascend, so all before the last with a start <= `first` are left out."""
    if pointer_kind(pointer) == 2:
        record = read_record(memory, address_of(pointer))
        if record.start < end and first < record.end:
            yield record._replace(id=vma_id)
    if pointer_kind(pointer) != 1 or not depth:
        return
    entries: list[tuple[int, int]] = []
    for below, start, entry_id in lookups.node_entries(memory.read, address_of(pointer)):
        if start >= end:
            break
        entries = [(below, entry_id)] if start <= first else [*entries, (below, entry_id)]
    for below, entry_id in entries:
        yield from _overlapping(memory, below, entry_id, first, end, depth - 1)


def find_page_now(memory: Memory, record: int, vpn: int) -> tuple[str, int, int]:
    """Where the lookup of a page in its file's page cache ends now: outcome, address and word."""
    fields = read_record(memory, record)
    outcome, address, word = find_page(memory.read, fields.backing, page_index(fields.start, fields.pgoff, vpn))
    return outcome.name, address, word


def page_lookup_ends_at(memory: Memory, record: int, record_since: int, vpn: int, since: int, address: int, word: int) -> Outcome | None:
    """How a lookup that ran in the window may have ended at `address` with `word`; None: it cannot have. The record was read after `record_since`."""
    words = (memory.values(record + offset, record_since) for offset in (0, 32, 40))
    for start, pgoff, backing in product(*words):
        height, root = backing_root(backing)
        path = index_path(height, page_index(start & VPN_MASK, pgoff & (1 << 52) - 1, vpn))
        if isinstance(path, Outcome):
            found = path if (address, word) == (0, 0) else None
        else:
            found = _ends_in_cache(memory, root, path, since, address, word)
        if found is not None:
            return found
    return None


def _ends_in_cache(memory: Memory, node: int, path: list[int], since: int, address: int, word: int) -> Outcome | None:
    """`page_lookup_ends_at` from one node on."""
    here = node + path[0]
    for value in memory.values(here, since):
        below = node_below(value)
        if len(path) > 1 and below is not None:
            found = _ends_in_cache(memory, below, path[1:], since, address, word)
            if found is not None:
                return found
        elif (here, value) == (address, word):
            return Outcome.OK if len(path) == 1 else Outcome.NOT_CACHED
    return None


def table_of(address: int) -> int:
    """Byte address of the table that holds an entry."""
    return address >> PAGE_BITS << PAGE_BITS

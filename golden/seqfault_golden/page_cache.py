"""The page cache: where a file's pages are, as software keeps it. [contract, Page cache]"""

from collections.abc import Callable

from .layout import Outcome, pte_ppn

__all__ = [
    "SLOT_LOCKED", "SLOT_PRESENT", "SLOT_UPTODATE", "SLOT_WRITABLE", "backing_root", "find_page", "index_path", "is_mappable", "node_below",
    "page_index", "slot_ppn",
]  # fmt: skip

SLOT_PRESENT, SLOT_UPTODATE, SLOT_LOCKED, SLOT_WRITABLE = (1 << bit for bit in range(4))
_MAPPABLE = SLOT_PRESENT | SLOT_UPTODATE
_INDEX_BITS = 6
_MOST_LEVELS = 8
_NODE_MASK = (1 << 56) - (1 << 9)
_VALID = 1


def is_mappable(slot: int) -> bool:
    """ "The engine maps a page that is PRESENT, UPTODATE and not LOCKED": for a load."""
    return slot & (_MAPPABLE | SLOT_LOCKED) == _MAPPABLE


def slot_ppn(slot: int) -> int:
    """PPN field [53:10]."""
    return pte_ppn(slot)


def page_index(start: int, pgoff: int, vpn: int) -> int:
    """ "Page `index` = pgoff + (VPN - start VPN, both of the record)"."""
    return pgoff + vpn - start


def backing_root(backing: int) -> tuple[int, int]:
    """Height and address of the root node in record word 5."""
    return backing & 63, backing & _NODE_MASK


def node_below(word: int) -> int | None:
    """Address of the node that an inner word points to; None: VALID is 0."""
    return word & _NODE_MASK if word & _VALID else None


def index_path(height: int, index: int) -> list[int] | Outcome:
    """Byte offset in the node of each level, from the root down; or why there is none: BAD_TREE (too high), NOT_CACHED (beyond its height)."""
    if height > _MOST_LEVELS:
        return Outcome.BAD_TREE
    if index >> _INDEX_BITS * height:
        return Outcome.NOT_CACHED
    offsets = [(index >> _INDEX_BITS * level & 63) * 8 for level in reversed(range(height))]
    return offsets or Outcome.NOT_CACHED


def find_page(read: Callable[[int], int], backing: int, index: int) -> tuple[Outcome, int, int]:
    """Where the lookup of a page ends, and the word there: (OK, slot), (NOT_CACHED, inner word with VALID=0), or one without an address."""
    height, node = backing_root(backing)
    path = index_path(height, index)
    if isinstance(path, Outcome):
        return path, 0, 0
    for offset in path[:-1]:
        word = read(node + offset)
        below = node_below(word)
        if below is None:
            return Outcome.NOT_CACHED, node + offset, word
        node = below
    return Outcome.OK, node + path[-1], read(node + path[-1])

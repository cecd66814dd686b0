"""The VMA tree in memory: pointer words, node entries, records. [docs/software-contract.md, VMA tree]"""

from amaranth.lib import data, enum

from .config import PADDR_BITS

__all__ = [
    "MAX_DEPTH", "NODE_ALIGN_BITS", "NODE_WORDS", "POINTER_ALIGN_BITS", "RECORD_WORDS", "NodeKey", "Pointer", "PointerKind", "RecordEnd",
    "RecordWord",
]  # fmt: skip

MAX_DEPTH = 8
"""Nodes from the root to a leaf entry, at most."""
NODE_WORDS = 16
NODE_ALIGN_BITS = 7
RECORD_WORDS = 6
"""Words of a record that a lookup reads."""
POINTER_ALIGN_BITS = 6


class PointerKind(enum.Enum, shape=2):
    """What a pointer word points to."""

    NONE = 0
    NODE = 1
    RECORD = 2


class Pointer(data.Struct):
    """A pointer word: `line` is the physical address without its lowest 6 bits. `kind` is a `PointerKind`, or 3: malformed."""

    kind: 2
    reserved_2: POINTER_ALIGN_BITS - 2
    line: PADDR_BITS - POINTER_ALIGN_BITS
    reserved_56: 64 - PADDR_BITS


class NodeKey(data.Struct):
    """Word 0 of a node's entry."""

    start: 48
    id: 16


class RecordEnd(data.Struct):
    """Word 1 of a record."""

    end: 48
    reserved: 16


class RecordWord(enum.Enum, shape=4):
    """Words of a record by their place."""

    START = 0
    END = 1
    FLAGS = 2
    PAGE_PROT = 3
    PGOFF = 4
    BACKING = 5

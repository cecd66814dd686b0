"""Flags of a VMA record. [docs/software-contract.md, VMA tree, record word 2]"""

from amaranth import Value
from amaranth.lib import data

__all__ = ["VmaFlags"]


class VmaFlags(data.Struct):
    """Word 2 of a VMA record, the bits that the engine knows."""

    read: 1
    write: 1
    exec: 1
    shared: 1
    anon: 1
    growsdown: 1
    uffd: 1
    locked: 1
    huge: 1
    uffd_wp: 1
    uffd_minor: 1
    reserved: 5

    def is_anonymous(self) -> Value:
        """The VMA shows memory of its own; every other shows the pages of its backing."""
        return self.anon & ~self.shared

    def has_userfaults(self) -> Value:
        """Some fault of the VMA is a userfault."""
        return self.uffd | self.uffd_wp | self.uffd_minor

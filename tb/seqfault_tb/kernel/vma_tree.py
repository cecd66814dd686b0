"""The VMA tree in memory, changed by copy and publish: only new nodes are written, at O(depth) of them per change."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

from ..machine import Machine
from .constants import NODE_ENTRIES, PTE_A, PTE_D, PTE_V, PTE_W, Kind, VmaFlag
from .layout import Vma
from .memory_layout import MemoryMap

__all__ = ["VmaTree", "write_record"]

PGOFF_MASK = (1 << 52) - 1
FEW = 3
"""A node with fewer entries is joined with its neighbour when both fit in one."""


def write_record(machine: Machine, vma: Vma, backing: int = 0) -> None:
    """Store the record of a VMA at its address; `backing`: of its file in the page cache.

    GROWSDOWN stays with software: the mapped part of a stack is memory like any other, and below it there is no VMA.
    """
    write, at = machine.write64, vma.record
    write(at, vma.start | vma.id << 48)
    write(at + 8, vma.end)
    write(at + 16, vma.flags & ~VmaFlag.GROWSDOWN)
    write(at + 24, page_prot(vma))
    write(at + 32, vma.pgoff & PGOFF_MASK)
    write(at + 40, backing)


def page_prot(vma: Vma) -> int:
    """The PTE template of the record: A and D are the engine's business, the right to write is the VMA's."""
    if not vma.rights:
        return 0
    return (vma.template | (PTE_W if vma.flags & VmaFlag.WRITE else 0)) & ~(PTE_A | PTE_D) | PTE_V


@dataclass(slots=True)
class _Node:
    """A node in memory; its children are nodes, or VMAs at the bottom."""

    address: int
    leaf: bool
    keys: list[int]
    children: list


class VmaTree:
    """The tree of one address space. `replace` builds a new version beside the old one; the nodes of the old one are retired."""

    def __init__(self, machine: Machine, memory: MemoryMap) -> None:
        self._machine, self._memory = machine, memory
        self._root: _Node | None = None

    @property
    def pointer(self) -> int:
        """The pointer word of the root, for SPACE.VMAS."""
        return self._root.address | Kind.NODE if self._root else Kind.NONE

    def replace(self, low: int, high: int, vmas: list[Vma]) -> None:
        """The VMAs that start in [low, high) are now these. Post SPACE.VMAS, then a fence, before the next call ends."""
        root = self._root
        nodes = self._replace(root, low, high, vmas) if root else self._pack(True, [vma.start for vma in vmas], vmas)
        while len(nodes) > 1:
            nodes = self._pack(False, [node.keys[0] for node in nodes], nodes)
        root = nodes[0] if nodes else None
        while root is not None and not root.leaf and len(root.children) == 1:
            self._drop(root)
            root = root.children[0]
        self._root = root

    def retire(self) -> None:
        """Nothing of the tree is needed any more."""
        level = [self._root] if self._root else []
        while level:
            for node in level:
                self._drop(node)
            level = [child for node in level if not node.leaf for child in node.children]
        self._root = None

    def _replace(self, node: _Node, low: int, high: int, vmas: list[Vma]) -> list[_Node]:
        """New nodes, none or several, in the place of this one."""
        keys, children = node.keys, node.children
        if node.leaf:
            first, last = bisect_left(keys, low), bisect_left(keys, high)
            self._drop(node)
            return self._pack(True, keys[:first] + [vma.start for vma in vmas] + keys[last:], children[:first] + vmas + children[last:])
        first = max(bisect_right(keys, low) - 1, 0)
        last = max(bisect_left(keys, high), first + 1)
        fresh = self._replace(children[first], low, high, vmas)
        for child in children[first + 1 : last]:
            fresh += self._replace(child, low, high, [])
        before, after = children[:first], children[last:]
        fresh = self._join(before, fresh, after)
        nodes = before + fresh + after
        self._drop(node)
        return self._pack(False, [child.keys[0] for child in nodes], nodes)

    def _join(self, before: list[_Node], fresh: list[_Node], after: list[_Node]) -> list[_Node]:
        """Join small fresh nodes with neighbours; takes the neighbour out of its list."""
        joined: list[_Node] = []
        for node in fresh:
            other = joined[-1] if joined else before[-1] if before else None
            if other is not None and min(len(node.keys), len(other.keys)) < FEW and len(node.keys) + len(other.keys) <= NODE_ENTRIES:
                (joined if joined else before).pop()
                node = self._merge(other, node)
            joined.append(node)
        if joined and after and len(joined[-1].keys) < FEW and len(joined[-1].keys) + len(after[0].keys) <= NODE_ENTRIES:
            joined.append(self._merge(joined.pop(), after.pop(0)))
        return joined

    def _merge(self, left: _Node, right: _Node) -> _Node:
        self._drop(left)
        self._drop(right)
        return self._make(left.leaf, left.keys + right.keys, left.children + right.children)

    def _pack(self, leaf: bool, keys: list[int], children: list) -> list[_Node]:
        """Nodes that hold these children, evenly filled."""
        if not keys:
            return []
        count = -(-len(keys) // NODE_ENTRIES)
        bounds = [len(keys) * index // count for index in range(count + 1)]
        return [self._make(leaf, keys[a:b], children[a:b]) for a, b in pairwise(bounds)]

    def _make(self, leaf: bool, keys: list[int], children: list) -> _Node:
        """Write a new node."""
        address = self._memory.nodes.take()
        write, at = self._machine.write64, address
        for key, child in zip(keys, children, strict=True):
            write(at, key | child.id << 48 if leaf else key)
            write(at + 8, child.record | Kind.RECORD if leaf else child.address | Kind.NODE)
            at += 16
        if len(keys) < NODE_ENTRIES:
            write(at, 0)
            write(at + 8, Kind.NONE)
        return _Node(address, leaf, keys, children)

    def _drop(self, node: _Node) -> None:
        self._memory.quarantine.retire(self._memory.nodes, node.address)

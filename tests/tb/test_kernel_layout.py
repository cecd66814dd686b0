"""The testbench kernel's layout, VMA tree and commands, each against a simple model of its own."""

from random import Random

import pytest

from seqfault_golden import Outcome
from seqfault_golden.layout import Record
from seqfault_golden.lookups import find_vma, read_record
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import LayoutChange, MemoryMap, commands
from seqfault_tb.kernel.layout import Layout, Vma
from seqfault_tb.kernel.memory_layout import Pool, Quarantine
from seqfault_tb.kernel.vma_tree import VmaTree, write_record
from seqfault_tb.memory_audit import records

PERMS = ("rw-p", "r--p", "---p", "r-xp")


def found_record(machine: GoldenMachine, root: int, page: int) -> Record | None:
    """The record that a lookup ends at; None: no such entry."""
    outcome, address, _ = find_vma(machine.read64, root, page)
    assert outcome in (Outcome.OK, Outcome.NO_VMA)
    return read_record(machine.read64, address) if outcome == Outcome.OK else None


def random_changes(rng: Random, pages: int) -> list[LayoutChange]:
    changes = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        start = rng.randrange(pages)
        end = rng.randrange(start, pages) + 1
        changes.append(LayoutChange(op=rng.choice(("set", "set", "clear", "prot")), start=start, end=end, perm=rng.choice(PERMS), pgoff=start))
    return changes


def apply_to_pages(pages: list[str | None], change: LayoutChange) -> None:
    for page in range(change.start, change.end):
        if change.op == "clear":
            pages[page] = None
        elif change.op == "set" or pages[page] is not None:
            pages[page] = change.perm


@pytest.mark.parametrize("seed", range(8))
def test_layout_and_tree_follow_random_changes(seed: int) -> None:
    """After each change: the layout, and the tree found in memory, say for every page what a list of pages says; ids are never doubled."""
    rng, size = Random(seed), 120
    machine, memory = GoldenMachine(), MemoryMap()
    layout, tree, pages = Layout(), VmaTree(machine, memory), [None] * size
    deepest = 0
    for _ in range(150):
        changes = random_changes(rng, size)
        for change in changes:
            apply_to_pages(pages, change)
        removed, added = layout.apply(changes)
        for vma in added:
            vma.id = vma.id or memory.ids.take()
            vma.record = memory.records.take()
            write_record(machine, vma)
        if removed or added:
            changed = removed + added
            low, high = min(vma.start for vma in changed), max(vma.start for vma in changed) + 1
            tree.replace(low, high, layout.starting_in(low, high))
        for page, perm in enumerate(pages):
            vma, record = layout.find(page), found_record(machine, tree.pointer, page)
            covered = record is not None and record.start <= page < record.end
            assert (vma is not None) == covered == (perm is not None)
            if vma is not None and record is not None and perm is not None:
                assert record.id == vma.id
                assert record.flags & 7 == vma.rights == (perm[0] == "r") | (perm[1] == "w") << 1 | (perm[2] == "x") << 2
        found = [vma_id for _, vma_id, _ in records(machine.read64, tree.pointer)]
        assert len(found) == len(set(found)) == len(layout.vmas)
        deepest = max(deepest, len(found))
    assert deepest > 8, "the tree never had more than one node"


def test_a_change_writes_few_nodes() -> None:
    """Cost is O(depth): one VMA among 2000 changes at most as many nodes as the tree is deep, plus splits."""
    machine, memory = GoldenMachine(), MemoryMap()
    vmas = [Vma(start=10 * n, end=10 * n + 5, flags=3, pgoff=0, kind="anon", file=None, id=n + 1, record=0x1000 + 64 * n) for n in range(2000)]
    tree = VmaTree(machine, memory)
    tree.replace(0, 1 << 40, vmas)
    before = len(machine.memory)
    tree.replace(10_000, 10_001, [Vma(start=10_000, end=10_003, flags=1, pgoff=0, kind="anon", file=None, id=1001, record=0x1000)])
    assert 0 < len(machine.memory) - before <= 16 * 6
    machine.memory[0x1000] = 10_000 | 1001 << 48
    record = found_record(machine, tree.pointer, 10_002)
    assert record is not None
    assert record.id == 1001


def test_a_split_gives_one_part_a_new_id() -> None:
    layout = Layout([Vma(start=0, end=10, flags=3, pgoff=0, kind="anon", file=None, id=7, record=64)])
    removed, added = layout.apply([LayoutChange(op="set", start=4, end=6, perm="r--p")])
    assert [vma.id for vma in removed] == [7]
    assert [(vma.start, vma.end, vma.id) for vma in added] == [(0, 4, 7), (4, 6, 0), (6, 10, 0)]


def test_a_change_to_the_same_is_none() -> None:
    vma = Vma(start=0, end=10, flags=19, pgoff=5, kind="anon", file=None, id=7, record=64)
    layout = Layout([vma])
    assert layout.apply([LayoutChange(op="set", start=0, end=10, perm="rw-p", pgoff=5)]) == ([], [])
    assert layout.vmas == [vma]


@pytest.mark.parametrize(
    ("command", "word0", "word1"),
    [
        (commands.sequence_begin(5, 0x1234), 64 | 5 << 12, 0x1234),
        (commands.sequence_end(5, 0x1234), 64 | 1 << 7 | 5 << 12, 0x1234),
        (commands.zap(3, 0x7F123, 20), 65 | 3 << 12 | 20 << 32, 0x7F123),
        (commands.protect(3, 0x7F123, 20, 0b101), 65 | 1 << 7 | 3 << 12 | 1 << 28 | 1 << 30 | 20 << 32, 0x7F123),
        (commands.mm_lock(63), 66 | 63 << 12, 0),
        (commands.mm_unlock(63), 66 | 1 << 7 | 63 << 12, 0),
        (commands.set_table(1, 9 << 60 | 0x80000), 67 | 1 << 12, 9 << 60 | 0x80000),
        (commands.set_vmas(1, 0x8000_0081), 67 | 1 << 7 | 1 << 12, 0x8000_0081),
        (commands.fence(0x8000_0008, 0xABCD, True), 2 | 1 << 10 | 1 << 12 | 1 << 13 | 0xABCD << 32, 0x8000_0008 >> 2),
        (commands.fence(0x8000_0008, 1, False), 2 | 1 << 10 | 1 << 13 | 1 << 32, 0x8000_0008 >> 2),
        (commands.invalidate_space(9), 1 | 9 << 12 | 1 << 32, 0),
        (commands.invalidate_page(9, 0x123), 1 | 1 << 10 | 9 << 12 | 1 << 32, 0x123 << 10),
    ],
)
def test_encodings(command: commands.Command, word0: int, word1: int) -> None:
    """The words, written out from docs/software-contract.md."""
    assert command[1:] == (word0, word1)


@pytest.mark.parametrize("seed", range(40))
def test_invalidated_ranges_cover_the_pages(seed: int) -> None:
    """Decoded as the contract says (with S the lowest 0 bit of ADDR ends the mask), the blocks cover all pages, and little more."""
    rng = Random(seed)
    start, count = rng.randrange(1 << 36), rng.choice((1, 2, 3, 7, 64, 513, rng.randrange(1, 5000)))
    covered: set[int] = set()
    for _, word0, word1 in commands.invalidate_range(4, start, count):
        assert word0 == 1 | 1 << 10 | 4 << 12 | 1 << 32
        address, size = word1 >> 10, 1
        if word1 >> 9 & 1:
            while address >> size.bit_length() - 1 & 1:
                size *= 2
            size *= 2
        base = address & ~(size - 1)
        covered.update(range(base, base + size) if size < 1 << 20 else range(start, start + count))
    assert covered >= set(range(start, start + count))


def test_quarantine_waits_for_a_later_fence() -> None:
    counter = iter(range(100))
    pool, quarantine = Pool(lambda: next(counter)), Quarantine()
    item = pool.take()
    quarantine.fence_posted(1)
    quarantine.retire(pool, item)
    quarantine.fence_completed(1)
    assert pool.take() == 1, "the fence was posted before the item was retired"
    quarantine.fence_posted(2)
    assert pool.take() == 2, "the fence has not completed"
    quarantine.fence_completed(2)
    assert pool.take() == item

"""The testbench kernel's page cache in memory: what a lookup as the contract describes it finds there."""

from random import Random

import pytest

from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import MemoryMap
from seqfault_tb.kernel.constants import Slot
from seqfault_tb.kernel.frames import Frames
from seqfault_tb.kernel.page_cache import PageCache

FILE, SHARED = ("file", ("lib.so", 99)), ("shm", ("segment", 7))
READ_IN = Slot.PRESENT | Slot.UPTODATE


def look_up(machine: GoldenMachine, backing: int, index: int) -> int:
    """The slot of page `index`; 0: there is none. [contract, Page cache]"""
    height, node = backing & 63, backing & (1 << 56) - 512
    assert height <= 8
    if index >= 64**height:
        return 0
    while height > 1:
        word = machine.read64(node + 8 * (index // 64 ** (height - 1) % 64))
        if not word & 1:
            return 0
        assert word & 510 == 0
        node, height = word & (1 << 56) - 512, height - 1
    return machine.read64(node + 8 * (index % 64))


def frame_of(slot: int) -> int:
    return slot >> 10 & (1 << 44) - 1


@pytest.mark.parametrize("seed", range(6))
def test_every_record_sees_the_pages_of_its_vma(seed: int) -> None:
    """VMAs of two files, ever further up, and pages in random order: all records ever written find all pages below their ends, and no others."""
    rng, machine, memory = Random(seed), GoldenMachine(), MemoryMap()
    cache = PageCache(machine, memory)
    records: list[tuple[object, int, int]] = []
    pages: dict[tuple[object, int], int] = {}
    for turn in range(60):
        file, end = rng.choice((FILE, SHARED)), rng.randrange(1, 64 ** (1 + turn // 15) + 1)
        records.append((file, end, cache.backing(file, end)))
        for _ in range(4):
            page = file, rng.randrange(end)
            frame = cache.add(page)
            assert pages.setdefault(page, frame) == frame, "a page that is there stays where it is"
        for file, end, backing in records:
            known = [number for other, number in pages if other == file and number < end]
            for number in rng.sample(known, min(4, len(known))):
                slot = look_up(machine, backing, number)
                assert frame_of(slot) == pages[file, number]
                assert slot & 15 == READ_IN | (Slot.WRITABLE if file is SHARED else 0)
            stranger = rng.randrange(end)
            assert (file, stranger) in pages or look_up(machine, backing, stranger) == 0
    assert len(set(pages.values())) == len(pages)
    assert {backing & 63 for _, _, backing in records} >= {1, 2, 3, 4}
    assert all(cache.owner(frame) == page for page, frame in pages.items())


def test_a_page_is_made_writable_busy_and_taken_out() -> None:
    machine, memory = GoldenMachine(), MemoryMap()
    cache = PageCache(machine, memory)
    backing, page = cache.backing(FILE, 5000), (FILE, 4711)
    frame = cache.add(page)
    cache.change(page, add=Slot.WRITABLE | Slot.LOCKED)
    assert look_up(machine, backing, 4711) == frame << 10 | READ_IN | Slot.WRITABLE | Slot.LOCKED
    cache.change(page, remove=Slot.LOCKED)
    assert look_up(machine, backing, 4711) == frame << 10 | READ_IN | Slot.WRITABLE
    cache.take_out(page)
    assert look_up(machine, backing, 4711) == 0
    assert cache.add(page) != frame
    assert look_up(machine, backing, 4711) >> 10 != frame
    assert cache.owner(frame) == page, "nobody frees it because of a late record"


def test_frames_of_the_cache_are_not_freed_with_their_entries() -> None:
    memory = MemoryMap()
    frames = Frames(memory, PageCache(GoldenMachine(), memory))
    cached, own = frames.cache.add((FILE, 3)), frames.take()
    for frame in (cached, frames.zero):
        frames.share(frame << 10 | 1)
        frames.release(frame << 10 | 1)
        assert frames.is_cached(frame)
        assert not frames.is_exclusive(frame)
    assert memory.quarantine.waits_for_a_fence == 0
    assert frames.is_exclusive(own)
    frames.share(own << 10 | 1)
    assert not frames.is_exclusive(own)
    frames.release(own << 10 | 1)
    assert frames.is_exclusive(own)
    frames.release(own << 10 | 1)
    assert memory.quarantine.waits_for_a_fence == 1

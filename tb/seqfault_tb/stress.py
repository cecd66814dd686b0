"""A random program that races faults against changes of the same VMAs, as hard as it can: short, many, and no pauses to speak of."""

from dataclasses import dataclass
from random import Random

from .errors import HangError
from .kernel import AddressSpace, FaultCall, Kernel, LayoutChange, drive
from .kernel.constants import Flags, Slot, VmaFlag
from .kernel.eviction import evict
from .kernel.layout import VM_HUGETLB, VM_UFFD_MISSING, Vma
from .kernel.page_cache import Page

__all__ = ["Stress", "run_stress"]

PERMS = ("rw-p", "rw-p", "r--p", "rwxp", "---p")
BASE_VPN = 0x7_0000_0000
REGION_PITCH = 48
LOAD, STORE, FETCH = 0, 1, 2
FLAGS = (Flags.ALLOW_RETRY,) * 5 + (Flags.ALLOW_RETRY | Flags.NOWAIT, Flags.ATOMIC, Flags(0))
KINDS = (
    ("file_priv", "rw-p", 0), ("file_shared", "rw-s", 0), ("shm", "rw-s", 0),
    ("anon", "rw-p", VM_UFFD_MISSING), ("anon", "rw-p", VM_HUGETLB),
)  # fmt: skip
"""Kinds of VMAs that are not plain anonymous memory: kind, rights, Linux' vm_flags. The first three show a file."""
SHARING = ("fork", "evict", "", "", "", "")
MOVING = ("fork", "evict", "move", "move", "lock", "", "")
"""Operations besides `_operation`: with files, and where VMAs move too."""
CHILD_FAULTS = 3
"""That a forked child makes."""
AGING = ("age", "age", "protect", "protect all", "protect all", "protect all", "discard")
"""Operations where hardware sets A and D: ways to need it, and to race with it."""


@dataclass(frozen=True, kw_only=True)
class Stress:
    """Sizes of the program.

    Parameters
    ----------
    faults : in all. faulters, mutators : threads of each kind. regions : VMAs of `pages` pages. pause_ns : longest pause of a mutator.
    files : so many of the regions are of the other kinds (`KINDS`), in turn; then there are forks too, and pages are taken out of the page cache.
    moving : with `files`: half a region moves to where the other half is, and pages of the cache are locked. pitch : pages from one region to the
        next; from 512 on a region has page tables of its own, which come and go with it.
    """

    faults: int = 400
    faulters: int = 8
    mutators: int = 2
    regions: int = 4
    pages: int = 24
    pause_ns: int = 3000
    files: int = 0
    moving: bool = False
    pitch: int = REGION_PITCH


async def run_stress(kernel: Kernel, rng: Random, stress: Stress) -> dict[str, int]:
    """Run the program on a kernel that has not started; returns faults by outcome and the operations made.

    Raises `HangError` when the machine stands still.
    """
    starts = [BASE_VPN + region * stress.pitch for region in range(stress.regions)]
    regions = [_region(start, stress.pages, number - (stress.regions - stress.files)) for number, start in enumerate(starts)]
    mm = kernel.new_mm(0, regions)
    counts = dict.fromkeys(("speculative", "retried", "classic", "software", "refused", "operations"), 0)
    left, children = stress.faults, 0

    async def fault(thread: int, space: AddressSpace) -> None:
        vpn = rng.choice(starts) + rng.randrange(stress.pages)
        access = rng.choice((STORE, STORE, LOAD, FETCH))
        call = FaultCall(
            mm=space, port=thread % kernel.machine.ports, va=vpn << 12 | rng.randrange(4096), access=access, present=False, refused=False,
            grow=None, flags=rng.choice(FLAGS), label=f"fault of thread {thread} at page {vpn:#x}",
        )  # fmt: skip
        report = await kernel.faults.run(call, reconcile=False)
        counts[report.outcome] += 1

    async def faults(thread: int) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await fault(thread, mm)

    async def fork(thread: int) -> None:
        """A child that lives for some faults."""
        nonlocal left, children
        children += 1
        child = kernel.new_mm(children, [])
        await mm.fork(child)
        faults = 0
        while left > 0 and faults < CHILD_FAULTS:
            left, faults = left - 1, faults + 1
            await fault(thread, child)
        await kernel.mms.pop(child.number).tear_down()

    async def mutate(number: int) -> None:
        while left > 0:
            await kernel.scheduler.sleep(rng.randrange(stress.pause_ns + 1))
            kind = rng.choice(MOVING if stress.moving else SHARING) if stress.files else ""
            if kind == "fork":
                await fork(number)
            elif kind == "evict":
                await _evict(kernel, mm, rng)
            elif kind == "move":
                await _move(kernel, mm, rng, rng.choice(regions))
            elif kind == "lock":
                _lock_page(kernel, mm, rng)
            else:
                await _operation(mm, rng, rng.choice(regions), aging=kernel.adue)
            counts["operations"] += 1

    tasks = [kernel.scheduler.spawn(faults(thread), f"faulter {thread}") for thread in range(stress.faulters)]
    tasks += [kernel.scheduler.spawn(mutate(number), f"mutator {number}") for number in range(stress.mutators)]
    await drive(kernel, lambda: all(task.done for task in tasks))
    if sum(counts.values()) - counts["operations"] != stress.faults:
        raise HangError(f"{stress.faults} faults were issued, but the outcomes are {counts}")
    return counts


def _region(start: int, pages: int, number: int) -> LayoutChange:
    """Anonymous memory, or (from 0 on) another kind; the files are parts of one that all such regions show."""
    if number < 0:
        return LayoutChange(op="set", start=start, end=start + pages, perm="rw-p")
    kind, perm, vmflags = KINDS[number % len(KINDS)]
    file, pgoff = (None, 0) if vmflags else ("a file", 60 - pages // 2)
    return LayoutChange(op="set", start=start, end=start + pages, perm=perm, kind=kind, file=file, pgoff=pgoff, vmflags=vmflags)


async def _evict(kernel: Kernel, mm: AddressSpace, rng: Random) -> None:
    """Take a page that somebody may show out of the page cache."""
    if page := _shown_page(mm, rng):
        await evict(kernel, page)


def _lock_page(kernel: Kernel, mm: AddressSpace, rng: Random) -> None:
    """Somebody reads or writes a page of the page cache; a page request for it waits for that to end."""
    page = _shown_page(mm, rng)
    if page and kernel.frames.cache.slot(page):
        kernel.frames.cache.change(page, add=Slot.LOCKED)


def _shown_page(mm: AddressSpace, rng: Random) -> Page | None:
    """Any page of a file that a VMA shows."""
    shown = [vma for vma in mm.layout.vmas if vma.file_key is not None]
    vma = rng.choice(shown) if shown else None
    return vma and vma.page(rng.randrange(vma.start, vma.end))


async def _move(kernel: Kernel, mm: AddressSpace, rng: Random, region: LayoutChange) -> None:
    """mremap (MREMAP_FIXED): what is there of one half of a region goes to the other half."""
    half = (region.end - region.start) // 2
    first, shift = (region.start, half) if rng.random() < 0.5 else (region.start + half, -half)
    async with mm.lock:
        await kernel.spaces.hold(mm)
        if vmas := mm.layout.overlapping(first, first + half):
            vma = rng.choice(vmas)
            start, end = max(vma.start, first), min(vma.end, first + half)
            to = start + shift, end + shift
            changes = [_like(vma, start, *to), LayoutChange(op="clear", start=start, end=end)]
            await mm.change_locked(changes, drops=((start, end), to), moves=((start, to[0], end - start),))
        kernel.spaces.drop(mm)


def _like(vma: Vma, page: int, start: int, end: int) -> LayoutChange:
    """A VMA at [start, end) that is as this one is from `page` on."""
    perm = "".join(letter if vma.rights >> bit & 1 else "-" for bit, letter in enumerate("rwx")) + "ps"[vma.shared]
    vmflags = sum(vm_flag for flag, vm_flag in ((VmaFlag.UFFD, VM_UFFD_MISSING), (VmaFlag.HUGE, VM_HUGETLB)) if vma.flags & flag)
    pgoff = vma.pgoff + page - vma.start
    return LayoutChange(op="set", start=start, end=end, perm=perm, pgoff=pgoff, vmflags=vmflags, kind=vma.kind, file=vma.file)


async def _operation(mm: AddressSpace, rng: Random, region: LayoutChange, *, aging: bool) -> None:
    """mprotect of all or a part, MADV_DONTNEED, munmap, or munmap and mmap in one (MAP_FIXED)."""
    start, pages = region.start, region.end - region.start
    first = rng.randrange(pages)
    last = rng.randrange(first, pages) + 1
    kinds = ("protect", "protect", "protect all", "discard", "unmap", "map")
    kind = rng.choice(AGING if aging else kinds)
    if kind == "age":
        await mm.age(start, start + pages)
    elif kind == "protect":
        await mm.change([LayoutChange(op="prot", start=start + first, end=start + last, perm=rng.choice(PERMS))])
    elif kind == "protect all":
        await mm.change([LayoutChange(op="prot", start=start, end=start + pages, perm=rng.choice(PERMS))])
    elif kind == "discard":
        await mm.change([], drops=((start + first, start + last),))
    elif kind == "unmap":
        await mm.change([LayoutChange(op="clear", start=start + first, end=start + last)], drops=((start + first, start + last),))
    else:
        await mm.change([region], drops=((start, start + pages),))

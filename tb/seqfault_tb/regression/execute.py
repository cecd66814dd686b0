"""Runs a program on a testbench kernel: its threads are the kernel's tasks, and its operations what Linux would do."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..errors import HangError
from ..kernel import AddressSpace, FaultCall, Kernel, LayoutChange, drive
from ..kernel import commands as cmd
from ..kernel.constants import Slot, VmaFlag
from ..kernel.eviction import evict
from ..kernel.layout import VM_HUGETLB, VM_LOCKED, VM_UFFD_MISSING, Vma
from ..kernel.page_cache import Page
from .generate import Shape, make_program
from .program import OPERATIONS, Action, Conditions, Program, Region, Thread

__all__ = ["Execution", "run_at_once"]

PAGE_BITS = 12
CYCLES_PER_FAULT, CYCLES_TO_BEGIN = 20_000, 1_000_000
"""More than any fault takes with what a program does to it."""


class Execution:
    """A program on a kernel that has not started.

    Parameters
    ----------
    stop : asked now and then whether to leave off. on_fault : called with the number of faults done.

    Attributes
    ----------
    counts : faults by outcome, and `operations`. begun : actions that each thread has begun.
    """

    def __init__(
        self, kernel: Kernel, program: Program, *, stop: Callable[[], bool] = lambda: False, on_fault: Callable[[int], None] | None = None
    ) -> None:
        self._kernel, self._program, self._stop, self._on_fault = kernel, program, stop, on_fault
        self.counts = Counter({name: 0 for name in ("speculative", "retried", "classic", "software", "refused", "operations")})
        self.begun = [0] * len(program.threads)
        self._faults_done = 0
        self._busy = sum(not thread.repeat for thread in program.threads)
        spaces = sorted({region.space for region in program.regions})
        self._mms = {space: kernel.new_mm(space, [_first(region) for region in program.regions if region.space == space]) for space in spaces}
        self._children = max(spaces, default=0)
        self._do: dict[str, Callable[[Action, Region, AddressSpace], Awaitable[None]]] = {
            name: getattr(self, f"_{name}") for name in OPERATIONS if name not in ("fault", "fork")
        }

    async def run(self) -> None:
        """Raises `HangError` when the machine stands still, or works on for much longer than the program's faults can take."""
        spawn, conditions = self._kernel.scheduler.spawn, self._program.conditions
        tasks = [spawn(self._thread(number, thread), f"thread {number}") for number, thread in enumerate(self._program.threads)]
        slowness = 1 + conditions.latency / 20 + conditions.pressure / 10
        most = (CYCLES_TO_BEGIN + CYCLES_PER_FAULT * self._program.faults) * slowness
        await drive(self._kernel, lambda: self._stop() or all(task.done for task in tasks), most_cycles=most)
        if not self._stop() and self._faults_done != self.counts.total() - self.counts["operations"]:
            raise HangError(f"{self._faults_done} faults were made, but the outcomes are {dict(self.counts)}")

    async def _thread(self, number: int, thread: Thread) -> None:
        """A repeating thread goes through its actions once at the least, and takes time each time."""
        done = False
        while not done:
            for action in thread.actions:
                await self._kernel.scheduler.sleep(max(action.pause_ns, thread.repeat))
                await self._act(number, action)
                if thread.repeat and not self._busy:
                    break
            done = not (thread.repeat and self._busy and thread.actions)
        self._busy -= not thread.repeat

    async def _act(self, number: int, action: Action) -> None:
        self.begun[number] += 1
        region = self._program.regions[action.region]
        mm = self._mms[region.space]
        if action.do == "fault":
            await self._fault(number, action, mm)
            return
        self.counts["operations"] += 1
        if action.do == "fork":
            await self._fork(number, action, mm)
        else:
            await self._do[action.do](action, region, mm)

    async def _fault(self, number: int, action: Action, mm: AddressSpace) -> None:
        region = self._program.regions[action.region]
        vpn = region.start + action.first % region.pages
        call = FaultCall(
            mm=mm, port=number % self._kernel.machine.ports, va=vpn << PAGE_BITS | action.first & 0xFF8, access=action.access, present=False,
            refused=False, grow=None, flags=action.flags, label=f"fault of thread {number} at page {vpn:#x}",
        )  # fmt: skip
        report = await self._kernel.faults.run(call, reconcile=False)
        self.counts[report.outcome] += 1
        self._faults_done += 1
        if self._on_fault is not None:
            self._on_fault(self._faults_done)

    async def _fork(self, number: int, action: Action, mm: AddressSpace) -> None:
        """A child that lives for some faults."""
        self._children += 1
        child = self._kernel.new_mm(self._children, [])
        await mm.fork(child)
        for fault in action.child:
            await self._kernel.scheduler.sleep(fault.pause_ns)
            await self._fault(number, fault, child)
        await self._kernel.mms.pop(child.number).tear_down()

    async def _protect(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """mprotect."""
        start, end = _range(action, region)
        await mm.change([LayoutChange(op="prot", start=start, end=end, perm=action.perm)])

    async def _discard(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """MADV_DONTNEED."""
        await mm.change([], drops=(_range(action, region),))

    async def _unmap(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """munmap."""
        start, end = _range(action, region)
        await mm.change([LayoutChange(op="clear", start=start, end=end)], drops=((start, end),))

    async def _map(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """mmap with MAP_FIXED of the region as it was at first."""
        await mm.change([_first(region)], drops=((region.start, region.start + region.pages),))

    async def _age(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """A and D are cleared, to see which pages are used."""
        await mm.age(*_range(action, region))

    async def _move(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """mremap (MREMAP_FIXED): what is there of the half of a region that `first` is in goes to the other half."""
        half = region.pages // 2
        first, shift = (region.start, half) if action.first % region.pages < half else (region.start + half, -half)
        async with mm.lock:
            await self._kernel.spaces.hold(mm)
            if vmas := mm.layout.overlapping(first, first + half):
                vma = vmas[action.first % len(vmas)]
                start, end = max(vma.start, first), min(vma.end, first + half)
                to = start + shift, end + shift
                changes = [_like(vma, start, *to), LayoutChange(op="clear", start=start, end=end)]
                await mm.change_locked(changes, drops=((start, end), to), moves=((start, to[0], end - start),))
            self._kernel.spaces.drop(mm)

    async def _evict(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """Truncation or reclaim: the page that is shown there goes out of the page cache."""
        if page := _shown(action, region, mm):
            await evict(self._kernel, page)

    async def _lock(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """Somebody reads or writes the page of the page cache that is shown there; a page request for it waits for that to end."""
        cache = self._kernel.frames.cache
        if (page := _shown(action, region, mm)) and cache.slot(page):
            cache.change(page, add=Slot.LOCKED)

    async def _mlock(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """mlock or munlock: the flags of the VMA that is there change, and nothing that is mapped, so the section is as short as can be."""
        async with mm.lock:
            await self._kernel.spaces.hold(mm)
            if vma := mm.layout.find(_range(action, region)[0]):
                change = _like(vma, vma.start, vma.start, vma.end)
                await mm.change_locked([replace(change, vmflags=change.vmflags ^ VM_LOCKED)])
            self._kernel.spaces.drop(mm)

    async def _bump(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """Empty sections of the VMA that is there, as many as the action has pages: they wait for no fault."""
        for _ in range(action.pages):
            async with mm.lock:
                await self._kernel.spaces.hold(mm)
                if vma := mm.layout.find(_range(action, region)[0]):
                    mm.open_sections([vma.id])
                    mm.close_sections([vma.id])
                    await self._kernel.fence(previous_reads=False)
                self._kernel.spaces.drop(mm)
            await self._kernel.scheduler.sleep(action.pause_ns)

    async def _invalidate(self, action: Action, region: Region, mm: AddressSpace) -> None:
        """A TLB flush that nothing needs, and that waits for nothing: of the range, or (no pages) of the space."""
        await self._kernel.spaces.hold(mm)
        start, end = _range(action, region)
        commands = cmd.invalidate_range(mm.space, start, end - start) if action.pages else [cmd.invalidate_space(mm.space)]
        for command in commands:
            self._kernel.commands.post(command)
        await self._kernel.fence(previous_reads=False)
        self._kernel.spaces.drop(mm)


def _first(region: Region) -> LayoutChange:
    """The VMA that is in a region at first."""
    return LayoutChange(
        op="set", start=region.start, end=region.start + region.pages, perm=region.perm, kind=region.kind, file=region.file, pgoff=region.pgoff,
        vmflags=region.vmflags,
    )  # fmt: skip


def _range(action: Action, region: Region) -> tuple[int, int]:
    """The action's pages as VPNs: at least one, and none outside the region."""
    first = action.first % region.pages
    return region.start + first, region.start + min(first + max(action.pages, 1), region.pages)


def _shown(action: Action, region: Region, mm: AddressSpace) -> Page | None:
    """The page of a file that is shown at the action's first page."""
    vpn, _ = _range(action, region)
    vma = mm.layout.find(vpn)
    return vma.page(vpn) if vma is not None and vma.file_key is not None else None


def _like(vma: Vma, page: int, start: int, end: int) -> LayoutChange:
    """A VMA at [start, end) that is as this one is from `page` on."""
    perm = "".join(letter if vma.rights >> bit & 1 else "-" for bit, letter in enumerate("rwx")) + "ps"[vma.shared]
    vmflags = sum(
        vm_flag for flag, vm_flag in ((VmaFlag.UFFD, VM_UFFD_MISSING), (VmaFlag.HUGE, VM_HUGETLB), (VmaFlag.LOCKED, VM_LOCKED)) if vma.flags & flag
    )
    pgoff = vma.pgoff + page - vma.start
    return LayoutChange(op="set", start=start, end=end, perm=perm, pgoff=pgoff, vmflags=vmflags, kind=vma.kind, file=vma.file)


def run_at_once(kernel: Kernel, seed: int, shape: Shape) -> Counter[str]:
    """Run a random program of this shape where nothing but the kernel's machine is awaited, so without a simulator; returns `Execution.counts`."""
    run = Execution(kernel, make_program(seed, shape, Conditions()))
    asyncio.run(run.run())
    return run.counts

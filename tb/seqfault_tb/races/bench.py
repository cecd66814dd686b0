"""The requesters and the kernel of a race, with the threads' data: a word of each page, written through the translation that a thread got."""

from collections import Counter
from collections.abc import Callable

from seqfault_golden.lookups import walk
from seqfault_rtl.config import EngineConfig

from ..kernel import AddressSpace, FaultCall, FaultReport, Future, Kernel, LayoutChange
from ..kernel.commands import FENCE_PR, Command
from ..kernel.constants import NODE_BYTES, PTE_PPN_SHIFT, PTE_V, RECORD_BYTES, Access, Flags, Status
from ..kernel.memory_layout import Pool
from ..kernel.page_requests import install
from .scenario import RaceLost

__all__ = ["GARBAGE", "RaceBench"]

PAGE_BITS, PPN_MASK = 12, (1 << 44) - 1
WORDS = 2
"""Words of a page that hold data."""
GARBAGE = 0x5A5A_5A5A_0000_0001
"""As an entry or a pointer word it is valid, and leads nowhere."""
HUGE_BYTES = 1 << 21
CYCLE_NS = 10


class RaceBench:
    """One kernel for all runs of a job; memory that is free again is dirtied, so that whoever still uses it is noticed.

    Attributes
    ----------
    sequence_entries : of the engine. mm : the address space of the run. counts : outcomes of all faults. files : so many have been named.
    """

    def __init__(self, kernel: Kernel, config: EngineConfig) -> None:
        self.kernel = kernel
        self.sequence_entries = config.sequence_entries
        self._held_by_engine = config.pool_frames + config.contexts
        self.machine = kernel.machine
        self.counts: Counter[str] = Counter()
        self._mms = 0
        self.files = 0
        self._huge = 0
        self._frames_out = 0
        memory = kernel.memory
        self._count_frames(memory.frames)
        self._without: frozenset[str] = frozenset()
        self._post = kernel.commands.post
        kernel.commands.post = self._post_allowed  # type: ignore[method-assign]
        self._fence = kernel.fence
        kernel.fence = self._fence_posted  # type: ignore[method-assign]
        _on_give(memory.nodes, lambda node: self._dirty(node, NODE_BYTES))
        _on_give(memory.records, lambda record: self._dirty(record, RECORD_BYTES))
        _on_give(memory.frames, self._wipe)

    # --- address spaces -------------------------------------------------------------------------------------------------

    def new_mm(self, changes: list[LayoutChange]) -> AddressSpace:
        self._mms += 1
        return self.kernel.new_mm(self._mms, changes)

    async def begin(self, changes: list[LayoutChange]) -> None:
        """A fresh address space with a slot of the engine."""
        self.mm = self.new_mm(changes)
        await self.kernel.spaces.hold(self.mm)

    async def end(self) -> None:
        """All address spaces go, and every frame must be somewhere: else `RaceLost`."""
        self.kernel.spaces.drop(self.mm)
        for number in list(self.kernel.mms):
            await self.kernel.mms.pop(number).tear_down()
        await self.kernel.fence()
        self._check_frames()

    def _check_frames(self) -> None:
        """Frames that are not free are in the ring, in the engine (its pool, and one per attempt), or in the page cache. [protocol.md 8, R25]"""
        out = self._frames_out - self.kernel.frames_offered - self.kernel.frames.cache.frames
        if not 0 <= out <= self._held_by_engine:
            raise RaceLost(f"{out} frames are nowhere (the engine holds {self._held_by_engine} at the most)")

    def _count_frames(self, pool: Pool) -> None:
        """`_frames_out`: those taken and not given back. The zero frame was taken before."""
        take = pool.take

        def taking() -> int:
            self._frames_out += 1
            return take()

        def given(frame: int) -> None:
            self._frames_out -= 1

        pool.take = taking  # type: ignore[method-assign]
        _on_give(pool, given)

    def file(self) -> object:
        """The name of a file that nobody has mapped."""
        self.files += 1
        return f"file {self.files}"

    def huge(self) -> int:
        """PPN of the 512 frames of a huge page, whose data words are 0; software's own, the same ones each time."""
        memory = self.kernel.memory
        if not self._huge:
            self._huge = memory.region(HUGE_BYTES) >> PAGE_BITS
        for frame in range(self._huge, self._huge + 512):
            self._wipe(frame)
        return self._huge

    def leave_out(self, *names: str) -> None:
        """From now on the kernel forgets commands of these names: a writer without its safeguard.

        "PR": fences wait for no fault. "wait": software does not wait for its fences.
        """
        self._without = frozenset(names)

    def _fence_posted(self, previous_reads: bool = True) -> Future:
        done = self._fence(previous_reads)
        if "wait" in self._without:
            done = Future()
            done.resolve()
        return done

    def _post_allowed(self, command: Command) -> None:
        name, word0, word1 = command
        if name == "IOFENCE.C" and "PR" in self._without:
            word0 &= ~FENCE_PR
        if name not in self._without:
            self._post((name, word0, word1))

    # --- requesters -----------------------------------------------------------------------------------------------------

    async def fault(self, vpn: int, access: int = 1, *, port: int = 0, flags: int = Flags.ALLOW_RETRY, mm: AddressSpace | None = None) -> FaultReport:
        """A thread's access until it is served or refused; without flags it is refused at once where software would be asked."""
        space = mm or self.mm
        space.table.touch(vpn)
        call = FaultCall(
            mm=space, port=port, va=vpn << PAGE_BITS, access=access, present=False, refused=False, grow=None, flags=flags,
            label=f"the access to page {vpn:#x} through port {port}",
        )  # fmt: skip
        report = await self.kernel.faults.run(call, reconcile=False)
        self.counts[report.outcome] += 1
        return report

    async def store(self, vpn: int, data: int, *, word: int = 0, **how: int) -> FaultReport:
        """A store: when the translation comes, the data are written through it."""
        report = await self.fault(vpn, 1, **how)  # type: ignore[arg-type]
        if report.answer.status == Status.OK:
            self.write(report.answer.pa >> PAGE_BITS, data, word)
        return report

    async def give(self, *pages: int, data: int = 0) -> None:
        """Software gives these pages frames of their own, with data."""
        mm = self.mm
        async with mm.lock:
            found = [(mm.layout.find(vpn), vpn, Access.STORE) for vpn in pages]
            await install(self.kernel, mm, [(vma, vpn, access) for vma, vpn, access in found if vma is not None])
        for vpn in pages:
            self.write(self.frame(vpn), data)

    async def sleep(self, cycles: int) -> None:
        await self.kernel.scheduler.sleep(cycles * CYCLE_NS)

    # --- memory ---------------------------------------------------------------------------------------------------------

    def write(self, frame: int, data: int, word: int = 0) -> None:
        """Bit 0 of what is in memory is 0: it is no valid entry."""
        self.machine.write64(frame << PAGE_BITS | word << 3, data << 1)

    def read(self, frame: int, word: int = 0) -> int:
        return self.machine.read64(frame << PAGE_BITS | word << 3) >> 1

    def copy(self, source: int, to: int) -> None:
        """Software copies the data of a frame."""
        for word in range(WORDS):
            self.write(to, self.read(source, word), word)

    def entry(self, vpn: int, mm: AddressSpace | None = None) -> tuple[int, int]:
        """The entry where a walk of this page ends, and its level."""
        space = mm or self.mm
        _, word, level = walk(self.machine.read64, space.table.satp, vpn)
        return word, level

    def frame(self, vpn: int, mm: AddressSpace | None = None) -> int:
        """The frame that the page has; 0: none."""
        word, level = self.entry(vpn, mm)
        if not word & PTE_V or (level and not word & 0b1110):
            return 0
        return (word >> PTE_PPN_SHIFT & PPN_MASK) | vpn & (1 << 9 * level) - 1

    def _wipe(self, frame: int) -> None:
        """The data of a frame are gone: software gives the engine zeroed ones."""
        for word in range(WORDS):
            if self.read(frame, word):
                self.write(frame, 0, word)

    def _dirty(self, address: int, size: int) -> None:
        for at in range(address, address + size, 8):
            self.machine.write64(at, GARBAGE)

    def take_exactly(self, pool: Pool, item: int) -> None:
        """The next `take` gives this item, whether it is free or not."""
        others = []
        while pool.has_free and (other := pool.take()) != item:
            others.append(other)
        for free in (item, *others):
            pool.give(free)


def _on_give(pool: Pool, first: Callable[[int], None]) -> None:
    """Before an item is free, do this with it."""
    give = pool.give

    def giving(item: int) -> None:
        first(item)
        give(item)

    pool.give = giving  # type: ignore[method-assign]

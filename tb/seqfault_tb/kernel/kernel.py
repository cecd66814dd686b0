"""The testbench kernel: everything of Linux' memory management except the fault path, which is the engine's."""

from collections import Counter
from collections.abc import Iterable

from ..machine import Answer, Machine
from .address_space import AddressSpace
from .commands import CommandQueue
from .constants import Access, Mode, Register
from .entries import resolve
from .faults import Faults
from .frames import Frames
from .layout import LayoutChange
from .memory_layout import COMMAND_LOG2, FREE_LOG2, PAGE_REQUEST_LOG2, RELEASED_LOG2, FreeRing, MemoryMap, ReleasedRing
from .page_cache import PageCache
from .page_requests import PageRequests
from .spaces import Spaces
from .tasks import Future, Scheduler

__all__ = ["Kernel"]


class Kernel:
    """Wires the parts together and moves them on: `start` once, then `pump` before and `poll` after every `Machine.wait`.

    Parameters
    ----------
    machine : the hardware. spaces : address spaces that the engine knows. policy : 0 speculative, 1 VMA lock, 2 mm lock.
    memory : where the kernel may put things.
    """

    def __init__(self, machine: Machine, *, spaces: int = 64, policy: int = 0, memory: MemoryMap | None = None) -> None:
        self.machine = machine
        self.scheduler = Scheduler()
        self.adue = False
        """Hardware sets A and D in every space."""
        self.mode = Mode.SV48
        """Of the tables of address spaces made from now on."""
        self.bus_errors = False
        """Reads may fail now and then: the requester comes back, and a command is given again."""
        self.memory = memory or MemoryMap()
        region = self.memory.region
        self.commands = CommandQueue(machine, region(max(16 << COMMAND_LOG2, 4096)), COMMAND_LOG2, region(4096))
        self.page_requests = PageRequests(self, region(max(16 << PAGE_REQUEST_LOG2, 4096)), PAGE_REQUEST_LOG2)
        self._free = FreeRing(machine, region(max(8 << FREE_LOG2, 4096)))
        self._released = ReleasedRing(machine, region(max(16 << RELEASED_LOG2, 4096)))
        self.frames = Frames(self.memory, PageCache(machine, self.memory))
        self.spaces = Spaces(self, spaces)
        self.faults = Faults(self)
        self.mms: dict[int, AddressSpace] = {}
        self._policy = policy

    def start(self) -> None:
        """Set the engine up; the writes take effect in the coming cycles."""
        write, zero = self.machine.write_register, self.frames.zero
        write(Register.ZERO_FRAME, zero & 0xFFFFFFFF)
        write(Register.ZERO_FRAME + 4, zero >> 32)
        write(Register.CONTROL, self._policy)
        self.commands.start()
        self.page_requests.start()
        self._released.start()
        self._free.start()
        self._free.fill(0, self.memory.frames)

    @property
    def free_ring(self) -> range:
        """Byte addresses of the free-frame ring."""
        return self._free.addresses

    @property
    def frames_offered(self) -> int:
        """Frames in the free ring, which the engine has not taken."""
        return self._free.offered(self.machine.pointers().free_head)

    @property
    def busy(self) -> bool:
        """The engine has something to do."""
        return self.commands.busy or self.faults.outstanding > 0

    def fence(self, previous_reads: bool = True) -> Future:
        """Post an IOFENCE.C; what was retired before it is free again when it completes (with PR)."""
        number, done = self.commands.post_fence(previous_reads)
        if previous_reads:
            self.memory.quarantine.fence_posted(number)
        return done

    def pump(self) -> None:
        """Give the engine what was posted."""
        self.commands.pump()

    def poll(self, answers: Iterable[Answer]) -> None:
        """Take what the engine has done since the last time."""
        pointers = self.machine.pointers()
        for answer in answers:
            self.faults.deliver(answer)
        for entry, vpn, space in self._released.drain(pointers.released_tail):
            owner = self.spaces.owner[space]
            if owner is not None:
                owner.take_released(entry, vpn)
            else:  # of a fault whose address space has been retired since
                self.frames.release(entry)
        fence = self.commands.completed(pointers.cq_head, pointers.cqcsr, bus_errors=self.bus_errors)
        self.memory.quarantine.fence_completed(fence)
        self._free.fill(pointers.free_head, self.memory.frames)
        self.page_requests.read(pointers.pq_tail)

    def new_mm(self, number: int, changes: list[LayoutChange], prefaulted: Iterable[int] = ()) -> AddressSpace:
        """An address space with this layout; `prefaulted`: VPNs that the kernel has touched already."""
        mm = AddressSpace(self, number)
        mm.populate(changes)
        for vpn in prefaulted:
            vma = mm.layout.find(vpn)
            if vma is not None and vma.rights:
                access = Access.STORE if vma.permits(Access.STORE) else Access.LOAD
                mm.table.write(vpn, resolve(self.frames, vma, vpn, access, mm.table.read(vpn)))
        self.mms[number] = mm
        return mm

    @property
    def command_counts(self) -> Counter[str]:
        """Commands posted, by name."""
        return self.commands.counts

"""Which address space is in which of the engine's spaces: more address spaces than slots share them, the longest idle one makes room."""

from collections import deque
from typing import TYPE_CHECKING

from . import commands as cmd
from .tasks import Future

if TYPE_CHECKING:
    from .address_space import AddressSpace
    from .kernel import Kernel

__all__ = ["Spaces"]


class Spaces:
    """The engine's `count` spaces. An address space that is in use (`hold` .. `drop`) keeps its slot."""

    def __init__(self, kernel: "Kernel", count: int) -> None:
        self._kernel = kernel
        self._free = deque(range(count))
        self.owner: list[AddressSpace | None] = [None] * count
        self._waiting: deque[Future] = deque()
        self._clock = 0
        self.evictions = 0

    async def hold(self, mm: "AddressSpace") -> None:
        """Count a user of `mm`; on return it has a slot."""
        mm.users += 1
        if mm.slot is not None:
            return
        if mm.assigning is not None:
            await mm.assigning
            return
        mm.assigning = Future("a slot")
        slot = await self._take()
        self._kernel.commands.post(cmd.set_vmas(slot, mm.tree.pointer))
        self._kernel.commands.post(cmd.set_table(slot, mm.table.satp, adue=self._kernel.adue))
        await self._kernel.fence(previous_reads=False)
        self.owner[slot] = mm
        mm.slot = slot
        mm.assigning.resolve()
        mm.assigning = None

    def drop(self, mm: "AddressSpace") -> None:
        """A user has finished."""
        mm.users -= 1
        if mm.users == 0:
            self._clock += 1
            mm.idle_since = self._clock
            if self._waiting:
                self._waiting.popleft().resolve()

    async def retire(self, mm: "AddressSpace") -> None:
        """Turn the slot of `mm` off; nobody uses it."""
        slot = mm.slot
        if slot is None:
            return
        self.owner[slot] = None
        mm.slot = None
        await self._turn_off(slot)
        self._free.append(slot)
        if self._waiting:
            self._waiting.popleft().resolve()

    async def _turn_off(self, slot: int) -> None:
        for command in (cmd.set_vmas(slot, 0), cmd.set_table(slot, 0), cmd.invalidate_space(slot)):
            self._kernel.commands.post(command)
        await self._kernel.fence()

    async def _take(self) -> int:
        while True:
            if self._free:
                return self._free.popleft()
            idle = [mm for mm in self.owner if mm is not None and mm.users == 0]
            if idle:
                mm = min(idle, key=lambda mm: mm.idle_since)
                slot = mm.slot
                assert slot is not None
                self.owner[slot] = None
                mm.slot = None
                self.evictions += 1
                await self._turn_off(slot)
                return slot
            turn = Future("a slot of the engine to become idle")
            self._waiting.append(turn)
            await turn

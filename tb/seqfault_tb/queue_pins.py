"""The engine on its pins, with every queue and ring but the fault queue as software runs it; whatever is waited for has a bound."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .pin_machine import PinMachine

__all__ = ["COMMANDS", "COMMAND_LOG2", "FREE", "FREE_LOG2", "QUEUES", "QueuePins"]

COMMANDS, REQUESTS, FREE, RELEASED, COMPLETED = 0x8000_0000, 0x8001_0000, 0x8002_0000, 0x8003_0000, 0x8004_0000
ENABLE, INTERRUPT, ERRORS, ON = 1 << 0, 1 << 1, 0xF00, 1 << 16
IPSR, REFUSALS, LOCKED_WRITE = 0x54, 0x2EC, 1
NOT_THERE = 7 | 0xF_0000 << 10
"""A base register's content."""
WITHIN = 4000
"""Cycles in which every request is answered and every command ends: a fault of three attempts, each with a copy, behind those of all contexts."""
SLICE = 100
RING_LOG2, COMMAND_LOG2, FREE_LOG2 = 2, 6, 6


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Offsets of its registers: `own` is the engine's index, `index` is software's; its bit of `ipsr`, its wire, where it is, bytes of a record."""

    base: int
    own: int
    index: int
    csr: int
    pending: int
    wire: int
    address: int
    size: int


QUEUES = {
    "command": Queue(base=0x18, own=0x20, index=0x24, csr=0x48, pending=0, wire=0, address=COMMANDS, size=16),
    "page request": Queue(base=0x38, own=0x44, index=0x40, csr=0x50, pending=3, wire=1, address=REQUESTS, size=16),
    "free": Queue(base=0x2B8, own=0x2C0, index=0x2C4, csr=0x2D8, pending=8, wire=2, address=FREE, size=8),
    "released": Queue(base=0x2C8, own=0x2D4, index=0x2D0, csr=0x2DC, pending=9, wire=3, address=RELEASED, size=16),
    "completion": Queue(base=0x1300, own=0x130C, index=0x1308, csr=0x1310, pending=10, wire=5, address=COMPLETED, size=16),
}


class QueuePins(PinMachine):
    """Queues by their names in `QUEUES`.

    Attributes
    ----------
    within : cycles that anything may take. posted : commands since their queue was turned on.
    """

    def __init__(self, *args: Any, **parameters: Any) -> None:
        super().__init__(*args, **parameters)
        self.within, self.posted = WITHIN, 0

    def expect_agreement(self) -> None:
        """Asked after whatever was waited for."""

    # --- time, registers --------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Bounded."""
        end = self.cycle + self.within
        while not condition():
            assert self.cycle < end, f"{what}: not within {self.within} cycles"
            await self.wait(SLICE)
        self.expect_agreement()

    async def pass_time(self, cycles: int) -> None:
        """So many cycles, whatever happens meanwhile."""
        end = self.cycle + cycles
        while self.cycle < end:
            await self.wait(end - self.cycle)

    async def write(self, offset: int, value: int, size: int = 4) -> None:
        """A register, until it is written."""
        await self._registers.write(offset, value.to_bytes(size, "little"))

    # --- queues -----------------------------------------------------------------------------------------------------

    async def turn_on(self, name: str, address: int | None = None, log2: int | None = None) -> None:
        """At its own place, or elsewhere."""
        queue = QUEUES[name]
        log2 = log2 or {"command": COMMAND_LOG2, "free": FREE_LOG2}.get(name, RING_LOG2)
        await self.write(queue.base, log2 - 1 | (queue.address if address is None else address) >> 12 << 10, 8)
        await self.write(queue.index, 0)
        await self.write(queue.csr, ENABLE | INTERRUPT)
        if name == "command":
            self.posted = 0

    async def turn_off(self, name: str) -> None:
        """And wait until it is."""
        await self.write(QUEUES[name].csr, 0)
        end = self.cycle + self.within
        while await self.read_register(QUEUES[name].csr) & ON:
            assert self.cycle < end, f"the {name} queue stays on"

    async def errors(self, name: str) -> int:
        """Its sticky bits."""
        return await self.read_register(QUEUES[name].csr) & ERRORS

    async def expect(self, name: str, bits: int, own: int | None = None) -> None:
        """These sticky bits and no others, with their interrupt; the engine's index is `own`."""
        queue = QUEUES[name]
        await self.pass_time(SLICE)
        assert (found := await self.errors(name)) == bits, f"{name}: {found:#x}, not {bits:#x}"
        if own is not None:
            assert (index := await self.read_register(queue.own)) == own, f"{name}: index {index}, not {own}"
        if bits:
            assert await self.read_register(IPSR) >> queue.pending & 1, f"{name}: no interrupt is pending"
            assert int(self._dut.interrupts.value) >> queue.wire & 1, f"{name}: its wire is low"

    async def interrupts(self, name: str, *, on: bool) -> None:
        """Turn its interrupts on or off, and expect that its sticky bits cause one at once, or none."""
        queue = QUEUES[name]
        await self.write(queue.csr, ENABLE | INTERRUPT * on)
        await self.write(IPSR, 1 << queue.pending)
        await self.pass_time(SLICE)
        assert await self.read_register(IPSR) >> queue.pending & 1 == on
        assert int(self._dut.interrupts.value) >> queue.wire & 1 == on

    async def clear(self, name: str, bits: int = ERRORS) -> None:
        """Clear the sticky bits and the interrupt."""
        queue = QUEUES[name]
        await self.write(queue.csr, ENABLE | INTERRUPT | bits)
        await self.write(IPSR, 1 << queue.pending)

    async def refused_base(self, name: str) -> None:
        """A base register written while its queue is on stays as it is, and the write is reported."""
        queue = QUEUES[name]
        before = await self.read_register(queue.base)
        await self.write(queue.base, NOT_THERE, 8)
        assert await self.read_register(queue.base) == before
        assert await self.read_register(REFUSALS) & LOCKED_WRITE
        await self.write(REFUSALS, LOCKED_WRITE)
        assert not await self.read_register(REFUSALS) & LOCKED_WRITE

    def words(self, name: str, index: int) -> tuple[int, ...]:
        """A record in the queue's own place."""
        queue = QUEUES[name]
        return tuple(self.region.word(queue.address + queue.size * index + at) for at in range(0, queue.size, 8))

    async def drain(self, name: str, number: int) -> list[tuple[int, ...]]:
        """Read so many records of a ring of `RING_LOG2`, as they come. Bounded."""
        queue, end = QUEUES[name], self.cycle + self.within
        records: list[tuple[int, ...]] = []
        head = await self.read_register(queue.index)
        while len(records) < number:
            assert self.cycle < end, f"{name}: {len(records)} records of {number} within {self.within} cycles"
            tail = await self.read_register(queue.own)
            while head != tail:
                records.append(self.words(name, head))
                head = (head + 1) % (1 << RING_LOG2)
            await self.write(queue.index, head)
        assert len(records) == number, f"{name}: {len(records)} records instead of {number}"
        return records

    async def forget(self, name: str) -> None:
        """Read all records of a ring that the engine fills."""
        await self.write(QUEUES[name].index, await self.read_register(QUEUES[name].own))

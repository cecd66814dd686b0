"""The queues and rings of the `GoldenMachine`, as their registers say. [docs/software-contract.md: Command queue, Page requests, Rings, SRCU]"""

from .machine import QueuePointers

__all__ = ["Rings"]

CQB, CQT, CQCSR, PQB, PQH, PQCSR = 0x18, 0x24, 0x48, 0x38, 0x40, 0x50
FFB, FFT, FFCSR, RFB, RFH, RFCSR = 0x2B8, 0x2C4, 0x2D8, 0x2C8, 0x2D0, 0x2DC
SCB, SCH, SCCSR = 0x1300, 0x1308, 0x1310
"""Register offsets."""
ON = 1
CQMF, CMD_ILL, FENCE_W_IP = 1 << 8, 1 << 10, 1 << 11
PQMF, PQOF = 1 << 8, 1 << 9
CQ_ERRORS = CQMF | CMD_ILL
LOG2_MASK, PPN_AT, PAGE_BITS = 31, 10, 12


class Rings:
    """Indices are the engine's own (`moved`: one of them has moved, or an error bit); the others are registers."""

    def __init__(self, memory: dict[int, int]) -> None:
        self._memory = memory
        self._registers: dict[int, int] = {}
        self._cq_head = self._pq_tail = self._free_head = self._released_tail = self._completion_tail = 0
        self._cqcsr = self._pqcsr = 0
        self.moved = False

    def write_register(self, offset: int, value: int) -> None:
        """Takes effect at once; the error bits of `cqcsr` and `pqcsr` are cleared by writing 1."""
        self._registers[offset] = value
        if offset == CQCSR:
            self._cqcsr &= ~value
        elif offset == PQCSR:
            self._pqcsr &= ~value

    def pointers(self) -> QueuePointers:
        """As the registers show them."""
        return QueuePointers(
            cq_head=self._cq_head, pq_tail=self._pq_tail, free_head=self._free_head, released_tail=self._released_tail, cqcsr=self._cqcsr,
            completion_tail=self._completion_tail,
        )  # fmt: skip

    # --- command queue ----------------------------------------------------------------------------------------------

    def next_command(self) -> tuple[int, int] | None:
        """The words at the head; None: the queue is empty, off or stopped."""
        if not self._is_on(CQCSR) or self._cqcsr & CQ_ERRORS or self._cq_head == self._register(CQT):
            return None
        address = self._ring(CQB)[0] + 16 * self._cq_head
        return self._memory.get(address, 0), self._memory.get(address + 8, 0)

    def command_done(self, interrupts: bool) -> None:
        self._cq_head = self._cq_head + 1 & self._ring(CQB)[1]
        self._cqcsr |= FENCE_W_IP if interrupts else 0
        self.moved = True

    def command_refused(self) -> None:
        self._cqcsr |= CMD_ILL
        self.moved = True

    # --- frames -----------------------------------------------------------------------------------------------------

    @property
    def free_frames(self) -> list[int]:
        """Frames in the free ring."""
        base, mask = self._ring(FFB)
        count = self._register(FFT) - self._free_head & mask
        return [self._memory[base + 8 * (self._free_head + index & mask)] for index in range(count)]

    def offered_frame(self) -> int | None:
        """The next frame; None: the ring is empty or off."""
        if not self._is_on(FFCSR) or self._free_head == self._register(FFT):
            return None
        return self._memory[self._ring(FFB)[0] + 8 * self._free_head]

    def consume_frame(self) -> None:
        self._free_head = self._free_head + 1 & self._ring(FFB)[1]
        self.moved = True

    def has_room_for_released(self) -> bool:
        return self._is_on(RFCSR) and (self._released_tail + 1 & self._ring(RFB)[1]) != self._register(RFH)

    def put_released(self, entry: int, where: int) -> None:
        base, mask = self._ring(RFB)
        self._put(base + 16 * self._released_tail, entry, where)
        self._released_tail = self._released_tail + 1 & mask

    # --- SRCU -------------------------------------------------------------------------------------------------------

    def has_room_for_completion(self) -> bool:
        return self._is_on(SCCSR) and (self._completion_tail + 1 & self._ring(SCB)[1]) != self._register(SCH)

    def put_completion(self, cookie: int, space: int) -> None:
        base, mask = self._ring(SCB)
        self._put(base + 16 * self._completion_tail, cookie, space << 48)
        self._completion_tail = self._completion_tail + 1 & mask

    # --- page requests ----------------------------------------------------------------------------------------------

    def put_page_request(self, word0: int, word1: int) -> bool:
        """False: the queue is off, full or stopped by an error; the record is dropped."""
        base, mask = self._ring(PQB)
        if not self._is_on(PQCSR) or self._pqcsr & (PQMF | PQOF):
            return False
        if (self._pq_tail + 1 & mask) == self._register(PQH):
            self._pqcsr |= PQOF
            return False
        self._put(base + 16 * self._pq_tail, word0, word1)
        self._pq_tail = self._pq_tail + 1 & mask
        return True

    # --- registers --------------------------------------------------------------------------------------------------

    def _put(self, address: int, word0: int, word1: int) -> None:
        self._memory[address], self._memory[address + 8] = word0, word1
        self.moved = True

    def _register(self, offset: int) -> int:
        return self._registers.get(offset, 0)

    def _is_on(self, offset: int) -> bool:
        return bool(self._register(offset) & ON)

    def _ring(self, offset: int) -> tuple[int, int]:
        """Base address and index mask of a ring."""
        word = self._register(offset) | self._register(offset + 4) << 32
        return (word >> PPN_AT) << PAGE_BITS, (1 << (word & LOG2_MASK) + 1) - 1

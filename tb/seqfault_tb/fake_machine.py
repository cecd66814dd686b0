"""A `Machine` without hardware: the contract played in Python, for tests of the testbench kernel and of the replay.

It resolves faults in two phases some cycles apart, so that commands come in between as they do in the engine, and it walks the tables and
trees that it finds in its memory. What software must not do it collects in `violations`; `audit` looks at the whole state.
"""

from collections.abc import Callable
from heapq import heappop, heappush

from .errors import HangError
from .fake_commands import FakeCommands
from .fake_faults import FakeFaults
from .fake_rules import Rules
from .machine import Answer, Machine, QueuePointers, Request

__all__ = ["FakeMachine"]

CQB, CQT, PQB, PQH, CQCSR, FFB, FFT, RFB, RFH, ZERO = 0x18, 0x24, 0x38, 0x40, 0x48, 0x2B8, 0x2C4, 0x2C8, 0x2D0, 0x2E0
"""Register offsets."""
MOST_STEPS = 2_000_000
"""Internal events after which `wait` gives up."""


class FakeMachine(Machine):
    """An engine in Python.

    Parameters
    ----------
    ports, tags, spaces : as of the engine. latency : cycles between a fault's look at memory and its commit. max_retries : speculative
    attempts. strict : also check every write to a VMA tree (slow).

    Attributes
    ----------
    memory : words by address. tables, vmas : roots of the spaces. generation, writers : of the sequence counters, by VMA id.
    locked : spaces under MM.LOCK. readers : classic faults per space. moved : a queue index has moved since `wait` began.
    """

    def __init__(self, *, ports: int = 4, tags: int = 8, spaces: int = 64, latency: int = 40, max_retries: int = 3, strict: bool = False) -> None:
        self.ports, self.tags = ports, tags
        self.memory: dict[int, int] = {}
        self.tables = [0] * spaces
        self.vmas = [0] * spaces
        self.generation: dict[int, int] = {}
        self.writers: dict[int, int] = {}
        self.locked: set[int] = set()
        self.readers = [0] * spaces
        self.moved = False
        self.rules = Rules(self, strict)
        self.faults = FakeFaults(self, latency, max_retries)
        self._commands = FakeCommands(self)
        self._cycle = self._count = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._registers: dict[int, int] = {}
        self._pq_tail = self._free_head = self._released_tail = 0
        self._outstanding: set[tuple[int, int]] = set()
        self._answers: list[Answer] = []

    # --- Machine ----------------------------------------------------------------------------------------------------

    @property
    def cycle(self) -> int:
        return self._cycle

    def read64(self, address: int) -> int:
        return self.memory.get(address, 0)

    def write64(self, address: int, value: int) -> None:
        self.rules.software_writes(address)
        self.memory[address] = value

    def write_register(self, offset: int, value: int) -> None:
        self._registers[offset] = value
        if offset in (CQT, RFH):
            self._commands.doorbell()

    def submit(self, request: Request) -> None:
        key = request.port, request.tag
        if key in self._outstanding or not 0 <= request.port < self.ports or not 0 <= request.tag < self.tags:
            raise ValueError(f"{request}: no such port and tag, or it is outstanding")
        self._outstanding.add(key)
        self.faults.submit(request)

    def pointers(self) -> QueuePointers:
        return QueuePointers(
            cq_head=self._commands.head, pq_tail=self._pq_tail, free_head=self._free_head, released_tail=self._released_tail,
            cqcsr=self._commands.cqcsr,
        )  # fmt: skip

    async def wait(self, cycles: int | None = None) -> list[Answer]:
        end = None if cycles is None else self._cycle + cycles
        self.moved = False
        for _ in range(MOST_STEPS):
            if self._answers or self.moved:
                break
            if not self._events or (end is not None and self._events[0][0] > end):
                if end is None:
                    raise HangError(f"nothing happens after cycle {self._cycle}: {len(self._outstanding)} requests are not answered")
                self._cycle = end
                break
            self._cycle, _, action = heappop(self._events)
            action()
        else:
            raise HangError(f"no progress until cycle {self._cycle}: {len(self._outstanding)} requests are not answered")
        answers, self._answers = self._answers, []
        return answers

    # --- for the parts ----------------------------------------------------------------------------------------------

    @property
    def violations(self) -> list[str]:
        """What software did against the contract."""
        return self.rules.violations

    @property
    def zero_frame(self) -> int:
        return self._registers.get(ZERO, 0) | self._registers.get(ZERO + 4, 0) << 32

    @property
    def free_frames(self) -> list[int]:
        """Frames in the free ring."""
        base, mask = self._ring(FFB)
        count = self._registers.get(FFT, 0) - self._free_head & mask
        return [self.memory[base + 8 * (self._free_head + index & mask)] for index in range(count)]

    @property
    def has_frames(self) -> bool:
        return self._free_head != self._registers.get(FFT, 0)

    def after(self, cycles: int, action: Callable[[], None]) -> None:
        """Do something later."""
        self._count += 1
        heappush(self._events, (self._cycle + cycles, self._count, action))

    def sequence(self, vma_id: int) -> int:
        """The 32-bit sequence of an id."""
        return self.generation.get(vma_id, 0) << 1 | (self.writers.get(vma_id, 0) != 0)

    def answer(self, answer: Answer) -> None:
        self._outstanding.remove((answer.port, answer.tag))
        self._answers.append(answer)
        self.moved = True

    def take_frame(self) -> int:
        """The next frame of the free ring, which is not empty."""
        base, mask = self._ring(FFB)
        frame = self.memory[base + 8 * self._free_head]
        self._free_head = self._free_head + 1 & mask
        self.moved = True
        return frame

    def put_page_request(self, word0: int, word1: int) -> bool:
        """False: the queue is full."""
        base, mask = self._ring(PQB)
        if (self._pq_tail + 1 & mask) == self._registers.get(PQH, 0):
            return False
        self._put(base + 16 * self._pq_tail, word0, word1)
        self._pq_tail = self._pq_tail + 1 & mask
        return True

    def put_released(self, entry: int, where: int) -> bool:
        """False: the ring is full."""
        base, mask = self._ring(RFB)
        if (self._released_tail + 1 & mask) == self._registers.get(RFH, 0):
            return False
        self._put(base + 16 * self._released_tail, entry, where)
        self._released_tail = self._released_tail + 1 & mask
        return True

    def command_address(self, head: int) -> int:
        """Where the command at index `head` is; 0: there is none, or the queue is off."""
        if head == self._registers.get(CQT, 0) or not self._registers.get(CQCSR, 0) & 1:
            return 0
        return self._ring(CQB)[0] + 16 * head

    def next_command(self, head: int) -> int:
        return head + 1 & self._ring(CQB)[1]

    def _put(self, address: int, word0: int, word1: int) -> None:
        self.memory[address], self.memory[address + 8] = word0, word1
        self.moved = True

    def _ring(self, register: int) -> tuple[int, int]:
        """Base address and index mask of a ring."""
        word = self._registers.get(register, 0) | self._registers.get(register + 4, 0) << 32
        return (word >> 10) << 12, (1 << (word & 31) + 1) - 1

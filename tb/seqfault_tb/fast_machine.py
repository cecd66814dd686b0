"""The machine of `seqfault run`: whole transactions through C++ beside the Verilated model; Python is woken when something happened.

The C++ side is `harness/seqfault_harness.cpp`, reached through ctypes in the simulator's own process.
"""

import ctypes
from collections.abc import Callable

import cocotb
from cocotb.handle import SimHandleBase
from cocotb.triggers import Timer, ValueChange

from .errors import HangError
from .machine import CLOCK_NS, Answer, Machine, QueuePointers, Request

__all__ = ["FastMachine"]

LOG_WORDS = 12
EVENT, REQUEST, ANSWER, RESPONSE = range(4)
WAKE_HANG = 8
NO_DEADLINE = 2**64 - 1
FAULT_READERS = (0, 1, 5, 6, 7)
"""Of the AXI manager's readers those that read for a fault: walker, VMA lookup, page lookup, fault-around, mover. Errors of the others reach nobody
but the command unit and the rings, which stop; those are the directed tests' (`tests/rtl/test_engine_errors.py`)."""
MEMORY_BYTES = 64 << 30
"""Address space that is backed (sparsely) by host memory; beyond it the bus answers with an error."""

Observer = Callable[[list[int]], None]


class FastMachine(Machine):
    """The engine in the harness `seqfault_sim`.

    Parameters
    ----------
    dut : handle of `seqfault_sim`.
    ports, tags : of the engine's configuration.
    latency : cycles from an accepted read to its data, and from a write to its answer.
    watchdog : cycles without any progress after which `wait` raises `HangError`.
    on_event, on_request, on_answer : observers of the merged log, given the record [kind, cycle, fields...]; in order.
    on_write : observer of software writes (cycle, address, value, the value before).
    responses : (port, tag, code) of every page response that a port got, in order.
    """

    def __init__(
        self, dut: SimHandleBase, *, ports: int, tags: int, latency: int, watchdog: int = 200_000, memory_bytes: int = MEMORY_BYTES,
    ) -> None:  # fmt: skip
        self.ports, self.tags = ports, tags
        self._dut = dut
        self._library = library = ctypes.CDLL(None)
        for name in ("sf_failed", "sf_cycle", "sf_log_size", "sf_registers_waiting", "sf_outstanding"):
            getattr(library, name).restype = ctypes.c_uint64
        library.sf_log_data.restype = ctypes.POINTER(ctypes.c_uint64)
        library.sf_attach.restype = ctypes.c_void_p
        address = library.sf_attach(ctypes.c_uint64(memory_bytes), ctypes.c_uint64(latency), ctypes.c_uint64(watchdog))
        if not address:
            raise MemoryError(f"the host refused {memory_bytes >> 30} GiB of address space for the simulated memory")
        memory = (ctypes.c_uint64 * (memory_bytes // 8)).from_address(address)
        self._words = memoryview(memory).cast("B").cast("Q")
        self._pointers = (ctypes.c_uint32 * 6)()
        self.responses: list[tuple[int, int, int]] = []
        self.on_event: Observer | None = None
        self.on_request: Observer | None = None
        self.on_answer: Observer | None = None
        self.on_write: Callable[[int, int, int, int], None] | None = None

    @property
    def cycle(self) -> int:
        return self._library.sf_cycle()

    def read64(self, address: int) -> int:
        return self._words[address >> 3]

    def write64(self, address: int, value: int) -> None:
        found, self._words[address >> 3] = self._words[address >> 3], value
        if self.on_write is not None:
            self.on_write(self._library.sf_cycle(), address, value, found)

    def write_register(self, offset: int, value: int) -> None:
        self._library.sf_write_register(offset, value)

    def plant(self, number: int) -> None:
        """Switch on a planted bug (`planted.py`); 0 is none."""
        self._library.sf_plant(number)

    def disturb(self, *, seed: int, pressure: int = 0, error_rate: float = 0.0, readers: tuple[int, ...] = FAULT_READERS) -> None:
        """From now on memory and ports are not ready in `pressure` percent of the cycles, and a part of the words that these blocks read fails.

        `error_rate` : from 0 to 1, in steps of 1/65536. `readers` : their places among the readers of the AXI manager (`Engine`).
        """
        mask = sum(1 << reader for reader in readers)
        self._library.sf_disturb(pressure, mask, round(error_rate * (1 << 16)), ctypes.c_uint64(seed))

    @property
    def failed_reads(self) -> int:
        """Words that memory has answered with an error because of `disturb`."""
        return self._library.sf_failed()

    async def read_register(self, offset: int) -> int:
        """Read a 32-bit register over the bus; takes cycles, and comes after the queued writes."""
        self._library.sf_read_register(offset)
        for _ in range(1000):
            await Timer(10 * CLOCK_NS, "ns")
            if self._library.sf_registers_waiting() == 0:
                return self._library.sf_register_value()
        raise HangError(f"register {offset:#x} was not answered within 10,000 cycles")

    def submit(self, request: Request) -> None:
        self._library.sf_submit(request.port, request.tag, ctypes.c_uint64(request.va), request.space, request.access, request.flags)

    def pointers(self) -> QueuePointers:
        self._library.sf_pointers(self._pointers)
        head, page_tail, free_head, released_tail, cqcsr, completion_tail = self._pointers
        return QueuePointers(
            cq_head=head, pq_tail=page_tail, free_head=free_head, released_tail=released_tail, cqcsr=cqcsr, completion_tail=completion_tail,
        )  # fmt: skip

    async def wait(self, cycles: int | None = None) -> list[Answer]:
        self._library.sf_set_deadline(ctypes.c_uint64(NO_DEADLINE if cycles is None else max(cycles, 1)), 1)
        while True:
            await ValueChange(self._dut.wake)
            reasons = self._library.sf_take_wake()
            answers = self._drain()
            if reasons & WAKE_HANG:
                raise HangError(f"nothing happened until cycle {self.cycle}: {self._library.sf_outstanding()} requests are not answered")
            if answers or reasons:
                return answers

    def _drain(self) -> list[Answer]:
        """Give the log to the observers; return the answers in it."""
        size = self._library.sf_log_size()
        if size == 0:
            return []
        words = self._library.sf_log_data()[:size]
        self._library.sf_log_clear()
        answers = []
        on_event, on_request, on_answer = self.on_event, self.on_request, self.on_answer
        for start in range(0, size, LOG_WORDS):
            record = words[start : start + LOG_WORDS]
            kind = record[0]
            if kind == EVENT:
                if on_event is not None:
                    on_event(record)
            elif kind == REQUEST:
                if on_request is not None:
                    on_request(record)
            elif kind == RESPONSE:
                self.responses.append((record[2], record[3], record[4]))
            else:
                _, cycle, port, tag, status, how, reason, pa, issued, *_ = record
                answers.append(Answer(port=port, tag=tag, status=status, how=how, reason=reason, pa=pa, issued=issued, cycle=cycle))
                if on_answer is not None:
                    on_answer(record)
        return answers


async def start(dut: SimHandleBase) -> None:
    """Let the reset end."""
    await Timer(10 * CLOCK_NS, "ns")
    cocotb.log.debug("reset is over")

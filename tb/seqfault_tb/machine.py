"""What the testbench kernel sees of the hardware: memory, registers, doorbells, requester ports.

Three machines implement it: one drives the pins of the engine through cocotb with cocotbext-axi as memory (tests), one moves whole
transactions through C++ beside the Verilated model (`seqfault run`), and one is the functional engine of the golden model (`--engine golden`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

__all__ = ["CLOCK_NS", "POLICIES", "Answer", "Machine", "QueuePointers", "Request"]

POLICIES = ("spec", "vma-lock", "mm-lock")
"""Names of the policies, by their number in the register `control`."""
CLOCK_NS = 10
"""Of a clock in simulated time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A requester's translation request; the numbers are those of docs/software-contract.md."""

    port: int
    tag: int
    va: int
    space: int
    access: int
    flags: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The engine's answer; `issued` and `cycle` are the cycles of the request's acceptance and of the answer."""

    port: int
    tag: int
    status: int
    how: int
    reason: int
    pa: int
    issued: int
    cycle: int


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuePointers:
    """The indices that the engine moves, as the registers `cqh`, `pqt`, `ffh`, `rft` and `sct` show them, and `cqcsr`."""

    cq_head: int
    pq_tail: int
    free_head: int
    released_tail: int
    cqcsr: int
    completion_tail: int


class Machine(ABC):
    """One engine with its memory and requesters. Time stands still outside `wait`."""

    ports: int
    """Requester ports."""
    tags: int
    """Requests that one port may have outstanding; tags are 0 .. tags - 1."""

    @property
    @abstractmethod
    def cycle(self) -> int:
        """Clock cycles since reset."""

    @abstractmethod
    def read64(self, address: int) -> int:
        """The 64-bit word at `address` (8-byte aligned), at once."""

    @abstractmethod
    def write64(self, address: int, value: int) -> None:
        """Write a word at once. Visible to every bus read that is answered later; reported to the checker as a software write."""

    @abstractmethod
    def write_register(self, offset: int, value: int) -> None:
        """Queue a 32-bit register write; writes reach the engine in order, in the coming cycles."""

    @abstractmethod
    def submit(self, request: Request) -> None:
        """Queue a request at its port. The tag must not be outstanding there."""

    @abstractmethod
    async def wait(self, cycles: int | None = None) -> list[Answer]:
        """Run until something happened and return the answers that arrived, in order.

        Something is: an answer, a change of any queue pointer, or `cycles` cycles gone by.

        Raises `HangError` (of this package's `errors`) after the machine's watchdog, with what is outstanding.
        """

    @abstractmethod
    def pointers(self) -> QueuePointers:
        """The engine's queue indices as of now."""

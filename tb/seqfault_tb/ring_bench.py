"""What the tests of the queue and ring units share: clock, streams by coroutine, the ring's settings, and memory at the AXI port."""

from collections.abc import Callable
from random import Random
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import QueueSettings

from .axi_memory import AxiChecker, FailingRegion, attach_memory
from .fields import pack

__all__ = ["RingBench"]

SETTLE_NS = 1
PATIENCE = 5000
"""Cycles that one thing may take."""


class RingBench:
    """A unit with a queue port named `queue`, behind `WithMemory`.

    `checks` are called once a cycle when all signals have settled; strobes of the queue port are counted in `strobes`.
    """

    STROBES = ("memory_fault", "written", "overflow", "dropped")

    def __init__(self, dut: Any, queue: str, rng: Random, *, pause: float = 0.3) -> None:
        self.dut, self.queue, self.rng = dut, queue, rng
        self.region = FailingRegion()
        self.checker = AxiChecker(dut, "axi")
        self.checks: list[Callable[[], None]] = [self.checker.sample, self._count]
        self.strobes = {name: 0 for name in self.STROBES if hasattr(dut, f"{queue}__{name}")}
        self.base = 0
        self.log2_entries = 0
        self._pause = pause

    def port(self, name: str) -> Any:
        """A signal of the queue port."""
        return getattr(self.dut, f"{self.queue}__{name}")

    async def start(self, *idle: str) -> None:
        """Clock, memory, reset; the inputs `idle` are 0."""
        Clock(self.dut.clk, 10, unit="ns").start()
        for name in (*idle, f"{self.queue}__settings", f"{self.queue}__stop"):
            getattr(self.dut, name).value = 0
        self.dut.rst.value = 1
        attach_memory(self.dut, "axi", self.region, self.rng, self._pause)
        for _ in range(3):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    def configure(self, *, base: int, log2_entries: int, enable: bool = True) -> None:
        """`base` is a byte address."""
        self.base, self.log2_entries = base, log2_entries
        self.port("settings").value = pack(QueueSettings, {"base": base >> 12, "log2_entries": log2_entries, "enable": enable})

    @property
    def entries(self) -> int:
        return 1 << self.log2_entries

    def _count(self) -> None:
        for name in self.strobes:
            self.strobes[name] += int(self.port(name).value)

    async def cycle(self, count: int = 1) -> None:
        """Inputs are driven after the falling edge; this runs the checks and returns after the next falling edge."""
        for _ in range(count):
            await Timer(SETTLE_NS, unit="ns")
            for check in self.checks:
                check()
            await FallingEdge(self.dut.clk)

    async def until(self, condition: Callable[[], bool], what: str, limit: int = PATIENCE) -> None:
        """Run until `condition`; at most `limit` cycles."""
        for _ in range(limit):
            if condition():
                return
            await self.cycle()
        raise AssertionError(f"{what}: not within {limit} cycles")

    async def send(self, stream: str, payload: int, limit: int = PATIENCE) -> None:
        """Give one item to a stream."""
        valid, ready = getattr(self.dut, f"{stream}__valid"), getattr(self.dut, f"{stream}__ready")
        getattr(self.dut, f"{stream}__payload").value = payload
        valid.value = 1
        for _ in range(limit):
            await Timer(SETTLE_NS, unit="ns")
            taken = bool(ready.value)
            await self.cycle()
            if taken:
                valid.value = 0
                return
        raise AssertionError(f"{stream} was not taken within {limit} cycles")

    async def receive(self, stream: str, limit: int = PATIENCE) -> int:
        """Take one item from a stream, after a random delay."""
        valid, ready = getattr(self.dut, f"{stream}__valid"), getattr(self.dut, f"{stream}__ready")
        await self.cycle(self.rng.randrange(3))
        ready.value = 1
        for _ in range(limit):
            await Timer(SETTLE_NS, unit="ns")
            taken, payload = bool(valid.value), int(getattr(self.dut, f"{stream}__payload").value)
            await self.cycle()
            if taken:
                ready.value = 0
                return payload
        raise AssertionError(f"nothing came from {stream} within {limit} cycles")

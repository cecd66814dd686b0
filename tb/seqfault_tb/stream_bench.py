"""What the benches of blocks with streams of their own have in common: clock and reset, models of memory, and offers that stay."""

from collections.abc import Iterable
from random import Random
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from .memory_ports import WordMemory
from .move_memory import wires

__all__ = ["StreamBench"]

SETTLE_NS = 1
RESET_CYCLES = 3


class StreamBench:
    """A subclass drives its streams after the falling edge, calls `settle`, and then sees what is transferred.

    Members
    -------
    memory : words by address. models : each has `drive` and `sample`, called once a cycle after the falling edge and when all has settled.
    streams : prefixes of streams whose offers must stay until they are taken.
    patience : probability that something is offered, and that an answer is taken, in a cycle. now : the cycle; the subclass counts it.
    """

    def __init__(self, dut: Any, rng: Random, *, streams: Iterable[str], patience: float = 0.7) -> None:
        self.dut, self.rng, self.patience = dut, rng, patience
        self.memory = WordMemory()
        self.models: list[Any] = []
        self.streams = list(streams)
        self.now = 0
        self._held: dict[str, int] = {}

    async def start(self) -> None:
        """Clock and reset."""
        Clock(self.dut.clk, 10, unit="ns").start()
        self.dut.rst.value = 1
        for _ in range(RESET_CYCLES):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def settle(self) -> None:
        """The models drive; when all has settled, offers are checked, and the models take what is transferred."""
        for model in self.models:
            model.drive()
        await Timer(SETTLE_NS, unit="ns")
        for prefix in self.streams:
            self._check_offer(prefix)
        for model in self.models:
            model.sample()

    def _check_offer(self, prefix: str) -> None:
        valid, ready, payload = wires(self.dut, prefix)
        offer = int(payload.value) if valid.value else None
        assert prefix not in self._held or offer == self._held[prefix], f"{prefix}: an offer changed before it was taken"
        self._held.pop(prefix, None)
        if offer is not None and not ready.value:
            self._held[prefix] = offer

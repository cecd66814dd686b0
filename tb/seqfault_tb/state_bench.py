"""Clocking for the tests of small blocks: ports by name, driven after the falling edge and read when they have settled."""

import os
from random import Random
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

__all__ = ["StateBench"]

SETTLE_NS = 1


class StateBench:
    """One block's ports in a `StateBlocks`: `prefix` is its name there. `rng` is seeded from STATE_SEED."""

    def __init__(self, dut: Any, prefix: str) -> None:
        self._dut, self._prefix = dut, prefix
        self.rng = Random(int(os.environ.get("STATE_SEED", "1")))

    def _port(self, name: str) -> Any:
        return getattr(self._dut, f"{self._prefix}__{name}")

    async def start(self, *inputs: str) -> None:
        """Reset, with these inputs at 0."""
        Clock(self._dut.clk, 10, unit="ns").start()
        self.drive(**dict.fromkeys(inputs, 0))
        self._dut.rst.value = 1
        await FallingEdge(self._dut.clk)
        await FallingEdge(self._dut.clk)
        self._dut.rst.value = 0

    def drive(self, **values: int) -> None:
        for name, value in values.items():
            self._port(name).value = value

    def read(self, name: str) -> int:
        return int(self._port(name).value)

    async def settle(self) -> None:
        await Timer(SETTLE_NS, unit="ns")

    async def clock(self) -> None:
        """To the next cycle."""
        await FallingEdge(self._dut.clk)

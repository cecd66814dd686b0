"""The checker and the reordering memory of `axi_memory.py` for a manager that writes bursts too."""

from collections import deque
from random import Random
from typing import Any

from .axi_memory import OKAY, SLVERR, AxiChecker, ReorderingMemory
from .memory_ports import ALL_STROBES, WORD_BYTES, WordMemory

__all__ = ["BurstChecker", "BurstMemory"]

MAX_BURST = 16
"""Beats of the longest write burst."""


class BurstChecker(AxiChecker):
    """The rules of `AxiChecker`, but that a write may be a burst of at most `MAX_BURST` beats: the last of them says so, and only that one;
    each has all strobes. Data beats belong to the write addresses in their order. [AXI A3.4.1, A5.3]"""

    def __init__(self, dut: Any, prefix: str, *, sparse: bool = False) -> None:
        super().__init__(dut, prefix, sparse=sparse)
        self._addressed: deque[dict[str, int]] = deque()
        self._burst: list[dict[str, int]] = []
        self._arrived: deque[list[dict[str, int]]] = deque()
        self.bursts = 0

    def _taken(self, channel: str, item: dict[str, int]) -> None:
        if channel == "w":
            self._burst.append(item)
            assert len(self._burst) <= MAX_BURST, f"{len(self._burst)} data beats without last"
            if item["last"]:
                self._arrived.append(self._burst)
                self._burst = []
        elif channel == "aw":
            assert item["len"] < MAX_BURST, f"awlen {item['len']}"
            assert not (item["len"] and item["lock"]), f"an exclusive write of {item['len'] + 1} beats"
            super()._taken(channel, item | {"len": 0})
            self._addressed.append(item)
        else:
            super()._taken(channel, item)
        while self._addressed and self._arrived:
            self._whole(self._addressed.popleft(), self._arrived.popleft())

    def _whole(self, address: dict[str, int], beats: list[dict[str, int]]) -> None:
        """A write with all of its data."""
        size = len(beats) * WORD_BYTES
        assert len(beats) == address["len"] + 1, f"{len(beats)} data beats for awlen {address['len']} at {address['addr']:#x}"
        assert address["addr"] % 4096 + size <= 4096, f"write burst of {size} bytes at {address['addr']:#x} crosses 4 KiB"
        if len(beats) > 1:
            self.bursts += 1
            assert all(beat["strb"] == ALL_STROBES for beat in beats), f"a burst without all strobes at {address['addr']:#x}"
        super()._taken("w", beats[-1])

    def finish(self) -> None:
        super().finish()
        rest = [*self._addressed, *self._arrived, *self._burst]
        assert not rest, f"addresses without data, or data without an address: {rest}"


class BurstMemory(ReorderingMemory):
    """`ReorderingMemory` with write bursts: one answer for each, an error if any of its words failed; the other words are written.

    The base class pairs each data beat with one address: here a burst's address stands for all of its beats, and `_write`, which is called
    with each pair, looks up what they really are.
    """

    def __init__(self, dut: Any, prefix: str, memory: WordMemory, rng: Random, **options: Any) -> None:
        super().__init__(dut, prefix, memory, rng, **options)
        self._beats: deque[tuple[int, bool]] = deque()
        self._worst = OKAY

    def sample(self) -> None:
        if self._port("awvalid").value and self._port("awready").value:
            identity, first, length = (int(self._port(name).value) for name in ("awid", "awaddr", "awlen"))
            self._addresses += [(identity, first, 0)] * length
            self._beats += [(first + WORD_BYTES * beat, beat == length) for beat in range(length + 1)]
        super().sample()

    def _write(self, identity: int, address: int, lock: int, word: int, strobes: int) -> None:
        address, last = self._beats.popleft()
        super()._write(identity, address, lock, word, strobes)
        _, response = self._responses.pop()
        self._worst = SLVERR if SLVERR in (self._worst, response) else response
        if last:
            self._responses.append((identity, self._worst))
            self._worst = OKAY

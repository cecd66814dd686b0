"""Jobs for a block with one stream of requests and one of answers, each with a tag; memory at the block's own ports."""

from collections import deque
from random import Random
from typing import Any

from cocotb.triggers import FallingEdge

from .fields import pack, unpack
from .move_memory import wires
from .stream_bench import StreamBench

__all__ = ["PageBench"]

PATIENCE = 5000
"""Cycles that a job may take, whatever the memory's pace."""


class PageBench(StreamBench):
    """Offers requests one behind the other, with free tags, and collects answers.

    Parameters
    ----------
    ask, answer : prefix and struct of the two streams. tags : tags are below this, and differ among requests in flight.
    streams : prefixes of further streams whose offers must stay until they are taken.

    Members
    -------
    those of `StreamBench`. most : most requests in flight so far.
    """

    def __init__(self, dut: Any, rng: Random, *, ask: tuple[str, Any], answer: tuple[str, Any], tags: int, streams: tuple[str, ...]) -> None:
        super().__init__(dut, rng, streams=(answer[0], *streams))
        self._ask, self._answer = wires(dut, ask[0]), wires(dut, answer[0])
        self._structs = ask[1], answer[1]
        self._tags = tags
        self._waiting: deque[dict[str, int]] = deque()
        self._offered: dict[str, int] | None = None
        self._running: dict[int, tuple[dict[str, int], int]] = {}
        self._ended: list[tuple[dict[str, int], dict[str, int], int]] = []
        self.most = 0
        self._ask[0].value = self._answer[1].value = 0

    async def cycle(self) -> None:
        await FallingEdge(self.dut.clk)
        free = [tag for tag in range(self._tags) if tag not in self._running]
        if self._offered is None and self._waiting and free and self.rng.random() < self.patience:
            self._offered = self._waiting.popleft() | {"tag": self.rng.choice(free)}
            self._ask[2].value = pack(self._structs[0], self._offered)
        self._ask[0].value = self._offered is not None
        self._answer[1].value = self.rng.random() < self.patience
        await self.settle()
        if self._answer[0].value and self._answer[1].value:
            answer = unpack(self._structs[1], int(self._answer[2].value))
            assert answer["tag"] in self._running, f"an answer to nobody: {answer}"
            asked, began = self._running.pop(answer["tag"])
            self._ended.append((asked, answer, self.now - began))
        if self._offered is not None and self._ask[1].value:
            self._running[self._offered["tag"]] = self._offered, self.now
            self._offered = None
        self.most = max(self.most, len(self._running))
        self.now += 1

    async def run(self, *requests: dict[str, int]) -> list[tuple[dict[str, int], dict[str, int], int]]:
        """All these requests, without tags; returns each with its answer and the cycles from transfer to transfer, in the answers' order."""
        self._waiting.extend(requests)
        for _ in range(PATIENCE * len(requests)):
            if len(self._ended) == len(requests):
                break
            await self.cycle()
        ended, self._ended = self._ended, []
        assert len(ended) == len(requests), f"{len(ended)} of {len(requests)} answered; in flight: {self._running}"
        return ended

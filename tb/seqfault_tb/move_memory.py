"""Memory at a block's own ports: any latency and back-pressure, bursts of different tags in any order, and what the ports promise."""

from collections.abc import Callable
from random import Random
from typing import Any

from seqfault_rtl.memory_bursts import MemoryBurstRequest
from seqfault_rtl.messages import MemoryReadRequest, MemoryReadResponse, MemoryWriteRequest, MemoryWriteResponse

from .fields import pack, unpack
from .memory_ports import ALL_STROBES, PAGE_BYTES, WORD_BYTES, WordMemory

__all__ = ["BurstWrites", "LatentReads", "LatentWrites", "wires"]


def wires(dut: Any, prefix: str) -> list[Any]:
    """Valid, ready and payload of a stream."""
    return [getattr(dut, f"{prefix}__{name}") for name in ("valid", "ready", "payload")]


def addresses(asked: dict[str, int]) -> list[int]:
    """The words of a burst, which must be aligned and within a page."""
    first, words = asked["addr"], asked["beats"] + 1
    assert first % WORD_BYTES == 0, f"misaligned burst at {first:#x}"
    assert first % PAGE_BYTES + words * WORD_BYTES <= PAGE_BYTES, f"burst of {words} words at {first:#x} crosses a page"
    return [first + WORD_BYTES * i for i in range(words)]


class _Port:
    """What reads and writes have in common; `drive` and `sample` are called once a cycle."""

    def __init__(self, dut: Any, prefix: str, memory: WordMemory, rng: Random) -> None:
        self._request, self._response = wires(dut, f"{prefix}__request"), wires(dut, f"{prefix}__response")
        self._memory, self._rng = memory, rng
        self.set_pace(ready=0.7, rate=0.7, latency=lambda: 1)
        self._bursts: list[dict[str, Any]] = []
        self._offered: dict[str, Any] | None = None
        self.now = 0
        self.asked: list[int] = []
        self._request[1].value = self._response[0].value = 0

    def set_pace(self, *, ready: float, rate: float, latency: Callable[[], int], in_order: bool = False) -> None:
        """Probability that something is taken, and that something is answered, in a cycle; `latency` gives the cycles of each burst.

        `in_order`: the bursts are answered in the order of their requests, whatever their tags.
        """
        self._ready, self._rate, self._latency, self._in_order = ready, rate, latency, in_order

    @property
    def outstanding(self) -> int:
        """Words asked for and not answered."""
        return sum(len(burst["words"]) for burst in self._bursts)

    def _begin(self, asked: dict[str, int]) -> dict[str, Any]:
        """A burst whose request has been taken."""
        burst = {"tag": asked["tag"], "words": addresses(asked), "due": self.now + self._latency()}
        self._bursts.append(burst)
        self.asked.append(self.now)
        return burst

    def _choose(self) -> None:
        """Perhaps offer an answer: of any tag, of the oldest burst that has it."""
        if self._offered is None and self._bursts and self._rng.random() < self._rate:
            tag = (self._bursts[0] if self._in_order else self._rng.choice(self._bursts))["tag"]
            oldest = next(burst for burst in self._bursts if burst["tag"] == tag)
            if oldest["due"] <= self.now:
                self._offered = oldest
                self._response[2].value = self._answer(oldest)
        self._response[0].value = self._offered is not None

    def _answer(self, burst: dict[str, Any]) -> int:
        raise NotImplementedError


class LatentReads(_Port):
    """A `MemoryReadSignature` port: the first word of a burst `latency` cycles after its request at the earliest, then one in a cycle."""

    def drive(self) -> None:
        self._request[1].value = self._rng.random() < self._ready
        self._choose()

    def _answer(self, burst: dict[str, Any]) -> int:
        address, failed = burst["words"][0], burst["words"][0] in self._memory.failing
        # a word that failed is anything
        word = self._rng.getrandbits(64) if failed else self._memory[address]
        return pack(MemoryReadResponse, {"tag": burst["tag"], "data": word, "last": len(burst["words"]) == 1, "error": failed})

    def sample(self) -> None:
        if self._offered is not None and self._response[1].value:
            self._offered["words"].pop(0)
            if not self._offered["words"]:
                self._bursts.remove(self._offered)
            self._offered = None
        if self._request[0].value and self._request[1].value:
            self._begin(unpack(MemoryReadRequest, int(self._request[2].value)))
        self.now += 1


class BurstWrites(_Port):
    """A `MemoryBurstSignature` port: a burst is taken with its first word, visible when it is answered, `latency` cycles after its last word.

    A block must then have a word in every cycle, as others wait.
    """

    def __init__(self, dut: Any, prefix: str, memory: WordMemory, rng: Random) -> None:
        super().__init__(dut, prefix, memory, rng)
        self._data = wires(dut, f"{prefix}__data")
        self._filling: dict[str, Any] | None = None
        self._data[1].value = 0

    def drive(self) -> None:
        ready = self._rng.random() < self._ready
        begins = self._filling is None and bool(self._request[0].value) and bool(self._data[0].value)
        self._request[1].value = ready and begins
        self._data[1].value = ready and (begins or self._filling is not None)
        self._choose()

    def _answer(self, burst: dict[str, Any]) -> int:
        failed = [address for address in burst["words"] if address in self._memory.failing]
        for address, word in zip(burst["words"], burst["data"], strict=True):
            if address not in failed:
                self._memory[address] = word
        return pack(MemoryWriteResponse, {"tag": burst["tag"], "error": bool(failed)})

    def _choose(self) -> None:
        whole, self._bursts = self._bursts, [burst for burst in self._bursts if burst is not self._filling]
        super()._choose()
        self._bursts = whole

    def sample(self) -> None:
        if self._offered is not None and self._response[1].value:
            self._bursts.remove(self._offered)
            self._offered = None
        assert self._data[0].value or not (self._filling or self._request[0].value), "no word in the middle of a write burst"
        if self._request[0].value and self._request[1].value:
            self._filling = self._begin(unpack(MemoryBurstRequest, int(self._request[2].value))) | {"data": []}
            self._bursts[-1] = self._filling
        if self._filling and self._data[0].value and self._data[1].value:
            self._filling["data"].append(int(self._data[2].value))
            if len(self._filling["data"]) == len(self._filling["words"]):
                self._filling["due"] = self.now + self._latency()
                self._filling = None
        self.now += 1


class LatentWrites(_Port):
    """A `MemoryWriteSignature` port: a word is visible when it is answered, `latency` cycles after its request.

    Members
    -------
    failing : addresses at which writes fail, but not reads.
    """

    def __init__(self, dut: Any, prefix: str, memory: WordMemory, rng: Random) -> None:
        super().__init__(dut, prefix, memory, rng)
        self.failing: set[int] = set()

    def drive(self) -> None:
        self._request[1].value = self._rng.random() < self._ready
        self._choose()

    def _answer(self, burst: dict[str, Any]) -> int:
        (address,) = burst["words"]
        failed = address in self._memory.failing | self.failing
        if not failed:
            self._memory.store(address, burst["data"], ALL_STROBES & ~burst["keep"])
        return pack(MemoryWriteResponse, {"tag": burst["tag"], "error": failed})

    def sample(self) -> None:
        if self._offered is not None and self._response[1].value:
            self._bursts.remove(self._offered)
            self._offered = None
        if self._request[0].value and self._request[1].value:
            asked = unpack(MemoryWriteRequest, int(self._request[2].value))
            self._begin(asked | {"beats": 0}).update(data=asked["data"], keep=asked["keep"])
        self.now += 1

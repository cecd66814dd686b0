"""Responders for a block's own memory ports: random latency, back-pressure and interleaving of bursts, all from one random source.

A testbench that uses them makes two calls in a cycle: `drive` after the falling edge, `sample` when the design has settled.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from seqfault_rtl.messages import MemoryReadRequest, MemoryReadResponse, MemoryWriteRequest, MemoryWriteResponse

from .fields import pack, unpack

__all__ = ["ALL_STROBES", "ReadResponder", "WordMemory", "WriteResponder"]

PAGE_BYTES = 4096
WORD_BYTES = 8
ALL_STROBES = 0xFF


class WordMemory:
    """64-bit words by address. Reading one never written is an error of the test or of the design.

    Members
    -------
    failing : addresses at which the bus answers an error.
    plain : addresses without exclusive accesses.
    reserved : by ID, the address of its exclusive read while nobody has written there. [AXI A7.2]
    """

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.failing: set[int] = set()
        self.plain: set[int] = set()
        self.reserved: dict[int, int] = {}

    def __setitem__(self, address: int, value: int) -> None:
        assert address % WORD_BYTES == 0, f"misaligned write at {address:#x}"
        self.words[address] = value
        self.reserved = {identity: watched for identity, watched in self.reserved.items() if watched != address}

    def reserve(self, identity: int, address: int) -> bool:
        """An exclusive read by this ID: whether the memory has those here."""
        self.reserved.pop(identity, None)
        if address not in self.plain:
            self.reserved[identity] = address
        return address not in self.plain

    def store(self, address: int, value: int, strobes: int) -> None:
        """Write the bytes that `strobes` names."""
        mask = sum(0xFF << 8 * byte for byte in range(WORD_BYTES) if strobes >> byte & 1)
        self[address] = value & mask | (self.words.get(address, 0) & ~mask if strobes != ALL_STROBES else 0)

    def store_if_reserved(self, identity: int, address: int, value: int, strobes: int) -> bool:
        """An exclusive write by this ID: whether it happened as such. Where there are no exclusive accesses it is a plain one."""
        exclusive = self.reserved.get(identity) == address
        if exclusive or address in self.plain:
            self.store(address, value, strobes)
        return exclusive

    def __getitem__(self, address: int) -> int:
        assert address in self.words, f"word at {address:#x} was never written"
        return self.words[address]


class ReadResponder:
    """The memory's side of a `MemoryReadSignature` port named `prefix`.

    Parameters
    ----------
    ready, rate : probability that a request is taken, and that a word is answered, in a cycle.
    """

    def __init__(self, dut: Any, prefix: str, memory: WordMemory, rng: Random, *, ready: float = 0.7, rate: float = 0.8) -> None:
        self._request = [getattr(dut, f"{prefix}__request__{name}") for name in ("valid", "ready", "payload")]
        self._response = [getattr(dut, f"{prefix}__response__{name}") for name in ("valid", "ready", "payload")]
        self._memory, self._rng, self._ready, self._rate = memory, rng, ready, rate
        self._bursts: list[tuple[int, list[int]]] = []
        self._offered: tuple[int, list[int]] | None = None
        self.requests = 0

    @property
    def idle(self) -> bool:
        """No burst is being answered."""
        return not self._bursts

    def drive(self) -> None:
        """Choose this cycle's behaviour; a word that was offered stays until it is taken."""
        self._request[1].value = self._rng.random() < self._ready
        if self._offered is None and self._bursts and self._rng.random() < self._rate:
            tag = self._rng.choice(self._bursts)[0]
            self._offered = next(burst for burst in self._bursts if burst[0] == tag)  # the oldest of its tag
            address = self._offered[1][0]
            error = address in self._memory.failing
            word = {"tag": tag, "data": 0 if error else self._memory[address], "last": len(self._offered[1]) == 1, "error": error}
            self._response[2].value = pack(MemoryReadResponse, word)
        self._response[0].value = self._offered is not None

    def sample(self) -> None:
        """Take over what this cycle's handshakes did."""
        if self._offered is not None and self._response[1].value:
            self._offered[1].pop(0)
            if not self._offered[1]:
                self._bursts.remove(self._offered)
            self._offered = None
        if self._request[0].value and self._request[1].value:
            asked = unpack(MemoryReadRequest, int(self._request[2].value))
            first, words = asked["addr"], asked["beats"] + 1
            assert first % WORD_BYTES == 0, f"misaligned burst at {first:#x}"
            assert first % PAGE_BYTES + words * WORD_BYTES <= PAGE_BYTES, f"burst of {words} words at {first:#x} crosses a page"
            self._bursts.append((asked["tag"], [first + WORD_BYTES * i for i in range(words)]))
            self.requests += 1


class WriteResponder:
    """The memory's side of a `MemoryWriteSignature` port named `prefix`; a write is visible when it is answered.

    Parameters
    ----------
    ready, rate : probability that a write is taken, and that one is answered, in a cycle.
    observe : called with address and data when a write becomes visible.
    """

    def __init__(
        self, dut: Any, prefix: str, memory: WordMemory, rng: Random, *, ready: float = 0.7, rate: float = 0.5,
        observe: Callable[[int, int], None] = lambda address, data: None,
    ) -> None:  # fmt: skip
        self._request = [getattr(dut, f"{prefix}__request__{name}") for name in ("valid", "ready", "payload")]
        self._response = [getattr(dut, f"{prefix}__response__{name}") for name in ("valid", "ready", "payload")]
        self._memory, self._rng, self._ready, self._rate, self._observe = memory, rng, ready, rate, observe
        self._writes: list[dict[str, int]] = []
        self._offered = False

    @property
    def idle(self) -> bool:
        """All writes were answered."""
        return not self._writes

    def drive(self) -> None:
        """Choose this cycle's behaviour."""
        self._request[1].value = self._rng.random() < self._ready
        if not self._offered and self._writes and self._rng.random() < self._rate:
            self._offered = True
            write = self._writes[0]
            error = write["addr"] in self._memory.failing
            if not error:
                self._memory[write["addr"]] = write["data"]
                self._observe(write["addr"], write["data"])
            self._response[2].value = pack(MemoryWriteResponse, {"tag": write["tag"], "error": error})
        self._response[0].value = self._offered

    def sample(self) -> None:
        """Take over what this cycle's handshakes did."""
        if self._offered and self._response[1].value:
            self._writes.pop(0)
            self._offered = False
        if self._request[0].value and self._request[1].value:
            self._writes.append(unpack(MemoryWriteRequest, int(self._request[2].value)))

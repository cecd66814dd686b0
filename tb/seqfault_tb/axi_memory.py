"""Memory at the end of the engine's AXI4 port: cocotbext-axi's model with bus errors and back-pressure, and one that reorders."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from cocotbext.axi import AxiBus, AxiSlave, SparseMemoryRegion

from .memory_ports import ALL_STROBES, PAGE_BYTES, WORD_BYTES, WordMemory

__all__ = ["AxiChecker", "FailingRegion", "ReorderingMemory", "attach_memory"]

OKAY, EXOKAY, SLVERR = 0, 1, 2
BURST_INCR = 1
SIZE_8_BYTES = 3
HALVES = (0xFF, 0x0F, 0xF0)
"""Strobes of a page-table entry, wide or narrow."""


class FailingRegion(SparseMemoryRegion):
    """All of memory, with words at which the bus answers SLVERR.

    Parameters
    ----------
    observe : called with address and data (a number) after each write.
    """

    def __init__(self, observe: Callable[[int, int], None] = lambda address, data: None) -> None:
        super().__init__(1 << 56)
        self.failing: set[int] = set()
        self.reads = 0
        self._observe = observe

    def word(self, address: int) -> int:
        """The 64-bit word at `address`, at once."""
        return int.from_bytes(self.mem.read(address, WORD_BYTES), "little")

    def set_word(self, address: int, value: int) -> None:
        """Write a 64-bit word, at once."""
        self.mem.write(address, value.to_bytes(WORD_BYTES, "little"))

    async def _read(self, address: int, length: int, **kwargs: Any) -> bytes:
        self.reads += 1
        if address in self.failing:
            raise OSError(f"planned bus error at {address:#x}")
        return await super()._read(address, length, **kwargs)

    async def _write(self, address: int, data: bytes, **kwargs: Any) -> None:
        if address in self.failing:
            raise OSError(f"planned bus error at {address:#x}")
        await super()._write(address, data, **kwargs)
        self._observe(address, int.from_bytes(data, "little"))


def _pauses(rng: Random, probability: float) -> Iterator[bool]:
    while True:
        yield rng.random() < probability


def attach_memory(dut: Any, prefix: str, region: FailingRegion, rng: Random, pause: float = 0.3) -> AxiSlave:
    """cocotbext-axi's subordinate on the port `prefix`, pausing each channel with this probability."""
    slave = AxiSlave(AxiBus.from_prefix(dut, f"{prefix}_"), dut.clk, dut.rst, target=region)
    pause_channels(slave, rng, pause)
    return slave


def pause_channels(slave: Any, rng: Random, pause: float) -> None:
    """Random back-pressure on all five channels of an AxiSlave or AxiRam."""
    channels = (slave.write_if.aw_channel, slave.write_if.w_channel, slave.write_if.b_channel)
    for channel in (*channels, slave.read_if.ar_channel, slave.read_if.r_channel):
        channel.set_pause_generator(_pauses(Random(rng.random()), pause))


class AxiChecker:
    """Rules of AXI4 that the manager must keep: offers stay until taken, bursts stay within 4 KiB, one data beat for each write address,
    an exclusive write only after the answer to an exclusive read of the same ID, address and attributes.

    Call `sample` once a cycle when all signals have settled.

    Parameters
    ----------
    sparse : any write may have any strobes; else only exclusive ones write the half of a word.
    """

    def __init__(self, dut: Any, prefix: str, *, sparse: bool = False) -> None:
        address = ("id", "addr", "len", "size", "burst", "lock", "cache", "prot")
        names = {"aw": address, "w": ("data", "strb", "last"), "ar": address}
        self._channels = {
            channel: {name: getattr(dut, f"{prefix}__{channel}{name}") for name in (*fields, "valid", "ready")} for channel, fields in names.items()
        }
        self._answer = {name: getattr(dut, f"{prefix}__r{name}") for name in ("id", "last", "valid", "ready")}
        self._sparse = sparse
        self._held: dict[str, dict[str, int]] = {}
        self._asked: dict[int, list[dict[str, int]]] = {}
        self._reserved: dict[int, dict[str, int]] = {}
        self._pairs: tuple[list[int], list[int]] = ([], [])
        self.addresses = 0
        self.beats = 0
        self.exclusives = 0
        self.reads: list[dict[str, int]] = []

    def sample(self) -> None:
        """Check this cycle."""
        for channel, signals in self._channels.items():
            now = {name: int(signal.value) for name, signal in signals.items() if name not in ("valid", "ready")}
            valid = bool(signals["valid"].value)
            if channel in self._held:
                assert valid, f"{channel}valid fell before {channel}ready"
                assert now == self._held[channel], f"{channel} changed from {self._held[channel]} to {now} before it was taken"
            self._held.pop(channel, None)
            if valid and not signals["ready"].value:
                self._held[channel] = now
            elif valid:
                self._taken(channel, now)
        if self._answer["valid"].value and self._answer["ready"].value and self._answer["last"].value:
            self._answered(int(self._answer["id"].value))

    def _taken(self, channel: str, item: dict[str, int]) -> None:
        if channel == "w":
            assert item["last"] == 1, "a data beat without last"
            self.beats += 1
            self._pair(strobes=item["strb"])
            return
        size = (item["len"] + 1) * WORD_BYTES
        assert item["size"] == SIZE_8_BYTES, f"{channel}size {item['size']}"
        assert item["burst"] == BURST_INCR, f"{channel}burst {item['burst']}"
        assert item["addr"] % WORD_BYTES == 0, f"misaligned {channel}addr {item['addr']:#x}"
        assert item["addr"] % PAGE_BYTES + size <= PAGE_BYTES, f"burst of {size} bytes at {item['addr']:#x} crosses 4 KiB"
        if channel == "aw":
            assert item["len"] == 0, f"awlen {item['len']}"
            self.addresses += 1
            if item["lock"]:
                assert self._reserved.pop(item["id"], None) == item, f"an exclusive write without its read: {item}"
                self.exclusives += 1
            self._pair(lock=item["lock"])
        else:
            self.reads.append(item)
            self._asked.setdefault(item["id"], []).append(item)
            if item["lock"]:
                assert item["len"] == 0, f"an exclusive read of {item['len'] + 1} beats"
                assert not item["cache"] >> 2, f"an exclusive access of cacheable memory, arcache {item['cache']:#x}"

    def _answered(self, identity: int) -> None:
        """The last beat of the oldest read of this ID."""
        if (read := self._asked[identity].pop(0))["lock"]:
            self._reserved[identity] = read

    def _pair(self, *, lock: int | None = None, strobes: int | None = None) -> None:
        """Address and data of writes, in order."""
        for queue, item in zip(self._pairs, (lock, strobes), strict=True):
            if item is not None:
                queue.append(item)
        if all(self._pairs):
            exclusive, written = (queue.pop(0) for queue in self._pairs)
            allowed = HALVES if exclusive else (ALL_STROBES,)
            assert self._sparse or written in allowed, f"write strobes {written:#x}"

    def finish(self) -> None:
        """Nothing is on its way from the manager any more, and there was traffic."""
        assert not self._held, f"offered and never taken: {self._held}"
        assert self.addresses == self.beats, f"{self.addresses} write addresses but {self.beats} data beats"
        assert self.addresses or self.reads, "the bus was never used"


class ReorderingMemory:
    """A subordinate that answers requests of different IDs in any order and interleaves their beats; equal IDs stay in order.

    Two calls in a cycle: `drive` after the falling edge, `sample` when the design has settled.

    Parameters
    ----------
    ready, rate : probability that a channel takes, and that it answers, in a cycle.
    observe : called with the ID of a read and its address, word and response when it is answered, and with the ID of a write and its
        address, word, strobes, lock and response when it is done.
    """

    def __init__(
        self, dut: Any, prefix: str, memory: WordMemory, rng: Random, *, ready: float = 0.7, rate: float = 0.7,
        observe: Callable[..., None] = lambda identity, **access: None,
    ) -> None:  # fmt: skip
        self._port = lambda name: getattr(dut, f"{prefix}__{name}")
        self._memory, self._rng, self._ready, self._rate, self._observe = memory, rng, ready, rate, observe
        self._bursts: list[tuple[int, list[int], int]] = []
        self._offered: tuple[int, list[int], int] | None = None
        self._addresses: list[tuple[int, int, int]] = []
        self._words: list[tuple[int, int]] = []
        self._responses: list[tuple[int, int]] = []
        self._answering: tuple[int, int] | None = None
        self.overtaken = 0
        for name in ("arready", "awready", "wready", "rvalid", "bvalid"):
            self._port(name).value = 0

    def drive(self) -> None:
        """Choose this cycle's behaviour; what was offered stays until it is taken."""
        for name in ("arready", "awready", "wready"):
            self._port(name).value = self._rng.random() < self._ready
        if self._offered is None and self._bursts and self._rng.random() < self._rate:
            chosen = self._rng.choice(self._bursts)[0]
            self._offered = next(burst for burst in self._bursts if burst[0] == chosen)
            self.overtaken += self._offered is not self._bursts[0]
            response, word = self._read(*self._offered)
            self._port("rid").value = chosen
            self._port("rdata").value = word
            self._port("rresp").value = response
            self._port("rlast").value = len(self._offered[1]) == 1
        self._port("rvalid").value = self._offered is not None
        if self._answering is None and self._responses and self._rng.random() < self._rate:
            chosen = self._rng.choice(self._responses)[0]
            self._answering = next(response for response in self._responses if response[0] == chosen)
            self._port("bid").value = chosen
            self._port("bresp").value = self._answering[1]
        self._port("bvalid").value = self._answering is not None

    def sample(self) -> None:
        """Take over what this cycle's handshakes did."""
        if self._offered is not None and self._port("rready").value:
            self._offered[1].pop(0)
            if not self._offered[1]:
                self._bursts = [burst for burst in self._bursts if burst is not self._offered]
            self._offered = None
        if self._answering is not None and self._port("bready").value:
            self._responses = [response for response in self._responses if response is not self._answering]
            self._answering = None
        if self._port("arvalid").value and self._port("arready").value:
            first, beats = int(self._port("araddr").value), int(self._port("arlen").value) + 1
            words = [first + WORD_BYTES * beat for beat in range(beats)]
            self._bursts.append((int(self._port("arid").value), words, int(self._port("arlock").value)))
        if self._port("awvalid").value and self._port("awready").value:
            self._addresses.append(tuple(int(self._port(name).value) for name in ("awid", "awaddr", "awlock")))
        if self._port("wvalid").value and self._port("wready").value:
            self._words.append((int(self._port("wdata").value), int(self._port("wstrb").value)))
        while self._addresses and self._words:
            self._write(*self._addresses.pop(0), *self._words.pop(0))

    def _read(self, identity: int, addresses: list[int], lock: int) -> tuple[int, int]:
        """Response and word of the next beat."""
        address, response, word = addresses[0], OKAY, 0
        if address in self._memory.failing:
            response = SLVERR
        else:
            word = self._memory[address]
            if lock and self._memory.reserve(identity, address):
                response = EXOKAY
        self._observe(identity, address=address, word=word, response=response)
        return response, word

    def _write(self, identity: int, address: int, lock: int, word: int, strobes: int) -> None:
        response = OKAY
        if address in self._memory.failing:
            response = SLVERR
        elif not lock:
            self._memory.store(address, word, strobes)
        elif self._memory.store_if_reserved(identity, address, word, strobes):
            response = EXOKAY
        self._observe(identity, address=address, word=word, strobes=strobes, lock=lock, response=response)
        self._responses.append((identity, response))

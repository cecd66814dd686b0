"""Memory at the end of the engine's AXI4 port: cocotbext-axi's model with bus errors and back-pressure, and one that reorders."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from cocotbext.axi import AxiBus, AxiSlave, SparseMemoryRegion

from .memory_ports import PAGE_BYTES, WORD_BYTES, WordMemory

__all__ = ["AxiChecker", "FailingRegion", "ReorderingMemory", "attach_memory"]

SLVERR = 2
BURST_INCR = 1
SIZE_8_BYTES = 3
ALL_STROBES = 0xFF


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
    """Rules of AXI4 that the manager must keep: offers stay until taken, bursts stay within 4 KiB, one data beat for each write address.

    Call `sample` once a cycle when all signals have settled.
    """

    def __init__(self, dut: Any, prefix: str) -> None:
        names = {"aw": ("id", "addr", "len", "size", "burst"), "w": ("data", "strb", "last"), "ar": ("id", "addr", "len", "size", "burst")}
        self._channels = {
            channel: {name: getattr(dut, f"{prefix}__{channel}{name}") for name in (*fields, "valid", "ready")} for channel, fields in names.items()
        }
        self._held: dict[str, dict[str, int]] = {}
        self.addresses = 0
        self.beats = 0
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

    def _taken(self, channel: str, item: dict[str, int]) -> None:
        if channel == "w":
            assert item["strb"] == ALL_STROBES, f"write strobes {item['strb']:#x}"
            assert item["last"] == 1, "a data beat without last"
            self.beats += 1
            return
        size = (item["len"] + 1) * WORD_BYTES
        assert item["size"] == SIZE_8_BYTES, f"{channel}size {item['size']}"
        assert item["burst"] == BURST_INCR, f"{channel}burst {item['burst']}"
        assert item["addr"] % WORD_BYTES == 0, f"misaligned {channel}addr {item['addr']:#x}"
        assert item["addr"] % PAGE_BYTES + size <= PAGE_BYTES, f"burst of {size} bytes at {item['addr']:#x} crosses 4 KiB"
        if channel == "aw":
            assert item["len"] == 0, f"awlen {item['len']}"
            self.addresses += 1
        else:
            self.reads.append(item)

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
    """

    def __init__(self, dut: Any, prefix: str, memory: WordMemory, rng: Random, *, ready: float = 0.7, rate: float = 0.7) -> None:
        self._port = lambda name: getattr(dut, f"{prefix}__{name}")
        self._memory, self._rng, self._ready, self._rate = memory, rng, ready, rate
        self._bursts: list[tuple[int, list[int]]] = []
        self._offered: tuple[int, list[int]] | None = None
        self._addresses: list[tuple[int, int]] = []
        self._words: list[int] = []
        self._responses: list[tuple[int, bool]] = []
        self._answering: tuple[int, bool] | None = None
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
            address = self._offered[1][0]
            error = address in self._memory.failing
            self._port("rid").value = chosen
            self._port("rdata").value = 0 if error else self._memory[address]
            self._port("rresp").value = SLVERR if error else 0
            self._port("rlast").value = len(self._offered[1]) == 1
        self._port("rvalid").value = self._offered is not None
        if self._answering is None and self._responses and self._rng.random() < self._rate:
            chosen = self._rng.choice(self._responses)[0]
            self._answering = next(response for response in self._responses if response[0] == chosen)
            self._port("bid").value = chosen
            self._port("bresp").value = SLVERR if self._answering[1] else 0
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
            self._bursts.append((int(self._port("arid").value), [first + WORD_BYTES * beat for beat in range(beats)]))
        if self._port("awvalid").value and self._port("awready").value:
            self._addresses.append((int(self._port("awid").value), int(self._port("awaddr").value)))
        if self._port("wvalid").value and self._port("wready").value:
            self._words.append(int(self._port("wdata").value))
        while self._addresses and self._words:
            (identity, address), word = self._addresses.pop(0), self._words.pop(0)
            error = address in self._memory.failing
            if not error:
                self._memory[address] = word
            self._responses.append((identity, error))

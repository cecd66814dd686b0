"""Drives an `Mmu` cycle by cycle for measurements: requesters, a memory of fixed latency, and a check of every answer.

Cycles go from one falling clock edge to the next. What is accepted in one cycle and answered in the next has a latency of 1.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from seqfault_rtl.messages import Answer, InvalidateRecord, MemoryReadRequest, MemoryReadResponse, Request

from .bench_tables import AddressSpace, Memory, Target
from .errors import HangError, WrongAnswer
from .fields import pack, unpack

__all__ = ["BenchMmu", "Requester"]

TAGS = 512
FEATURES = {"adue": 0, "pbmte": 0, "napot": 1}
SETTLE_CYCLES = 16
"""Cycles after which nothing is under way any more in an idle Mmu."""
PATIENCE = 20_000
"""Cycles, beside those that memory takes, after which the Mmu counts as hung."""
INPUTS = ("invalidate", "write_table", "memory__response__valid", "update__request__ready", "update__response__valid")


def _offset(struct: type[data.Struct], field: str) -> int:
    return data.Layout.cast(struct)[field].offset


VA, SPACE, REQUEST_TAG = (_offset(Request, name) for name in ("va", "space", "tag"))
PA, ANSWER_TAG = (_offset(Answer, name) for name in ("pa", "tag"))


class Requester:
    """One port: offers its next request as soon as the one before is taken, and takes every answer at once.

    Members
    -------
    answered : (cycle of acceptance, cycle of answer) of every answer, in the order of the answers.
    """

    def __init__(self, dut: Any, port: int) -> None:
        self.port = port
        self.answered: list[tuple[int, int]] = []
        self._valid, self._ready, self._payload = (getattr(dut, f"requests__{port}__{name}") for name in ("valid", "ready", "payload"))
        self._answer_valid, self._answer = (getattr(dut, f"answers__{port}__{name}") for name in ("valid", "payload"))
        self._targets: Iterator[Target] = iter(())
        self._offered: Target | None = None
        self._free_tags: deque[int] = deque(range(TAGS))
        self._outstanding: dict[int, tuple[int, Target]] = {}
        self._asking = False
        self._valid.value = 0
        getattr(dut, f"answers__{port}__ready").value = 1
        getattr(dut, f"withdraw__{port}").value = 0

    @property
    def idle(self) -> bool:
        """Everything that it was fed with is answered."""
        return not self._asking and not self._outstanding

    def feed(self, targets: Iterable[Target]) -> None:
        """What to ask for next, in place of what is left."""
        self._targets, self._asking = iter(targets), True

    def drive(self) -> None:
        """Offer a request, after the falling edge."""
        if not self._asking or self._offered is not None:
            return
        target = self._offered = next(self._targets, None)
        self._asking = target is not None
        self._valid.value = int(self._asking)
        if target is not None:
            self._payload.value = target.va << VA | target.space << SPACE | self._free_tags[0] << REQUEST_TAG

    def sample(self, now: int) -> None:
        """Take over what this cycle's handshakes do."""
        if self._answer_valid.value:
            self._check_answer(now, int(self._answer.value))
        if self._offered is not None and self._ready.value:
            self._outstanding[self._free_tags.popleft()] = (now, self._offered)
            self._offered = None

    def _check_answer(self, now: int, answer: int) -> None:
        """All bits count: this address, status OK, how TRANSLATED, and 0 in the rest."""
        tag = answer >> ANSWER_TAG & TAGS - 1
        if tag not in self._outstanding:
            raise WrongAnswer(f"port {self.port}: an answer with tag {tag}, with which no request waits")
        issued, target = self._outstanding.pop(tag)
        if answer != target.pa << PA | tag << ANSWER_TAG:
            fields = ", ".join(f"{name} {value:#x}" for name, value in unpack(Answer, answer).items() if value)
            raise WrongAnswer(f"port {self.port}: {target.va:#x} in space {target.space} is at {target.pa:#x}, but the answer is {fields}")
        self._free_tags.append(tag)
        self.answered.append((issued, now))


class BenchMmu:
    """An `Mmu` with its surroundings.

    Parameters
    ----------
    dut : the simulated component. ports : as configured. memory : what its memory holds.

    Members
    -------
    latency : cycles from a read's acceptance to its answer. One read is accepted in every cycle, however many are on their way.
    reads : reads accepted so far. now : the cycle.
    """

    def __init__(self, dut: Any, *, ports: int, memory: Memory) -> None:
        self.dut, self.memory = dut, memory
        self.now, self.reads, self.latency = 0, 0, 1
        self.ports = [Requester(dut, port) for port in range(ports)]
        self._due: dict[int, tuple[int, int]] = {}
        self._responding = False
        self._strobed = ""
        for name in INPUTS:
            getattr(dut, name).value = 0
        dut.memory__request__ready.value = 1
        self._read_valid, self._read = dut.memory__request__valid, dut.memory__request__payload
        self._response_valid, self._response = dut.memory__response__valid, dut.memory__response__payload

    async def start(self) -> None:
        """Clock and reset."""
        self.dut.rst.value = 1
        Clock(self.dut.clk, 10, unit="ns").start()
        for _ in range(4):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def cycle(self, strobe: str = "", **values: int) -> None:
        """One clock cycle; with an input that is 1 in this cycle, and values of others."""
        await FallingEdge(self.dut.clk)
        self.now += 1
        if strobe or self._strobed:
            self._drive_strobe(strobe, values)
        self._answer_read()
        for port in self.ports:
            port.drive()
        await ReadOnly()
        if self._read_valid.value:
            read = unpack(MemoryReadRequest, int(self._read.value))
            self._due[self.now + self.latency] = (read["addr"], read["tag"])
            self.reads += 1
        for port in self.ports:
            port.sample(self.now)

    async def cycles(self, number: int) -> None:
        """So many cycles."""
        for _ in range(number):
            await self.cycle()

    async def drain(self) -> None:
        """Until every request of every port is answered. Raises `HangError`."""
        bound = PATIENCE + 100 * self.latency
        for _ in range(bound):
            await self.cycle()
            if all(port.idle for port in self.ports):
                return
        raise HangError(f"requests are not answered within {bound} cycles")

    async def ask(self, targets: Iterable[Target], port: int = 0) -> None:
        """One request after the other, each when the one before is answered and nothing is under way any more."""
        for target in targets:
            self.ports[port].feed([target])
            await self.drain()
            await self.cycles(SETTLE_CYCLES)

    async def use(self, *spaces: AddressSpace) -> None:
        """Tell the tables of these spaces, and invalidate everything."""
        features = sum(value << bit for bit, value in enumerate(FEATURES.values()))
        for space in spaces:
            await self.cycle("write_table", write_space=space.number, write_data=space.satp, write_features=features)
        await self.flush()

    async def flush(self) -> None:
        """Invalidate everything, and wait until that is done. Raises `HangError`."""
        await self.cycle("invalidate", record=pack(InvalidateRecord, {"any_space": 1, "any_page": 1}))
        for _ in range(PATIENCE):
            await self.cycle()
            if not self.dut.busy.value:
                await self.cycles(SETTLE_CYCLES)
                return
        raise HangError(f"an invalidation is not over after {PATIENCE} cycles")

    def _drive_strobe(self, strobe: str, values: dict[str, int]) -> None:
        if self._strobed:
            getattr(self.dut, self._strobed).value = 0
        for name, value in (values | {strobe: 1} if strobe else {}).items():
            getattr(self.dut, name).value = value
        self._strobed = strobe

    def _answer_read(self) -> None:
        due = self._due.pop(self.now, None)
        if due is not None:
            address, tag = due
            if address not in self.memory.words:
                raise WrongAnswer(f"a read of {address:#x}, where nothing was written")
            self._response.value = pack(MemoryReadResponse, {"data": self.memory.words[address], "tag": tag, "last": 1})
        if (due is not None) != self._responding:
            self._responding = due is not None
            self._response_valid.value = int(self._responding)

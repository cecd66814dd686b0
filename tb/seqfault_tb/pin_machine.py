"""The machine of the engine tests: the engine's own pins through cocotb, cocotbext-axi as memory and register manager, with back-pressure.

It shares nothing with the C++ host of `seqfault run`, so the two check each other. Slow (a few thousand cycles a second).
"""

from collections import deque
from collections.abc import Callable
from random import Random

from cocotb import start_soon
from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import ClockCycles, Event, FallingEdge, ReadOnly, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from seqfault_rtl import messages

from .axi_bursts import BurstChecker
from .axi_memory import FailingRegion, attach_memory
from .errors import HangError
from .fields import pack, unpack
from .machine import CLOCK_NS, Answer, Machine, QueuePointers, Request

__all__ = ["PinMachine"]

EVENT_FIELDS = ("first", "last", "agent", "outcome", "space", "vpn", "id", "seq", "addr", "data")
_POINTERS = ("cq_head", "pq_tail", "free_head", "released_tail", "cqcsr", "completion_tail")


class PinMachine(Machine):
    """The engine as the simulation's top (`Engine`, ports named by Amaranth).

    Parameters
    ----------
    dut : handle of the engine. ports, tags : of its configuration.
    rng : source of all back-pressure. pause : probability with which each AXI channel and each answer port pauses in a cycle.
    watchdog : cycles without an answer, a request or a moved index after which `wait` raises `HangError`.
    on_event, on_request, on_answer, on_write : observers, as those of `FastMachine`.
    responses : (port, tag, code) of every page response that a port got, in order.
    """

    def __init__(self, dut: SimHandleBase, *, ports: int, tags: int, rng: Random, pause: float = 0.2, watchdog: int = 20_000) -> None:
        self.ports, self.tags = ports, tags
        self._dut, self._rng, self._pause, self._watchdog = dut, rng, pause, watchdog
        self._cycle = 0
        self._queues: list[deque[Request]] = [deque() for _ in range(ports)]
        self._issued: dict[tuple[int, int], int] = {}
        self._answers: list[Answer] = []
        self.responses: list[tuple[int, int, int]] = []
        self._pointers = QueuePointers(cq_head=0, pq_tail=0, free_head=0, released_tail=0, cqcsr=0, completion_tail=0)
        self._happened = Event()
        self._deadline: int | None = None
        self._progress = 0
        self.region = FailingRegion()
        self.on_event: Callable[[list[int]], None] | None = None
        self.on_request: Callable[[list[int]], None] | None = None
        self.on_answer: Callable[[list[int]], None] | None = None
        self.on_write: Callable[[int, int, int, int], None] | None = None

    async def start(self) -> None:
        """Clock, reset, bus models and the tasks that drive and watch the pins."""
        dut = self._dut
        dut.rst.value = 1
        for port in range(self.ports):
            self._pin(f"requests__{port}__valid").value = 0
            self._pin(f"answers__{port}__ready").value = 0
        start_soon(Clock(dut.clk, CLOCK_NS, "ns").start())
        attach_memory(dut, "axi", self.region, self._rng, self._pause)
        self._registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "registers_"), dut.clk, dut.rst)
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 2)
        self.bus_checker = BurstChecker(dut, "axi")
        for port in range(self.ports):
            start_soon(self._drive_port(port))
        start_soon(self._watch())

    def _pin(self, name: str) -> SimHandleBase:
        return getattr(self._dut, name)

    # --- Machine ----------------------------------------------------------------------------------------------------

    @property
    def cycle(self) -> int:
        return self._cycle

    def read64(self, address: int) -> int:
        return self.region.word(address)

    def write64(self, address: int, value: int) -> None:
        found = self.region.word(address)
        self.region.set_word(address, value)
        if self.on_write is not None:
            self.on_write(self._cycle, address, value, found)

    def write_register(self, offset: int, value: int) -> None:
        self._registers.init_write(offset, value.to_bytes(4, "little"))

    async def read_register(self, offset: int) -> int:
        """A 32-bit register, over the bus."""
        return int.from_bytes((await self._registers.read(offset, 4)).data, "little")

    def submit(self, request: Request) -> None:
        self._queues[request.port].append(request)
        self._progress = self._cycle

    def pointers(self) -> QueuePointers:
        return self._pointers

    async def wait(self, cycles: int | None = None) -> list[Answer]:
        self._deadline = None if cycles is None else self._cycle + cycles
        self._progress = self._cycle
        await self._happened.wait()
        self._happened.clear()
        answers, self._answers = self._answers, []
        if not answers and self._cycle - self._progress > self._watchdog:
            waiting = sorted(self._issued)
            raise HangError(f"nothing happened for {self._watchdog} cycles, until cycle {self._cycle}; (port, tag) waiting: {waiting}")
        return answers

    # --- pins -------------------------------------------------------------------------------------------------------

    async def _drive_port(self, port: int) -> None:
        """Offer the queue's requests one by one; take answers with random pauses. Pins change right after the rising edge."""
        valid, ready = self._pin(f"requests__{port}__valid"), self._pin(f"requests__{port}__ready")
        payload, answer_ready = self._pin(f"requests__{port}__payload"), self._pin(f"answers__{port}__ready")
        queue, clk = self._queues[port], self._dut.clk
        offered = False
        while True:
            await FallingEdge(clk)
            taken = offered and bool(ready.value)
            await RisingEdge(clk)
            if taken:
                queue.popleft()
            offered = bool(queue)
            valid.value = offered
            if offered:
                request = queue[0]
                payload.value = self._payload(request)
            answer_ready.value = self._rng.random() >= self._pause

    def _payload(self, request: Request) -> int:
        """The request as the port's bits."""
        fields = {"va": request.va, "space": request.space, "access": request.access, "tag": request.tag}
        return pack(messages.Request, fields | {"flags": unpack(messages.FaultFlags, request.flags)})

    async def _watch(self) -> None:
        """Once a cycle, when all has settled: the event first, then the ports, then the indices; the order in which they took effect."""
        dut = self._dut
        while True:
            await FallingEdge(dut.clk)
            await ReadOnly()
            self._cycle += 1
            self.bus_checker.sample()
            if dut.event_valid.value and self.on_event is not None:
                fields = unpack(messages.Event, int(dut.event.value))
                self.on_event([0, self._cycle, *(fields[name] for name in EVENT_FIELDS)])
            for port in range(self.ports):
                self._watch_port(port)
            now = QueuePointers(**{name: int(self._pin(f"status__{name}").value) for name in _POINTERS})
            if now != self._pointers:
                self._pointers, self._progress = now, self._cycle
                self._happened.set()
            if self._answers or self._cycle == self._deadline or self._cycle - self._progress > self._watchdog:
                self._happened.set()

    def _watch_port(self, port: int) -> None:
        response = unpack(messages.PageResponse, int(self._pin(f"responses__{port}").value))
        if response["valid"]:
            self.responses.append((port, response["tag"], response["code"]))
        if self._pin(f"requests__{port}__valid").value and self._pin(f"requests__{port}__ready").value:
            request = self._queues[port][0]
            self._issued[port, request.tag] = self._cycle
            if self.on_request is not None:
                self.on_request([1, self._cycle, port, request.tag, request.va, request.space, request.access, request.flags])
        if self._pin(f"answers__{port}__valid").value and self._pin(f"answers__{port}__ready").value:
            fields = unpack(messages.Answer, int(self._pin(f"answers__{port}__payload").value))
            issued = self._issued.pop((port, fields["tag"]), -1)
            known = {name: fields[name] for name in ("tag", "status", "how", "reason", "pa")}
            self._answers.append(Answer(port=port, issued=issued, cycle=self._cycle, **known))
            self._progress = self._cycle
            if self.on_answer is not None:
                self.on_answer([2, self._cycle, port, *known.values()])

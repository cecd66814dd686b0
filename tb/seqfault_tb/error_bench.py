"""The whole engine on its pins with memory that fails where it is told to, a small address space, requests and commands."""

from collections.abc import Iterable
from itertools import count
from random import Random

from cocotb.handle import SimHandleBase

from seqfault_golden import Checker
from seqfault_rtl import messages
from seqfault_rtl.config import EngineConfig

from .error_memory import POOL, ROOT_NODE, TABLES, FaultyMemory, World
from .fields import unpack
from .kernel import commands as cmd
from .machine import POLICIES, Request
from .queue_pins import COMMAND_LOG2, COMMANDS, FREE, FREE_LOG2, QUEUES, QueuePins

__all__ = ["ALLOW_RETRY", "ATOMIC", "FAULT", "FENCED", "LOAD", "NOWHERE", "OK", "RETRY", "SPACE", "STORE", "ErrorBench"]

LOAD, STORE = 0, 1
OK, RETRY, FAULT = 0, 1, 2
ALLOW_RETRY, ATOMIC = 1, 8
SPACE, SV48 = 3, 9
ZERO_FRAME = 0xB_0000
FENCED = 0x8005_0000
NOWHERE = 0xF000_0000
"""A page where every access fails."""
ZERO, CONTROL = 0x2E0, 0x2E8
UNZEROED = 1 << 8
IDS = count(1, 3)
"""Of the VMAs of each test: sequences are what the test before has left (memories are not reset)."""


class ErrorBench(QueuePins):
    """The golden model checks every step, with bus errors.

    Attributes
    ----------
    adue : hardware sets A and D (from the next `fresh` on). world : where the words of the address space are. checker : the golden model.
    used : frames put into the free ring so far. slowest : cycles from a request to its answer. steps : (first, last, outcome) of all events.
    """

    def __init__(self, dut: SimHandleBase, config: EngineConfig, rng: Random, *, pause: float = 0.1, unzeroed: bool = False, policy: int = 0) -> None:
        super().__init__(dut, ports=config.ports, tags=512, rng=rng, pause=pause)
        self.random, self.region = rng, FaultyMemory()
        self.checker = Checker(
            zero_frame=ZERO_FRAME, spaces=config.spaces, contexts=config.contexts, sequence_entries=config.sequence_entries,
            max_retries=config.max_retries, bus_errors=True, unzeroed=unzeroed, policy=POLICIES[policy],
        )  # fmt: skip
        self._control, self.adue = UNZEROED * unzeroed | policy, False
        self._open: dict[tuple[int, int], tuple[int, int]] = {}
        self._answered: dict[tuple[int, int], dict[str, int]] = {}
        self._tag = self.used = self.slowest = 0
        self.steps: list[tuple[int, int, int]] = []
        self.on_event = self._event
        self.on_request = lambda record: self.checker.request(record[1], *record[2:8])
        self.on_answer = lambda record: self.checker.answer(record[1], *record[2:8])
        self.on_write = self._told

    def expect_agreement(self) -> None:
        assert self.checker.first_difference is None, self.checker.first_difference

    def look_away(self) -> None:
        """From now on the golden model sees nothing."""
        self.on_event = self.on_request = self.on_answer = self.on_write = None

    def _event(self, record: list[int]) -> None:
        first, last, _, outcome = record[2:6]
        self.steps.append((first, last, outcome))
        self.checker.event(record[1], record[2:])

    def _told(self, cycle: int, address: int, value: int, found: int) -> None:
        if address >= TABLES:
            self.checker.software_write(cycle, address, value, found)
        elif FREE <= address < FREE + 4096:
            self.checker.software_frames((value,))

    async def begin(self, *queues: str) -> "ErrorBench":
        """Registers, all queues (but those named) on with interrupts, the space as `World` has it, frames in the ring."""
        await self.start()
        self.region.fail("read", NOWHERE, 4096)
        self.region.fail("write", NOWHERE, 4096)
        self._nowhere, self.world = list(self.region.faults), World(self.read64, self.write64, next(IDS))
        await self.write(ZERO, ZERO_FRAME, 8)
        await self.write(CONTROL, self._control)
        for name in QUEUES:
            if name not in queues:
                await self.turn_on(name)
        if "free" not in queues:
            await self.give_frames(32)
        if "command" not in queues:
            await self.fresh()
        return self

    # --- requests ---------------------------------------------------------------------------------------------------

    def submit_access(self, vpn: int, access: int = STORE, flags: int = ALLOW_RETRY, port: int = 0) -> tuple[int, int]:
        """A request; `answer_of` waits for what comes back."""
        self._tag = (self._tag + 1) % self.tags
        key = port, self._tag
        self._open[key] = vpn, self.cycle
        self.submit(Request(port=port, tag=self._tag, va=vpn << 12 | 0x128, space=SPACE, access=access, flags=flags))
        return key

    async def answer_of(self, key: tuple[int, int]) -> tuple[int, int]:
        """Status and reason. Bounded."""
        await self.until(lambda: key in self._answered, f"the answer to {key}")
        answer = self._answered.pop(key)
        return answer["status"], answer["reason"]

    async def ask(self, vpn: int, access: int = STORE, flags: int = ALLOW_RETRY) -> tuple[int, int]:
        """Both."""
        return await self.answer_of(self.submit_access(vpn, access, flags))

    async def ask_all(self, vpns: Iterable[int], access: int = STORE) -> list[tuple[int, int]]:
        """Several at once, on all ports."""
        keys = [self.submit_access(vpn, access, port=index % self.ports) for index, vpn in enumerate(vpns)]
        return [await self.answer_of(key) for key in keys]

    def _watch_port(self, port: int) -> None:
        if self._pin(f"answers__{port}__valid").value and self._pin(f"answers__{port}__ready").value:
            answer = unpack(messages.Answer, int(self._pin(f"answers__{port}__payload").value))
            key = port, answer["tag"]
            assert key in self._open, f"port {port}: an answer to nobody: {answer}"
            _vpn, since = self._open.pop(key)
            self.slowest = max(self.slowest, self.cycle - since)
            self._answered[key] = answer
        super()._watch_port(port)

    # --- frames -----------------------------------------------------------------------------------------------------

    async def give_frames(self, number: int) -> None:
        """Fresh frames into the free ring."""
        tail = await self.read_register(QUEUES["free"].index)
        for _ in range(number):
            self.write64(FREE + 8 * tail, POOL + self.used)
            self.used, tail = self.used + 1, (tail + 1) % (1 << FREE_LOG2)
        await self.write(QUEUES["free"].index, tail)

    # --- commands ---------------------------------------------------------------------------------------------------

    async def post(self, *commands: cmd.Command) -> int:
        """Put them into the queue; returns the index behind them."""
        for _name, word0, word1 in commands:
            at = COMMANDS + 16 * (self.posted % (1 << COMMAND_LOG2))
            self.region.set_word(at, word0)
            self.region.set_word(at + 8, word1)
            self.posted += 1
        tail = self.posted % (1 << COMMAND_LOG2)
        await self.write(QUEUES["command"].index, tail)
        return tail

    async def run(self, *commands: cmd.Command) -> None:
        """Put them into the queue and wait until they have been executed."""
        tail = await self.post(*commands)
        await self.until(lambda: self.pointers().cq_head == tail, f"the execution of {commands}")

    async def fresh(self) -> None:
        """The space as it was made, and nothing of it in TLBs and caches."""
        table, vmas = cmd.set_table(SPACE, SV48 << 60 | TABLES >> 12, adue=self.adue), cmd.set_vmas(SPACE, ROOT_NODE | 1)
        await self.run(table, vmas, cmd.invalidate_space(SPACE), cmd.fence(FENCED, 1, True))

    def repair(self) -> None:
        """Memory answers again, but for `NOWHERE`."""
        self.region.faults[:] = self._nowhere

    def finish(self) -> None:
        """The golden model agrees with everything, and the bus rules were kept."""
        self.checker.finish(self.read64)
        assert self.checker.agreed, self.checker.first_difference
        self.bus_checker.finish()
        assert not self._open

"""The machine of `seqfault run --engine golden`: the functional engine of the golden model with its memory, rings and registers.

It simulates no hardware: a "cycle" of this machine is one turn, in which one agent takes one step group of the protocol. Turns order things;
their number says nothing about time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from seqfault_golden import Outcome, Safeguard, Step, StepEvent
from seqfault_golden.protocol import POLICIES
from seqfault_golden.replay import Context, Engine
from seqfault_golden.replay import Request as GoldenRequest

from .errors import HangError
from .golden_ports import Ports
from .golden_rings import Rings
from .machine import Answer, Machine, QueuePointers, Request
from .software_rules import SoftwareRules

if TYPE_CHECKING:
    from seqfault_rtl.config import EngineConfig

__all__ = ["GoldenMachine"]

ZERO_FRAME, CONTROL = 0x2E0, 0x2E8
"""Register offsets; the others are the rings'."""
POLICY_MASK, UNZEROED = 3, 1 << 8
"""Fields of `control`; UNZEROED: the frames of the free ring are not zeroed."""
PAGE_BITS = 12
EVENT, REQUEST, ANSWER = 0, 1, 2
WATCHDOG = 2_000_000
Observer = Callable[[list[int]], None]


class GoldenMachine(Machine):
    """An engine in Python, with the golden model's steps.

    Parameters
    ----------
    ports, tags : requester ports, and requests that each may have outstanding.
    strict : also watch every write to a VMA tree (slow).
    seed, contexts, spaces, max_retries, sequence_entries, lock_rounds, mm_lock_patience, zap_chunk, srcu_calls, removed : as of
        `Engine`.

    Attributes
    ----------
    memory : words by address. engine : whose `world` has the roots of the spaces.
    responses : (port, tag, code) of every ATS.PRGR, in order.
    violations : what software did against the contract that no event shows.
    on_event, on_request, on_answer : observers of the merged log, given the record [kind, cycle, fields...]; in order.
    on_write : observer of software writes (cycle, address, value, the value before), before they take effect.
    """

    def __init__(
        self, *, ports: int = 4, tags: int = 8, strict: bool = False, seed: int = 1, removed: frozenset[Safeguard] = frozenset(), **engine: int,
    ) -> None:  # fmt: skip
        self.ports, self.tags = ports, tags
        self.memory: dict[int, int] = {}
        self.on_event: Observer | None = None
        self.on_request: Observer | None = None
        self.on_answer: Observer | None = None
        self.on_write: Callable[[int, int, int, int], None] | None = None
        self._rings = Rings(self.memory)
        self._rules = SoftwareRules(self, strict)
        self._ports = Ports(self.read64, self._reply, self._rules.translated)
        self.engine = self._ports.engine = Engine(self, self._observe, others=(self._ports.turn,), ports=ports, seed=seed, removed=removed, **engine)
        self._registers: dict[int, int] = {}
        self._issued: dict[tuple[int, int], int] = {}
        self._answers: list[Answer] = []
        self.responses: list[tuple[int, int, int]] = []

    @classmethod
    def of(cls, config: "EngineConfig", *, seed: int = 1, strict: bool = False) -> "GoldenMachine":
        """With the parameters of an engine that mean something here."""
        return cls(
            ports=config.ports, tags=config.port_misses, strict=strict, seed=seed, contexts=config.contexts, spaces=config.spaces,
            max_retries=config.max_retries, sequence_entries=config.sequence_entries, lock_rounds=config.lock_rounds,
            mm_lock_patience=config.mm_lock_patience, zap_chunk=config.zap_chunk, srcu_calls=config.srcu_calls,
        )  # fmt: skip

    @property
    def violations(self) -> list[str]:
        return self._rules.violations

    @property
    def free_frames(self) -> list[int]:
        """Frames in the free ring."""
        return self._rings.free_frames

    # --- Machine ----------------------------------------------------------------------------------------------------

    @property
    def cycle(self) -> int:
        return self.engine.turns

    def read64(self, address: int) -> int:
        return self.memory.get(address, 0)

    def write64(self, address: int, value: int) -> None:
        self._rules.software_writes(address, value)
        if self.on_write is not None:
            self.on_write(self.cycle, address, value, self.read64(address))
        self.memory[address] = value

    def write_register(self, offset: int, value: int) -> None:
        self._registers[offset] = value
        if offset in (ZERO_FRAME, ZERO_FRAME + 4):
            self.engine.world.zero_frame = self._registers.get(ZERO_FRAME, 0) | self._registers.get(ZERO_FRAME + 4, 0) << 32
        elif offset == CONTROL:
            self.engine.world.policy = POLICIES[value & POLICY_MASK]
            self.engine.world.unzeroed = bool(value & UNZEROED)
        else:
            self._rings.write_register(offset, value)

    def submit(self, request: Request) -> None:
        key = request.port, request.tag
        if key in self._issued or not 0 <= request.port < self.ports or not 0 <= request.tag < self.tags:
            raise ValueError(f"{request}: no such port and tag, or it is outstanding")
        self._issued[key] = self.cycle
        accepted = GoldenRequest(request.port, request.tag, request.va, request.space, request.access, request.flags)
        if self.on_request is not None:
            self.on_request([REQUEST, self.cycle, *accepted])
        self._ports.submit(accepted)

    def pointers(self) -> QueuePointers:
        return self._rings.pointers()

    async def wait(self, cycles: int | None = None) -> list[Answer]:
        engine, rings = self.engine, self._rings
        end = None if cycles is None else engine.turns + max(cycles, 1)
        limit = engine.turns + WATCHDOG
        rings.moved = False
        while not (self._answers or rings.moved or engine.turns == end):
            if engine.turns >= limit:
                raise HangError(f"no progress for {WATCHDOG} turns, until turn {engine.turns}: {self._waiting()}")
            if engine.turn():
                continue
            due = [turn for turn in (end, engine.wakes_at()) if turn is not None and turn > engine.turns]
            if self._answers or rings.moved:
                break
            if not due:
                raise HangError(f"nothing can happen after turn {engine.turns}: {self._waiting()}")
            engine.wait_until(min(due))
        answers, self._answers = self._answers, []
        return answers

    def _waiting(self) -> str:
        found = [*self.engine.waiting(), *self._ports.waiting()]
        return "; ".join([f"{len(self._issued)} requests are not answered", *found[:4]])

    # --- Outside ----------------------------------------------------------------------------------------------------

    read = read64

    def write(self, address: int, value: int) -> None:
        self.memory[address] = value

    def next_command(self) -> tuple[int, int] | None:
        return self._rings.next_command()

    def command_done(self, interrupts: bool) -> None:
        self._rings.command_done(interrupts)

    def command_refused(self, reason: str) -> None:
        self._rings.command_refused()
        self.violations.append(reason)

    def offered_frame(self) -> int | None:
        return self._rings.offered_frame()

    def consume_frame(self) -> None:
        self._rings.consume_frame()

    def has_room_for_released(self) -> bool:
        return self._rings.has_room_for_released()

    def put_released(self, entry: int, space: int, vpn: int) -> None:
        self._rings.put_released(entry, vpn | space << 48)

    def copy_page(self, source: int, frame: int) -> None:
        """The data of frames is not modelled; but what was a page table has words here, and is none any more."""
        self.zero_page(frame)

    def zero_page(self, frame: int) -> None:
        for address in range(frame << PAGE_BITS, frame + 1 << PAGE_BITS, 8):
            self.memory.pop(address, None)

    def has_room_for_completion(self) -> bool:
        return self._rings.has_room_for_completion()

    def put_completion(self, cookie: int, space: int) -> None:
        self._rings.put_completion(cookie, space)

    def page_response(self, port: int, tag: int, code: int) -> None:
        self.responses.append((port, tag, code))

    def put_page_request(self, context: Context) -> Outcome:
        request = context.request
        assert request is not None
        fetch, store = request.access == 2, request.access == 1
        word0 = context.reason | request.space << 12 | 1 << 32 | fetch << 34 | request.port << 40
        word1 = (not store) | store << 1 | 4 | request.tag << 3 | request.vpn << 12
        return Outcome.OK if self._rings.put_page_request(word0, word1) else Outcome.QUEUE_FULL

    def committed(self, context: Context) -> None:
        assert context.request is not None
        self._ports.keep(context.request.space, context.request.vpn, 0, context.pte)

    def ended(self, context: Context, status: int, how: int, reason: int, pa: int) -> None:
        assert context.request is not None
        self._reply(context.request, status, how, reason, pa)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _observe(self, event: StepEvent) -> None:
        if event.first == Step.INVALIDATE:
            self._ports.invalidate(event.space, event.vpn, event.data)
        elif event.first == Step.FLUSH:
            self._ports.invalidate(event.space, event.vpn, 1)
        self._rules.event(event)
        if self.on_event is not None:
            self.on_event([EVENT, self.cycle, *event])

    def _reply(self, request: GoldenRequest, status: int, how: int, reason: int, pa: int) -> None:
        port, tag = request.port, request.tag
        issued = self._issued.pop((port, tag))
        self._answers.append(Answer(port=port, tag=tag, status=status, how=how, reason=reason, pa=pa, issued=issued, cycle=self.cycle))
        if self.on_answer is not None:
            self.on_answer([ANSWER, self.cycle, port, tag, status, how, reason, pa, issued])

"""Drives a `FaultUnitTop` cycle by cycle and checks every step.

It is the finder, the walker, memory, the page lookup, the mover, the fault-around, the page-request queue, the frame pool, the released ring,
the TLBs, and (`fault_commands.py`) the command unit.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.config import EngineConfig
from seqfault_rtl.messages import (
    ChangeCount,
    Event,
    FaultAnswer,
    FaultRequest,
    WalkOutcome,
)

from .fault_blocks import REQUESTS, World
from .fault_commands import CommandUnit
from .fault_life import VPN_MASK
from .fault_model import POLICIES, FaultContext, FaultModel, show
from .fault_unit_top import CommandDrive, CommandView, FaultStrobes
from .fields import pack, unpack

__all__ = ["FaultBench"]

SETTLE_NS = 1
COMMAND_AGENT = 63


class FaultBench:
    """One simulation. `model` says what must happen; `observe` is called with every event and the context (None: a command).

    Parameters
    ----------
    walked_before : probability that a fault comes with the empty entry that the miss's walk has found.
    pace : probability that a block that has something to do in a cycle does it. released_pace : that the released ring takes a record.
    sweep : the TLBs need so many cycles at most for an invalidation. waited : steps in which a context found that it must wait.
    """

    _clock: Any = None

    def __init__(self, dut: Any, config: EngineConfig, world: World, rng: Random, *, policy: str = "spec", pace: float = 0.5) -> None:
        self.dut, self.world, self.rng, self.pace = dut, world, rng, pace
        self.model = FaultModel(
            contexts=config.contexts, sequence_entries=config.sequence_entries, max_retries=config.max_retries,
            lock_rounds=config.lock_rounds, patience=config.mm_lock_patience,
        )  # fmt: skip
        self.model.policy = policy
        self.commands = CommandUnit(self.model)
        self.faults: deque[dict[str, int]] = deque()
        self.offered: dict[str, int] | None = None
        self.pending: dict[str, list[dict[str, Any]]] = {name: [] for name in REQUESTS}
        self.ready_answers: dict[str, list[tuple[int, Any, dict[str, Any]]]] = {name: [] for name in REQUESTS}
        self.hide_pool = False
        self.observe: Callable[[dict[str, int], FaultContext | None], None] = lambda event, context: None
        self.answers_ready = pace
        self.released_pace, self.sweep, self._sweeping = 1.0, 6, 0
        self.waited = 0
        self.walked_before = 0.0

    async def start(self, mutant: int = 0) -> None:
        """Reset, and take over the sequence counters that earlier tests left behind."""
        dut = self.dut
        self._start_clock()
        await FallingEdge(dut.clk)  # the last cycle of an earlier bench takes effect
        levels = ("faults__valid", "want", "command", "frame_available", "flushing", "released_ready", "enter_bank")
        for name in (*levels, *(f"{port}__valid" for _, _, port, _, _ in REQUESTS.values())):
            getattr(dut, name).value = 0
        dut.zero_frame.value = self.model.zero_frame
        dut.policy.value = POLICIES[self.model.policy]
        dut.unzeroed.value = self.model.unzeroed
        dut.mutant.value = mutant
        dut.rst.value = 1
        for entry in range(self.model.entries):
            await FallingEdge(dut.clk)
            dut.command.value = pack(CommandDrive, {"writer_id": entry})
            await Timer(SETTLE_NS, unit="ns")
            view = unpack(CommandView, int(dut.view.value))
            assert (view["idle"], view["unread"]) == (1, 1), f"an earlier test left sequence counter {entry} in use"
            self.model.generation[entry] = view["following"] >> 1
        dut.rst.value = 0

    def _start_clock(self) -> None:
        """One clock per cocotb test, whatever the number of benches in it."""
        if FaultBench._clock is None or FaultBench._clock.done():
            FaultBench._clock = Clock(self.dut.clk, 10, unit="ns").start()

    async def cycle(self) -> None:
        """One clock cycle: drive after the falling edge, check what has settled."""
        dut, model = self.dut, self.model
        await FallingEdge(dut.clk)
        model.cycle += 1
        await self._drive_faults()
        for name in REQUESTS:
            self._serve(name)
        self._drive_levels()
        dut.answers__ready.value = self.rng.random() < self.answers_ready
        dut.want.value = self.commands.wants()
        dut.command.value = pack(CommandDrive, self.commands.levels())
        await Timer(SETTLE_NS, unit="ns")
        if dut.grant.value:
            done = self.commands.granted(unpack(CommandView, int(dut.view.value)))
            if done:
                dut.command.value = pack(CommandDrive, done)
                await Timer(SETTLE_NS, unit="ns")
        self._check()

    async def run(self, cycles: int, until: Callable[[], bool] | None = None) -> None:
        """Run until `until`, by default until nothing is left to do.

        Raises AssertionError after `cycles` cycles.
        """
        until = until or self.idle
        for _ in range(cycles):
            if until():
                return
            await self.cycle()
        stuck = {agent: c.trail[-6:] for agent, (c, _) in self.model.running.items()}
        raise AssertionError(f"not done after {cycles} cycles: {stuck}, {len(self.model.accepted)} not begun, {self.commands.queue}")

    def idle(self) -> bool:
        """Everything was answered and done."""
        model = self.model
        busy = self.faults or self.offered or model.accepted or model.running or self.commands.queue or any(model.outputs.values())
        return not (busy or any(self.pending.values()) or any(self.ready_answers.values()) or int(self.dut.pinned.value))

    def check_at_rest(self) -> None:
        """After `run`: nothing is held, and every fault has exactly one answer."""
        model = self.model
        assert self.idle()
        assert int(self.dut.pinned.value) == 0
        assert not [*model.locks, *model.mm_writer, *(reader for readers in model.mm_readers.values() for reader in readers)]
        assert not any([*model.readers, *model.writers])
        requesters = [(c.accepted, c.request["port"], c.request["tag"]) for c, _ in model.answered]
        assert len(set(requesters)) == len(requesters) > 0

    # --- one cycle --------------------------------------------------------------------------------------------------

    def _drive_levels(self) -> None:
        """What the frame pool, the released ring, the TLBs and SRCU say."""
        dut, model, rng = self.dut, self.model, self.rng
        model.available = bool(model.pool) and not self.hide_pool
        model.released_ready = rng.random() < self.released_pace
        model.flushing, self._sweeping = self._sweeping > 0, max(self._sweeping - 1, 0)
        model.enter_bank = rng.getrandbits(1)
        if not model.flushing:
            model.flushed()
        dut.frame_available.value = model.available
        dut.frame.value = model.pool[0] if model.available else 0
        for name in ("released_ready", "flushing", "enter_bank"):
            getattr(dut, name).value = int(getattr(model, name))

    async def _drive_faults(self) -> None:
        if self.offered is None and self.faults and self.rng.random() < self.pace:
            self.offered = self.faults.popleft()
            if self.offered.pop("walked", self.rng.random() < self.walked_before):
                await self._take_walk(self.offered)
            self.dut.faults__payload.value = pack(FaultRequest, self.offered)
        self.dut.faults__valid.value = self.offered is not None

    async def _take_walk(self, fault: dict[str, Any]) -> None:
        """The miss's walk ends now, at an empty entry if that is what is there."""
        walked = self.world.walk(fault)
        if (walked["outcome"], walked["level"], walked["pte"]) == (WalkOutcome.NONE.value, 0, 0):
            self.dut.miss_vpn.value = fault["vpn"] & VPN_MASK
            await Timer(SETTLE_NS, unit="ns")
            fault |= {"empty": 1, "pte_addr": walked["pte_addr"], "changes": unpack(ChangeCount, int(self.dut.miss_changes.value))}
            self.model.note_walk(fault)

    def _serve(self, name: str) -> None:
        """Work on this port's requests, drive its answer and its ready."""
        dut, rng = self.dut, self.rng
        _, kind, port, shape, field = REQUESTS[name]
        pending, done = self.pending[name], self.ready_answers[name]
        if pending and rng.random() < self.pace:
            request = rng.choice(pending) if name != "write__request" else pending[0]
            answer = self._work(kind, request)
            if answer is not None:
                pending.remove(request)
                done.append((request[field], *answer))
        send = bool(done) and rng.random() < self.pace
        getattr(dut, f"{port}__valid").value = send
        if send:
            agent, content, fields = done.pop(rng.randrange(len(done)))
            getattr(dut, f"{port}__payload").value = pack(shape, fields | {field: agent})
            self.model.deliver(agent, kind, content)
        getattr(dut, f"{name}__ready").value = rng.random() < self.pace

    def _work(self, kind: str, request: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        """What the block finds, and the fields of its answer; None: it needs another cycle."""
        if kind == "find" and "seq" not in request:  # first the sequence, at a later time the record
            request["seq"] = self.model.sequence(self.world.find_id(request))
            return None
        if self.world.holds(kind):
            return None
        if kind == "find":
            found = self.world.find(request) | {"seq": request["seq"]}
            return found, found
        if kind == "walk":
            walked = self.world.walk(request)
            return walked, {name: value for name, value in walked.items() if name != "pte"} | {"pte": _split_pte(walked["pte"])}
        if kind == "write":
            there, must = self.world.entry(request["addr"]), self.model.running[request["tag"]][0].overwrites
            assert there == must, f"{request['data']:#x} is written over {there:#x}, not over {must:#x}"
            error = self.world.write(request["addr"], request["data"])
            return error, {"error": error}
        if kind == "move":
            return self._move(request)
        if kind in ("look", "around"):
            answer = getattr(self.world, kind)(request)
            return answer, answer
        outcome = self.world.queue(request)
        return outcome, {"outcome": outcome}

    def _move(self, request: dict[str, int]) -> tuple[bool, dict[str, Any]]:
        error, contents = self.world.move(request), self.model.contents
        copied = contents.get(request["source"], request["source"]) if request["operation"] else 0
        contents[request["target"]] = "nothing sensible" if error else copied
        return error, {"error": error}

    def _check(self) -> None:
        dut, model = self.dut, self.model
        pinned = sum(1 << agent for agent in model.pinned)
        assert int(dut.pinned.value) == pinned, f"pinned {int(dut.pinned.value):#x} instead of {pinned:#x}"
        model.strobes = {}
        if self.offered is not None and dut.faults__ready.value:
            model.accepted.append((model.cycle, self.offered))
            self.offered = None
        strobes = unpack(FaultStrobes, int(dut.strobes.value))
        stepping, agent = strobes.pop("stepping"), strobes.pop("step_agent")
        if stepping:
            model.may_step(agent)
            self.waited += not dut.event_valid.value
        command_event = self.commands.take_event()
        context = None
        if dut.event_valid.value:
            event = unpack(Event, int(dut.event.value))
            if event["agent"] == COMMAND_AGENT:
                model.commands += 1
                assert event == command_event, f"command event {show(event)}"
            else:
                assert command_event is None, "two steps in one cycle"
                context = model.step(event)
            self.observe(event, context)
        else:
            assert command_event is None, "the command's event is lost"
        self._check_strobes(strobes)
        if model.invalidated:
            model.invalidated, self._sweeping = False, self.rng.randrange(self.sweep + 1)
        for name, (payload, _, _, _, _) in REQUESTS.items():
            if getattr(dut, f"{name}__valid").value and getattr(dut, f"{name}__ready").value:
                self.pending[name].append(self._check_output(name.removesuffix("__request"), payload))
        if dut.answers__valid.value and dut.answers__ready.value:
            self._check_output("answers", FaultAnswer)

    def _check_strobes(self, strobes: dict[str, Any]) -> None:
        expected = self.model.strobes
        values_with = {
            "frame_give": ["frame_back"], "fill": ["fill_port", "fill_record"], "count_abort": ["abort_reason"], "leave": ["leave_bank"],
            "flush": ["flush_record"], "release": ["release_record"],
        }  # fmt: skip
        compared = [name for name in strobes if all(name not in values for values in values_with.values())]
        for strobe, values in values_with.items():
            compared += values if expected.get(strobe) else []
        if expected.get("fill"):
            strobes["fill_record"]["pte"] = pack_pte(strobes["fill_record"]["pte"])
        for name in compared:
            must = expected.get(name, 0)
            assert strobes[name] == must, f"{name} is {strobes[name]}, must be {must}; step {self.model.strobes}"

    def _check_output(self, name: str, shape: Any) -> dict[str, Any]:
        given = unpack(shape, int(getattr(self.dut, f"{name}__request__payload" if name == "write" else f"{name}__payload").value))
        queue = self.model.outputs[name]
        assert queue, f"{name}: nothing was to come, but {given}"
        expected = queue.popleft()
        expected |= {field: given[field] for field, value in expected.items() if value is None}
        assert given == expected, f"{name}: is {given}, must be {expected}"
        return given


PTE_FIELDS = {"v": 0, "r": 1, "w": 2, "x": 3, "u": 4, "g": 5, "a": 6, "d": 7, "rsw": 8, "ppn": 10, "reserved": 54, "pbmt": 61, "n": 63}
PTE_WIDTHS = {"rsw": 2, "ppn": 44, "reserved": 7, "pbmt": 2}


def _split_pte(pte: int) -> dict[str, int]:
    """The fields of a page-table entry. [Priv 12.4.1]"""
    return {name: pte >> low & (1 << PTE_WIDTHS.get(name, 1)) - 1 for name, low in PTE_FIELDS.items()}


def pack_pte(fields: dict[str, int]) -> int:
    """A page-table entry from its fields."""
    return sum(value << PTE_FIELDS[name] for name, value in fields.items())

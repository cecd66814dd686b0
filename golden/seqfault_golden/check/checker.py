"""The checker: takes one ordered stream of what software and the engine did, and accepts it or names the first step that is not allowed."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from functools import partial
from typing import Any

from ..layout import COMMAND_UNIT, UPDATE_AGENT, How, Outcome, Status, Step
from ..protocol.world import NotAllowed
from . import software
from .answers import Answers
from .invariants import check_quiescence
from .promises import PageRequests, SrcuCalls
from .readers import reader_event
from .state import Fault, State
from .tally import Tally
from .update_steps import update_event
from .writers import writer_event

__all__ = ["Checker"]

OWN_TRAIL = 12
"""Steps of the same agent shown with a difference."""
OTHERS_TRAIL = 8
"""Steps of all others shown with it."""
_HOUSEKEEPING = 256
"""Ticks between two prunings of the past."""
_SOFTWARE, _PORTS = "software", "ports"


class Checker:
    """Checks one run. Call its methods in the order in which things took effect; after the first difference it ignores everything.

    Parameters
    ----------
    max_retries, sequence_entries, spaces, contexts : the engine's, as `EngineConfig`.
    policy : "spec", "vma-lock" or "mm-lock".
    zero_frame : PPN of the shared zero frame.
    initial_free_frames : PPNs in the free ring from the start.
    bus_errors : the test injects bus errors; otherwise any BUS_ERROR is a difference.
    unzeroed : the frames of the free ring are not zeroed, the engine does it (`control.unzeroed`).
    check_requests : a fault's R0 must name an outstanding request, a request needs an answer; off for a fault unit without its translator.

    Attributes
    ----------
    steps_checked : protocol steps that were compared and allowed.
    first_difference : what was not allowed, with the steps before it; None: nothing so far.
    tally : what the engine's counters must say.

    Raises
    ------
    ValueError : a parameter is out of its range.
    """

    def __init__(
        self, *, max_retries: int = 3, sequence_entries: int = 1024, policy: str = "spec", zero_frame: int = 0, spaces: int = 64,
        contexts: int = 16, initial_free_frames: Iterable[int] = (), bus_errors: bool = False, check_requests: bool = True, unzeroed: bool = False,
    ) -> None:  # fmt: skip
        self.state = State(
            max_retries=max_retries, sequence_entries=sequence_entries, policy=policy, zero_frame=zero_frame, spaces=spaces,
            contexts=contexts, bus_errors=bus_errors, unzeroed=unzeroed,
        )  # fmt: skip
        self._answers = Answers(self.state)
        self._calls = SrcuCalls()
        self._page_requests = PageRequests(self.state.faults)
        self._check_requests = check_requests
        self._trails: dict[object, deque[tuple[int, int, Sequence[Any]]]] = {
            key: deque(maxlen=OWN_TRAIL) for key in (*range(contexts), COMMAND_UNIT, UPDATE_AGENT, _SOFTWARE, _PORTS)
        }
        self._cycle = 0
        self._finished = False
        self.steps_checked = 0
        self.tally = Tally()
        self.first_difference: str | None = None
        if frames := list(initial_free_frames):
            self.software_frames(frames)

    @property
    def agreed(self) -> bool:
        """The run is finished, at least one step was compared, and none differed."""
        return self._finished and self.steps_checked > 0 and self.first_difference is None

    # --- the stream -------------------------------------------------------------------------------------------------

    def software_write(self, cycle: int, address: int, value: int, found: int | None = None) -> None:
        """Software wrote a 64-bit word of a page table, a VMA node or record, at a byte address.

        `found` : what was there, as an atomic operation tells. Without it, this is taken to be what golden knows; while an A/D update of the entry
        is under way, that it has not happened yet.
        """
        before = () if found is None else (found,)
        self._tell(cycle, _SOFTWARE, "write", partial(software.software_write, self.state), address, value, *before)

    def software_frames(self, frames: Iterable[int]) -> None:
        """Software put these frames (PPNs) into the free ring; call it before the ring's tail moves."""
        self._tell(self._cycle, _SOFTWARE, "frames", lambda *frames: software.software_frames(self.state, list(frames)), *frames)

    def event(self, cycle: int, event: Sequence[int]) -> None:
        """One event of the event port: `StepEvent`, or any sequence of its ten ints."""
        if self.first_difference is not None:
            return
        state = self.state
        state.now += 1
        self._cycle = cycle
        agent = event[2]
        trail = self._trails.get(agent)
        if trail is None:
            trail = self._trails[agent] = deque(maxlen=OWN_TRAIL)
        trail.append((state.now, cycle, event))
        try:
            if agent == COMMAND_UNIT:
                self._writer(event)
            elif agent == UPDATE_AGENT:
                self._update(event)
            elif agent < len(state.faults):
                self._reader(event)
            else:
                raise NotAllowed(f"there is no context {agent}")
        except NotAllowed as reason:
            self._differ(agent, reason)
            return
        self.steps_checked += event[1] - event[0] + 1
        if state.now % _HOUSEKEEPING == 0:
            self._forget()

    def request(self, cycle: int, port: int, tag: int, va: int, space: int, access: int, flags: int) -> None:
        """A port accepted a request."""
        self._tell(cycle, _PORTS, "request", self._answers.request, port, tag, va, space, access, flags)

    def answer(self, cycle: int, port: int, tag: int, status: int, how: int, reason: int, pa: int) -> None:
        """A port received an answer."""
        self._tell(cycle, _PORTS, "answer", self._answers.answer, port, tag, status, how, reason, pa)

    def srcu_completed(self, cycle: int, cookie: int) -> None:
        """Software found the cookie of an SRCU.CALL in the completion ring."""
        self._tell(cycle, _SOFTWARE, "srcu completed", self._calls.completed, cookie)

    def counters(self, registers: Mapping[str, int]) -> None:
        """The engine's counters, read when no fault was running; by the names of `Tally.registers`."""
        if self.first_difference is None and (wrong := self.tally.difference(registers)):
            self.first_difference = wrong

    def finish(self, read_word: Callable[[int], int]) -> None:
        """The run is over and drained; `read_word` gives the 64-bit word at a byte address as memory has it."""
        if self.first_difference is None:
            try:
                check_quiescence(self.state, self._answers, read_word)
                self._calls.check_all_back()
            except NotAllowed as reason:
                self.first_difference = f"at the end (cycle {self._cycle}): {reason}\n{self._others(None)}".rstrip()
        self._finished = True

    # --- inside -----------------------------------------------------------------------------------------------------

    def _writer(self, event: Sequence[int]) -> None:
        writer_event(self.state, event)
        self.tally.writer(event)
        step, _, _, outcome, space, vpn, number, _, _, data = event
        if step == Step.INVALIDATE:
            self._answers.invalidate(space, vpn, data)
        elif step == Step.SRCU_CALL and outcome == Outcome.OK:
            self._calls.called(data)
        elif step == Step.PAGE_RESPONSE:
            self._page_requests.responded(space, number, vpn)

    def _update(self, event: Sequence[int]) -> None:
        update_event(self.state, event, self._answers.oldest() or 0)
        if self._check_requests and (update := self.state.update) is not None:
            self._answers.update_began(update)

    def _reader(self, event: Sequence[int]) -> None:
        fault = self.state.faults[event[2]]
        first = event[0]
        known, reason = fault.known, fault.reason
        reader_event(self.state, fault, event)
        self.tally.reader(self._cycle, event, fault, reason)
        if first == Step.FLUSH and event[3] == Outcome.OK:
            self._answers.invalidate(fault.space, fault.vpn, 1)
        self._keep_promises(fault, event, known)
        if not self._check_requests:
            return
        if first == Step.R0:
            self._answers.fault_began(fault)
        elif first == Step.R18 and event[3] == Outcome.OK:
            self._answers.fault_concluded(fault, Status.OK, Outcome.OK, known)
        elif first == Step.ANSWER:
            self._answers.fault_concluded(fault, event[9] & 3, event[3], known)

    def _keep_promises(self, fault: Fault, event: Sequence[int], named: bool) -> None:
        step, outcome = event[0], event[3]
        if step == Step.R0:
            self._calls.began(fault.agent)
        elif step == Step.ANSWER or (step == Step.R18 and outcome == Outcome.OK):
            self._calls.ended(fault.agent)
        elif step == Step.HANDOVER:
            self._page_requests.handed_over(fault, named, outcome)

    def _tell(self, cycle: int, agent: str, what: str, judge: Callable[..., None], *values: int) -> None:
        """Something besides the engine's steps happened."""
        if self.first_difference is not None:
            return
        self.state.now += 1
        self._cycle = cycle
        self._trails[agent].append((self.state.now, cycle, (what, *values)))
        if self.state.now % _HOUSEKEEPING == 0:
            self._forget()
        try:
            judge(*values)
        except NotAllowed as reason:
            self._differ(agent, reason)

    def _forget(self) -> None:
        """Drop the past that no running attempt and no outstanding request reaches back to."""
        oldest = self._answers.oldest()
        request_tick = self.state.now if oldest is None else oldest
        ticks = [fault.began for fault in self.state.faults if fault.known]
        self._answers.forget(request_tick)
        self.state.memory.forget(min([request_tick, *ticks]))

    # --- the report -------------------------------------------------------------------------------------------------

    def _differ(self, agent: object, reason: NotAllowed) -> None:
        own = list(self._trails[agent])
        lines = [f"cycle {self._cycle}: {_show(own[-1][2])} is not allowed: {reason}"]
        if len(own) > 1:
            lines.append("before it, of the same agent:")
            lines += [f"  cycle {cycle}: {_show(record)}" for _, cycle, record in own[:-1]]
        self.first_difference = "\n".join([*lines, self._others(agent)]).rstrip()

    def _others(self, agent: object) -> str:
        records = sorted(entry for key, trail in self._trails.items() if key != agent for entry in ((t, c, _show(r)) for t, c, r in trail))
        if not records:
            return ""
        return "\n".join(["before it, of others:", *(f"  cycle {cycle}: {text}" for _, cycle, text in records[-OTHERS_TRAIL:])])


def _show(record: Sequence[Any]) -> str:
    """One line for a step, a write, a request or an answer."""
    if isinstance(record[0], str):
        name, *numbers = record
        if name == "answer":
            port, tag, status, how, reason, pa = numbers
            names = (_name(Status, status), _name(How, how), _name(Outcome, reason))
            return f"answer port {port} tag {tag} {' '.join(names)} pa {pa:#x}"
        return f"{name} " + " ".join(f"{number:#x}" for number in numbers[:12])
    first, last, agent, outcome, space, vpn, vma_id, seq, addr, data = record
    steps = _name(Step, first) if first == last else f"{_name(Step, first)}-{_name(Step, last)}"
    who = {COMMAND_UNIT: "command unit", UPDATE_AGENT: "A/D updates"}.get(agent, f"context {agent}")
    fields = {"space": space, "vpn": vpn, "id": vma_id, "seq": seq, "addr": addr, "data": data}
    shown = " ".join(f"{name} {value:#x}" for name, value in fields.items() if value)
    return f"{steps} {_name(Outcome, outcome)} of {who} {shown}".rstrip()


def _name(names: type[IntEnum], number: int) -> str:
    try:
        return names(number).name
    except ValueError:
        return str(number)

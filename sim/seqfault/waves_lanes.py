"""The timeline as lanes, as plain data for the page: a lane of each fault, lanes of what the command unit and the A/D updates held."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from seqfault_golden.layout import COMMAND_UNIT, UPDATE_AGENT
from seqfault_rtl.messages import AnswerStatus, Step

from .timeline import begin_fields, event_detail, event_sequence
from .waves import WaveEvent
from .waves_faults import ends_fault

__all__ = ["OUTCOME_CLASSES", "FaultLane", "Span", "fault_lanes", "other_lanes", "step_row"]

OUTCOME_CLASSES = ("speculative", "retried", "classic", "software", "refused", "partial")
"""How a fault ended, as `run` counts them; `partial`: its beginning or its end is not among the events."""
MAX_ROWS = 6
"""Spans that overlap are put into so many rows; what does not fit goes into the last one."""
OPENS = {Step.MM_LOCK: Step.MM_UNLOCK, Step.SEQ_BEGIN: Step.SEQ_END, Step.PTE_LOCK: Step.PTE_UNLOCK, Step.AD_LOCK: Step.AD_UPDATE}
LANES = {
    Step.MM_LOCK: "mm locks", Step.SEQ_BEGIN: "sections", Step.PTE_LOCK: "PTE locks", Step.AD_LOCK: "A/D updates",
    Step.PTE_CLEAR: "ZAP, PROTECT", Step.PTE_PROTECT: "ZAP, PROTECT", Step.INVALIDATE: "invalidations",
}  # fmt: skip
OTHER_COMMANDS = "other commands"
ORDER = ("mm locks", "sections", "PTE locks", "ZAP, PROTECT", "invalidations", OTHER_COMMANDS, "A/D updates")


@dataclass(kw_only=True, slots=True)
class FaultLane:
    """One fault: its events by their places in the list, and for each the attempt (from 0) it belongs to."""

    number: int
    context: int
    events: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    access: str = ""
    va: int = 0
    space: int = 0
    outcome: str = "partial"

    def record(self) -> dict[str, Any]:
        """For the page."""
        return {
            "n": self.number, "ctx": self.context, "events": self.events, "attempts": self.attempts, "access": self.access, "va": f"{self.va:#x}",
            "space": self.space, "outcome": self.outcome,
        }  # fmt: skip


@dataclass(kw_only=True, slots=True)
class Span:
    """What was held from the cycle of event `first` to that of event `last` (None: to the end); places of events. A point has the same twice."""

    lane: str
    first: int
    last: int | None
    label: str
    row: int = 0


def fault_lanes(events: Sequence[WaveEvent]) -> list[FaultLane]:
    """The lanes of the faults, in the order of their numbers."""
    lanes: dict[int, FaultLane] = {}
    started: dict[int, tuple[int, bool]] = {}
    for place, event in enumerate(events):
        if not event.fault:
            continue
        lane = lanes.setdefault(event.fault, FaultLane(number=event.fault, context=event.agent, va=event.va, space=event.space))
        if event.covers(Step.R0):
            lane.access, attempt, classic = begin_fields(event)
            started[event.fault] = attempt, classic
        lane.events.append(place)
        lane.attempts.append(started.get(event.fault, (0, False))[0] + (event.first == Step.MM_READ_LOCK.value and event.fault in started))
        if ends_fault(event) and event.fault in started:
            lane.outcome = _outcome(event, *started[event.fault])
    return [lanes[number] for number in sorted(lanes)]


def _outcome(event: WaveEvent, attempt: int, classic: bool) -> str:
    """[contract, Requests and answers: `how`]"""
    status = event.data & 3 if event.last == Step.ANSWER.value else AnswerStatus.OK.value
    if status != AnswerStatus.OK.value:
        return "software" if status == AnswerStatus.RETRY.value else "refused"
    if classic:
        return "classic"
    return "retried" if attempt else "speculative"


def other_lanes(events: Sequence[WaveEvent]) -> list[dict[str, Any]]:
    """The lanes of commands and A/D updates, each with its number of rows; without those in which nothing is."""
    spans = _spans(events)
    lanes = []
    for name in ORDER:
        here = [span for span in spans if span.lane == name]
        rows = _into_rows(here, events)
        if here:
            lanes.append({"name": name, "rows": rows, "spans": [[span.first, span.last, span.label, span.row] for span in here]})
    return lanes


def _spans(events: Sequence[WaveEvent]) -> list[Span]:
    spans: list[Span] = []
    running: dict[tuple[Step, int], Span] = {}
    closes = {end: begin for begin, end in OPENS.items()}
    for place, event in enumerate(events):
        if event.agent not in (COMMAND_UNIT, UPDATE_AGENT):
            continue
        step = Step(event.first) if event.first in Step._value2member_map_ else None
        if step in closes:
            begin = closes[step]
            span = running.pop((begin, _held(begin, event)), None) or Span(lane=LANES[begin], first=place, last=place, label=_label(begin, event))
            if span.last == place:
                spans.append(span)
            span.last = place
        elif step in OPENS and not event.outcome:
            span = Span(lane=LANES[step], first=place, last=None, label=_label(step, event))
            running[step, _held(step, event)] = span
            spans.append(span)
        else:
            lane = LANES.get(step, OTHER_COMMANDS) if step else OTHER_COMMANDS
            spans.append(Span(lane=lane, first=place, last=place, label=event.steps))
    return spans


def _held(step: Step, event: WaveEvent) -> int:
    """What is held from this step on: an mm, a VMA, a table; of A/D updates there is one at a time."""
    return {Step.MM_LOCK: event.space, Step.SEQ_BEGIN: event.space << 16 | event.id, Step.PTE_LOCK: event.addr}.get(step, 0)


def _label(step: Step, event: WaveEvent) -> str:
    return {
        Step.MM_LOCK: f"mm {event.space}", Step.SEQ_BEGIN: f"VMA {event.id}", Step.PTE_LOCK: f"table {event.addr:#x}", Step.AD_LOCK: f"{event.va:#x}",
    }[step]  # fmt: skip


def _into_rows(spans: Iterable[Span], events: Sequence[WaveEvent]) -> int:
    """Give spans that overlap different rows; returns how many there are."""
    free: list[float] = []
    """Of each row, from which cycle on it is free."""
    for span in spans:
        begin, end = events[span.first].cycle, float("inf") if span.last is None else events[span.last].cycle + 1
        row = next((row for row, since in enumerate(free) if since <= begin), len(free))
        span.row = min(row, MAX_ROWS - 1)
        if span.row == len(free):
            free.append(end)
        free[span.row] = max(free[span.row] if row != span.row else 0, end)
    return len(free)


def step_row(event: WaveEvent) -> list[Any]:
    """An event for the page: cycle, agent, fault, steps, outcome, VMA id, sequence, detail."""
    return [event.cycle, event.agent, event.fault, event.steps, event.outcome_name, event.id, event_sequence(event), event_detail(event)]

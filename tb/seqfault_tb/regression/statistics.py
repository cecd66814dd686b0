"""What a run measures: latencies by kind of fault, failed attempts by step, how busy the engine was, and the slowest faults with their events."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import Any

from seqfault_golden import Outcome, Step
from seqfault_golden.layout import COMMAND_UNIT, UPDATE_AGENT

from .fault_kinds import FaultStory, tell
from .occupancy import Occupancy, merge_occupancy
from .slow_faults import MEANWHILE, SLOWEST, SlowFaults
from .watch import Watcher

__all__ = ["Statistics", "binned", "merge_statistics"]

R18, ANSWER, MM_READ_UNLOCK = int(Step.R18), int(Step.ANSWER), int(Step.MM_READ_UNLOCK)
EXACT_BITS = 11
"""Latencies below 2^11 cycles are kept as they are, others to 11 significant bits: rounded down by less than 0.1 %."""
SUMS = ("translated", "aborts", "waits", "reasons", "commands", "updates", "busy")
"""Parts of a result that are added up as they are."""


class Statistics(Watcher):
    """Per event it appends to a list or counts; a fault is classified when it has ended. Its result is bounded: see `result`."""

    name = "statistics"

    def __init__(self) -> None:
        self._open: dict[int, list[list[int]]] = {}
        self._requests: dict[int, list[int]] = {}
        self._answered: dict[int | tuple[int, int], str] = {}
        self._kinds: dict[str, _Kind] = defaultdict(_Kind)
        self._translated: Counter[int] = Counter()
        self._aborts: Counter[tuple[int, int, bool]] = Counter()
        self._waits = 0
        self._reasons: Counter[tuple[str, int]] = Counter()
        self._commands: Counter[int] = Counter()
        self._updates: Counter[int] = Counter()
        self._occupancy = Occupancy()
        self._slow = SlowFaults()
        self._recent: deque[list[int]] = deque(maxlen=MEANWHILE)

    def event(self, record: list[int]) -> None:
        agent, last = record[4], record[3]
        if agent < UPDATE_AGENT:
            events = self._open.get(agent)
            if events is None:
                if last == MM_READ_UNLOCK:  # after the answer of a classic fault
                    return
                events = self._open[agent] = []
                self._occupancy.contexts(record[1], 1)
            events.append(record)
            if last == ANSWER or (last == R18 and record[5] == 0):
                del self._open[agent]
                self._end(events)
        elif agent == COMMAND_UNIT:
            self._commands[last] += 1
            self._recent.append(record)
            self._occupancy.count(record[1], "commands")
        else:
            self._updates[last << 8 | record[5]] += 1

    def _end(self, events: list[list[int]]) -> None:
        began, cycle = events[0][1], events[-1][1]
        self._occupancy.contexts(cycle, -1)
        self._occupancy.count(cycle, "faults")
        story = tell(events)
        kind = self._kinds[story.kind]
        kind.latency[cycle - began] += 1
        kind.how[story.how] += 1
        kind.attempts[story.attempts] += 1
        self._count_failures(story)
        key = story.key
        self._answered[(events[0][6], events[0][7]) if key is None else key] = story.kind
        if self._slow.takes(cycle - began):
            request = None if key is None else self._requests.get(key)
            self._slow.add(events, story, request, self._recent)

    def _count_failures(self, story: FaultStory) -> None:
        self._waits += story.waits
        ended = story.how in ("software", "refused")
        if ended:
            self._reasons[story.how, story.reason] += 1
        final = len(story.failures) - 1 if ended else -1
        for number, (step, outcome) in enumerate(story.failures):
            self._aborts[step, outcome, number == final] += 1

    def request(self, record: list[int]) -> None:
        key = _key(record)
        if key not in self._requests:  # else it was withdrawn
            self._occupancy.requests(record[1], 1)
        self._requests[key] = record

    def answer(self, record: list[int]) -> None:
        key, cycle = _key(record), record[1]
        request = self._requests.pop(key, None)
        kind = self._answered.pop(key, None)
        if request is not None:
            self._occupancy.requests(cycle, -1)
            if kind is None:
                kind = self._answered.pop((request[5], _vpn(request[4])), None)
        if kind is not None:
            self._kinds[kind].at_port[cycle - record[8]] += 1
        else:
            self._translated[cycle - record[8]] += 1

    def result(self) -> dict[str, Any]:
        """For JSON.

        kinds : {kind: {"how": {...: faults}, "attempts": {number: faults}, "latency": {cycles: faults} from the fault's first event to that of its
            answer, "at_port": {cycles: answers} from the request's acceptance to its answer, "max": [of latency, of at_port], exact}}.
        translated : {cycles: answers} at the port, without a fault. aborts : {"R2 ODD": {"retried": n, "ended": n}}, attempts by the step that
            failed, and whether that ended the fault. waits : {"PTL_WAIT": n}. reasons : {"software" | "refused": {outcome: faults}}.
        commands : {step of the command unit: n}. updates : {"AD_UPDATE OK": n}. occupancy : see `Occupancy.result`. busy : {contexts: cycles}.
        slowest : see `SlowFaults.result`.
        """
        aborts: dict[str, dict[str, int]] = defaultdict(lambda: {"retried": 0, "ended": 0})
        for (step, outcome, final), count in self._aborts.items():
            aborts[f"{Step(step).name} {Outcome(outcome).name}"]["ended" if final else "retried"] += count
        reasons: dict[str, dict[str, int]] = {"software": {}, "refused": {}}
        for (how, reason), count in self._reasons.items():
            reasons[how][Outcome(reason).name] = count
        return {
            "kinds": {name: kind.result() for name, kind in self._kinds.items()},
            "translated": binned(self._translated), "aborts": dict(aborts), "waits": {"PTL_WAIT": self._waits}, "reasons": reasons,
            "commands": {Step(step).name: count for step, count in self._commands.items()},
            "updates": {f"{Step(key >> 8).name} {Outcome(key & 255).name}": count for key, count in self._updates.items()},
            "occupancy": self._occupancy.result(), "busy": {str(level): cycles for level, cycles in sorted(self._occupancy.levels.items())},
            "slowest": self._slow.result(),
        }  # fmt: skip


class _Kind:
    """Counters of one kind of fault."""

    def __init__(self) -> None:
        self.latency: Counter[int] = Counter()
        self.at_port: Counter[int] = Counter()
        self.how: Counter[str] = Counter()
        self.attempts: Counter[int] = Counter()

    def result(self) -> dict[str, Any]:
        return {
            "how": dict(self.how), "attempts": {str(number): count for number, count in sorted(self.attempts.items())},
            "latency": binned(self.latency), "at_port": binned(self.at_port),
            "max": [max(self.latency, default=0), max(self.at_port, default=0)],
        }  # fmt: skip


def _key(record: list[int]) -> int:
    """Port and tag of a request or an answer, as R0 has them."""
    return record[2] | record[3] << 8


def _vpn(va: int) -> int:
    return va >> 12 & 0xFFFF_FFFF_FFFF


def binned(histogram: Counter[int]) -> dict[str, int]:
    """As JSON has it, in ascending order, with values to `EXACT_BITS` significant bits."""
    bins: Counter[int] = Counter()
    for value, count in histogram.items():
        shift = max(value.bit_length() - EXACT_BITS, 0)
        bins[value >> shift << shift] += count
    return {str(value): bins[value] for value in sorted(bins)}


def merge_statistics(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Results of any number of runs, or of merges of them, as one; of the slowest faults the slowest `SLOWEST`."""
    given = list(results)
    merged: dict[str, Any] = {name: {} for name in ("kinds", *SUMS)}
    for one in given:
        for name in SUMS:
            _add(merged[name], one[name])
        for name, kind in one["kinds"].items():
            into = merged["kinds"].setdefault(name, {"max": [0, 0]})
            _add(into, {part: counts for part, counts in kind.items() if part != "max"})
            into["max"] = [max(pair) for pair in zip(into["max"], kind["max"], strict=True)]
    slowest = sorted((fault for one in given for fault in one["slowest"]), key=lambda fault: -fault["cycles"])
    return merged | {"occupancy": merge_occupancy(one["occupancy"] for one in given), "slowest": slowest[:SLOWEST]}


def _add(into: dict[str, Any], counts: dict[str, Any]) -> None:
    for name, count in counts.items():
        if isinstance(count, dict):
            _add(into.setdefault(name, {}), count)
        else:
            into[name] = into.get(name, 0) + count

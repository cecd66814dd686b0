"""Names of bins, and what was counted under them: the result of a job's Watcher is made here, once, at the end of its run."""

from collections import Counter
from dataclasses import dataclass, field

from seqfault_golden import Access, How, Outcome, Status, Step

__all__ = ["BY", "FLAGS", "HOWS", "MODES", "TELLING", "WAITS", "Counts", "cross", "flags_name", "named", "shape_name"]

BY = " x "
"""Between the bins of a cross."""
ALLOW_RETRY, TRIED, NOWAIT, ATOMIC = 1, 2, 4, 8
FLAGS = ("ALLOW_RETRY", "NOWAIT", "ATOMIC", "none")
"""What a request may do: wait, not for the mm lock, for nothing; or nobody comes back for it."""
HOWS = ("speculative", "retried", "classic", "software", "refused")
MODES = {0: "no table", 1: "Sv32", 8: "Sv39", 9: "Sv48", 10: "Sv57", -1: "unknown"}
FEATURES = ("ADUE", "PBMTE", "NAPOT")
RESPONSES = {0: "success", 1: "invalid", 15: "failure"}
FIRST_CLASSIC = 3
"""`max_retries` of all presets."""
WAITS = 64
"""Stands for the last step of a fault that waits for a PTE lock."""
TELLING = frozenset((Step.UNDO, Step.HANDOVER, Step.ANSWER, Step.MM_READ_UNLOCK))
"""Steps whose outcome is the reason for which an attempt ended before."""


@dataclass(slots=True)
class Counts:
    """What the sampler counts, by tuples of numbers.

    Attributes
    ----------
    served : kind, access, flags, attempt, classic, mode. aborts : kind, step, outcome, classic. ends : how, first failure, flags.
    attempts : attempt, classic, given up. meetings : step of the command unit, last step of the speculative fault. during : step, some fault is
    running. answers : flags and access, status, how, reason. updates : with D. the others by what their names say.
    """

    served: Counter[tuple[str, int, int, int, bool, int]] = field(default_factory=Counter)
    aborts: Counter[tuple[str, int, int, bool]] = field(default_factory=Counter)
    ends: Counter[tuple[str, tuple[int, int], int]] = field(default_factory=Counter)
    attempts: Counter[tuple[int, bool, bool]] = field(default_factory=Counter)
    meetings: Counter[tuple[int, int]] = field(default_factory=Counter)
    during: Counter[tuple[int, bool]] = field(default_factory=Counter)
    answers: Counter[tuple[int, int, int, int]] = field(default_factory=Counter)
    fills: Counter[tuple[bool, int]] = field(default_factory=Counter)
    after_wait: Counter[tuple[int, int]] = field(default_factory=Counter)
    around: Counter[int] = field(default_factory=Counter)
    tables: Counter[int] = field(default_factory=Counter)
    busy: Counter[int] = field(default_factory=Counter)
    modes: Counter[tuple[int, int]] = field(default_factory=Counter)
    invalidated: Counter[tuple[bool, int]] = field(default_factory=Counter)
    responses: Counter[int] = field(default_factory=Counter)
    handovers: Counter[int] = field(default_factory=Counter)
    updates: Counter[bool] = field(default_factory=Counter)
    queues: Counter[str] = field(default_factory=Counter)


def cross(*bins: str) -> str:
    """The bin of a cross."""
    return BY.join(bins)


def shape_name(first: int, last: int, outcome: int) -> str:
    """ "R1-R6 ACCESS", "R13 OK"."""
    steps = Step(first).name if first == last else f"{Step(first).name}-{Step(last).name}"
    return f"{steps} {Outcome(outcome).name}"


def flags_name(flags: int) -> str:
    """Of `FLAGS`: the one that decides."""
    return "ATOMIC" if flags & ATOMIC else "none" if not flags & ALLOW_RETRY else "NOWAIT" if flags & NOWAIT else "ALLOW_RETRY"


def _lower(name: str) -> str:
    return name.lower()


def _how(attempt: int, classic: bool) -> str:
    return "classic" if classic else "retried" if attempt else "speculative"


def _last_attempt(attempt: int, classic: bool, given_up: bool) -> str:
    """`attempt` is counted from 0; those after the first classic one are classic too."""
    if given_up:
        return "given up under the mm lock" if classic else "given up speculatively"
    return ("classic", "classic again")[attempt not in (0, FIRST_CLASSIC)] if classic else ("first", "second", "third")[min(attempt, 2)]


def _pages(pages: int) -> str:
    return "everything" if pages == 0 else "1 page" if pages == 1 else "a range"


class _Result(dict[str, dict[str, int]]):
    def add(self, point: str, name: str, count: int) -> None:
        bins = self.setdefault(point, {})
        bins[name] = bins.get(name, 0) + count


def named(steps: Counter[tuple[int, int, int]], counts: Counts) -> dict[str, dict[str, int]]:
    """{point: {bin: count}}."""
    result = _Result()
    for shape, count in steps.items():
        result.add("step", shape_name(*shape) if shape[0] not in TELLING else Step(shape[0]).name, count)
    _faults(result, counts)
    _requests(result, counts)
    _commands(result, counts)
    for level, count in counts.busy.items():
        result.add("busy", str(level), count)
    for state, count in counts.queues.items():
        result.add("queue", state, count)
    return dict(result)


def _faults(result: _Result, counts: Counts) -> None:
    for (kind, access, flags, attempt, classic, mode), count in counts.served.items():
        result.add("kind", kind, count)
        result.add("kind by access", cross(kind, _lower(Access(access).name)), count)
        result.add("kind by flags", cross(kind, flags_name(flags)), count)
        result.add("kind by how", cross(kind, _how(attempt, classic)), count)
        result.add("kind by mode", cross(kind, MODES[mode]), count)
    for (kind, step, outcome, classic), count in counts.aborts.items():
        abort = shape_name(step, step, outcome)
        result.add("abort", abort, count)
        result.add("abort by kind", cross(abort, kind), count)
        result.add("abort by attempt", cross(abort, "classic" if classic else "speculative"), count)
    for (how, (step, outcome), flags), count in counts.ends.items():
        if flags >= 0:
            result.add("flags by how", cross(flags_name(flags), how), count)
        if step >= 0:
            result.add("first abort by how", cross(shape_name(step, step, outcome), how), count)
    for (attempt, classic, given_up), count in counts.attempts.items():
        result.add("last attempt", _last_attempt(attempt, classic, given_up), count)
    for (copied, outcome), count in counts.fills.items():
        result.add("fill", f"{'copied' if copied else 'zeroed'} {Outcome(outcome).name}", count)
    for (step, outcome), count in counts.after_wait.items():
        result.add("after a wait", shape_name(step, step, outcome), count)
    for pages, count in counts.around.items():
        result.add("around", "no other page" if pages == 0 else "all 15 others" if pages == 15 else "some", count)
    for tables, count in counts.tables.items():
        result.add("tables", str(tables), count)


def _requests(result: _Result, counts: Counts) -> None:
    for (asked, status, how, reason), count in counts.answers.items():
        flags = asked >> 2
        answer = f"{Status(status).name} {How(how).name}"
        result.add("request", flags_name(flags), count)
        result.add("tried", "TRIED" if flags & TRIED else "first time", count)
        result.add("answer", answer, count)
        result.add("answer by flags", cross(answer, flags_name(flags)), count)
        result.add("answer by access", cross(answer, _lower(Access(asked & 3).name)), count)
        if status:
            result.add("reason by status", cross(Outcome(reason).name, Status(status).name), count)
    for with_d, count in counts.updates.items():
        result.add("update", "A and D" if with_d else "A", count)


def _commands(result: _Result, counts: Counts) -> None:
    for (step, phase), count in counts.meetings.items():
        result.add("command meets fault", cross(Step(step).name, "waits" if phase == WAITS else Step(phase).name), count)
    for (step, running), count in counts.during.items():
        result.add("command by load", cross(Step(step).name, "faults running" if running else "idle"), count)
    for (mode, features), count in counts.modes.items():
        result.add("mode", MODES[mode], count)
        for bit, name in enumerate(FEATURES):
            if features >> bit & 1:
                result.add("features", name, count)
        if not features:
            result.add("features", "none", count)
    for (every, pages), count in counts.invalidated.items():
        result.add("invalidation", "every space" if every else _pages(pages), count)
    for code, count in counts.responses.items():
        result.add("response", RESPONSES.get(code, str(code)), count)
    for outcome, count in counts.handovers.items():
        result.add(
            "page request",
            "dropped, queue full" if outcome == Outcome.QUEUE_FULL else "dropped, bus error" if outcome == Outcome.BUS_ERROR else "written",
            count,
        )

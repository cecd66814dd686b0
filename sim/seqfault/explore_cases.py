"""Explores cases of the catalogue, several at a time, each in a process of its own.

The processes are forks of this one, so what a test has planted in the golden model is explored there too. Ctrl-C, which a terminal sends to all of
them, is kept from them: this process tells them to stop. They end with it, however it ends.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from seqfault_golden.explore import ExplorationLimit, explore
from seqfault_golden.explore.catalogue import Case
from seqfault_golden.explore.result import Exploration

from .errors import SeqfaultError

__all__ = ["CaseResult", "case_name", "explore_case", "explore_cases"]

POLL = 0.25
"""Seconds between looks at how many states the processes have found."""
PAUSE = 1.0
"""Seconds between looks of such a process at whether its starter is still there."""
Progressing = Callable[[int, int, int], None]
"""Called with the cases that are done, their total, and the states found so far in all of them."""


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """How a case of the catalogue ended.

    Parameters
    ----------
    case : what was explored.
    found : what came out of it; None: there are more than `limit` states, so nothing is known.
    """

    case: Case
    found: Exploration | None
    limit: int | None = None

    @property
    def verdict(self) -> str:
        """The verdict, or "not finished"."""
        return self.found.verdict if self.found else "not finished"

    @property
    def holds(self) -> bool:
        """The verdict is the expected one; of a combination that is not in the catalogue nothing is expected."""
        return self.found is not None and self.case.expected in ("", self.verdict)

    def complaint(self) -> str:
        """What is wrong, in one line."""
        if self.found is None:
            return f"{case_name(self.case)} has more than {self.limit:,} states (--limit)"
        return f"{case_name(self.case)}: {self.verdict}, expected {self.case.expected}"

    def record(self) -> dict[str, Any]:
        """The JSON of this result. [formats.md, JSON of `explore`]"""
        if self.found is None:
            raise ValueError(self.complaint())
        found = asdict(self.found)
        first = ("scenario", "mutation", "verdict", "expected", "invariant", "states", "transitions", "seconds", "complete", "explanation")
        last = {"row": self.case.row, "note": self.case.note, "agents": found["agents"], "trace": found["trace"]}
        return {**{key: found[key] for key in first}, "expected": self.case.expected, "seconds": round(self.found.seconds, 3), **last}


def case_name(case: Case) -> str:
    """Scenario and removed safeguards: "munmap without c3"."""
    return case.scenario if case.mutation is None else f"{case.scenario} without {case.mutation}"


def explore_case(case: Case, *, limit: int | None = None, progress: Callable[[int, int], None] | None = None) -> CaseResult:
    """Explore one case in this process. `progress` is called with states found and states whose steps are still to be taken."""
    try:
        return CaseResult(case=case, found=explore(case, progress=progress, limit=limit), limit=limit)
    except ExplorationLimit:
        return CaseResult(case=case, found=None, limit=limit)


def explore_cases(
    cases: Iterable[Case], *, jobs: int, limit: int | None = None, progress: Progressing = lambda done, total, states: None
) -> list[CaseResult]:  # fmt: skip
    """Explore cases in `jobs` processes; results in the order of the cases. `limit`: most states of a case.

    Raises `SeqfaultError` when a process dies.
    """
    cases = list(cases)
    context = multiprocessing.get_context("fork")
    # without locks: whoever is killed leaves none behind
    counts, stop = context.RawArray("Q", max(1, len(cases))), context.RawValue("b")
    # what must be explored to the end takes longest: first, so that no processor is idle at the end
    order = sorted(range(len(cases)), key=lambda number: cases[number].expected != "ok")
    progress(0, len(cases), 0)
    pool = ProcessPoolExecutor(min(jobs, max(1, len(cases))), mp_context=context, initializer=_begin, initargs=(counts, stop, os.getpid()))
    try:
        with _interrupts_held():
            running = {pool.submit(_explore, number, cases[number], limit): number for number in order}
        return _collect(running, counts, progress)
    except BrokenProcessPool:
        raise SeqfaultError("a process of the exploration was killed, maybe for want of memory: try fewer at a time (-j 1)") from None
    finally:
        stop.value = 1
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C comes after this block, and never to processes that are started in it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _collect(running: Mapping[Future[CaseResult], int], counts: Sequence[int], progress: Progressing) -> list[CaseResult]:
    done: dict[int, CaseResult] = {}
    left = set(running)
    while left:
        ended, left = wait(left, timeout=POLL, return_when=FIRST_COMPLETED)
        done |= {running[future]: future.result() for future in ended}
        progress(len(done), len(running), sum(counts))
    return [done[number] for number in sorted(done)]


class _Stopped(Exception):
    """The process that started this one wants no result any more."""


_shared: tuple[Any, ...] = ()
"""In a process of the pool: states of each case, and whether to stop."""


def _begin(counts: Sequence[int], stop: Any, starter: int) -> None:
    global _shared
    _shared = counts, stop
    threading.Thread(target=_end_with, args=[stop, starter], daemon=True).start()


def _end_with(stop: Any, starter: int) -> None:
    """Ends this process when its starter has ended, or has wanted it to stop for a while in vain."""
    while os.getppid() == starter and not stop.value:
        time.sleep(PAUSE)
    if stop.value:
        time.sleep(PAUSE)
    os._exit(1)


def _explore(number: int, case: Case, limit: int | None) -> CaseResult:
    """One case, in a process of the pool."""
    counts, stop = _shared

    def progress(states: int, frontier: int) -> None:
        counts[number] = states
        if stop.value:
            raise _Stopped

    progress(0, 0)
    result = explore_case(case, limit=limit, progress=progress)
    if result.found:
        counts[number] = result.found.states
    return result

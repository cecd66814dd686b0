"""Makes a failing program small: fewer actions (delta debugging, by picire), then plainer conditions."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import picire

from seqfault_tb.regression.program import Program

from .errors import CheckFailed
from .regress_case import run_program

__all__ = ["Shrinker", "signature"]

SIMPLER: tuple[dict[str, Any], ...] = (
    {"small_rings": False}, {"error_rate": 0.0}, {"pressure": 0}, {"unzeroed": False}, {"adue": False}, {"mode": "sv39"}, {"latency": 2},
)  # fmt: skip


def signature(result: dict[str, Any]) -> tuple[str, str]:
    """What two failures of one cause have in common: the outcome, and the message's first line without its numbers."""
    first = (result["message"] or "").partition("\n")[0]
    return result["outcome"], re.sub(r"\b(0x[0-9a-f]+|\d+)\b", "#", first)


class _TimeOver(Exception):
    """Ends picire's search: of thousands of actions, it alone takes minutes and gigabytes."""


class Shrinker:
    """Tries smaller programs that fail in the same way, for so many seconds.

    Attributes
    ----------
    program, result : the smallest one so far, and what became of it. runs : simulations made.
    """

    def __init__(
        self, program: Program, result: dict[str, Any], *, seconds: float, on_run: Callable[[int, int], None] | None = None,
        run: Callable[[Program], dict[str, Any]] = lambda program: run_program(program, watchers=()),
    ) -> None:  # fmt: skip
        self.program, self.result, self.runs = program, result, 0
        self._wanted, self._until, self._run, self._on_run = signature(result), time.monotonic() + seconds, run, on_run

    def shrink(self) -> Program:
        """The smallest program found."""
        if "begun" in self.result:
            self._try(_begun(self.program, self.result["begun"]))
        for smaller in _prefixes(self.program):
            self._try(smaller)
        self._drop_actions()
        for change in SIMPLER:
            if any(getattr(self.program.conditions, name) != value for name, value in change.items()):
                self._try(msgspec.structs.replace(self.program, conditions=msgspec.structs.replace(self.program.conditions, **change)))
        return self.program

    def _drop_actions(self) -> None:
        whole = self.program
        places = [(number, index) for number, thread in enumerate(whole.threads) for index in range(len(thread.actions))]

        def test(kept: list[tuple[int, int]], _: object) -> picire.Outcome:
            if time.monotonic() > self._until:
                raise _TimeOver
            return picire.Outcome.FAIL if kept == places or self._try(_with(whole, set(kept))) else picire.Outcome.PASS

        with suppress(_TimeOver):
            if places:
                picire.DD(test, cache=picire.ConfigCache())(places)

    def _try(self, program: Program) -> bool:
        """Whether it fails in the same way; then it is the smallest so far."""
        if time.monotonic() > self._until or _size(program) > _size(self.program):
            return False
        self.runs += 1
        try:
            result = self._run(program)
        except CheckFailed as error:
            result = self.result | {"outcome": "failed", "message": str(error)}
        same = signature(result) == self._wanted
        if same:
            self.program, self.result = program, result
        if self._on_run is not None:
            self._on_run(self.runs, _size(self.program))
        return same


def _size(program: Program) -> int:
    return sum(len(thread.actions) for thread in program.threads)


def _prefixes(program: Program) -> Iterator[Program]:
    """Programs that end early, the shortest first: most of a program comes after what is wrong."""
    longest = max((len(thread.actions) for thread in program.threads if not thread.repeat), default=0)
    length = 1
    while length < longest:
        threads = [thread if thread.repeat else msgspec.structs.replace(thread, actions=thread.actions[:length]) for thread in program.threads]
        yield msgspec.structs.replace(program, threads=tuple(threads))
        length *= 2


def _begun(program: Program, begun: Sequence[int]) -> Program:
    """Without the actions that no thread has come to."""
    threads = (msgspec.structs.replace(thread, actions=thread.actions[:number]) for thread, number in zip(program.threads, begun, strict=True))
    return msgspec.structs.replace(program, threads=tuple(threads))


def _with(program: Program, kept: set[tuple[int, int]]) -> Program:
    """The program with these actions only; threads without any stay, so that the others keep their ports."""
    threads = [
        msgspec.structs.replace(thread, actions=tuple(action for index, action in enumerate(thread.actions) if (number, index) in kept))
        for number, thread in enumerate(program.threads)
    ]
    return msgspec.structs.replace(program, threads=tuple(threads))

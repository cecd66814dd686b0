"""Which program is tried next on which mutant, and the verdicts: killed by the first program that shows it, or survived all."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Court", "Trial"]

LONGER, MORE_SECONDS = 4, 2
"""A run that takes so many times as long as without a mutant, and so many seconds more, does not end."""


@dataclass
class Trial:
    """One run: a program (its number) on a mutant (0: the unchanged engine), in so many seconds of CPU. `pipe`, `process` : of who runs it."""

    mutant: int
    program: int
    seconds: int = 120
    pipe: int = -1
    process: int = 0


class Court:
    """Every program is first run without a mutant: it must agree, and shows what the log is like.

    Parameters
    ----------
    programs : their numbers. mutants : in the order in which they are tried. until : UNIX time after which no mutant is begun.
    clock : seconds since the epoch; a test may give its own.
    """

    def __init__(self, programs: Iterable[int], mutants: Sequence[int], *, until: float, clock: Any = None) -> None:
        self._programs = list(programs)
        self._clock = clock or time.time
        self._until = until
        self._waiting = [Trial(mutant=0, program=program) for program in self._programs]
        self._mutants = list(reversed(mutants))
        self._left: dict[int, list[int]] = {}
        self._kinds: dict[int, set[str]] = {}
        self._baseline: dict[int, dict[str, Any]] = {}
        self._kills = dict.fromkeys(self._programs, 1)
        self.done = 0

    def next_trial(self) -> Trial | None:
        """What to run now, if anything can be begun before another run has ended."""
        if self._waiting:
            return self._waiting.pop()
        if len(self._baseline) < len(self._programs) or any(base["outcome"] != "ok" for base in self._baseline.values()):
            return None
        if not self._mutants or self._clock() > self._until:
            return None
        mutant = self._mutants.pop()
        self._left[mutant] = sorted(self._programs, key=lambda program: self._kills[program] / self._baseline[program]["cpu"])
        self._kinds[mutant] = set()
        return self._next_program(mutant)

    def _next_program(self, mutant: int) -> Trial:
        program = self._left[mutant].pop()
        return Trial(mutant=mutant, program=program, seconds=round(LONGER * self._baseline[program]["cpu"]) + MORE_SECONDS)

    def close(self, trial: Trial, found: dict[str, Any]) -> dict[str, Any] | None:
        """Take the result of a run; the verdict on its mutant, if that is one: `mutant`, `killed`, `by`, `outcome`, `message`, `events`."""
        if trial.mutant == 0:
            self._baseline[trial.program] = found
            return None
        if found["outcome"] == "ok":
            self._kinds[trial.mutant].add(_compare(found, self._baseline[trial.program]))
            if self._left[trial.mutant]:
                self._waiting.append(self._next_program(trial.mutant))
                return None
        else:
            self._kills[trial.program] += 1
        killed = found["outcome"] != "ok"
        kinds = self._kinds.pop(trial.mutant)
        del self._left[trial.mutant]
        self.done += 1
        return {
            "mutant": trial.mutant, "killed": killed, "by": trial.program if killed else None, "outcome": found["outcome"],
            "message": found["message"], "events": None if killed else next(kind for kind in ("other", "timing", "same") if kind in kinds),
        }  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """What the runs without a mutant were like; with `error` if one did not agree."""
        failed = [f"program {number}: {base['outcome']}: {base['message']}" for number, base in self._baseline.items() if base["outcome"] != "ok"]
        summary: dict[str, Any] = {"baseline": self._baseline, "done": self.done}
        return summary | ({"error": f"without a mutant, {failed[0]}"} if failed else {})


def _compare(found: dict[str, Any], base: dict[str, Any]) -> str:
    """Events beside those of the unchanged engine: the "same", with another "timing", or "other" ones."""
    if found["footprint"][0] != base["footprint"][0]:
        return "other"
    return "same" if (found["footprint"], found["cycles"]) == (base["footprint"], base["cycles"]) else "timing"

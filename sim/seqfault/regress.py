"""A regression: its cases run by workers, their results gathered; of the first failure a small program and a waveform are left."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from seqfault_tb.regression.golden_view import golden_file
from seqfault_tb.regression.program import Program

from .coverage import MergedCoverage
from .errors import UsageError
from .output import OutputFile
from .regress_case import run_case
from .regress_plan import Case, build_options, case_program, repeat_command
from .regress_pool import StatisticsPool
from .regress_run import build_for
from .regress_shrink import Shrinker
from .waves_evidence import leave_evidence

__all__ = ["Regression", "investigate", "prepare"]

PROGRAM_FILE, WAVES_FILE = "program.json", "failure.vcd"
ADDED_UP = frozenset(("statistics", "coverage", "code"))
"""Large parts of a result."""
LAST_CYCLES, HANG_CYCLES = 20_000, 60_000
"""Cycles before the end of a program that are recorded, about 10 kB each: more than a fault takes; of a hang, which is noticed late, more."""


@dataclass
class Regression:
    """What became of the cases so far.

    Attributes
    ----------
    cases : all. results : of those that are done, in the order in which they were, each with `case` (its number) and `repeat` (a command), without
        its statistics and coverage. statistics, coverage : of all, bounded.
    """

    cases: Sequence[Case]
    results: list[dict[str, Any]] = field(default_factory=list)
    statistics: StatisticsPool = field(default_factory=StatisticsPool)
    coverage: MergedCoverage = field(default_factory=MergedCoverage)
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0

    def gather(self, done: Iterator[tuple[int, dict[str, Any]]], on_progress: Callable[["Regression"], None]) -> None:
        """Take all results; the time begins. What is here stays when this is interrupted."""
        self.began = time.monotonic()
        for number, result in done:
            if number >= 0:
                self.statistics.add(result)
                self.coverage.take(result)
                kept = {name: value for name, value in result.items() if name not in ADDED_UP}
                self.results.append({**kept, "case": number, "repeat": repeat_command(self.cases[number], since=_since(result))})
            on_progress(self)

    @property
    def seconds(self) -> float:
        """Wall time from `gather` on, so far, or until `finish`."""
        return (self.ended or time.monotonic()) - self.began

    def finish(self) -> None:
        """No more results come: the time ends."""
        self.ended = time.monotonic()

    def rates(self) -> dict[str, float]:
        """Of the whole run, builds excluded."""
        seconds = max(self.seconds, 1e-9)
        return {"cycles_per_second": self.total("cycles") / seconds, "checked_faults_per_minute": 60 * self.total("faults") / seconds}

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Results that are not "ok", in the order of the cases."""
        return sorted((result for result in self.results if result["outcome"] != "ok"), key=lambda result: result["case"])

    def total(self, name: str) -> int:
        """A number of the results, added up."""
        return sum(result[name] for result in self.results)


def prepare(cases: Sequence[Case]) -> None:
    """Build what the cases run on, so that the workers find it. Raises `UsageError`, `CheckFailed`."""
    for options in {repr(options): options for options in map(build_options, cases)}.values():
        build_for(**options)


def investigate(
    case: Case, result: dict[str, Any], folder: Path, *, seconds: float, on_stage: Callable[[str], None] = lambda text: None
) -> tuple[Program | None, list[Path]]:
    """Make a failing case small, for so many seconds, and leave in `folder` the program and what shows its failure.

    Returns the program, and the files: `program.json`, the fault that differs as a VCD file, set-up files of wave viewers, the timeline. A race stays
    as it is, the whole sweep, and leaves the others: one of its runs alone begins with other TLBs, and often goes well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program, files, small = None, [], case
    if "race" not in case:

        def on_run(runs: int, size: int) -> None:
            on_stage(f"making the first failure smaller (at most {seconds:g} s): {size:,} actions after {runs:,} runs")

        shrinker = Shrinker(case_program(case), result, seconds=seconds, on_run=on_run)
        program = shrinker.shrink()
        result, small = shrinker.result, {"program": program.to_json()}
        files.append(folder / PROGRAM_FILE)
        with OutputFile(files[0]) as file:
            file.write_text(msgspec.json.format(msgspec.json.encode(program)).decode() + "\n")
    on_stage("recording the waveform of the first failure")
    with _scratch(folder) as waves:
        since = _since(result)
        again = run_case(small | {"watchers": ()}, waves=waves, since=since)
        if not waves.exists() or not waves.stat().st_size:  # a simulator that dies may leave none
            return program, files
        try:
            files += leave_evidence(waves, folder, cycle=again["ended"] or None if again["outcome"] != "ok" else None, since=since)
        except UsageError:
            if again["outcome"] != "failed":  # it has died in the middle of a line
                raise
    return program, files


def _since(result: Mapping[str, Any]) -> int:
    """The first cycle that is worth recording."""
    return max(0, result["ended"] - (HANG_CYCLES if result["outcome"] == "hang" else LAST_CYCLES))


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A waveform that goes again, with golden's view of it."""
    waves = folder / f".{WAVES_FILE}"
    try:
        yield waves
    finally:
        waves.unlink(missing_ok=True)
        golden_file(waves).unlink(missing_ok=True)

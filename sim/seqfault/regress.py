"""A regression: its cases run by workers, their results gathered; of the first failure a small program and a waveform are left."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from seqfault_tb.regression.golden_view import golden_file
from seqfault_tb.regression.program import Conditions, Program

from .errors import SeqfaultError
from .output import OutputFile
from .regress_case import build_for, run_program
from .regress_plan import Case, case_program, repeat_command
from .regress_pool import StatisticsPool
from .regress_races import run_races
from .regress_shrink import Shrinker
from .waves_evidence import leave_evidence

__all__ = ["Regression", "investigate", "prepare", "record_race", "record_waves"]

PROGRAM_FILE, WAVES_FILE = "program.json", "failure.vcd"


@dataclass
class Regression:
    """What became of the cases so far.

    Attributes
    ----------
    cases : all. results : of those that are done, in the order in which they were, each with `case` (its number) and `repeat` (a command), without
        its statistics. statistics : of all, bounded.
    """

    cases: Sequence[Case]
    results: list[dict[str, Any]] = field(default_factory=list)
    statistics: StatisticsPool = field(default_factory=StatisticsPool)
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0

    def gather(self, done: Iterator[tuple[int, dict[str, Any]]], on_progress: Callable[["Regression"], None]) -> None:
        """Take all results. What is here stays when this is interrupted."""
        for number, result in done:
            if number >= 0:
                self.statistics.add(result)
                kept = {name: value for name, value in result.items() if name != "statistics"}
                self.results.append({**kept, "case": number, "repeat": repeat_command(self.cases[number])})
            on_progress(self)

    @property
    def seconds(self) -> float:
        """Wall time so far, or until `finish`."""
        return (self.ended or time.monotonic()) - self.began

    def finish(self) -> float:
        """No more results come; returns the wall time."""
        self.ended = time.monotonic()
        return self.seconds

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Results that are not "ok", in the order of the cases."""
        return sorted((result for result in self.results if result["outcome"] != "ok"), key=lambda result: result["case"])

    def total(self, name: str) -> int:
        """A number of the results, added up."""
        return sum(result[name] for result in self.results)


def prepare(cases: Sequence[Case]) -> None:
    """Build what the cases run on, so that the workers find it. Raises `UsageError`, `CheckFailed`."""
    seen = set()
    for case in cases:
        conditions = _race_conditions(case) if "race" in case else case_program(case).conditions
        build = (conditions.preset, tuple(sorted(conditions.settings.items())), bool(conditions.plant))
        if build not in seen:
            seen.add(build)
            build_for(conditions, code=case.get("code", False))


def _race_conditions(case: Case) -> Conditions:
    """Those of the build that all races run on."""
    return Conditions(preset=case["preset"], settings=case["settings"], plant="NONE")


def investigate(
    case: Case, result: dict[str, Any], folder: Path, *, seconds: float, on_run: Callable[[int, int], None] | None = None
) -> tuple[Program | None, list[Path]]:
    """Make a failing case small, for so many seconds, and leave in `folder` the program and what shows its failure.

    Returns the program, and the files: `program.json`, the fault that differs as a VCD file, set-up files of wave viewers, the timeline. A race is
    small already: it leaves the others, of the run of its sweep that failed.
    """
    if "race" in case:
        return None, _race_evidence(case, result, folder)
    program = Shrinker(case_program(case), result, seconds=seconds, on_run=on_run).shrink()
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / PROGRAM_FILE]
    with OutputFile(files[0]) as file:
        file.write_text(msgspec.json.format(msgspec.json.encode(program)).decode() + "\n")
    with _scratch(folder) as waves:
        again = record_waves(program, waves)
        files += leave_evidence(waves, folder, cycle=again["ended"] if again["outcome"] != "ok" else None)
    return program, files


def _race_evidence(case: Case, result: dict[str, Any], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with _scratch(folder) as waves:
        offsets = [result["offset"]] if result.get("offset") is not None else []
        again = record_race(case | {"offsets": offsets}, waves)
        return leave_evidence(waves, folder, cycle=again["ended"] if again["outcome"] != "ok" else None)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A waveform that goes again, with golden's view of it."""
    waves = folder / f".{WAVES_FILE}"
    try:
        yield waves
    finally:
        waves.unlink(missing_ok=True)
        golden_file(waves).unlink(missing_ok=True)


def record_race(case: Case, waves: Path) -> dict[str, Any]:
    """The same for a directed race."""
    try:
        return run_races(
            [case["race"]], **{name: value for name, value in case.items() if name not in ("race", "watchers", "code")}, waves=waves.resolve()
        )[0]
    except SeqfaultError as error:
        return {"outcome": "failed", "message": str(error), "ended": None}


def record_waves(program: Program, waves: Path, *, watchers: Sequence[str] = ()) -> dict[str, Any]:
    """Run a program and record its waveform, with golden's view beside it; returns the result, in which a simulation that died has failed."""
    try:
        return run_program(program, watchers=watchers, waves=waves.resolve(), golden_view=golden_file(waves.resolve()))
    except SeqfaultError as error:
        return {"outcome": "failed", "message": str(error), "ended": None}

"""One case of a regression: built (once per content), simulated, judged. This is what a worker calls, here or on another machine."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import seqfault_tb
from seqfault_tb.planted import PlantedEngine
from seqfault_tb.regression.conditions import config_of
from seqfault_tb.regression.program import Conditions, Program

from .engine_model import HARNESS_TOP, build_engine
from .errors import SeqfaultError, UsageError
from .job import failed, run_job
from .regress_plan import Case, case_program
from .regress_races import run_race_case
from .simulator import SimulationFailed

__all__ = ["WATCHERS", "build_for", "run_case", "run_program"]

JOB = "seqfault_tb.regression.job"
WATCHERS = ("statistics", "coverage")
"""What is noted of every program."""


def build_for(conditions: Conditions, *, trace: str | None = None, code: bool = False) -> Path:
    """The simulation's folder for a program under these conditions; `code` : one that counts lines and toggles.

    Raises `UsageError`, `CheckFailed` (it does not build).
    """
    try:
        config = config_of(conditions)
    except ValueError as error:
        raise UsageError(str(error)) from None
    planted = Path(seqfault_tb.__file__).parent / "planted.py"
    try:
        if conditions.plant:
            return build_engine(config, engine=PlantedEngine, key=planted.read_text(), trace=trace, coverage=code)
        return build_engine(config, trace=trace, coverage=code)
    except SimulationFailed as error:
        raise failed(error) from error


def run_program(
    program: Program, *, watchers: Sequence[str] = WATCHERS, waves: Path | None = None, golden_view: Path | None = None,
    progress: Callable[[int], None] | None = None, code: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Simulate a program; returns its result (`seqfault_tb.regression.job`), with the wall time `wall_s` of the whole simulation.

    `waves` : VCD or FST file to write, `golden_view` : what the golden model says to each step, beside it. `code` : count lines and toggles.
    Raises `CheckFailed` when the simulation dies.
    """
    folder = build_for(program.conditions, trace=None if waves is None else waves.suffix.removeprefix("."), code=code)
    job = {"program": program.to_json(), "watchers": list(watchers), "golden_view": None if golden_view is None else str(golden_view)}
    began = time.monotonic()
    result = run_job(folder, HARNESS_TOP, JOB, job, seed=program.seed, waves=waves, progress=progress, code=code)
    return {**result, "wall_s": time.monotonic() - began}


def run_case(case: Case) -> dict[str, Any]:
    """The case's result; it never raises: a simulation that dies has failed."""
    if "race" in case:
        return run_race_case(
            {name: value for name, value in case.items() if name not in ("watchers", "code")}, watchers=case.get("watchers", WATCHERS)
        )
    program = case_program(case)
    try:
        return run_program(program, watchers=case.get("watchers", WATCHERS), code=case.get("code", False))
    except SeqfaultError as error:
        conditions = program.conditions
        origin: Mapping[str, Any] = {
            "seed": program.seed, "profile": program.profile, "preset": conditions.preset, "policy": conditions.policy, "latency": conditions.latency,
        }  # fmt: skip
        zeros = dict.fromkeys(("ended", "cycles", "steps", "faults", "interleavings", "interleaved", "failed_reads", "seconds", "wall_s"), 0)
        empty: dict[str, Any] = {"counts": {}, "aborts": {}, "commands": {}}
        return {**origin, "outcome": "failed", "message": f"{error}\n{error.details}".rstrip(), **zeros, **empty}

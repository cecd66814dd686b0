"""One case of a regression: built (once per content), simulated, judged. This is what a worker calls, here or on another machine."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seqfault_tb.regression.golden_view import golden_file
from seqfault_tb.regression.program import Program

from .engine_model import HARNESS_TOP
from .errors import SeqfaultError
from .job import run_job
from .regress_plan import Case, case_program
from .regress_races import run_race_case
from .regress_run import build_for, failed_result, record_from

__all__ = ["WATCHERS", "run_case", "run_program"]

JOB = "seqfault_tb.regression.job"
WATCHERS = ("statistics", "coverage")
"""What is noted of every program."""


def run_program(
    program: Program, *, watchers: Sequence[str] = WATCHERS, waves: Path | None = None, golden_view: Path | None = None, since: int = 0,
    progress: Callable[[int], None] | None = None, code: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Simulate a program; returns its result (`seqfault_tb.regression.job`).

    `waves` : VCD or FST file to write, from some time before the cycle `since` on; `golden_view` : what the golden model says to each step from
    that cycle on, beside it. `code` : count lines and toggles.
    Raises `CheckFailed` when the simulation dies.
    """
    conditions = program.conditions
    folder = build_for(conditions.preset, conditions.settings, planted=bool(conditions.plant), waves=waves, code=code)
    view = None if golden_view is None else str(golden_view)
    job = {"program": program.to_json(), "watchers": list(watchers), "golden_view": view, "since": since}
    return run_job(folder, HARNESS_TOP, JOB, job, seed=program.seed, waves=waves, waves_from=record_from(since), progress=progress, code=code)


def run_case(case: Case, *, waves: Path | None = None, since: int = 0) -> dict[str, Any]:
    """The case's result; it never raises: a simulation that dies has failed.

    `waves` : VCD or FST file to write, from about the cycle `since` on, with golden's view beside it.
    """
    waves = waves and waves.resolve()
    watchers = case.get("watchers", WATCHERS)
    if "race" in case:
        return run_race_case(case, watchers=watchers, waves=waves, since=since)
    program = case_program(case)
    try:
        view = waves and golden_file(waves)
        return run_program(program, watchers=watchers, waves=waves, golden_view=view, since=since, code=case.get("code", False))
    except SeqfaultError as error:
        conditions = program.conditions
        origin = {name: getattr(conditions, name) for name in ("preset", "policy", "latency")}
        return failed_result({"seed": program.seed, "profile": program.profile, **origin}, error)

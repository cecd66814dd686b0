"""The directed races as jobs of a regression: each sweeps one race under one policy, at one latency of memory. [docs/races.md]"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqfault_rtl.config import PRESETS
from seqfault_tb import planted
from seqfault_tb.machine import POLICIES
from seqfault_tb.planted import PlantedEngine
from seqfault_tb.races.catalogue import RACES

from .engine_model import HARNESS_TOP, build_engine
from .errors import CheckFailed, SeqfaultError, UsageError
from .job import failed, run_job
from .simulator import SimulationFailed

__all__ = ["LATENCIES", "race_case_name", "races_cases", "run_race_case", "run_races"]

JOB = "seqfault_tb.races.job"
LATENCIES = (2, 20)
"""Of memory, in cycles: one at which a fault is done before a command has been read, and one at which it waits for most of its time."""
PRESET, SETTINGS = "small", {"svadu": "true"}


def races_cases(
    names: Sequence[str] = (), *, policies: Sequence[str] = POLICIES, latencies: Sequence[int] = LATENCIES, step: int = 1,
    offsets: Sequence[int] = (), preset: str = PRESET, settings: Mapping[str, str] = SETTINGS,
) -> list[dict[str, Any]]:  # fmt: skip
    """Job descriptions, JSON, one for each race, policy and latency. `names`: "R1" .. "R25"; none: all.

    `step`: cycles between two starts of the writer. `offsets`: these starts alone (cycles after the fault's).
    Raises `UsageError` for an unknown race.
    """
    for name in names:
        if name not in RACES:
            raise UsageError(f"there is no race {name!r}; there are {', '.join(RACES)}")
    return [
        {"race": name, "preset": preset, "settings": dict(settings), "policy": policy, "latency": latency, "step": step, "offsets": list(offsets)}
        for latency in latencies for policy in policies for name in names or RACES
    ]  # fmt: skip


def race_case_name(case: Mapping[str, Any]) -> str:
    """For a person: `race R1, spec, latency 2`."""
    return f"race {case['race']}, {case['policy']}, latency {case['latency']}"


def run_race_case(case: Mapping[str, Any], *, watchers: Sequence[str] = ()) -> dict[str, Any]:
    """The result of one case, as that of a program (`seqfault_tb.regression.job`); it never raises: a simulation that dies has failed."""
    began = time.monotonic()
    try:
        result = run_races([case["race"]], **{key: value for key, value in case.items() if key != "race"}, watchers=watchers)[0]
    except SeqfaultError as error:
        origin = {"seed": 0, "profile": f"race:{case['race']}", **{key: case[key] for key in ("preset", "policy", "latency")}}
        numbers = ("ended", "cycles", "steps", "faults", "interleavings", "interleaved", "failed_reads", "seconds", "offsets")
        empty: dict[str, Any] = {"counts": {}, "aborts": {}, "commands": {}, "met": {}}
        result = {**origin, "outcome": "failed", "message": f"{error}\n{error.details}".rstrip(), **dict.fromkeys(numbers, 0), **empty}
    return {**result, "wall_s": time.monotonic() - began}


def run_races(
    names: Sequence[str], *, preset: str = PRESET, settings: Mapping[str, str] = SETTINGS, policy: str = "spec", latency: int = 2, step: int = 1,
    offsets: Sequence[int] = (), watchers: Sequence[str] = (), plant: str = "", without: bool = False, meets: Sequence[str] = (),
    blind: bool = False, waves: Path | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Sweep these races in one simulation: their results, up to the first that is not "ok".

    `plant`: a bug of the RTL (`Plant`). `without`: the writer leaves out its safeguard. `meets`: what the sweeps must have met besides.
    `blind`: the scenario judges alone. `waves`: VCD or FST file to write. Raises `CheckFailed` when the simulation dies.
    """
    config = PRESETS[preset].with_settings(dict(settings))
    trace = None if waves is None else waves.suffix.removeprefix(".")
    try:
        folder = build_engine(config, engine=PlantedEngine, key=Path(planted.__file__).read_text(), trace=trace)
    except SimulationFailed as error:
        raise failed(error) from error
    job = {
        "races": list(names), "preset": preset, "settings": dict(settings), "policy": policy, "latency": latency, "step": step,
        "offsets": list(offsets), "watchers": list(watchers), "plant": plant or "NONE", "without": without, "meets": list(meets), "blind": blind,
    }  # fmt: skip
    results: list[dict[str, Any]] = run_job(folder, HARNESS_TOP, JOB, job, seed=1, waves=waves)["races"]
    if not results:
        raise CheckFailed("the simulation ended without a result of any race")
    return results

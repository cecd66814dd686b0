"""The directed races as jobs of a regression: each sweeps one race under one policy, at one latency of memory. [docs/races.md]"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqfault_tb.machine import POLICIES
from seqfault_tb.races.catalogue import RACES

from .engine_model import HARNESS_TOP
from .errors import CheckFailed, SeqfaultError, UsageError
from .job import run_job
from .regress_run import build_for, failed_result

__all__ = ["LATENCIES", "races_cases", "run_race_case", "run_races"]

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


def run_race_case(case: Mapping[str, Any], *, watchers: Sequence[str] = (), waves: Path | None = None) -> dict[str, Any]:
    """The result of one case, as that of a program (`seqfault_tb.regression.job`); it never raises: a simulation that dies has failed."""
    options = {name: case[name] for name in ("preset", "settings", "policy", "latency", "step", "offsets")}
    try:
        return run_races([case["race"]], **options, watchers=watchers, waves=waves)[0]
    except SeqfaultError as error:
        origin = {
            "seed": 0,
            "profile": f"race:{case['race']}",
            "offsets": 0,
            "met": {},
            **{name: case[name] for name in ("preset", "policy", "latency")},
        }
        return failed_result(origin, error)


def run_races(
    names: Sequence[str], *, preset: str = PRESET, settings: Mapping[str, str] = SETTINGS, policy: str = "spec", latency: int = 2, step: int = 1,
    offsets: Sequence[int] = (), watchers: Sequence[str] = (), plant: str = "", without: bool = False, meets: Sequence[str] = (),
    blind: bool = False, waves: Path | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Sweep these races in one simulation: their results, up to the first that is not "ok".

    `plant`: a bug of the RTL (`Plant`). `without`: the writer leaves out its safeguard. `meets`: what the sweeps must have met besides.
    `blind`: the scenario judges alone. `waves`: VCD or FST file to write. Raises `CheckFailed` when the simulation dies.
    """
    folder = build_for(preset, settings, planted=True, waves=waves)
    job = {
        "races": list(names), "preset": preset, "settings": dict(settings), "policy": policy, "latency": latency, "step": step,
        "offsets": list(offsets), "watchers": list(watchers), "plant": plant or "NONE", "without": without, "meets": list(meets), "blind": blind,
    }  # fmt: skip
    results: list[dict[str, Any]] = run_job(folder, HARNESS_TOP, JOB, job, seed=1, waves=waves)["races"]
    if not results:
        raise CheckFailed("the simulation ended without a result of any race")
    return results

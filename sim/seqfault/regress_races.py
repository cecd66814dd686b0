"""The directed races as jobs of a regression: each sweeps one race under one policy, at one latency of memory. [docs/races.md]"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqfault_tb.machine import POLICIES
from seqfault_tb.races.catalogue import RACES
from seqfault_tb.regression.golden_view import golden_file

from .engine_model import HARNESS_TOP
from .errors import CheckFailed, SeqfaultError, UsageError
from .job import run_job
from .regress_run import build_for, failed_result, record_from

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


def run_race_case(case: Mapping[str, Any], *, watchers: Sequence[str] = (), waves: Path | None = None, since: int = 0) -> dict[str, Any]:
    """The result of one case, as that of a program (`seqfault_tb.regression.job`); it never raises: a simulation that dies has failed.

    `waves`: VCD or FST file to write, from about the cycle `since` on, with golden's view beside it.
    """
    options = {name: case[name] for name in ("preset", "settings", "policy", "latency", "step", "offsets")}
    try:
        return run_races([case["race"]], **options, watchers=watchers, plant=case.get("plant") or "", waves=waves, since=since)[0]
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
    blind: bool = False, waves: Path | None = None, since: int = 0,
) -> list[dict[str, Any]]:  # fmt: skip
    """Sweep these races in one simulation: their results, up to the first that is not "ok".

    `plant`: a bug of the RTL (`Plant`). `without`: the writer leaves out its safeguard. `meets`: what the sweeps must have met besides.
    `blind`: the scenario judges alone. `waves`: VCD or FST file to write, from some time before the cycle `since` on, with golden's view beside it
    from that cycle on. Raises `CheckFailed` when the simulation dies.
    """
    waves = waves and waves.resolve()  # the simulation runs in a folder of its own
    folder = build_for(preset, settings, planted=True, waves=waves)
    job = {
        "races": list(names), "preset": preset, "settings": dict(settings), "policy": policy, "latency": latency, "step": step,
        "offsets": list(offsets), "watchers": list(watchers), "plant": plant or "NONE", "without": without, "meets": list(meets), "blind": blind,
        "golden_view": waves and str(golden_file(waves)), "since": since,
    }  # fmt: skip
    results: list[dict[str, Any]] = run_job(folder, HARNESS_TOP, JOB, job, seed=1, waves=waves, waves_from=record_from(since))["races"]
    if not results:
        raise CheckFailed("the simulation ended without a result of any race")
    return results

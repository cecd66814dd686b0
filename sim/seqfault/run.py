"""`seqfault run`: replay a recorded program through the engine in Verilator, the golden model checking every step.

Here is the process that the user started: it checks the input, builds the model, starts the simulation and reads its result. Inside the
simulation runs `replay_job.py`.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_tb.machine import POLICIES

from .doctor import require_simulation_tools
from .engine_model import HARNESS_TOP, build_engine
from .errors import UsageError
from .job import run_job
from .trace import load_trace

__all__ = ["configure", "run_trace"]

Progress = Callable[[int, int], None]


def configure(preset: str, settings: Mapping[str, str] | None = None) -> EngineConfig:
    """The configuration of a preset with `--set key=value` applied; raises `UsageError`."""
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    try:
        return PRESETS[preset].with_settings(dict(settings or {}))
    except ValueError as error:
        raise UsageError(str(error)) from None


def run_trace(
    trace: str, *, policy: str = "spec", preset: str = "default", settings: Mapping[str, str] | None = None, seed: int = 1,
    latency: int = 50, clock_mhz: float = 100.0, limit: int | None = None, waves: Path | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Replay `trace` (a path or the name of a packaged one); returns the JSON of `run` (formats.md) with our additions.

    Parameters
    ----------
    latency : memory latency in cycles, of reads and writes. clock_mhz : converts cycles to ns only.
    limit : replay the first so many events. waves : VCD or FST file to write.
    progress : called now and then with events done and events in all.

    Raises
    ------
    UsageError : bad input. EnvironmentLacks : a tool is missing. CheckFailed : the simulation hung or died.
    """
    if policy not in POLICIES:
        raise UsageError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}")
    config = configure(preset, settings)
    loaded = load_trace(trace, limit=limit)
    require_simulation_tools()
    trace_format = None if waves is None else waves.suffix.removeprefix(".")
    if trace_format not in (None, "vcd", "fst"):
        raise UsageError(f"--waves needs a file name that ends in .vcd or .fst, not {waves}")
    folder = build_engine(config, trace=trace_format)
    description = {
        "trace": str(Path(trace).resolve()) if Path(trace).is_file() else trace,
        "limit": limit, "policy": policy, "preset": preset, "settings": dict(settings or {}), "seed": seed, "latency": latency,
        "clock_mhz": clock_mhz,
    }  # fmt: skip

    def report_events(done: int) -> None:
        if progress is not None:
            progress(done, len(loaded.events))

    started = time.monotonic()
    report = run_job(folder, HARNESS_TOP, "seqfault.replay_job", description, seed=seed, waves=waves, progress=report_events)
    return {"trace": loaded.name, **report, "wall_s": round(time.monotonic() - started, 3)}

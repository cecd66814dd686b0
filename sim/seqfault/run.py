"""`seqfault run`: replay a recorded program through the engine in Verilator or the golden one, the golden model checking every step.

Here is the process that the user started: it checks the input, builds the model, starts the simulation and reads its result. Inside the
simulation runs `replay_job.py`; the golden engine runs here (`replay_golden.py`).
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_tb.machine import POLICIES
from seqfault_tb.regression.golden_view import golden_file

from .errors import UsageError
from .trace import Trace, load_trace

__all__ = ["ENGINES", "configure", "run_trace"]

ENGINES = ("rtl", "golden")
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
    trace: str, *, engine: str = "rtl", policy: str = "spec", preset: str = "default", settings: Mapping[str, str] | None = None, seed: int = 1,
    latency: int = 50, clock_mhz: float = 100.0, limit: int | None = None, waves: Path | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Replay `trace` (a path or the name of a packaged one); returns the JSON of `run` (formats.md) with our additions.

    Parameters
    ----------
    engine : one of `ENGINES`; the golden one needs no tool, and its cycles are turns.
    latency : memory latency in cycles, of reads and writes (RTL). clock_mhz : converts cycles to ns only.
    limit : replay the first so many events. waves : VCD or FST file to write, with golden's view of the run beside it (`golden_file`).
    progress : called now and then with events done and events in all.

    Raises
    ------
    UsageError : bad input. EnvironmentLacks : a tool is missing. CheckFailed : the simulation hung or died.
    """
    if policy not in POLICIES:
        raise UsageError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}")
    if engine not in ENGINES:
        raise UsageError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    config = configure(preset, settings)
    loaded = load_trace(trace, limit=limit)
    description: dict[str, Any] = {
        "trace": str(Path(trace).resolve()) if Path(trace).is_file() else trace, "engine": engine,
        "limit": limit, "policy": policy, "preset": preset, "settings": dict(settings or {}), "seed": seed,
        "latency": None if engine == "golden" else latency, "clock_mhz": clock_mhz,
        "golden_view": None if waves is None else str(golden_file(waves.resolve())),
    }  # fmt: skip
    execute: Callable[[], dict[str, Any]]
    if engine == "golden":
        from .replay_golden import replay_golden

        execute = partial(replay_golden, loaded, config, description, progress)
    else:
        execute = _simulation(loaded, config, description, waves, progress)
    started = time.monotonic()
    report = execute()
    return {"trace": loaded.name, **report, "wall_s": round(time.monotonic() - started, 3)}


def _simulation(
    trace: Trace, config: EngineConfig, description: Mapping[str, Any], waves: Path | None, progress: Progress | None
) -> Callable[[], dict[str, Any]]:
    """Build the model; returns what runs it. Imported here: the golden engine runs where the simulator is missing."""
    from .doctor import require_simulation_tools
    from .engine_model import HARNESS_TOP, build_engine
    from .job import run_job

    require_simulation_tools()
    trace_format = None if waves is None else waves.suffix.removeprefix(".")
    if trace_format not in (None, "vcd", "fst"):
        raise UsageError(f"--waves needs a file name that ends in .vcd or .fst, not {waves}")
    folder = build_engine(config, trace=trace_format)

    def report_events(done: int) -> None:
        if progress is not None:
            progress(done, len(trace.events))

    return lambda: run_job(folder, HARNESS_TOP, "seqfault.replay_job", description, seed=description["seed"], waves=waves, progress=report_events)

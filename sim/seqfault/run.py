"""`seqfault run`: replay a recorded program through the engine in Verilator, the golden model checking every step.

Here is the process that the user started: it checks the input, builds the model, starts the simulation and reads its result. Inside the
simulation runs `replay_job.py`.
"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_tb.machine import POLICIES

from .doctor import require_simulation_tools
from .engine_model import HARNESS_TOP, build_engine
from .errors import CheckFailed, UsageError
from .simulator import SimulationFailed, run_model
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
    with tempfile.TemporaryDirectory(prefix="seqfault-run-") as scratch:
        job, result, done = (Path(scratch) / name for name in ("job.json", "result.json", "progress"))
        description = {
            "trace": str(Path(trace).resolve()) if Path(trace).is_file() else trace,
            "limit": limit, "policy": policy, "preset": preset, "settings": dict(settings or {}), "seed": seed, "latency": latency,
            "clock_mhz": clock_mhz, "result": str(result), "progress": str(done),
        }  # fmt: skip
        job.write_text(json.dumps(description))
        started = time.monotonic()
        _run_with_progress(folder, job, done, waves, seed, progress, len(loaded.events))
        if not result.exists():
            raise CheckFailed("the simulation ended without a result")
        report: dict[str, Any] = json.loads(result.read_text())
    if "error" in report:
        raise CheckFailed(report["error"], details=report.get("details", ""))
    return {"trace": loaded.name, **report, "wall_s": round(time.monotonic() - started, 3)}


def _run_with_progress(folder: Path, job: Path, done: Path, waves: Path | None, seed: int, progress: Progress | None, total: int) -> None:
    """Run the simulation in a thread and pass on what it writes to the progress file."""
    failure: list[SimulationFailed] = []

    def simulate() -> None:
        try:
            run_model(folder, HARNESS_TOP, "seqfault.replay_job", waves=waves, seed=seed, environment={"SEQFAULT_JOB": os.fspath(job)})
        except SimulationFailed as error:
            failure.append(error)

    thread = threading.Thread(target=simulate, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.25)
        if progress is not None and done.exists():
            text = done.read_text()
            progress(int(text) if text.isdigit() else 0, total)
    if failure:
        message, _, details = str(failure[0]).partition("\n")
        raise CheckFailed(f"the simulation failed: {message}", details=details)

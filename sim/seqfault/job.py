"""A cocotb test as a job: it reads the JSON file that SEQFAULT_JOB names, and leaves its result as another."""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import CheckFailed
from .simulator import SimulationFailed, run_model

__all__ = ["failed", "run_job"]

POLL_SECONDS = 0.25


def run_job(
    folder: Path, top: str, test_module: str, description: Mapping[str, Any], *, seed: int, waves: Path | None = None,
    waves_from: int = 0, progress: Callable[[int], None] | None = None, code: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Run a job on a built model; returns its result.

    Parameters
    ----------
    description : what the job is told, besides `result` and `progress`: the files for its result, and for a number that says how far it is.
    waves : VCD or FST file to write, from the time `waves_from` on (picoseconds).
    progress : called with that number now and then.
    code : the model counts lines and toggles: the result gets what it has counted (`RtlCounts`), as "code".

    Raises
    ------
    CheckFailed : the simulation died or left no result, or the result has an `error` (and maybe `details`).
    """
    with tempfile.TemporaryDirectory(prefix="seqfault-job-") as scratch:
        job, result, done = (Path(scratch) / name for name in ("job.json", "result.json", "progress"))
        counts = Path(scratch) / "coverage.dat" if code else None
        job.write_text(json.dumps({**description, "result": str(result), "progress": str(done)}))
        environment = {"SEQFAULT_JOB": os.fspath(job), "SEQFAULT_WAVES_FROM": str(waves_from)}
        failure: list[SimulationFailed] = []

        def simulate() -> None:
            try:
                run_model(folder, top, test_module, waves=waves, seed=seed, environment=environment, coverage=counts)
            except SimulationFailed as error:
                failure.append(error)

        thread = threading.Thread(target=simulate, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if progress is not None and done.exists():
                text = done.read_text()
                progress(int(text) if text.isdigit() else 0)
        if failure:
            raise failed(failure[0]) from failure[0]
        if not result.exists():
            raise CheckFailed("the simulation ended without a result")
        report: dict[str, Any] = json.loads(result.read_text())
        if counts is not None:
            from .coverage_rtl import read_counts

            report["code"] = read_counts(counts, folder / f"{top}_rtl.v").to_json()
    if "error" in report:
        raise CheckFailed(report["error"], details=report.get("details", ""))
    return report


def failed(error: SimulationFailed) -> CheckFailed:
    """What a failed build or simulation means to the user."""
    message, _, details = str(error).partition("\n")
    return CheckFailed(f"the simulation failed: {message}", details=details)

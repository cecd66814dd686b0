"""The cocotb test that `seqfault bench` executes in the simulator: the measurements in the file that SEQFAULT_JOB names, one by one."""

import json
import os
import traceback
from pathlib import Path
from random import Random
from typing import Any

import cocotb

from seqfault_rtl.config import EngineConfig

from .bench_measures import Measures
from .errors import HangError, WrongAnswer

__all__ = ["bench_job"]


@cocotb.test()
async def bench_job(dut: Any) -> None:
    """Leaves {metric: value} of each measurement as JSON, or what went wrong."""
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    progress, results = Path(job["progress"]), []
    measures = Measures(dut, EngineConfig(**job["config"]), Random(job["seed"]))
    task = None
    try:
        await measures.start()
        for task in job["tasks"]:
            results.append(await getattr(measures, task["measure"])(**task["parameters"]))
            progress.write_text(str(len(results)))
        outcome: dict[str, Any] = {"results": results}
    except (HangError, WrongAnswer) as error:
        where = f"{task['measure']} {task['parameters']}: " if task else ""
        outcome = {"error": f"{where}{error}", "details": traceback.format_exc()}
    Path(job["result"]).write_text(json.dumps(outcome))

"""The cocotb test of one measurement of `seqfault bench` on the whole engine: what the file that SEQFAULT_JOB names asks for."""

import json
import os
import traceback
from pathlib import Path
from random import Random
from typing import Any

import cocotb

from seqfault_rtl.config import EngineConfig

from .bench_mutators import MutatorMeasures
from .errors import HangError, WrongAnswer

__all__ = ["bench_engine_job"]


@cocotb.test()
async def bench_engine_job(dut: Any) -> None:
    """Leaves {metric: value, or values} of the measurement as JSON, or what went wrong."""
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    measures = MutatorMeasures(dut, EngineConfig(**job["config"]), Random(job["seed"]), faults=job["faults"], plant=job["plant"])
    try:
        outcome: dict[str, Any] = {"results": await getattr(measures, job["measure"])(**job["parameters"])}
    except (HangError, WrongAnswer) as error:
        outcome = {"error": f"{job['measure']} {job['parameters']}: {error}", "details": traceback.format_exc()}
    Path(job["result"]).write_text(json.dumps(outcome))

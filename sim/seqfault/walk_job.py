"""The cocotb test that `seqfault walk` executes in the simulator: the vectors that the file named by SEQFAULT_JOB describes."""

import json
import os
import time
import traceback
from pathlib import Path
from typing import Any

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_rtl.config import EngineConfig
from seqfault_tb.errors import HangError
from seqfault_tb.walk_bench import WalkBench

from .vectors import load_vectors

PROGRESS_SECONDS = 0.25


@cocotb.test()
async def walk_job(dut: SimHandleBase) -> None:
    """Run, and leave the result as JSON; what goes wrong is a result too."""
    job = json.loads(Path(os.environ["SEQFAULT_JOB"]).read_text())
    try:
        result = await _walk(dut, job)
    except HangError as error:
        result = {"error": f"hang: {error}", "details": traceback.format_exc()}
    except Exception as error:
        result = {"error": f"the testbench failed: {type(error).__name__}: {error}", "details": traceback.format_exc()}
    Path(job["result"]).write_text(json.dumps(result))


async def _walk(dut: SimHandleBase, job: dict[str, Any]) -> dict[str, Any]:
    vectors = load_vectors(job["vectors"], limit=job["limit"])
    path, following = Path(job["progress"]), 0.0

    def progress(done: int) -> None:
        nonlocal following
        now = time.monotonic()
        if now >= following:
            following = now + PROGRESS_SECONDS
            path.write_text(str(done))

    bench = WalkBench(
        dut, EngineConfig(**job["config"]), mode=vectors.mode, limit=vectors.limit, latency=job["latency"], seed=job["seed"],
        on_progress=progress,
    )  # fmt: skip
    await bench.run(vectors.vectors, vectors.images, plant=job["plant"])
    differences = [
        {"number": item.number, "phase": item.phase, "control": str(item.control), "expected": str(item.expected), "got": str(item.got)}
        for item in bench.differences.values()
    ]
    return {
        "differences": differences, "stray": bench.strays, "cycles": bench.cycles, "requests": bench.requests, "found": bench.found,
    }  # fmt: skip

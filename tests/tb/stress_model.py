"""The stress program against the RTL in the harness: one model with all planted bugs, one run of it."""

import json
from pathlib import Path
from typing import Any

from seqfault.engine_model import HARNESS_TOP, build_engine
from seqfault.simulator import run_model
from seqfault_rtl.config import PRESETS
from seqfault_tb import planted
from seqfault_tb.harness_top import HarnessTop
from seqfault_tb.planted import Plant, PlantedEngine

__all__ = ["build", "stress"]

SETTINGS = {"svadu": "true"}


def build() -> Path:
    """The simulation's folder."""
    config = PRESETS["small"].with_settings(SETTINGS)
    return build_engine(config, top=HarnessTop(config, PlantedEngine(config)), key=Path(planted.__file__).read_text())


def stress(
    model: Path, folder: Path, seed: int, *, plant: Plant = Plant.NONE, policy: str = "spec", faults: int = 600, latency: int = 20,
    adue: bool = False, unzeroed: bool = False, small_rings: bool = False, **program: Any,
) -> dict[str, Any]:  # fmt: skip
    """What `seqfault_tb.stress_job` says of a run; `program` are parameters of `Stress`."""
    job, result = folder / "job.json", folder / "result.json"
    job.write_text(json.dumps({
        "preset": "small", "settings": SETTINGS, "latency": latency, "plant": plant.value, "policy": policy, "seed": seed, "adue": adue,
        "unzeroed": unzeroed, "small_rings": small_rings, "program": {"faults": faults} | program, "result": str(result),
    }))  # fmt: skip
    run_model(model, HARNESS_TOP, "seqfault_tb.stress_job", environment={"SEQFAULT_JOB": str(job)}, seed=seed)
    return json.loads(result.read_text())

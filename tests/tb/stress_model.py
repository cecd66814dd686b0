"""Random programs on the RTL in the harness: one model, with all planted bugs, serves them all."""

from typing import Any

from seqfault.regress_case import run_program
from seqfault_tb.planted import Plant
from seqfault_tb.regression.generate import Shape, make_program
from seqfault_tb.regression.program import Conditions

__all__ = ["SETTINGS", "stress"]

SETTINGS = {"svadu": "true"}
CONDITIONS = ("policy", "latency", "adue", "unzeroed", "small_rings", "pressure", "error_rate")


def stress(seed: int, *, plant: Plant = Plant.NONE, faults: int = 600, **options: Any) -> dict[str, Any]:
    """The result of a program; `options` are parameters of `Conditions` and of `Shape`."""
    chosen = {name: options.pop(name) for name in CONDITIONS if name in options}
    conditions = Conditions(preset="small", settings=SETTINGS, plant=plant.name, **chosen)
    return run_program(make_program(seed, Shape(faults=faults, **options), conditions), watchers=("coverage",))

"""Run before tests of the fault unit, in one simulation with them: it notes every step that failed, and leaves the list at the end."""

import json
import os
from pathlib import Path
from typing import Any

import cocotb

from seqfault_golden.layout import Outcome, Step

from .fault_model import FaultContext, FaultModel

LAST = 1000
"""A stage behind all others."""
seen: set[tuple[str, str]] = set()
_step = FaultModel.step


def _noted(model: FaultModel, event: dict[str, int]) -> FaultContext:
    """A step that the model has found right."""
    context = _step(model, event)
    seen.add((Step(event["last"]).name, Outcome(event["outcome"]).name))
    return context


FaultModel.step = _noted  # type: ignore[method-assign]


@cocotb.test(stage=LAST)
async def leave_the_list(dut: Any) -> None:
    """(step, outcome) of every event so far, in the file that FAULT_SEEN names."""
    assert seen, "no test ran before"
    Path(os.environ["FAULT_SEEN"]).write_text(json.dumps(sorted(seen)))

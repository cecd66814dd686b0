"""The whole engine on its pins, with cocotbext-axi as memory: see `seqfault_tb/test_engine.py`."""

import pytest

from seqfault.simulator import run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.engine import Engine

from ..long import in_short


@pytest.mark.parametrize(
    ("policy", "pause", "program"),
    in_short(2, [
        ("spec", "0.0", "anonymous"), ("mm-lock", "0.3", "all kinds"), ("spec", "0.4", "anonymous"), ("vma-lock", "0.2", "anonymous"),
        ("spec", "0.2", "all kinds"), ("mm-lock", "0.2", "anonymous"),
    ]),
)  # fmt: skip
def test_engine(policy: str, pause: str, program: str) -> None:
    run_block(
        Engine(PRESETS["small"]), "seqfault_tb.test_engine", name="engine_pins",
        parameters={"POLICY": policy, "PAUSE": pause, "PROGRAM": program, "SEED": "7"},
    )  # fmt: skip

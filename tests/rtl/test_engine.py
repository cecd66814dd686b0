"""The whole engine on its pins, with cocotbext-axi as memory: see `seqfault_tb/test_engine.py`."""

import pytest

from seqfault.simulator import run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.engine import Engine


@pytest.mark.parametrize(("policy", "pause"), [("spec", "0.0"), ("spec", "0.4"), ("vma-lock", "0.2"), ("mm-lock", "0.2")])
def test_engine(policy: str, pause: str) -> None:
    run_block(
        Engine(PRESETS["small"]), "seqfault_tb.test_engine", name="engine_pins",
        parameters={"POLICY": policy, "PAUSE": pause, "SEED": "7"},
    )  # fmt: skip

"""SRCU.CALL through the whole engine, and a planted bug that the golden model must find: see `seqfault_tb/test_engine_srcu.py`."""

import pytest
from amaranth import Array, Const, Module, Value

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.engine import Engine
from seqfault_rtl.srcu import Srcu

from ..long import LONG

PARAMETERS = {"PAUSE": "0.2", "SEED": "7"}
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # the SRCU that is replaced


def test_engine_srcu() -> None:
    run_block(Engine(PRESETS["small"]), "seqfault_tb.test_engine_srcu", name="engine_pins", parameters=PARAMETERS)


class Deaf(Srcu):
    """Sees no readers."""

    def _readers(self, m: Module, bank: Value) -> Array:
        return Array(Const(0, len(count)) for count in super()._readers(m, bank))


class HastyEngine(Engine):
    def make_blocks(self) -> None:
        super().make_blocks()
        self.srcu = Deaf(self.config)


@LONG
def test_cookie_that_comes_too_early_is_found() -> None:
    with pytest.raises(SimulationFailed, match="runs a fault that had begun before its SRCU_CALL"):
        run_block(HastyEngine(PRESETS["small"]), "seqfault_tb.test_engine_srcu", name="engine_hasty", parameters=PARAMETERS)

"""ReleasedRing under cocotb, and a planted bug that its tests must find."""

import pytest

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.released_ring import ReleasedRing
from seqfault_tb.with_memory import WithMemory

TESTS = "seqfault_tb.test_released_ring"
CONFIG = PRESETS["small"]


def test_released_ring() -> None:
    run_block(WithMemory(CONFIG, ReleasedRing(CONFIG)), TESTS, name="released_ring")


class EarlyTail(ReleasedRing):
    """Records count as safe when they are sent."""

    def _write(self, m, record, *, stored, sent, answered):
        super()._write(m, record, stored=stored, sent=sent, answered=answered)
        with m.If(self.write.request.valid & self.write.request.ready & (self.write.request.payload.addr[3])):
            m.d.sync += answered.eq(sent + 1)


def test_early_idle_is_found() -> None:
    with pytest.raises(SimulationFailed, match="records_and_wrap"):
        run_block(WithMemory(CONFIG, EarlyTail(CONFIG)), TESTS, name="released_ring", testcase="records_and_wrap")

"""SpaceTable under cocotb, and planted bugs that its test must find."""

import pytest
from amaranth import Const

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.paging import PagingMode
from seqfault_rtl.space_table import SpaceTable

from ..long import in_short

TESTS = "seqfault_tb.test_space_table"


def run(table: type[SpaceTable], config: EngineConfig = PRESETS["small"]) -> None:
    run_block(
        table(config),
        TESTS,
        name="space_table",
        parameters={"SPACES": str(config.spaces), "MODES": " ".join(str(PagingMode[name].value) for name in config.modes)},
    )


@pytest.mark.parametrize("config", [PRESETS["small"], EngineConfig(spaces=2)])
def test_space_table(config: EngineConfig) -> None:
    run(SpaceTable, config)


class Aliases(SpaceTable):
    """Space numbers are taken modulo the number of spaces when written."""

    def _column(self, m, name, shape, write, row):
        whole, self.write_space = self.write_space, self.write_space[: self._config.space_bits]
        values = super()._column(m, name, shape, write, row)
        self.write_space = whole
        return values


class WritesBoth(SpaceTable):
    """A new table also changes the VMA tree."""

    def _column(self, m, name, shape, write, row):
        return super()._column(m, name, shape, write | self.write_table, row)


class Forgets(SpaceTable):
    """Nothing is ever written."""

    def _column(self, m, name, shape, write, row):
        return super()._column(m, name, shape, Const(0), row)


@pytest.mark.parametrize("mutant", in_short(2, [Aliases, WritesBoth, Forgets]))
def test_planted_bug_is_found(mutant: type[SpaceTable]) -> None:
    with pytest.raises(SimulationFailed, match="random_writes"):
        run(mutant)

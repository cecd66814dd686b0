"""PageLookup under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Const

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.page_lookup import PageLookup

from ..long import in_short

TESTS = "seqfault_tb.test_page_lookup"


def run(config: EngineConfig, block: type[PageLookup] = PageLookup, testcase: str | None = None) -> None:
    run_block(block(config), TESTS, name="page_lookup", parameters={"CONTEXTS": str(config.contexts)}, testcase=testcase)


@pytest.mark.parametrize("config", in_short(2, [PRESETS["small"], EngineConfig(contexts=1), EngineConfig(contexts=13)]))
def test_page_lookup(config: EngineConfig) -> None:
    run(config)


class ValidIgnored(PageLookup):
    """Inner words lead on with VALID=0 too."""

    def _descend(self, m, fetched, move):
        super()._descend(m, fetched, move)
        with m.If((fetched.level != 0) & ~self.memory.response.payload.error):
            m.d.comb += [move.reads.eq(1), move.ends.eq(0)]


class ErrorForgotten(PageLookup):
    """A word that failed is taken as it is."""

    def _descend(self, m, fetched, move):
        super()._descend(m, fetched, move)
        with m.If(self.memory.response.payload.error & (fetched.level == 0)):
            m.d.comb += move.end.outcome.eq(0)


class SwappedAddress(PageLookup):
    """The answer has the address of a neighbour."""

    def _descend(self, m, fetched, move):
        super()._descend(m, fetched, move)
        m.d.comb += move.end.addr.eq(fetched.addr ^ 8)


class WrappedIndex(PageLookup):
    """A page beyond the tree is looked up without its upper bits."""

    def _begin(self, m, backing, index, move):
        super()._begin(m, backing, index & (1 << 48) - 1, move)


class LowTrees(PageLookup):
    """A page beyond the tree of less than the full height is looked up all the same."""

    def _begin(self, m, backing, index, move):
        super()._begin(m, backing, Const(0, 48), move)


class SharedLevel(PageLookup):
    """All lookups share one level."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += m.submodules.fetches.read_ports[0].addr.eq(0)
        return m


@pytest.mark.parametrize(
    ("mutant", "testcase"),
    in_short(3, [
        (ValidIgnored, "trees"), (ErrorForgotten, "bus_errors"), (WrappedIndex, "wide_sum"), (SwappedAddress, "trees"), (LowTrees, "trees"),
        (SharedLevel, "trees"),
    ]),
)  # fmt: skip
def test_planted_bug_is_found(mutant: type[PageLookup], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=f"{testcase} failed(?s:.*)(instead of|never written)"):
        run(PRESETS["small"], mutant, testcase)

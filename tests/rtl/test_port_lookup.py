"""PortLookup under cocotb, and planted bugs that its tests must find. All bugs are in one model, which an input switches: it is built once."""

from types import SimpleNamespace
from unittest.mock import patch

import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.lib.wiring import In

import seqfault_rtl.port_lookup
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.messages import Request
from seqfault_rtl.miss_records import refusal
from seqfault_rtl.port_lookup import PortLookup

from ..long import in_short

TESTS = "seqfault_tb.test_port_lookup"
BUGS = {
    "slow_hits": "hits_are_answered_next_cycle",
    "slow_misses": "misses_go_next_cycle",
    "slow_returns": "misses_go_next_cycle",
    "keeps_hits": "withdrawn_in_every_place",
    "keeps_returned": "withdrawn_in_every_place",
    "keeps_misses": "withdrawn_in_every_place",
    "forgets_what_is_outstanding": "withdrawn_in_every_place",
    "takes_all": "random_traffic",
    "asks_all": "random_traffic",
    "early_denial": "random_traffic",
    "loses_type": "random_traffic",
    "ignores_sum": "random_traffic",
    "ignores_mxr": "random_traffic",
    "changes_its_offer": "random_traffic",
    "starves_returned": "random_traffic",
}
"""Bug, in the order of its number from 1, to the test that must find it."""


def run(port: PortLookup, config: EngineConfig, *, bug: int = 0, testcase: str | None = None) -> None:
    parameters = {"ENTRIES": config.tlb_entries, "SPACES": config.spaces, "LEVELS": config.levels, "MISSES": config.port_misses,
                  "SV32": int(config.sv32), "BUG": bug}  # fmt: skip
    run_block(port, TESTS, name="port_lookup", parameters={f"PORT_{name}": str(value) for name, value in parameters.items()}, testcase=testcase)


@pytest.mark.parametrize("config", in_short(1, [PRESETS["core"], EngineConfig(tlb_entries=8, port_misses=1, spaces=4)]), ids=["core", "wide"])
def test_port_lookup(config: EngineConfig) -> None:
    run(PortLookup(config), config)


class Buggy(PortLookup):
    """A PortLookup with planted bugs, one of which `bug` switches on."""

    bug: In(5)

    def has(self, name: str) -> Value:
        return self.bug == 1 + list(BUGS).index(name)

    def elaborate(self, platform) -> Module:
        m = super().elaborate(platform)
        hits, refused, returned = m.submodules.hits, m.submodules.refused, m.submodules.returned
        for name, statements in {
            "slow_hits": [hits.offer.eq(0)],
            "slow_misses": [refused.offer.eq(0)],
            "slow_returns": [returned.offer.eq(0)],
            "keeps_hits": [hits.flush.eq(0)],
            "keeps_returned": [returned.flush.eq(0)],
            "keeps_misses": [refused.flush.eq(0)],
            "takes_all": [self.requests.ready.eq(1)],
            "asks_all": [self.misses.valid.eq(refused.output.valid), refused.output.ready.eq(self.misses.ready)],
            "early_denial": [refused.offer.eq(refused.put)],
            "loses_type": [hits.item.pbmt.eq(0)],
        }.items():
            with m.If(self.has(name)):
                m.d.comb += statements
        return m

    def _decide(self, m, tlb, request, waiting, hits, refused):
        """Refusals that do not look at SUM or MXR."""

        def blind(pte, request):
            seen = Signal(Request)
            m.d.comb += seen.eq(request)
            for name in ("sum", "mxr"):
                with m.If(self.has(f"ignores_{name}")):
                    m.d.comb += seen[name].eq(0)
            return refusal(pte, seen)

        with patch.object(seqfault_rtl.port_lookup, "refusal", blind):
            super()._decide(m, tlb, request, waiting, hits, refused)

    def _merge_answers(self, m, hits, returned):
        """What came back goes before a hit that was offered; or hits go always first."""
        late = SimpleNamespace(output=hits.output, level=Mux(self.has("changes_its_offer"), 0, hits.level))
        shown = SimpleNamespace(valid=Signal(), payload=returned.output.payload, ready=returned.output.ready)
        m.d.comb += shown.valid.eq(returned.output.valid & ~(self.has("starves_returned") & hits.output.valid))
        return super()._merge_answers(m, late, SimpleNamespace(output=shown))

    def _pass_misses(self, m, refused, waiting, returned, answered):
        """A withdrawal that does not see what the miss unit has."""
        whole = self.withdraw
        self.withdraw = Mux(self.has("forgets_what_is_outstanding"), 0, whole)
        super()._pass_misses(m, refused, waiting, returned, answered)
        self.withdraw = whole


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_found(bug: str) -> None:
    config = PRESETS["core"]
    with pytest.raises(SimulationFailed, match=BUGS[bug]):
        run(Buggy(config), config, bug=1 + list(BUGS).index(bug), testcase=BUGS[bug])


def test_without_a_planted_bug_it_passes() -> None:
    config = PRESETS["core"]
    run(Buggy(config), config, testcase="withdrawn_in_every_place")

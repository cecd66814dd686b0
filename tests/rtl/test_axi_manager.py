"""AxiManager under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Module
from amaranth.lib import stream

import seqfault_rtl.axi_manager
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.axi_manager import AxiManager
from seqfault_rtl.config import PRESETS
from seqfault_rtl.round_robin import RoundRobin

TESTS = "seqfault_tb.test_axi_manager"


def run(component: AxiManager, readers: int, writers: int, testcase: str | None = None) -> None:
    run_block(component, TESTS, name="axi_manager", parameters={"READERS": str(readers), "WRITERS": str(writers)}, testcase=testcase)


@pytest.mark.parametrize(("readers", "writers"), [(3, 2), (1, 1), (4, 4)])
def test_axi_manager(readers: int, writers: int) -> None:
    run(AxiManager(PRESETS["small"], readers=readers, writers=writers), readers, writers)


class Misrouted(AxiManager):
    """Responses go to the wrong client."""

    def _route(self, m, stage, clients):
        super()._route(m, stage, list(clients)[::-1])


class Greedy(RoundRobin):
    """The lowest request always wins."""

    def elaborate(self, platform):
        bare = Module()
        bare.submodules.inner = inner = RoundRobin(self.count)
        bare.d.comb += [inner.requests.eq(self.requests), self.valid.eq(inner.valid), self.grant.eq(inner.grant)]
        return bare


def leaky_pipe(m, *, name, source):
    """A register that takes a new item while the old one still waits."""
    stage = pipe(m, name=name, source=source)
    with m.If(source.valid & stage.valid):
        m.d.comb += source.ready.eq(1)
        m.d.sync += stage.payload.eq(source.payload)
    return stage


pipe = seqfault_rtl.axi_manager._pipe


class OneSided(AxiManager):
    """Exclusive writes go out as plain ones."""

    def _merge(self, m, name, shape, clients):
        merged = super()._merge(m, name, shape, clients)
        if name == "read":
            return merged
        plain = stream.Signature(merged.payload.shape()).create(path=("plain",))
        m.d.comb += [
            plain.valid.eq(merged.valid),
            merged.ready.eq(plain.ready),
            plain.payload.eq(merged.payload),
            plain.payload.request.exclusive.eq(0),
        ]
        return plain


class Strobeless(AxiManager):
    """All bytes of a word are written."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.axi.wstrb.eq(~0)
        return m


@pytest.mark.parametrize(("mutant", "testcase"), [(OneSided, "exclusive_pairs"), (Strobeless, "out_of_order")])
def test_planted_bug_of_writes_is_found(mutant: type[AxiManager], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant(PRESETS["small"], readers=3, writers=2), 3, 2, testcase)


def test_misrouted_responses_are_found() -> None:
    with pytest.raises(SimulationFailed, match="random_traffic"):
        run(Misrouted(PRESETS["small"], readers=3, writers=2), 3, 2, "random_traffic")


@pytest.mark.parametrize(("name", "planted", "testcase"), [("RoundRobin", Greedy, "full_rate_and_fair"), ("_pipe", leaky_pipe, "out_of_order")])
def test_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, name: str, planted: object, testcase: str) -> None:
    monkeypatch.setattr(seqfault_rtl.axi_manager, name, planted)
    with pytest.raises(SimulationFailed, match=testcase):
        run(AxiManager(PRESETS["small"], readers=3, writers=2), 3, 2, testcase)

"""AxiManager under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Module, Signal
from amaranth.lib import stream

import seqfault_rtl.axi_manager
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.axi_manager import AxiManager
from seqfault_rtl.config import PRESETS
from seqfault_rtl.round_robin import RoundRobin

from ..long import in_short

TESTS = "seqfault_tb.test_axi_manager"


def run(component: AxiManager, readers: int, writers: int, testcase: str | None = None) -> None:
    parameters = {"READERS": str(readers), "WRITERS": str(writers), "BURSTS": str(int(component.burst_writer))}
    run_block(component, TESTS, name="axi_manager", parameters=parameters, testcase=testcase)


@pytest.mark.parametrize(
    ("readers", "writers", "burst_writer"), in_short(3, [(3, 2, False), (1, 1, False), (4, 4, True), (3, 2, True), (1, 1, True)])
)
def test_axi_manager(readers: int, writers: int, burst_writer: bool) -> None:
    run(AxiManager(PRESETS["small"], readers=readers, writers=writers, burst_writer=burst_writer), readers, writers)


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


@pytest.mark.parametrize(("mutant", "testcase"), in_short(1, [(OneSided, "exclusive_pairs"), (Strobeless, "out_of_order")]))
def test_planted_bug_of_writes_is_found(mutant: type[AxiManager], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant(PRESETS["small"], readers=3, writers=2), 3, 2, testcase)


class LastTooSoon(AxiManager):
    """Every data beat says that it is the last."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.axi.wlast.eq(1)
        return m


class Short(AxiManager):
    """Addresses are of one word each."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.axi.awlen.eq(0)
        return m


class Hasty(AxiManager):
    """Words of a burst are taken without room for them."""

    def _burst_words(self, m, begun, *, left, data_free):
        super()._burst_words(m, begun, left=left, data_free=1)


class Wordless(AxiManager):
    """A burst begins whether or not its first word is there."""

    def _burst_words(self, m, begun, *, left, data_free):
        super()._burst_words(m, begun, left=left, data_free=data_free)
        m.d.comb += [begun.valid.eq(self.burst.request.valid), self.burst.data.ready.eq((left != 0) & data_free | begun.valid & begun.ready)]


class Silent(AxiManager):
    """Answers to bursts reach nobody."""

    def _route(self, m, stage, clients):
        super()._route(m, stage, [client for client in clients if client is not self.burst])


class OneTag(AxiManager):
    """Bursts go out with tag 0."""

    def _burst_words(self, m, begun, *, left, data_free):
        super()._burst_words(m, begun, left=left, data_free=data_free)
        m.d.comb += begun.payload.tag.eq(0)


class SlowTurn(AxiManager):
    """A cycle is lost behind each burst."""

    def _merge(self, m, name, shape, requests):
        merged = super()._merge(m, name, shape, requests)
        if name == "read":
            return merged
        pause = Signal()
        m.d.sync += pause.eq(self.axi.wvalid & self.axi.wready & self.axi.wlast)
        gated = stream.Signature(merged.payload.shape()).create(path=("gated",))
        m.d.comb += [gated.valid.eq(merged.valid & ~pause), merged.ready.eq(gated.ready & ~pause), gated.payload.eq(merged.payload)]
        return gated


@pytest.mark.parametrize(
    ("mutant", "testcase"),
    in_short(2, [
        (LastTooSoon, "random_traffic"), (OneTag, "out_of_order"), (SlowTurn, "full_rate_and_fair"), (Short, "random_traffic"),
        (Hasty, "random_traffic"), (Wordless, "out_of_order"), (Silent, "out_of_order"), (LastTooSoon, "bus_errors"),
    ]),
)  # fmt: skip
def test_planted_bug_of_bursts_is_found(mutant: type[AxiManager], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant(PRESETS["small"], readers=3, writers=2, burst_writer=True), 3, 2, testcase)


def test_misrouted_responses_are_found() -> None:
    with pytest.raises(SimulationFailed, match="random_traffic"):
        run(Misrouted(PRESETS["small"], readers=3, writers=2), 3, 2, "random_traffic")


@pytest.mark.parametrize(("name", "planted", "testcase"), [("RoundRobin", Greedy, "full_rate_and_fair"), ("_pipe", leaky_pipe, "out_of_order")])
def test_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, name: str, planted: object, testcase: str) -> None:
    monkeypatch.setattr(seqfault_rtl.axi_manager, name, planted)
    with pytest.raises(SimulationFailed, match=testcase):
        run(AxiManager(PRESETS["small"], readers=3, writers=2), 3, 2, testcase)

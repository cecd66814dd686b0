"""What to do with a miss: refuse it, call it a fault, or walk."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .messages import FaultAnswer, FaultRequest, Outcome, SpaceEntry
from .miss_records import PAGE_OFFSET_BITS, Miss, PortRequest, compose_fault, compose_refusal
from .paging import LEVEL_BITS, PagingMode
from .space_stage import SpaceStage

__all__ = ["MissSort"]


class MissSort(wiring.Component):
    """Sends each miss one of three ways, one every two cycles. The readers look at payloads in the cycle of their transfer only.

    Members
    -------
    miss, port : what is to be sorted, a stream and the port that it is from.
    space, space_entry : combinational query of the space table: which addresses are canonical depends on the mode. [Priv 12.4.1]
    refused : answers FAULT: reason BAD_TABLE (space out of range, or without a table) or BOUNDS (address not canonical).
    fault : the TLB holds the page, without the right.
    walk : the others.
    """

    miss: In(stream.Signature(Miss))
    port: In(8)
    space: Out(16)
    space_entry: In(SpaceEntry)
    refused: Out(stream.Signature(FaultAnswer))
    fault: Out(stream.Signature(FaultRequest))
    walk: Out(stream.Signature(PortRequest))

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.stage = stage = SpaceStage()
        miss, asked = self.miss, self.walk.payload
        bad_table, canonical = Signal(), Signal()
        m.d.comb += [
            asked.request.eq(miss.payload.request),
            asked.port.eq(self.port),
            stage.waiting.eq(miss.valid),
            stage.wanted.eq(asked.request.space),
            stage.passed.eq(miss.ready),
            self.space.eq(stage.space),
            stage.space_entry.eq(self.space_entry),
            *compose_fault(self.fault.payload, asked),
            *compose_refusal(self.refused.payload, asked, Mux(bad_table, Outcome.BAD_TABLE, Outcome.BOUNDS)),
        ]
        with m.Switch(stage.entry.mode):
            for mode in (PagingMode.SV39, PagingMode.SV48):
                with m.Case(mode):
                    sign = asked.request.va[PAGE_OFFSET_BITS + mode.levels * LEVEL_BITS - 1 :]
                    m.d.comb += canonical.eq(sign.all() | ~sign.any())
            with m.Default():
                m.d.comb += bad_table.eq(1)
        with m.If(bad_table | ~canonical):
            self._send(m, self.refused, stage)
        with m.Elif(miss.payload.denied):
            self._send(m, self.fault, stage)
        with m.Else():
            self._send(m, self.walk, stage)
        return m

    def _send(self, m: Module, way: wiring.PureInterface, stage: SpaceStage) -> None:
        m.d.comb += [way.valid.eq(stage.known), self.miss.ready.eq(stage.known & way.ready)]

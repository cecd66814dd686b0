"""Collects the reports of all FAULT answers for the fault queue: one a cycle, and nobody who answers waits for it.

    MissEnd (walks, refusals) ------------------+
    AdUpdate -----------------> queue of 2 -----+--> register --> FaultQueue
    fault unit (refused) -----> queue ----------+

No queue overflows. A report is made when its answer leaves its source, or before that; and answers leave for the ports one a cycle, as reports
leave here whenever one waits. So at any time at most one report more waits here than there are reported answers that have not left. MissEnd's
answers leave in the cycle in which they are made, and only its reports go before others, so that it needs no queue.
AdUpdate's wait in one register at most. The fault unit has room for two answers per context.
"""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .fault_records import FaultReport, ReportSignature

__all__ = ["FaultReports"]

UPDATE_REPORTS = 2
"""The next answer of AdUpdate can only follow when the one before has left, in a cycle in which MissEnd reports nothing: its report leaves too."""
MARGIN = 4
"""Places beside those of the answers that the fault unit may hold: one in the answers' merge, the one more, the one just written; one spare."""


class FaultReports(wiring.Component):
    """Reports of three sources into one stream, in a fixed order of precedence.

    Parameters
    ----------
    config : `contexts` of the fault unit.

    Members
    -------
    ended, updated, refused : one report in the cycle of each FAULT answer of MissEnd, AdUpdate and the fault unit; taken in that cycle.
    output : one a cycle, taken in that cycle; at the earliest one cycle after it was made.
    """

    ended: In(ReportSignature())
    updated: In(ReportSignature())
    refused: In(ReportSignature())
    output: Out(ReportSignature())

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        updated = self._queue(m, "updates", self.updated, UPDATE_REPORTS)
        refused = self._queue(m, "refusals", self.refused, 2 * self._config.contexts + MARGIN)
        valid, chosen = Signal(), Signal(FaultReport)
        m.d.comb += [self.output.valid.eq(valid), self.output.payload.eq(chosen)]
        m.d.sync += [valid.eq(self.ended.valid | updated.r_rdy | refused.r_rdy), chosen.eq(self.ended.payload)]
        with m.If(~self.ended.valid):
            with m.If(updated.r_rdy):
                m.d.comb += updated.r_en.eq(1)
                m.d.sync += chosen.eq(updated.r_data)
            with m.Else():
                m.d.comb += refused.r_en.eq(1)
                m.d.sync += chosen.eq(refused.r_data)
        return m

    def _queue(self, m: Module, name: str, source: wiring.PureInterface, depth: int) -> SyncFIFO:
        """The reports of `source` in order, with room for `depth`."""
        report = source.payload.as_value()
        m.submodules[name] = fifo = SyncFIFO(width=len(report), depth=depth)
        m.d.comb += [fifo.w_en.eq(source.valid), fifo.w_data.eq(report)]
        return fifo

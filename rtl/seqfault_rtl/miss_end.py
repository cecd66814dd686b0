"""The end of a miss: one answer, fault or update a cycle, for each request that waits for the same walk."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .fault_records import ReportSignature
from .messages import AnswerStatus, ChangeCount, FaultAnswer, FaultRequest, FillRecord, Outcome, WalkOutcome, WalkResponse
from .miss_records import (
    PAGE_OFFSET_BITS,
    AdRequest,
    PortRequest,
    Verdict,
    compose_answer,
    compose_fault,
    compose_refusal,
    compose_report,
    walk_verdict,
)
from .miss_table import miss_bits

__all__ = ["EndedMiss", "EndedMisses", "MissEnd"]


class EndedMiss(data.Struct):
    """How a miss ended. Without `decided`: by what `walk` says, from memory or the L2 TLB (`from_l2`). With it: `refused`, else a page fault.

    `changes`: the count when the walk in memory began.
    """

    walk: WalkResponse
    from_l2: 1
    decided: 1
    refused: 1
    reason: Outcome
    changes: ChangeCount


class EndedMisses(data.StructLayout):
    """`end` of the miss with this number, and of those chained behind it in the table."""

    def __init__(self, config: EngineConfig) -> None:
        super().__init__({"end": EndedMiss, "miss": miss_bits(config), "chained": 1})


class MissEnd(wiring.Component):
    """Holds the end of a walk in a register, and gives each request that waited for it what it means for that one.

    Parameters
    ----------
    config : parameters of the engine.
    has_fault_unit : page faults of user-mode requests go to `faults`; else all are answered FAULT.

    Members
    -------
    ends : what has ended, one in two cycles at the most: whether what is held is the last of its chain is known too late to take more.
    current, asked, following, is_last, leave : the table, see `MissTable`; `leave_walk` with the last of a chain.
    answers, faults, updates : what becomes of the request. report : in the cycle of each FAULT answer, for the fault queue.
    fill, fill_port, fill_record, from_l2 : strobe with an OK answer: the leaf, unless stale: for the port's TLB, and for the L2 TLB if it is
        not from there.
    invalidate : strobe: what is held here becomes stale.
    """

    def __init__(self, config: EngineConfig, *, has_fault_unit: bool) -> None:
        self._has_fault_unit = has_fault_unit
        miss = miss_bits(config)
        super().__init__(
            {
                "ends": In(stream.Signature(EndedMisses(config))),
                "current": Out(miss),
                "asked": In(PortRequest),
                "following": In(miss),
                "is_last": In(1),
                "leave": Out(1),
                "leave_walk": Out(1),
                "answers": Out(stream.Signature(FaultAnswer)),
                "faults": Out(stream.Signature(FaultRequest)),
                "updates": Out(stream.Signature(AdRequest)),
                "report": Out(ReportSignature()),
                "fill": Out(1),
                "fill_port": Out(8),
                "fill_record": Out(FillRecord),
                "from_l2": Out(1),
                "invalidate": In(1),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        held, valid, taken = Signal(self.ends.payload.shape()), Signal(), Signal()
        last = ~held.chained | self.is_last
        m.d.comb += [
            self.current.eq(held.miss),
            self.ends.ready.eq(~valid),
            self.leave.eq(valid & taken),
            self.leave_walk.eq(valid & taken & held.chained & self.is_last),
        ]
        with m.If(valid & taken):
            m.d.sync += [held.miss.eq(self.following), valid.eq(~last)]
        with m.If(self.ends.ready):
            m.d.sync += [valid.eq(self.ends.valid), held.eq(self.ends.payload)]
        with m.If(self.invalidate):  # what is taken in this cycle too: the L2 TLB may have given it just before
            m.d.sync += held.end.walk.stale.eq(1)
        self._send(m, held.end, valid, taken)
        return m

    def _verdict(self, m: Module, end: EndedMiss) -> Verdict:
        """What the end means for the request `asked`; a page fault that no fault unit serves is a refusal."""
        verdict = walk_verdict(m, end.walk, self.asked.request)
        final, unserved = Signal(Verdict), Signal()
        m.d.comb += [final.eq(verdict), unserved.eq(self.asked.request.supervisor | end.walk.sv32 | (not self._has_fault_unit))]
        with m.If(end.decided):
            m.d.comb += [final.eq(0), final.refused.eq(end.refused), final.faulted.eq(~end.refused), final.reason.eq(end.reason)]
        faulted = Mux(end.decided, ~end.refused, verdict.faulted)
        with m.If(faulted & unserved):
            m.d.comb += [final.faulted.eq(0), final.refused.eq(1)]
        return final

    def _send(self, m: Module, end: EndedMiss, valid: Value, taken: Signal) -> None:
        asked, request, walk = self.asked, self.asked.request, end.walk
        verdict = self._verdict(m, end)
        answer = self.answers.payload
        with m.If(verdict.permitted):
            pa = walk.pte.translate(request.va, walk.size)
            body = compose_answer(answer.answer, request, status=AnswerStatus.OK, reason=Outcome.OK, pa=pa, pbmt=walk.pte.pbmt)
            m.d.comb += [answer.port.eq(asked.port), *body]
        with m.Else():
            m.d.comb += compose_refusal(answer, asked, verdict.reason)
        m.d.comb += [
            self.answers.valid.eq(valid & (verdict.permitted | verdict.refused)),
            self.faults.valid.eq(valid & verdict.faulted),
            self.updates.valid.eq(valid & verdict.needs_update),
            taken.eq(Mux(verdict.faulted, self.faults.ready, Mux(verdict.needs_update, self.updates.ready, self.answers.ready))),
            self.report.valid.eq(valid & verdict.refused & self.answers.ready),
            *compose_report(self.report.payload, asked, verdict.reason),
            *compose_fault(self.faults.payload, asked, verdict.reason),
            # V=0 with content (a swap entry, say) belongs to software
            self.faults.payload.empty.eq(~end.decided & (walk.outcome == WalkOutcome.NONE) & (walk.level == 0) & ~walk.pte.as_value().any()),
            self.faults.payload.pte_addr.eq(walk.pte_addr),
            self.faults.payload.changes.eq(end.changes),
            self.fill.eq(valid & verdict.permitted & self.answers.ready & ~walk.stale),
            self.fill_port.eq(asked.port),
            self.from_l2.eq(end.from_l2),
            self.fill_record.space.eq(request.space),
            self.fill_record.vpn.eq(request.va[PAGE_OFFSET_BITS:]),
            self.fill_record.size.eq(walk.size),
            self.fill_record.pte.eq(walk.pte),
            self.updates.payload.asked.eq(asked),
            self.updates.payload.walk_first.eq(end.from_l2),
        ]
        m.d.comb += [getattr(self.updates.payload, name).eq(getattr(walk, name)) for name in ("pte", "pte_addr", "sv32", "size", "stale")]


def ended_leaf(walk: WalkResponse, *, pte: Value, size: Value, adue: Value, sv32: Value) -> list:  # type: ignore[type-arg]
    """Statements that make `walk` the end of a walk at this leaf, whose address is not known."""
    return [walk.outcome.eq(WalkOutcome.LEAF), walk.pte.eq(pte), walk.size.eq(size), walk.adue.eq(adue), walk.sv32.eq(sv32)]

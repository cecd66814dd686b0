"""One requester port: TLB lookup, hits answered at once, the rest to the miss unit, answers merged.

    requests --> TLB --> decide --+--> hits ------------------------+--> answers
                                  +--> refused --> misses           |
                     miss answers ------------------> returned -----+

A request is taken only when both queues behind the decision have room for it, so nothing waits on the outcome of a lookup (which comes late
in its cycle).
"""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .messages import Answer, AnswerStatus, FillRecord, InvalidateRecord, Outcome, Request
from .miss_records import PAGE_OFFSET_BITS, Miss, compose_answer
from .paging import Pte
from .tlb import LookupRecord, Tlb

__all__ = ["PortLookup"]

DECIDED_DEPTH = 4
"""Room for decided requests: one in the lookup, and those whose place is given back a cycle late."""


class PortLookup(wiring.Component):
    """The front of one port. A request that hits is answered two cycles later, one a cycle.

    Requests enter in order. Those that miss are queued and passed on while less than `port_misses` are outstanding; hits go past them until
    the queue is full. Answers that come back for misses always find room (`port_misses` places), and go before hits: no port can block what
    others share.

    Parameters
    ----------
    config : parameters of the engine.

    Members
    -------
    requests, answers : the requester.
    misses : to the miss unit.
    miss_answers : one for every miss taken; ready always.
    fill, fill_record, invalidate, record : strobes, as in `Tlb`.
    """

    requests: In(stream.Signature(Request))
    answers: Out(stream.Signature(Answer))
    misses: Out(stream.Signature(Miss))
    miss_answers: In(stream.Signature(Answer))
    fill: In(1)
    fill_record: In(FillRecord)
    invalidate: In(1)
    record: In(InvalidateRecord)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.tlb = tlb = Tlb(self._config)
        m.submodules.hits = hits = SyncFIFO(width=len(self.answers.payload.as_value()), depth=DECIDED_DEPTH)
        m.submodules.refused = refused = SyncFIFO(width=len(self.misses.payload.as_value()), depth=DECIDED_DEPTH)
        request, waiting, allowed, miss = Signal(Request), Signal(), Signal(), Signal(Miss)
        self._connect_tlb(m, tlb)
        m.d.comb += [
            self.requests.ready.eq((hits.level < DECIDED_DEPTH - 1) & (refused.level < DECIDED_DEPTH - 1)),
            allowed.eq(tlb.hit & tlb.pte.permits(request.access)),
            hits.w_en.eq(waiting & allowed),
            hits.w_data.eq(self._hit_answer(m, request, tlb.pte, tlb.level)),
            miss.request.eq(request),
            miss.denied.eq(tlb.hit),
            refused.w_en.eq(waiting & ~allowed),
            refused.w_data.eq(miss),
        ]
        m.d.sync += [waiting.eq(self.requests.valid & self.requests.ready), request.eq(self.requests.payload)]
        returned = self._pass_misses(m, refused)
        self._merge_answers(m, hits, returned)
        return m

    def _connect_tlb(self, m: Module, tlb: Tlb) -> None:
        lookup = Signal(LookupRecord)
        m.d.comb += [
            lookup.space.eq(self.requests.payload.space),
            lookup.vpn.eq(self.requests.payload.va[PAGE_OFFSET_BITS:]),
            tlb.lookup.eq(self.requests.valid & self.requests.ready),
            tlb.lookup_record.eq(lookup),
            tlb.fill.eq(self.fill),
            tlb.fill_record.eq(self.fill_record),
            tlb.invalidate.eq(self.invalidate),
            tlb.record.eq(self.record),
        ]

    def _hit_answer(self, m: Module, request: Request, pte: Pte, level: Signal) -> Signal:
        answer = Signal(Answer)
        pa = pte.translate(request.va, level)
        m.d.comb += compose_answer(answer, request, status=AnswerStatus.OK, reason=Outcome.OK, pa=pa)
        return answer

    def _pass_misses(self, m: Module, refused: SyncFIFO) -> SyncFIFO:
        """Misses go on while there is a place for their answers; returns the queue of those."""
        depth = self._config.port_misses
        m.submodules.returned = returned = SyncFIFO(width=len(self.miss_answers.payload.as_value()), depth=depth)
        outstanding = Signal(range(depth + 1))
        m.d.comb += [
            self.misses.valid.eq(refused.r_rdy & (outstanding != depth)),
            self.misses.payload.eq(refused.r_data),
            refused.r_en.eq(self.misses.ready & (outstanding != depth)),
            returned.w_en.eq(self.miss_answers.valid),
            returned.w_data.eq(self.miss_answers.payload),
            self.miss_answers.ready.eq(returned.w_rdy),
        ]
        gone, back = self.misses.valid & self.misses.ready, returned.r_rdy & returned.r_en
        m.d.sync += outstanding.eq(outstanding + gone - back)
        return returned

    def _merge_answers(self, m: Module, hits: SyncFIFO, returned: SyncFIFO) -> None:
        """What came back goes first (there is only so much of it), but a hit that has been offered stays."""
        offered = Signal()
        with m.If(returned.r_rdy & ~offered):
            m.d.comb += [self.answers.valid.eq(1), self.answers.payload.eq(returned.r_data), returned.r_en.eq(self.answers.ready)]
        with m.Else():
            m.d.comb += [self.answers.valid.eq(hits.r_rdy), self.answers.payload.eq(hits.r_data), hits.r_en.eq(self.answers.ready)]
            m.d.sync += offered.eq(hits.r_rdy & ~self.answers.ready)

"""One requester port: TLB lookup, hits answered at once, the rest to the miss unit, answers merged."""

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


class PortLookup(wiring.Component):
    """The front of one port. A request that hits is answered two cycles later, one a cycle.

    Requests enter in order. One that misses is passed on and those behind it go on, unless `port_misses` are outstanding. Answers that come
    back for misses always find room (`port_misses` places), and go before hits: no port can block what others share.

    Parameters
    ----------
    config : parameters of the engine.

    Members
    -------
    requests, answers : the requester.
    misses : to the miss unit. `denied` may fall while it waits, when an invalidation takes the entry.
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
        m.submodules.returned = returned = SyncFIFO(width=len(self.miss_answers.payload.as_value()), depth=self._config.port_misses)
        request, waiting = Signal(Request), Signal()
        allowed, may_answer, may_miss = Signal(), Signal(), Signal()
        outstanding = Signal(range(self._config.port_misses + 1))
        self._connect_tlb(m, tlb)
        m.d.comb += [
            allowed.eq(tlb.hit & tlb.pte.permits(request.access)),
            may_answer.eq((~self.answers.valid | self.answers.ready) & ~returned.r_rdy),
            may_miss.eq(self.misses.ready & self.misses.valid),
            self.misses.valid.eq(waiting & ~allowed & (outstanding != self._config.port_misses)),
            self.misses.payload.request.eq(request),
            self.misses.payload.denied.eq(tlb.hit),
            self.requests.ready.eq(~waiting | may_miss | (allowed & may_answer)),
            returned.w_en.eq(self.miss_answers.valid),
            returned.w_data.eq(self.miss_answers.payload),
            self.miss_answers.ready.eq(returned.w_rdy),
            returned.r_en.eq(~self.answers.valid | self.answers.ready),
        ]
        with m.If(self.requests.ready):
            m.d.sync += [waiting.eq(self.requests.valid), request.eq(self.requests.payload)]
        back = returned.r_en & returned.r_rdy
        m.d.sync += outstanding.eq(outstanding + may_miss - back)
        with m.If(self.answers.ready):
            m.d.sync += self.answers.valid.eq(0)
        with m.If(back):
            m.d.sync += [self.answers.valid.eq(1), self.answers.payload.eq(returned.r_data)]
        with m.Elif(waiting & allowed & may_answer):
            m.d.sync += [self.answers.valid.eq(1), self.answers.payload.eq(self._hit_answer(m, request, tlb.pte, tlb.level))]
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

"""One requester port: TLB lookup, hits answered at once, the rest to the miss unit, answers merged.

    requests --> TLB --> decide --+--> hits ------------------------+--> answers
                                  +--> refused --> misses           |
                     miss answers ------------------> returned -----+

All three are queues that are passed in the same cycle while they are empty. A request is taken only when both queues behind the decision
have room for it, so nothing waits on the outcome of a lookup (which comes late in its cycle).
"""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .bypass_queue import BypassQueue
from .config import PADDR_BITS, EngineConfig
from .messages import Answer, AnswerStatus, FillRecord, InvalidateRecord, Outcome, Request
from .miss_records import PAGE_OFFSET_BITS, Miss, compose_answer, refusal
from .paging import PPN_BITS
from .tlb import Tlb

__all__ = ["Hit", "PortLookup"]

DECIDED_DEPTH = 4
"""Room for decided requests: one in the lookup, and those whose place is given back a cycle late."""


class Hit(data.Struct):
    """What differs between the answers of hits."""

    pa: PADDR_BITS
    tag: 9
    pbmt: 2


class PortLookup(wiring.Component):
    """The front of one port. A request that hits is answered in the next cycle, one a cycle, if nothing else waits for its answer.

    Requests enter in order. Those that miss are passed on in the next cycle (a cycle later if an entry is held, but refuses) while less than
    `port_misses` are outstanding, or wait in a queue; hits go past them until it is full. Answers that come back for misses always find room
    (`port_misses` places): no port can block what others share. They go before hits, but while both wait they take turns.

    Parameters
    ----------
    config : parameters of the engine.

    Members
    -------
    requests, answers : the requester. `requests.ready` comes from registers.
    withdraw : strobe: from the next cycle on no request taken before this cycle is answered. Misses taken after it wait until all those
        outstanding have come back.
    misses : to the miss unit. may_miss : early in the cycle, that there may be one.
    miss_answers : one for every miss taken, in a later cycle; ready always.
    fill, fill_record, invalidate, record : strobes, as in `Tlb`.
    """

    requests: In(stream.Signature(Request))
    answers: Out(stream.Signature(Answer))
    withdraw: In(1)
    misses: Out(stream.Signature(Miss))
    may_miss: Out(1)
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
        m.submodules.hits = hits = BypassQueue(Hit, DECIDED_DEPTH)
        m.submodules.refused = refused = BypassQueue(Miss, DECIDED_DEPTH)
        m.submodules.returned = returned = BypassQueue(Answer, self._config.port_misses)
        m.d.comb += [queue.flush.eq(self.withdraw) for queue in (hits, refused, returned)]
        taken = self.requests.valid & self.requests.ready
        request, waiting = Signal(Request), Signal()
        m.d.comb += self.requests.ready.eq((hits.level < DECIDED_DEPTH - 1) & (refused.level < DECIDED_DEPTH - 1))
        m.d.sync += [waiting.eq(taken), request.eq(self.requests.payload)]
        self._look_up(m, tlb, taken)
        self._decide(m, tlb, request, waiting, hits, refused)
        self._pass_misses(m, refused, waiting, returned, self._merge_answers(m, hits, returned))
        return m

    def _look_up(self, m: Module, tlb: Tlb, taken: Value) -> None:
        m.d.comb += [
            tlb.lookup.eq(taken),
            tlb.lookup_record.space.eq(self.requests.payload.space),
            tlb.lookup_record.vpn.eq(self.requests.payload.va[PAGE_OFFSET_BITS:]),
            tlb.fill.eq(self.fill),
            tlb.fill_record.eq(self.fill_record),
            tlb.invalidate.eq(self.invalidate),
            tlb.record.eq(self.record),
        ]

    def _decide(self, m: Module, tlb: Tlb, request: Request, waiting: Signal, hits: BypassQueue, refused: BypassQueue) -> None:
        """A hit is answered; the rest goes to the misses, at once only if it is known early, that is without reading the entry."""
        reason = Signal(Outcome)
        allowed = reason == Outcome.OK
        missed = waiting & ~tlb.hit
        mask = tlb.mask[:PPN_BITS]
        frame = (tlb.pte.ppn & ~mask) | (request.va[PAGE_OFFSET_BITS:][:PPN_BITS] & mask)
        m.d.comb += [
            reason.eq(refusal(tlb.pte, request)),
            hits.put.eq(waiting & tlb.hit & allowed),
            hits.offer.eq(hits.put),
            hits.item.pa.eq(Cat(request.va[:PAGE_OFFSET_BITS], frame)),
            hits.item.tag.eq(request.tag),
            hits.item.pbmt.eq(tlb.pte.pbmt),
            refused.put.eq(missed | (waiting & ~allowed)),
            refused.offer.eq(missed),
            refused.item.request.eq(request),
            refused.item.denied.eq(tlb.hit),
            refused.item.reason.eq(Mux(tlb.hit, reason, Outcome.OK)),
        ]

    def _merge_answers(self, m: Module, hits: BypassQueue, returned: BypassQueue) -> Value:
        """What came back goes first, but turns are taken while hits wait, and what has been offered stays; whether one of those is taken."""
        turn_of_hits, chosen, answer = Signal(), Signal(), self.answers.payload
        hit = hits.output.payload
        m.d.comb += [
            chosen.eq(returned.output.valid & ~(turn_of_hits & hits.level.any())),
            self.answers.valid.eq(returned.output.valid | hits.output.valid),
            *compose_answer(answer, hit, status=AnswerStatus.OK, reason=Outcome.OK, pa=hit.pa, pbmt=hit.pbmt),
            returned.output.ready.eq(self.answers.ready & chosen),
            hits.output.ready.eq(self.answers.ready & ~chosen),
        ]
        with m.If(chosen):
            m.d.comb += answer.eq(returned.output.payload)
        m.d.sync += turn_of_hits.eq(chosen == self.answers.ready)
        return returned.output.valid & returned.output.ready

    def _pass_misses(self, m: Module, refused: BypassQueue, waiting: Value, returned: BypassQueue, answered: Value) -> None:
        """Misses go on while there is a place for their answers, and while none is outstanding that was withdrawn."""
        depth = self._config.port_misses
        outstanding, places, draining, passed = Signal(range(depth + 1)), Signal(range(depth + 1)), Signal(), Signal()
        back, dropped = self.miss_answers.valid, Signal()
        m.d.comb += [
            dropped.eq(draining & outstanding.any()),
            passed.eq((places != depth) & ~dropped),
            self.misses.valid.eq(refused.output.valid & passed),
            self.may_miss.eq((refused.level.any() | waiting) & passed),
            self.misses.payload.request.eq(refused.output.payload.request),
            refused.output.ready.eq(self.misses.ready & passed),
            self.miss_answers.ready.eq(1),
            returned.item.eq(self.miss_answers.payload),
            returned.put.eq(back & ~dropped),
            returned.offer.eq(back & ~dropped),
        ]
        with m.If(refused.level.any()):
            m.d.comb += [self.misses.payload.denied.eq(refused.output.payload.denied), self.misses.payload.reason.eq(refused.output.payload.reason)]
        gone = self.misses.valid & self.misses.ready
        m.d.sync += [outstanding.eq(outstanding + gone - back), draining.eq(self.withdraw | dropped)]
        with m.If(self.withdraw):
            m.d.sync += places.eq(outstanding + gone - back)
        with m.Else():
            m.d.sync += places.eq(places + gone - Mux(dropped, back, answered))

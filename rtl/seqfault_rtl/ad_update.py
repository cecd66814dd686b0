"""Setting A and D of a leaf entry for an access that needs nothing else: the Translator's slow path with Svadu. [Priv 12.3.2, step 9]

    requests --> swap in memory --+--> swapped: answer OK, fill
                   ^              +--> bus error: answer FAULT
                   |              +--> another entry is there: walk --+--> permitted: answer OK, fill
                   +----------- A or D is clear again ----------------+--> answer FAULT, or a fault

The entry that is compared is the one whose checks were passed, so the update is atomic with them.
"""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .fault_records import ReportSignature
from .messages import (
    AnswerStatus,
    FaultAnswer,
    FaultRequest,
    FillRecord,
    MemoryUpdateSignature,
    Outcome,
    WalkRequest,
    WalkResponse,
)
from .miss_records import PAGE_OFFSET_BITS, AdRequest, Verdict, compose_answer, compose_fault, compose_report, exception_of, walk_verdict
from .paging import VPN_BITS, Access, Pte

__all__ = ["MAX_SWAPS", "AdUpdate"]

MAX_SWAPS = 8
"""Swaps tried for one request: whoever loses that often against other writers of the entry is asked to try again."""


class AdUpdate(wiring.Component):
    """Updates for one request at a time; every request gets one answer or one fault, after at most `MAX_SWAPS` swaps and walks.

    Parameters
    ----------
    config : parameters of the engine; without `sv32` all entries have 64 bits.
    has_fault_unit : page faults of user-mode requests go to `faults`; else all are answered FAULT.

    Members
    -------
    requests : leaves that refuse their access with AD_CLEAR, in spaces with `adue`. A stale one is walked for again before anything is
        written: a table that was unlinked before the invalidation is written to only by what was in work then.
    answers : OK; RETRY with reason RACED after too many swaps that failed; FAULT with reason BUS_ERROR (of the swap or of a walk),
        BAD_TABLE (the space has no table any more), or of a page fault that is not one for `faults`.
    faults : what a walk found instead of such a leaf.
    report : in the cycle of each FAULT answer, for the fault queue.
    fill, fill_port, fill_record : strobe in the cycle of an answer OK: the leaf as it is in memory now, for the port's TLB. Not given if
        `invalidate` was high in any cycle since the request was taken, or in this one, or the leaf was stale before.
    walk_request, walk_response : the walker, for this block only.
    update : memory.
    invalidate : strobe; whatever it covers.
    busy : a request is in work; it may still write to the page table that it found, even to one that has been unlinked meanwhile.
    """

    requests: In(stream.Signature(AdRequest))
    answers: Out(stream.Signature(FaultAnswer))
    faults: Out(stream.Signature(FaultRequest))
    report: Out(ReportSignature())
    fill: Out(1)
    fill_port: Out(8)
    fill_record: Out(FillRecord)
    walk_request: Out(stream.Signature(WalkRequest))
    walk_response: In(stream.Signature(WalkResponse))
    update: Out(MemoryUpdateSignature())
    invalidate: In(1)
    busy: Out(1)

    def __init__(self, config: EngineConfig, *, has_fault_unit: bool = True) -> None:
        self._config, self._has_fault_unit = config, has_fault_unit
        super().__init__()

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        item, swaps = Signal(AdRequest), Signal(range(MAX_SWAPS + 1))
        status, reason = Signal(AnswerStatus), Signal(Outcome)
        with m.If(self.invalidate):
            m.d.sync += item.stale.eq(1)
        wanted = self._wanted(m, item)
        self._offer(m, item, wanted)
        self._compose(m, item, status, reason)
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += self.requests.ready.eq(1)
                with m.If(self.requests.valid):
                    stale = self.requests.payload.stale | self.invalidate
                    m.d.sync += [item.eq(self.requests.payload), item.stale.eq(stale), swaps.eq(0)]
                    m.next = "SWAP"
                    with m.If(~self._is_usable(self.requests.payload)):
                        m.next = "WALK"
            with m.State("SWAP"):
                m.d.comb += self.update.request.valid.eq(1)
                with m.If(self.update.request.ready):
                    m.d.sync += swaps.eq(swaps + 1)
                    m.next = "SWAPPED"
            with m.State("SWAPPED"):
                m.d.comb += self.update.response.ready.eq(1)
                with m.If(self.update.response.valid):
                    self._after_swap(m, item, wanted, swaps, status, reason)
            with m.State("WALK"):
                m.d.comb += self.walk_request.valid.eq(1)
                with m.If(self.walk_request.ready):
                    m.next = "WALKED"
            with m.State("WALKED"):
                m.d.comb += self.walk_response.ready.eq(1)
                with m.If(self.walk_response.valid):
                    self._after_walk(m, item, status, reason)
            with m.State("ANSWER"):
                m.d.comb += self.answers.valid.eq(1)
                with m.If(self.answers.ready):
                    m.d.comb += self.fill.eq((status == AnswerStatus.OK) & self._is_fresh(item))
                    m.d.comb += self.report.valid.eq(status == AnswerStatus.FAULT)
                    m.next = "IDLE"
            with m.State("FAULT"):
                m.d.comb += self.faults.valid.eq(1)
                with m.If(self.faults.ready):
                    m.next = "IDLE"
        return m

    def _wanted(self, m: Module, item: AdRequest) -> Signal:
        """The entry with A, and with D if the access is a store. [Priv 12.3.2, step 9]"""
        wanted = Signal(Pte)
        m.d.comb += [wanted.eq(item.pte), wanted.a.eq(1), wanted.d.eq(item.pte.d | (item.asked.request.access == Access.STORE))]
        return wanted

    def _is_usable(self, request: AdRequest) -> Value:
        """The leaf is one to begin with."""
        return ~request.walk_first & ~request.stale & ~self.invalidate

    def _is_last(self, swaps: Signal) -> Value:
        return swaps == MAX_SWAPS

    def _is_fresh(self, item: AdRequest) -> Value:
        return ~item.stale & ~self.invalidate

    def _after_swap(self, m: Module, item: AdRequest, wanted: Signal, swaps: Signal, status: Signal, reason: Signal) -> None:
        with m.If(self.update.response.payload.error):
            m.d.sync += [status.eq(AnswerStatus.FAULT), reason.eq(Outcome.BUS_ERROR)]
            m.next = "ANSWER"
        with m.Elif(self.update.response.payload.swapped):
            m.d.sync += [item.pte.eq(wanted), status.eq(AnswerStatus.OK), reason.eq(Outcome.OK)]
            m.next = "ANSWER"
        with m.Elif(self._is_last(swaps)):
            m.d.sync += [status.eq(AnswerStatus.RETRY), reason.eq(Outcome.RACED)]
            m.next = "ANSWER"
        with m.Else():
            m.next = "WALK"

    def _after_walk(self, m: Module, item: AdRequest, status: Signal, reason: Signal) -> None:
        ended = self.walk_response.payload
        verdict: Verdict = walk_verdict(m, ended, item.asked.request)
        m.d.sync += [
            *(item[name].eq(ended[name]) for name in ("pte", "pte_addr", "size", "sv32")),
            item.stale.eq(item.stale | ended.stale | self.invalidate),
            status.eq(Mux(verdict.permitted, AnswerStatus.OK, AnswerStatus.FAULT)),
            reason.eq(verdict.reason),
        ]
        with m.If(verdict.needs_update):
            m.next = "SWAP"
        with m.Elif(verdict.faulted & ~self._is_unserved(item, ended)):
            m.next = "FAULT"
        with m.Else():
            m.next = "ANSWER"

    def _is_unserved(self, item: AdRequest, ended: WalkResponse) -> Value:
        """No fault unit repairs this fault; as in `MissEnd`."""
        return item.asked.request.supervisor | ended.sv32 | (not self._has_fault_unit)

    def _offer(self, m: Module, item: AdRequest, wanted: Signal) -> None:
        """The requests to memory and to the walker."""
        update, walk, request = self.update.request.payload, self.walk_request.payload, item.asked.request
        m.d.comb += [
            update.addr.eq(item.pte_addr),
            update.old.eq(item.pte),
            update.new.eq(wanted),
            update.narrow.eq(item.sv32 if self._config.sv32 else 0),
            update.space.eq(request.space),
            update.vpn.eq(request.va[PAGE_OFFSET_BITS:]),
            walk.space.eq(request.space),
            walk.vpn.eq(request.va[PAGE_OFFSET_BITS:][:VPN_BITS]),
        ]

    def _compose(self, m: Module, item: AdRequest, status: Signal, reason: Signal) -> None:
        """The answer, the fault and the leaf for the TLB, of what is known."""
        asked, request, answer = item.asked, item.asked.request, self.answers.payload
        translated = status == AnswerStatus.OK
        pa, pbmt = Mux(translated, item.pte.translate(request.va, item.size), Const(0)), Mux(translated, item.pte.pbmt, 0)
        exception = Mux(status == AnswerStatus.FAULT, exception_of(request.access, reason), 0)
        m.d.comb += [
            answer.port.eq(asked.port),
            *compose_answer(answer.answer, request, status=status, reason=reason, pa=pa, pbmt=pbmt, exception=exception),
            *compose_fault(self.faults.payload, asked, reason),
            *compose_report(self.report.payload, asked, reason),
            self.fill_port.eq(asked.port),
            self.fill_record.space.eq(request.space),
            self.fill_record.vpn.eq(request.va[PAGE_OFFSET_BITS:][:VPN_BITS]),
            self.fill_record.size.eq(item.size),
            self.fill_record.pte.eq(item.pte),
        ]

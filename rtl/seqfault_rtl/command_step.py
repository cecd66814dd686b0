"""Commands that are one step: sequence brackets, mm lock, spaces, invalidation, SRCU calls, page responses, and the refusal of a command."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .commands import (
    ADDRESS_PAGE_BITS,
    ALL_SPACES,
    Command,
    CommandKind,
    CommandResult,
    CustomWord,
    InvalidateAddress,
    InvalidateWord,
    PageResponseWord0,
    PageResponseWord1,
    SequenceWord,
)
from .config import EngineConfig
from .messages import InvalidateRecord, Outcome, PageResponse, Step, StepPort
from .srcu_call import SrcuCall

__all__ = ["CommandStep"]


class CommandStep(wiring.Component):
    """Executes one step for as long as `run` is high; all strobes are in the cycle in which the slot is granted.

    Parameters
    ----------
    config : `ports`.

    Members
    -------
    run, kind, command, space : what to do; ILLEGAL (and every kind of another unit) is refused.
    done, result : strobe, with OK or ILLEGAL.
    slot : step port. All others: as in `CommandUnit`.
    """

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(
            {
                "run": In(1),
                "kind": In(CommandKind),
                "command": In(Command),
                "space": In(16),
                "done": Out(1),
                "result": Out(CommandResult),
                "slot": Out(StepPort()),
                "space_write_table": Out(1),
                "space_write_vmas": Out(1),
                "sequence_id": Out(16),
                "sequence_claim": Out(1),
                "sequence_begin": Out(1),
                "sequence_end": Out(1),
                "sequence_next": In(32),
                "sequence_idle": In(1),
                "sequence_unread": In(1),
                "mm_claim": Out(1),
                "mm_acquire": Out(1),
                "mm_release": Out(1),
                "mm_free": In(1),
                "invalidating": In(1),
                "invalidate": Out(1),
                "record": Out(InvalidateRecord),
                "srcu_call": Out(stream.Signature(SrcuCall)),
                "srcu_refused": In(1),
                "responses": Out(PageResponse).array(config.ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        go, event = self.slot.want & self.slot.grant, self.slot.event
        ready = Signal(init=1)
        m.d.comb += [
            self.slot.want.eq(self.run & ready),
            self.slot.event_valid.eq(go),
            self.done.eq(go),
            self.sequence_id.eq(SequenceWord(self.command.word1).id),
        ]
        with m.Switch(self.kind):
            with m.Case(CommandKind.SEQ_BEGIN):
                # no new fault may take the VMA while this one waits for those that hold it (policy vma-lock)
                m.d.comb += [self.sequence_claim.eq(self.run), ready.eq(self.sequence_unread), self.sequence_begin.eq(go)]
                self._sequence_event(m, Step.SEQ_BEGIN)
            with m.Case(CommandKind.SEQ_END):
                with m.If(self.sequence_idle):
                    self._refuse(m)
                with m.Else():
                    m.d.comb += self.sequence_end.eq(go)
                    self._sequence_event(m, Step.SEQ_END)
            with m.Case(CommandKind.MM_LOCK):
                m.d.comb += [self.mm_claim.eq(self.run), ready.eq(self.mm_free), self.mm_acquire.eq(go)]
                self._event(m, Step.MM_LOCK)
            with m.Case(CommandKind.MM_UNLOCK):
                m.d.comb += self.mm_release.eq(go)
                self._event(m, Step.MM_UNLOCK)
            with m.Case(CommandKind.SPACE_TABLE):
                m.d.comb += [
                    self.space_write_table.eq(go),
                    event.data.eq(self.command.word1),
                    event.id.eq(CustomWord(self.command.word0).options),
                ]
                self._event(m, Step.SPACE_TABLE)
            with m.Case(CommandKind.SPACE_VMAS):
                m.d.comb += [self.space_write_vmas.eq(go), event.data.eq(self.command.word1)]
                self._event(m, Step.SPACE_VMAS)
            with m.Case(CommandKind.INVALIDATE):
                m.d.comb += [ready.eq(~self.invalidating), self.invalidate.eq(go)]
                self._invalidate(m)
            with m.Case(CommandKind.SRCU_CALL):
                self._srcu_call(m, go)
            with m.Case(CommandKind.PAGE_RESPONSE):
                self._respond(m, go)
            with m.Default():
                self._refuse(m)
        return m

    def _event(self, m: Module, step: Step) -> None:
        event = self.slot.event
        m.d.comb += [event.first.eq(step), event.last.eq(step), event.space.eq(self.space)]

    def _sequence_event(self, m: Module, step: Step) -> None:
        self._event(m, step)
        m.d.comb += [self.slot.event.id.eq(self.sequence_id), self.slot.event.seq.eq(self.sequence_next)]

    def _refuse(self, m: Module) -> None:
        event = self.slot.event
        m.d.comb += [
            event.first.eq(Step.ILLEGAL),
            event.last.eq(Step.ILLEGAL),
            event.outcome.eq(Outcome.ILLEGAL),
            event.data.eq(self.command.word0),
            self.result.eq(CommandResult.ILLEGAL),
        ]

    def _srcu_call(self, m: Module, go: Value) -> None:
        """The call is always taken or refused; a refused one is a command that is done all the same. [protocol.md 3]"""
        self._event(m, Step.SRCU_CALL)
        m.d.comb += [
            self.srcu_call.valid.eq(go),
            self.srcu_call.payload.space.eq(self.space),
            self.srcu_call.payload.cookie.eq(self.command.word1),
            self.slot.event.data.eq(self.command.word1),
        ]
        with m.If(self.srcu_refused):
            m.d.comb += self.slot.event.outcome.eq(Outcome.QUEUE_FULL)

    def _respond(self, m: Module, go: Value) -> None:
        word, response, event = PageResponseWord0(self.command.word0), PageResponseWord1(self.command.word1), self.slot.event
        self._event(m, Step.PAGE_RESPONSE)
        m.d.comb += [event.id.eq(word.rid), event.vpn.eq(response.prgi), event.data.eq(response.code)]
        for port, told in enumerate(self.responses):
            m.d.comb += [told.valid.eq(go & (word.rid == port)), told.tag.eq(response.prgi), told.code.eq(response.code)]

    def _invalidate(self, m: Module) -> None:
        """The range of an IOTINVAL.VMA; with S the lowest 0 bit of the address ends it. [IOMMU 4.1.1]"""
        word, address = InvalidateWord(self.command.word0), InvalidateAddress(self.command.word1)
        event, record = self.slot.event, self.record
        mask, first, pages = Signal(ADDRESS_PAGE_BITS), Signal(ADDRESS_PAGE_BITS), Signal(ADDRESS_PAGE_BITS + 1)
        m.d.comb += [
            mask.eq(Mux(address.s, address.page ^ (address.page + 1), 0)),
            first.eq(address.page & ~mask),
            pages.eq(mask + 1),
            event.first.eq(Step.INVALIDATE),
            event.last.eq(Step.INVALIDATE),
            event.space.eq(Mux(word.pscv, word.pscid, ALL_SPACES)),
            record.any_space.eq(~word.pscv),
            record.space.eq(Mux(word.pscv, word.pscid, 0)),
            record.any_page.eq(~word.av),
        ]
        with m.If(word.av):
            m.d.comb += [record.vpn.eq(first), record.mask.eq(mask), event.vpn.eq(first), event.data.eq(pages)]

"""An A/D update as a step of the protocol: the swap is made under the PTE lock of its table. [docs/software-contract.md, PTE locks]

ZAP and PROTECT read entries, and write them later; an update between the two would be lost. They hold the lock meanwhile, and so does this.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .messages import MemoryUpdateRequest, MemoryUpdateSignature, Outcome, Step, StepPort
from .paging import PPN_BITS

__all__ = ["LOCK_PATIENCE", "UPDATE_AGENT", "LockedUpdate"]

UPDATE_AGENT = 62
"""Event field `agent` of A/D updates."""
LOCK_PATIENCE = 4096
"""Cycles that an update waits for the lock, before it is called failed: the whole of a chunk under lock, unless the released ring is full."""
PAGE_BITS = 12


class LockedUpdate(wiring.Component):
    """Passes updates from `update` to `memory`, one at a time, with two steps: AD_LOCK before the swap, AD_UPDATE when it is visible or failed.

    Members
    -------
    update : AdUpdate. An update that does not get the lock in `LOCK_PATIENCE` cycles is answered as one that found another entry.
    memory : MemoryUpdater.
    slot, lock_table, lock_acquire, lock_release, lock_busy : step port and PTE lock.
    """

    update: In(MemoryUpdateSignature())
    memory: Out(MemoryUpdateSignature())
    slot: Out(StepPort())
    lock_table: Out(PPN_BITS)
    lock_acquire: Out(1)
    lock_release: Out(1)
    lock_busy: In(1)

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        item, patience = Signal(MemoryUpdateRequest), Signal(range(LOCK_PATIENCE))
        offer, answer, outcome = self.update.request, self.update.response, Signal(Outcome)
        done, go = self.memory.response, self.slot.want & self.slot.grant
        m.d.comb += [self.memory.request.payload.eq(item), self.lock_table.eq(offer.payload.addr[PAGE_BITS:]), self.slot.event_valid.eq(go)]
        with m.FSM():
            with m.State("LOCK"):
                self._step(m, Step.AD_LOCK, offer.payload)
                m.d.comb += self.slot.want.eq(offer.valid & ~self.lock_busy)
                m.d.sync += [item.eq(offer.payload), patience.eq(Mux(offer.valid, patience + 1, 0)), answer.payload.eq(0)]
                with m.If(go):
                    m.d.comb += [self.lock_acquire.eq(1), offer.ready.eq(1)]
                    m.next = "SWAP"
                with m.Elif(patience == LOCK_PATIENCE - 1):
                    m.d.comb += offer.ready.eq(1)
                    m.next = "ANSWER"
            with m.State("SWAP"):
                m.d.comb += self.memory.request.valid.eq(1)
                with m.If(self.memory.request.ready):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.comb += done.ready.eq(1)
                with m.If(done.valid):
                    m.d.sync += answer.payload.eq(done.payload)
                    m.next = "UNLOCK"
            with m.State("UNLOCK"):
                self._step(m, Step.AD_UPDATE, item)
                m.d.comb += [
                    outcome.eq(Mux(answer.payload.error, Outcome.BUS_ERROR, Mux(answer.payload.swapped, Outcome.OK, Outcome.RACED))),
                    self.slot.event.outcome.eq(outcome),
                    self.lock_table.eq(item.addr[PAGE_BITS:]),
                    self.slot.want.eq(1),
                    self.lock_release.eq(go),
                ]
                with m.If(go):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += answer.valid.eq(1)
                with m.If(answer.ready):
                    m.d.sync += patience.eq(0)
                    m.next = "LOCK"
        return m

    def _step(self, m: Module, step: Step, item: MemoryUpdateRequest) -> None:
        event = self.slot.event
        m.d.comb += [
            event.first.eq(step),
            event.last.eq(step),
            event.agent.eq(UPDATE_AGENT),
            event.space.eq(item.space),
            event.vpn.eq(item.vpn),
            event.addr.eq(item.addr),
            event.data.eq(item.new),
        ]

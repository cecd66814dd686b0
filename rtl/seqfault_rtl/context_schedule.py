"""Which fault context steps next: ready, parked and free contexts, served round robin."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .fault_context import AfterStep

__all__ = ["MAX_AGENTS", "ContextSchedule"]

MAX_AGENTS = 64
"""Agent numbers of the event port; the last is the command unit's."""
WAKERS = 7
"""Blocks that answer a context: finder, walker, page-request queue, memory, page lookup, mover, fault-around."""
PATIENCE_TICKS = 2
"""A context that parked for the mm lock sees this many ticks of `mm_lock_patience` before it gives up."""


class ContextSchedule(wiring.Component):
    """Ready bits and the choice of the next context.

    Members
    -------
    valid, agent : this context's step is next. fresh : it has not stepped since it was taken.
    step, after, pin, unpin : the step is executed in this cycle, and what the context does then.
    has_free, free_agent, take : a free context; strobe: it gets a fault.
    wake, wake_agent : answers that make a context ready. lock_freed, mm_freed : wake those parked for such a lock.
    flushed : level, the TLBs are done with invalidations: wakes those parked for that.
    patience_over : the context waited for the mm lock for longer than `mm_lock_patience` cycles (and at most twice that).
    pinned : contexts inside an attempt.
    """

    valid: Out(1)
    agent: Out(6)
    fresh: Out(1)
    step: In(1)
    after: In(AfterStep)
    pin: In(1)
    unpin: In(1)
    has_free: Out(1)
    free_agent: Out(6)
    take: In(1)
    wake: In(1).array(WAKERS)
    wake_agent: In(6).array(WAKERS)
    lock_freed: In(1)
    mm_freed: In(1)
    flushed: In(1)
    patience_over: Out(1)
    pinned: Out(MAX_AGENTS)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = self._config.contexts
        active, ready, fresh = Signal(count), Signal(count), Signal(count)
        waits_lock, waits_mm, waits_flush, expired = (Signal(count, name=name) for name in ("waits_lock", "waits_mm", "waits_flush", "expired"))
        m.d.comb += [
            self.has_free.eq(~active.all()),
            self.fresh.eq(fresh.bit_select(self.agent, 1)),
            self.patience_over.eq(expired.bit_select(self.agent, 1)),
        ]
        for index in reversed(range(count)):
            with m.If(~active[index]):
                m.d.comb += self.free_agent.eq(index)
        tick = self._tick(m)
        arriving = Signal(count)  # may step in the next cycle: what the step of this cycle does to others is known too late for that
        for index in range(count):
            mine = self.step & (self.agent == index)
            woken = Cat(wake & (agent == index) for wake, agent in zip(self.wake, self.wake_agent, strict=True)).any()
            age = Signal(range(PATIENCE_TICKS + 1), name=f"age_{index}")
            with m.If(waits_mm[index] & tick & (age != PATIENCE_TICKS)):
                m.d.sync += age.eq(age + 1)
            m.d.comb += arriving[index].eq(woken | (self.take & (self.free_agent == index)))
            with m.If(mine & (self.after != AfterStep.PARK_MM)):
                m.d.sync += age.eq(0)
            m.d.comb += expired[index].eq(age == PATIENCE_TICKS)
            parked = (
                (waits_lock[index] & self.lock_freed) | (waits_mm[index] & (self.mm_freed | expired[index])) | (waits_flush[index] & self.flushed)
            )
            with m.If(woken | parked):
                m.d.sync += [ready[index].eq(1), waits_lock[index].eq(0), waits_mm[index].eq(0), waits_flush[index].eq(0)]
            with m.If(self.take & (self.free_agent == index)):
                m.d.sync += [active[index].eq(1), ready[index].eq(1), fresh[index].eq(1)]
            with m.If(mine):
                m.d.sync += [
                    fresh[index].eq(0),
                    waits_lock[index].eq(self.after == AfterStep.PARK_LOCK),
                    waits_mm[index].eq(self.after == AfterStep.PARK_MM),
                    waits_flush[index].eq(self.after == AfterStep.PARK_FLUSH),
                    active[index].eq(self.after != AfterStep.FREE),
                    self.pinned[index].eq((self.pinned[index] | self.pin) & ~self.unpin),
                ]
        self._choose(m, ready, arriving)
        return m

    def _tick(self, m: Module) -> Signal:
        """One cycle high in every `mm_lock_patience` cycles."""
        tick = Signal()
        timer = Signal(range(self._config.mm_lock_patience))
        m.d.comb += tick.eq(timer == 0)
        m.d.sync += timer.eq(Mux(tick, self._config.mm_lock_patience - 1, timer - 1))
        return tick

    def _choose(self, m: Module, kept: Signal, arriving: Signal) -> None:
        """Round robin from the last served; a context whose next step follows at once keeps its place if no other is ready."""
        count = self._config.contexts
        chosen, any_ready, ready = Signal(6), Signal(), Signal(count)
        m.d.comb += [ready.eq(kept | arriving), any_ready.eq(ready.any())]
        for index in reversed(range(count)):
            with m.If(ready[index]):
                m.d.comb += chosen.eq(index)
        for index in reversed(range(count)):
            with m.If(ready[index] & (index > self.agent)):
                m.d.comb += chosen.eq(index)
        again = self.step & (self.after == AfterStep.GO_ON)
        with m.If(self.step | ~self.valid):
            with m.If(any_ready):
                m.d.sync += [self.valid.eq(1), self.agent.eq(chosen), kept.bit_select(chosen, 1).eq(0)]
                with m.If(again):
                    m.d.sync += kept.bit_select(self.agent, 1).eq(1)
            with m.Else():
                m.d.sync += self.valid.eq(again)

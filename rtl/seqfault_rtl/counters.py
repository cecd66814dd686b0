"""The engine's event counters: wrapping, readable at any time, never reset but by reset. Counting costs nobody a cycle."""

from amaranth import Array, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .context_schedule import MAX_AGENTS
from .messages import How, Outcome
from .queue_port import CounterStrobes
from .register_map import COUNTER_BITS

__all__ = ["Counters"]


class Counters(wiring.Component):
    """Counters of `COUNTER_BITS` bits.

    Members
    -------
    strobes : how faults began and ended, and aborted attempts, from the step slot: so at most one of each in a cycle.
    dropped, waiting, fault_dropped, refused : a page request was dropped; a released entry waits in this cycle; a fault record was dropped; an
        SRCU call was refused.
    cycles, page_requests_dropped, released_wait, fault_records_dropped, srcu_refused : their counts and the cycles since reset.
    faults, fault_cycles : faults that have ended; of all faults, the cycles from the first step to the last.
    answers_index, answers : count of the faults that ended by path How(index).
    outcomes_index, outcomes : count of the attempts that were aborted for Outcome(index).
    """

    strobes: In(CounterStrobes())
    dropped: In(1)
    waiting: In(1)
    fault_dropped: In(1)
    refused: In(1)
    cycles: Out(COUNTER_BITS)
    page_requests_dropped: Out(COUNTER_BITS)
    released_wait: Out(COUNTER_BITS)
    fault_records_dropped: Out(COUNTER_BITS)
    srcu_refused: Out(COUNTER_BITS)
    faults: Out(COUNTER_BITS)
    fault_cycles: Out(COUNTER_BITS)
    answers_index: In(range(len(How)))
    answers: Out(COUNTER_BITS)
    outcomes_index: In(Outcome.as_shape().width)
    outcomes: Out(COUNTER_BITS)

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        running = Signal(range(MAX_AGENTS + 1))
        m.d.sync += [
            self.cycles.eq(self.cycles + 1),
            self.page_requests_dropped.eq(self.page_requests_dropped + self.dropped),
            self.released_wait.eq(self.released_wait + self.waiting),
            self.fault_records_dropped.eq(self.fault_records_dropped + self.fault_dropped),
            self.srcu_refused.eq(self.srcu_refused + self.refused),
            running.eq(running + self.strobes.began - self.strobes.ended),
            self.faults.eq(self.faults + self.strobes.ended),
            self.fault_cycles.eq(self.fault_cycles + running),
        ]
        answers = Array(Signal(COUNTER_BITS, name=f"answers_{how.name.lower()}") for how in How)
        for how in How:
            m.d.sync += answers[how.value].eq(answers[how.value] + self.strobes.how[how.value])
        m.d.comb += self.answers.eq(answers[self.answers_index])
        self._outcomes(m)
        return m

    def _outcomes(self, m: Module) -> None:
        """One small memory: outcomes come one at a time, so reading, adding and writing in one cycle is enough."""
        m.submodules.memory = counts = memory.Memory(shape=COUNTER_BITS, depth=1 << len(self.outcomes_index), init=[])
        old = counts.read_port(domain="comb")
        new = counts.write_port()
        shown = counts.read_port(domain="comb")
        m.d.comb += [
            old.addr.eq(self.strobes.outcome),
            new.addr.eq(self.strobes.outcome),
            new.data.eq(old.data + 1),
            new.en.eq(self.strobes.outcome_valid),
            shown.addr.eq(self.outcomes_index),
            self.outcomes.eq(shown.data),
        ]

"""The step slot: every protocol step, a reader's or a writer's, is executed here, one a cycle at most: the steps have a total order."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .messages import Event, StepPort

__all__ = ["StepSlot"]


class StepSlot(wiring.Component):
    """Grants the slot to A/D updates, else to the fault unit or the command unit, alternately when both want it, and passes on the event.

    Members
    -------
    faults, commands, updates : the units. Between two steps of `updates` is an access to memory, so it cannot keep the others waiting.
    event, event_valid : the step of this cycle.
    """

    faults: In(StepPort())
    commands: In(StepPort())
    updates: In(StepPort())
    event: Out(Event)
    event_valid: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        prefer_commands = Signal()
        to_commands = self.commands.want & (prefer_commands | ~self.faults.want)
        m.d.comb += [
            self.updates.grant.eq(self.updates.want),
            self.commands.grant.eq(to_commands & ~self.updates.want),
            self.faults.grant.eq(self.faults.want & ~to_commands & ~self.updates.want),
            self.event_valid.eq(self.commands.event_valid | self.faults.event_valid | self.updates.event_valid),
            self.event.eq(self.faults.event),
        ]
        with m.If(self.commands.event_valid):
            m.d.comb += self.event.eq(self.commands.event)
        with m.If(self.updates.event_valid):
            m.d.comb += self.event.eq(self.updates.event)
        with m.If(self.commands.want & self.faults.want & ~self.updates.want):
            m.d.sync += prefer_commands.eq(~prefer_commands)
        return m

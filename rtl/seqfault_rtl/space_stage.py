"""A pipeline stage that looks a space up: the table's combinational read ends in a register."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .messages import SpaceEntry

__all__ = ["SpaceStage"]


class SpaceStage(wiring.Component):
    """Holds an item back for one cycle, until the entry of its space is known. One item every two cycles.

    Members
    -------
    waiting : an item is offered, and `wanted` is its space. passed : it is taken in this cycle.
    known, entry : the item may be taken: the entry of its space as of the last cycle, however long it waits.
    space, space_entry : combinational query of the space table.
    """

    waiting: In(1)
    wanted: In(16)
    passed: In(1)
    known: Out(1)
    entry: Out(SpaceEntry)
    space: Out(16)
    space_entry: In(SpaceEntry)

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        asked = Signal()
        m.d.comb += [self.space.eq(self.wanted), self.known.eq(asked & self.waiting)]
        m.d.sync += [asked.eq(self.waiting & ~self.passed), self.entry.eq(self.space_entry)]
        return m

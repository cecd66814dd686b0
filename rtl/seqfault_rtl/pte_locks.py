"""Locks of leaf page tables: every writer of a leaf entry holds the lock of its table. Try-lock only, never a wait. [protocol.md 1.4]"""

from amaranth import Array, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .paging import PPN_BITS

__all__ = ["PteLocks"]


class PteLocks(wiring.Component):
    """At most one lock per holder: each fault context, the command unit, and A/D updates.

    Parameters
    ----------
    config : `contexts` holders plus two are built.

    Members
    -------
    fault_table, fault_busy : combinational query of the fault unit: is this table (PPN) locked by anyone?
    fault_holder : context number for the strobes `fault_acquire` and `fault_release`.
    command_table, command_busy, command_acquire, command_release : the same for the command unit, which is one holder.
    update_table, update_busy, update_acquire, update_release : the same for A/D updates.
    The step slot executes one step a cycle, so at most one strobe is high in a cycle.
    """

    fault_table: In(PPN_BITS)
    fault_busy: Out(1)
    fault_holder: In(6)
    fault_acquire: In(1)
    fault_release: In(1)
    command_table: In(PPN_BITS)
    command_busy: Out(1)
    command_acquire: In(1)
    command_release: In(1)
    update_table: In(PPN_BITS)
    update_busy: Out(1)
    update_acquire: In(1)
    update_release: In(1)

    def __init__(self, config: EngineConfig) -> None:
        self._holders = config.contexts + 2
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(self._holders)
        tables = Array(Signal(PPN_BITS, name=f"table_{i}") for i in range(self._holders))
        queries = ((self.fault_table, self.fault_busy), (self.command_table, self.command_busy), (self.update_table, self.update_busy))
        for asked, busy in queries:
            m.d.comb += busy.eq(Cat(held[i] & (tables[i] == asked) for i in range(self._holders)).any())
        command, update = self._holders - 2, self._holders - 1
        with m.If(self.fault_acquire):
            m.d.sync += [held.bit_select(self.fault_holder, 1).eq(1), tables[self.fault_holder].eq(self.fault_table)]
        with m.If(self.fault_release):
            m.d.sync += held.bit_select(self.fault_holder, 1).eq(0)
        with m.If(self.command_acquire):
            m.d.sync += [held[command].eq(1), tables[command].eq(self.command_table)]
        with m.If(self.command_release):
            m.d.sync += held[command].eq(0)
        with m.If(self.update_acquire):
            m.d.sync += [held[update].eq(1), tables[update].eq(self.update_table)]
        with m.If(self.update_release):
            m.d.sync += held[update].eq(0)
        return m

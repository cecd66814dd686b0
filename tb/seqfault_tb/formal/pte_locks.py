"""Mutual exclusion of the leaf-table locks."""

from amaranth import Cat, Const, Module, Signal

from seqfault_rtl.pte_locks import PteLocks

from .spec import Spec, any_const, drive, opened

__all__ = ["Exclusion", "ForgetsCommand", "LooksAtLowBits"]


class Exclusion(Spec):
    """No two holders have the lock of the same table, if everybody asks before taking it; and a table is busy exactly while somebody has it.

    The environment: one strobe a cycle; who takes a lock has none and was told that it is not busy.
    """

    dut: PteLocks

    def specify(self, m: Module) -> None:
        dut = self.dut
        drive(m, dut)
        held, tables = opened(dut).local("elaborate", "held", "tables")
        command, update = dut._holders - 2, dut._holders - 1
        table = any_const(m, dut.fault_table.shape(), "table")
        has, anything = Signal(dut._holders), Signal(dut._holders)  # holders of `table`, and of any table
        units = [
            (dut.fault_acquire, dut.fault_release, dut.fault_table, dut.fault_busy, dut.fault_holder),
            (dut.command_acquire, dut.command_release, dut.command_table, dut.command_busy, Const(command)),
            (dut.update_acquire, dut.update_release, dut.update_table, dut.update_busy, Const(update)),
        ]
        self.assume(m, sum(strobe for acquire, release, *_ in units for strobe in (acquire, release)) <= 1)
        self.assume(m, dut.fault_holder < command)
        for number, (acquire, release, asked, busy, holder) in enumerate(units):
            self.assume(m, ~acquire | (~busy & ~anything.bit_select(holder, 1)))
            with m.If(acquire | release):
                m.d.sync += [has.bit_select(holder, 1).eq(acquire & (asked == table)), anything.bit_select(holder, 1).eq(acquire)]
            self.promise(m, f"busy_{number}", (asked != table) | (busy == has.any()))
        self.promise(m, "one_holder", (has & (has - 1)[: len(has)]) == 0)
        self.lemma(m, "known_holders", (held == anything) & (has == Cat(held[i] & (tables[i] == table) for i in range(len(held)))))


class ForgetsCommand(PteLocks):
    """The command unit does not see any lock."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.command_busy.eq(0)
        return m


class LooksAtLowBits(PteLocks):
    """A lock is taken with the low bits of the table's page number only."""

    def elaborate(self, platform: object) -> Module:
        table, self.command_table = self.command_table, Signal(self.command_table.shape())
        m = super().elaborate(platform)
        m.d.comb += self.command_table.eq(table[:12])
        self.command_table = table
        return m

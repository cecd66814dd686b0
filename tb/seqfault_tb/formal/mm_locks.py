"""Exclusion of readers and writers by the mm locks."""

from amaranth import Module, Mux, Signal

from seqfault_rtl.mm_locks import MmLocks

from .spec import Spec, any_const, drive, opened

__all__ = ["IgnoresReaders", "IgnoresWriter", "ReadersAndWriter"]

READERS = 62
"""Fault contexts at most: nobody else reads."""


class ReadersAndWriter(Spec):
    """No space has a writer and readers at a time, if both ask before they take the lock; and nobody is refused a lock that is free.

    The environment: one strobe a cycle; who takes a lock was told that it may, who releases it has it; at most 62 readers; a writer
    claims only while nobody but it writes.
    """

    dut: MmLocks

    def specify(self, m: Module) -> None:
        dut = self.dut
        drive(m, dut)
        space = any_const(m, range(dut._config.spaces), "space")
        writer, readers = Signal(), Signal(range(READERS + 1))
        read, write = Signal(), Signal()
        spaces = dut._config.spaces
        m.d.comb += [read.eq(dut.read_space == space), write.eq(dut.write_space == space)]
        self.assume(m, (dut.read_space < spaces) & (dut.write_space < spaces))
        self.assume(m, sum((dut.read_acquire, dut.read_release, dut.write_acquire, dut.write_release)) <= 1)
        self.assume(m, ~dut.read_acquire | (dut.may_read & (~read | (readers != READERS))))
        self.assume(m, ~(dut.read_release & read) | readers.any())
        self.assume(m, ~dut.write_acquire | dut.free)
        self.assume(m, ~(dut.write_release & write) | writer)
        m.d.sync += readers.eq(readers + (read & dut.read_acquire) - (read & dut.read_release))
        m.d.sync += writer.eq(Mux(write & dut.write_acquire, 1, writer & ~(write & dut.write_release)))
        self.promise(m, "exclusion", ~(writer & readers.any()))
        self.promise(m, "may_read", ~read | (dut.may_read == ~(writer | (dut.claim & write))))
        self.promise(m, "free", ~write | (dut.free == ~(writer | readers.any())))
        self.promise(m, "held", ~write | (dut.held == writer))
        row = opened(dut).row(m, "locks", space)
        self.lemma(m, "row", (row.writer == writer) & (row.readers == readers))
        self.lemma(m, "at_most", readers <= READERS)


class IgnoresReaders(MmLocks):
    """A writer does not wait for the last reader."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        row = m.submodules.locks.read_port(domain="comb")
        m.d.comb += [row.addr.eq(self.write_space), self.free.eq(~row.data.writer & ~row.data.readers[1:].any())]
        return m


class IgnoresWriter(MmLocks):
    """A reader looks at claims only, not at who holds the lock."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.may_read.eq(~(self.claim & (self.write_space == self.read_space)))
        return m

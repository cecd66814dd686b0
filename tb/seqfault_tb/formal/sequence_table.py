"""What a reader may conclude from an unchanged sequence."""

from amaranth import Module, Mux, Signal

from seqfault_rtl.sequence_table import COUNT_BITS, GENERATION_BITS, SequenceTable

from .spec import Spec, any_const, any_each_cycle, drive, opened

__all__ = ["EndRestores", "SharedCount", "UnchangedMeansUntouched"]


class UnchangedMeansUntouched(Spec):
    """A sequence that is even and equal to an earlier snapshot means: no writer of this VMA was or is active since; and generations only grow.

    Until 2**31 - 1 sections later, which the snapshot's 31 bits cannot tell. The environment: one strobe a cycle; who ends a section or drops
    the VMA began it; at most 255 writers and readers at a time.
    """

    dut: SequenceTable

    def specify(self, m: Module) -> None:
        dut, entries = self.dut, self.dut._config.sequence_entries
        drive(m, dut, but=("slot",))
        vma = any_const(m, 16, "vma")
        take, fault = any_each_cycle(m, 1, "take_snapshot"), any_each_cycle(m, 16, "fault_vma")
        m.d.comb += dut.slot.id.eq(Mux(dut.hold | dut.drop, fault, vma))
        alias, writes = Signal(), Signal()
        writers, readers = Signal(COUNT_BITS), Signal(COUNT_BITS)
        begun, generation, snapshot = Signal(GENERATION_BITS), Signal(GENERATION_BITS), Signal(32)
        m.d.comb += [alias.eq((dut.slot.id % entries) == (vma % entries)), writes.eq((dut.writer_id % entries) == (vma % entries))]
        self.assume(m, sum((dut.begin, dut.end, dut.hold, dut.drop)) <= 1)
        self.assume(m, ~(writes & dut.end) | writers.any())
        self.assume(m, ~(writes & dut.begin) | (~writers.all() & ~begun.all()))
        self.assume(m, ~(alias & dut.drop) | readers.any())
        self.assume(m, ~(alias & dut.hold) | ~readers.all())
        m.d.sync += writers.eq(writers + (writes & dut.begin) - (writes & dut.end))
        m.d.sync += readers.eq(readers + (alias & dut.hold) - (alias & dut.drop))

        now = Signal(32)
        row = opened(dut).row(m, "entries", vma % entries)
        m.d.comb += now.eq((row.generation << 1) | row.writers.any())
        with m.If(take):
            m.d.sync += [snapshot.eq(now), generation.eq(row.generation), begun.eq(writes & dut.begin)]
        with m.Else():
            m.d.sync += begun.eq(begun + (writes & dut.begin))
        self.promise(m, "reads_it", (dut.slot.id != vma) | (dut.slot.sequence == now))
        self.promise(m, "finder_reads_it", (dut.finder.id != vma) | (dut.finder.sequence == now))
        self.promise(m, "odd_while_written", now[0] == writers.any())
        self.promise(m, "unchanged_means_untouched", (now != snapshot) | now[0] | ~begun.any())
        self.promise(m, "grows", row.generation == (generation + begun)[:GENERATION_BITS])
        self.promise(m, "idle", (dut.writer_id != vma) | (dut.idle == ~writers.any()))
        self.promise(m, "unread", (dut.writer_id != vma) | (dut.unread == ~readers.any()))
        self.lemma(m, "row", (row.writers == writers) & (row.readers == readers))
        self.lemma(m, "snapshot", snapshot[1:] == generation)


class EndRestores(SequenceTable):
    """The end of a section takes the generation back."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        write, row = self._ports(m)
        with m.If(self.end):
            m.d.comb += write.data.generation.eq(row.data.generation - 1)
        return m

    def _ports(self, m: Module):  # type: ignore[no-untyped-def]
        entries = m.submodules.entries
        row = entries.read_port(domain="comb")
        m.d.comb += row.addr.eq(self.writer_id)
        return entries.write_ports[0], row


class SharedCount(EndRestores):
    """A fault that holds the VMA counts as a writer's end."""

    def elaborate(self, platform: object) -> Module:
        m = SequenceTable.elaborate(self, platform)
        write, _row = self._ports(m)
        with m.If(self.drop):
            m.d.comb += write.data.writers.eq(0)
        return m

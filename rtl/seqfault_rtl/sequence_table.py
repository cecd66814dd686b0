"""Sequence counters of VMAs: the on-chip state against which a speculative fault is checked. [protocol.md 0.1 vm_sequence, 1.6]

One entry per VMA id modulo `config.sequence_entries`. Ids that share an entry can only cause a false abort.
"""

from amaranth import Module, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig

__all__ = ["SequenceQuery", "SequenceTable"]

GENERATION_BITS = 31
"""A wrap of exactly 2**31 changes during one fault would be missed. [protocol.md 9]"""
COUNT_BITS = 8


class SequenceEntry(data.Struct):
    """`generation` counts SEQ.BEGINs, `writers` the sections open now, `readers` the faults that hold the VMA (policy vma-lock)."""

    generation: GENERATION_BITS
    writers: COUNT_BITS
    readers: COUNT_BITS


class SequenceQuery(wiring.Signature):
    """Combinational read: the 32-bit sequence of `id` now (odd while a writer is active)."""

    def __init__(self) -> None:
        super().__init__({"id": Out(16), "sequence": In(32)})


class SequenceTable(wiring.Component):
    """Sequence counters with two readers (VMA finder, step slot) and one writer (the command unit).

    Parameters
    ----------
    config : `sequence_entries` counters are built.

    Members
    -------
    finder, slot : combinational queries; `slot` is the fault unit's.
    hold, drop : strobes: a fault takes or drops the VMA `slot.id` as a reader (policy vma-lock).
    writer_id, begin, end : strobes: SEQ.BEGIN / SEQ.END of this id.
    following : the sequence of `writer_id` after this cycle's `begin` or `end`.
    idle : no writer is active on `writer_id`. unread : no fault holds it.
    The step slot executes one step a cycle, so at most one strobe is high in a cycle.
    """

    finder: In(SequenceQuery())
    slot: In(SequenceQuery())
    hold: In(1)
    drop: In(1)
    writer_id: In(16)
    begin: In(1)
    end: In(1)
    following: Out(32)
    idle: Out(1)
    unread: Out(1)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.entries = entries = memory.Memory(shape=SequenceEntry, depth=self._config.sequence_entries, init=[])
        finder, slot, writer = (entries.read_port(domain="comb") for _ in range(3))
        write = entries.write_port()
        for query, read in ((self.finder, finder), (self.slot, slot)):
            m.d.comb += [read.addr.eq(query.id), query.sequence.eq(_sequence(read.data))]
        after = write.data
        m.d.comb += [
            writer.addr.eq(self.writer_id),
            write.en.eq(self.begin | self.end | self.hold | self.drop),
            self.following.eq(_sequence(after)),
            self.idle.eq(~writer.data.writers.any()),
            self.unread.eq(~writer.data.readers.any()),
        ]
        with m.If(self.hold | self.drop):
            now = slot.data
            m.d.comb += [write.addr.eq(self.slot.id), after.eq(now), after.readers.eq(now.readers + self.hold - self.drop)]
        with m.Else():
            now = writer.data
            m.d.comb += [
                write.addr.eq(self.writer_id),
                after.eq(now),
                after.generation.eq(now.generation + self.begin),
                after.writers.eq(now.writers + self.begin - self.end),
            ]
        return m


def _sequence(entry: data.View) -> Value:
    """The 32-bit sequence that readers see."""
    return (entry.generation << 1) | entry.writers.any()

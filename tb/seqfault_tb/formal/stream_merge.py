"""Conservation of what passes through a stream merge."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data

from seqfault_rtl.stream_merge import StreamMerge

from .spec import Spec, drive

__all__ = ["Conservation", "Item", "Overwrites", "TakesTwo"]


class Item(data.Struct):
    """A payload narrow enough to prove quickly; the merge only copies it."""

    value: 4


class Conservation(Spec):
    """Every item taken comes out once, unchanged, in the next cycle, and stays until it is taken; nothing else comes out.

    That inputs are served fairly is the round robin's proof.
    """

    dut: StreamMerge

    def specify(self, m: Module) -> None:
        dut = self.dut
        drive(m, dut)
        output = dut.output
        full, item, source = Signal(), Signal(Item), Signal(range(dut.count))
        taken = [stream.valid & stream.ready for stream in dut.inputs]
        self.promise(m, "one_at_a_time", sum(taken) <= 1)
        self.promise(m, "takes_when_free", Cat(taken).any() == (Cat(stream.valid for stream in dut.inputs).any() & (~full | output.ready)))
        m.d.sync += full.eq(Mux(Cat(taken).any(), 1, full & ~output.ready))
        for index, stream in enumerate(dut.inputs):
            with m.If(taken[index]):
                m.d.sync += [item.eq(stream.payload), source.eq(index)]
        same = (output.payload.item.as_value() == item.as_value()) & (output.payload.source == source)
        self.promise(m, "comes_out", (output.valid == full) & (~full | same))


class Overwrites(StreamMerge):
    """An item that waits is replaced when another comes."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        m.d.comb += m.submodules.turn.taken.eq(1)
        return m


class TakesTwo(StreamMerge):
    """The first input is always told that it was taken when the output moves."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        with m.If(~self.output.valid | self.output.ready):
            m.d.comb += self.inputs[0].ready.eq(1)
        return m

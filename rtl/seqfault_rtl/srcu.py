"""SRCU: read sections that may last, and calls that complete when all sections that began before them have ended. [protocol.md 3]

Nobody waits: a reader enters and leaves in one cycle, a call is taken in one cycle, and what is late is only its completion.

Which scans are needed. Software's grace period scans the bank that is not active, flips, and scans the bank that was active. The first scan is
there because a reader fetches the index in one step and counts itself in another: one that stalls in between counts in a bank that is not
active any more, behind the back of the grace period that scanned it; the next one must find it there. Here `enter` fetches and counts in one
cycle, so a reader is counted in the bank that is active in that cycle. The other bank was found empty by the scan that ended the last grace
period, nobody enters it, and so it is empty at the next flip: the first scan would find nobody, ever, and is left out. The second stays:
it is what waits for readers. So does the flip: without it the bank in use would be scanned, which new readers may keep from ever being empty.
Summing unlocks before locks has no meaning here: the bank's one counter is read in one cycle. The explorer agrees (tests/rtl/test_srcu.py):
readers that lock in one step are safe without the first scan, and not without the second or the flip. The RTL is proved for all time
(`seqfault prove srcu`), with a reader that fetches one cycle early among its planted bugs.
"""

from amaranth import Array, Module, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .config import EngineConfig
from .srcu_call import SrcuCall

__all__ = ["READERS", "READER_BITS", "Srcu"]

READER_BITS = 8
"""Width of a bank's count."""
READERS = (1 << READER_BITS) - 1
"""Readers in one bank at most: all fault contexts (62), and room for sections that outlive their context, as of a fault that waits for IO."""
BANKS = 2


class Srcu(wiring.Component):
    """Two banks of reader counts, one grace period at a time, and the calls in the order in which they came.

    A grace period begins as soon as a call waits and none runs; it is for the calls taken until then, and those that come while it runs
    share the next one. It ends in the first cycle in which the bank that was active before it is empty. Without readers a call comes out of
    `done` three cycles after it was taken.

    Parameters
    ----------
    config : `srcu_calls`, the calls that may be pending: taken, and not yet out of `done`.

    Members
    -------
    enter, enter_bank : strobe: a reader enters; `enter_bank` is combinational, the bank in which it is counted. It keeps that number.
    leave, leave_bank : strobe: a reader that entered this bank leaves. In the same cycle another one may enter. At most `READERS` per bank.
    call : always ready. It waits for all readers that entered before it or in its cycle.
    refused : strobe in the cycle of a call that is not taken, because `srcu_calls` were pending when the cycle began. The command does not
        wait, and this cookie never comes back: the register block sets a sticky error and counts. Software that keeps at most
        `srcu_calls` cookies out never sees it.
    done : the calls whose grace period has ended, each once, in the order in which they came. Waiting here delays no reader and no grace
        period, but keeps calls pending.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "enter": In(1),
                "enter_bank": Out(1),
                "leave": In(1),
                "leave_bank": In(1),
                "call": In(stream.Signature(SrcuCall)),
                "refused": Out(1),
                "done": Out(stream.Signature(SrcuCall)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        active = Signal()  # the bank of those who enter
        running = Signal()
        start, end = Signal(), Signal()
        readers = self._readers(m, active)
        waiting = self._calls(m, start, end)
        m.d.comb += [start.eq(waiting & ~running), end.eq(running & (readers[~active] == 0))]
        with m.If(start):
            m.d.sync += [running.eq(1), active.eq(~active)]
        with m.If(end):
            m.d.sync += running.eq(0)
        return m

    def _readers(self, m: Module, bank: Value) -> Array:
        """Readers enter `bank` now; the result is how many are in each."""
        readers = Array(Signal(READER_BITS, name=f"readers_{index}") for index in range(BANKS))
        m.d.comb += self.enter_bank.eq(bank)
        for index, count in enumerate(readers):
            m.d.sync += count.eq(count + (self.enter & (bank == index)) - (self.leave & (self.leave_bank == index)))
        return readers

    def _calls(self, m: Module, start: Value, end: Value) -> Value:
        """Keep the calls; the result is 1 while there are some that no grace period has taken yet."""
        depth = self.config.srcu_calls
        bits = exact_log2(depth)
        # positions in the buffer; the extra bit tells full from empty. taken <- next to come out, ended <- running, begun <- waiting, called
        taken, ended, begun, called = (Signal(bits + 1, name=name) for name in ("taken", "ended", "begun", "called"))
        m.submodules.calls = calls = memory.Memory(shape=SrcuCall, depth=depth, init=[])
        store, load = calls.write_port(), calls.read_port(domain="comb")
        full = (called - taken)[: bits + 1] == depth
        m.d.comb += [
            self.call.ready.eq(1),
            self.refused.eq(self.call.valid & full),
            store.addr.eq(called[:bits]),
            store.data.eq(self.call.payload),
            store.en.eq(self.call.valid & ~full),
            load.addr.eq(taken[:bits]),
            self.done.valid.eq(taken != ended),
            self.done.payload.eq(load.data),
        ]
        with m.If(store.en):
            m.d.sync += called.eq(called + 1)
        with m.If(start):
            m.d.sync += begun.eq(called)
        with m.If(end):
            m.d.sync += ended.eq(begun)
        with m.If(self.done.valid & self.done.ready):
            m.d.sync += taken.eq(taken + 1)
        return begun != called

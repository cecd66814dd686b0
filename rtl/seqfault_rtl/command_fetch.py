"""Reads commands from the command queue, up to four in one burst, and presents them in order. [IOMMU 4.1]"""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .commands import Command
from .messages import MemoryReadSignature
from .queue_port import INDEX_BITS, CommandQueuePort, entry_address, last_index, next_index

__all__ = ["CommandFetch"]

COMMAND_BYTES = 16
GROUP = 4
"""Commands read at a time: a group is aligned, so that its burst stays within a page and within the ring."""
GROUP_BITS = 2
WORDS_LOG2 = 1
"""Two words a command."""


class CommandFetch(wiring.Component):
    """The command queue's consumer. After a failure what was read ahead is forgotten, as software may repair the command in place.

    Members
    -------
    queue : registers; of the strobes only `memory_fault` is driven.
    read : memory; one burst at a time, tag 0.
    command : the command at `queue.head`; the head moves when it is taken.
    failed : strobe: the presented command was not executed; the head stays, and nothing is read until `queue.stop` has come and gone.
    """

    queue: In(CommandQueuePort())
    read: Out(MemoryReadSignature())
    command: Out(stream.Signature(Command))
    failed: In(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        settings = self.queue.settings
        head, enabled = Signal(INDEX_BITS), Signal()
        count, place, word = Signal(GROUP_BITS + 1), Signal(GROUP_BITS), Signal(GROUP_BITS + WORDS_LOG2)
        words = Array(Signal(64, name=f"word_{i}") for i in range(GROUP << WORDS_LOG2))
        errors = Signal(GROUP)
        available, to_group_end = Signal(INDEX_BITS), Signal(GROUP_BITS + 1)
        response = self.read.response
        m.d.comb += [
            available.eq((self.queue.tail - head)[:INDEX_BITS] & last_index(settings)),
            to_group_end.eq(GROUP - head[:GROUP_BITS]),
            self.queue.head.eq(head),
            self.read.request.payload.addr.eq(entry_address(settings, head, COMMAND_BYTES)),
            self.read.request.payload.beats.eq((count << WORDS_LOG2) - 1),
            response.ready.eq(1),
            self.command.payload.word0.eq(words[place << WORDS_LOG2]),
            self.command.payload.word1.eq(words[(place << WORDS_LOG2) + 1]),
        ]
        m.d.sync += enabled.eq(settings.enable)
        with m.FSM() as fsm:
            m.d.comb += self.queue.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [count.eq(Mux(available < to_group_end, available, to_group_end)), place.eq(0), word.eq(0), errors.eq(0)]
                with m.If(settings.enable & ~enabled):
                    m.d.sync += head.eq(0)
                with m.Elif(settings.enable & ~self.queue.stop & available.any()):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.read.request.valid.eq(1)
                with m.If(self.read.request.ready):
                    m.next = "RECEIVE"
            with m.State("RECEIVE"), m.If(response.valid):
                m.d.sync += [words[word].eq(response.payload.data), word.eq(word + 1)]
                m.d.sync += errors.eq(errors | (response.payload.error << (word >> WORDS_LOG2)))
                with m.If(response.payload.last):
                    m.next = "PRESENT"
            with m.State("PRESENT"):
                self._present(m, head, count, place, errors)
            with m.State("FAILED"), m.If(self.queue.stop):  # the strobe reaches the register in a later cycle
                m.next = "IDLE"
        return m

    def _present(self, m: Module, head: Signal, count: Signal, place: Signal, errors: Signal) -> None:
        with m.If(errors.bit_select(place, 1)):
            m.d.comb += self.queue.memory_fault.eq(1)
            m.next = "FAILED"
        with m.Else():
            m.d.comb += self.command.valid.eq(1)
            with m.If(self.failed):
                m.next = "FAILED"
            with m.Elif(self.command.ready):
                m.d.sync += [head.eq(next_index(self.queue.settings, head)), place.eq(place + 1)]
                with m.If((place + 1 == count) | ~self.queue.settings.enable):
                    m.next = "IDLE"

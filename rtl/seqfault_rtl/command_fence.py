"""IOFENCE.C: waits for the faults and walks that were running, writes its data, completes. [docs/software-contract.md, Command queue]"""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .commands import Command, CommandResult, FenceAddress, FenceWord
from .config import EngineConfig
from .messages import MemoryWriteSignature, Step, StepPort

__all__ = ["CommandFence"]

WORD_BITS = 3
"""Address bits within a 64-bit word."""


class CommandFence(wiring.Component):
    """Executes a fence while `run` is high.

    Parameters
    ----------
    config : `contexts`, `walk_slots`.

    Members
    -------
    run, command : what to do. done, result : strobe, with OK or MEMORY_FAULT. slot : step port.
    write : memory, for AV; one write.
    pinned, walking : fault attempts, and walks and A/D updates, that are running. With PR each one that ran at the start must have ended once.
    released_idle : all released entries are in memory; waited for always, as earlier commands' writes are to be visible.
    interrupt : strobe with the step, for WSI.
    """

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(
            {
                "run": In(1),
                "command": In(Command),
                "done": Out(1),
                "result": Out(CommandResult),
                "slot": Out(StepPort()),
                "write": Out(MemoryWriteSignature()),
                "pinned": In(config.contexts),
                "walking": In(config.walk_slots + 1),
                "released_idle": In(1),
                "interrupt": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, address = FenceWord(self.command.word0), FenceAddress(self.command.word1)
        go, event = self.slot.want & self.slot.grant, self.slot.event
        faults, walks = Signal.like(self.pinned), Signal.like(self.walking)  # those that ran at the start and have not ended since
        m.d.comb += [
            self.write.request.payload.addr.eq(address.double_word << WORD_BITS),
            self.write.request.payload.data.eq(word.data),
            self.write.response.ready.eq(1),
            event.first.eq(Step.FENCE),
            event.last.eq(Step.FENCE),
            event.data.eq(word.pr),
            self.slot.event_valid.eq(go),
        ]
        with m.FSM():
            with m.State("START"):
                m.d.sync += [faults.eq(Mux(word.pr, self.pinned, 0)), walks.eq(Mux(word.pr, self.walking, 0))]
                with m.If(self.run):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += [faults.eq(faults & self.pinned), walks.eq(walks & self.walking)]
                with m.If(~faults.any() & ~walks.any() & self.released_idle):
                    m.next = "STEP"
                    with m.If(word.av):
                        m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += self.write.request.valid.eq(1)
                with m.If(self.write.request.ready):
                    m.next = "ANSWER"
            with m.State("ANSWER"), m.If(self.write.response.valid):
                m.next = "STEP"
                with m.If(self.write.response.payload.error):
                    m.d.comb += [self.done.eq(1), self.result.eq(CommandResult.MEMORY_FAULT)]
                    m.next = "START"
            with m.State("STEP"):
                m.d.comb += self.slot.want.eq(1)
                with m.If(go):
                    m.d.comb += [self.done.eq(1), self.interrupt.eq(word.wsi)]
                    m.next = "START"
        return m

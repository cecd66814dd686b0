"""Mover and AxiManager as one component for tests, with another reader and another writer beside it."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from seqfault_rtl.axi import AxiSignature
from seqfault_rtl.axi_manager import AxiManager
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.messages import MemoryReadSignature, MemoryWriteSignature
from seqfault_rtl.move_messages import MoveAnswer, MoveJob
from seqfault_rtl.mover import Mover

__all__ = ["MoverTop"]


class MoverTop(wiring.Component):
    """`mover`'s jobs and answers, and the bus.

    Members
    -------
    reads, writes : the other clients' ports, one of each.
    """

    def __init__(self, config: EngineConfig, mover: Mover) -> None:
        self.mover = mover
        self.manager = AxiManager(config, readers=2, writers=1, burst_writer=True)
        super().__init__(
            {
                "jobs": In(stream.Signature(MoveJob)),
                "answers": Out(stream.Signature(MoveAnswer)),
                "reads": In(MemoryReadSignature()),
                "writes": In(MemoryWriteSignature()),
                "axi": Out(AxiSignature(id_bits=self.manager.id_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.mover = self.mover
        m.submodules.manager = self.manager
        wiring.connect(m, wiring.flipped(self.jobs), self.mover.jobs)
        wiring.connect(m, self.mover.answers, wiring.flipped(self.answers))
        wiring.connect(m, self.mover.read, self.manager.reads[0])
        wiring.connect(m, wiring.flipped(self.reads), self.manager.reads[1])
        wiring.connect(m, wiring.flipped(self.writes), self.manager.writes[0])
        wiring.connect(m, self.mover.write, self.manager.burst)
        wiring.connect(m, self.manager.axi, wiring.flipped(self.axi))
        return m

"""A block with memory ports behind an AxiManager of its own, as one component for a test: its other ports, and `axi`."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from seqfault_rtl.axi import AxiSignature
from seqfault_rtl.axi_manager import AxiManager
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.messages import MemoryReadSignature, MemoryWriteSignature

__all__ = ["WithMemory"]


class WithMemory(wiring.Component):
    """`block` and the bus.

    Parameters
    ----------
    config : parameters of the engine.
    block : has at least one `Out(MemoryReadSignature())` or `Out(MemoryWriteSignature())` member.
    """

    def __init__(self, config: EngineConfig, block: wiring.Component) -> None:
        members = dict(block.signature.members.items())
        interfaces = {name: member for name, member in members.items() if member.is_signature}
        self.block = block
        self.reads = [name for name, member in interfaces.items() if isinstance(member.signature, MemoryReadSignature)]
        self.writes = [name for name, member in interfaces.items() if isinstance(member.signature, MemoryWriteSignature)]
        self.others = [name for name in members if name not in (*self.reads, *self.writes)]
        self.manager = AxiManager(config, readers=len(self.reads) or 1, writers=len(self.writes) or 1)
        super().__init__({name: members[name] for name in self.others} | {"axi": Out(AxiSignature(id_bits=self.manager.id_bits))})

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.block = self.block
        m.submodules.manager = self.manager
        wiring.connect(m, self.manager.axi, wiring.flipped(self.axi))
        for index, name in enumerate(self.reads):
            wiring.connect(m, getattr(self.block, name), self.manager.reads[index])
        for index, name in enumerate(self.writes):
            wiring.connect(m, getattr(self.block, name), self.manager.writes[index])
        for name in self.others:
            inner, outer = getattr(self.block, name), getattr(self, name)
            member = self.signature.members[name]
            if member.is_signature:
                wiring.connect(m, inner, wiring.flipped(outer))
            elif member.flow is Out:
                m.d.comb += outer.eq(inner)
            else:
                m.d.comb += inner.eq(outer)
        return m

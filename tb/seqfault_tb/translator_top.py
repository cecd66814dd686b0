"""Translator, Walker and SpaceTable as one component for tests; the fault unit and the memory are the test's."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from seqfault_rtl.axi import AxiSignature
from seqfault_rtl.axi_manager import AxiManager
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.messages import (
    Answer,
    FaultAnswer,
    FaultRequest,
    FillRecord,
    InvalidateRecord,
    MemoryReadSignature,
    MemoryUpdateSignature,
    Request,
    WalkRequest,
    WalkResponse,
)
from seqfault_rtl.space_table import SpaceFeatures, SpaceTable
from seqfault_rtl.translator import Translator
from seqfault_rtl.walk_start import AD_UPDATE
from seqfault_rtl.walker import Walker

__all__ = ["TranslatorTop"]

FAULT_UNIT, COMMAND_UNIT = 1, 2


class TranslatorTop(wiring.Component):
    """`walk_request`, `walk_response` are the fault unit's port of the walker; the other members are those of the three blocks.

    Parameters
    ----------
    config : parameters of the engine.
    walker : the walker to use (a planted bug is a subclass).
    axi : memory is behind an AxiManager, at `axi`; else the walker's port is at `memory`. For configurations without `svadu`.
    """

    def __init__(self, config: EngineConfig, walker: type[Walker] = Walker, *, axi: bool = False) -> None:
        self.config, self.walker = config, walker
        self.manager = AxiManager(config, readers=1, writers=1) if axi else None
        bus = {"axi": Out(AxiSignature(id_bits=self.manager.id_bits))} if self.manager else {"memory": Out(MemoryReadSignature())}
        super().__init__(
            bus
            | {
                "requests": In(stream.Signature(Request)).array(config.ports),
                "answers": Out(stream.Signature(Answer)).array(config.ports),
                "withdraw": In(1).array(config.ports),
                "update": Out(MemoryUpdateSignature()),
                "faults": Out(stream.Signature(FaultRequest)),
                "fault_answers": In(stream.Signature(FaultAnswer)),
                "walk_request": In(stream.Signature(WalkRequest)),
                "walk_response": Out(stream.Signature(WalkResponse)),
                "fill": In(1),
                "fill_port": In(8),
                "fill_record": In(FillRecord),
                "invalidate": In(1),
                "record": In(InvalidateRecord),
                "busy": Out(1),
                "write_table": In(1),
                "write_features": In(SpaceFeatures),
                "write_space": In(16),
                "write_data": In(64),
                "active": Out(config.walk_slots),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.translator = translator = Translator(self.config)
        m.submodules.walker = walker = self.walker(self.config)
        m.submodules.spaces = spaces = SpaceTable(self.config)
        for port in range(self.config.ports):
            wiring.connect(m, wiring.flipped(self.requests[port]), translator.requests[port])
            wiring.connect(m, translator.answers[port], wiring.flipped(self.answers[port]))
            m.d.comb += translator.withdraw[port].eq(self.withdraw[port])
        wiring.connect(m, translator.faults, wiring.flipped(self.faults))
        wiring.connect(m, wiring.flipped(self.fault_answers), translator.fault_answers)
        wiring.connect(m, translator.update, wiring.flipped(self.update))
        self._connect_walker(m, translator, walker)
        for query, reader in ((0, walker), (2, translator)):
            m.d.comb += [spaces.queries[query].space.eq(reader.space), reader.space_entry.eq(spaces.queries[query].entry)]
        for name in ("write_table", "write_features", "write_space", "write_data"):
            m.d.comb += getattr(spaces, name).eq(getattr(self, name))
        for name in ("fill", "fill_port", "fill_record"):
            m.d.comb += getattr(translator, name).eq(getattr(self, name))
        m.d.comb += translator.changes.eq(translator.changes_vpn)  # so that a fault shows for which page the count was taken
        for block in (translator, walker):
            m.d.comb += [block.invalidate.eq(self.invalidate), block.record.eq(self.record)]
        m.d.comb += [self.active.eq(walker.active), self.busy.eq(translator.busy)]
        return m

    def _connect_walker(self, m: Module, translator: Translator, walker: Walker) -> None:
        for index, client in enumerate((0, AD_UPDATE)[: 1 + self.config.svadu]):
            wiring.connect(m, translator.walk_request[index], walker.requests[client])
            wiring.connect(m, walker.responses[client], translator.walk_response[index])
        wiring.connect(m, wiring.flipped(self.walk_request), walker.requests[FAULT_UNIT])
        wiring.connect(m, walker.responses[FAULT_UNIT], wiring.flipped(self.walk_response))
        m.d.comb += walker.responses[COMMAND_UNIT].ready.eq(1)
        if self.manager:
            m.submodules.manager = self.manager
            wiring.connect(m, walker.memory, self.manager.reads[0])
            wiring.connect(m, self.manager.axi, wiring.flipped(self.axi))
        else:
            wiring.connect(m, walker.memory, wiring.flipped(self.memory))

"""AdUpdate, MemoryUpdater and AxiManager as one component for tests; the walker, the other writers and the memory are the test's."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from seqfault_rtl.ad_update import AdUpdate
from seqfault_rtl.axi import AxiSignature
from seqfault_rtl.axi_manager import AxiManager
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.memory_updater import MemoryUpdater
from seqfault_rtl.messages import FaultAnswer, FaultRequest, FillRecord, WalkRequest, WalkResponse
from seqfault_rtl.miss_records import AdRequest

__all__ = ["AdUpdateTop"]

CLIENT = 1
"""The updater's number at the AxiManager, in both directions; client 0 is silent."""
PLANT_BITS = 4


class AdUpdateTop(wiring.Component):
    """Members as in `AdUpdate`, but that memory is at `axi`.

    Parameters
    ----------
    config : parameters of the engine.
    block, updater : the blocks to use instead of the true ones, with bugs that the member `plant` (4 bits) switches on.
    """

    def __init__(self, config: EngineConfig, block: AdUpdate | None = None, updater: MemoryUpdater | None = None) -> None:
        self.block, self.updater = block or AdUpdate(config), updater or MemoryUpdater()
        self.manager = AxiManager(config, readers=CLIENT + 1, writers=CLIENT + 1)
        super().__init__(
            {
                "axi": Out(AxiSignature(id_bits=self.manager.id_bits)),
                "requests": In(stream.Signature(AdRequest)),
                "answers": Out(stream.Signature(FaultAnswer)),
                "faults": Out(stream.Signature(FaultRequest)),
                "fill": Out(1),
                "fill_port": Out(8),
                "fill_record": Out(FillRecord),
                "walk_request": Out(stream.Signature(WalkRequest)),
                "walk_response": In(stream.Signature(WalkResponse)),
                "invalidate": In(1),
                "busy": Out(1),
                "plant": In(PLANT_BITS),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.block, m.submodules.updater, m.submodules.manager = block, updater, manager = self.block, self.updater, self.manager
        for name in ("requests", "walk_response"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(block, name))
        for name in ("answers", "faults", "walk_request"):
            wiring.connect(m, getattr(block, name), wiring.flipped(getattr(self, name)))
        for name in ("fill", "fill_port", "fill_record", "busy"):
            m.d.comb += getattr(self, name).eq(getattr(block, name))
        m.d.comb += block.invalidate.eq(self.invalidate)
        for planted in (block, updater):
            if hasattr(planted, "plant"):
                m.d.comb += planted.plant.eq(self.plant)
        wiring.connect(m, block.update, updater.update)
        wiring.connect(m, updater.read, manager.reads[CLIENT])
        wiring.connect(m, updater.write, manager.writes[CLIENT])
        wiring.connect(m, manager.axi, wiring.flipped(self.axi))
        return m

"""Blocks of the miss path side by side in one design: one model to build for their tests."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from seqfault_rtl.config import EngineConfig
from seqfault_rtl.fast_lane import FastLane
from seqfault_rtl.messages import WalkRequest
from seqfault_rtl.miss_table import MissTable

__all__ = ["MISS_CONFIG", "MissBlocks"]

MISS_CONFIG = EngineConfig(ports=2, port_misses=3, walks=3, spaces=4)


class MissBlocks(wiring.Component):
    """A MissTable and a FastLane, each with its ports under its own name.

    Parameters
    ----------
    table, lane : the classes to use (a planted bug is a subclass).
    """

    def __init__(self, *, table: type[MissTable] = MissTable, lane: type[FastLane] = FastLane) -> None:
        self.blocks = {"table": table(MISS_CONFIG), "lane": lane(WalkRequest, has_urgent=True)}
        super().__init__({name: Out(block.signature) for name, block in self.blocks.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, block in self.blocks.items():
            m.submodules[name] = block
            connect(m, flipped(getattr(self, name)), block)
        return m

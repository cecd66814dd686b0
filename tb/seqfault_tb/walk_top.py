"""The Mmu behind two plain vectors, so that Python reads and writes all of its ports in one access a cycle each.

`from_host` holds the inputs of the coming clock edge; `to_host`, a register, what all outputs were at the last one.
"""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from seqfault_rtl.config import EngineConfig
from seqfault_rtl.messages import (
    Answer,
    InvalidateRecord,
    MemoryReadRequest,
    MemoryReadResponse,
    MemoryUpdateRequest,
    MemoryUpdateResponse,
    Request,
)
from seqfault_rtl.mmu import Mmu

__all__ = ["WalkTop", "from_host_layout", "to_host_layout"]

PLANT_BITS = 8


def from_host_layout(config: EngineConfig) -> data.StructLayout:
    """Fields of `from_host`."""
    ports = {f"request{port}": data.StructLayout({"valid": 1, "payload": Request}) for port in range(config.ports)}
    return data.StructLayout(
        {
            **ports,
            "response": data.StructLayout({"valid": 1, "payload": MemoryReadResponse}),
            "updated": data.StructLayout({"valid": 1, "payload": MemoryUpdateResponse}),
            "write_table": 1, "write_space": 16, "write_data": 64, "write_features": 3, "invalidate": 1, "record": InvalidateRecord,
            "plant": PLANT_BITS,
        }
    )  # fmt: skip


def to_host_layout(config: EngineConfig) -> data.StructLayout:
    """Fields of `to_host`. `accepted`: ready of the requests; `lost`: an answer of memory was not taken at once."""
    ports: dict[str, object] = {}
    for port in range(config.ports):
        ports |= {f"accepted{port}": 1, f"answer{port}": data.StructLayout({"valid": 1, "payload": Answer})}
    return data.StructLayout(
        {
            **ports,
            "read": data.StructLayout({"valid": 1, "payload": MemoryReadRequest}),
            "update": data.StructLayout({"valid": 1, "payload": MemoryUpdateRequest}),
            "busy": 1,
            "lost": 1,
        }
    )


class WalkTop(wiring.Component):
    """Parameters: `config`; `mmu`, if it is not the Mmu of that: one with a `plant` input has that too."""

    def __init__(self, config: EngineConfig, mmu: Mmu | None = None) -> None:
        self.config = config
        self.mmu = mmu if mmu is not None else Mmu(config)
        super().__init__({"from_host": In(from_host_layout(config)), "to_host": Out(to_host_layout(config))})

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.mmu = mmu = self.mmu
        host, now = self.from_host, Signal(to_host_layout(self.config))
        m.d.sync += self.to_host.eq(now)
        for port in range(self.config.ports):
            request, answer = getattr(host, f"request{port}"), getattr(now, f"answer{port}")
            m.d.comb += [
                mmu.requests[port].valid.eq(request.valid),
                mmu.requests[port].payload.eq(request.payload),
                getattr(now, f"accepted{port}").eq(mmu.requests[port].ready & request.valid),
                mmu.answers[port].ready.eq(1),
                answer.valid.eq(mmu.answers[port].valid),
                answer.payload.eq(mmu.answers[port].payload),
            ]
        for ours, theirs in ((now.read, mmu.memory.request), (now.update, mmu.update.request)):
            m.d.comb += [theirs.ready.eq(1), ours.valid.eq(theirs.valid), ours.payload.eq(theirs.payload)]
        lost = []
        for ours, theirs in ((host.response, mmu.memory.response), (host.updated, mmu.update.response)):
            m.d.comb += [theirs.valid.eq(ours.valid), theirs.payload.eq(ours.payload)]
            lost.append(ours.valid & ~theirs.ready)
        m.d.comb += [now.busy.eq(mmu.busy), now.lost.eq(lost[0] | lost[1])]
        for name in ("write_table", "write_space", "write_data", "write_features", "invalidate", "record"):
            m.d.comb += getattr(mmu, name).eq(getattr(host, name))
        if hasattr(mmu, "plant"):
            m.d.comb += mmu.plant.eq(host.plant)
        return m

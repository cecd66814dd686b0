"""Translation alone: TLBs, walk cache and walker for a core or an accelerator that handles its page faults itself. Wiring only."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .config import EngineConfig
from .messages import Answer, InvalidateRecord, MemoryReadSignature, MemoryUpdateSignature, Request
from .space_table import SpaceFeatures, SpaceTable
from .translator import Translator
from .walk_start import AD_UPDATE, client_count
from .walker import Walker

__all__ = ["Mmu"]


class Mmu(wiring.Component):
    """RISC-V address translation for several requesters and several address spaces, without a fault unit.

    Every fault is answered FAULT, with the exception of the privileged specification: reason NOT_VALID, BAD_TABLE (reserved bits or
    encodings, a misaligned superpage, no leaf, or a space without a table), ACCESS, AD_CLEAR, BOUNDS (address not canonical) or BUS_ERROR.

    Parameters
    ----------
    config : parameters; those of the fault unit and the queues do not matter here.

    Members
    -------
    requests, answers : per port; a request that hits is answered in the next cycle, others in any order.
    withdraw : per port, a strobe: requests taken before this cycle are not answered any more.
    memory : page-table reads of 8 bytes; any latency and order, by tag. update : atomic updates of A and D (with `svadu`).
    write_table, write_space, write_data, write_features : strobe: the page table of a space, see `SpaceTable`; an invalidation follows.
    invalidate, record : strobe, not while `busy`: from the next cycle on, requests are not answered from what it covers.
    busy : the L2 TLB is being swept.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.walker = Walker(config)
        self.translator = Translator(config, has_fault_unit=False)
        super().__init__(
            {
                "requests": In(stream.Signature(Request)).array(config.ports),
                "answers": Out(stream.Signature(Answer)).array(config.ports),
                "withdraw": In(1).array(config.ports),
                "memory": Out(MemoryReadSignature()),
                "update": Out(MemoryUpdateSignature()),
                "write_table": In(1),
                "write_space": In(16),
                "write_data": In(64),
                "write_features": In(SpaceFeatures),
                "invalidate": In(1),
                "record": In(InvalidateRecord),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.translator = translator = self.translator
        m.submodules.walker = walker = self.walker
        m.submodules.spaces = spaces = SpaceTable(self.config)
        for port in range(self.config.ports):
            connect(m, flipped(self.requests[port]), translator.requests[port])
            connect(m, translator.answers[port], flipped(self.answers[port]))
            m.d.comb += translator.withdraw[port].eq(self.withdraw[port])
        for index, client in enumerate((0, AD_UPDATE)[: client_count(self.config) - 2]):
            connect(m, translator.walk_request[index], walker.requests[client])
            connect(m, walker.responses[client], translator.walk_response[index])
        connect(m, walker.memory, flipped(self.memory))
        connect(m, translator.update, flipped(self.update))
        for query, reader in ((0, walker), (2, translator)):
            m.d.comb += [spaces.queries[query].space.eq(reader.space), reader.space_entry.eq(spaces.queries[query].entry)]
        for name in ("write_table", "write_space", "write_data", "write_features"):
            m.d.comb += getattr(spaces, name).eq(getattr(self, name))
        for block in (translator, walker):
            m.d.comb += [block.invalidate.eq(self.invalidate), block.record.eq(self.record)]
        m.d.comb += self.busy.eq(translator.busy)
        return m

"""Where the page table and the VMA tree of each space are. Written by commands, read combinationally. [contract: Spaces]"""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .messages import SpaceEntry
from .paging import PPN_BITS, PagingMode

__all__ = ["QUERIES", "Satp", "SpaceFeatures", "SpaceQuery", "SpaceTable"]

QUERIES = 3
"""Read ports: 0 the walker, 1 the VMA finder, 2 the translator."""


class Satp(data.Struct):
    """Layout of satp on RV64. [Priv 12.1.11]"""

    ppn: PPN_BITS
    asid: 16
    mode: 4


class SpaceFeatures(data.Struct):
    """Which extensions a space uses, as in `SpaceEntry`."""

    adue: 1
    pbmte: 1
    napot: 1


class Root(data.Struct):
    """Mode, root table and features of a space."""

    mode: PagingMode
    ppn: PPN_BITS
    features: SpaceFeatures


class SpaceQuery(wiring.Signature):
    """A combinational read, seen from the reader."""

    def __init__(self) -> None:
        super().__init__({"space": Out(16), "entry": In(SpaceEntry)})


class SpaceTable(wiring.Component):
    """Memory of `SpaceEntry` by space.

    Parameters
    ----------
    config : parameters of the engine.

    Members
    -------
    write_table, write_features : strobe: `write_data` (satp) becomes the page table of `write_space`. A MODE that is not built is kept as BARE;
        hardware update of A and D where it is not built is kept as fault.
    write_vmas : strobe: `write_data` (pointer word) becomes the root of its VMA tree.
    write_space, write_data : a space that is out of range is not written.
    queries : combinational reads; they see a write from the next cycle on. A space out of range, and one never written since reset, reads
        as BARE with no VMA tree.
    """

    write_table: In(1)
    write_features: In(SpaceFeatures)
    write_vmas: In(1)
    write_space: In(16)
    write_data: In(64)
    queries: In(SpaceQuery()).array(QUERIES)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        satp, root = Signal(Satp), Signal(Root)
        mode = Value.cast(satp.mode)
        known = Cat(mode == PagingMode[name].value for name in self._config.modes).any()
        m.d.comb += [
            satp.eq(self.write_data),
            root.mode.eq(Mux(known, mode, PagingMode.BARE.value)),
            root.ppn.eq(satp.ppn),
            root.features.eq(self.write_features),
        ]
        if not self._config.svadu:
            m.d.comb += root.features.adue.eq(0)
        roots = self._column(m, "roots", Root, self.write_table, root)
        vmas = self._column(m, "vmas", 64, self.write_vmas, self.write_data)
        for query, table, tree in zip(self.queries, roots, vmas, strict=True):
            m.d.comb += [query.entry.mode.eq(table.mode), query.entry.root.eq(table.ppn), query.entry.vmas.eq(tree)]
            m.d.comb += [getattr(query.entry, name).eq(getattr(table.features, name)) for name in ("adue", "pbmte", "napot")]
        return m

    def _column(self, m: Module, name: str, shape: object, write: Signal, row: Value) -> list[Signal]:
        """One memory with its write port; returns what each query reads from it (0 where nothing was written)."""
        config = self._config
        m.submodules[name] = memory = Memory(shape=shape, depth=config.spaces, init=[])
        written = Signal(config.spaces, name=f"{name}_written")  # memory keeps its content over a reset
        port = memory.write_port()
        go = write & (self.write_space < config.spaces)
        index = self.write_space[: config.space_bits]
        m.d.comb += [port.en.eq(go), port.addr.eq(index), port.data.eq(row)]
        with m.If(go):
            m.d.sync += written.bit_select(index, 1).eq(1)
        values = []
        for number, query in enumerate(self.queries):
            read = memory.read_port(domain="comb")
            index = query.space[: config.space_bits]
            value = Signal(shape, name=f"{name}_{number}")
            m.d.comb += read.addr.eq(index)
            with m.If((query.space < config.spaces) & written.bit_select(index, 1)):
                m.d.comb += value.eq(read.data)
            values.append(value)
        return values

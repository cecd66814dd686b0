"""All memory ports of the engine onto one AXI4 manager: fair arbitration, responses routed back by AXI ID.

The ID is {client, tag}. One request a cycle is accepted in each direction, with one register between a client's request and the bus and
one between the bus and its response. Requests of one client are issued in the order in which it made them; AXI orders only answers of
equal IDs. A response waits until its client takes it, and so do the responses behind it: clients must take responses without waiting for
others (see `MemoryReadSignature`). [AMBA AXI A3, A5]

The two halves of an exclusive pair have one ID, so a block that makes them is the client of the same number in `reads` and `writes`, with
one tag. It alone uses that ID, and begins a write after the answer to its read. [AXI A7.2]

A client that writes bursts takes its turn among the other writers with each burst. W keeps the order of AW, so they wait for its words.
"""

from collections.abc import Iterable

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .axi import AXI_DATA_BITS, AxiBurst, AxiResponse, AxiSignature
from .config import EngineConfig
from .memory_bursts import BURST_BEATS_BITS, MemoryBurstSignature
from .messages import (
    MemoryReadRequest,
    MemoryReadResponse,
    MemoryReadSignature,
    MemoryWriteRequest,
    MemoryWriteResponse,
    MemoryWriteSignature,
)
from .round_robin import RoundRobin

__all__ = ["TAG_BITS", "AxiManager"]

TAG_BITS = 6
"""Width of the clients' tags in bits, as in `MemoryReadRequest` and `MemoryWriteRequest`."""
AXI_SIZE_8_BYTES = 3
"""AxSIZE: log2 of the bytes of a beat. [AXI A3.4.1]"""
AXI_CACHE_NORMAL = 0b0011
"""AxCACHE: normal, non-cacheable, bufferable. Software sees a write once it has been answered. [AXI A4.4]"""
AXI_PROT_DATA = 0b000
"""AxPROT: unprivileged, secure, data access. [AXI A4.7]"""


class AxiId(data.StructLayout):
    """How an AXI ID is made of a client's number and its tag."""

    def __init__(self, id_bits: int) -> None:
        super().__init__({"tag": TAG_BITS, "client": id_bits - TAG_BITS})


def _is_error(response: Value) -> Value:
    """RRESP or BRESP is SLVERR or DECERR."""
    code = Value.cast(response)
    return (code == AxiResponse.SLVERR.value) | (code == AxiResponse.DECERR.value)


def _is_exclusive(response: Value) -> Value:
    """RRESP or BRESP is EXOKAY."""
    return Value.cast(response) == AxiResponse.EXOKAY.value


def _pipe(m: Module, *, name: str, source: wiring.PureInterface) -> wiring.PureInterface:
    """A register behind `source` that takes an item a cycle; returns the stream of the registered items."""
    stage = stream.Signature(source.payload.shape()).create(path=(name,))
    m.d.comb += source.ready.eq(~stage.valid | stage.ready)
    with m.If(source.ready):
        m.d.sync += [stage.valid.eq(source.valid), stage.payload.eq(source.payload)]
    return stage


class _Arbiter(wiring.Component):
    """Merges streams fairly; `index` is the number of the input that `output.payload` comes from."""

    def __init__(self, shape: type[data.Struct], count: int) -> None:
        merged = data.StructLayout({"request": shape, "client": ceil_log2(count) or 1})
        self.count = count
        super().__init__({"inputs": In(stream.Signature(shape)).array(count), "output": Out(stream.Signature(merged))})

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.round_robin = turn = RoundRobin(self.count)
        m.d.comb += [
            turn.requests.eq(Cat(source.valid for source in self.inputs)),
            turn.taken.eq(self.output.ready),
            self.output.valid.eq(turn.valid),
            self.output.payload.client.eq(turn.grant),
        ]
        with m.Switch(turn.grant):
            for index, source in enumerate(self.inputs):
                with m.Case(index):
                    m.d.comb += [self.output.payload.request.eq(source.payload), source.ready.eq(self.output.ready)]
        return m


class AxiManager(wiring.Component):
    """The engine's share of the memory bus.

    Parameters
    ----------
    config : parameters of the engine.
    readers, writers : number of clients, at least 1 each.
    burst_writer : there is a client that writes bursts.

    Members
    -------
    reads : a client's `Out(MemoryReadSignature())` connects here; a request is one INCR burst of 8-byte beats, which the client keeps in
        4 KiB (the testbench's bus monitor checks it).
    writes : a client's `Out(MemoryWriteSignature())` connects here; a request is one beat, its strobes are those not in `keep`.
    burst : with `burst_writer`, its `Out(MemoryBurstSignature())` connects here; it is the writing client of number `writers`. The client
        keeps a burst in 4 KiB.
    axi : the bus; see `axi.py` for the names in Verilog. `id_bits` = 6 + log2 of the larger number of clients (at least 1), rounded up.

    A response's `error` is set for SLVERR and DECERR, its `exclusive` for EXOKAY.
    """

    def __init__(self, config: EngineConfig, *, readers: int, writers: int, burst_writer: bool = False) -> None:
        for name, count in (("readers", readers), ("writers", writers)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, not {count!r}")
        self.config = config
        self.burst_writer = burst_writer
        self.id_bits = TAG_BITS + (ceil_log2(max(readers, writers + burst_writer)) or 1)
        super().__init__(
            {
                "reads": In(MemoryReadSignature()).array(readers),
                "writes": In(MemoryWriteSignature()).array(writers),
                "axi": Out(AxiSignature(id_bits=self.id_bits)),
            }
            | ({"burst": In(MemoryBurstSignature())} if burst_writer else {})
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        self._read_requests(m)
        self._read_responses(m)
        self._write_requests(m)
        self._write_responses(m)
        return m

    def _merge(self, m: Module, name: str, shape: type[data.Struct], requests: list[wiring.PureInterface]) -> wiring.PureInterface:
        """The clients' requests as one stream of {request, client}."""
        m.submodules[f"{name}_arbiter"] = arbiter = _Arbiter(shape, len(requests))
        for source, sink in zip(requests, arbiter.inputs, strict=True):
            wiring.connect(m, source, sink)
        return arbiter.output

    def _read_requests(self, m: Module) -> None:
        merged = self._merge(m, "read", MemoryReadRequest, [wiring.flipped(client.request) for client in self.reads])
        head = _pipe(m, name="read_address", source=merged)
        request = head.payload.request
        m.d.comb += [
            self.axi.arvalid.eq(head.valid),
            head.ready.eq(self.axi.arready),
            self.axi.arid.eq(Cat(request.tag, head.payload.client)),
            self.axi.araddr.eq(request.addr),
            self.axi.arlen.eq(request.beats),
            self.axi.arlock.eq(request.exclusive),
            *self._constants("ar"),
        ]

    def _read_responses(self, m: Module) -> None:
        source = stream.Signature(data.StructLayout({"id": AxiId(self.id_bits), "response": MemoryReadResponse})).create(path=("read_data",))
        item = source.payload
        m.d.comb += [
            source.valid.eq(self.axi.rvalid),
            self.axi.rready.eq(source.ready),
            item.id.eq(self.axi.rid),
            item.response.data.eq(self.axi.rdata),
            item.response.tag.eq(item.id.tag),
            item.response.last.eq(self.axi.rlast),
            item.response.error.eq(_is_error(self.axi.rresp)),
            item.response.exclusive.eq(_is_exclusive(self.axi.rresp)),
        ]
        self._route(m, _pipe(m, name="read_response", source=source), self.reads)

    def _write_requests(self, m: Module) -> None:
        """AW and W are filled together but leave apart, so each keeps its own register. The other words of a burst follow in W."""
        requests = [wiring.flipped(client.request) for client in self.writes]
        begun = stream.Signature(MemoryWriteRequest).create(path=("burst_begun",))
        merged = self._merge(m, "write", MemoryWriteRequest, requests + [begun] * self.burst_writer)
        address_valid = Signal()
        data_valid = Signal()
        address = Signal(merged.payload.shape())
        word, strobes = Signal(AXI_DATA_BITS), Signal(AXI_DATA_BITS // 8)
        beats, address_beats, left = (Signal(BURST_BEATS_BITS, name=name) for name in ("beats", "address_beats", "left"))
        data_free = ~data_valid | self.axi.wready
        m.d.comb += merged.ready.eq((~address_valid | self.axi.awready) & data_free & (left == 0))
        with m.If(self.axi.awready):
            m.d.sync += address_valid.eq(0)
        with m.If(self.axi.wready):
            m.d.sync += data_valid.eq(0)
        with m.If(merged.valid & merged.ready):
            m.d.sync += [address_valid.eq(1), data_valid.eq(1), address.eq(merged.payload), address_beats.eq(beats), left.eq(beats)]
            m.d.sync += [word.eq(merged.payload.request.data), strobes.eq(~merged.payload.request.keep)]
        if self.burst_writer:
            with m.If(merged.payload.client == len(self.writes)):
                m.d.comb += beats.eq(self.burst.request.payload.beats)
            self._burst_words(m, begun, left=left, data_free=data_free)
            with m.If((left != 0) & data_free & self.burst.data.valid):
                m.d.sync += [data_valid.eq(1), word.eq(self.burst.data.payload), left.eq(left - 1)]
        m.d.comb += [
            self.axi.awvalid.eq(address_valid),
            self.axi.awid.eq(Cat(address.request.tag, address.client)),
            self.axi.awaddr.eq(address.request.addr),
            self.axi.awlen.eq(address_beats),
            self.axi.awlock.eq(address.request.exclusive),
            *self._constants("aw"),
            self.axi.wvalid.eq(data_valid),
            self.axi.wdata.eq(word),
            self.axi.wstrb.eq(strobes),
            self.axi.wlast.eq(left == 0),
        ]

    def _burst_words(self, m: Module, begun: wiring.PureInterface, *, left: Signal, data_free: Value) -> None:
        """A burst and its first word ask for a turn together; the `left` others are taken as W has room. All their strobes are on."""
        request, words = self.burst.request, self.burst.data
        m.d.comb += [
            begun.valid.eq(request.valid & words.valid),
            begun.payload.addr.eq(request.payload.addr),
            begun.payload.tag.eq(request.payload.tag),
            begun.payload.data.eq(words.payload),
            request.ready.eq(begun.valid & begun.ready),
            words.ready.eq(Mux(left == 0, begun.valid & begun.ready, data_free)),
        ]

    def _write_responses(self, m: Module) -> None:
        source = stream.Signature(data.StructLayout({"id": AxiId(self.id_bits), "response": MemoryWriteResponse})).create(path=("write_done",))
        item = source.payload
        m.d.comb += [
            source.valid.eq(self.axi.bvalid),
            self.axi.bready.eq(source.ready),
            item.id.eq(self.axi.bid),
            item.response.tag.eq(item.id.tag),
            item.response.error.eq(_is_error(self.axi.bresp)),
            item.response.exclusive.eq(_is_exclusive(self.axi.bresp)),
        ]
        self._route(m, _pipe(m, name="write_response", source=source), [*self.writes, *([self.burst] if self.burst_writer else [])])

    def _constants(self, prefix: str) -> list:  # type: ignore[type-arg]
        """The fields of an address channel that never change."""
        values = {
            "size": AXI_SIZE_8_BYTES,
            "burst": AxiBurst.INCR,
            "cache": AXI_CACHE_NORMAL,
            "prot": AXI_PROT_DATA,
        }
        return [getattr(self.axi, f"{prefix}{name}").eq(value) for name, value in values.items()]

    def _route(self, m: Module, stage: wiring.PureInterface, clients: Iterable[wiring.PureInterface]) -> None:
        """Give the registered response to the client of its ID. An ID that no client has is dropped: it must not block the bus."""
        m.d.comb += stage.ready.eq(1)
        for client in clients:
            m.d.comb += client.response.payload.eq(stage.payload.response)
        with m.Switch(stage.payload.id.client):
            for index, client in enumerate(clients):
                with m.Case(index):
                    m.d.comb += [client.response.valid.eq(stage.valid), stage.ready.eq(client.response.ready)]

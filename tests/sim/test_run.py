"""`seqfault run` as a whole: the simulated engine, the checker, the report, the waveforms. One model each without waves, with VCD, with FST."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seqfault.trace import DATA
from seqfault.waves import read_events
from seqfault.waves_golden import read_golden

from ..long import in_short

OUTCOMES = ("speculative", "retried", "classic", "software", "refused")
FAULT_STEPS = ["R0", "R1-R6", "R7-R9", "R10-R12", "R13", "R14-R15", "R16-R17", "R18"]


def _seqfault(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seqfault.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def _run_json(*arguments: str) -> dict:
    result = _seqfault("run", *arguments, "--json", "-")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def _check(report: dict) -> None:
    faults = report["faults"]
    assert report["golden"]["agreed"]
    assert report["golden"]["first_difference"] is None
    assert report["golden"]["steps_checked"] > 10 * faults["speculative"]
    assert sum(faults[outcome] for outcome in OUTCOMES) == faults["total"] > 0
    assert sum(sum(row.values()) for row in report["by_kind"].values()) == faults["total"]


def test_a_packaged_trace_in_all_formats_of_the_json() -> None:
    report = _run_json("sqlite-mmap", "--limit", "500", "--preset", "small", "--latency", "20")
    _check(report)
    with gzip.open(DATA / "sqlite-mmap.jsonl.gz", "rt") as file:
        events = [json.loads(line) for line in file][1:501]
    assert report["events"] == 500
    assert report["faults"]["total"] == sum(event["ev"] == "fault" for event in events)
    assert report["faults"]["speculative"] > 100
    keys = {"trace", "policy", "preset", "events", "cycles", "wall_s", "faults", "aborts", "commands", "latency_cycles", "linux_ns", "golden"}
    assert keys <= report.keys()
    latency = report["latency_cycles"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"]


@pytest.mark.parametrize(("policy", "path"), [("vma-lock", "speculative"), ("mm-lock", "classic")])
def test_policies(policy: str, path: str) -> None:
    report = _run_json("sqlite-mmap", "--limit", "500", "--preset", "small", "--policy", policy)
    _check(report)
    others = {"speculative", "retried", "classic"} - {path}
    assert report["faults"][path] > 50
    assert all(report["faults"][other] == 0 for other in others)


def test_latency_of_memory_shows_in_the_latency_of_faults() -> None:
    fast = _run_json("sqlite-mmap", "--limit", "200", "--preset", "small", "--latency", "10")
    slow = _run_json("sqlite-mmap", "--limit", "200", "--preset", "small", "--latency", "100")
    reads = 2  # the leaf entry, by the Translator's walk and the fault unit's; the walk cache has the entries above
    assert slow["latency_by_outcome"]["speculative"]["p50"] - fast["latency_by_outcome"]["speculative"]["p50"] >= reads * 90


@pytest.mark.parametrize("suffix", in_short(1, ["vcd", "fst"]))
def test_waves_show_every_checked_step(tmp_path: Path, suffix: str) -> None:
    wave = tmp_path / f"out.{suffix}"
    report = _run_json("sqlite-mmap", "--limit", "120", "--preset", "small", "--waves", str(wave))
    _check(report)
    timeline = _seqfault("waves", str(wave))
    assert timeline.returncode == 0, timeline.stderr
    steps = re.findall(r"\bR\d+(?:-R\d+)?\b", timeline.stdout)
    assert steps.count("R18") == sum(report["faults"][name] for name in ("speculative", "retried", "classic"))
    position = timeline.stdout.index("R16-R17")
    assert position < timeline.stdout.index("R18", position)
    assert set(FAULT_STEPS) <= set(steps)
    golden = read_golden(wave)
    assert golden is not None
    events = list(read_events(wave))
    golden.fit(wave, events)
    assert len(golden.events) == len(events)
    assert sum(event["last"] - event["first"] + 1 for event in golden.events) == report["golden"]["steps_checked"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [wave.name, f"{wave.name}.golden.jsonl"]
    page, cut, save = (tmp_path / name for name in ("page.html", "cut.vcd", "wave.gtkw"))
    made = _seqfault("waves", str(wave), "--html", str(page), "--around", "fault=5", "-o", str(cut), "--gtkw", str(save))
    assert made.returncode == 0, made.stderr
    assert "every event was allowed" in page.read_text()
    assert [event for event in read_events(cut) if event.fault == 5] == [event for event in events if event.fault == 5]
    assert save.read_text().count("-locks\n") == 2
    assert f"seqfault_sim.ev_first{'_code[5:0]' if suffix == 'fst' else '_name'}\n" in save.read_text()

"""`seqfault mutate`: its usage, what it keeps and tells, and both judges on mutants whose verdict is known."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seqfault import mutate
from seqfault.cli import run_command
from seqfault.errors import CheckFailed
from seqfault.mutate import Campaign, Tried, check_score, judge_by_tests
from seqfault.mutate_blocks import TESTS
from seqfault.mutate_document import ARGUED, END, document_text
from seqfault.mutate_model import PRESET, SETTINGS, build_mutants, list_mutants, mutants_key
from seqfault.mutate_report import result_record
from seqfault_tb.mutants.blocks import modules_of
from seqfault_tb.mutants.programs import programs
from seqfault_tb.mutants.transform import Mutant

from ..long import LONG

BLOCKS_TESTS = Path(__file__).parents[1] / "rtl"
Capture = pytest.CaptureFixture[str]


def _mutants(count: int) -> list[Mutant]:
    return [
        Mutant(number=number, file="srcu.py", line=100 + number, column=5, operator="operator", before="a | b", after="(a) & (b)")
        for number in range(1, count + 1)
    ]  # fmt: skip


def _verdict(number: int, **changes: Any) -> str:
    verdict = {"mutant": number, "killed": True, "by": 0, "outcome": "difference", "message": "cycle 5", "events": None}
    return json.dumps(verdict | changes) + "\n"


def _survived(number: int, events: str = "same") -> str:
    return _verdict(number, killed=False, by=None, outcome="ok", message=None, events=events)


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Of four mutants, three have a verdict: one was killed, one survived, one survived the programs and was killed by a test."""
    verdicts = tmp_path / "verdicts.jsonl"
    test = json.dumps({"mutant": 3, "tested": True, "killed": True, "outcome": "test", "by": ["test_srcu.py::test_srcu"], "message": "a test failed"})
    verdicts.write_text(_verdict(1) + _survived(2, "other") + _survived(3) + test + "\n" + _verdict(4)[:20])
    mutants = _mutants(4)
    return Campaign(modules=["srcu"], found=mutants, chosen=mutants, programs=programs(PRESET, SETTINGS), verdicts=verdicts)


def test_verdicts_are_kept_and_a_cut_line_is_not(campaign: Campaign) -> None:
    tried = campaign.tried()
    assert [(item.mutant.number, item.killed, item.verdict["outcome"]) for item in tried] == [
        (1, True, "difference"),
        (2, False, "ok"),
        (3, True, "test"),
    ]
    record = result_record(campaign, tried)
    assert (record["mutants"], record["tried"], record["killed"], record["score"]) == (4, 3, 2, 66.67)
    assert [(item["number"], item["events"]) for item in record["survivors"]] == [(2, "other")]


def test_only_the_rest_is_tried(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []
    monkeypatch.setattr(mutate, "build_mutants", lambda modules: Path("model"))
    monkeypatch.setattr(mutate, "run_job", lambda *arguments, **named: jobs.append(arguments[3]))
    campaign.run(jobs=2, limit=None, on_progress=lambda done, every: None)
    assert [(job["mutants"], job["jobs"], len(job["programs"])) for job in jobs] == [([4], 2, len(campaign.programs))]
    tests: list[tuple[Any, ...]] = []
    monkeypatch.setattr(mutate, "judge_by_tests", lambda *arguments: tests.append(arguments))
    campaign.run(jobs=2, limit=None, on_progress=lambda done, every: None, tests=BLOCKS_TESTS)
    assert [(found[1], found[2]) for found in tests] == [(["srcu"], [2])]


def test_score_is_checked(campaign: Campaign) -> None:
    check_score(campaign.tried(), None)
    check_score(campaign.tried(), 66.0)
    with pytest.raises(CheckFailed, match=r"66\.7 % of 3 mutants were killed, less than 67 %"):
        check_score(campaign.tried(), 67.0)


def test_page_keeps_what_is_argued(campaign: Campaign) -> None:
    page = document_text(campaign, campaign.tried(), old="", seed=1)
    assert "**Killed: 2 of 3, 66.7 %** (of all mutants 21 to 94 %, with a probability of 95 %)" in page
    assert "a random sample (seed 1) of 3" in page
    assert "| srcu.py:102:5 | operator | `a \\| b` | `(a) & (b)` |" in page
    argued = page.replace(page.partition(ARGUED)[2].partition(END)[0], "\nThis is why.\n")
    killed = [Tried(mutant=item.mutant, verdict=item.verdict | {"killed": True, "outcome": "hang"}) for item in campaign.tried()]
    again = document_text(campaign, killed, old=argued, seed=1)
    assert f"{ARGUED}\nThis is why.\n{END}" in again
    assert "srcu.py:102:5" not in again


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["tlb"], "unknown block 'tlb'"), (["--tests", "/tmp"], "is not the folder tests/rtl"), (["--document", "/no/such/x.md"], "No such file")],
)
def test_bad_usage(arguments: list[str], complaint: str, capsys: Capture) -> None:
    assert run_command(["mutate", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_list(tmp_path: Path) -> None:
    """Without a build. What the configuration leaves out is not in it."""
    assert run_command(["mutate", "srcu", "--list", "--json", str(tmp_path / "list.json")]) == 0
    found = json.loads((tmp_path / "list.json").read_text())
    assert {item["file"] for item in found} == {"srcu.py"}
    assert any((item["operator"], item["before"]) == ("assignment dropped", "called.eq(called + 1)") for item in found)
    assert len({item["number"] for item in found}) == len(found) > 50


def test_every_module_has_tests_of_its_block() -> None:
    assert set(modules_of([])) - set(TESTS) == {"fault_context"} - set(TESTS)
    for tests in TESTS.values():
        for test in tests:
            file, _, name = test.partition("::")
            assert f"def {name.partition('[')[0]}(" in (BLOCKS_TESTS / file).read_text()


@LONG
def test_the_tests_of_a_block_judge(tmp_path: Path) -> None:
    """In a process of its own; a number that is no mutant of this block changes nothing."""
    found = list_mutants(["srcu"])
    (dropped,) = [item.number for item in found if (item.operator, item.before) == ("assignment dropped", "called.eq(called + 1)")]
    nothing = max(item.number for item in found) + 1
    verdicts = tmp_path / "verdicts.jsonl"
    judge_by_tests(["srcu"], ["srcu"], [dropped, nothing], [f"{BLOCKS_TESTS}/test_srcu.py::test_smallest"], 2e9, verdicts)
    lines = [json.loads(line) for line in verdicts.read_text().splitlines()]
    assert [(line["mutant"], line["tested"], line.get("killed")) for line in lines] == [(dropped, True, True), (nothing, True, None)]


def test_tests_that_fail_without_a_mutant_judge_nothing(tmp_path: Path) -> None:
    failing = tmp_path / "test_it.py"
    failing.write_text("def test_it():\n    assert False\n")
    with pytest.raises(CheckFailed, match="the tests of srcu could not judge"):
        judge_by_tests(["srcu"], ["srcu"], [1], [f"{failing}::test_it"], 2e9, tmp_path / "verdicts.jsonl")


@LONG
def test_the_programs_judge(tmp_path: Path) -> None:
    """The whole engine with the mutants of one module: without one it is the same to the cycle as the engine without mutants."""
    from seqfault.engine_model import HARNESS_TOP, build_engine
    from seqfault.job import run_job
    from seqfault_rtl.config import PRESETS

    module = "pte_locks"
    found = list_mutants([module])
    killed = next(item.number for item in found if item.before == "held[i] & (tables[i] == asked)" and item.after == "held[i]")
    nothing = max(item.number for item in found) + 1
    verdicts = tmp_path / "verdicts.jsonl"
    judges = [program.to_json() for program in programs(PRESET, SETTINGS)]
    job = {"programs": judges, "jobs": 2, "until": 2e9, "verdicts": str(verdicts)}
    changed = run_job(build_mutants([module]), HARNESS_TOP, mutate.JOB, {**job, "mutants": [killed, nothing]}, seed=1)
    plain = run_job(build_engine(PRESETS[PRESET].with_settings(SETTINGS)), HARNESS_TOP, mutate.JOB, {**job, "mutants": []}, seed=1)
    for number, base in plain["baseline"].items():
        assert (base["outcome"], base["footprint"], base["cycles"]) == ("ok", changed["baseline"][number]["footprint"], base["cycles"])
    lines = {line["mutant"]: line for line in map(json.loads, verdicts.read_text().splitlines())}
    assert lines[killed]["killed"]
    assert (lines[nothing]["killed"], lines[nothing]["events"]) == (False, "same")


def test_verilog_of_all_mutants_is_made_in_time(tmp_path: Path) -> None:
    """Deep expressions are no trees: without `share_expressions` this takes hours."""
    files = {"verilog": str(tmp_path / "x.v"), "list": str(tmp_path / "list.json")}
    job = {"modules": ["frame_pool"], "preset": PRESET, "settings": SETTINGS, "key": mutants_key(["frame_pool"]), **files}
    assert _make_engine(tmp_path, job).returncode == 0
    assert (tmp_path / "x.v").stat().st_size < 4_000_000


def test_other_mutants_than_those_listed_are_refused(tmp_path: Path) -> None:
    job = {"modules": ["srcu"], "preset": PRESET, "settings": SETTINGS, "key": "older", "verilog": None, "list": str(tmp_path / "list.json")}
    done = _make_engine(tmp_path, job)
    assert done.returncode == 1
    assert "the RTL was changed while its mutants were tried" in done.stderr
    assert not (tmp_path / "list.json").exists()


def _make_engine(folder: Path, job: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "seqfault.mutate_engine", str(folder / "job.json")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

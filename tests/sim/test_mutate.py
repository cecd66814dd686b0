"""`seqfault mutate`: its usage, what it keeps and tells, and both judges on mutants whose verdict is known."""

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqfault import mutate, mutate_report, mutate_verdicts
from seqfault.cli import run_command
from seqfault.errors import CheckFailed, UsageError
from seqfault.mutate import Campaign, Tried, judge_by_tests
from seqfault.mutate_blocks import TESTS
from seqfault.mutate_document import ARGUED, END, document_text
from seqfault.mutate_model import PRESET, SETTINGS, build_mutants, list_mutants, mutants_key
from seqfault.mutate_report import check_score, result_record
from seqfault.mutate_verdicts import HEADER, begin_verdicts, key_of_tests, read_verdicts
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


def _tested(number: int, key: str, **changes: Any) -> str:
    return json.dumps({"mutant": number, "tested": key, **changes}) + "\n"


def _killed_by_test(number: int, key: str) -> str:
    return _tested(number, key, killed=True, outcome="test", by=["test_srcu.py::test_srcu"], message="a test failed")


def _header(key: str) -> str:
    return json.dumps({HEADER: key}) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Takes the place of tests/rtl: with what its tests share, and the tests' halves in the simulator."""
    for name in ("tests/rtl/test_srcu.py", "tests/rtl/test_fault_unit.py", "tests/long.py", "tb/test_srcu.py", "tb/srcu_program.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    monkeypatch.setattr(mutate_verdicts, "BENCH", tmp_path / "tb")
    return tmp_path / "tests" / "rtl"


@pytest.fixture
def campaign(tmp_path: Path, folder: Path) -> Campaign:
    """Of four mutants, three have a verdict: one was killed, one survived, one survived the programs and was killed by a test."""
    verdicts = tmp_path / "verdicts.jsonl"
    text = _verdict(1) + _survived(2, "other") + _survived(3) + _killed_by_test(3, key_of_tests(folder)) + _verdict(4)[:20]
    verdicts.write_text(_header("these") + text)
    mutants = _mutants(4)
    return Campaign(
        modules=["srcu"], found=mutants, chosen=mutants, programs=programs(PRESET, SETTINGS), verdicts=verdicts, key="these", tests=folder
    )


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Campaign]:
    """The command takes four mutants for those of the RTL; its campaigns are put here, and find that all mutants but the first survive."""
    found: list[Campaign] = []

    def run(campaign: Campaign, **options: Any) -> None:
        found.append(campaign)
        begin_verdicts(campaign.verdicts, campaign.key)
        with campaign.verdicts.open("a") as file:
            file.write(_verdict(1) + "".join(_survived(mutant.number) for mutant in campaign.chosen if mutant.number > 1))

    monkeypatch.setenv("SEQFAULT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mutate, "list_mutants", lambda modules: _mutants(4))
    monkeypatch.setattr(Campaign, "run", run)
    monkeypatch.setattr("seqfault.doctor.require_simulation_tools", lambda: None)
    return found


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
    monkeypatch.chdir(campaign.verdicts.parent)
    replace(campaign, tests=None, verdicts=Path("verdicts.jsonl")).run(jobs=2, limit=None, on_progress=lambda done, every: None)
    assert [(job["mutants"], job["jobs"], len(job["programs"])) for job in jobs] == [([4], 2, len(campaign.programs))]
    assert jobs[0]["verdicts"] == str(campaign.verdicts.resolve()), "the simulator runs in another folder"
    tests: list[tuple[Any, ...]] = []
    monkeypatch.setattr(mutate, "judge_by_tests", lambda *arguments, **named: tests.append((*arguments, named)))
    campaign.run(jobs=2, limit=None, on_progress=lambda done, every: None)
    assert [found[1:5] for found in tests] == [(["srcu"], [2], campaign.tests, TESTS["srcu"])]
    assert tests[0][-1] == {"key": campaign.tests_key}


def test_without_tests_their_verdicts_do_not_count(campaign: Campaign) -> None:
    assert [(item.mutant.number, item.killed) for item in replace(campaign, tests=None).tried()] == [(1, True), (2, False), (3, False)]


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("tests/rtl/test_srcu.py", [2, 3]), ("tests/rtl/more.py", [2, 3]), ("tests/long.py", [2, 3]), ("tb/test_srcu.py", [2, 3]),
        ("tb/srcu_program.py", []), ("tests/notes.md", []),
    ],
)  # fmt: skip
def test_verdicts_of_tests_hold_for_these_tests(
    campaign: Campaign, changed: str, again: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both kinds: killed by them, and survived them. Those of the programs hold on."""
    with campaign.verdicts.open("r+") as file:
        file.write(_header("these") + _verdict(1) + _survived(2) + _survived(3) + _killed_by_test(3, str(campaign.tests_key)) + _verdict(4))
        file.write(_tested(2, str(campaign.tests_key)))
        file.truncate()
    with (tmp_path / changed).open("a") as file:
        file.write("# stronger\n")
    later = replace(campaign)
    assert [item.killed for item in later.tried()] == [True, False, not again, True]
    tests: list[tuple[Any, ...]] = []
    monkeypatch.setattr(mutate, "judge_by_tests", lambda *arguments, **named: tests.append(arguments))
    later.run(jobs=2, limit=None, on_progress=lambda done, every: None)
    assert [found[2] for found in tests] == ([again] if again else [])


NO_BEGIN = "is no file of verdicts: it does not begin as"
OTHER_FILES = {
    "object": ("{}", NO_BEGIN), "line": ("{}\n", NO_BEGIN), "no header": (_verdict(1), NO_BEGIN), "no text": ("\xff\n", NO_BEGIN),
    "deep": ("[" * 100_000, NO_BEGIN), "cut header of others": (_header("others").strip(), NO_BEGIN),
    "others": (_header("others") + _verdict(1), "has verdicts for other sources or other blocks"),
    "empty verdict": (_header("these") + "{}\n", "line 2 is no verdict"),
    "joined lines": (_header("these") + _verdict(1) + _verdict(2)[:20] + _verdict(3), "line 3 is no verdict"),
    "unknown events": (_header("these") + _survived(1, "none"), "line 2 is no verdict"),
    "number for a truth": (_header("these") + _tested(1, "x", killed=1), "line 2 is no verdict"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "complaint"), OTHER_FILES.values(), ids=OTHER_FILES)
def test_other_files_are_refused(content: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match=complaint):
        read_verdicts(file, "these", None)


@pytest.mark.parametrize("content", ["", _header("these")[:9], _header("these").strip(), _header("these")])
def test_cut_header_is_made_again(content: str, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    begin_verdicts(file, "these")
    file.write_text(content)
    assert read_verdicts(file, "these", None) == {}
    begin_verdicts(file, "these")
    assert file.read_text() == _header("these")


def test_cut_line_is_dropped(campaign: Campaign) -> None:
    """So that the next verdict is not written behind it."""
    begin_verdicts(campaign.verdicts, "these")
    with campaign.verdicts.open("a") as file:
        file.write(_survived(4))
    assert [(item.mutant.number, item.killed) for item in campaign.tried()] == [(1, True), (2, False), (3, True), (4, False)]


def test_invented_verdicts_are_refused(runs: list[Campaign], tmp_path: Path, capsys: Capture) -> None:
    """Before anything runs, and the file stays as it is; the one that the command made is taken again, and only for the same blocks."""
    invented, made = tmp_path / "invented", tmp_path / "made"
    invented.write_text("".join(map(_verdict, range(1, 5))))
    assert run_command(["mutate", "srcu", "--verdicts", str(invented)]) == 2
    assert capsys.readouterr().err == f"seqfault: {invented} is no file of verdicts: it does not begin as `seqfault mutate` does\n"
    assert (runs, invented.read_text()) == ([], "".join(map(_verdict, range(1, 5))))
    assert run_command(["mutate", "srcu", "--verdicts", str(made)]) == run_command(["mutate", "srcu", "--verdicts", str(made)]) == 0
    written = made.read_text()
    assert run_command(["mutate", "pte_locks", "--verdicts", str(made)]) == 2
    assert "has verdicts for other sources or other blocks than these" in capsys.readouterr().err
    assert (len(runs), made.read_text()) == (2, written)


@pytest.mark.parametrize("place", ["", "file/verdicts"])
def test_places_that_keep_no_verdicts(place: str, runs: list[Campaign], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")
    assert run_command(["mutate", "srcu", "--verdicts", str(tmp_path / place)]) == 2
    assert capsys.readouterr().err.startswith(f"seqfault: cannot read {tmp_path / place}: ")


def test_score_is_checked(campaign: Campaign) -> None:
    check_score(campaign.tried(), None)
    check_score(campaign.tried(), 66.0)
    with pytest.raises(CheckFailed, match=r"66\.7 % of 3 mutants were killed, less than 67 %"):
        check_score(campaign.tried(), 67.0)


def test_score_is_computed_once(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutate_report, "score", lambda tried: 12.5)
    assert result_record(campaign, campaign.tried())["score"] == 12.5
    with pytest.raises(CheckFailed, match=r"12\.5 % of 3"):
        check_score(campaign.tried(), 13.0)


def test_page_keeps_what_is_argued(campaign: Campaign) -> None:
    page = document_text(campaign, campaign.tried(), old="", seed=1, command="seqfault mutate --sample 4")
    assert "**Killed: 2 of 3, 66.7 %** (of all mutants 21 to 94 %, with a probability of 95 %)" in page
    assert "a random sample (seed 1) of 3" in page
    assert "| srcu.py:102:5 | operator | `a \\| b` | `(a) & (b)` |" in page
    argued = page.replace(page.partition(ARGUED)[2].partition(END)[0], "\nThis is why.\n")
    killed = [Tried(mutant=item.mutant, verdict=item.verdict | {"killed": True, "outcome": "hang"}) for item in campaign.tried()]
    again = document_text(campaign, killed, old=argued, seed=1, command="")
    assert f"{ARGUED}\nThis is why.\n{END}" in again
    assert "srcu.py:102:5" not in again


def test_page_says_what_was_run(runs: list[Campaign], tmp_path: Path, folder: Path) -> None:
    """The arguments and options that were given, and no others; as many programs as there are."""
    page = tmp_path / "the page.md"
    for given in [
        ["srcu", "--sample", "3", "--tests", str(folder), "--document", str(page)],
        ["--seed", "1", "--limit", "60", "--jobs", "2", "--document", str(page)],
        ["srcu", "pte_locks", "--verdicts", str(tmp_path / "kept"), "--document", str(page), "--at-least", "12.5"],
    ]:
        assert run_command(["mutate", *given]) == 0
        assert f" Again: `{shlex.join(['seqfault', 'mutate', *given])}`.\n" in page.read_text()
        assert f"Each was tried on up to {len(programs(PRESET, SETTINGS))} programs of 300 to 1500 faults.\n" in page.read_text()
    assert len(runs) == 3


@pytest.mark.parametrize("old", [f"{ARGUED}\nThis is why.\n", f"This is why.\n{END}\n", f"{ARGUED}{END}{ARGUED}{END}", f"{END}{ARGUED}", "\xff"])
def test_page_with_wrong_markers_is_refused_first(old: str, runs: list[Campaign], tmp_path: Path, capsys: Capture) -> None:
    page = tmp_path / "page.md"
    page.write_text(old, encoding="latin-1")
    assert run_command(["mutate", "srcu", "--document", str(page)]) == 2
    assert str(page) in capsys.readouterr().err
    assert (runs, page.read_text(encoding="latin-1")) == ([], old)


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
    key = key_of_tests(BLOCKS_TESTS)
    judge_by_tests(["srcu"], ["srcu"], [dropped, nothing], BLOCKS_TESTS, ["test_srcu.py::test_smallest"], 2e9, verdicts, key=key)
    lines = [json.loads(line) for line in verdicts.read_text().splitlines()]
    assert [(line["mutant"], line["tested"], line.get("killed")) for line in lines] == [(dropped, key, True), (nothing, key, None)]


def test_tests_that_fail_without_a_mutant_judge_nothing(tmp_path: Path) -> None:
    failing = tmp_path / "test_it.py"
    failing.write_text("def test_it():\n    assert False\n")
    with pytest.raises(CheckFailed, match="the tests of srcu could not judge") as caught:
        judge_by_tests(["srcu"], ["srcu"], [1], tmp_path, ["test_it.py::test_it"], 2e9, tmp_path / "verdicts.jsonl", key=key_of_tests(tmp_path))
    assert "test_it failed without a mutant" in caught.value.details


def test_tests_that_change_meanwhile_judge_nothing(tmp_path: Path) -> None:
    """A verdict would be kept for others than those that gave it."""
    (tmp_path / "test_it.py").write_text("def test_it():\n    with open(__file__, 'a') as file:\n        file.write('#')\n")
    with pytest.raises(CheckFailed, match="the tests of srcu could not judge") as caught:
        judge_by_tests(["srcu"], ["srcu"], [1], tmp_path, ["test_it.py::test_it"], 2e9, tmp_path / "verdicts.jsonl", key=key_of_tests(tmp_path))
    assert "the tests were changed while they judged mutants" in caught.value.details
    assert (tmp_path / "verdicts.jsonl").read_text() == ""


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

"""`seqfault explore`: what it prints and writes, its exit status. The explorer is replaced where its verdict is not the point."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqfault import explore_cases
from seqfault.cli import run_command
from seqfault_golden.explore import catalogue
from seqfault_golden.explore.catalogue import Case, Race
from seqfault_golden.explore.result import Exploration, TraceStep

Capture = pytest.CaptureFixture[str]
Explore = Callable[..., Exploration]
KEYS = {"scenario", "mutation", "verdict", "expected", "invariant", "states", "trace"}
REAL = (catalogue.find_case("munmap", None), catalogue.find_case("munmap", "c3"), catalogue.find_case("mprotect", "early-recheck"))
STEPS = (
    TraceStep(agent="fault 0", step="R13", text="tries the PTE lock", changes=("table 1 lock: 0 -> 1", "fault 0 locked: 0 -> 1")),
    TraceStep(agent="munmap", step="U5", text="waits for walkers", changes=()),
)


def found(case: Case, verdict: str = "ok", **changes: Any) -> Exploration:
    """What an explorer may answer."""
    ok = verdict == "ok"
    made = Exploration(
        scenario=case.scenario, mutation=case.mutation, verdict=verdict, expected=case.expected, invariant=None if ok else "I6",
        explanation="" if ok else "everybody waits", states=1000, transitions=3000, seconds=0.5, complete=ok,
        agents=("fault 0", "fault 1", "munmap"), trace=() if ok else STEPS,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Case]], None]:
    """Makes the catalogue these cases."""
    return lambda some: monkeypatch.setattr(catalogue, "CASES", tuple(some))


@pytest.fixture
def explorer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Explore], None]:
    """Puts a function in the place of the explorer."""
    return lambda function: monkeypatch.setattr(explore_cases, "explore", function)


def explore_json(capsys: Capture, *arguments: str, status: int = 0) -> Any:
    assert run_command(["explore", *arguments, "--json", "-"]) == status
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_catalogue_in_its_order(capsys: Capture, cases: Callable, jobs: str) -> None:
    cases(REAL)
    records = explore_json(capsys, "--all", "-j", jobs)
    assert [(record["scenario"], record["mutation"]) for record in records] == [(case.scenario, case.mutation) for case in REAL]
    assert [record["verdict"] for record in records] == [record["expected"] for record in records] == ["ok", "violation", "ok"]
    for record in records:
        assert set(record) >= KEYS
        assert (record["invariant"] is None) == (record["verdict"] == "ok") == (not record["trace"])
        assert record["states"] > 100
    trace = records[1]["trace"]
    assert set(trace[0]) == {"agent", "step", "text", "changes"}
    assert {step["agent"] for step in trace} <= set(records[1]["agents"])


@pytest.mark.parametrize("mutate", [["c1+walker-pin"], ["walker-pin+c1"], ["walker-pin", "c1"], ["c1", "c1+walker-pin"]])
def test_safeguards_in_any_order_and_form(capsys: Capture, explorer: Callable, mutate: list[str]) -> None:
    explorer(lambda case, progress, limit: found(case, "violation"))
    (record,) = explore_json(capsys, "munmap", *(text for name in mutate for text in ("--mutate", name)))
    # this combination is not in the catalogue, so nothing is expected of it
    assert (record["mutation"], record["verdict"], record["expected"]) == ("c1+walker-pin", "violation", "")


def test_a_verdict_that_differs_is_named_and_is_status_1(capsys: Capture, cases: Callable, tmp_path: Path) -> None:
    cases([*REAL[:2], replace(REAL[2], expected="deadlock")])
    assert run_command(["explore", "--all", "-j", "2", "--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]) == 1
    out, err = capsys.readouterr()
    assert err == "seqfault: mprotect without early-recheck: ok, expected deadlock\n"
    assert "1 of 3 cases did not end as expected" in out
    assert json.loads((tmp_path / "r.json").read_text())[2]["expected"] == "deadlock"
    assert "expected: deadlock" in (tmp_path / "r.html").read_text()


def test_many_that_differ_are_one_line(capsys: Capture, cases: Callable, explorer: Callable) -> None:
    cases([replace(REAL[0], expected="violation")] * 5)
    explorer(lambda case, progress, limit: found(case))
    assert run_command(["explore", "--all", "-j", "1"]) == 1
    err = capsys.readouterr().err
    assert (err.count("expected violation"), err.count("(and 2 more)"), err.count("\n")) == (3, 1, 1)


@pytest.mark.parametrize("arguments", [["munmap"], ["--all", "-j", "2"]])
def test_what_has_too_many_states_is_no_verdict(capsys: Capture, cases: Callable, arguments: list[str]) -> None:
    cases(REAL[:1])
    assert explore_json(capsys, *arguments, "--limit", "100", status=1) == []
    assert run_command(["explore", *arguments, "--limit", "100"]) == 1
    assert capsys.readouterr().err == "seqfault: munmap has more than 100 states (--limit)\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--all"),
        (["munmap", "--all"], "name one scenario"),
        (["--all", "--list"], "--list"),
        (["--all", "--mutate", "c3"], "goes with a scenario"),
        (["munmp"], "did you mean munmap"),
        (["zzz"], "known: munmap, "),
        (["munmap", "--mutate", "c33"], "did you mean c3"),
        (["munmap", "--mutate", ""], "unknown safeguard ''"),
        (["munmap", "--mutate", "c3+"], "unknown safeguard ''"),
        (["munmap", "--limit", "0"], "limit"),
        (["--all", "-j", "0"], "jobs"),
        (["--list", "--html", "x.html"], "--html goes with"),
        (["munmap", "--document", "x.md"], "--document goes with --all"),
        (["--all", "--limit", "9", "--document", "x.md"], "without --limit"),
        (["--all", "--document", "/no/such/folder/x.md"], "No such file"),
        (["munmap", "--html", "/no/such/folder/x.html"], "No such file"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(capsys: Capture, explorer: Callable, arguments: list[str], complaint: str) -> None:
    def never(case: Case, progress: Any, limit: Any) -> Exploration:
        raise AssertionError("must not run")

    explorer(never)
    assert run_command(["explore", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert complaint in err


def test_the_list(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    races = (Race(number="R3", title="collapse", cases=(("munmap", "c3"),)), Race(number="R9", title="notifier", reason="there is no device"))
    monkeypatch.setattr(catalogue, "RACES", races)
    listed = explore_json(capsys, "--list")
    assert [scenario["scenario"] for scenario in listed["scenarios"]] == list(catalogue.SCENARIOS)
    assert sum(len(scenario["cases"]) for scenario in listed["scenarios"]) == len(catalogue.CASES)
    assert [(race["race"], len(race["cases"]), race["reason"]) for race in listed["races"]] == [("R3", 1, None), ("R9", 0, "there is no device")]
    assert run_command(["explore", "--list"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "munmap without c3" in text
    assert "cannot be expressed because there is no device" in text
    assert all(f"{name}: {scenario.title}" in text for name, scenario in catalogue.SCENARIOS.items())


def test_the_table_of_all(capsys: Capture, cases: Callable, explorer: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    cases([*REAL[:2], catalogue.find_case("munmap", "c1+c3")])
    monkeypatch.setattr(catalogue, "RACES", (Race(number="R9", title="notifier", reason="there is no device"),))
    explorer(lambda case, progress, limit: found(case, case.expected or "deadlock", seconds=0.25))
    assert run_command(["explore", "--all", "-j", "1"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ *munmap +ok +ok +- +1,000 +0.25 ", out, re.MULTILINE)
    assert re.search(r"^ *- c3 +violation +violation +I6 +1,000 +0.25 +0.5 drop C3", out, re.MULTILINE)
    assert re.search(r"^ *- c1 +deadlock .*\n *\+ c3", out, re.MULTILINE)
    assert re.search(r"^ *R9 +notifier +cannot be expressed because there is no device", out, re.MULTILINE)
    assert re.search(r"^3 cases, 3,000 states in .* s with 1 process: 4,000 states a second and core$", out, re.MULTILINE)
    assert "all 3 verdicts are the expected ones" in out


def test_a_counter_example_is_a_timeline(capsys: Capture, explorer: Callable) -> None:
    explorer(lambda case, progress, limit: found(case, "deadlock"))
    assert run_command(["explore", "munmap", "--mutate", "c2", "--mutate", "trylock"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heading = next(line for line in lines if "changed" in line)
    lanes = [cell.strip() for cell in heading.split("│")]
    assert lanes == ["", "fault 0", "fault 1", "munmap", "changed"]
    rows = [[cell.strip() for cell in line.split("│")] for line in lines if re.match(r" +[12] │", line)]
    assert rows[0] == ["1", "R13 tries the PTE lock", "", "", "table 1 lock: 0 -> 1"]
    assert rows[1][:4] == ["2", "", "", "U5 waits for walkers"]
    assert any(re.fullmatch(r" +│( +│){3} fault 0 locked: 0 -> 1 *", line) for line in lines)
    assert lines[-2].startswith("Deadlock: I6: nobody waits for a pinned walker")
    assert lines[-1] == "everybody waits"


def test_a_removed_check_is_marked_where_it_would_be(capsys: Capture) -> None:
    assert run_command(["explore", "munmap", "--mutate", "c3"]) == 0
    out = capsys.readouterr().out
    assert out.count("(removed)") == 1
    assert re.search(r"^Broken: I1: no access .* after it was freed$", out, re.MULTILINE)

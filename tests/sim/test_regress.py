"""`seqfault regress`: what it prints and leaves, its JSON, exit statuses and errors; and a real run of the RTL."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from seqfault import regress, regress_case, regress_plan, regress_shrink, regress_workers
from seqfault.cli import run_command
from seqfault.errors import CheckFailed, EnvironmentLacks, UsageError
from seqfault.regress import Regression, investigate
from seqfault.regress_plan import plan
from seqfault.waves import read_events
from seqfault.waves_evidence import leave_evidence
from seqfault_tb.regression.golden_view import BEFORE_SINCE
from seqfault_tb.regression.program import Program
from seqfault_tb.regression.watch import Watcher, watch

from ..long import LONG

Capture = pytest.CaptureFixture[str]
SHARED = ["--preset", "small", "--set", "svadu=true"]
"""The configuration of tests/tb/stress_model.py: with a planted bug named, or NONE, its build is used."""
GOOD = {
    "profile": "mixed", "preset": "small", "policy": "spec", "latency": 20, "outcome": "ok", "message": None, "ended": 900, "cycles": 900,
    "steps": 50,
    "faults": 7, "interleavings": 3, "interleaved": 2, "failed_reads": 0, "counts": {"speculative": 7}, "aborts": {"odd": 1},
    "commands": {"ZAP": 2}, "seconds": 0.1,
}  # fmt: skip
BAD = GOOD | {"outcome": "difference", "message": "cycle 900: C1 passed <b>\nbefore it"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, dict[str, Any]]], list[int]]:
    """Workers that answer at once; seeds in `bad` have these results. Returns the seeds that were run."""

    def install(bad: dict[int, dict[str, Any]]) -> list[int]:
        seeds: list[int] = []

        def run_here(cases: list[dict[str, Any]], jobs: int) -> Iterator[tuple[int, dict[str, Any]]]:
            for number, case in reversed(list(enumerate(cases))):
                seeds.append(case["seed"])
                if isinstance(bad.get(case["seed"]), BaseException):
                    raise bad[case["seed"]]
                yield number, (bad.get(case["seed"]) or GOOD) | {"seed": case["seed"]}

        monkeypatch.setattr(regress_workers, "run_here", run_here)
        monkeypatch.setattr(regress, "prepare", lambda cases: None)
        monkeypatch.setattr(regress, "investigate", lambda case, result, folder, **_: (None, [folder / "program.json"]))
        return seeds

    return install


def test_a_run_that_passes(fake: Callable, capfd: Capture, tmp_path: Path) -> None:
    seeds = fake({})
    assert run_command(["regress", "--seeds", "3", *SHARED, "--json", str(tmp_path / "r.json")]) == 0
    assert sorted(seeds) == [1, 2, 3]
    out = capfd.readouterr().out
    assert "mixed    small" in out
    assert "3 programs in" in out
    value = json.loads((tmp_path / "r.json").read_text())
    assert (value["programs"], value["done"], value["faults"], value["interleavings"]) == (3, 3, 21, 9)
    assert value["outcomes"] == {"ok": 3, "difference": 0, "hang": 0, "failed": 0}
    assert value["counts"] == {"speculative": 21}
    assert value["failures"] == []


def test_a_failure_is_repeated_by_one_line(fake: Callable, capfd: Capture, tmp_path: Path) -> None:
    fake({2: BAD, 3: BAD})
    files = {name: tmp_path / f"r.{name}" for name in ("json", "junit", "html")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert run_command(["regress", "--seeds", "3", *SHARED, "--latency", "7", "--artifacts", str(tmp_path / "left"), *options]) == 1
    out, err = capfd.readouterr()
    again = "seqfault regress --seeds 2:2 --profile mixed --preset small --set svadu=true --faults 2000 --latency 7 --waves failure.vcd"
    first = "first failure: mixed seed 2, small, spec, L=20: difference in cycle 900\n  cycle 900: C1 passed <b>\n  before it\n"
    assert f"{first}  again, with waves: {again}\n" in out
    assert "also: mixed seed 3, small, spec, L=20: difference" in out
    assert err == f"seqfault: 2 of 3 programs failed; the first: {again}\n"
    failures = json.loads(files["json"].read_text())["failures"]
    assert [failure["seed"] for failure in failures] == [2, 3]
    assert failures[0]["files"] == [str(tmp_path / "left" / "mixed-seed-2-small" / "program.json")]
    assert "C1 passed" in files["junit"].read_text()
    assert 'href="left/mixed-seed-2-small/program.json"' in files["html"].read_text()


def test_a_goal_of_coverage(fake: Callable, capfd: Capture, tmp_path: Path) -> None:
    fake({})
    database = tmp_path / "coverage.xml"
    arguments = ["regress", "--seeds", "1", *SHARED, "--coverage-database", str(database)]
    assert run_command([*arguments, "--coverage-goal", "0"]) == 0
    assert ElementTree.parse(database).getroot().find(".//kind") is not None
    assert run_command([*arguments, "--coverage-goal", "0.5"]) == 1
    assert "coverage is 0.00 %, not 0.5 %" in capfd.readouterr().err


def test_what_is_done_is_reported_after_ctrl_c(fake: Callable, capfd: Capture, tmp_path: Path) -> None:
    fake({1: KeyboardInterrupt()})
    page, junit = tmp_path / "r.html", tmp_path / "r.xml"
    assert run_command(["regress", "--seeds", "3", *SHARED, "--html", str(page), "--junit", str(junit)]) == 130
    assert "2 of 3 programs in" in capfd.readouterr().out
    assert "The run was broken off: 1 of 3 programs were not run." in page.read_text()
    (suite,) = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("skipped")) == ("3", "1")
    assert [case.get("name") for case in suite.findall("testcase") if case.find("skipped") is not None] == ["mixed seed 1, small"]


@pytest.mark.parametrize(
    ("error", "status"), [(OSError(28, "No space left on device"), 2), (UsageError("cannot write there"), 2), (KeyboardInterrupt(), 130)]
)
def test_nothing_is_lost_when_the_failure_cannot_be_looked_into(
    error: BaseException, status: int, fake: Callable, capfd: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any, **__: Any) -> None:
        raise error

    fake({2: BAD})
    monkeypatch.setattr(regress, "investigate", breaks)
    assert run_command(["regress", "--seeds", "3", *SHARED, "--json", str(tmp_path / "r.json")]) == status
    assert "first failure: mixed seed 2, small" in capfd.readouterr().out
    assert len(json.loads((tmp_path / "r.json").read_text())["failures"]) == 1


def test_nothing_is_lost_when_a_worker_meets_a_full_disk(fake: Callable, capfd: Capture) -> None:
    fake({1: OSError(28, "No space left on device"), 3: BAD})
    assert run_command(["regress", "--seeds", "3", *SHARED]) == 2
    out, err = capfd.readouterr()
    assert "first failure: mixed seed 3, small" in out
    assert "No space left on device" in err


def test_what_is_done_is_reported_when_the_workers_are_gone(fake: Callable, capfd: Capture) -> None:
    fake({1: EnvironmentLacks("no worker")})
    assert run_command(["regress", "--seeds", "3", *SHARED]) == 3
    out, err = capfd.readouterr()
    assert "2 of 3 programs in" in out
    assert err == "seqfault: no worker\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "9:3"], "--seeds: '9:3' has no seed in it"),
        (["--profile", "dance"], "--profile: unknown profile 'dance'"),
        (["--preset", "huge"], "--preset: unknown preset 'huge'"),
        (["--set", "contexts"], "--set: 'contexts' is not of the form key=value"),
        (["--plant", "TREE"], "unknown planted bug 'TREE'"),
        (["--waves", "a.txt"], "--waves: a.txt must end in .vcd or .fst"),
        (["--waves", "a.vcd"], "--waves goes with one program, not 20"),
        (["--coverage-database", "a.txt"], "--coverage-database: a.txt must end in .xml or .yml"),
        (["--program", "nowhere.json"], "nowhere.json: No such file"),
        (["--json", "/nowhere/x.json"], "/nowhere/x.json"),
        (["--waves-from", "5"], "--waves-from goes with --waves"),
        (["--seeds", ""], "--seeds: '' is neither a number"),
        (["--program", "p.json", "--policy", "spec", "--seeds", "3"], "--program does not go with --seeds, --policy"),
        (["--race", "R1", "--plant", "TREE"], "--plant: unknown planted bug 'TREE'"),
        (["--race", "R1", "--preset", "small"], "--races without --seeds does not go with --preset"),
        (["--html", "x", "--junit", "./x"], "--html: x is what --junit writes"),
        (["--artifacts", "/dev/null/x"], "--artifacts: /dev/null/x cannot be a folder"),
    ],
)
def test_wrong_use(arguments: list[str], message: str, capfd: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["regress", *arguments]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_simulation_that_dies_while_it_records_waves_has_failed(capfd: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise CheckFailed("the simulation failed", details="a log")

    monkeypatch.setattr(regress_case, "run_program", dies)
    arguments = ["--seeds", "4:4", *SHARED, "--waves", str(tmp_path / "f.vcd"), "--json", str(tmp_path / "r.json")]
    assert run_command(["regress", *arguments]) == 1
    assert re.search("first failure: mixed seed 4, small, [a-z-]+, L=[0-9]+: failed", capfd.readouterr().out)
    (failure,) = json.loads((tmp_path / "r.json").read_text())["failures"]
    assert (failure["outcome"], failure["message"]) == ("failed", "the simulation failed\na log")


def test_of_a_simulation_that_always_dies_the_program_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise CheckFailed("the simulation failed")

    for module in (regress_case, regress_shrink):
        monkeypatch.setattr(module, "run_program", dies)
    (case,) = plan([1], profiles=["mixed"], presets=["small"], settings={}, faults=20, fixed={})
    program, files = investigate(case, regress_case.run_case(case), tmp_path / "left", seconds=5)
    assert files == [tmp_path / "left" / "program.json"]
    assert program is not None
    assert program.faults < 20


def test_what_is_built_is_known_without_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"profiles": ["mixed"], "settings": {"svadu": "true"}, "faults": 10}
    cases = plan([1, 2], presets=["small", "default"], fixed={"plant": None}, **options) + plan(
        [1], presets=["small"], fixed={"plant": "NONE"}, **options
    )
    monkeypatch.setattr(regress_plan, "generate", None)
    built = []
    monkeypatch.setattr(regress, "build_for", lambda preset, settings, *, planted, code: built.append((preset, planted, code)))
    regress.prepare(cases)
    assert built == [("small", False, False), ("default", False, False), ("small", True, False)]


def test_profiles_are_listed(capfd: Capture) -> None:
    assert run_command(["regress", "--list"]) == 0
    assert "races      anonymous memory" in capfd.readouterr().out


def test_results_are_kept_in_the_order_of_the_cases() -> None:
    cases = plan([1, 2, 3], profiles=["mixed"], presets=["small"], settings={}, faults=10, fixed={})
    regression = Regression(cases)
    regression.gather(iter([(2, BAD | {"seed": 3}), (-1, {}), (0, BAD | {"seed": 1})]), lambda _: None)
    assert [failure["seed"] for failure in regression.failures] == [1, 3]
    assert regression.total("faults") == 14


def test_watchers_see_the_log_after_the_checker() -> None:
    class Machine:
        on_event = on_request = on_answer = staticmethod(lambda record: seen.append(("checker", record)))

    class Asks(Watcher):
        def request(self, record: list[int]) -> None:
            seen.append(("watcher", record))

    seen: list[tuple[str, Any]] = []
    machine: Any = Machine()
    watch(machine, [Asks()])
    machine.on_request([1])
    machine.on_event([0])
    assert seen == [("checker", [1]), ("watcher", [1]), ("checker", [0])]


def test_a_real_run(capfd: Capture, tmp_path: Path) -> None:
    """Two seeds of each of two profiles in two processes."""
    path = tmp_path / "r.json"
    arguments = ["--seeds", "2", "--profile", "races", "--profile", "errors", "--faults", "300", *SHARED, "--plant", "NONE", "-j", "2"]
    assert run_command(["regress", *arguments, "--json", str(path)]) == 0, capfd.readouterr()
    value = json.loads(path.read_text())
    assert value["outcomes"] == {"ok": 4, "difference": 0, "hang": 0, "failed": 0}
    assert value["faults"] > 800
    assert 0 < value["interleaved"] <= value["interleavings"]
    assert value["failed_reads"] > 0
    assert value["aborts"]["odd"] > 0
    assert 0 < value["coverage"]["percent"] < 100
    assert value["coverage"]["problems"] == []


def failing() -> tuple[dict[str, Any], dict[str, Any]]:
    """A case that meets a planted bug, and its result: a race needs its moment."""
    cases = plan(range(1, 20), profiles=["races"], presets=["small"], settings={"svadu": "true"}, faults=400, fixed={"plant": "NO_RECHECK"})
    for case in cases:
        result = regress_workers.run_case(case)
        if result["outcome"] == "difference":
            return case, result
    pytest.fail("nobody noticed")


def test_a_planted_bug_is_found_and_made_small(capfd: Capture, tmp_path: Path) -> None:
    case, result = failing()
    shrinker = regress.Shrinker(regress.case_program(case), result, seconds=8)
    small = shrinker.shrink()
    assert sum(len(thread.actions) for thread in small.threads) < 60
    assert shrinker.result["outcome"] == "difference"


@LONG
def test_what_a_failure_leaves(tmp_path: Path) -> None:
    program, files = investigate(*failing(), tmp_path, seconds=5)
    assert {path.suffix for path in files} >= {".json", ".vcd", ".jsonl", ".gtkw", ".sucl", ".html"}
    assert all(path.stat().st_size for path in files)
    assert Program.from_json(json.loads((tmp_path / "program.json").read_text())) == program
    assert not list(tmp_path.glob(".*")), "nothing else"
    waves = tmp_path / "again.vcd"
    assert run_command(["regress", "--program", str(tmp_path / "program.json"), "--waves", str(waves), "--artifacts", str(tmp_path / "more")]) == 1
    assert waves.stat().st_size


@LONG
def test_of_a_long_run_only_its_end_is_recorded(tmp_path: Path) -> None:
    case, result = failing()
    waves = tmp_path / "end.vcd"
    since = result["ended"] - 500
    again = regress_workers.run_case(case, waves=waves, since=since)
    assert again["ended"] == result["ended"]
    cycles = [event.cycle for event in read_events(waves)]
    assert since - 2 * BEFORE_SINCE < cycles[0] < since < cycles[-1]
    assert leave_evidence(waves, tmp_path / "left", cycle=again["ended"], since=since)

"""The directed races: every race of protocol.md 8 is there, its sweeps agree with the golden model and its scenario, and each can be lost."""

import asyncio
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from seqfault import regress_races
from seqfault.document_parts import split_document
from seqfault.engine_model import HARNESS_TOP
from seqfault.errors import CheckFailed, UsageError
from seqfault.job import run_job
from seqfault.races_document import BEGIN, END, last_column, met_text, table
from seqfault.regress_plan import case_name
from seqfault.regress_races import JOB, races_cases, run_race_case, run_races
from seqfault.regress_run import build_for
from seqfault.waves import read_events
from seqfault.waves_evidence import leave_evidence
from seqfault.waves_golden import golden_file, read_golden
from seqfault_golden.explore.catalogue import RACES as EXPLORED
from seqfault_rtl.config import PRESETS
from seqfault_tb.checked import watched_kernel
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import drive
from seqfault_tb.planted import Plant
from seqfault_tb.races.bench import RaceBench
from seqfault_tb.races.catalogue import RACES
from seqfault_tb.races.scenario import ORDERS, RaceLost
from seqfault_tb.races.sweep import Sweep
from seqfault_tb.races.sweep import run_races as run_sweeps
from seqfault_tb.regression.golden_view import BEFORE_SINCE

from ..long import LONG, in_short

DOCUMENT = Path(__file__).parents[2] / "docs" / "races.md"
FINE = ["R1", "R14", "R20"]
"""Swept at every cycle always; the others too where there is time."""
STEPS = {5: [name for name in RACES if name not in (*FINE, "R2", "R9", "R25")], 31: ["R2", "R9", "R25"]}
"""By the cycles between two starts of the writer."""
OTHER_STEP = 29
SEEN_SOON = 3
COPIES = ("R2", "R25")
"""Races about the data of copies, which the functional engine does not make."""
SAFEGUARDED = ["R2", "R14", "R19", *(name for name, race in RACES.items() if race.safeguard and name not in ("R2", "R14", "R19"))]
ALONE = ["R16", "R17", "R3", "R1", "R2", "R10", "R11", "R13", "R14", "R15", "R18", "R19", "R20", "R21", "R24"]
"""Those of `SAFEGUARDED` whose scenario says what is wrong before anything worse happens."""
PLANTED = ["R4", "R13", "R25", *(name for name in RACES if name not in ("R4", "R13", "R25"))]


def _judge(results: list[dict[str, Any]], names: list[str]) -> None:
    for result in results:
        assert (result["outcome"], result["message"]) == ("ok", None), result["profile"]
    assert [result["profile"] for result in results] == [f"race:{name}" for name in names]
    for result in results:
        assert set(result["met"]) >= ORDERS
        assert result["steps"] > result["offsets"] > 0
        assert result["faults"] > 0


def test_every_race_of_the_specification_is_here() -> None:
    assert {number: race.title for number, race in RACES.items()} == {race.number: race.title for race in EXPLORED}
    assert list(RACES) == [f"R{number}" for number in range(1, 26)]
    for race in RACES.values():
        assert race.meets >= ORDERS
        assert Plant[race.plant] != Plant.NONE


def test_every_cycle_of_some() -> None:
    _judge(run_races(FINE), FINE)


@pytest.mark.parametrize("step", STEPS)
def test_all_in_steps(step: int) -> None:
    _judge(run_races(STEPS[step], step=step), STEPS[step])


@pytest.mark.parametrize(("policy", "latency"), [("vma-lock", 2), ("mm-lock", 2), ("spec", 20)])
def test_all_in_wider_steps_elsewhere(policy: str, latency: int) -> None:
    names = [name for name in RACES if name not in STEPS[31]]
    _judge(run_races(names, policy=policy, latency=latency, step=OTHER_STEP * (1 + (latency > 2))), names)


@pytest.mark.parametrize("name", in_short(SEEN_SOON, SAFEGUARDED))
def test_a_writer_without_its_safeguard_is_seen(name: str) -> None:
    """By the golden model, or by what the scenario expects: not by the variety that the sweep has lost."""
    result = run_races([name], without=True)[0]
    assert result["outcome"] in ("difference", "failed")
    assert result["message"].startswith("offset ")
    assert "never met" not in result["message"]


@pytest.mark.parametrize("name", in_short(SEEN_SOON, ALONE))
def test_the_scenario_alone_sees_it_too(name: str) -> None:
    """What it expects can fail; the golden model's word does not count here."""
    result = run_races([name], without=True, blind=True)[0]
    assert result["outcome"] == "failed"
    assert "never met" not in result["message"]


@pytest.mark.parametrize("name", in_short(SEEN_SOON, PLANTED))
def test_a_planted_bug_is_seen(name: str) -> None:
    result = run_races([name], plant=RACES[name].plant)[0]
    assert result["outcome"] == "difference"
    assert "is not allowed" in result["message"]


@pytest.mark.parametrize("name", [name for name in RACES if name not in COPIES])
def test_the_writers_keep_the_contract(name: str) -> None:
    """On the functional engine, which watches fences, stale translations, and lines that are written while they are in use."""
    machine = GoldenMachine(strict=True, spaces=RACES[name].spaces)
    kernel, checker, aborts = watched_kernel(machine, spaces=RACES[name].spaces)
    sweep = Sweep(offsets=(-36, -24, -16, -8, -4, 0, 4, 8, 16, 40))
    result = asyncio.run(run_sweeps(RaceBench(kernel, PRESETS["small"]), checker, aborts, [RACES[name]], sweep))[0]
    checker.finish(machine.read64)
    assert (result["outcome"], result["message"], machine.violations) == ("ok", None, [])
    assert checker.agreed


def test_lost_frames_are_seen() -> None:
    config = PRESETS["small"]
    bench = RaceBench(watched_kernel(GoldenMachine(spaces=2), spaces=2)[0], config)
    task = bench.kernel.scheduler.spawn(_lose_frames(bench, config.pool_frames + config.contexts), "the loss")
    asyncio.run(drive(bench.kernel, lambda: task.done))


async def _lose_frames(bench: RaceBench, most: int) -> None:
    """Frames that nobody gives back; until `most` of them the engine might have them."""
    await bench.begin([])
    await bench.end()
    for _ in range(most):
        bench.kernel.memory.frames.take()
    await bench.begin([])
    await bench.end()
    for _ in range(most):
        bench.kernel.memory.frames.take()
    await bench.begin([])
    with pytest.raises(RaceLost, match="frames are nowhere"):
        await bench.end()


def test_one_offset_alone_repeats_a_run() -> None:
    found = run_races(["R13"], without=True)[0]
    again = run_races(["R13"], without=True, offsets=[found["offset"]])[0]
    assert (again["outcome"], again["offsets"]) == ("failed", 1)
    assert again["message"] == found["message"]


def test_a_sweep_that_never_raced_fails() -> None:
    result = run_races(["R16"], step=40, meets=["raced"])[0]
    assert result["outcome"] == "failed"
    assert "the sweep never met raced" in result["message"]


def test_cases_are_what_was_asked_for() -> None:
    cases = races_cases(["R2", "R4"], policies=["spec"], latencies=[7], step=3)
    assert [case_name(case) for case in cases] == ["race R2, spec, latency 7", "race R4, spec, latency 7"]
    assert json.loads(json.dumps(cases)) == cases
    assert len(races_cases()) == 25 * 3 * 2
    with pytest.raises(UsageError, match="there is no race 'R26'"):
        races_cases(["R26"])


def test_a_simulation_that_dies_has_failed() -> None:
    with patch.object(regress_races, "run_job", side_effect=CheckFailed("the simulation failed", details="a log")):
        result = run_race_case(races_cases(["R1"])[0])
    assert (result["outcome"], result["message"], result["profile"]) == ("failed", "the simulation failed\na log", "race:R1")


@pytest.mark.parametrize(
    ("changes", "outcome"), [({"plant": "TLB_KEPT"}, "difference"), ({"without": True, "blind": True}, "failed"), ({"offsets": [0]}, "ok")]
)
def test_a_race_leaves_the_view_of_golden(tmp_path: Path, changes: dict[str, Any], outcome: str) -> None:
    """The job is asked as where a waveform is recorded, without one."""
    waves = tmp_path / "race.vcd"
    (case,) = races_cases(["R2"], policies=["spec"], latencies=[2])
    job = case | {"races": ["R2"], "golden_view": str(golden_file(waves))} | changes
    (result,) = run_job(build_for(job["preset"], job["settings"], planted=True), HARNESS_TOP, JOB, job, seed=1)["races"]
    assert result["outcome"] == outcome
    view = read_golden(waves)
    assert view is not None
    assert view.header["about"]["race"] == "R2"
    assert sum(event["last"] - event["first"] + 1 for event in view.events) == result["steps"]
    assert view.end["stopped"] == (result["message"] if outcome == "failed" else None)
    differences = [f"offset {result['offset']}: {difference.text}" for difference in view.differences]
    assert differences == ([result["message"]] if outcome == "difference" else [])


def test_a_view_is_written_where_a_waveform_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = races_cases(["R1"])[0] | {"plant": "NO_RECHECK"}
    monkeypatch.chdir(tmp_path)
    with patch.object(regress_races, "build_for"), patch.object(regress_races, "run_job", return_value={"races": [{}]}) as run:
        run_race_case(case, waves=Path("r.vcd"), since=5000)
        recorded = run.call_args
        run_race_case(case)
    assert (recorded.args[3]["golden_view"], recorded.args[3]["since"]) == (str(tmp_path / "r.vcd.golden.jsonl"), 5000)
    assert recorded.args[3]["plant"] == "NO_RECHECK"
    assert (recorded.kwargs["waves"], recorded.kwargs["waves_from"]) == (tmp_path / "r.vcd", 4900 * 10_000)
    assert (run.call_args.args[3]["golden_view"], run.call_args.kwargs["waves"], run.call_args.kwargs["waves_from"]) == (None, None, 0)


@LONG
@pytest.mark.parametrize("before", [0, 3000], ids=["whole", "end"])
def test_evidence_of_a_race(tmp_path: Path, before: int) -> None:
    """Of the end of a sweep, too: what goes wrong there may need the runs before it."""
    name, plant = ("R13", "FENCE_FORGETS_FAULTS") if before else ("R2", "TLB_KEPT")
    case = races_cases([name], policies=["spec"], latencies=[2])[0] | {"plant": plant}
    found = run_race_case(case)
    waves, since = tmp_path / "race.vcd", found["ended"] - before if before else 0
    again = run_race_case(case, waves=waves, since=since)
    assert (again["outcome"], again["message"], again["ended"]) == ("difference", found["message"], found["ended"])
    assert max(0, since - 2 * BEFORE_SINCE) < next(read_events(waves)).cycle <= max(since, 100)
    files = leave_evidence(waves, tmp_path / "left", cycle=again["ended"], since=since)
    cut = next(path for path in files if path.suffix == ".vcd")
    golden = read_golden(cut)
    assert golden is not None
    assert golden.first_difference is not None
    assert found["message"].endswith(golden.first_difference.text)
    assert f"First difference, cycle {golden.first_difference.cycle}" in (tmp_path / "left" / "timeline.html").read_text()


def test_the_last_column_stays_with_its_race() -> None:
    met = {name: f"{number} runs; `odd`, `changed`" for number, name in enumerate(RACES)}
    assert last_column(table(met)) == met
    once = {"met": {"odd": 3, "at once": 5, "speculative": 2}, "offsets": 6}
    assert met_text([once, once]) == "12 runs, 10 at once; speculative; `odd`"


def test_the_document_has_the_catalogue_and_what_was_met() -> None:
    _, part, _ = split_document(DOCUMENT.read_text(encoding="utf-8"), DOCUMENT, BEGIN, END)
    rows = [line.rsplit(" | ", 1) for line in part.strip().splitlines()]
    expected = [line.rsplit(" | ", 1)[0] for line in table(dict.fromkeys(RACES, "-")).splitlines()]
    assert [row[0] for row in rows] == expected
    for (_, met), race in zip(rows[2:], RACES.values(), strict=True):
        assert all(name in met for name in race.meets - ORDERS), race.number


@LONG
@pytest.mark.parametrize("case", races_cases(), ids=case_name)
def test_every_cycle_of_all(case: dict[str, Any]) -> None:
    result = run_race_case(case)
    _judge([result], [case["race"]])
    assert result["offsets"] > result["fault_cycles"] + result["writer_cycles"]

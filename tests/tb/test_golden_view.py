"""`GoldenView`: what it writes of each event, and that every kind of difference is told where it was noticed."""

import json
from pathlib import Path
from typing import Any

import pytest

from seqfault_golden import Checker, Safeguard
from seqfault_golden.layout import COMMAND_UNIT, Outcome, Step
from seqfault_rtl.config import PRESETS
from seqfault_tb.checked import checked_kernel
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.regression.execute import run_at_once
from seqfault_tb.regression.generate import Shape
from seqfault_tb.regression.golden_view import FORMAT, VERSION, GoldenView, golden_file
from seqfault_tb.regression.watch import watch

CONFIG = PRESETS["small"]
ANSWER_OK = [2, 50, 0, 0, 0, 0, 0, 0x1000, 40, 0, 0, 0]


def run(path: Path, *, seed: int = 1, removed: Safeguard | None = None, faults: int = 80) -> tuple[Checker, list[dict[str, Any]]]:
    """The checker of a stress run, and the lines of its view."""
    machine = GoldenMachine.of(CONFIG, seed=seed)
    machine.engine.world.removed = frozenset({removed} if removed else ())
    kernel, checker, _ = checked_kernel(machine, CONFIG, "spec")
    view = GoldenView(checker, path, {"seed": seed})
    watch(machine, [view])
    run_at_once(kernel, seed, Shape(faults=faults, pause_ns=1000))
    checker.finish(machine.read64)
    assert view.result()["events"] > 0
    return checker, lines_of(path)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_event_has_what_golden_expects_and_holds(tmp_path: Path) -> None:
    checker, (header, *events, end) = run(golden_file(tmp_path / "a.vcd"))
    assert (tmp_path / "a.vcd.golden.jsonl").exists()
    assert header == {"format": FORMAT, "version": VERSION, "about": {"seed": 1}}
    assert end == {"end": {"events": len(events), "differences": 0, "stopped": None}}
    assert {event["verdict"] for event in events} == {"allowed"}
    assert sum(event["last"] - event["first"] + 1 for event in events) == checker.steps_checked
    following: dict[int, str] = {}
    for event in events:
        if event["agent"] < CONFIG.contexts:
            assert event["expected"] == following.get(event["agent"], "IDLE")
            following[event["agent"]] = event["next"]
            if Step.R1 <= event["first"] <= Step.R18 and event["first"] != Step.R7:
                assert event["expected"] in (Step(event["first"]).name, "R1")
    locked = [event for event in events if event["first"] == Step.R13 and event["outcome"] == Outcome.OK]
    assert locked
    assert all(any(held.startswith("PTE lock 0x") for held in event["holds"]) for event in locked)
    assert all(event["snapshot"] == event["sequence"] for event in events if event["first"] == Step.R14 and event["outcome"] == Outcome.OK)
    changed = [event for event in events if event["outcome"] == Outcome.CHANGED_C3 and event["first"] == Step.R14]
    assert all(event["snapshot"] != event["sequence"] for event in changed)
    sections = [event for event in events if event["agent"] == COMMAND_UNIT and event["first"] == Step.SEQ_BEGIN]
    assert sections
    assert all(event["sequence"] % 2 and any("section" in held for held in event["holds"]) for event in sections)


@pytest.mark.parametrize("removed", [Safeguard.EVEN_SEQUENCE, Safeguard.C1, Safeguard.C3, Safeguard.C4])
def test_a_difference_about_an_event_stands_behind_it(tmp_path: Path, removed: Safeguard) -> None:
    for seed in range(30):
        checker, lines = run(tmp_path / "view", seed=seed, removed=removed, faults=300)
        if checker.first_difference:
            break
    else:
        pytest.fail(f"nobody noticed that {removed} is missing")
    places = [place for place, line in enumerate(lines) if "difference" in line]
    assert len(places) == 1
    difference, event = lines[places[0]], lines[places[0] - 1]
    assert difference["difference"] == checker.first_difference
    assert difference["event"] == places[0] - 2, "the header is no event"
    assert event["verdict"] == "not allowed"
    assert event["cycle"] == difference["cycle"]
    assert {line["verdict"] for line in lines[1 : places[0] - 1]} == {"allowed"}
    assert {line["verdict"] for line in lines[places[0] + 1 : -1]} <= {"not checked"}
    assert lines[-1]["end"]["differences"] == 1


def empty_view(path: Path) -> tuple[Checker, GoldenView]:
    checker = Checker(contexts=2)
    return checker, GoldenView(checker, path)


def test_a_difference_about_an_answer_is_about_no_event(tmp_path: Path) -> None:
    checker, view = empty_view(tmp_path / "view")
    checker.answer(ANSWER_OK[1], *ANSWER_OK[2:8])
    assert checker.first_difference is not None
    view.answer(ANSWER_OK)
    view.event([0, 60, Step.FENCE, Step.FENCE, COMMAND_UNIT, 0, 0, 0, 0, 0, 0, 0])
    view.close()
    _, difference, event, end = lines_of(tmp_path / "view")
    assert difference == {"difference": checker.first_difference, "cycle": 50, "event": None}
    assert event["verdict"] == "not checked"
    assert end["end"] == {"events": 1, "differences": 1, "stopped": None}


def test_a_difference_about_what_software_did_comes_before_the_next_event(tmp_path: Path) -> None:
    checker, view = empty_view(tmp_path / "view")
    checker.software_frames([0x10])
    checker.software_frames([0x10])
    assert checker.first_difference is not None
    view.event([0, 60, Step.FENCE, Step.FENCE, COMMAND_UNIT, 0, 0, 0, 0, 0, 0, 0])
    view.close()
    _, difference, event, _ = lines_of(tmp_path / "view")
    assert difference["event"] is None
    assert event["verdict"] == "not checked"


def test_a_difference_at_the_end_and_one_of_the_counters(tmp_path: Path) -> None:
    checker, view = empty_view(tmp_path / "view")
    event = [0, 60, Step.MM_LOCK, Step.MM_LOCK, COMMAND_UNIT, 0, 0, 0, 0, 0, 0, 0]
    checker.event(60, event[2:])
    view.event(event)
    checker.counters({**checker.tally.registers(), "faults": 7})
    assert checker.first_difference is not None
    view.close("HangError: it stood still")
    view.close()  # only the first counts
    _, seen, difference, end = lines_of(tmp_path / "view")
    assert (seen["verdict"], seen["holds"]) == ("allowed", ["mm lock of space 0"])
    assert difference["difference"] == checker.first_difference
    assert difference["event"] is None
    assert end["end"]["stopped"] == "HangError: it stood still"


def test_an_error_in_the_run_is_told_at_the_end(tmp_path: Path) -> None:
    _, view = empty_view(tmp_path / "view")
    with pytest.raises(ValueError, match="planted"), view:
        raise ValueError("planted")
    assert lines_of(tmp_path / "view")[-1]["end"]["stopped"] == "ValueError: planted"


def test_an_event_of_no_agent_and_no_step_is_written_too(tmp_path: Path) -> None:
    checker, view = empty_view(tmp_path / "view")
    event = [0, 60, 63, 63, 40, 31, 0, 0, 0, 0, 0, 0]
    checker.event(60, event[2:])
    assert checker.first_difference is not None
    view.event(event)
    view.close()
    _, seen, difference, _ = lines_of(tmp_path / "view")
    assert seen["verdict"] == "not allowed"
    assert difference["event"] == 0

"""Fault numbers, and the lanes that the page is drawn from."""

from pathlib import Path
from typing import Any

import pytest

from seqfault.timeline import event_line, event_record
from seqfault.waves import WaveEvent, read_events
from seqfault.waves_faults import FaultNumbers
from seqfault.waves_lanes import MAX_ROWS, fault_lanes, other_lanes
from seqfault_rtl.messages import Outcome, Step

from .waves_maker import record_run, write_wave

ATTEMPT, CLASSIC = 23, 1 << 26
RETRY, REFUSED = 1, 2


def event(cycle: int, agent: int, first: Step, last: Step | None = None, outcome: Outcome = Outcome.OK, **fields: int) -> WaveEvent:
    values: dict[str, Any] = dict.fromkeys(("space", "vpn", "id", "seq", "addr", "data"), 0) | fields
    return WaveEvent(cycle=cycle, first=first.value, last=(last or first).value, agent=agent, outcome=outcome.value, **values)


RETRIED = [
    event(1, 0, Step.R0), event(2, 0, Step.R1, Step.R2, Outcome.ODD), event(3, 0, Step.UNDO, outcome=Outcome.ODD),
    event(4, 0, Step.R0, data=1 << ATTEMPT), event(5, 0, Step.R18),
]  # fmt: skip
CLASSIC_FAULT = [
    event(11, 1, Step.R0), event(12, 1, Step.UNDO, outcome=Outcome.RACED), event(13, 1, Step.MM_READ_LOCK),
    event(14, 1, Step.R0, data=3 << ATTEMPT | CLASSIC), event(15, 1, Step.R18), event(16, 1, Step.MM_READ_UNLOCK),
]  # fmt: skip
HANDED_OVER = [event(21, 0, Step.R0), event(22, 0, Step.UNDO, outcome=Outcome.NO_VMA), event(23, 0, Step.ANSWER, outcome=Outcome.NO_VMA, data=RETRY)]
MAPPED = [event(31, 1, Step.R0), event(32, 1, Step.ANSWER, outcome=Outcome.MAPPED)]
REFUSED_FAULT = [event(41, 1, Step.R0), event(42, 1, Step.ANSWER, outcome=Outcome.ACCESS, data=REFUSED)]
UNDER_MM_LOCK = [event(51, 2, Step.MM_READ_LOCK), event(52, 2, Step.R0, data=CLASSIC)]
ALL = [*RETRIED, *CLASSIC_FAULT, *HANDED_OVER, *MAPPED, *REFUSED_FAULT, *UNDER_MM_LOCK]


def numbered(events: list[WaveEvent], numbers: FaultNumbers | None = None) -> list[WaveEvent]:
    numbers = numbers or FaultNumbers()
    return [WaveEvent(**{name: getattr(one, name) for name in WaveEvent.__slots__} | {"fault": numbers.number_of(one)}) for one in events]


def test_a_fault_goes_from_its_first_step_to_its_answer_and_what_belongs_to_it() -> None:
    assert [one.fault for one in numbered(ALL)] == [1] * 5 + [2] * 6 + [3] * 3 + [4] * 2 + [5] * 2 + [6] * 2


def test_faults_count_in_the_order_of_their_first_events_and_others_have_no_number() -> None:
    mixed = [HANDED_OVER[0], MAPPED[0], event(30, 63, Step.FENCE), event(30, 62, Step.AD_LOCK), HANDED_OVER[2], MAPPED[1], REFUSED_FAULT[0]]
    assert [one.fault for one in numbered(mixed)] == [1, 2, 0, 0, 1, 2, 3]


def test_numbers_go_on_after_a_cut() -> None:
    whole = [one.fault for one in numbered(ALL)]
    for place in range(len(ALL)):
        numbers = FaultNumbers()
        for one in ALL[:place]:
            numbers.number_of(one)
        assert [one.fault for one in numbered(ALL[place:], FaultNumbers(numbers.constants()))] == whole[place:]


def test_lanes_have_outcome_and_attempts() -> None:
    lanes = fault_lanes(numbered(ALL))
    assert [lane.outcome for lane in lanes] == ["retried", "classic", "software", "speculative", "refused", "partial"]
    assert lanes[0].attempts == [0, 0, 0, 1, 1]
    assert lanes[1].attempts == [0, 0, 1, 3, 3, 3]
    assert [(lane.number, lane.context) for lane in lanes] == [(1, 0), (2, 1), (3, 0), (4, 1), (5, 1), (6, 2)]
    assert [lane.outcome for lane in fault_lanes(numbered(RETRIED)[1:3])] == ["partial"]


def test_lanes_of_the_command_unit_show_what_is_held_and_for_how_long() -> None:
    events = [
        event(1, 63, Step.MM_LOCK, space=3), event(2, 63, Step.SEQ_BEGIN, space=3, id=7), event(3, 63, Step.SEQ_BEGIN, space=3, id=8),
        event(4, 63, Step.PTE_LOCK, addr=0x1000), event(5, 63, Step.PTE_CLEAR), event(6, 63, Step.PTE_UNLOCK, addr=0x1000),
        event(7, 62, Step.AD_LOCK, vpn=5), event(8, 63, Step.SEQ_END, space=3, id=7), event(9, 62, Step.AD_UPDATE, vpn=5),
        event(10, 63, Step.FENCE), event(11, 63, Step.MM_UNLOCK, space=3), event(12, 63, Step.SEQ_END, id=99),
    ]  # fmt: skip
    lanes = {lane["name"]: lane for lane in other_lanes(events)}
    assert lanes["mm locks"]["spans"] == [[0, 10, "mm 3", 0]]
    assert lanes["sections"]["spans"] == [[1, 7, "VMA 7", 0], [2, None, "VMA 8", 1], [11, 11, "VMA 99", 0]]
    assert lanes["sections"]["rows"] == 2
    assert lanes["PTE locks"]["spans"] == [[3, 5, "table 0x1000", 0]]
    assert lanes["ZAP, PROTECT"]["spans"] == [[4, 4, "PTE_CLEAR", 0]]
    assert lanes["A/D updates"]["spans"] == [[6, 8, "0x5000", 0]]
    assert lanes["other commands"]["spans"] == [[9, 9, "FENCE", 0]]


def test_more_sections_than_rows_share_the_last() -> None:
    lanes = other_lanes([event(cycle, 63, Step.SEQ_BEGIN, id=cycle) for cycle in range(1, 20)])
    assert lanes[0]["rows"] == MAX_ROWS
    assert {span[3] for span in lanes[0]["spans"]} == set(range(MAX_ROWS))


def test_the_number_is_the_same_in_text_and_json_whatever_is_selected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from seqfault.cli import run_command

    assert record_run(tmp_path / "run.vcd") is None
    events = list(read_events(tmp_path / "run.vcd"))
    numbers = [one.fault for one in events if one.fault]
    assert set(numbers) == set(range(1, max(numbers) + 1))
    assert max(numbers) > 30
    late = next(one for one in events if one.fault == 20)
    assert event_record(late)["fault"] == 20
    assert event_line(late).split()[:4] == [str(late.cycle), "ctx", str(late.agent), "20"]
    assert run_command(["waves", str(tmp_path / "run.vcd"), "--from", str(late.cycle), "--context", str(late.agent), "--limit", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == event_line(late)


def test_commands_have_no_number_in_the_text(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "a.vcd", {3: {"first": Step.FENCE.value, "last": Step.FENCE.value, "agent": 63}})
    (only,) = read_events(path)
    assert event_record(only)["fault"] is None
    assert event_line(only).split()[:3] == ["3", "commands", "FENCE"]

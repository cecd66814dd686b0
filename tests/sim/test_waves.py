"""`seqfault.waves`, `timeline` and `vcd_names` on small waveforms made here."""

import json
from pathlib import Path

import pytest
import pywellen
import vcd

from seqfault.cli import run_command
from seqfault.errors import UsageError
from seqfault.timeline import event_line, event_record, select_events
from seqfault.vcd_names import annotate_vcd
from seqfault.waves import EVENT_SIGNALS, OUTCOMES, STEPS, WaveEvent, read_events
from seqfault_golden.layout import COMMAND_UNIT

from .waves_maker import PERIOD, WIDTHS, write_wave

STORE_FROM_PORT_2 = 1 | 2 << 6 | 7 << 14
PTE = 0x12345 << 10 | 0xD7
FAULT = [
    {"first": 0, "last": 0, "agent": 3, "space": 5, "vpn": 0x7F1234567, "data": STORE_FROM_PORT_2},
    {"first": 1, "last": 2, "agent": 3, "id": 17, "seq": 42, "addr": 0x1000},
    {"first": 34, "last": 34, "agent": 63, "id": 17, "seq": 43},
    {"first": 10, "last": 11, "agent": 3, "outcome": 4, "id": 17, "seq": 43},
    {"first": 16, "last": 17, "agent": 3, "addr": 0x2008, "data": PTE},
]
"""A store fault's events, with a writer in between."""


@pytest.fixture
def wave(tmp_path: Path) -> Path:
    """Events in cycles 3 and 4 (back to back), 5, 9 and 12."""
    return write_wave(tmp_path / "fault.vcd", dict(zip((3, 4, 5, 9, 12), FAULT, strict=True)))


def test_events_come_in_order_with_their_cycles(wave: Path) -> None:
    events = list(read_events(wave))
    assert [event.cycle for event in events] == [3, 4, 5, 9, 12]
    assert [event.steps for event in events] == ["R0", "R1-R2", "SEQ_BEGIN", "R10-R11", "R16-R17"]
    assert [event.outcome_name for event in events] == ["OK", "OK", "OK", "CHANGED_C1", "OK"]
    assert events[4].data == PTE


def test_a_context_keeps_the_address_and_vma_of_its_attempt(wave: Path) -> None:
    events = list(read_events(wave))
    assert [(event.va, event.id, event.space) for event in events if event.agent == 3] == [
        (0x7F1234567000, 0, 5), (0x7F1234567000, 17, 5), (0x7F1234567000, 17, 5), (0x7F1234567000, 17, 5),
    ]  # fmt: skip
    assert (events[2].agent, events[2].va, events[2].id) == (COMMAND_UNIT, 0, 17)


def test_a_glitch_between_edges_is_no_event(tmp_path: Path) -> None:
    path = tmp_path / "glitch.vcd"
    with path.open("w") as file, vcd.VCDWriter(file, timescale="1ns") as writer:
        counter = writer.register_var("top", "cycle", "wire", 64, init=0)
        event = {name: writer.register_var("top", f"ev_{name}", "wire", width, init=0) for name, width in WIDTHS.items()}
        for cycle in range(1, 6):
            writer.change(counter, PERIOD * cycle, cycle)
            writer.change(event["valid"], PERIOD * cycle + 1, 1)
            writer.change(event["valid"], PERIOD * cycle + 4, 1 if cycle == 4 else 0)
    assert [event.cycle for event in read_events(path)] == [4]


def test_an_event_whose_cycle_does_not_end_in_the_file_is_none(tmp_path: Path) -> None:
    assert [event.cycle for event in read_events(write_wave(tmp_path / "end.vcd", {5: FAULT[0], 9: FAULT[1]}, cycles=10))] == [5]


def test_lines_say_what_the_numbers_mean(wave: Path) -> None:
    lines = [event_line(event) for event in read_events(wave)]
    assert "ctx 3" in lines[0]
    assert "store, space 5, port 2 tag 7, attempt 0" in lines[0]
    assert "0x7f1234567000" in lines[1]
    assert "record 0x1000" in lines[1]
    assert "commands" in lines[2]
    assert "CHANGED_C1" in lines[3]
    assert "frame 0x12345 VRW-U-AD) at 0x2008" in lines[4]


def test_every_step_has_a_line() -> None:
    blank = dict.fromkeys(("space", "vpn", "id", "seq", "addr", "data"), 0)
    for number, name in STEPS.items():
        for outcome in OUTCOMES:
            line = event_line(WaveEvent(cycle=1, first=number, last=number, agent=0, outcome=outcome, **blank))
            assert name in line
            assert OUTCOMES[outcome] in line


def test_the_answer_to_a_mapped_fault_shows_its_status() -> None:
    event = WaveEvent(cycle=1, first=21, last=21, agent=0, outcome=23, space=0, vpn=1, id=0, seq=0, addr=0, data=0)
    assert event_record(event)["detail"] == "OK"


def test_filters(wave: Path) -> None:
    def cycles(**filters: int) -> list[int]:
        return [event.cycle for event in select_events(read_events(wave), **filters)]

    assert cycles(context=3) == [3, 4, 9, 12]
    assert cycles(context=63) == [5]
    assert cycles(first=4, last=9) == [4, 5, 9]
    assert cycles(limit=2) == [3, 4]
    assert cycles(context=3, first=9, limit=1) == [9]
    assert cycles(limit=0) == []


def test_a_later_cut_still_knows_the_address(wave: Path) -> None:
    (event,) = select_events(read_events(wave), first=12)
    assert event_record(event)["va"] == "0x7f1234567000"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"hello\n", "no complete VCD or FST"),
        (b"$timescale 1ns $end\n$scope module a $end\n", "no complete VCD or FST"),
        (b"\x00" * 4000, "no complete VCD or FST"),
    ],
)
def test_files_that_are_no_waveforms(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "bad.vcd"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=complaint) as caught:
        list(read_events(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_cut_off_file(wave: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        list(read_events(tmp_path / "none.vcd"))
    for keep in range(40, wave.stat().st_size - 1, 97):
        cut = tmp_path / "cut.vcd"
        cut.write_bytes(wave.read_bytes()[:keep].rstrip(b"\n"))
        with pytest.raises(UsageError, match=r"no complete VCD|cut off|unknown bits"):
            list(read_events(cut))


def test_a_waveform_without_the_event_port_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing: ev_seq"):
        list(read_events(write_wave(tmp_path / "other.vcd", {}, leave_out="seq")))


def test_unknown_bits_in_an_event_are_refused(wave: Path, tmp_path: Path) -> None:
    text = wave.read_text()
    broken = tmp_path / "unknown.vcd"
    broken.write_text(text.replace(f"b{0x7F1234567:b} ", "bx "))
    assert broken.read_text() != text
    with pytest.raises(UsageError, match="unknown bits in vpn"):
        list(read_events(broken))


ENUMS = {"ev_first": STEPS, "ev_last": STEPS, "ev_outcome": OUTCOMES}


def test_annotated_vcd_shows_names_beside_numbers(wave: Path) -> None:
    before = [event_record(event) for event in read_events(wave)]
    assert annotate_vcd(wave, ENUMS) == 3
    variables = {variable.name: variable for variable in pywellen.Waveform(str(wave)).all_vars()}
    names, numbers = variables["ev_first_name"].signal, variables["ev_first"].signal
    assert variables["ev_first_name"].is_string
    assert len(names) == len(numbers) > 4
    for index in range(len(numbers)):
        assert names[index] == (numbers[index][0], STEPS[numbers[index][1]])
    assert "CHANGED_C1" in {
        value for _time, value in (variables["ev_outcome_name"].signal[i] for i in range(len(variables["ev_outcome_name"].signal)))
    }
    assert [event_record(event) for event in read_events(wave)] == before


def test_annotating_twice_changes_nothing(wave: Path) -> None:
    assert annotate_vcd(wave, ENUMS) == 3
    text = wave.read_bytes()
    assert annotate_vcd(wave, ENUMS) == 0
    assert wave.read_bytes() == text
    assert list(wave.parent.iterdir()) == [wave]


def test_annotate_values_without_a_name_and_unknown_ones_and_shared_codes(tmp_path: Path) -> None:
    path = tmp_path / "a.vcd"
    path.write_text(
        "$timescale 1ns $end\n$scope module m $end\n$var wire 4 ! state [3:0] $end\n$scope module n $end\n$var wire 4 ! state [3:0] $end\n"
        '$var wire 1 " busy $end\n$upscope $end\n$upscope $end\n$enddefinitions $end\n#0\nb0001 !\nx"\n#5\nb1111 !\n1"\n#9\nbx01x !'
    )
    assert annotate_vcd(path, {"state": {1: "IDLE"}, "busy": {0: "NO", 1: "YES"}}) == 3
    values = {}
    for variable in pywellen.Waveform(str(path)).all_vars():
        signal = variable.signal
        values[variable.full_name] = [signal[index][1] for index in range(len(signal))]
    assert values["m.state_name"] == values["m.n.state_name"] == ["IDLE", "15", "x"]
    assert values["m.n.busy_name"] == ["x", "YES"]


def test_annotate_refuses_what_is_no_vcd_and_leaves_it(tmp_path: Path) -> None:
    path = tmp_path / "no.vcd"
    path.write_text("nothing\n")
    with pytest.raises(UsageError, match="no VCD file"):
        annotate_vcd(path, ENUMS)
    assert path.read_text() == "nothing\n"
    assert list(tmp_path.iterdir()) == [path]


def test_signal_names_are_those_of_the_event_port() -> None:
    assert {f"ev_{name}" for name in WIDTHS} == set(EVENT_SIGNALS)


def test_the_command_prints_a_timeline_and_json(wave: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["waves", str(wave), "--context", "3"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["cycle", "agent", "fault", "steps", "address", "vma", "sequence", "outcome", "detail"]
    assert [line.split()[0] for line in lines] == ["3", "4", "9", "12"]
    assert run_command(["waves", str(wave), "--from", "4", "--to", "5", "--json", "-"]) == 0
    assert [record["steps"] for record in json.loads(capsys.readouterr().out)] == ["R1-R2", "SEQ_BEGIN"]
    assert run_command(["waves", str(wave), "--from", "13"]) == 0
    assert "no such steps" in capsys.readouterr().out


def test_the_command_refuses_a_bad_file_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.fst"
    bad.write_bytes(bytes(100))
    assert run_command(["waves", str(bad)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert str(bad) in err


def test_steps_told_together_show_what_each_has_read() -> None:
    common = {"cycle": 1, "agent": 0, "outcome": 0, "space": 0, "vpn": 1, "id": 5, "seq": 0}
    found = event_record(WaveEvent(first=1, last=6, addr=0x8000_0040, data=0x13 | 0x17 << 16, **common))
    assert found["detail"] == "record 0x80000040, READ|WRITE|ANON, page_prot 0x17"
    allocated = event_record(WaveEvent(first=7, last=9, addr=0x1028, data=1 << 63 | 0xA00, **common))
    assert allocated["detail"] == "no entry at 0x1028, frame 0xa00"

"""`--around`: one fault as a small VCD, with the same events, values and numbers; and what a failed run leaves of itself."""

from pathlib import Path
from typing import Any

import pytest
import pywellen

from seqfault.cli import run_command
from seqfault.errors import UsageError
from seqfault.timeline import event_record
from seqfault.waves import read_events
from seqfault.waves_evidence import leave_evidence
from seqfault.waves_file import CUT_SCOPE, WaveFile
from seqfault.waves_golden import Difference, Golden, golden_file, read_golden, write_golden
from seqfault_golden import Safeguard
from seqfault_tb.regression.golden_view import FORMAT, VERSION

from .waves_maker import record_run, write_wave


@pytest.fixture(scope="module")
def wave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.vcd"
    assert record_run(path, faults=120) is None
    return path


def cut(wave: Path, number: int, output: Path, *more: str) -> list[dict[str, Any]]:
    assert run_command(["waves", str(wave), "--around", f"fault={number}", "-o", str(output), *more]) == 0
    return [event_record(event) for event in read_events(output)]


def near(wave: Path, number: int, margin: int) -> list[dict[str, Any]]:
    events = list(read_events(wave))
    own = [event.cycle for event in events if event.fault == number]
    return [event_record(event) for event in events if own[0] - margin <= event.cycle <= own[-1] + margin]


def checked_golden(path: Path) -> Golden:
    golden = read_golden(path)
    assert golden is not None
    golden.fit(path, list(read_events(path)))
    return golden


@pytest.mark.parametrize("number", [1, 2, 17, 40, 60])
def test_a_cut_has_the_same_events_with_the_same_numbers(wave: Path, tmp_path: Path, number: int) -> None:
    for margin in (0, 1, 20, 100):
        assert cut(wave, number, tmp_path / "cut.vcd", "--margin", str(margin)) == near(wave, number, margin)


def test_a_cut_of_a_cut_keeps_the_numbers_too(wave: Path, tmp_path: Path) -> None:
    cut(wave, 30, tmp_path / "large.vcd", "--margin", "200")
    assert cut(tmp_path / "large.vcd", 30, tmp_path / "small.vcd", "--margin", "3") == near(wave, 30, 3)
    assert {event.fault for event in read_events(tmp_path / "small.vcd")} - {0} == {event["fault"] for event in near(wave, 30, 3)} - {None}


def test_a_cut_has_all_signals_with_the_values_they_had(wave: Path, tmp_path: Path) -> None:
    cut(wave, 25, tmp_path / "cut.vcd")
    before, after = WaveFile(wave), WaveFile(tmp_path / "cut.vcd")
    own = {name for name in after.variables if not name.startswith(CUT_SCOPE) and not name.endswith("_name")}
    assert own == set(before.variables)
    times = [after.signal("cycle")[place][0] for place in range(len(after.signal("cycle")))]
    assert len(times) > 40
    for name in own:
        for time in times:
            assert after.variables[name].signal.value_at(time) == before.variables[name].signal.value_at(time), name
    assert after.times(0, 10**9)[0] == times[0]


def test_a_cut_gets_names_of_steps(wave: Path, tmp_path: Path) -> None:
    events = cut(wave, 25, tmp_path / "cut.vcd")
    name = next(variable for variable in pywellen.Waveform(str(tmp_path / "cut.vcd")).all_vars() if variable.name == "ev_first_name")
    shown = {name.signal[place][1] for place in range(len(name.signal))}
    assert {event["steps"].split("-")[0] for event in events} <= shown


def test_golden_is_cut_with_it(wave: Path, tmp_path: Path) -> None:
    events = cut(wave, 25, tmp_path / "cut.vcd")
    golden = checked_golden(tmp_path / "cut.vcd")
    assert [event["cycle"] for event in golden.events] == [event["cycle"] for event in events]
    assert golden.header["about"] == {"seed": 1}
    assert golden.end == {"events": len(events), "differences": 0, "stopped": None}
    golden_file(wave).rename(tmp_path / "away")
    try:
        cut(wave, 25, tmp_path / "cut.vcd")
        assert not golden_file(tmp_path / "cut.vcd").exists(), "that of an older cut does not stay"
    finally:
        (tmp_path / "away").rename(golden_file(wave))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--around", "fault=100000", "-o", "{}/c.vcd"), "has no fault 100000; its faults are 1 to"),
        (("--around", "fault=0", "-o", "{}/c.vcd"), "must be fault=N"), (("--around", "7", "-o", "{}/c.vcd"), "must be fault=N"),
        (("--around", "fault=1"), "needs -o"), (("--around", "fault=1", "-o", "{}/c.fst"), "must end in .vcd"),
        (("--around", "fault=1", "-o", "{}/nowhere/c.vcd"), "cannot write"), (("-o", "{}/c.vcd"), "goes with --around"),
        (("--html", "{}/w.html", "--around", "fault=100000", "-o", "{}/c.vcd"), "has no fault 100000"),
        (("--html", "{}/w.html", "--around", "fault=1", "-o", "{}/c.fst"), "must end in .vcd"),
        (("--html", "{}/w.html", "--around", "fault=1", "-o", "{}/nowhere/c.vcd"), "cannot write"),
        (("--around", "fault=1", "-o", "{}/c.vcd", "--gtkw", "{}/c.gtkw", "--surfer", "{}/nowhere/c.sucl"), "cannot write"),
        (("--html", "{}/w.html", "--json", "{}/nowhere/w.json"), "cannot write"),
        (("--html", "{}/w", "--surfer", "{}/w"), "is the place of two files"), (("--html", "{}/w", "--json", "{}/./w"), "two files"),
        (("--around", "fault=1", "-o", "{}/c.vcd", "--gtkw", "{}/c.vcd"), "two files"),
        (("--around", "fault=1", "-o", "{}/c.vcd", "--html", "{}/c.vcd.golden.jsonl"), "two files"),
        (("--gtkw", "{}/w.gtkw", "--surfer", "{}/w.outcome.names"), "two files"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(
    wave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], complaint: str
) -> None:
    assert run_command(["waves", str(wave), *(option.replace("{}", str(tmp_path)) for option in options)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options", [["--html"], ["--gtkw"], ["--surfer"], ["--json"], ["--around", "fault=1", "-o"]], ids=lambda options: options[-1]
)
@pytest.mark.parametrize("other", ["", "symbolic", "hard", "view"])
def test_what_is_read_is_not_overwritten(
    wave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], other: str,
) -> None:  # fmt: skip
    copy = tmp_path / "run.vcd"
    for path in (copy, golden_file(copy)):
        path.write_bytes((wave if path == copy else golden_file(wave)).read_bytes())
    output = tmp_path / "other.vcd" if other else copy
    if other == "hard":
        output.hardlink_to(copy)
    elif other:
        output.symlink_to(golden_file(copy) if other == "view" else copy)
    there = sorted(tmp_path.iterdir())
    assert run_command(["waves", str(copy), *options, str(output)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert ("is the golden view of" if other == "view" else "is the waveform that is read") in err
    assert len(err.splitlines()) == 1
    assert (copy.read_bytes(), golden_file(copy).read_bytes()) == (wave.read_bytes(), golden_file(wave).read_bytes())
    assert sorted(tmp_path.iterdir()) == there


def test_all_outputs_together(wave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--html", "w.html", "--gtkw", "w.gtkw", "--surfer", "w.sucl", "--around", "fault=3", "-o", "c.vcd"]
    assert run_command(["waves", str(wave), *(option if option[0] == "-" or "=" in option else str(tmp_path / option) for option in options)]) == 0
    written = [Path(line.removeprefix("wrote ")) for line in capsys.readouterr().out.splitlines()]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert {"w.html", "w.gtkw", "w.sucl", "c.vcd", "c.vcd.golden.jsonl"} <= {path.name for path in written}
    assert run_command(["waves", str(wave), "--html", "/dev/null", "--surfer", "/dev/null"]) == 0


def failing(folder: Path, removed: Safeguard) -> tuple[Path, int]:
    """A run with a difference, and its cycle."""
    for seed in range(30):
        if record_run(folder / "run.vcd", seed=seed, removed=removed, faults=200):
            golden = read_golden(folder / "run.vcd")
            assert golden is not None
            assert golden.first_difference is not None
            return folder / "run.vcd", golden.first_difference.cycle
    pytest.fail("no seed showed the missing safeguard")


@pytest.mark.parametrize("known", [True, False])
def test_evidence_of_a_difference(tmp_path: Path, known: bool) -> None:
    wave, cycle = failing(tmp_path, Safeguard.C3)
    differs = next(event for event in read_events(wave) if event.cycle == cycle)
    files = leave_evidence(wave, tmp_path / "evidence", cycle=cycle if known else None)
    names = [path.name for path in files]
    stem = f"fault-{differs.fault}"
    assert {f"{stem}.vcd", f"{stem}.vcd.golden.jsonl", f"{stem}.gtkw", f"{stem}.sucl", "timeline.html"} <= set(names)
    assert sorted(tmp_path.joinpath("evidence").iterdir()) == sorted(files)
    golden = checked_golden(tmp_path / "evidence" / f"{stem}.vcd")
    assert golden.first_difference is not None
    assert golden.first_difference.cycle == cycle
    assert [event for event in read_events(files[0]) if event.fault == differs.fault] == [e for e in read_events(wave) if e.fault == differs.fault]
    assert f"First difference, cycle {cycle}" in (tmp_path / "evidence" / "timeline.html").read_text()
    assert files[0].stat().st_size < wave.stat().st_size / 4


def test_evidence_without_a_view_is_the_last_fault_before_the_cycle(wave: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run.vcd"
    copy.write_bytes(wave.read_bytes())
    events = list(read_events(copy))
    middle = events[len(events) // 2].cycle
    files = leave_evidence(copy, tmp_path / "a" / "b", cycle=middle)
    last = next(event.fault for event in reversed(events) if event.fault and event.cycle <= middle)
    assert files[0].name == f"fault-{last}.vcd"
    assert any(event.cycle == middle for event in read_events(files[0]))
    last = next(event.fault for event in reversed(events) if event.fault)
    assert leave_evidence(copy, tmp_path / "end", cycle=None)[0].name == f"fault-{last}.vcd"


def test_evidence_of_a_difference_long_after_the_last_fault(tmp_path: Path) -> None:
    """An answer of a TLB, say, that is wrong: the cut is around it, and the page goes on until there."""
    events = {3: {"first": 0, "last": 0}, 5: {"first": 18, "last": 18}, 5000: {"first": 34, "last": 34, "agent": 63, "id": 1, "seq": 1}}
    wave = write_wave(tmp_path / "run.vcd", events, cycles=5100)
    seen = [{"cycle": cycle, "agent": 0, "outcome": 0, "verdict": "allowed", **event} for cycle, event in events.items()]
    difference = Difference(text="cycle 5020: answer is not allowed", cycle=5020, event=None)
    golden = Golden(header={"format": FORMAT, "version": VERSION, "about": {}}, events=seen, differences=[difference], end={})
    golden_file(wave).write_text(write_golden(golden))
    for cycle in (5021, None):
        files = leave_evidence(wave, tmp_path / "evidence", cycle=cycle)
        assert files[0].name == "cycle-5020.vcd"
        assert checked_golden(files[0]).first_difference == difference
        assert [event.cycle for event in read_events(files[0])] == [5000]
        assert "cycles 3 to 5000" in files[-1].read_text()


def test_evidence_of_an_earlier_failure_goes(wave: Path, tmp_path: Path) -> None:
    old = ["fault-14.vcd", "fault-14.vcd.golden.jsonl", "fault-14.gtkw", "fault-14.sucl", "fault-14.ev_first.names", "cycle-99.vcd", "timeline.html"]
    others = ["program.json", "fault-14.txt", "fault-x.vcd", "my-fault-14.vcd", "fault-14.vcd.bak", "cycle-٣.vcd"]
    for name in (*old, *others):
        (tmp_path / name).write_text("old")
    (tmp_path / "fault-15.vcd").mkdir()
    events = list(read_events(wave))
    early, late = (leave_evidence(wave, tmp_path, cycle=event.cycle) for event in (events[len(events) // 3], events[-1]))
    assert early[0] != late[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*(path.name for path in late), *others, "fault-15.vcd"])
    assert all((tmp_path / name).read_text() == "old" for name in others)


def test_evidence_does_not_remove_what_it_is_made_of(wave: Path, tmp_path: Path) -> None:
    copy = tmp_path / "fault-1000.vcd"
    copy.write_bytes(wave.read_bytes())
    golden_file(copy).write_bytes(golden_file(wave).read_bytes())
    assert leave_evidence(copy, tmp_path, cycle=None)
    assert (copy.read_bytes(), golden_file(copy).read_bytes()) == (wave.read_bytes(), golden_file(wave).read_bytes())


def test_evidence_of_what_is_no_waveform(tmp_path: Path) -> None:
    (tmp_path / "run.vcd").write_text("nothing\n")
    with pytest.raises(UsageError, match="no complete VCD"):
        leave_evidence(tmp_path / "run.vcd", tmp_path / "evidence", cycle=3)


def test_times_of_cycles(wave: Path) -> None:
    file = WaveFile(wave)
    counter = {value: time for time, value in (file.signal("cycle")[place] for place in range(len(file.signal("cycle"))))}
    assert file.times(10, 12) == (counter[10], counter[13])
    assert file.times(0, 10**9) == (counter[0], max(counter.values()))
    with pytest.raises(UsageError, match="has nothing in the cycles"):
        file.times(10**8, 10**9)
    assert file.time_of(10) == counter[10]
    assert file.time_of(max(counter)) is None, "that cycle does not end in the file"
    assert file.time_of(10**8) is None


def test_evidence_of_a_difference_behind_the_end(wave: Path, tmp_path: Path) -> None:
    """What is left at the end of a run is noticed after its last event."""
    last = max(event.cycle for event in read_events(wave))
    for cycle in range(last, last + 4):
        assert leave_evidence(wave, tmp_path / str(cycle), cycle=cycle)

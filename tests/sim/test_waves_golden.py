"""Golden's view beside a waveform, as `seqfault waves` reads it: what it holds, and every way of not fitting."""

import json
from pathlib import Path
from typing import Any

import pytest

from seqfault.cli import run_command
from seqfault.errors import UsageError
from seqfault.waves import read_events
from seqfault.waves_golden import golden_file, is_whole, keep_golden, read_golden, write_golden
from seqfault_golden import Safeguard

from .waves_maker import record_run

HEAD = '{"format": "seqfault golden view", "version": 1}\n'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A waveform with a view that fits, and the view's lines."""
    wave = tmp_path_factory.mktemp("run") / "run.vcd"
    assert record_run(wave) is None
    return wave, [json.loads(line) for line in golden_file(wave).read_text().splitlines()]


def put(wave: Path, lines: list[dict[str, Any]], folder: Path) -> Path:
    """The waveform with these lines as its view."""
    path = folder / wave.name
    path.write_bytes(wave.read_bytes())
    golden_file(path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def refused(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    page = path.with_suffix(".html")
    assert run_command(["waves", str(path), "--html", str(page)]) == 2
    assert not page.exists()
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def test_a_view_fits_its_waveform_and_is_written_as_it_was_read(run: tuple[Path, list[dict[str, Any]]]) -> None:
    wave, lines = run
    golden = read_golden(wave)
    assert golden is not None
    events = list(read_events(wave))
    golden.fit(wave, events)
    assert len(golden.events) == len(events)
    assert golden.first_difference is None
    assert [json.loads(line) for line in write_golden(golden).splitlines()] == lines


def test_there_may_be_no_view(tmp_path: Path) -> None:
    assert read_golden(tmp_path / "a.vcd") is None


def test_a_view_may_end_before_the_waveform_or_after_it(run: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    wave, lines = run
    events = list(read_events(wave))
    golden = read_golden(put(wave, [*lines[:-5], lines[-1]], tmp_path))
    assert golden is not None
    golden.fit(wave, events)
    golden.fit(wave, events[:-20])


def test_a_view_of_another_run_is_refused(run: tuple[Path, list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wave, lines = run
    changed = {**lines[7], "outcome": lines[7]["outcome"] + 1}
    err = refused(put(wave, [*lines[:7], changed, *lines[8:]], tmp_path), capsys)
    assert "does not fit" in err
    assert f"event 7, of cycle {lines[7]['cycle']}, has outcome" in err
    assert record_run(tmp_path / "other.vcd", seed=2) is None
    other = [json.loads(line) for line in golden_file(tmp_path / "other.vcd").read_text().splitlines()]
    assert "does not fit" in refused(put(wave, other, tmp_path), capsys)
    assert "only one of them has events" in refused(put(wave, [lines[0], lines[-1]], tmp_path), capsys)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no golden view"), ("hello\n", "line 1 is no JSON object"), ("[1]\n", "line 1 is no JSON"),
        ('{"format": "x"}\n', "is no golden view"),
        ('{"format": "seqfault golden view", "version": 9}\n', "version 9"), (HEAD, "is cut off"),
        (HEAD + '{"cycle": 1, "ag', "is cut off"),
        (HEAD + '{"cycle": 1}\n{"end": {}}\n', "line 2 is no event"),
        (HEAD + '{"difference": "d", "cycle": 1, "event": 5}\n{"end": {}}\n', "a difference about event 5"),
    ],
)  # fmt: skip
def test_files_that_are_no_view(
    run: tuple[Path, list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    path = put(run[0], [], tmp_path)
    golden_file(path).write_text(text)
    err = refused(path, capsys)
    assert complaint in err
    assert str(golden_file(path)) in err


def test_a_view_is_whole_or_not_kept(run: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    wave, lines = run
    made = put(wave, lines, tmp_path)
    kept = tmp_path / "kept.vcd"
    assert is_whole(golden_file(made))
    keep_golden(made, kept)
    assert is_whole(golden_file(kept))
    assert not golden_file(made).exists()
    keep_golden(put(wave, lines[:-1], tmp_path), kept)  # a view of another run must not stay beside a new waveform
    assert not golden_file(kept).exists()
    assert not golden_file(made).exists()


def test_a_planted_difference_is_read(tmp_path: Path) -> None:
    for seed in range(10):
        if text := record_run(tmp_path / "run.vcd", seed=seed, removed=Safeguard.C3, faults=200):
            golden = read_golden(tmp_path / "run.vcd")
            assert golden is not None
            difference = golden.first_difference
            assert difference is not None
            assert difference.text == text
            assert difference.event is not None
            assert golden.events[difference.event]["verdict"] == "not allowed"
            assert golden.events[difference.event]["cycle"] == difference.cycle
            assert {event["verdict"] for event in golden.events[: difference.event]} == {"allowed"}
            assert {event["verdict"] for event in golden.events[difference.event + 1 :]} == {"not checked"}
            with pytest.raises(UsageError, match="does not fit"):
                golden.fit(tmp_path / "run.vcd", [*list(read_events(tmp_path / "run.vcd"))[1:]])
            return
    pytest.fail("no seed showed the missing safeguard")

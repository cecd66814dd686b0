"""What a regression says while it runs, where there is no terminal."""

import pytest

from seqfault import regress_progress
from seqfault.regress import Regression


def test_a_line_a_minute_in_a_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    regression = Regression([{}] * 10, began=clock[0])
    with regress_progress.regress_progress(10) as told:
        for number in range(1, 6):
            clock[0] += 25
            regression.results.append({"case": number, "faults": 1000, "outcome": "hang" if number == 4 else "ok"})
            told(regression)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["3 of 10 programs in 75 s, about 175 s left: 2,400 checked faults a minute"]


def test_a_line_says_that_programs_failed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regress_progress, "LINE_EVERY", 0.0)
    regression = Regression([{}] * 2)
    regression.results.append({"case": 0, "faults": 10, "outcome": "hang"})
    with regress_progress.regress_progress(2) as told:
        told(regression)
    assert capsys.readouterr().err.endswith(", 1 FAILED\n")

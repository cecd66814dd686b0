"""`seqfault.report`: the tables say what the result says, and every check that can fail is named when it does."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from seqfault.report import failures, progress_bar, run_table

Result = Callable[..., dict[str, Any]]


def text_of(result: dict[str, Any], *, width: int = 100) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(run_table(result))
    return capture.get()


def row(text: str, first: str) -> list[str]:
    """The cells of the line that begins with `first`."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(first)]
    return line.split()


def test_faults_by_kind_and_outcome(run_result: Result) -> None:
    text = text_of(run_result())
    assert row(text, "anon") == ["anon", "515", "505", "10", ".", ".", "."]
    assert row(text, "file_shared") == ["file_shared", "960", ".", ".", ".", "960", "."]
    assert "stack" not in text
    assert "all 2,546 1,570 10 3 960 3" in " ".join(text.split())


def test_latency_in_cycles_and_in_time_at_the_chosen_clock_beside_linux(run_result: Result) -> None:
    text = text_of(run_result())
    assert row(text, "all, at 250 MHz")[4:] == ["2,546", "2,448", "9,380", "22,712", "49,380", "ns"]
    assert row(text, "Linux, as recorded")[3:] == ["1,624", "9,427", "23,456", "-", "ns"]
    assert row(text, "software, at 250 MHz")[4:] == ["960", "6,400", "11,600", "16,800", "49,380", "ns"]


def test_the_rest_of_the_report(run_result: Result) -> None:
    text = " ".join(text_of(run_result()).split())
    for part in (
        "sqlite-mmap: 2,800 events, 1 thread, 2 processes, 1 address space; policy spec, preset small",
        "1,234,567 cycles in 12.3 s, 100,042 cycles/s, 206 checked faults/s",
        "UNSUPPORTED 840, CHANGED_C1 12, PTL_BUSY 3", "SEQ.BEGIN 156, ZAP 12", "23,456 steps checked, agreed", "every fault ended as there",
        "30 mapped without a fault (fault-around, fork), 2 unmapped",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_wider_than_the_console_and_none_is_cut(run_result: Result, width: int) -> None:
    text = text_of(run_result(), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "\x1b" not in text


def test_a_run_without_faults_and_without_the_additions_has_a_report(run_result: Result) -> None:
    bare = {key: run_result()[key] for key in ("trace", "policy", "preset", "events", "cycles", "wall_s", "golden")}
    none = dict.fromkeys(("total", "speculative", "retried", "classic", "software", "refused"), 0)
    latency = dict.fromkeys(("p50", "p99", "p999", "max"))
    text = text_of({**bare, "faults": none, "aborts": {}, "commands": {}, "latency_cycles": latency, "linux_ns": {}})
    assert "aborted attempts" in text
    assert "Linux, as recorded" not in text


def test_all_checks_of_a_good_run_hold(run_result: Result) -> None:
    assert failures(run_result()) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"golden": {"steps_checked": 9, "agreed": False, "first_difference": "cycle 7: R17"}}, "the golden model disagrees: cycle 7: R17"),
        ({"golden": {"steps_checked": 0, "agreed": True, "first_difference": None}}, "checked no step"),
        ({"mismatched": 2}, r"2 fault\(s\) ended unlike"),
        ({"faults": {"total": 5, "speculative": 1, "retried": 1, "classic": 1, "software": 1, "refused": 0}}, "do not add up"),
    ],
)
def test_every_check_that_fails_is_named_and_shown(run_result: Result, change: dict[str, Any], complaint: str) -> None:
    (found,) = failures(run_result(**change))
    assert re.search(complaint, found)
    if "golden" in change and not change["golden"]["agreed"]:
        assert "DISAGREED" in text_of(run_result(**change))
        assert "cycle 7: R17" in text_of(run_result(**change))


def test_the_progress_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("replaying") as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", "")

"""The processes of `seqfault explore`: what they tell about their progress, and how they end."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from seqfault import explore_cases, explore_progress
from seqfault.errors import SeqfaultError
from seqfault_golden.explore import ExplorationLimit, catalogue
from seqfault_golden.explore.catalogue import Case
from seqfault_golden.explore.result import Exploration

Explore = Callable[..., Exploration]
SECONDS = 60
CASES = (catalogue.find_case("munmap", None), catalogue.find_case("munmap", "c3"))


@pytest.fixture
def explorer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Explore], None]:
    """Puts a function in the place of the explorer."""
    return lambda function: monkeypatch.setattr(explore_cases, "explore", function)


def test_progress_counts_cases_and_states(explorer: Callable) -> None:
    seen: list[tuple[int, int, int]] = []

    def slow(case: Case, progress: Callable[[int, int], None], limit: Any) -> Exploration:
        progress(400, 7)
        time.sleep(1)
        return Exploration(
            scenario="", mutation=None, verdict="ok", expected="ok", invariant=None, explanation="", states=1000, transitions=3000, seconds=1.0,
            complete=True, agents=(), trace=(),
        )  # fmt: skip

    explorer(slow)
    explore_cases.explore_cases(CASES, jobs=2, progress=lambda *counts: seen.append(counts))
    assert seen[0] == (0, 2, 0)
    assert (0, 2, 800) in seen
    assert seen[-1] == (2, 2, 2000)
    assert seen == sorted(seen)


def test_a_terminal_shows_cases_states_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    for patience, shown in ((0.0, True), (60.0, False)):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(explore_progress, "PATIENCE", patience)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        with explore_progress.catalogue_progress() as progress:
            progress(3, 40, 123_456)
        with explore_progress.case_progress("munmap without c3") as progress_of_case:
            progress_of_case(5000, 77)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
        assert ("3/40" in text, "123,456 states" in text, "a second" in text) == (shown,) * 3
        assert ("exploring munmap without c3" in text, "77 states open" in text, "5,000 states" in text) == (shown,) * 3


def test_a_process_that_is_killed_is_an_error(explorer: Callable) -> None:
    def die(case: Case, progress: Any, limit: Any) -> Exploration:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    explorer(die)
    with pytest.raises(SeqfaultError, match="-j 1"):
        explore_cases.explore_cases(CASES, jobs=2)


def test_limit_and_progress_reach_the_explorer(explorer: Callable) -> None:
    def limited(case: Case, progress: Callable[[int, int], None], limit: int) -> Exploration:
        progress(1, 1)
        raise ExplorationLimit(f"{limit}")

    explorer(limited)
    (result,) = explore_cases.explore_cases(CASES[:1], jobs=1, limit=17)
    assert (result.found, result.complaint()) == (None, "munmap has more than 17 states (--limit)")


ENDLESS = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if the tests were started in the background
from seqfault import explore_cases
def endless(case, progress, limit):
    os.write(1, b"%d\\n" % os.getpid())  # at once: another process writes there too
    while True:
        if {polite}:
            progress(1, 1)
        time.sleep(0.01)
explore_cases.explore = endless
from seqfault.cli import main
main()
"""


@contextmanager
def endless(folder: Path, *arguments: str, count: int, polite: bool = True) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The command with an explorer that never ends (nor tells of its progress, if not `polite`), and the `count` processes that explore."""
    files = ["--json", str(folder / "r.json"), "--html", str(folder / "r.html")]
    command = [sys.executable, "-c", ENDLESS.format(polite=polite), "explore", *arguments, *files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            yield process, [int(process.stdout.readline()) for _ in range(count)]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("arguments", "count", "polite"),
    [(["munmap"], 1, True), (["--all", "-j", "2"], 2, True), (["--all", "-j", "2"], 2, False), (["--all", "-j", "2"], 1, True)],
)
def test_control_c_is_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[str], count: int, polite: bool) -> None:
    with endless(tmp_path, *arguments, count=count, polite=polite) as (process, workers):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 130
        assert err == "seqfault: interrupted\n"
        assert list(tmp_path.iterdir()) == []
        assert not any(map(running, workers))


def test_processes_end_with_their_starter(tmp_path: Path) -> None:
    with endless(tmp_path, "--all", "-j", "2", count=2) as (process, workers):
        process.kill()
        end = time.monotonic() + 20
        while any(map(running, workers)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not any(map(running, workers))

"""A second opinion on the explorer's verdicts: models of the protocol in Promela, searched to the end by Spin."""

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from .promela.verdicts import INVARIANTS, ROWS, Row, Verdict

MODELS = Path(__file__).parent / "promela"
SECONDS = 60
"""Time limit of each process; the longest takes about a second."""
DEPTH = 10_000
"""Steps; a search that needs more is not complete."""
PACKAGES = {"spin": "spin", "gcc": "gcc"}
MISSING = [f"{tool} not found: apt install {package}" for tool, package in PACKAGES.items() if not shutil.which(tool)]
needs_spin = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))


class Incomplete(Exception):
    """The search says nothing: it did not end, or did not look at everything."""


@dataclass(frozen=True, kw_only=True)
class Search:
    verdict: Verdict
    findings: frozenset[str]
    unreached: tuple[str, ...]
    """Statements that no interleaving executes, as Spin lists them."""


def run(directory: Path, *command: str) -> str:
    """Output of a command, which may take SECONDS; its children end with it.

    Raises Incomplete if it takes longer or fails."""
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Incomplete(f"{command[0]} took more than {SECONDS} s") from None
    if process.returncode:
        raise Incomplete(f"{command[0]} ended with {process.returncode}: {output}")
    return output


def build(directory: Path, model: str, define: str | None = None, *options: str) -> None:
    """Make ./pan, the program that searches. All interleavings: no partial order reduction."""
    shutil.copy(MODELS / f"{model}.pml", directory)
    run(directory, "spin", "-a", *([f"-D{define}"] if define else []), f"{model}.pml")
    run(directory, "gcc", "-O1", "-w", "-DSAFETY", "-DNOREDUCE", *options, "-o", "pan", "pan.c")


def search(directory: Path, *options: str) -> Search:
    """Search on after a violation, so that every search is a whole one."""
    return parsed(printed(directory, *options))


def printed(directory: Path, *options: str) -> str:
    return run(directory, "./pan", "-c0", f"-m{DEPTH}", "-w20", *options)


def parsed(output: str) -> Search:
    """What pan's output says.

    Raises Incomplete unless all states were stored and looked at, for violated assertions and for deadlocks."""
    for line in (
        "Full statespace search for:",
        r"\s+never claim\s+- \(none specified\)",
        r"\s+assertion violations\s+\+",
        r"\s+invalid end states\s+\+",
        r"pan: elapsed time .* seconds",
    ):
        if not re.search(f"^{line}$", output, re.MULTILINE):
            raise Incomplete(f"no line {line!r} in: {output}")
    if trouble := re.search(r"^.*(Warning:|error:|out of memory|MEMLIM|interrupted).*$", output, re.MULTILINE):
        raise Incomplete(trouble[0])
    found = re.search(r"^State-vector \d+ byte, depth reached (\d+), errors: (\d+)$", output, re.MULTILINE)
    if not found or int(found[1]) >= DEPTH - 1:
        raise Incomplete(f"depth not below {DEPTH}: {output}")
    messages = {re.sub(r"\s", "", text) for text in re.findall(r"^pan:\d+: (.+) \(at depth \d+\)$", output, re.MULTILINE)}
    if bool(messages) != bool(int(found[2])):
        raise Incomplete(f"{found[2]} errors, but the messages are {messages}")
    deadlock = "invalidendstate" in messages
    findings = frozenset(INVARIANTS[text.removeprefix("assertionviolated")] for text in messages - {"invalidendstate"})
    if deadlock and findings:
        raise Incomplete(f"a deadlock, and after a violation: {messages}")
    verdict = Verdict.DEADLOCK if deadlock else Verdict.VIOLATION if findings else Verdict.OK
    unreached = re.findall(r"^\s+(\w+\.pml:\d+, state .*)$", output, re.MULTILINE)
    return Search(verdict=verdict, findings=findings, unreached=tuple(unreached))


@needs_spin
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_spin_says_what_the_specification_says(row: Row, tmp_path: Path) -> None:
    build(tmp_path, row.model, row.define)
    result = search(tmp_path)
    assert result.verdict == row.expected, f"without {row.safeguard}: {result}"
    assert result.findings >= row.finding
    if row.define is None:
        assert result.unreached == (), "the whole protocol executes every statement"


@pytest.mark.parametrize("model", sorted(path.stem for path in MODELS.glob("*.pml")))
def test_table_and_model_name_the_same_safeguards(model: str) -> None:
    """Without this, a name that no model knows would be searched as the whole protocol."""
    used = re.findall(r"^#if(?:n?def) (\w+)$", (MODELS / f"{model}.pml").read_text(), re.MULTILINE)
    assert {None, *used} == {row.define for row in ROWS if row.model == model}


@needs_spin
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-m20"], "max search depth too small"),
        (["-A"], "assertion violations"),
        (["-E"], "invalid end states"),
        (["-c1"], "Search not completed"),
    ],
    ids=["depth", "no assertions", "no deadlocks", "first error only"],
)
def test_search_that_leaves_something_out_is_not_believed(options: list[str], says: str, tmp_path: Path) -> None:
    build(tmp_path, "munmap", "NO_C1")
    with pytest.raises(Incomplete, match=says):
        search(tmp_path, *options)


@needs_spin
@pytest.mark.parametrize(("option", "says"), [("-DBITSTATE", "Full statespace"), ("-DHC4", "Full statespace"), ("-DMEMLIM=1", "MEMLIM")])
def test_search_that_does_not_keep_all_states_is_not_believed(option: str, says: str, tmp_path: Path) -> None:
    build(tmp_path, "munmap", None, option)
    with pytest.raises(Incomplete, match=says):
        search(tmp_path, "-w10")


@needs_spin
def test_search_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    build(tmp_path, "srcu")
    monkeypatch.setitem(globals(), "SECONDS", 0.05)
    with pytest.raises(Incomplete, match="took more than"):
        search(tmp_path)


@needs_spin
def test_output_cut_short_is_not_believed(tmp_path: Path) -> None:
    build(tmp_path, "munmap_ipi")
    lines = printed(tmp_path).rstrip().splitlines()
    assert parsed("\n".join(lines)).verdict == Verdict.OK
    for end in range(len(lines)):
        with pytest.raises(Incomplete):
            parsed("\n".join(lines[:end]))


@needs_spin
def test_statement_that_is_never_executed_is_named(tmp_path: Path) -> None:
    """Without sections C3 always agrees, so nothing is unlocked because of it."""
    build(tmp_path, "mprotect", "NO_BUMP")
    (statement,) = search(tmp_path).unreached
    assert '"ptl = 0"' in statement

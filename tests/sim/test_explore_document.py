"""The generated part of a document: replaced as a whole or not at all, and prose stays."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from seqfault import explore_cases
from seqfault.cli import run_command
from seqfault.explore_document import BEGIN, END, phase_diagram
from seqfault_golden.explore import catalogue
from seqfault_golden.explore.catalogue import Case
from seqfault_golden.explore.result import Exploration

CASES = (catalogue.find_case("munmap", None), catalogue.find_case("munmap", "c3"))


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    edges = [("R1", "R2", "found"), ("R1", "FAILED", "no VMA"), ("R1", "FAILED", "busy: later"), ("R1", "FAILED", "no VMA")]
    monkeypatch.setattr("seqfault_golden.explore.phase_edges", lambda: edges, raising=False)
    monkeypatch.setattr(catalogue, "CASES", CASES)
    path = tmp_path / "protocol.md"
    path.write_text(f"# Title\n\nprose\n\n{BEGIN}\nold\n{END}\n\nmore prose\n")
    return path


def test_the_generated_part_is_replaced_and_prose_stays(document: Path) -> None:
    for _ in range(2):
        assert run_command(["explore", "--all", "-j", "1", "--document", str(document)]) == 0
        text = document.read_text()
        assert text.startswith(f"# Title\n\nprose\n\n{BEGIN}\n")
        assert text.endswith(f"\n{END}\n\nmore prose\n")
        assert "\nold\n" not in text
        assert text.count("stateDiagram-v2") == 1
    assert re.search(
        r"^\| `munmap` \| fault 0, fault 1, munmap \| `c3` \| violation \| violation \| I1 \| [\d,]+ \| [\d.]+ \| [\d,]+ \|", text, re.MULTILINE
    )
    assert f"CPython {sys.version.split()[0]}" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| `")}) == 1


def test_the_diagram_joins_edges_and_has_no_words_of_mermaid() -> None:
    text = phase_diagram([("end", "note", "a: b; c"), ("note", "end", ""), ("end", "note", "d"), ("end", "note", "d")])
    assert text.splitlines() == [
        "```mermaid", "stateDiagram-v2", '    state "end" as s0', '    state "note" as s1', "    s0 --> s1 : a b c, d", "    s1 --> s0", "```",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["no markers", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}", f"{END}{BEGIN}{END}"])
def test_a_document_without_its_markers_is_left_alone(document: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    document.write_text(text)
    assert run_command(["explore", "--all", "--document", str(document)]) == 2
    assert BEGIN in capsys.readouterr().err
    assert document.read_text() == text


def test_a_failure_leaves_files_as_they_were(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(case: Case, progress: Any, limit: Any) -> Exploration:
        raise RuntimeError("a bug")

    monkeypatch.setattr(explore_cases, "explore", fail)
    before, folder = document.read_text(), document.parent
    assert (
        run_command(["explore", "--all", "-j", "2", "--document", str(document), "--html", str(folder / "p.html"), "--json", str(folder / "r.json")])
        == 1
    )
    assert document.read_text() == before
    assert list(folder.iterdir()) == [document]

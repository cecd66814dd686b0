"""The page of `seqfault explore --html`: it is well formed, needs nothing else, and puts every step into the lane of its agent."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from seqfault.cli import run_command
from seqfault.explore_cases import CaseResult, explore_case
from seqfault.explore_html import anchor, page
from seqfault_golden.explore import catalogue
from seqfault_golden.explore.catalogue import Race
from seqfault_golden.explore.result import TraceStep

VOID = {"meta", "col", "br"}
BASE, BROKEN = catalogue.find_case("munmap", None), catalogue.find_case("munmap", "c3")


class Page(HTMLParser):
    """Checks nesting while it reads; keeps ids, links, and the lane diagram as (class and text of each cell) by row."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.cards: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        classes = dict(attrs).get("class") or ""
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "div" and "card" in classes:
            self.cards.append(classes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and any(tag in ("td", "th") for tag in self.open):
            self.rows[-1][-1] += data

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def cells(row: list[str]) -> list[str]:
    return [" ".join(cell.split()) for cell in row]


@pytest.fixture(scope="module")
def broken() -> CaseResult:
    return explore_case(BROKEN)


def test_a_step_is_in_the_lane_of_its_agent(broken: CaseResult) -> None:
    found = broken.found
    assert found is not None
    shown = Page(page([broken], whole=False, jobs=1, seconds=1.0))
    assert cells(shown.rows[0])[1:] == [*found.agents, "changed"]
    assert len(shown.rows) == len(shown.cards) + 1 == len(found.trace) + 1
    for number, (row, step) in enumerate(zip(shown.rows[1:], found.trace, strict=True), 1):
        count, *lanes, _changed = cells(row)
        assert count == str(number)
        filled = {agent for agent, text in zip(found.agents, lanes, strict=True) if text}
        assert filled == {step.agent}
        assert any(text.startswith(f"{step.step} {step.text}") for text in lanes)
    assert [("last" in card) for card in shown.cards] == [False] * (len(found.trace) - 1) + [True]
    kinds = {step.step: card.split()[-1] for step, card in zip(found.trace, shown.cards, strict=True)}
    assert (kinds["R2"], kinds["U1"]) == ("looks", "acts")


def test_the_broken_invariant_is_in_words(broken: CaseResult) -> None:
    text = page([broken], whole=False, jobs=1, seconds=1.0)
    assert broken.found is not None
    ending = text[text.index('class="ending"') :]
    assert "Broken: I1: no access (walk, PTE lock, entry) to a page table after it was freed" in ending
    assert broken.found.explanation in ending
    assert text.count(">removed<") == 1


def test_a_deadlock_says_that_nobody_can_go_on(broken: CaseResult) -> None:
    assert broken.found is not None
    stuck = replace(broken, found=replace(broken.found, verdict="deadlock", invariant="I6"))
    text = page([stuck], whole=False, jobs=1, seconds=1.0)
    assert "now nobody can go on" in text
    assert "Deadlock: I6: nobody waits" in text
    assert "Broken:" not in text


def test_a_whole_page_links_to_every_case(broken: CaseResult, monkeypatch: pytest.MonkeyPatch) -> None:
    races = (
        Race(number="R3", title="`collapse`", cases=(("munmap", "c3"), ("munmap", "undo"))),
        Race(number="R9", title="notifier", reason="no device"),
    )
    monkeypatch.setattr(catalogue, "RACES", races)
    text = page([explore_case(BASE), broken], whole=True, jobs=2, seconds=1.0)
    shown = Page(text)
    ids = shown.values("id")
    assert len(ids) == len(set(ids))
    assert {anchor("munmap", None), anchor("munmap", "c3")} <= set(ids)
    targets = [link.removeprefix("#") for link in shown.values("href")]
    assert set(targets) <= set(ids)
    assert targets.count(anchor("munmap", "c3")) == 3  # scenario, verdict, race
    assert "cannot be expressed because no device" in text
    assert "<code>collapse</code>" in text
    assert "All 2 verdicts are the expected ones" in text


def test_cases_that_were_given_up_are_named(broken: CaseResult) -> None:
    text = page([broken, CaseResult(case=BASE, found=None, limit=5)], whole=True, jobs=2, seconds=1.0)
    assert "munmap has more than 5 states (--limit)" in text


def test_nothing_is_fetched_and_nothing_is_run(broken: CaseResult) -> None:
    text = page([broken], whole=True, jobs=2, seconds=1.0)
    shown = Page(text)
    assert not shown.tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert not shown.values("src")
    assert all(link.startswith("#") for link in shown.values("href"))
    assert not re.search(r"@import|url\(|https?:", text)
    assert "prefers-color-scheme: dark" in text


def test_text_is_escaped(broken: CaseResult) -> None:
    assert broken.found is not None
    step = TraceStep(agent="munmap", step="<U1>", text="a & <b>b</b> `c`", changes=("<i>",))
    evil = replace(broken, found=replace(broken.found, trace=(step,), explanation="</p><script>"), case=replace(BROKEN, note="<u>`x<y`</u>"))
    text = page([evil], whole=False, jobs=1, seconds=1.0)
    shown = Page(text)
    assert not shown.tags & {"script", "b", "i", "u"}
    assert "&lt;u&gt;<code>x&lt;y</code>&lt;/u&gt;" in text


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str], anchors: Callable[[Path], set[str]]) -> None:
    path = tmp_path / "p.html"
    assert run_command(["explore", "munmap", "--mutate", "c1", "--html", str(path)]) == 0
    assert "verdict: violation" in capsys.readouterr().out
    assert anchors(path) == {"top", anchor("munmap", "c1")}


@pytest.fixture
def anchors() -> Callable[[Path], set[str]]:
    """The ids of a page."""
    return lambda path: set(Page(path.read_text()).values("id"))

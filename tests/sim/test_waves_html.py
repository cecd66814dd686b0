"""The page of `seqfault waves --html`, in a browser: lanes, golden's view, the first difference in sight; and that it needs nothing else."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seqfault.cli import run_command
from seqfault.waves import read_events
from seqfault.waves_golden import golden_file, read_golden
from seqfault_golden import Safeguard

from .waves_maker import record_run

CHROMIUM = Path("/usr/bin/chromium")
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
LEAST_CONTRAST = 4.5
"""Of text, as WCAG 2 (AA) wants it."""
IN_SIGHT = """selector => {
  const box = document.querySelector(selector).getBoundingClientRect();
  const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  return box.width > 0 && box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight && top !== null;
}"""
Open = Callable[..., Any]


def make_page(wave: Path, *options: str) -> Path:
    page = wave.with_suffix(".html")
    assert run_command(["waves", str(wave), "--html", str(page), *options]) == 0
    return page


def embedded(page: Path) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert match
    return json.loads(match[1])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wave = tmp_path_factory.mktemp("good") / "run.vcd"
    assert record_run(wave, faults=200) is None
    return wave


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a difference."""
    wave = tmp_path_factory.mktemp("bad") / "run.vcd"
    for seed in range(30):
        if record_run(wave, seed=seed, removed=Safeguard.C3, faults=200):
            return wave
    pytest.fail("no seed showed the missing safeguard")


@pytest.fixture(scope="module")
def browser(good: Path, bad: Path) -> Iterator[Any]:
    """Chromium; its event loop runs from here on, and the waveforms need one of their own."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def load(browser: Any) -> Iterator[Open]:
    """Opens a page; at the end it must have had no error and asked for nothing but itself."""
    contexts, messages, requests = [], [], []

    def opened(page: Path, *, dark: bool = False) -> Any:
        context = browser.new_context(color_scheme="dark" if dark else "light", viewport={"width": 1300, "height": 800})
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(page.as_uri())
        tab.wait_for_function("drawing.querySelector('rect.cell') !== null")
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert messages == []
    assert len(requests) == len(contexts)


def drawn(tab: Any) -> None:
    """Wait until what was asked for is drawn."""
    tab.wait_for_function(
        "() => { const frame = () => new Promise(requestAnimationFrame); return frame().then(frame).then(frame).then(() => !pending); }"
    )


def test_the_page_has_every_fault_and_golden_beside_every_event(good: Path) -> None:
    data = embedded(make_page(good))
    events = list(read_events(good))
    assert [fault["n"] for fault in data["faults"]] == list(range(1, max(event.fault for event in events) + 1))
    assert len(data["events"]) == len(data["golden"]) == len(events)
    assert {row[5] for row in data["golden"]} == {0}
    assert data["difference"] is None
    assert sum(len(fault["events"]) for fault in data["faults"]) == sum(event.fault > 0 for event in events)
    assert {"mm locks", "sections"} <= {lane["name"] for lane in data["lanes"]}


def test_filters_apply_and_numbers_stay(good: Path) -> None:
    events = list(read_events(good))
    one = next(event for event in events if event.fault == 30)
    data = embedded(make_page(good, "--context", str(one.agent), "--from", str(one.cycle), "--limit", "40"))
    assert len(data["events"]) == 40
    assert {event[1] for event in data["events"]} == {one.agent}
    assert data["faults"][0]["n"] == 30
    assert f"only agent {one.agent}, from cycle {one.cycle}, at most 40 events" in good.with_suffix(".html").read_text()


@pytest.mark.parametrize("dark", [False, True])
def test_the_first_difference_is_in_sight_without_scrolling(bad: Path, load: Open, dark: bool) -> None:
    golden = read_golden(bad)
    assert golden is not None
    assert golden.first_difference is not None
    differs = next(event for event in read_events(bad) if event.cycle == golden.first_difference.cycle)
    tab = load(make_page(bad), dark=dark)
    drawn(tab)
    assert tab.evaluate(IN_SIGHT, "#difference")
    assert tab.evaluate(IN_SIGHT, "tr.differs")
    assert "not allowed" in tab.inner_text("tr.differs")
    assert f"Fault {differs.fault} " in tab.inner_text("#panel h2")
    assert str(differs.cycle) in tab.inner_text(".banner strong")
    assert tab.inner_text("#panel pre").startswith(golden.first_difference.text[:80])
    tab.fill("#number", "1")
    tab.press("#number", "Enter")
    drawn(tab)
    assert "Fault 1 " in tab.inner_text("#panel h2")
    assert tab.query_selector("#difference") is None
    tab.click("#to-difference")
    drawn(tab)
    assert tab.evaluate(IN_SIGHT, "#difference")


def test_text_can_be_read_in_light_and_dark(bad: Path, load: Open) -> None:
    page = make_page(bad)
    for dark in (False, True):
        tab = load(page, dark=dark)
        drawn(tab)
        pairs = tab.evaluate("""() => [...document.querySelectorAll('#drawing rect.cell + text.on')].map(text => [getComputedStyle(text).fill,
            getComputedStyle(text.previousElementSibling).fill, getComputedStyle(text.previousElementSibling).opacity])""")
        assert pairs
        assert min(_contrast(front, back) for front, back, opacity in pairs if float(opacity) == 1) >= LEAST_CONTRAST
        tab.evaluate("drawing.replaceChildren()")  # what follows knows no rectangles behind a text
        worst = tab.evaluate(CONTRAST)
        assert worst["checked"] > 50
        assert worst["ratio"] >= LEAST_CONTRAST, worst


def _contrast(front: str, back: str) -> float:
    def luminance(colour: str) -> float:
        numbers = [float(number) for number in re.findall(r"[\d.]+", colour)[:3]]
        channels = [number if "color(" in colour else number / 255 for number in numbers]
        red, green, blue = (value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    one, other = sorted((luminance(front), luminance(back)))
    return (other + 0.05) / (one + 0.05)


def test_steps_are_cells_with_tooltips_and_a_click_shows_both_sides(good: Path, load: Open) -> None:
    tab = load(make_page(good))
    drawn(tab)
    first = embedded(good.with_suffix(".html"))["faults"][0]
    cells = tab.evaluate(f"[...drawing.querySelectorAll('rect.cell')].filter(cell => {first['events']}.includes(+cell.dataset.event)).length")
    assert cells == len(first["events"])
    cell = tab.query_selector(f"rect.cell[data-event='{first['events'][1]}']")
    assert cell is not None
    assert "golden: R1 then" in cell.inner_html()
    cell.click()
    assert tab.inner_text("#panel tr.at td:nth-child(2)").startswith("R1")
    assert "allowed" in tab.inner_text("#panel tr.at td.golden")
    command = tab.query_selector("rect.cell.command")
    assert command is not None
    command.click(force=True)
    assert "commands, around cycle" in tab.inner_text("#panel h2")


def test_lanes_can_be_arranged_filtered_zoomed_and_scrolled(good: Path, load: Open) -> None:
    tab = load(make_page(good))
    faults = embedded(good.with_suffix(".html"))["faults"]
    contexts = {fault["ctx"] for fault in faults}
    assert tab.evaluate("rows.length") == len(faults)
    tab.select_option("#arrangement", "packed")
    assert tab.evaluate("rows.length") == len(contexts)
    tab.select_option("#arrangement", "context")
    assert tab.evaluate("rows.length") == len(faults) + len(contexts)
    tab.select_option("#arrangement", "fault")
    software = sum(fault["outcome"] == "software" for fault in faults)
    tab.uncheck(".filter[value=software]")
    assert tab.evaluate("rows.length") == len(faults) - software < len(faults)
    before = tab.evaluate("scale")
    tab.click("#in")
    assert tab.evaluate("scale") > before
    tab.click("#fit")
    drawn(tab)
    assert tab.evaluate("(lastCycle - firstCycle) * scale <= width() + 1")
    tab.evaluate("lanes.scrollTop = 1000")
    drawn(tab)
    top = tab.evaluate("rows[Math.floor(lanes.scrollTop / ROW)].faults[0].n")
    assert top > 20
    assert tab.evaluate(f"[...drawing.querySelectorAll('text.name')].some(text => text.textContent.startsWith('{top} '))")


def test_scrolling_down_follows_the_faults_in_time(good: Path, load: Open) -> None:
    tab = load(make_page(good))
    tab.evaluate("lanes.scrollTop = 1500")
    drawn(tab)
    begin = tab.evaluate("left(rows[Math.floor(lanes.scrollTop / ROW)].faults[0].begin)")
    assert tab.evaluate("GUTTER") <= begin < tab.evaluate("lanes.clientWidth")


def test_without_a_view_the_page_says_so(good: Path, tmp_path: Path, load: Open) -> None:
    copy = tmp_path / "alone.vcd"
    copy.write_bytes(good.read_bytes())
    tab = load(make_page(copy))
    assert "no golden view beside this waveform (alone.vcd.golden.jsonl)" in tab.inner_text("#no-golden")
    assert tab.query_selector("#panel .golden") is None


def test_a_difference_about_no_event_and_text_that_looks_like_markup(good: Path, tmp_path: Path, load: Open) -> None:
    copy = tmp_path / "end.vcd"
    copy.write_bytes(good.read_bytes())
    lines = golden_file(good).read_text().splitlines()
    last = json.loads(lines[-2])["cycle"]
    difference = {"difference": "at the end </script><b>no</b>: frame 0x5 is lost", "cycle": last, "event": None}
    golden_file(copy).write_text("\n".join([*lines[:-1], json.dumps(difference), lines[-1]]) + "\n")
    tab = load(make_page(copy))
    drawn(tab)
    assert tab.query_selector(".difference-line") is not None
    assert "</script><b>no</b>" in tab.inner_text("#panel pre")


def test_the_page_says_why_a_run_stopped(good: Path, tmp_path: Path) -> None:
    copy = tmp_path / "hang.vcd"
    copy.write_bytes(good.read_bytes())
    lines = golden_file(good).read_text().splitlines()
    end = json.loads(lines[-1])["end"] | {"stopped": "HangError: nothing happened <until> cycle 9"}
    golden_file(copy).write_text("\n".join([*lines[:-1], json.dumps({"end": end})]) + "\n")
    assert "nothing happened &lt;until&gt; cycle 9" in make_page(copy).read_text()


def test_no_events_are_a_page_too(good: Path, browser: Any) -> None:
    page = make_page(good, "--from", "100000000")
    context = browser.new_context()
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(page.as_uri())
    assert "no faults" in tab.inner_text("#panel")
    context.close()
    assert errors == []

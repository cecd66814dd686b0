"""The page of a regression in a browser: it is drawn without network, can be read in light and dark, and what a reader does to it works."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seqfault.regress_pool import StatisticsPool
from seqfault.regress_tables import abort_rows

from .regress_fixture import HOSTILE, PLOTS, page_of, results

CHROMIUM = Path("/usr/bin/chromium")
LEAST_CONTRAST = 4.5
"""Of text, as WCAG 2 (AA) wants it."""
PATIENCE = 30
"""Seconds."""
DRAWN = "document.documentElement.dataset.drawn === getComputedStyle(document.documentElement).getPropertyValue('--page').trim()"
"""The plots have the colours of now."""
LOOKS = """[document.body, document.querySelector('#plot-latency text'), document.querySelector('#plot-latency .bars path')].map(
    one => { const style = getComputedStyle(one); return [style.backgroundColor, style.color, style.fill].join(); })"""
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
"""A function: what has the least contrast, of all text that is seen."""


class Shown:
    """The page in a browser, and what it complained of or asked for."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.complaints.append(request.url) if request.url != path.as_uri() else None)
        self.page.goto(path.as_uri())

    def show(self, *, scheme: str = "light", width: int = 1280) -> None:
        """Until it is drawn so."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)
        self.wait_until(DRAWN)

    def wait_until(self, script: str) -> None:
        """Not with playwright's own wait, which the page's policy forbids: no eval."""
        end = time.monotonic() + PATIENCE
        while not self.run(script):
            assert time.monotonic() < end, f"not within {PATIENCE} s: {script}"
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api")
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page_of(results()))
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield Shown(browser, path)
        browser.close()


@pytest.fixture
def shown(opened: Shown) -> Shown:
    """The page, wide and light."""
    opened.show()
    return opened


def test_plots_are_drawn_without_network_or_complaint(shown: Shown) -> None:
    assert shown.complaints == []
    for name in PLOTS:
        marks = ".lines path.js-line" if name == "occupancy" else ".bars path"
        assert shown.run(f"document.querySelectorAll('#plot-{name} svg.main-svg {marks}').length") > 1, name
    assert shown.run("document.title") == "seqfault regress: Nightly"


def test_failures_and_holes_are_seen(shown: Shown) -> None:
    seen = shown.run("document.body.innerText").replace("\x1b", "")
    for text in (HOSTILE.replace("\x1b", ""), "nothing happened", "--seeds 3:3", "R18!BUS_ERROR", "CLEAR!<RACED>", "in left/mixed seed 4:"):
        assert text in seen
    assert shown.page.locator(".failure").count() == 2
    assert shown.page.locator(".holes li").first.is_visible()
    assert shown.page.locator(".failure").first.bounding_box()["y"] < 500
    assert shown.page.get_by_role("link", name="failure.vcd").first.get_attribute("href") == "left/mixed%20seed%203/failure.vcd"


def test_light_and_dark_differ_and_follow_the_system(shown: Shown) -> None:
    light = shown.run(LOOKS)
    shown.show(scheme="dark")
    dark = shown.run(LOOKS)
    assert all(one != other for one, other in zip(light, dark, strict=True))
    shown.run("dispatchEvent(new Event('beforeprint'))")  # paper is light
    shown.wait_until(DRAWN)
    assert shown.run(LOOKS) == light
    shown.run("dispatchEvent(new Event('afterprint'))")
    shown.wait_until(DRAWN)
    assert shown.run(LOOKS) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(shown: Shown, scheme: str) -> None:
    shown.show(scheme=scheme)
    worst = shown.run(CONTRAST)
    assert worst["checked"] > 300
    assert worst["ratio"] >= LEAST_CONTRAST, worst
    shown.run("document.documentElement.style.setProperty('--quiet', 'var(--line)')")
    assert shown.run(CONTRAST)["ratio"] < LEAST_CONTRAST  # the measure can fail
    shown.run("document.documentElement.style.removeProperty('--quiet')")


def test_a_narrow_page_does_not_scroll_sideways(shown: Shown) -> None:
    shown.show(width=400)
    shown.wait_until("document.documentElement.scrollWidth <= 400")
    shown.wait_until("[...document.querySelectorAll('.plot svg')].every(one => one.getBoundingClientRect().right <= 400)")


def test_tables_sort_and_plots_have_views(shown: Shown) -> None:
    table = shown.page.locator("#aborts table")
    counts = "[...document.querySelectorAll('#aborts tbody tr')].map(row => Number(row.cells[5].dataset.value))"
    table.get_by_role("button", name="ended the fault").click()
    assert (found := shown.run(counts)) == sorted(found, reverse=True)
    assert table.locator("th[aria-sort=descending]").inner_text().startswith("ended the fault")
    table.get_by_role("button", name="ended the fault").click()
    assert shown.run(counts) == sorted(found)
    table.get_by_role("button", name="step").click()
    steps = shown.run("[...document.querySelectorAll('#aborts tbody tr')].map(row => row.cells[0].innerText)")
    assert steps == [row.step for row in abort_rows(StatisticsPool(results()).total)]
    bars = "document.querySelector('#plot-latency').data.reduce((sum, trace) => sum + trace.x.length, 0)"
    before = shown.run(bars)
    shown.page.locator("select[data-plot=latency]").select_option("L = 20")
    shown.wait_until(f"{bars} !== {before}")
    assert shown.complaints == []

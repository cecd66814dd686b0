"""The page of a regression: its tables and plots say what the results say."""

import json
import re
import subprocess
import sys

import pytest

from seqfault.regress_html import CARDS
from seqfault.regress_plots import PHASES, segments, slowest_plot
from seqfault.regress_pool import SINGLE_PROGRAMS, StatisticsPool
from seqfault.regress_tables import abort_rows, groups, kind_rows, percentile

from .regress_fixture import HOSTILE, PLOTS, failing, page_of, result, results


@pytest.mark.parametrize(
    ("histogram", "expected"),
    [
        ({"10": 1}, [10, 10, 10, 10]),
        ({str(value): 1 for value in range(1, 1001)}, [500, 900, 990, 999]),
        ({"7": 989, "1000": 10, "5000": 1}, [7, 7, 1000, 1000]),
        ({"7": 9989, "9": 0, "5000": 11}, [7, 7, 7, 5000]),
        ({}, [None] * 4),
    ],
)
def test_percentiles_are_measured_values(histogram: dict[str, int], expected: list[int | None]) -> None:
    assert [percentile(histogram, share) for share in (500, 900, 990, 999)] == expected


def test_a_row_for_each_kind() -> None:
    latency = {"100": 98, "200": 1, "9000": 1}
    kind = {"how": {"speculative": 99, "retried": 1}, "attempts": {"1": 99, "3": 1}, "latency": latency, "at_port": {"130": 100}, "max": [9001, 130]}
    (row,) = kind_rows({"kinds": {"cow": kind}})
    assert (row.kind, row.faults, row.retries) == ("cow", 100, 2)
    assert (row.latency, row.at_port) == ([100, 100, 200, 9000, 9001], [130] * 5)


def test_lines_of_the_rtl_are_there_where_they_were_counted() -> None:
    file = {
        "file": "seqfault_rtl/srcu.py", "lines": 40, "hit": 39, "percent": 97.5, "holes": [{"line": 77, "text": "m.d.sync += <all>"}], "bits": 20,
        "toggled": 18, "toggle_percent": 90.0,
    }  # fmt: skip
    page = page_of(results(), code=[file])
    assert "39 of 40 lines under a condition have run; 18 of 20 bits" in page
    assert '<code title="m.d.sync += &lt;all&gt;">77</code>' in page
    assert "Lines and toggles" not in page_of(results())


def test_groups_add_up() -> None:
    named = {group.name: group for group in groups(results())}
    assert set(named) == {("mixed", "small", "spec", 20), ("mixed", "small", "spec", 5), ("mixed", "small", "mm-lock", 20)}
    group = named["mixed", "small", "spec", 20]
    assert (group.programs, group.failed) == (3, 2)
    assert group.sums["faults"] == sum(one["faults"] for one in (results()[0], *results()[3:]))
    assert group.rate("faults") == group.sums["faults"] / 1.5


def test_failed_attempts_come_in_the_order_of_the_protocol() -> None:
    aborts = {
        "CLEAR RACED": (1, 0),
        "R13 PTL_BUSY": (2, 1),
        "R2 ODD": (5, 0),
        "R7 HUGE": (0, 3),
        "R2 CHANGED": (0, 9),
        "MM_READ_LOCK MM_BUSY": (0, 1),
    }
    rows = abort_rows({"aborts": {name: {"retried": retried, "ended": ended} for name, (retried, ended) in aborts.items()}})
    order = ["MM_READ_LOCK MM_BUSY", "R2 CHANGED", "R2 ODD", "R7 HUGE", "R13 PTL_BUSY", "CLEAR RACED"]
    assert [f"{row.step} {row.reason}" for row in rows] == order


def test_the_time_of_a_fault_is_told_apart() -> None:
    events = [
        [0, "R0", "OK"],
        [20, "R1-R6", "OK"],
        [50, "R7-R9", "OK"],
        [60, "R13", "PTL_WAIT"],
        [100, "R10-R12", "OK"],
        [101, "R13", "OK"],
        [130, "R18", "OK"],
    ]
    fault = {"events": events, "events_left_out": 0, "began": 1000, "requested": 900, "cycles": 130}
    found = [(PHASES[phase][0], end - start) for phase, start, end, _, _ in segments(fault)]
    names = ["undo, begin again", "VMA", "walk, page cache", "commit", "parked: PTE lock", "commit", "commit"]
    assert found == list(zip(names, [0, 20, 30, 10, 40, 1, 29], strict=True))
    bars = {trace["name"]: (trace["base"], trace["x"]) for trace in slowest_plot([fault])["views"][0]["data"]}
    assert bars["waits for walk and context"] == ([-100], [100])
    assert bars["commit"] == ([50, 100], [10, 30])
    left_out = [PHASES[phase][0] for phase, *_ in segments(fault | {"events_left_out": 5})]
    assert left_out.index("steps not shown") == len(events) // 2


def test_a_pool_is_as_good_as_the_results() -> None:
    many = [result(seed, cycles=1000 + seed) for seed in (1, 2)] * SINGLE_PROGRAMS + [failing(3, cycles=5), result(1, latency=9, cycles=1)]
    pool = StatisticsPool(many)
    assert pool.programs == len(many)
    assert next(iter(pool.occupancy)) == "mixed seed 3, small, spec, L=20"
    assert len(pool.occupancy) <= SINGLE_PROGRAMS
    assert sum(pool.total["occupancy"]["faults"]) == sum(one["faults"] for one in many)
    bare = [{key: value for key, value in one.items() if key != "statistics"} for one in many]
    assert page_of(bare, pool=pool) == page_of(many)


def test_nothing_is_fetched_and_text_is_escaped() -> None:
    text = page_of([failing(3, profile=HOSTILE, repeat=HOSTILE, files=["javascript:alert(1)", f"a/{HOSTILE}"])], title=HOSTILE, notes=[HOSTILE])
    head, body = text.split("<body>")
    own = body.split("<script>")[0]
    assert HOSTILE.split(" ")[0] not in own
    assert "default-src 'none'" in head
    assert set(re.findall(r"<(script|link|img|iframe|object|embed|style)\b", head + own)) == {"style"}
    links = re.findall(r'href="([^"]*)"', own)
    assert all(link.startswith(("#", "javascript%3A", "a/%3Cscript%3E")) for link in links)
    (data,) = re.findall(r'<script type="application/json" id="plots">(.*?)</script>', text, re.DOTALL)
    assert set(json.loads(data)) == set(PLOTS)


def test_many_failures_are_all_there() -> None:
    text = page_of([failing(3) | {"repeat": f"seqfault regress --seeds {seed}:{seed}"} for seed in range(CARDS + 5)])
    own = text.split("<script>")[0]
    assert own.count('<article class="failure">') == CARDS
    assert all(f"--seeds {seed}:{seed}<" in own for seed in range(CARDS + 5))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_run_without_statistics_has_a_page(number: int) -> None:
    programs = [result(1, statistics=None), failing(2, statistics=None, cycles=0, seconds=0, faults=0, counts={})][:number]
    text = page_of(programs, coverage=None, wall_s=None)
    assert "No program has measured a fault" in text
    assert "This run has taken no coverage" in text
    assert ("nothing was run" in text) == (not programs)


@pytest.mark.parametrize(("module", "package"), [("regress_html", "plotly"), ("regress_junit", "junitparser")])
def test_without_the_package_one_line_says_so(module: str, package: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; import seqfault.errors as errors\ntry: import seqfault.{module}\n" \
             "except errors.EnvironmentLacks as error: print(error)"  # fmt: skip
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.startswith(f"the Python package {package} is missing")
    assert said.count("\n") == 1

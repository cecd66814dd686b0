"""`seqfault bench fault`, `mutators`, `policies`: small numbers on a small engine, planted faults that the measurements see, and what is shown."""

from inspect import getsource
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth import Module, Signal
from rich.console import Console

from seqfault.bench import measure
from seqfault.bench_fault_plan import FAULT_LATENCIES
from seqfault.bench_plan import Task, plan
from seqfault.bench_report import bench_markdown, bench_table
from seqfault.errors import CheckFailed
from seqfault_rtl.config import PRESETS
from seqfault_tb import planted
from seqfault_tb.bench_audit import FaultAudit
from seqfault_tb.bench_faults import percentile, spread_pages
from seqfault_tb.bench_layout import BIG_END, BIG_START
from seqfault_tb.bench_names import KINDS, MUTATORS, OTHER_POLICIES, PATTERNS, PERCENTILES
from seqfault_tb.errors import WrongAnswer
from seqfault_tb.planted import Plant, PlantedEngine

from ..long import in_short

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # of engines whose model is there already
SMALL = PRESETS["small"]
LATENCY = 10
FAULTS = {"fault": 96, "mutators": 1600, "policies": 400}
LATE, ELSEWHERE, LOST = 101, 102, 103
"""Bugs of `Spoiled`."""
PARAMS = {
    ("fault", "latency_cycles"): {"kind", "latency", "cache", "percentile"},
    ("fault", "faults_per_1000_cycles"): {"kind", "latency", "contexts"},
    ("mutators", "slowdown"): {"mutator", "latency"},
    ("mutators", "changes_per_second"): {"mutator", "latency"},
    ("policies", "throughput_ratio"): {"over", "requesters", "mutator"},
}
"""The parameters of each metric. [formats.md, JSON of bench; `changes_per_second`, and `tables` for a second place of the faults, are ours]"""
Records = list[dict[str, Any]]


class Spoiled(PlantedEngine):
    """The engine with its planted bugs, and some between the engine and port 0. LATE: its answers come a cycle later.

    ELSEWHERE: with the neighbouring frame. LOST: every second one does not come.
    """

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        answer, given = self.translator.answers[0], self.answers[0]
        valid, payload, odd = Signal(), Signal.like(answer.payload.as_value()), Signal()
        m.d.sync += [valid.eq(answer.valid), payload.eq(answer.payload), odd.eq(odd ^ answer.valid)]
        number = self.plant.as_value()
        with m.If(number == LATE):
            m.d.comb += [given.valid.eq(valid), given.payload.eq(payload)]
        with m.If(number == ELSEWHERE):
            m.d.comb += given.payload.pa.eq(answer.payload.pa ^ 1 << 12)
        with m.If(number == LOST):
            m.d.comb += given.valid.eq(answer.valid & odd)
        return m


KEY = getsource(Spoiled) + Path(planted.__file__).read_text()


def chosen(bench: str, **params: Any) -> list[Task]:
    """The tasks with these parameters, with few faults."""
    tasks = [task for task in plan([bench], SMALL, [LATENCY]) if params.items() <= task.arguments.items()]
    assert tasks
    return [Task(**{**vars(task), "faults": FAULTS[bench]}) for task in tasks]


def spoiled(tasks: list[Task], plant: int = 0) -> Records:
    return measure(tasks, engine=Spoiled, key=KEY, plant=plant)


def value(records: Records, metric: str, **params: Any) -> float:
    """Of the first record of this metric with these parameters."""
    return next(record["value"] for record in records if record["metric"] == metric and params.items() <= record["params"].items())


@pytest.fixture(scope="module")
def records() -> Records:
    """Everything, on the small engine, at one latency."""
    return spoiled([task for bench in ("fault", "mutators", "policies") for task in chosen(bench)])


def test_json_is_as_the_formats_say(records: Records) -> None:
    assert {(record["bench"], record["metric"]) for record in records} == PARAMS.keys()
    for record in records:
        assert list(record) == ["bench", "params", "metric", "value", "unit"]
        assert record["params"].keys() - {"tables"} == PARAMS[record["bench"], record["metric"]]
        assert isinstance(record["value"], int | float)
    keys = [(record["bench"], record["metric"], *sorted(record["params"].items())) for record in records]
    assert len(keys) == len(set(keys))


def test_the_rate_of_the_formats_is_that_of_different_tables(records: Records) -> None:
    rates = [record["params"] for record in records if record["metric"] == "faults_per_1000_cycles" and record["params"]["kind"] == "anon-write"]
    assert [params.get("tables") for params in rates] == [None, *PATTERNS[1:]]
    assert all(params["contexts"] == SMALL.contexts for params in rates)


MOVED = 512
"""Words of a frame."""
WARM = {
    "anon-read": (2, 0), "anon-write": (2, 0), "anon-write-unzeroed": (3, MOVED), "file-read": (6, 32), "shared-write": (5, 0),
    "file-write": (7, MOVED), "cow": (6, MOVED), "upgrade": (3, 0),
}  # fmt: skip
"""What a warm fault waits for: accesses to memory one after the other (the page cache has three levels), and words of bursts."""
OVERHEAD = 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_alone_takes_its_accesses_and_little_more(records: Records, kind: str) -> None:
    warm, cold = (value(records, "latency_cycles", kind=kind, cache=cache, percentile=50) for cache in ("warm", "cold"))
    accesses, words = WARM[kind]
    assert accesses * LATENCY + words < warm <= accesses * LATENCY + words + OVERHEAD
    assert warm + 2 * LATENCY < cold <= warm + 6 * LATENCY + OVERHEAD
    for cache in ("warm", "cold"):
        ranks = [value(records, "latency_cycles", kind=kind, cache=cache, percentile=rank) for rank in PERCENTILES]
        assert ranks == sorted(ranks)


def test_contexts_work_at_the_same_time(records: Records) -> None:
    alone = 1000 / value(records, "latency_cycles", kind="anon-write", cache="warm", percentile=50)
    assert value(records, "faults_per_1000_cycles", kind="anon-write") > 1.5 * alone


def test_mutators_slow_faults_down(records: Records) -> None:
    for mutator, wanted in MUTATORS.items():
        assert 0.9 < value(records, "slowdown", mutator=mutator) < 4
        assert 0 < value(records, "changes_per_second", mutator=mutator) < 1.5 * wanted
    assert value(records, "slowdown", mutator="mprotect-same") > 1.02


def test_the_mm_lock_keeps_faults_waiting(records: Records) -> None:
    assert value(records, "throughput_ratio", over="mm-lock", mutator="mprotect-unrelated") > 1.2
    for over in OTHER_POLICIES:
        for mutator in MUTATORS:
            assert value(records, "throughput_ratio", over=over, mutator=mutator) > 0.7


def test_the_same_seed_gives_the_same_figures(records: Records) -> None:
    again = spoiled(chosen("mutators", mutator="mprotect-same"))
    assert value(again, "slowdown") == value(records, "slowdown", mutator="mprotect-same")


def test_a_register_in_the_way_of_answers_is_seen(records: Records) -> None:
    late = spoiled(chosen("fault", kind="anon-write", cache="warm"), LATE)
    at = {"kind": "anon-write", "cache": "warm", "percentile": 99.9}
    assert value(late, "latency_cycles", **at) == value(records, "latency_cycles", **at) + 1


@pytest.mark.parametrize(
    ("bench", "params", "plant", "complaint"),
    in_short(2, [
        ("fault", {"cache": "warm", "kind": "anon-write"}, ELSEWHERE, "golden model does not allow a step: .*answer port"),
        ("fault", {"cache": "warm", "kind": "anon-read"}, Plant.WRONG_RIGHTS.value, "golden model does not allow a step: .*R17 commits"),
        ("fault", {"tables": "disjoint", "kind": "anon-write"}, LOST, "nothing happened until cycle"),
        ("mutators", {"mutator": "mprotect-same"}, Plant.NO_RECHECK.value, "golden model does not allow a step: .*passed although the sequence"),
        ("policies", {"mutator": "mprotect-unrelated"}, Plant.MM_LOCK_IGNORED.value, "golden model does not allow a step: .*takes the mm lock"),
    ]),
)  # fmt: skip
def test_answers_and_steps_that_are_wrong_fail(bench: str, params: dict[str, Any], plant: int, complaint: str) -> None:
    with pytest.raises(CheckFailed, match=f"(?s)^{chosen(bench, **params)[0].measure} .*{complaint}"):
        spoiled(chosen(bench, **params), plant)


class FakeMachine:
    """Only what the audit uses."""

    on_request: Any = None
    on_answer: Any = None


def audited(pages: dict[int, int], answers: dict[int, int], access: int = 1) -> FaultAudit:
    """An audit of these entries by page, after answers with these frames by page; stores have frames of their own, loads frame 7."""
    machine = FakeMachine()
    audit = FaultAudit(machine)
    mm = SimpleNamespace(table=SimpleNamespace(read=pages.__getitem__))
    for vpn, frame in answers.items():
        machine.on_request([1, 10, 0, 5, vpn << 12 | 0x123, 0, access, 1])
        machine.on_answer([2, 20, 0, 5, 0, 1, 0, frame << 12 | 0x123, 10, 0, 0, 0])
        audit.expect(mm, vpn, *((WRITTEN, 0) if access else (READ, 7)))
    return audit


V, R, W, X, U, A, D, EXCLUSIVE = 1, 2, 4, 8, 16, 64, 128, 256
WRITTEN, READ = V | R | W | U | A | D | EXCLUSIVE, V | R | U | A


def test_the_audit_accepts_what_faults_leave() -> None:
    audited({1: 100 << 10 | WRITTEN, 2: 101 << 10 | WRITTEN}, {1: 100, 2: 101}).finish()
    audited({1: 7 << 10 | READ, 2: 7 << 10 | READ}, {1: 7, 2: 7}, access=0).finish()


@pytest.mark.parametrize(
    ("pages", "answers", "access", "complaint"),
    [
        ({}, {}, 1, "nothing was measured"),
        ({1: 0}, {1: 100}, 1, "has the entry 0x0"),
        ({1: 100 << 10 | READ}, {1: 100}, 1, "should have the bits"),
        ({1: 7 << 10 | WRITTEN}, {1: 7}, 0, "should have the bits"),
        ({1: 100 << 10 | WRITTEN | X}, {1: 100}, 1, "should have the bits"),
        ({1: 100 << 10 | WRITTEN}, {1: 101}, 1, "but the answer said 101"),
        ({1: 100 << 10 | WRITTEN & ~EXCLUSIVE}, {1: 100}, 1, "should have the bits"),
        ({1: 100 << 10 | READ}, {1: 100}, 0, "has frame 0x64, not 0x7"),
        ({1: 100 << 10 | WRITTEN, 2: 100 << 10 | WRITTEN}, {1: 100, 2: 100}, 1, "which another page has too"),
    ],
)
def test_the_audit_notices(pages: dict[int, int], answers: dict[int, int], access: int, complaint: str) -> None:
    with pytest.raises(WrongAnswer, match=complaint):
        audited(pages, answers, access).finish()


def test_the_audit_notices_a_wrong_place_in_the_page_and_a_page_faulted_in_twice() -> None:
    machine = FakeMachine()
    audit = FaultAudit(machine)
    machine.on_request([1, 10, 0, 5, 0x1123, 0, 1, 1])
    with pytest.raises(WrongAnswer, match="another place in the page"):
        machine.on_answer([2, 20, 0, 5, 0, 1, 0, 0x5124, 10, 0, 0, 0])
    audit.expect(SimpleNamespace(), 9, WRITTEN, 0)
    with pytest.raises(WrongAnswer, match="faulted in twice"):
        audit.expect(SimpleNamespace(), 9, WRITTEN, 0)


def test_percentiles_are_measured_values() -> None:
    values = list(range(1, 2001))
    Random(1).shuffle(values)
    assert [percentile(values, rank) for rank in PERCENTILES] == [1000, 1980, 1998]
    assert [percentile([5], rank) for rank in PERCENTILES] == [5, 5, 5]
    assert percentile([1] * 999 + [50], 99.9) == 1
    assert percentile([1] * 998 + [50] * 2, 99.9) == 50


def test_every_pattern_has_every_page_once_and_faults_under_way_are_where_it_says() -> None:
    for pattern in PATTERNS:
        pages = list(spread_pages(pattern, 16, skipped=16))
        assert len(pages) == len(set(pages)) == BIG_END - BIG_START - 16
        assert min(pages) == BIG_START + 16
        together = list(spread_pages(pattern, 16))[32:48]
        tables, lines = {vpn >> 9 for vpn in together}, {vpn >> 3 for vpn in together}
        assert (len(tables), len(lines)) == {"disjoint": (16, 16), "shared": (1, 16), "neighbours": (1, 2)}[pattern]


def test_the_default_preset_is_measured_as_the_issue_asks() -> None:
    config = PRESETS["default"]
    tasks = plan(["fault", "mutators", "policies"], config)
    assert all(task.config == config and task.faults >= 2000 for task in tasks)
    for measure_name in ("fault_latency", "fault_rate", "slowdown"):
        assert {task.params["latency"] for task in tasks if task.measure == measure_name} == set(FAULT_LATENCIES) == {20, 50}
    assert {task.params["contexts"] for task in tasks if task.measure == "fault_rate"} == {16}
    assert {(task.params["requesters"], task.settings["latency"]) for task in tasks if task.bench == "policies" and task.settings} == {(8, 50)}
    assert {task.params["latency"] for task in plan(["fault"], config, [7])} == {7}
    assert {task.arguments["latency"] for task in plan(["policies"], config, [7])} == {7}


def test_an_engine_is_measured_with_its_event_port() -> None:
    assert all(task.config.events for task in plan(["fault", "mutators", "policies"], SMALL.with_settings({"events": "false"})))


def made_up(number: float, **values: float) -> Records:
    """This number for everything that is measured on the default preset, but for the metrics in `values`."""
    found: Records = []
    for task in plan(["fault", "mutators", "policies"], PRESETS["default"]):
        numbers = {metric: values.get(metric, number) for metric in task.units}
        found += task.records({metric: [value] * len(task.each[1]) if task.each else value for metric, value in numbers.items()})
    return found


def verdicts(records: Records) -> dict[str, list[str]]:
    """Of the rows with a reach, by the first word."""
    found: dict[str, list[str]] = {}
    for line in bench_markdown("", records).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[-1] in ("reached", "MISSED"):
            found.setdefault(cells[0], []).append(cells[-1])
    return found


def test_tables_judge() -> None:
    good = made_up(1, faults_per_1000_cycles=100, changes_per_second=300_000, throughput_ratio=4)
    assert {verdict for row in verdicts(good).values() for verdict in row} == {"reached"}
    assert {name: len(row) for name, row in verdicts(good).items()} == {
        "anon-write": 4, "mmap-munmap": 2, "mprotect-unrelated": 2, "mprotect-same": 2, "mm-lock": 2, "vma-lock": 2,
    }  # fmt: skip
    bad = made_up(391, faults_per_1000_cycles=79.9, slowdown=1.51, changes_per_second=300_000, throughput_ratio=0.99)
    assert {verdict for name, row in verdicts(bad).items() for verdict in row if name != "anon-write"} == {"MISSED"}
    assert verdicts(bad)["anon-write"] == ["MISSED", "reached", "MISSED", "MISSED"], "p99.9 is not more than 4 times p50"


def test_a_mutator_below_its_rate_misses() -> None:
    rows = verdicts(made_up(1, faults_per_1000_cycles=100, changes_per_second=200_000, throughput_ratio=4))
    assert rows["mmap-munmap"] == ["MISSED"] * 2
    assert rows["mprotect-unrelated"] == rows["mprotect-same"] == ["reached"] * 2


def test_tables_fit_100_columns() -> None:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(bench_table("heading", made_up(123456, changes_per_second=299_999.9)))
    text = capture.get()
    assert "…" not in text
    assert text.count("anon-write ") == 9

"""`seqfault bench`: what is measured, that the measurements see planted faults, and what is shown. Two models are built, of a small Mmu."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from rich.console import Console

import seqfault.bench
from seqfault.bench import measure
from seqfault.bench_plan import LATENCIES, Task, plan
from seqfault.bench_report import bench_markdown, bench_table
from seqfault.cli import run_command
from seqfault.errors import CheckFailed, UsageError
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.mmu import Mmu
from seqfault_rtl.paging import PagingMode

from ..long import LONG

SMALL = EngineConfig(ports=2, tlb_entries=4, port_misses=4, walks=4, l2_sets=16, l2_ways=4, walk_cache=4, spaces=16, svadu=False)
LATENCY = 10
PARAMS = {
    ("hit", "latency_cycles"): {"level", "ports"},
    ("hit", "rate_per_cycle"): {"level", "ports"},
    ("walk", "latency_cycles"): {"mode", "page", "latency", "cache"},
    ("walk", "walks_per_1000_cycles"): {"latency", "pattern", "requesters", "in_flight"},
    ("walk", "share"): {"latency", "pattern", "requesters", "in_flight"},
}
"""The parameters of each metric. [formats.md, JSON of bench]"""
Records = list[dict[str, Any]]


class Planted(wiring.Component):
    """An Mmu with a fault at port 0, chosen by the mode of the table written last, and port 1 waits while port 0 asks.

    Sv39: answers come a cycle late. Sv32: they never come. Sv48: each comes twice. Sv57: for the neighbouring page.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._inner = Mmu(config)
        super().__init__(self._inner.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = self._inner
        for name in ("memory", "update"):
            connect(m, getattr(inner, name), flipped(getattr(self, name)))
        for name in ("write_table", "write_space", "write_data", "write_features", "invalidate", "record"):
            m.d.comb += getattr(inner, name).eq(getattr(self, name))
        m.d.comb += self.busy.eq(inner.busy)
        for port, (request, answer) in enumerate(zip(inner.requests, inner.answers, strict=True)):
            blocked = self.requests[0].valid if port == 1 else 0
            m.d.comb += [
                request.payload.eq(self.requests[port].payload),
                request.valid.eq(self.requests[port].valid & ~blocked),
                self.requests[port].ready.eq(request.ready & ~blocked),
                self.answers[port].payload.eq(answer.payload),
                self.answers[port].valid.eq(answer.valid),
                answer.ready.eq(self.answers[port].ready),
            ]
        self._spoil(m, inner.answers[0], self.answers[0])
        return m

    def _spoil(self, m, answer, given):
        mode, valid, payload = Signal(PagingMode), Signal(), Signal.like(answer.payload.as_value())
        m.d.sync += [valid.eq(answer.valid), payload.eq(answer.payload)]
        with m.If(self.write_table):
            m.d.sync += mode.eq(self.write_data[60:])
        with m.Switch(mode):
            with m.Case(PagingMode.SV39):
                m.d.comb += [given.valid.eq(valid), given.payload.eq(payload)]
            with m.Case(PagingMode.SV32):
                m.d.comb += given.valid.eq(0)
            with m.Case(PagingMode.SV48), m.If(valid):
                m.d.comb += [given.valid.eq(1), given.payload.eq(payload)]
            with m.Case(PagingMode.SV57):
                m.d.comb += given.payload.pa.eq(answer.payload.pa ^ 1 << 12)


def chosen(bench: str, **params: Any) -> list[Task]:
    """The tasks with these parameters."""
    return [task for task in plan([bench], SMALL, [LATENCY]) if params.items() <= task.params.items()]


def value(records: Iterable[dict[str, Any]], metric: str, **params: Any) -> float:
    """Of the only record of this metric with these parameters."""
    (found,) = (record["value"] for record in records if record["metric"] == metric and params.items() <= record["params"].items())
    return found


def planted(tasks: list[Task]) -> Records:
    return measure(tasks, component=Planted, key="planted")


@pytest.fixture(scope="module")
def records() -> Records:
    """Everything, on the small Mmu, at one latency."""
    return measure(plan(["hit", "walk"], SMALL, [LATENCY]))


def test_json_is_as_the_formats_say(records: Records) -> None:
    assert {(record["bench"], record["metric"]) for record in records} == PARAMS.keys()
    for record in records:
        assert list(record) == ["bench", "params", "metric", "value", "unit"]
        assert record["params"].keys() == PARAMS[record["bench"], record["metric"]]
        assert isinstance(record["value"], int | float)
    keys = [(record["bench"], record["metric"], *record["params"].items()) for record in records]
    assert len(keys) == len(set(keys))


def test_hits_are_answered_in_the_next_cycle(records: Records) -> None:
    for ports in (1, 2):
        assert value(records, "latency_cycles", level=1, ports=ports) == 1
        assert value(records, "rate_per_cycle", level=1, ports=ports) == 1.0
    assert 1 < value(records, "latency_cycles", level=2, ports=1) <= 4


@pytest.mark.parametrize(("page", "reads"), [("4K", 3), ("64K", 3), ("2M", 2), ("1G", 1)])
def test_walks_take_their_reads_and_little_more(records: Records, page: str, reads: int) -> None:
    cold = value(records, "latency_cycles", mode="Sv39", page=page, cache="cold")
    assert reads * LATENCY < cold <= reads * (LATENCY + 1) + 3
    warm = value(records, "latency_cycles", mode="Sv39", page=page, cache="warm")
    assert LATENCY < warm <= LATENCY + 5


def test_walks_are_sustained_and_shared_out(records: Records) -> None:
    for requesters in (1, 2):
        assert value(records, "walks_per_1000_cycles", pattern="sequential", requesters=requesters) >= 4 * 1000 / (LATENCY + 5)
        assert value(records, "walks_per_1000_cycles", pattern="disjoint", requesters=requesters) >= 4 * 1000 / (3 * LATENCY + 7)
    for pattern in ("sequential", "disjoint"):
        assert value(records, "share", pattern=pattern, requesters=2) >= 0.45


@LONG
def test_a_register_in_the_way_of_answers_is_seen() -> None:
    results = planted([*chosen("hit", level=1, ports=1), *chosen("walk", mode="Sv39", page="4K", cache="warm")])
    assert value(results, "latency_cycles", level=1) == 2
    assert value(results, "latency_cycles", mode="Sv39") == LATENCY + 5
    assert "MISSED" in bench_markdown("", results)


def test_a_starved_requester_is_seen() -> None:
    results = planted(chosen("walk", pattern="disjoint", requesters=2))
    assert value(results, "share") < 0.45
    assert "MISSED" in bench_markdown("", results)


@pytest.mark.parametrize(
    ("mode", "complaint"),
    [("Sv32", "requests are not answered"), ("Sv48", "with which no request waits"), ("Sv57", "but the answer is pa 0x")],
)
def test_answers_that_are_wrong_fail(mode: str, complaint: str) -> None:
    with pytest.raises(CheckFailed, match=f"walk .*{mode}.*{complaint}"):
        planted(chosen("walk", mode=mode, page="4K", cache="cold"))


def test_the_default_preset_is_measured_with_16_and_8_walks_at_all_latencies() -> None:
    tasks = plan(["walk"], PRESETS["default"])
    sustained = [task for task in tasks if task.measure == "sustained"]
    assert {(task.params["in_flight"], task.params["requesters"]) for task in sustained} == {(w, r) for w in (16, 8) for r in (1, 2, 4)}
    assert {task.params["latency"] for task in tasks} == set(LATENCIES)
    for task in sustained:
        assert task.config.port_misses * task.params["requesters"] >= task.config.walks == task.params["in_flight"]
    assert {task.params["mode"] for task in tasks if task.measure == "walk"} == {"Sv32", "Sv39", "Sv48", "Sv57"}


def test_only_what_is_built_is_planned() -> None:
    tasks = plan(["hit", "walk"], PRESETS["core"], [LATENCY])
    assert {task.params["level"] for task in tasks if task.bench == "hit"} == {1}
    assert {task.params["mode"] for task in tasks if task.measure == "walk"} == {"Sv39"}
    assert {task.params["in_flight"] for task in tasks if task.measure == "sustained"} == {8}


def test_an_unknown_name_is_bad_usage(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"'dance'.* hit, walk, fault, mutators, policies, simulation"):
        plan(["dance"], SMALL)
    assert run_command(["bench", "dance"]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def made_up() -> Records:
    """A value for everything that is measured on the default preset: most goals missed."""
    tasks = plan(["hit", "walk"], PRESETS["default"])
    return [
        {"bench": task.bench, "params": task.params, "metric": metric, "value": 100.0 if "walks" in metric else 1, "unit": unit}
        for task in tasks
        for metric, unit in task.units.items()
    ]


def test_tables_fit_100_columns_and_judge() -> None:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(bench_table("heading", made_up()))
    text = capture.get()
    assert "…" not in text
    lines = text.splitlines()
    verdicts = [line.split()[-1] for line in lines if "sequential " in line and ">= 250" in line]
    assert verdicts == ["MISSED"] * 3
    assert [line.split()[-1] for line in lines if "disjoint " in line and ">= 80" in line] == ["reached"] * 3


def test_markdown_has_the_same_rows() -> None:
    text = bench_markdown("heading", made_up())
    assert text.startswith("heading\n\n### Hits\n\n| ")
    assert "| sequential | 16 | 1 | 100.0 | 100.0 | 100.0 | 100.0 | >= 250 | 17.8 | MISSED |" in text


@pytest.fixture
def fake_measure(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """Keeps what the command line asks for, and gives made-up results."""
    seen: dict[str, Any] = {}

    def replacement(tasks: list[Task], **options: Any) -> Records:
        seen.update(options, tasks=tasks)
        options["progress"](1, 2)
        return made_up()

    monkeypatch.setattr(seqfault.bench, "measure", replacement)
    return lambda: seen


def test_options_arrive(fake_measure: Callable[[], dict[str, Any]], capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "walk", "--latency", "7", "--seed", "3", "--set", "walks=8", "--json", "-"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == made_up()
    assert err == ""
    seen = fake_measure()
    assert seen["seed"] == 3
    assert {task.bench for task in seen["tasks"]} == {"walk"}
    assert {task.params["latency"] for task in seen["tasks"]} == {7}
    assert {task.config.walks for task in seen["tasks"]} == {8}


def test_without_a_name_everything_is_measured(fake_measure: Callable[[], dict[str, Any]], capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "--markdown"]) == 0
    assert {task.bench for task in fake_measure()["tasks"]} == {"hit", "walk", "fault", "mutators", "policies", "simulation"}
    assert capfd.readouterr().out.startswith("Mmu and Engine of preset default; seed 1; every answer checked\n\n### Hits")

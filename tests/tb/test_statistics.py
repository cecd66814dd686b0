"""The watcher "statistics": planted logs come out as what they are, and real runs add up to what the golden model has counted."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from seqfault.regress_case import run_program
from seqfault_golden import Access, Checker, Outcome, Step
from seqfault_rtl.config import PRESETS
from seqfault_tb.checked import checked_kernel
from seqfault_tb.coverage import Coverage
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.regression.execute import run_at_once
from seqfault_tb.regression.fault_kinds import KINDS, WITH_TABLE, tell
from seqfault_tb.regression.generate import Shape, generate
from seqfault_tb.regression.job import noted
from seqfault_tb.regression.occupancy import POINTS, Occupancy
from seqfault_tb.regression.slow_faults import SHOWN, SLOWEST
from seqfault_tb.regression.statistics import Statistics, binned, merge_statistics
from seqfault_tb.regression.watch import watch

POOL = COPIED = 1 << 63
READ_ONLY, ANON, FILE, SHARED = 0x53, 1 << 4, 0, 1 << 3
R = Step
OK, RETRY, FAULT = range(3)
ALL_KINDS = Shape(faults=600, files=5, regions=6, moves=True, forks=True, pause_ns=300, mutators=3)
COMMAND_UNIT = 63

Line = tuple[Step, Step, int] | tuple[Step, Step, int, Outcome]


def begin(access: Access, *, attempt: int = 0, classic: bool = False, port: int = 0, tag: int = 0) -> Line:
    return R.R0, R.R0, access | 1 << 2 | port << 6 | tag << 14 | attempt << 23 | classic << 26


def found(flags: int) -> Line:
    return R.R1, R.R6, flags


TAIL: list[Line] = [(R.R10, R.R12, 0), (R.R13, R.R13, 0), (R.R14, R.R15, 0), (R.R16, R.R17, 1)]
FLUSHED: list[Line] = [*TAIL, (R.FLUSH, R.FLUSH, 0), (R.R18, R.R18, 1)]
SET: list[Line] = [*TAIL, (R.R18, R.R18, 1)]
MOVED: list[Line] = [*TAIL[:3], (R.CLEAR, R.CLEAR, READ_ONLY), (R.FLUSH, R.FLUSH, 0), (R.R17, R.R17, 1), (R.R18, R.R18, 1)]
ABORT: list[Line] = [(R.R10, R.R11, 0, Outcome.CHANGED_C1), (R.UNDO, R.UNDO, 0, Outcome.CHANGED_C1)]
ANON_WRITE: list[Line] = [found(ANON), (R.R7, R.R9, POOL | 5), *SET]
TABLE: list[Line] = [(R.R7, R.R7, 0), (R.R8, R.R9, POOL | 7), *TAIL, (R.TABLE, R.TABLE, 1)]
FAULTS: dict[str, list[Line]] = {
    "anon-read": [begin(Access.LOAD), found(ANON), (R.R7, R.R9, 3), *SET],
    "anon-write": [begin(Access.STORE), *ANON_WRITE],
    "anon-write-unzeroed": [begin(Access.STORE), found(ANON), (R.R7, R.R9, POOL | 5), (R.FILL, R.FILL, 0), *SET],
    "anon-write + table": [begin(Access.STORE), found(ANON), *TABLE, *TABLE, (R.R7, R.R9, POOL | 5), *SET],
    "file-read": [
        begin(Access.FETCH), found(FILE), (R.R7, R.R7, 0), (R.PAGE, R.PAGE, 3), (R.R8, R.R9, 9), *TAIL, (R.AROUND, R.AROUND, 5), (R.R18, R.R18, 1),
    ],
    "shared-write": [begin(Access.STORE), found(SHARED), (R.R7, R.R7, 0), (R.PAGE, R.PAGE, 3), (R.R8, R.R9, 9), *SET],
    "file-write": [
        begin(Access.STORE), found(FILE), (R.R7, R.R7, 0), (R.PAGE, R.PAGE, 3), (R.R8, R.R9, POOL | 9), (R.FILL, R.FILL, COPIED | 4), *SET,
    ],
    "cow": [begin(Access.STORE), found(ANON), (R.R7, R.R7, READ_ONLY), (R.R8, R.R9, POOL | 9), (R.FILL, R.FILL, COPIED | 4), *MOVED],
    "cow-zero": [begin(Access.STORE), found(ANON), (R.R7, R.R7, READ_ONLY), (R.R8, R.R9, POOL | 9), *MOVED],
    "upgrade": [begin(Access.STORE), found(ANON), (R.R7, R.R7, READ_ONLY), (R.R8, R.R9, 9), *FLUSHED],
    "upgrade-shared": [begin(Access.STORE), found(SHARED), (R.R7, R.R7, READ_ONLY), (R.PAGE, R.PAGE, 3), (R.R8, R.R9, 9), *FLUSHED],
    "mapped": [begin(Access.LOAD), found(ANON), (R.R7, R.R7, READ_ONLY, Outcome.MAPPED), (R.ANSWER, R.ANSWER, OK, Outcome.MAPPED)],
    "software": [
        begin(Access.STORE), (R.R1, R.R3, 0, Outcome.HUGE), (R.UNDO, R.UNDO, 0, Outcome.HUGE), (R.HANDOVER, R.HANDOVER, 0, Outcome.HUGE),
        (R.ANSWER, R.ANSWER, RETRY, Outcome.HUGE),
    ],
    "refused": [
        begin(Access.STORE), (R.R1, R.R6, 0, Outcome.ACCESS), (R.UNDO, R.UNDO, 0, Outcome.ACCESS), (R.ANSWER, R.ANSWER, FAULT, Outcome.ACCESS),
    ],
}  # fmt: skip
"""Faults by kind, as the contract's table of steps has them."""


def records(lines: Sequence[Line], *, start: int = 100, pitch: int = 10, agent: int = 0, space: int = 0, vpn: int = 7) -> list[list[int]]:
    """Events, `pitch` cycles from one to the next."""
    return [
        [0, start + place * pitch, line[0], line[1], agent, line[3] if len(line) > 3 else 0, space, vpn, 0, 0, 0, line[2]]
        for place, line in enumerate(lines)
    ]


def statistics_of(*logs: list[list[int]]) -> dict[str, Any]:
    watcher = Statistics()
    for log in logs:
        for record in log:
            (watcher.event, watcher.request, watcher.answer)[record[0]](record)
    return watcher.result()


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_of_its_kind(kind: str) -> None:
    story = tell(records(FAULTS[kind]))
    assert story.kind == kind
    assert story.how == (kind if kind in ("software", "refused") else "speculative")
    assert {name.removesuffix(WITH_TABLE) for name in FAULTS} == set(KINDS)


def test_attempts_and_why_they_failed() -> None:
    parked: Line = (R.R13, R.R13, 0, Outcome.PTL_WAIT)
    lines = [begin(Access.STORE), found(ANON), (R.R7, R.R9, POOL | 5), *ABORT, begin(Access.STORE, attempt=1), *ANON_WRITE[:2], TAIL[0], parked, *SET]
    story = tell(records(lines))
    assert (story.kind, story.how, story.attempts, story.waits) == ("anon-write", "retried", 2, 1)
    assert story.failures == [(Step.R11, Outcome.CHANGED_C1)]
    result = statistics_of(records(lines), records(FAULTS["refused"], start=5000))
    assert result["aborts"] == {"R11 CHANGED_C1": {"retried": 1, "ended": 0}, "R6 ACCESS": {"retried": 0, "ended": 1}}
    assert result["waits"] == {"PTL_WAIT": 1}
    assert result["reasons"] == {"software": {}, "refused": {"ACCESS": 1}}
    assert result["kinds"]["anon-write"]["attempts"] == {"2": 1}


def test_under_the_mm_lock() -> None:
    lock, unlock = (R.MM_READ_LOCK, R.MM_READ_LOCK, 0), (R.MM_READ_UNLOCK, R.MM_READ_UNLOCK, 0)
    busy: Line = (R.MM_READ_LOCK, R.MM_READ_LOCK, 0, Outcome.MM_BUSY)
    classic = [lock, begin(Access.STORE, classic=True), *ANON_WRITE, unlock]
    refused = [busy, (R.ANSWER, R.ANSWER, FAULT, Outcome.MM_BUSY)]
    request = [1, 5900, 2, 33, 7 << 12 | 8, 0, 1, 8]
    answer = [2, 6030, 2, 33, FAULT, 0, Outcome.MM_BUSY, 0, 5900]
    result = statistics_of(records(classic), [request], records(refused, start=6000), [answer])
    assert result["kinds"]["anon-write"]["how"] == {"classic": 1}
    assert result["kinds"]["anon-write"]["latency"] == {"80": 1}  # from the lock to the answer: what follows the answer is not in it
    assert result["kinds"]["refused"]["at_port"] == {"130": 1}  # without R0 its request is found by the page
    assert result["aborts"] == {"MM_READ_LOCK MM_BUSY": {"retried": 0, "ended": 1}}


def test_latency_in_the_engine_and_at_the_port() -> None:
    lines = [begin(Access.LOAD, port=1, tag=5), *FAULTS["anon-read"][1:]]
    requests = [[1, 40, 1, 5, 7 << 12, 0, 0, 1], [1, 41, 2, 5, 9 << 12, 0, 0, 1]]
    answers = [[2, 43, 2, 5, OK, 0, 0, 0, 41], [2, 172, 1, 5, OK, 1, 0, 0, 40]]
    result = statistics_of(requests, answers[:1], records(lines), answers[1:])
    kind = result["kinds"]["anon-read"]
    assert (kind["latency"], kind["at_port"], kind["max"]) == ({"70": 1}, {"132": 1}, [70, 132])
    assert result["translated"] == {"2": 1}
    assert result["slowest"][0]["requested"] == 40


def test_long_latencies_are_binned() -> None:
    assert binned(Counter({5: 2, 2047: 1, 2049: 1, 1 << 20 | 3: 1})) == {"5": 2, "2047": 1, "2048": 1, str(1 << 20): 1}
    assert all(value * 0.999 < int(next(iter(binned(Counter([value]))))) <= value for value in range(1, 1 << 17, 37))


def test_the_slowest_are_kept_with_what_happened_meanwhile() -> None:
    logs = [records(FAULTS["anon-write"], start=1000 * number, pitch=number) for number in range(1, 2 * SLOWEST)]
    last = 1000 * (2 * SLOWEST - 1)
    commands = [
        [0, cycle, R.SEQ_BEGIN, R.SEQ_BEGIN, COMMAND_UNIT, 0, space, 0, 0, 0, 0, 0] for cycle, space in ((last - 1, 0), (last + 1, 0), (last + 2, 3))
    ]
    logs[-1] = sorted([*logs[-1], *commands], key=lambda record: record[1])
    result = statistics_of(*logs)
    cycles = [fault["cycles"] for fault in result["slowest"]]
    assert cycles == [7 * number for number in range(2 * SLOWEST - 1, SLOWEST - 1, -1)]
    first = result["slowest"][0]
    assert first["commands"] == [[1, "SEQ_BEGIN", "OK"]]  # neither the one before it nor that of another space
    assert [steps for _, steps, _ in first["events"]] == ["R0", "R1-R6", "R7-R9", "R10-R12", "R13", "R14-R15", "R16-R17", "R18"]
    assert result["commands"] == {"SEQ_BEGIN": 3}


def test_a_fault_of_many_events_keeps_its_ends() -> None:
    waits: list[Line] = [(R.R13, R.R13, 0, Outcome.PTL_WAIT), TAIL[0]] * SHOWN
    fault = statistics_of(records([*FAULTS["anon-write"][:4], *waits, *SET[1:]]))["slowest"][0]
    assert len(fault["events"]) == SHOWN
    assert fault["events_left_out"] == 2 * SHOWN + 8 - SHOWN
    assert (fault["events"][0][1], fault["events"][-1]) == ("R0", [fault["cycles"], "R18", "OK"])


def test_occupancy_halves_its_pieces() -> None:
    occupancy, total = Occupancy(), 64 * POINTS * 5 + 17
    occupancy.contexts(0, 1)
    occupancy.contexts(100, 1)
    occupancy.contexts(1124, -1)
    occupancy.count(1124, "faults")
    occupancy.advance(total)
    result = occupancy.result()
    assert (result["width"], sum(result["cycles"]), sum(result["busy"]), sum(result["faults"])) == (512, total, total + 1024, 1)
    assert len(result["cycles"]) <= POINTS
    assert result["busy"][:4] == [512 + 412, 1024, 512 + 100, 512]
    assert occupancy.levels == {1: total - 1024, 2: 1024}


def test_merging_adds_up_in_any_order() -> None:
    one = statistics_of(*(records(lines, start=100 + 5000 * place) for place, lines in enumerate(FAULTS.values())))
    two = statistics_of(records(FAULTS["cow"], start=900_000, pitch=300), records(FAULTS["refused"], start=2_000_000))
    merged = merge_statistics([one, two])
    assert merged == merge_statistics([two, one]) == merge_statistics([merge_statistics([one]), merge_statistics([two])])
    assert sum(merged["kinds"]["cow"]["latency"].values()) == 2
    assert merged["kinds"]["cow"]["max"][0] == max(one["kinds"]["cow"]["max"][0], two["kinds"]["cow"]["max"][0])
    assert merged["aborts"]["R6 ACCESS"] == {"retried": 0, "ended": 2}
    assert sum(merged["occupancy"]["cycles"]) == sum(one["occupancy"]["cycles"]) + sum(two["occupancy"]["cycles"])
    assert sum(merged["occupancy"]["busy"]) == sum(int(level) * cycles for level, cycles in merged["busy"].items())
    assert merge_statistics([])["slowest"] == []


def agrees(result: dict[str, Any], faults: int, outcomes: dict[str, int]) -> None:
    """Faults by kind and attempts by reason add up to what was counted elsewhere; each fault was answered once."""
    kinds = result["kinds"].values()
    assert sum(sum(kind["latency"].values()) for kind in kinds) == sum(result["occupancy"]["faults"]) == faults > 0
    assert all(sum(kind[part].values()) == sum(kind["latency"].values()) for kind in kinds for part in ("how", "attempts", "at_port"))
    reasons: Counter[str] = Counter()
    for name, counts in result["aborts"].items():
        reasons[name.split()[1]] += counts["retried"] + counts["ended"]
    assert reasons.pop("MM_BUSY", 0) == sum(result["reasons"][how].get("MM_BUSY", 0) for how in ("software", "refused"))
    assert reasons == {name.upper(): count for name, count in outcomes.items() if count}
    assert sum(int(level) * cycles for level, cycles in result["busy"].items()) == sum(result["occupancy"]["busy"])


@pytest.mark.parametrize(
    ("policy", "program"), [("spec", ALL_KINDS), ("vma-lock", ALL_KINDS), ("mm-lock", ALL_KINDS), ("spec", Shape(faults=400, pause_ns=1000))]
)
def test_it_agrees_with_the_golden_tally(policy: str, program: Shape) -> None:
    config = PRESETS["small"]
    machine, watcher = GoldenMachine.of(config, seed=1, strict=True), Statistics()
    kernel, checker, _ = checked_kernel(machine, config, policy)
    watch(machine, [watcher])
    run_at_once(kernel, 1, program)
    checker.finish(machine.read64)
    assert checker.agreed, checker.first_difference
    result = watcher.result()
    agrees(result, checker.tally.faults, {outcome.name: count for outcome, count in checker.tally.outcomes.items()})
    check_how(result, checker)
    if not checker.tally.answers.get(3):  # a classic fault gives its lock back after its answer
        assert (
            sum(int(cycles) * count for kind in result["kinds"].values() for cycles, count in kind["latency"].items()) == checker.tally.fault_cycles
        )
    if program is ALL_KINDS:
        assert {"anon-read", "anon-write", "file-read", "shared-write", "cow", "upgrade-shared", "software", "refused"} <= set(result["kinds"])


def check_how(result: dict[str, Any], checker: Checker) -> None:
    counted: Counter[str] = Counter()
    for kind in result["kinds"].values():
        counted.update(kind["how"])
    names = {"translated": "refused"}
    assert counted == {names.get(how.name.lower(), how.name.lower()): count for how, count in checker.tally.answers.items() if count}


@pytest.mark.parametrize("conditions", [{}, {"error_rate": 0.002, "pressure": 30, "adue": True, "latency": 5}])
def test_it_agrees_with_a_run_of_the_rtl(conditions: dict[str, Any]) -> None:
    program = generate(3, profile="mixed", preset="small", faults=600, settings={"svadu": "true"}, plant="NONE", **conditions)
    run = run_program(program, watchers=("statistics",))
    assert run["outcome"] == "ok", run["message"]
    agrees(run["statistics"], run["faults"], run["aborts"])
    assert sum(run["statistics"]["occupancy"]["cycles"]) <= run["cycles"]
    assert run["statistics"]["slowest"][0]["requested"] < run["statistics"]["slowest"][0]["began"]


@pytest.mark.parametrize("watcher", [Statistics(), Coverage()], ids=["statistics", "coverage"])
@pytest.mark.parametrize(("step", "outcome"), [(200, Outcome.OK), (R.R1, 29)], ids=["step", "outcome"])
def test_a_number_without_a_name_costs_no_more_than_the_watchers_result(watcher: Statistics | Coverage, step: int, outcome: int) -> None:
    """The checker has refused it, and that must be said."""
    watcher.event([0, 5, step, step, 0, outcome, 0, 7, 0, 0, 0, 0])
    result = noted(watcher)
    assert result is None or json.loads(json.dumps(result)) == result

"""The watcher "coverage": what it says of real runs is what the golden model knows; planted logs reach the bins that they should, and no others."""

import re
from collections import Counter
from pathlib import Path

import pytest

from seqfault_golden import Access, Checker, Outcome, Step
from seqfault_golden.protocol.plan import Plan
from seqfault_rtl.config import PRESETS
from seqfault_tb.checked import checked_kernel
from seqfault_tb.coverage import BY_NAME, POINTS, Coverage
from seqfault_tb.coverage.declare import Cross, Left, Point
from seqfault_tb.coverage.names import cross
from seqfault_tb.coverage.plan import TEST_PLAN
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.regression.execute import run_at_once
from seqfault_tb.regression.generate import Shape
from seqfault_tb.regression.watch import Watcher, watch

CONFIG = PRESETS["small"]
COMMAND_UNIT = 63
ANON, POOL = 1 << 4, 1 << 63
S = Step
KIND_OF = {
    Plan.ZERO: ("anon-read",), Plan.POOL: ("anon-write", "cow-zero"), Plan.SLOT: ("file-read", "shared-write"), Plan.COPY_SLOT: ("file-write",),
    Plan.COPY: ("cow",), Plan.STAY: ("upgrade",), Plan.STAY_SHARED: ("upgrade-shared",), Plan.TABLE: ("table",),
}  # fmt: skip


class _AgainstPlan(Watcher):
    """The kind that coverage has found is the golden model's plan, whenever an entry is about to be locked."""

    def __init__(self, coverage: Coverage, checker: Checker) -> None:
        self._coverage, self._checker = coverage, checker
        self.compared: Counter[str] = Counter()

    def event(self, record: list[int]) -> None:
        if record[2] == S.R10 and record[4] < COMMAND_UNIT - 1:
            plan = Plan(self._checker.state.faults[record[4]].plan)
            kind = self._coverage.fault(record[4]).kind
            if kind == "table" and record[7] & 511 in {record[7] >> 9 * level & 511 for level in range(1, 5)}:
                return  # the functional engine tells of a leaf as of an upper entry: see `Tracked`
            assert kind in KIND_OF[plan], f"{kind}, but the plan is {plan.name}"
            self.compared[kind] += 1


def run(seed: int, policy: str = "spec", **program: object) -> tuple[Coverage, _AgainstPlan, Checker]:
    machine = GoldenMachine.of(CONFIG, seed=seed)
    kernel, checker, _ = checked_kernel(machine, CONFIG, policy)
    coverage = Coverage()
    plans = _AgainstPlan(coverage, checker)
    watch(machine, [coverage, plans])
    coverage.start(kernel)
    run_at_once(kernel, seed, Shape(**{"faults": 800, "pause_ns": 300, "mutators": 3, **program}))
    checker.finish(machine.read64)
    assert checker.agreed
    return coverage, plans, checker


def test_kinds_are_the_golden_models_plans() -> None:
    compared: Counter[str] = Counter()
    files = {"files": 5, "regions": 6, "moves": True, "forks": True}
    for seed, program in enumerate(({}, files, {**files, "pitch": 512})):
        compared += run(seed, **program)[1].compared
    assert set(compared) == {kind for kinds in KIND_OF.values() for kind in kinds}


@pytest.mark.parametrize("policy", ["spec", "mm-lock"])
def test_what_is_counted_is_what_the_golden_model_has_counted(policy: str) -> None:
    coverage, _, checker = run(3, policy, files=3)
    result = coverage.result()
    aborts = Counter[str]()
    for name, count in result["abort"].items():
        aborts[name.split()[1]] += count
    counted = checker.tally.outcomes
    undone = {outcome: count for outcome, count in aborts.items() if outcome not in ("MM_BUSY", "PTL_WAIT")}
    assert undone == {outcome.name: count for outcome, count in counted.items() if count}
    hows = Counter[str]()
    for name, count in result["answer"].items():
        hows[name.split()[1]] += count
    assert all(
        hows[how.name] == count for how, count in checker.tally.answers.items() if how.name in ("SPECULATIVE", "RETRIED", "CLASSIC", "SOFTWARE")
    )
    assert sum(result["busy"].values()) == checker.tally.faults


# --- planted logs ---------------------------------------------------------------------------------------------------


def log(coverage: Coverage, *events: tuple[object, ...]) -> dict[str, dict[str, int]]:
    """Events (first, last, {field: value}) of context 0, or of the agent given."""
    for first, last, fields in events:
        values = {"agent": 0, "outcome": 0, "space": 1, "vpn": 0x40, "id": 7, "seq": 0, "addr": 0x1000, "data": 0, **fields}
        coverage.event([0, 0, first, last, *values.values()])
    return coverage.result()


def step(first: Step, last: Step | None = None, **fields: int) -> tuple[object, ...]:
    return first, first if last is None else last, fields


def command(first: Step, **fields: int) -> tuple[object, ...]:
    return step(first, agent=COMMAND_UNIT, **fields)


BEGIN = step(S.R0, data=Access.STORE | 1 << 2)
FOUND = (step(S.R1, S.R6, data=ANON), step(S.R7, S.R9, addr=0x5008, data=POOL | 9))
LOCKED = (step(S.R10, S.R12), step(S.R13, addr=0x5000))
DONE = (step(S.R14, S.R15), step(S.R16, S.R17), step(S.R18))


def test_a_fault_reaches_its_kind_and_nothing_else() -> None:
    result = log(Coverage(), BEGIN, *FOUND, *LOCKED, *DONE)
    assert result["kind"] == {"anon-write": 1}
    assert result["kind by flags"] == {"anon-write x ALLOW_RETRY": 1}
    assert result["last attempt"] == {"first": 1}
    assert "abort" not in result
    assert "command meets fault" not in result


@pytest.mark.parametrize(
    ("what", "fields", "meets"),
    [
        (S.SEQ_BEGIN, {}, True), (S.SEQ_BEGIN, {"id": 8}, False), (S.PTE_LOCK, {"addr": 0x5000}, True), (S.PTE_LOCK, {"addr": 0x6000}, False),
        (S.PTE_CLEAR, {"addr": 0x5FF8}, True), (S.INVALIDATE, {"data": 0}, True), (S.INVALIDATE, {"vpn": 0x3F, "data": 2}, True),
        (S.INVALIDATE, {"vpn": 0x3F, "data": 1}, False), (S.INVALIDATE, {"space": 2}, False), (S.INVALIDATE, {"space": 0xFFFF}, True),
        (S.MM_LOCK, {}, True), (S.MM_LOCK, {"space": 2}, False), (S.FENCE, {"space": 0}, True), (S.PAGE_RESPONSE, {}, False),
    ],
)  # fmt: skip
def test_commands_meet_the_faults_that_they_concern(what: Step, fields: dict[str, int], meets: bool) -> None:
    result = log(Coverage(), BEGIN, *FOUND, command(what, **fields), *LOCKED, *DONE)
    assert result.get("command meets fault", {}) == ({f"{what.name} x R9": 1} if meets else {})
    assert result["command by load"] == {f"{what.name} x faults running": 1}


def test_commands_meet_no_fault_that_is_over_or_undone_or_under_the_mm_lock() -> None:
    abort = (step(S.R10, S.R11, outcome=Outcome.CHANGED_C1), step(S.UNDO, outcome=Outcome.CHANGED_C1))
    assert "command meets fault" not in log(Coverage(), BEGIN, *FOUND, *abort, command(S.SEQ_BEGIN))
    assert "command meets fault" not in log(Coverage(), BEGIN, *FOUND, *LOCKED, *DONE, command(S.SEQ_BEGIN), command(S.MM_LOCK))
    classic = (step(S.MM_READ_LOCK), step(S.R0, data=1 << 26), *FOUND, command(S.FENCE))
    assert "command meets fault" not in log(Coverage(), *classic)


def test_an_abort_counts_with_its_kind_its_attempt_and_what_came_of_it() -> None:
    failed = (step(S.R14, outcome=Outcome.CHANGED_C3), step(S.UNDO, outcome=Outcome.CHANGED_C3))
    again = step(S.R0, data=Access.STORE | 1 << 2 | 1 << 23)
    result = log(Coverage(), BEGIN, *FOUND, *LOCKED, *failed, again, *FOUND, *LOCKED, *DONE)
    assert result["abort by kind"] == {"R14 CHANGED_C3 x anon-write": 1}
    assert result["abort by attempt"] == {"R14 CHANGED_C3 x speculative": 1}
    assert result["first abort by how"] == {"R14 CHANGED_C3 x retried": 1}
    assert result["kind by how"] == {"anon-write x retried": 1}


# --- the declarations -----------------------------------------------------------------------------------------------


def test_points_are_declared_once_and_in_whole_sentences() -> None:
    assert len(BY_NAME) == len(POINTS)
    for point in POINTS:
        assert point.sentence.endswith(".")
        assert len(set(point.bins)) == len(point.bins)
        assert point.counted, point.name


def test_every_test_that_a_reason_or_the_plan_names_exists() -> None:
    root = Path(__file__).parents[2]
    texts = {left.reason for point in POINTS for left in point.excluded.values()} | {test for row in TEST_PLAN for test in row.tests}
    named = {name for text in texts for name in re.findall(r"tests/[\w/]+\.py", text)}
    assert named
    assert [name for name in sorted(named) if not (root / name).exists()] == []


def test_a_bin_that_is_left_out_for_elsewhere_says_where() -> None:
    lefts = [(point.name, name, left) for point in POINTS for name, left in point.excluded.items()]
    assert [entry[:2] for entry in lefts if not entry[2].never and "tests/" not in entry[2].reason] == []


def test_every_point_is_in_the_test_plan_once() -> None:
    assert Counter(name for row in TEST_PLAN for name in row.points) == Counter(point.name for point in POINTS)


def test_wrong_declarations_are_refused() -> None:
    with pytest.raises(ValueError, match="'c' is excluded, but is no bin"):
        Point(name="p", sentence="s", bins=("a", "b"), excluded={"c": Left("no")})
    with pytest.raises(ValueError, match="'z' is in a rule"):
        Cross.make("p", "s", ("a", "b"), ("x", "y"), (("a",), ("z",), Left("no")))


def test_a_cross_leaves_out_what_its_first_fitting_rule_says() -> None:
    made = Cross.make("p", "s", ("a", "b"), ("x", "y"), (("a",), ("x",), Left("first")), (("a",), None, Left("second")))
    assert {name: left.reason for name, left in made.excluded.items()} == {cross("a", "x"): "first", cross("a", "y"): "second"}
    assert made.counted == (cross("b", "x"), cross("b", "y"))

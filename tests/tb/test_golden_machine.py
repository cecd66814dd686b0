"""The `GoldenMachine` under races: the checker agrees with every order of turns, and names each safeguard that is taken away."""

import asyncio
from collections import Counter

import pytest

from seqfault_golden import Outcome, Safeguard, Step
from seqfault_rtl.config import PRESETS
from seqfault_tb.checked import checked_kernel
from seqfault_tb.errors import HangError
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import FaultCall, LayoutChange, drive
from seqfault_tb.kernel import commands as cmd
from seqfault_tb.machine import Request
from seqfault_tb.memory_audit import audit
from seqfault_tb.regression.conditions import prepare
from seqfault_tb.regression.execute import Execution
from seqfault_tb.regression.generate import Shape, make_program
from seqfault_tb.regression.program import Conditions

CONFIG = PRESETS["small"]
EXPECTED = {
    Safeguard.EVEN_SEQUENCE: "R2 accepted the odd sequence",
    Safeguard.EARLY_RECHECK: "R8 passed although the sequence",
    Safeguard.C1: "C1 passed although the sequence",
    Safeguard.C2: "C2 passed although an INVALIDATE",
    Safeguard.C3: "C3 passed although the sequence",
    Safeguard.C4: "C4 passed",
    Safeguard.MAX_RETRIES: "attempt 3 is speculative",
}
SEEDS = range(30)
"""A race needs its moment: the first seed whose run shows the missing safeguard counts."""
ANONYMOUS = Shape(faults=400, pause_ns=1000)
FILES = Shape(faults=400, pause_ns=200, mutators=4, faulters=6, files=3, forks=True)


def stress(
    seed: int, policy: str = "spec", removed: Safeguard | None = None, shape: Shape = ANONYMOUS,
) -> tuple[list[str], Counter[tuple[int, int]]]:  # fmt: skip
    """Run a random program; returns what was complained of, and the events by first step and outcome."""
    machine = GoldenMachine.of(CONFIG, seed=seed, strict=True)
    machine.engine.world.removed = frozenset({removed} if removed else ())
    conditions = Conditions(preset="small", policy=policy)
    kernel, checker, _ = prepare(machine, conditions, seed)
    events: Counter[tuple[int, int]] = Counter()
    check = machine.on_event
    assert check is not None

    def on_event(record: list[int]) -> None:
        events[record[2], record[5]] += 1
        check(record)

    machine.on_event = on_event
    asyncio.run(Execution(kernel, make_program(seed, shape, conditions)).run())
    checker.finish(machine.read64)
    difference = [] if checker.agreed else [str(checker.first_difference)]
    return difference + machine.violations + audit(machine), events


@pytest.mark.parametrize("policy", ["spec", "vma-lock", "mm-lock"])
def test_every_order_of_turns_is_allowed(policy: str) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    for seed in range(6):
        complaints, events = stress(seed, policy)
        assert complaints == []
        seen += events
    assert seen[Step.R18, Outcome.OK] > 300
    if policy == "spec":
        aborts = {outcome for step, outcome in seen if step == Step.UNDO}
        assert aborts >= {Outcome.ODD, Outcome.CHANGED, Outcome.CHANGED_C1, Outcome.WALK_C2, Outcome.CHANGED_C3, Outcome.RACED}
        assert seen[Step.R13, Outcome.PTL_WAIT] > 0
        assert seen[Step.MM_READ_LOCK, Outcome.OK] == seen[Step.MM_READ_UNLOCK, Outcome.OK] > 0


@pytest.mark.parametrize("policy", ["spec", "mm-lock"])
def test_files_forks_and_pages_taken_out_race_with_faults(policy: str) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    for seed in range(6):
        complaints, events = stress(seed, policy, shape=FILES)
        assert complaints == []
        seen += events
    kinds = {Step.PAGE, Step.FILL, Step.CLEAR, Step.FLUSH, Step.AROUND, Step.TABLE, Step.PAGE_RESPONSE}
    assert {step for step, outcome in seen if outcome == Outcome.OK} >= kinds
    outcomes = {outcome for step, outcome in seen if step == Step.PAGE}
    assert outcomes >= {Outcome.NOT_CACHED, Outcome.NOT_WRITABLE}


@pytest.mark.parametrize("safeguard", EXPECTED)
def test_a_missing_safeguard_is_named(safeguard: Safeguard) -> None:
    for seed in SEEDS:
        complaints, _ = stress(seed, removed=safeguard)
        if complaints:
            assert EXPECTED[safeguard] in complaints[0]
            return
    pytest.fail(f"nobody noticed that {safeguard} is missing")


def test_the_same_seed_is_the_same_run() -> None:
    assert stress(5)[1] == stress(5)[1] != stress(6)[1]


def store(kernel, mm, vpn: int, label: str = "a store") -> FaultCall:
    return FaultCall(mm=mm, port=0, va=vpn << 12, access=1, present=False, refused=False, grow=None, label=label)


def test_a_translation_is_kept_until_it_is_invalidated() -> None:
    machine = GoldenMachine.of(CONFIG)
    kernel, checker, _ = checked_kernel(machine, CONFIG, "spec")
    mm = kernel.new_mm(0, [LayoutChange(op="set", start=0x100, end=0x110, perm="rw-p")])
    steps = []

    async def program() -> None:
        for _ in range(2):
            await kernel.faults.run(store(kernel, mm, 0x100), reconcile=False)
        steps.append(checker.steps_checked)
        await kernel.faults.run(store(kernel, mm, 0x100), reconcile=False)
        steps.append(checker.steps_checked)
        await mm.change([], drops=((0x100, 0x101),))
        await kernel.faults.run(store(kernel, mm, 0x100), reconcile=False)
        steps.append(checker.steps_checked)

    task = kernel.scheduler.spawn(program(), "the program")
    asyncio.run(drive(kernel, lambda: task.done))
    assert steps[0] == steps[1] < steps[2] - 19, "no step while the page is mapped, a whole fault after the ZAP"
    checker.finish(machine.read64)
    assert checker.agreed, checker.first_difference


def test_a_machine_that_stands_still_says_what_it_waits_for() -> None:
    machine = GoldenMachine.of(CONFIG)
    kernel, _, _ = checked_kernel(machine, CONFIG, "spec")
    mm = kernel.new_mm(0, [LayoutChange(op="set", start=0x100, end=0x110, perm="rw-p")])

    async def program() -> None:
        for _ in range(2):
            await kernel.faults.run(store(kernel, mm, 0x100), reconcile=False)
        machine.write_register(0x2DC, 0)  # the released ring is off
        kernel.commands.post(cmd.mm_lock(mm.slot))
        kernel.commands.post(cmd.zap(mm.slot, 0x100, 1))
        await kernel.fence()

    task = kernel.scheduler.spawn(program(), "the program")
    with pytest.raises(HangError, match=r"nothing can happen after turn .*the released ring is full; the program waits for an IOFENCE\.C"):
        asyncio.run(drive(kernel, lambda: task.done))


def test_a_tag_is_used_once() -> None:
    machine = GoldenMachine(ports=1, tags=2)
    request = Request(port=0, tag=1, va=0x1000, space=0, access=1, flags=0)
    machine.submit(request)
    with pytest.raises(ValueError, match="outstanding"):
        machine.submit(request)
    with pytest.raises(ValueError, match="no such port"):
        machine.submit(Request(port=1, tag=0, va=0x1000, space=0, access=1, flags=0))
    answers = asyncio.run(machine.wait())
    assert [(answer.status, answer.reason) for answer in answers] == [(2, Outcome.BAD_TABLE)], "the space has no table"

"""The transformation that puts mutants into the RTL: what they are, and that none shows while it is off; and the order of trials."""

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.hdl import Elaboratable
from amaranth.lib import wiring
from amaranth.sim import Simulator

import seqfault_rtl
from seqfault_rtl.config import PRESETS
from seqfault_rtl.pte_locks import PteLocks
from seqfault_rtl.srcu import Srcu
from seqfault_tb.mutants import runtime
from seqfault_tb.mutants.blocks import BLOCKS, modules_of
from seqfault_tb.mutants.court import Court
from seqfault_tb.mutants.hook import install
from seqfault_tb.mutants.runtime import ACTIVE, LIVE
from seqfault_tb.mutants.transform import RUNTIME, Mutant, transform

RTL = Path(str(seqfault_rtl.__file__)).parent
CONFIG = PRESETS["small"]
CYCLES = 300
SNIPPET = '''
BITS = 1 << 4
class Block(Elaboratable):
    """a | b is no mutant here, nor are the class's constants."""
    def __init__(self, a, b, c, q):
        self.a, self.b, self.c, self.q = a, b, c, q
    def elaborate(self, platform):
        m = Module()
        depth = 3 - 1
        with m.If(~self.c):
            m.d.comb += self.q.eq(EXPRESSION)
        with m.Else():
            m.d.comb += self.q.eq(depth)
        return m
'''
EXPRESSIONS = {
    "a + b": [("operator", "(a) - (b)", lambda a, b: (a - b) % 8)],
    "a & b": [("operator", "(a) | (b)", lambda a, b: a | b), ("operand dropped", "a", lambda a, b: a), ("operand dropped", "b", lambda a, b: b)],
    "a == 2": [("operator", "(a) != (2)", lambda a, b: int(a != 2)), ("constant", "(a) == (2 + 1)", lambda a, b: int(a == 3))],
    "a < b": [("operator", "(a) <= (b)", lambda a, b: int(a <= b)), ("operator", "(a) >= (b)", lambda a, b: int(a >= b))],
    "Mux(a == b, 1, 2)": [("Mux swapped", "~(a == b)", lambda a, b: 1 if a != b else 2)],
    "a.any()": [("any/all", "all", lambda a, b: int(a == 3))],
}  # fmt: skip
"""Of two bits each: change, text, and what it then is, in as many bits as the sum has."""


def _execute(source: str, file: str, first: int = 1, **names: Any) -> tuple[dict[str, Any], list[Mutant]]:
    tree, mutants = transform(source, file, first)
    namespace = {RUNTIME: runtime, "__name__": f"seqfault_rtl.{file}", "__package__": "seqfault_rtl", **names}
    exec(compile(tree, file, "exec"), namespace)
    return namespace, mutants


def _snippet(expression: str) -> tuple[Elaboratable, tuple[Signal, ...], list[Mutant]]:
    from amaranth import Mux

    source = SNIPPET.replace("EXPRESSION", re.sub(r"\b([ab])\b", r"self.\1", expression))
    signals = Signal(2, name="a"), Signal(2, name="b"), Signal(name="c"), Signal(4, name="q")
    namespace, mutants = _execute(source, "snippet.py", Module=Module, Elaboratable=Elaboratable, Mux=Mux)
    return namespace["Block"](*signals), signals, mutants


def _table(block: Elaboratable, signals: tuple[Signal, ...], number: int) -> list[int]:
    """What q is for all inputs, with c = 0 and then 1."""
    a, b, c, q = signals
    found = []

    async def look(context: Any) -> None:
        context.set(ACTIVE, number)
        for values in product(range(2), range(4), range(4)):
            for signal, value in zip((c, a, b), values, strict=True):
                context.set(signal, value)
            found.append(context.get(q))

    top = Module()
    top.submodules.block = block
    simulator = Simulator(top)
    simulator.add_testbench(look)
    simulator.run()
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_mutant_is_what_it_says(expression: str) -> None:
    block, signals, mutants = _snippet(expression)
    original = _table(block, signals, 0)
    for kind, after, value in EXPRESSIONS[expression]:
        (mutant,) = [item for item in mutants if (item.operator, item.after.replace("self.", "")) == (kind, after)]
        assert _table(block, signals, mutant.number) == [value(a, b) for a, b in product(range(4), range(4))] + original[16:]
        assert original[:16] != _table(block, signals, mutant.number)[:16]


def test_conditions_and_assignments() -> None:
    block, signals, mutants = _snippet("a + b")
    numbers = {(mutant.operator, mutant.before, mutant.after): mutant.number for mutant in mutants}
    sums, depth = [a + b for a, b in product(range(4), range(4))], [2] * 16
    assert _table(block, signals, 0) == sums + depth
    assert _table(block, signals, numbers["condition negated", "~self.c", "~(~self.c)"]) == depth + sums
    assert _table(block, signals, numbers["condition stuck", "~self.c", "0"]) == depth + depth
    assert _table(block, signals, numbers["condition stuck", "~self.c", "1"]) == sums + sums
    assert _table(block, signals, numbers["assignment dropped", "self.q.eq(self.a + self.b)", ""]) == [0] * 16 + depth
    assert _table(block, signals, numbers["assignment dropped", "self.q.eq(depth)", ""]) == sums + [0] * 16


def test_what_is_no_hardware_is_no_mutant() -> None:
    LIVE.clear()
    block, signals, mutants = _snippet("a + b")
    _table(block, signals, 0)
    texts = {mutant.before for mutant in mutants if mutant.number in LIVE}
    assert "3 - 1" not in texts
    assert {"self.a + self.b", "~self.c", "self.q.eq(depth)"} <= texts
    assert not any("1 << 4" in mutant.before or "a | b" in mutant.before for mutant in mutants)


def test_places_and_numbers() -> None:
    for modules in BLOCKS.values():
        for module in modules:
            source = (RTL / f"{module}.py").read_text()
            _, mutants = transform(source, f"{module}.py", 7)
            assert [mutant.number for mutant in mutants] == list(range(7, 7 + len(mutants)))
            lines = source.splitlines()
            for mutant in mutants:
                word = None if mutant.operator == "constant" else re.match(r"[(~]*(\w+)", mutant.before)
                rest = "\n".join(lines[mutant.line - 1 : mutant.line + 12])[mutant.column - 1 :]
                assert word is None or word.group(1) in rest, mutant
            assert len({(mutant.line, mutant.column, mutant.operator, mutant.before, mutant.after) for mutant in mutants}) == len(mutants)


def _outputs(block: wiring.Component, number: int, seed: int = 1) -> list[list[int]]:
    """All outputs in each cycle, with random inputs that keep to no rule."""
    rng, found = Random(seed), []
    ports = [(member.flow, value) for _, member, value in block.signature.flatten(block)]

    async def drive(context: Any) -> None:
        context.set(ACTIVE, number)
        for _ in range(CYCLES):
            for flow, value in ports:
                if flow is wiring.In:
                    signal = getattr(value, "as_value", lambda value=value: value)()
                    context.set(signal, rng.getrandbits(2) % (1 << len(signal)))
            found.append([int(context.get(getattr(value, "as_value", lambda value=value: value)())) for flow, value in ports if flow is wiring.Out])
            await context.tick()

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return found


@pytest.mark.parametrize(("module", "original"), [("pte_locks", PteLocks), ("srcu", Srcu)])
def test_real_blocks_are_the_same_to_the_cycle_while_no_mutant_is_on(module: str, original: type[wiring.Component]) -> None:
    LIVE.clear()
    namespace, mutants = _execute((RTL / f"{module}.py").read_text(), f"{module}.py")
    make = namespace[original.__name__]
    unchanged = _outputs(original(CONFIG), 0)
    assert _outputs(make(CONFIG), 0) == unchanged
    live = [mutant for mutant in mutants if mutant.number in LIVE]
    assert len(live) > 20
    seen = sum(_outputs(make(CONFIG), mutant.number) != unchanged for mutant in live[::4])
    assert seen > 0.7 * len(live[::4])


def test_a_module_that_is_imported_cannot_be_changed() -> None:
    with pytest.raises(RuntimeError, match="srcu is imported already"):
        install(RTL, ["srcu"])


def test_blocks_by_name() -> None:
    assert modules_of([]) == [module for modules in BLOCKS.values() for module in modules]
    assert modules_of(["srcu", "update"]) == ["srcu", *BLOCKS["update"]]
    with pytest.raises(ValueError, match="unknown block 'tlb'"):
        modules_of(["tlb"])
    for module in modules_of([]):
        ast.parse((RTL / f"{module}.py").read_text())


def _found(outcome: str = "ok", order: int = 1, timing: int = 1) -> dict[str, Any]:
    return {"outcome": outcome, "message": None if outcome == "ok" else "what", "cycles": 100 + timing, "footprint": [order, timing], "cpu": 1.0}


def _trials(court: Court, answers: dict[tuple[int, int], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The verdicts; two runs at a time."""
    running = []
    while True:
        while len(running) < 2 and (trial := court.next_trial()):
            running.append(trial)
        if not running:
            return
        trial = running.pop(0)
        verdict = court.close(trial, answers.get((trial.mutant, trial.program), _found()))
        if verdict is not None:
            yield verdict


def test_the_first_program_that_shows_a_mutant_kills_it() -> None:
    court = Court(range(3), [5, 6, 7, 8], until=10.0, clock=lambda: 0.0)
    answers = {
        (5, 1): _found("difference"), (6, 0): _found("ok", order=2), (7, 2): _found("ok", timing=2), (8, 0): _found("hang"), (8, 1): _found("hang"),
    }  # fmt: skip
    verdicts = {verdict["mutant"]: verdict for verdict in _trials(court, answers)}
    assert {number: (verdict["killed"], verdict["by"], verdict["outcome"], verdict["events"]) for number, verdict in verdicts.items()} == {
        5: (True, 1, "difference", None), 6: (False, None, "ok", "other"), 7: (False, None, "ok", "timing"), 8: (True, 1, "hang", None),
    }  # fmt: skip
    assert court.done == 4
    assert "error" not in court.summary()


def test_no_mutant_is_begun_too_late_or_when_the_engine_fails_without_one() -> None:
    assert list(_trials(Court(range(2), [5], until=10.0, clock=lambda: 11.0), {})) == []
    court = Court(range(2), [5], until=10.0, clock=lambda: 0.0)
    assert list(_trials(court, {(0, 1): _found("difference")})) == []
    assert court.summary()["error"] == "without a mutant, program 1: difference: what"

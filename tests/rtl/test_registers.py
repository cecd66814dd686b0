"""Registers under cocotb, and planted bugs that its tests must find."""

from collections.abc import Callable
from dataclasses import replace

import pytest

import seqfault_rtl.registers
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.register_map import REGISTERS, Access, Field
from seqfault_rtl.registers import Registers

from ..long import in_short

TESTS = "seqfault_tb.test_registers"


def test_registers() -> None:
    run_block(Registers(PRESETS["small"]), TESTS, name="registers")


def unlocked(field: Field) -> Field:
    return replace(field, access=Access.RW) if field.access is Access.LOCKED else field


def unreduced(field: Field) -> Field:
    return replace(field, modulo=None)


@pytest.mark.parametrize(("change", "testcase"), in_short(0, [(unlocked, "wrong_writes"), (unreduced, "queue_settings")]))
def test_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, change: Callable[[Field], Field], testcase: str) -> None:
    registers = tuple(replace(register, fields=tuple(map(change, register.fields))) for register in REGISTERS)
    monkeypatch.setattr(seqfault_rtl.registers, "REGISTERS", registers)
    with pytest.raises(SimulationFailed, match=testcase):
        run_block(Registers(PRESETS["small"]), TESTS, name="registers", testcase=testcase)

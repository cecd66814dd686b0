"""What the actions of a program do: each on a plain region of the functional engine, with pages that faults have touched."""

import asyncio
from collections.abc import Sequence

import pytest

from seqfault_rtl.config import PRESETS
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import AddressSpace, Kernel
from seqfault_tb.kernel.constants import PTE_A, PTE_D, PTE_V, PTE_W, Slot, VmaFlag
from seqfault_tb.regression.conditions import prepare
from seqfault_tb.regression.execute import Execution
from seqfault_tb.regression.program import OPERATIONS, Action, Conditions, Program, Region, Thread

START, PAGES, TOUCHED = 0x7_0000_0000, 8, 4
STORE, ALLOW_RETRY = 1, 1
ANONYMOUS = Region(space=0, start=START, pages=PAGES)
SHOWN = Region(space=0, start=START, pages=PAGES, kind="file_shared", perm="rw-s", file="a file")
FAULTS = [Action(do="fault", first=page, access=STORE, flags=ALLOW_RETRY) for page in range(TOUCHED)]


def after(actions: Sequence[Action], region: Region = ANONYMOUS) -> tuple[Kernel, AddressSpace]:
    """The kernel after the first pages were stored to and these actions were done, and its address space; everything has been checked."""
    machine = GoldenMachine.of(PRESETS["small"], seed=1, strict=True)
    conditions = Conditions(preset="small")
    kernel, checker, _ = prepare(machine, conditions, 1)
    program = Program(seed=1, profile="", conditions=conditions, regions=(region,), threads=(Thread(actions=(*FAULTS, *actions)),))
    asyncio.run(Execution(kernel, program).run())
    checker.finish(machine.read64)
    assert checker.agreed, checker.first_difference
    assert not machine.violations
    return kernel, kernel.mms[0]


def entries(mm: AddressSpace) -> list[int]:
    return [mm.table.read(START + page) for page in range(PAGES)]


def test_pages_that_were_stored_to() -> None:
    _, mm = after(())
    assert [bool(entry & PTE_V) for entry in entries(mm)] == [True] * TOUCHED + [False] * (PAGES - TOUCHED)


def test_protect() -> None:
    _, mm = after([Action(do="protect", first=1, pages=2, perm="r--p")])
    assert [bool(entry & PTE_W) for entry in entries(mm)[:TOUCHED]] == [True, False, False, True]
    assert [vma.rights for vma in mm.layout.vmas] == [0b011, 0b001, 0b011]


def test_discard() -> None:
    _, mm = after([Action(do="discard", first=1, pages=2)])
    assert [bool(entry) for entry in entries(mm)[:TOUCHED]] == [True, False, False, True]
    assert len(mm.layout.vmas) == 1


def test_unmap_and_map() -> None:
    gone = Action(do="unmap", first=1, pages=2)
    _, mm = after([gone])
    assert [bool(entry) for entry in entries(mm)[:TOUCHED]] == [True, False, False, True]
    assert [(vma.start - START, vma.end - START) for vma in mm.layout.vmas] == [(0, 1), (3, PAGES)]
    _, mm = after([gone, Action(do="map", pages=PAGES)])
    assert entries(mm) == [0] * PAGES
    assert [(vma.start - START, vma.end - START) for vma in mm.layout.vmas] == [(0, PAGES)]


def test_age() -> None:
    _, mm = after([Action(do="age", pages=2)])
    assert [entry & (PTE_A | PTE_D) for entry in entries(mm)[:TOUCHED]] == [0, 0, PTE_A | PTE_D, PTE_A | PTE_D]


def test_move() -> None:
    """The first half goes to the second, whose pages go."""
    _, before = after(())
    _, mm = after([Action(do="move", first=0)])
    half = PAGES // 2
    assert entries(mm) == [0] * half + entries(before)[:half]


def test_mlock() -> None:
    _, mm = after([Action(do="mlock")])
    assert mm.layout.vmas[0].flags & VmaFlag.LOCKED
    _, mm = after([Action(do="mlock"), Action(do="mlock")])
    assert not mm.layout.vmas[0].flags & VmaFlag.LOCKED


def test_bump() -> None:
    """So many sections as the action has pages, and nothing has changed."""
    _, before = after(())
    kernel, mm = after([Action(do="bump", pages=3, pause_ns=50)])
    assert (kernel.command_counts["SEQ.BEGIN"], kernel.command_counts["SEQ.END"], kernel.command_counts["MM.LOCK"]) == (3, 3, 3)
    assert entries(mm) == entries(before)


@pytest.mark.parametrize("pages", [0, 2])
def test_invalidate(pages: int) -> None:
    kernel, _ = after([])
    more, _ = after([Action(do="invalidate", pages=pages)])
    assert more.command_counts["IOTINVAL.VMA"] == kernel.command_counts["IOTINVAL.VMA"] + 1


def test_evict_and_lock() -> None:
    kernel, mm = after([Action(do="evict", first=1), Action(do="lock", first=2)], SHOWN)
    slots = [kernel.frames.cache.slot(mm.layout.vmas[0].page(START + page)) for page in range(TOUCHED)]
    assert [bool(slot) for slot in slots] == [True, False, True, True]
    assert [bool(slot & Slot.LOCKED) for slot in slots] == [False, False, True, False]
    assert [bool(entry & PTE_V) for entry in entries(mm)[:TOUCHED]] == [True, False, True, True]


def test_fork() -> None:
    """The child makes its faults and goes; the parent's pages are shared no more, but may not be written to as they are."""
    kernel, mm = after([Action(do="fork", child=(Action(do="fault", first=0, access=STORE, flags=ALLOW_RETRY),))])
    assert list(kernel.mms) == [0]
    assert [bool(entry & PTE_W) for entry in entries(mm)[:TOUCHED]] == [False] * TOUCHED


def test_every_operation_has_a_test() -> None:
    named = " ".join(name for name in globals() if name.startswith("test_"))
    assert [name for name in OPERATIONS if name != "fault" and name not in named] == []

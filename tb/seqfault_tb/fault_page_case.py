"""Cases of faults on pages of files, on entries that map something, and without a table. [docs/software-contract.md, Frames]"""

from typing import Any

from seqfault_golden.layout import Access, Outcome, VmaFlag

from .fault_case import PAGE, RWX, SPECULATIVE, Case, aborted, software

__all__ = [
    "AROUND", "BACKING", "CHECKS", "CLEARED", "EXCLUSIVE", "FILE", "FRAME", "FRAME_READY", "PRIVATE", "READ_ONLY", "SET", "SHARED", "STAYS",
    "UFFD_WP", "WRITABLE", "A", "D", "file_case", "mapped_case", "serve", "to_software",
    "without_table",
]  # fmt: skip

W, A, D, EXCLUSIVE, UFFD_WP = 4, 0x40, 0x80, 0x100, 0x200
READ_ONLY = RWX & ~W | A
FRAME = 0x3333
"""PPN of the file's page, or of the frame that the entry maps before."""
FRAME_READY, WRITABLE = FRAME << 10 | 3, 8
"""A slot that may be mapped; its bit for stores."""
BACKING = 0x9000_0000 | 2
RIGHTS = VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC
PRIVATE, SHARED = int(RIGHTS), int(RIGHTS | VmaFlag.SHARED)
"""Flags of VMAs of files."""

FILE = "R0 R1-R6 R7 PAGE R8-R9"
CHECKS = "R10-R12 R13 R14-R15"
SET = f"{CHECKS} R16-R17 R18"
AROUND = f"{CHECKS} R16-R17 AROUND R18"
STAYS = f"{CHECKS} R16-R17 FLUSH R18"
CLEARED = f"{CHECKS} CLEAR FLUSH R17 R18"
"""What follows R9 or FILL."""


def file_case(dut: Any, flags: int = PRIVATE, slot: int | None = FRAME_READY, policy: str = "spec") -> Case:
    """An empty entry in a VMA of a file, whose slot for the page is `slot`."""
    case = Case(dut, policy)
    case.vma.flags, case.vma.backing, case.vma.pgoff = int(flags), BACKING, 5
    if slot is not None:
        case.world.slots[case.world.slot_address(case.vma, PAGE)] = slot
    return case


def mapped_case(dut: Any, entry: int, flags: int = int(RIGHTS | VmaFlag.ANON), slot: int | None = None, policy: str = "spec") -> Case:
    """The entry is there already."""
    case = file_case(dut, flags, slot, policy)
    case.world.entries[case.world.address(0, PAGE)] = entry
    return case


def without_table(dut: Any) -> Case:
    """An empty entry of anonymous memory without its table."""
    case = file_case(dut, int(RIGHTS | VmaFlag.ANON))
    case.world.missing = {case.world.upper_address(0, PAGE, 1)}
    return case


async def serve(case: Case, access: Access, expected: str, entry: int, answer: Any = SPECULATIVE) -> None:
    """The fault is resolved by these steps, and `entry` is what is there then."""
    await case.start()
    await case.fault(access, expected, answer, pa=(entry >> 10 & (1 << 44) - 1) << 12 | 0xABC)
    assert case.world.entry(case.world.address(0, PAGE)) == entry, f"{case.world.entry(case.world.address(0, PAGE)):#x}"


async def to_software(case: Case, access: Access, steps: str, reason: Outcome) -> None:
    """The attempt ends at the last of `steps` with `reason`, and software gets it; the entry is as it was."""
    before = dict(case.world.entries)
    await case.start()
    await case.fault(access, aborted(steps, reason, final=True), software(reason))
    assert case.world.entries == before

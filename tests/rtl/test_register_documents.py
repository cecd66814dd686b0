"""The C header and the Markdown made from the register description; the description's own checks."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from seqfault_rtl.register_documents import to_c_header, to_markdown
from seqfault_rtl.register_map import REGISTERS, Access, Field, Register

STANDARD = {
    "CAPABILITIES": 0x00, "FCTL": 0x08, "CQB": 0x18, "CQH": 0x20, "CQT": 0x24, "FQB": 0x28, "FQH": 0x30, "FQT": 0x34,
    "PQB": 0x38, "PQH": 0x40, "PQT": 0x44, "CQCSR": 0x48, "FQCSR": 0x4C, "PQCSR": 0x50, "IPSR": 0x54, "ICVEC": 0x2F8,
}  # fmt: skip
"""Offsets of the RISC-V IOMMU specification 1.0, chapter 5."""
CUSTOM = (range(0x2B0, 0x2F8), range(0x1000, 0x2000))
CHECKS = """
#include "seqfault_registers.h"
_Static_assert(SEQFAULT_CQCSR_CMD_ILL_MASK == 1u << 10 && SEQFAULT_CQCSR_CMD_ILL_SHIFT == 10, "cmd_ill");
_Static_assert(SEQFAULT_PQCSR_PQOF_MASK == 1u << 9, "pqof");
_Static_assert(SEQFAULT_FQCSR_FQMF_MASK == 1u << 8 && SEQFAULT_FQCSR_FQOF_MASK == 1u << 9 && SEQFAULT_IPSR_FIP_MASK == 1u << 1, "fault queue");
_Static_assert(SEQFAULT_CQB_PPN_MASK == 0xfffffffffffull << 10, "ppn");
_Static_assert(SEQFAULT_OUTCOMES(3) == 0x1218, "outcomes");
_Static_assert(SEQFAULT_SCB == 0x1300 && SEQFAULT_SCH == 0x1308 && SEQFAULT_SCT == 0x130c && SEQFAULT_SCCSR == 0x1310, "completion ring");
_Static_assert(SEQFAULT_SCCSR_REFUSED_MASK == 1u << 10 && SEQFAULT_IPSR_SCIP_MASK == 1u << 10 && SEQFAULT_SRCU_REFUSED == 0x1020, "SRCU");
unsigned offsets[] = {SEQFAULT_CAPABILITIES, SEQFAULT_RFCSR, SEQFAULT_ANSWERS(SEQFAULT_ANSWERS_COUNT - 1)};
"""


def compiles(source: str, header: str, folder: Path) -> bool:
    compiler = shutil.which("cc")
    assert compiler, "no C compiler"
    (folder / "seqfault_registers.h").write_text(header)
    (folder / "check.c").write_text(source)
    command = [compiler, "-std=c11", "-Wall", "-Wextra", "-pedantic-errors", "-fsyntax-only", str(folder / "check.c")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return result.returncode == 0


def test_header_compiles(tmp_path: Path) -> None:
    assert compiles(CHECKS, to_c_header(), tmp_path)


def test_wrong_header_does_not(tmp_path: Path) -> None:
    assert not compiles(CHECKS, to_c_header().replace("MASK 0x400u", "MASK 0x800u"), tmp_path)


def test_standard_offsets() -> None:
    header = to_c_header()
    offsets = {name: int(value, 16) for name, value in re.findall(r"#define SEQFAULT_(\w+) 0x([0-9a-f]{4})u$", header, re.MULTILINE)}
    assert STANDARD.items() <= offsets.items()
    for name, offset in offsets.items():
        assert name in STANDARD or any(offset in area for area in CUSTOM), f"{name} at {offset:#x} is not in a custom range"


def test_markdown_is_complete() -> None:
    text = to_markdown()
    for register in REGISTERS:
        section = text.split(f"\n## {register.name}\n")[1].split("\n## ")[0]
        assert section.count("\n| ") == len(register.fields) + 1
        for field in register.fields:
            assert f" {field.name} | {field.access.value} | {field.reset:#x} |" in section


@pytest.mark.parametrize(
    ("offset", "width", "fields", "message"),
    [
        (4, 64, (), "aligned"),
        (0, 16, (), "32 or 64"),
        (0, 32, (Field(name="a", low=0, width=4), Field(name="b", low=3)), "overlaps"),
        (0, 32, (Field(name="a", low=30, width=4),), "fit"),
    ],
)
def test_bad_register_is_refused(offset: int, width: int, fields: tuple[Field, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Register(name="bad", offset=offset, width=width, fields=fields, doc="")


def test_bad_reset_is_refused() -> None:
    with pytest.raises(ValueError, match="reset"):
        Field(name="bad", low=0, width=2, access=Access.RO, reset=4)


def test_overlapping_registers_are_refused() -> None:
    pair = tuple(Register(name=name, offset=offset, width=64, fields=(), doc="") for name, offset in (("a", 0), ("b", 0)))
    for document in (to_c_header, to_markdown):
        with pytest.raises(ValueError, match="overlaps"):
            document(pair)

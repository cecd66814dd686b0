"""The register description as a C header and as Markdown."""

from collections.abc import Iterable

from .register_map import REGISTERS, Register

__all__ = ["to_c_header", "to_markdown"]

PREFIX = "SEQFAULT"


def _check(registers: Iterable[Register]) -> None:
    """Registers ascend and do not overlap."""
    free = 0
    for register in registers:
        if register.offset < free:
            raise ValueError(f"{register.name} at {register.offset:#x} overlaps the register before it")
        free = register.offset + register.width // 8 * register.count


def to_c_header(registers: Iterable[Register] = REGISTERS) -> str:
    """Offsets (bytes), shifts and masks as macros; array registers as macros of the index.

    Raises
    ------
    ValueError : registers overlap.
    """
    registers = tuple(registers)
    _check(registers)
    lines = [
        "/* Registers of the seqfault engine. Made from the register description; do not edit. */",
        f"#ifndef {PREFIX}_REGISTERS_H",
        f"#define {PREFIX}_REGISTERS_H",
    ]
    for register in registers:
        name = f"{PREFIX}_{register.name.upper()}"
        suffix = "ull" if register.width == 64 else "u"
        lines += ["", f"/* {register.width} bits. {register.doc} */"]
        if register.count == 1:
            lines.append(f"#define {name} 0x{register.offset:04x}u")
        else:
            lines.append(f"#define {name}_COUNT {register.count}u")
            lines.append(f"#define {name}(i) (0x{register.offset:04x}u + {register.width // 8}u * (i))")
        for field in register.fields:
            mask = (1 << field.width) - 1 << field.low
            lines.append(f"#define {name}_{field.name.upper()}_SHIFT {field.low}")
            lines.append(f"#define {name}_{field.name.upper()}_MASK 0x{mask:x}{suffix} /* {field.access.value}. {field.doc} */")
    return "\n".join([*lines, "", f"#endif /* {PREFIX}_REGISTERS_H */", ""])


def to_markdown(registers: Iterable[Register] = REGISTERS) -> str:
    """A table of the registers and one of the fields of each.

    Raises
    ------
    ValueError : registers overlap.
    """
    registers = tuple(registers)
    _check(registers)
    lines = ["# Registers", "", "Made from the register description; do not edit. Offsets in bytes. Offsets not listed read 0.", ""]
    lines += ["| offset | register | bits | what |", "|---|---|---|---|"]
    for register in registers:
        name = register.name if register.count == 1 else f"{register.name}[{register.count}]"
        lines.append(f"| 0x{register.offset:04x} | [{name}](#{register.name}) | {register.width} | {register.doc} |")
    for register in registers:
        lines += ["", f"## {register.name}", "", register.doc, "", "| bits | field | access | reset | what |", "|---|---|---|---|---|"]
        for field in register.fields:
            high = field.low + field.width - 1
            bits = f"{field.low}" if field.width == 1 else f"{high}:{field.low}"
            lines.append(f"| {bits} | {field.name} | {field.access.value} | {field.reset:#x} | {field.doc} |")
    return "\n".join([*lines, ""])

"""A counter-example for a person: the signals of the specification, cycle by cycle, read from the VCD that yosys-smtbmc wrote."""

from pathlib import Path

from vcd.reader import TokenKind, tokenize

from seqfault_tb.formal.spec import LEMMA, PROMISE

__all__ = ["broken_promises", "readable_trace"]

TOP = ("top",)
CYCLE_UNITS = 10
"""yosys-smtbmc writes a step every 10 time units."""
LEFT_OUT = ("/", "$", "clk", "smt_")
"""Beginnings of names that say nothing: Yosys' own."""
WIDE = 8
"""Wider signals are shown in hexadecimal."""


def _values(waves: Path) -> list[dict[str, str]]:
    """Per cycle, the value of each signal of the specification, as bits."""
    names: dict[str, str] = {}
    cycles: list[dict[str, str]] = []
    scope: list[str] = []
    with waves.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.SCOPE:
                scope.append(token.scope.ident)
            elif token.kind is TokenKind.UPSCOPE:
                scope.pop()
            elif token.kind is TokenKind.VAR and tuple(scope) == TOP and not token.var.reference.startswith(LEFT_OUT):
                names[token.var.id_code] = token.var.reference
            elif token.kind is TokenKind.CHANGE_TIME and token.time_change % CYCLE_UNITS == 0:
                cycles.append(dict(cycles[-1]) if cycles else {})
            elif token.kind is TokenKind.CHANGE_VECTOR and token.vector_change.id_code in names:
                change = token.vector_change
                cycles[-1][names[change.id_code]] = change.value if isinstance(change.value, str) else f"{change.value:b}"
    return cycles[:-1] if len(cycles) > 1 and cycles[-1] == cycles[-2] else cycles


def broken_promises(waves: Path) -> tuple[str, ...]:
    """The promises and lemmas that do not hold in the last cycle."""
    last = _values(waves)[-1]
    return tuple(name.removeprefix(PROMISE) for name, bits in sorted(last.items()) if name.startswith((PROMISE, LEMMA)) and "1" not in bits)


def readable_trace(waves: Path) -> str:
    """One line per signal that is ever not 0 and changes, or is a constant of the counter-example; one column per cycle."""
    cycles = _values(waves)
    rows = []
    for name in sorted(cycles[0]):
        if name.startswith((PROMISE, LEMMA)):
            continue
        values = [_shown(cycle[name]) for cycle in cycles]
        if any(value not in ("0", "0x0") for value in values):
            rows.append([name, *(value if index == 0 or value != values[index - 1] else "." for index, value in enumerate(values))])
    rows.insert(0, ["cycle", *(str(number) for number in range(len(cycles)))])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _shown(bits: str) -> str:
    number = int(bits.replace("x", "0").replace("z", "0"), 2)
    return f"{number:#x}" if len(bits) > WIDE else str(number)

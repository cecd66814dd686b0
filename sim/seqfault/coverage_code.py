"""The report of line and toggle coverage of the RTL: percent by source file, holes by line and by signal, worst files first."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import seqfault_rtl

from .coverage_rtl import RtlCounts

__all__ = ["EXCLUDED_BITS", "EXCLUDED_LINES", "ExcludedBits", "code_summary"]


@dataclass(frozen=True)
class ExcludedBits:
    """Bits from `first` on of the signals whose "file.py name" matches do not count: why."""

    pattern: str
    first: int
    reason: str

    def mask(self, name: str, width: int) -> int:
        """The bits of this signal."""
        return (1 << width) - (1 << min(self.first, width)) if re.search(self.pattern, name) else 0


EXCLUDED_BITS: tuple[ExcludedBits, ...] = (
    ExcludedBits(r"(addr|address|table|root|pointer|base|record|slot)$", 36, "the harness has memory below 2^36 only"),
    ExcludedBits(r"\bppn$|\.ppn$|_ppn$|frame$", 24, "the harness has memory below 2^36 only"),
    ExcludedBits(
        r"pte$|entry$|word$|\.data$|^.* data$", 34, "page-table entries and pointers of memory below 2^36; bits above are reserved or software's"
    ),
    ExcludedBits(r"(\.|_| )id$", 12, "programs have fewer VMAs at a time"),
    ExcludedBits(r"seq(uence)?$|generation$", 12, "a program opens fewer sections of one VMA"),
    ExcludedBits(r"counter|faults_done|cycles|count$", 12, "counters of a short run"),
)
"""What a regression's memory and programs cannot reach."""
EXCLUDED_LINES: dict[str, str] = {
    "srcu.py": "SRCU.CALL has programs of its own: tests/rtl/test_srcu.py, tests/rtl/test_engine_srcu.py",
    "fault_queue.py": "the testbench kernel leaves the fault queue off: tests/rtl/test_fault_queue.py, tests/rtl/test_engine_faults.py",
    "fault_reports.py": "the testbench kernel leaves the fault queue off: tests/rtl/test_fault_reports.py, tests/rtl/test_engine_faults.py",
}
"""Lines (of a file "file.py", or one of them, "file.py:line") that need not run, and why; they count if they do."""


def code_summary(counts: RtlCounts, *, bits: Iterable[ExcludedBits] = EXCLUDED_BITS, lines: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """For each source file, the worst first.

    file; lines that stand under a condition, hit, percent; holes: [{"line", "text"}] that never ran; one_sided: lines of a choice (Mux) of which one
    operand was never taken; bits of named signals, toggled (both up and down), toggle_percent; still: [{"signal", "bits"}] that did not;
    excluded: {reason: lines and bits that do not count}.
    """
    left_out, given = EXCLUDED_LINES if lines is None else lines, tuple(bits)
    files: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"lines": 0, "hit": 0, "holes": [], "one_sided": [], "bits": 0, "toggled": 0, "still": [], "excluded": defaultdict(int)}
    )
    for place, count in counts.statements.items():
        file, line = _split(place)
        reason = left_out.get(place) or left_out.get(file)
        if reason and not count:
            files[file]["excluded"][reason] += 1
            continue
        files[file]["lines"] += 1
        files[file]["hit"] += bool(count)
        if not count:
            files[file]["holes"].append({"line": line, "text": _text(file, line)})
    for place, taken in counts.choices.items():
        file, line = _split(place)
        if not all(taken):
            files[file]["one_sided"].append({"line": line, "text": _text(file, line)})
    for name, (width, rose, fell) in counts.toggles.items():
        _signal(files[name.partition(" ")[0]], name, width, rose & fell, given)
    rows = [_row(file, found) for file, found in files.items()]
    return sorted(rows, key=lambda row: (row["percent"], row["toggle_percent"], row["file"]))


def _signal(found: dict[str, Any], name: str, width: int, toggled: int, given: tuple[ExcludedBits, ...]) -> None:
    everything = (1 << width) - 1
    missing = everything & ~toggled
    for excluded in given:
        if without := missing & excluded.mask(name, width):
            found["excluded"][excluded.reason] += without.bit_count()
            missing &= ~without
            everything &= ~without
    found["bits"] += everything.bit_count()
    found["toggled"] += (everything & toggled).bit_count()
    if missing:
        found["still"].append({"signal": name.partition(" ")[2], "bits": _ranges(missing)})


def _row(file: str, found: dict[str, Any]) -> dict[str, Any]:
    for name in ("holes", "one_sided"):
        found[name].sort(key=lambda hole: hole["line"])
    found["still"].sort(key=lambda one: one["signal"])
    return {
        "file": file, **found, "percent": _percent(found["hit"], found["lines"]), "toggle_percent": _percent(found["toggled"], found["bits"]),
        "excluded": dict(found["excluded"]),
    }  # fmt: skip


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 100.0


def _split(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return file, int(line)


def _ranges(mask: int) -> str:
    """ "63:36, 3"."""
    ranges, bit = [], mask.bit_length() - 1
    while bit >= 0:
        if mask >> bit & 1:
            top = bit
            while bit > 0 and mask >> bit - 1 & 1:
                bit -= 1
            ranges.append(f"{top}:{bit}" if top > bit else str(bit))
        bit -= 1
    return ", ".join(ranges)


@cache
def _source(file: str) -> list[str]:
    path = Path(seqfault_rtl.__file__).parent / file
    return path.read_text().splitlines() if path.exists() else []


def _text(file: str, line: int) -> str:
    """The line of the source; "" if it is not there (of another version)."""
    source = _source(file)
    return source[line - 1].strip() if 0 < line <= len(source) else ""

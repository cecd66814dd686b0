"""What Spin is to say of each model in this directory, with and without each safeguard [protocol.md 0.5, 3]: one table.

Nothing here is measured: `expected` and `finding` are the specification's words (of NO_C2 and mprotect's NO_C1: docs/protocol.md's), which
test_spin.py compares with Spin's answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    VIOLATION = "violation"
    DEADLOCK = "deadlock"


USE_AFTER_FREE = "use after free"
LEAKED_PTE = "leaked pte"
LOST_FRAME = "frames not conserved"
WRITABLE = "writable pte in read-only VMA"
INCOHERENT = "incoherent flag/prot pair"

INVARIANTS = {
    "vma_alive": USE_AFTER_FREE,
    "pmd_page_alive": USE_AFTER_FREE,
    "leaf_alive": USE_AFTER_FREE,
    "!(freed[object])": USE_AFTER_FREE,
    "!(pte)": LEAKED_PTE,
    "(free_frames==4)": LOST_FRAME,
    "(free_frames>0)": LOST_FRAME,
    "!(((pte>>1)&1))": WRITABLE,
    "(my_flags==my_prot)": INCOHERENT,
    "((pte==0)||(((pte>>2)&1)==prot))": INCOHERENT,
}
"""The models' assertions as Spin prints them, without spaces."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One search. `define` is the preprocessor name that takes `safeguard` (in words) away, None for the whole protocol.

    `finding` are broken invariants that a violation must show; it may show others too."""

    model: str
    define: str | None
    safeguard: str
    expected: Verdict
    finding: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"{self.model}-{self.define or 'whole'}"


TABLE: dict[str, list[tuple[str | None, str, Verdict, *tuple[str, ...]]]] = {
    "munmap": [
        (None, "none", Verdict.OK),
        ("NO_C1", "C1: linked and sequence, with the walker pinned", Verdict.VIOLATION, USE_AFTER_FREE),
        ("NO_C2", "C2: the pmd entry, with the walker pinned", Verdict.OK),
        ("NO_C3", "C3: linked and sequence, under the lock", Verdict.VIOLATION, USE_AFTER_FREE, LEAKED_PTE),
        ("NO_PIN", "the walker's pin from R10 to R15", Verdict.VIOLATION, USE_AFTER_FREE),
        ("NO_R8", "the early look at the sequence", Verdict.OK),
        ("NO_UNDO", "undo at abort", Verdict.VIOLATION, LOST_FRAME),
        ("FREE_WITHOUT_WAIT", "the wait for pinned walkers before tables are freed", Verdict.VIOLATION, USE_AFTER_FREE),
        ("UNLINK_AFTER_ZAP", "unlink before zap", Verdict.VIOLATION, USE_AFTER_FREE),
        ("ZAP_WITHOUT_PTL", "the page table lock around the zap", Verdict.VIOLATION, USE_AFTER_FREE),
    ],
    "mprotect": [
        (None, "none", Verdict.OK),
        ("NO_C1", "C1: sequence, with the walker pinned", Verdict.OK),
        ("NO_C3", "C3: sequence, under the lock", Verdict.VIOLATION, WRITABLE),
        ("NO_R8", "the early look at the sequence", Verdict.OK),
        ("REREAD_AT_COMMIT", "commit from the snapshot", Verdict.VIOLATION, INCOHERENT),
        ("ACCEPT_ODD", "R2 refuses an odd sequence", Verdict.VIOLATION, INCOHERENT),
        ("NO_BUMP", "the writer's sequence section", Verdict.VIOLATION, WRITABLE, INCOHERENT),
    ],
    "munmap_ipi": [
        (None, "none", Verdict.OK),
        ("BLOCKING_LOCK", "trylock with the walker pinned", Verdict.DEADLOCK),
    ],
    "srcu": [
        (None, "none", Verdict.OK),
        ("NO_FIRST_SCAN", "the scan before the flip", Verdict.VIOLATION, USE_AFTER_FREE),
        ("NO_SECOND_SCAN", "the scan after the flip", Verdict.VIOLATION, USE_AFTER_FREE),
        ("LOCKS_FIRST", "unlocks are summed before locks", Verdict.VIOLATION, USE_AFTER_FREE),
    ],
}


def _rows() -> Iterator[Row]:
    for model, lines in TABLE.items():
        for define, safeguard, expected, *finding in lines:
            yield Row(model=model, define=define, safeguard=safeguard, expected=expected, finding=frozenset(finding))


ROWS = tuple(_rows())

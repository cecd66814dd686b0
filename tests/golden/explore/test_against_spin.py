"""Our explorer and Spin, which has models of its own (tests/golden/promela), come to the same verdicts."""

import pytest

from seqfault_golden.explore import find_case

from ..promela.verdicts import ROWS

OURS = {
    ("munmap", None): ("munmap", None),
    ("munmap", "NO_C1"): ("munmap", "c1"),
    ("munmap", "NO_C2"): ("munmap", "c2"),
    ("munmap", "NO_C3"): ("munmap", "c3"),
    ("munmap", "NO_PIN"): ("munmap", "walker-pin"),
    ("munmap", "NO_R8"): ("munmap", "early-recheck"),
    ("munmap", "NO_UNDO"): ("munmap", "undo"),
    ("munmap", "FREE_WITHOUT_WAIT"): ("munmap", "wait-for-walkers"),
    ("munmap", "UNLINK_AFTER_ZAP"): ("munmap", "unlink-first"),
    ("munmap", "ZAP_WITHOUT_PTL"): ("munmap", "zap-lock"),
    ("mprotect", None): ("mprotect", None),
    ("mprotect", "NO_C1"): ("mprotect", "c1"),
    ("mprotect", "NO_C3"): ("mprotect", "c3"),
    ("mprotect", "NO_R8"): ("mprotect", "early-recheck"),
    ("mprotect", "REREAD_AT_COMMIT"): ("mprotect", "snapshot"),
    ("mprotect", "ACCEPT_ODD"): ("mprotect", "even-sequence"),
    ("mprotect", "NO_BUMP"): ("mprotect", "sequence"),
    ("munmap_ipi", None): ("munmap-ipi", None),
    ("munmap_ipi", "BLOCKING_LOCK"): ("munmap-ipi", "trylock"),
    ("srcu", None): ("srcu", None),
    ("srcu", "NO_FIRST_SCAN"): ("srcu", "srcu-first-scan"),
    ("srcu", "NO_SECOND_SCAN"): ("srcu", "srcu-second-scan"),
    ("srcu", "LOCKS_FIRST"): ("srcu", "srcu-unlocks-first"),
}
"""(Promela model, preprocessor name) to (scenario, removed safeguard)."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_same_verdict_as_spin(row):
    case = find_case(*OURS[row.model, row.define])
    assert case.expected == row.expected  # test_catalogue.py explores it

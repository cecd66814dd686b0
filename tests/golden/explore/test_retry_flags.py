"""The table of retry flags. [protocol.md 4.1, 4.4]"""

import pytest

from seqfault_golden import Safeguard
from seqfault_golden.protocol.retry_steps import FaultFlag, Waiting, next_try, userfault

FIRST, LATER = FaultFlag.ALLOW_RETRY, FaultFlag.ALLOW_RETRY | FaultFlag.TRIED


@pytest.mark.parametrize(
    ("flags", "waiting"),
    [
        (FIRST, Waiting.RELEASED),
        (LATER, Waiting.RELEASED),
        (FIRST | FaultFlag.RETRY_NOWAIT, Waiting.NOT_WAITED),
        (FaultFlag(0), Waiting.REFUSED),
        (FaultFlag.RETRY_NOWAIT, Waiting.REFUSED),
        (FaultFlag.TRIED, Waiting.REFUSED),
    ],
)
def test_userfault(flags, waiting):
    assert userfault(flags, frozenset()) == waiting


def test_a_fault_may_be_tried_for_ever():
    assert next_try(FIRST, frozenset()) == next_try(LATER, frozenset()) == LATER


def test_before_5_7_it_was_tried_twice():
    old = frozenset((Safeguard.KEEP_ALLOW_RETRY,))
    assert userfault(next_try(FIRST, old), old) == Waiting.REFUSED

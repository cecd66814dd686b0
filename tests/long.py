"""What is run by `make test-long` only: more planted bugs of blocks whose tests were seen to find some in the short form."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

__all__ = ["LONG", "in_short"]

LONG = pytest.mark.long


def in_short(count: int, cases: Iterable[Any]) -> list[Any]:
    """The parameters of a test; the first `count` of them are run always, the others are long."""
    rows = [case if isinstance(case, Sequence) and not isinstance(case, str) else (case,) for case in cases]
    return [pytest.param(*row, marks=[] if index < count else [LONG]) for index, row in enumerate(rows)]

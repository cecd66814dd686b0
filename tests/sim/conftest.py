"""A run's result as `run_trace` returns it, for the tests of what is made from it."""

from collections.abc import Callable
from typing import Any

import pytest


def make_run_result(**changes: Any) -> dict[str, Any]:
    """A run in which every check held, with some keys replaced."""
    return {
        "trace": "sqlite-mmap", "policy": "spec", "preset": "small", "events": 2800, "cycles": 1_234_567, "wall_s": 12.34,
        "faults": {"total": 2546, "speculative": 1570, "retried": 10, "classic": 3, "software": 960, "refused": 3},
        "aborts": {"CHANGED_C1": 12, "PTL_BUSY": 3, "UNSUPPORTED": 840}, "commands": {"SEQ.BEGIN": 156, "ZAP": 12},
        "latency_cycles": {"p50": 612, "p99": 2345, "p999": 5678, "max": 12345},
        "linux_ns": {"p50": 1624, "p99": 9427, "p999": 23456},
        "golden": {"steps_checked": 23456, "agreed": True, "first_difference": None},
        "by_kind": {
            "anon": {"speculative": 505, "retried": 10}, "heap": {"speculative": 1065, "classic": 3}, "file_shared": {"software": 960},
            "none": {"refused": 3},
        },
        "latency_by_outcome": {
            "speculative": {"count": 1570, "p50": 600, "p99": 900, "p999": 1200, "max": 1300},
            "software": {"count": 960, "p50": 1600, "p99": 2900, "p999": 4200, "max": 12345},
        },
        "clock_mhz": 250.0, "cycles_per_s": 100_042, "faults_per_s": 206.3, "mismatched": 0, "threads": 1, "processes": 2,
        "address_spaces": 1, "reconciled": {"mapped": 30, "unmapped": 2},
        **changes,
    }  # fmt: skip


@pytest.fixture
def run_result() -> Callable[..., dict[str, Any]]:
    """Makes the result of a run; keywords replace its keys."""
    return make_run_result

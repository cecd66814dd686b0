"""The test plan of the protocol: what is to be shown, by which cover points one sees that it was tried, and where it is tested besides."""

from dataclasses import dataclass

__all__ = ["TEST_PLAN", "TestPoint"]


@dataclass(frozen=True, kw_only=True)
class TestPoint:
    """A row: `points` are cover points by name, `tests` files."""

    __test__ = False  # no test of pytest

    name: str
    points: tuple[str, ...]
    tests: tuple[str, ...]


def _row(name: str, points: tuple[str, ...], *tests: str) -> TestPoint:
    return TestPoint(name=name, points=points, tests=tests)


TEST_PLAN: tuple[TestPoint, ...] = (
    _row(
        "every event that the contract has is told, and allowed when it is",
        ("step",),
        "tests/rtl/test_fault_unit.py",
        "tests/rtl/test_command_unit.py",
        "tests/tb/test_reasons.py",
    ),
    _row(
        "faults of every kind are served right: for every access, request, mode and policy",
        ("kind", "kind by access", "kind by flags", "kind by how", "kind by mode", "kind by policy", "policy"),
        "tests/tb/test_kernel_files.py",
        "tests/sim/test_bench_faults.py",
        "tests/sim/test_replay.py",
    ),
    _row(
        "a frame is copied or zeroed before it is seen; a fault makes the tables it needs; neighbours are mapped with it",
        ("fill", "tables", "around"),
        "tests/rtl/test_mover.py",
        "tests/rtl/test_fault_around.py",
        "tests/golden/test_early_entries.py",
    ),
    _row(
        "every check at every step ends the attempt, whatever the fault is about, and undoes it",
        ("abort", "abort by kind", "abort by attempt"),
        "tests/rtl/test_fault_unit.py",
        "tests/tb/test_planted.py",
        "tests/tb/test_reasons.py",
    ),
    _row(
        "what follows an abort: another attempt, the mm lock, software, refusal",
        ("first abort by how", "last attempt", "flags by how"),
        "tests/rtl/test_fault_unit.py",
        "tests/tb/test_kernel_duties.py",
    ),
    _row("a busy PTE lock is waited for, and the checks are made anew", ("after a wait",), "tests/rtl/test_fault_unit.py"),
    _row(
        "requests of every kind are answered as the contract says",
        ("request", "tried", "answer", "answer by flags", "answer by access", "reason by status"),
        "tests/rtl/test_engine.py",
        "tests/rtl/test_engine_faults.py",
    ),
    _row("A and D are set by hardware", ("update",), "tests/rtl/test_ad_update.py", "tests/golden/test_ad_steps.py"),
    _row(
        "each step of a change of the address space meets faults that are between any two of their steps",
        ("command meets fault", "command by load"),
        "tests/tb/test_planted.py",
        "tests/golden/test_linearizable.py",
    ),
    _row(
        "spaces have tables of every mode, with and without features",
        ("mode", "features"),
        "tests/sim/test_walk.py",
        "tests/golden/test_translate.py",
    ),
    _row("TLBs forget pages, ranges and spaces", ("invalidation",), "tests/rtl/test_translator.py", "tests/rtl/test_tlb.py"),
    _row(
        "software gets page requests and answers them",
        ("page request", "response"),
        "tests/rtl/test_page_request_queue.py",
        "tests/rtl/test_engine_srcu.py",
    ),
    _row(
        "queues and rings are full, empty, and wrap around; all contexts are busy",
        ("queue", "busy"),
        "tests/rtl/test_engine_errors.py",
        "tests/rtl/test_frame_pool.py",
        "tests/rtl/test_record_ring.py",
    ),
)

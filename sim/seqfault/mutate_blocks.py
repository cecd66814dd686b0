"""The second judge: a survivor is tried on the own tests of its block, which are exact to the cycle.

`python -m seqfault.mutate_blocks FILE` is a process of its own: it imports some modules of the RTL with their mutants, builds once what
the tests build, and runs the tests for each mutant.
FILE is JSON: {"modules": [...], "only": [...], "key": str, "numbers": [...], "folder": path, "tests": [...], "tested": str, "until": float,
"verdicts": path}; "tested" is the key of the tests.
"""

import contextlib
import importlib.util
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from amaranth.hdl import Instance

from seqfault_tb.mutants import runtime
from seqfault_tb.mutants.hook import PACKAGE, install
from seqfault_tb.mutants.sharing import share_expressions

__all__ = ["TESTS", "main"]

CHOICE = "seqfault_mutant_choice"
VARIABLE = "SEQFAULT_MUTANT"
CHOICE_VERILOG = f"""
module {CHOICE} (output reg [{runtime.ACTIVE_BITS - 1}:0] number);
  initial number = $c16("(getenv(\\"{VARIABLE}\\") ? atoi(getenv(\\"{VARIABLE}\\")) : 0)");
endmodule
"""
_STATE = ("test_state_blocks.py::test_state_blocks",)
_FAULT = tuple(
    f"test_fault_unit.py::test_fault_unit[seqfault_tb.test_fault_unit{name}]" for name in ("", "_retries", "_flags", "_pages", "_writes")
)  # all but the long ones
_COMMAND = ("test_command_unit.py::test_command_unit",)
_QUEUE = ("test_fault_queue.py::test_fault_queue",)
TESTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("sequence_table", "pte_locks", "mm_locks", "step_slot", "fault_tracking", "context_schedule"), _STATE),
    "walk_stale": ("test_walker.py::test_walker[default]", *_STATE),
    **dict.fromkeys(
        ("fault_steps", "fault_lookup", "fault_commit", "fault_exit", "fault_pages", "fault_context", "fault_state", "fault_streams", "fault_unit",
         "page_changes"), _FAULT,
    ),
    **dict.fromkeys(("command_decode", "command_fence", "command_fetch", "command_step", "command_unit", "entry_chunk", "entry_sweep"), _COMMAND),
    **dict.fromkeys(("vma_lookup", "vma_cache", "vma_finder", "vma_tree"), ("test_vma_finder.py::test_vma_finder",)),
    **dict.fromkeys(("ad_update", "locked_update", "memory_updater"), ("test_ad_update.py::test_ad_update",)),
    **dict.fromkeys(("fault_queue", "fault_records", "record_writer"), _QUEUE),
    "page_request_queue": ("test_page_request_queue.py::test_page_request_queue",),
    "record_ring": ("test_record_ring.py::test_record_ring",),
    "srcu": ("test_srcu.py::test_srcu", "test_srcu.py::test_smallest"),
    **{name: (f"test_{name}.py::test_{name}",) for name in ("frame_pool", "fault_around", "fault_reports", "page_lookup")},
}  # fmt: skip
"""Tests in `tests/rtl` that judge a module."""


def main(job: dict[str, Any]) -> None:
    """A line of `verdicts` for each mutant: `mutant` and `tested`, and if the tests killed it what changes in the verdict of the programs."""
    share_expressions()
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    install(Path(spec.origin).parent, job["modules"], only=job["only"])
    from .mutate_model import check_key

    check_key(job)
    _check_tests(job)
    _build_once()
    tests = [f"{job['folder']}/{name}" for name in job["tests"]]
    if not _passes(0, tests):
        raise SystemExit(f"{', '.join(tests)} failed without a mutant")
    with Path(job["verdicts"]).open("a") as verdicts:
        for number in job["numbers"]:
            if time.time() > job["until"]:
                return
            verdict: dict[str, Any] = {"mutant": number, "tested": job["tested"]}
            if not _passes(number, tests):
                verdict |= {"killed": True, "outcome": "test", "by": job["tests"], "message": "a test failed"}
            _check_tests(job)
            verdicts.write(json.dumps(verdict) + "\n")
            verdicts.flush()


def _check_tests(job: dict[str, Any]) -> None:
    """Raises `SystemExit` if the tests are not those that the job's `tested` stands for."""
    from .mutate_verdicts import key_of_tests

    if key_of_tests(Path(job["folder"])) != job["tested"]:
        raise SystemExit("the tests were changed while they judged mutants")


def _build_once() -> None:
    """What `run_block` builds has all mutants, and is built at its first call only: the n-th call of each run is for the same component."""
    from . import simulator

    original, folders = simulator.build_model, {}

    def component_verilog(component: Any, *, name: str) -> str:
        if _Run.number:
            return ""
        from .verilog_text import component_verilog as convert

        inner = component.elaborate

        def elaborate(platform: object) -> Any:
            m = inner(platform)
            m.submodules += Instance(CHOICE, ("o", "number", runtime.ACTIVE))
            return m

        component.elaborate = elaborate
        return convert(component, name=name) + CHOICE_VERILOG

    def build_model(model: Any) -> Path:
        _Run.builds += 1
        if _Run.number == 0:
            folders[_Run.builds] = original(model)
        return folders[_Run.builds]

    simulator.component_verilog, simulator.build_model = component_verilog, build_model  # type: ignore[assignment]


class _Run:
    number = 0
    builds = 0


def _passes(number: int, tests: list[str]) -> bool:
    import pytest

    _Run.number, _Run.builds = number, 0
    os.environ[VARIABLE] = str(number)
    with contextlib.redirect_stdout(io.StringIO()) as text:
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
    if number == 0 and status:
        print(text.getvalue(), file=sys.stderr)
    return status == 0


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))

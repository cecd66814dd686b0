"""`seqfault run --engine golden`: the replay on the functional engine of the golden model, in this process, without a simulator."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from seqfault_golden import NotAllowed
from seqfault_rtl.config import EngineConfig
from seqfault_tb.checked import checked_kernel
from seqfault_tb.errors import HangError
from seqfault_tb.golden_machine import GoldenMachine

from .errors import CheckFailed
from .replay import replay
from .replay_report import replay_report
from .trace import Trace

__all__ = ["replay_golden"]


def replay_golden(trace: Trace, config: EngineConfig, job: Mapping[str, Any], progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Replay and check; returns the report of the run. `job`: the options of the run, of which policy, seed and clock matter here.

    Raises `CheckFailed` when nothing can go on, or when the engine is about to break the protocol.
    """
    machine = GoldenMachine.of(config, seed=job["seed"])
    kernel, checker, aborts = checked_kernel(machine, config, job["policy"])
    began = time.perf_counter()
    try:
        result = asyncio.run(replay(trace, kernel, machine, clock_mhz=job["clock_mhz"], on_progress=progress))
    except HangError as error:
        raise CheckFailed(f"hang: {_first(error, checker.first_difference)}") from error
    except NotAllowed as error:
        raise CheckFailed(f"the golden engine breaks the protocol: {_first(error, checker.first_difference)}") from error
    seconds = time.perf_counter() - began
    checker.finish(machine.read64)
    return replay_report(trace, result, checker, aborts, job, seconds=seconds)


def _first(error: Exception, difference: str | None) -> str:
    """A difference that the checker saw before is the cause."""
    return str(error) if difference is None else f"{difference.splitlines()[0]}; then: {error}"

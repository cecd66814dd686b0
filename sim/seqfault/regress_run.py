"""What the simulations of a regression have in common, whatever they run: the engine they are of, and the result of one that died."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqfault_tb.machine import CLOCK_NS
from seqfault_tb.regression.golden_view import BEFORE_SINCE

from .engine_model import build_engine, build_planted
from .errors import SeqfaultError
from .job import failed
from .settings import configuration
from .simulator import SimulationFailed

__all__ = ["build_for", "failed_result", "record_from"]

NUMBERS = ("ended", "cycles", "steps", "faults", "interleavings", "interleaved", "failed_reads", "seconds")
COUNTERS = ("counts", "aborts", "commands")


def build_for(preset: str, settings: Mapping[str, str], *, planted: bool, waves: Path | None = None, code: bool = False) -> Path:
    """The simulation's folder; `planted` : of the engine with bugs that can be switched on, `waves` : a file that it will record, `code` : one that
    counts lines and toggles.

    Raises `UsageError`, `CheckFailed` (it does not build).
    """
    build = build_planted if planted else build_engine
    try:
        return build(configuration(preset, settings), trace=None if waves is None else waves.suffix.removeprefix("."), coverage=code)
    except SimulationFailed as error:
        raise failed(error) from error


def record_from(since: int) -> int:
    """When a waveform begins that is to show the cycle `since` and all after it, in ps: early, as a cycle's number says only roughly when it is."""
    return max(0, since - BEFORE_SINCE) * CLOCK_NS * 1000


def failed_result(origin: Mapping[str, Any], error: SeqfaultError) -> dict[str, Any]:
    """The result of a case whose simulation died before it had one; `origin` : what is known of the case, by the keys of a result."""
    message = f"{error}\n{error.details}".rstrip()
    return {**dict.fromkeys(NUMBERS, 0), **{name: {} for name in COUNTERS}, **origin, "outcome": "failed", "message": message}

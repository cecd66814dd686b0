"""The command `seqfault walk`. Imports what it needs when it runs, like the others."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import json_output, report
from .errors import CheckFailed, UsageError
from .wave_output import check_wave_name, wave_output

__all__ = ["walk"]


class WalkEngine(StrEnum):
    """Who translates."""

    RTL = "rtl"
    GOLDEN = "golden"


def walk(
    vectors: Annotated[str, typer.Argument(metavar="VECTORS", help="An .npz file, or the name of a set that comes with seqfault: sv32, sv39, ...")],
    engine: Annotated[WalkEngine, typer.Option("--engine", help="Who translates: the RTL, simulated, or the golden model.")] = WalkEngine.RTL,
    preset: Annotated[str, typer.Option("--preset", help="Named parameters of the RTL.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one parameter; may be repeated.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 1,
    latency: Annotated[int, typer.Option("--latency", min=1, max=100_000, metavar="CYCLES", help="Read latency of memory.")] = 50,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N vectors.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not use the result of an earlier run.")] = False,
    waves: Annotated[Path | None, typer.Option("--waves", metavar="FILE", help="Record a waveform (.vcd or .fst).")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")] = None,
) -> None:
    """Translate the vectors of an independent simulator and compare: address, fault, reads, updates of A and D."""
    from .report import progress_bar

    check_wave_name(waves)
    if waves is not None and engine is WalkEngine.GOLDEN:
        raise UsageError("--waves: the golden model has no waveform")
    with json_output(json_path) as json_file, wave_output(waves) as wave_file:
        from .settings import parse_settings
        from .walk import run_walk
        from .walk_result import walk_failures, walk_table

        with progress_bar(f"walking {vectors}", unit="vectors") as progress:
            result = run_walk(
                vectors, engine=engine.value, limit=limit, fresh=fresh, preset=preset, settings=parse_settings(settings), seed=seed,
                latency=latency, waves=wave_file, progress=progress,
            )  # fmt: skip
        report(result, walk_table(result), json_path, json_file)
    found = walk_failures(result)
    if found:
        raise CheckFailed("; ".join(found))

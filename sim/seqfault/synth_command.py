"""`seqfault synth`: its options."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import json_output, report
from .errors import UsageError
from .settings import parse_settings

__all__ = ["FpgaFamily", "synth"]


class FpgaFamily(StrEnum):
    """What the open FPGA tools can build for."""

    ECP5 = "ecp5"
    ICE40 = "ice40"


def synth(
    target: Annotated[FpgaFamily, typer.Option("--target", help="FPGA family.")] = FpgaFamily.ECP5,
    top: Annotated[str, typer.Option("--top", metavar="TOP", help="What to synthesise: engine, mmu, or MODULE:CLASS of a component.")] = "engine",
    preset: Annotated[str, typer.Option("--preset", help="Named parameters of the engine.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one parameter; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=0, max=100, metavar="N", help="Place and route with seeds 1 to N; 0: area only.")] = 5,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, max=64, metavar="N", help="Seeds placed and routed at a time.")] = 1,
    timeout: Annotated[int, typer.Option("--timeout", min=1, max=1_000_000, metavar="SECONDS", help="Limit of each run of a tool.")] = 3600,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not use results of earlier runs.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")] = None,
) -> None:
    """Area and speed of the engine, or of a part of it, with the open FPGA tools."""
    from seqfault_rtl.config import PRESETS

    from .synth import run_synth
    from .synth_report import stage_display, synth_tables

    parameters = parse_settings(settings)
    if preset not in PRESETS:
        raise UsageError(f"--preset: unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    try:
        config = PRESETS[preset].with_settings({"events": "false", **parameters})
    except ValueError as error:
        raise UsageError(f"--set: {error}") from None
    with json_output(json_path) as json_file:
        with stage_display() as progress:
            result = run_synth(
                top, target=target.value, preset=preset, config=config, settings=parameters, seeds=seeds, jobs=jobs, timeout=timeout,
                fresh=fresh, progress=progress,
            )  # fmt: skip
        report(result, synth_tables(result), json_path, json_file)

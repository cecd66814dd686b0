"""The command `seqfault bench`. Imports what it needs when it runs, like the others."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import json_output, report
from .settings import configuration, parse_settings

if TYPE_CHECKING:
    from .bench_task import Task

__all__ = ["bench"]


def bench(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="What to measure: hit, walk, fault, mutators, policies or simulation; all of it without a name."),
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="Named parameters of the engine.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one parameter; may be repeated.")] = None,
    latency: Annotated[int | None, typer.Option("--latency", min=1, max=1000, metavar="CYCLES", help="Only this read latency of memory.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 1,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables in Markdown.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")] = None,
) -> None:
    """Measure latencies and rates of translations and faults, exact to the cycle, every answer checked."""
    from .bench_plan import NAMES, plan
    from .bench_report import bench_markdown, bench_table
    from .doctor import require_simulation_tools
    from .report import progress_bar

    config = configuration(preset, parse_settings(settings))
    tasks = plan([name] if name else list(NAMES), config, [latency] if latency else None)
    with json_output(json_path) as json_file:
        require_simulation_tools()
        from .bench import measure

        with progress_bar("measuring", unit="measurements") as progress:
            records = measure(tasks, seed=seed, progress=progress)
        heading = f"{_what(tasks)} of preset {preset}{''.join(f', {text}' for text in settings or [])}; seed {seed}; every answer checked"
        report(records, (bench_markdown if markdown else bench_table)(heading, records), json_path, json_file)


def _what(tasks: Iterable["Task"]) -> str:
    """Of what the measurements are."""
    return " and ".join(
        what
        for what, engine in (("Mmu", False), ("Engine", True))
        if any((bool(task.faults) or task.bench == "simulation") == engine for task in tasks)
    )

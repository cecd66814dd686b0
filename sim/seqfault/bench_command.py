"""The command `seqfault bench`. Imports what it needs when it runs, like the others."""

from pathlib import Path
from typing import Annotated

import typer

from .console import json_output, report
from .settings import configuration, parse_settings

__all__ = ["bench"]


def bench(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="What to measure: hit or walk; all of it without a name.")] = None,
    preset: Annotated[str, typer.Option("--preset", help="Named parameters of the engine.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one parameter; may be repeated.")] = None,
    latency: Annotated[int | None, typer.Option("--latency", min=1, max=1000, metavar="CYCLES", help="Only this read latency of memory.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 1,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables in Markdown.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")] = None,
) -> None:
    """Measure latencies and rates of address translation, exact to the cycle, every answer checked."""
    from .bench_plan import LATENCIES, NAMES, plan
    from .bench_report import bench_markdown, bench_table
    from .doctor import require_simulation_tools
    from .report import progress_bar

    config = configuration(preset, parse_settings(settings))
    tasks = plan([name] if name else list(NAMES), config, [latency] if latency else LATENCIES)
    with json_output(json_path) as json_file:
        require_simulation_tools()
        from .bench import measure

        with progress_bar("measuring", unit="measurements") as progress:
            records = measure(tasks, seed=seed, progress=progress)
        heading = f"Mmu of preset {preset}{''.join(f', {text}' for text in settings or [])}; seed {seed}; every answer checked"
        report(records, (bench_markdown if markdown else bench_table)(heading, records), json_path, json_file)

"""What a person sees of `seqfault synth`: the stage while it runs, then tables made from the result's JSON."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from .report import PATIENCE

__all__ = ["stage_display", "synth_tables"]

SMALL = 0.02
"""Blocks that use less than this share of LUTs and of registers are not in the table (but in the JSON)."""
PARTS = {"logic": "logic", "carry": "carry", "ram": "distributed RAM"}
AREA = ("lut4", "ff", "bram", "dsp")


@contextmanager
def stage_display() -> Iterator[Callable[[str], None]]:
    """A callback `progress(stage)` that shows the stage and its time on standard error: only on a terminal, and only after two seconds."""
    if not sys.stderr.isatty():
        yield lambda stage: None
        return
    bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True), transient=True)
    timer = threading.Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()

    def progress(stage: str) -> None:
        for task in bar.task_ids:
            bar.stop_task(task)
            bar.update(task, total=1, completed=1)
        bar.add_task(stage, total=None)

    try:
        yield progress
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in texts:
        table.add_column(heading, overflow="fold", no_wrap=heading == "source")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _area_table(result: Mapping[str, Any]) -> Table:
    area = result["area"]
    table = _table("Area by block", ["block"], [name.upper() for name in AREA])
    table.add_row("all", *(f"{area[name]:,}" for name in AREA), style="bold")
    for block, used in area["by_block"].items():
        if used["bram"] or used["dsp"] or any(used[name] > SMALL * area[name] for name in ("lut4", "ff")):
            indent = "  " * (block.count(".") + 1)
            table.add_row(indent + block.rpartition(".")[2], *(f"{used[name]:,}" for name in AREA))
    return table


def _speed_table(result: Mapping[str, Any]) -> Table:
    table = _table("Slowest path of each seed", ["seed", "from", "to"], ["MHz", "logic ns", "routing ns"])
    for path in result["paths"]:
        ends = [f"{path.get(way, '')}\n{path.get(f'{way}_source', '')}" for way in ("from", "to")]
        table.add_row(str(path["seed"]), *ends, f"{path['mhz']:.1f}", f"{path.get('logic_ns', 0):.2f}", f"{path.get('routing_ns', 0):.2f}")
    return table


def _path_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """Steps in a row that are near the same signal are one line."""
    table = _table("The slowest of them, cell by cell", ["block", "near signal", "source"], ["cells", "logic ns", "routing ns"])
    for (block, signal, source), group in groupby(steps, key=lambda step: (step["block"], step["signal"], step["source"])):
        near = list(group)
        sums = (sum(step[name] for step in near) for name in ("logic_ns", "routing_ns"))
        table.add_row(block, signal, source, str(len(near)), *(f"{value:.2f}" for value in sums))
    return table


def synth_tables(result: Mapping[str, Any]) -> RenderableType:
    """The result for a person."""
    area, speed = result["area"], result["fmax_mhz"]
    settings = "".join(f" {key}={value}" for key, value in result["settings"].items())
    title = Text(f"{result['top']}, preset {result['preset']}{settings}, {result['target']} ({result['device']})", style="bold")
    parts = ", ".join(f"{area[f'lut4_{part}']:,} {name}" for part, name in PARTS.items())
    count = f"LUT4: {area['lut4']:,} = {parts}; the registers at the pins are not counted"
    summary = [title, Text(count)]
    if speed:
        tried = len(speed["seeds"])
        spread = f" (median of {tried} seeds, {speed['min']:.1f} to {speed['max']:.1f})" if tried > 1 else " (one seed)"
        summary.append(Text(f"Fmax: {speed['median']:.1f} MHz{spread}"))
    tables = [_area_table(result)]
    if speed:
        tables += [_speed_table(result), _path_table(result["critical_path"])]
    return Group(*summary, Text(), *tables)

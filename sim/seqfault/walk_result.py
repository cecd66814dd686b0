"""What `seqfault walk` found: the JSON of `walk` (formats.md) with our additions, and what a person reads.

Additions: `name` and `mode` of the vectors, `engine`, `wall_s`, `cached`, `first` (the first mismatches, each a dictionary of texts); of the
RTL also `preset`, `cycles`, `requests` (every vector is asked several times), `stray` (accesses to memory that belong to no vector),
`found` {when: requests that were translated without a read}.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .vectors import Vector, VectorSet

__all__ = ["FIRST", "mismatch", "walk_failures", "walk_record", "walk_table"]

FIRST = 5
"""Mismatches that are shown."""


def mismatch(vectors: VectorSet, vector: Vector, expected: str, got: str, *, phase: str = "", control: str = "") -> dict[str, Any]:
    """One vector that did not end as expected, for `first`; `phase`, `control`: of which request, if there were several."""
    return {
        "vector": vector.number, "tag": vector.tag, "mode": vectors.mode.name, "va": f"{vector.va:#x}",
        "control": control or str(vector.control), "phase": phase, "expected": expected, "got": got,
    }  # fmt: skip


def walk_record(vectors: VectorSet, failed: Mapping[int, dict[str, Any]], **additions: Any) -> dict[str, Any]:
    """The result as JSON; `failed` are the mismatches by the number of their vector."""
    by_tag: dict[str, list[int]] = {}
    for vector in vectors.vectors:
        row = by_tag.setdefault(vector.tag, [0, 0])
        row[0] += 1
        row[1] += vector.number in failed
    return {
        "vectors": len(vectors.vectors), "mismatches": len(failed), "by_tag": dict(sorted(by_tag.items())), "name": vectors.name,
        "mode": vectors.mode.name, **additions, "first": [failed[number] for number in sorted(failed)[:FIRST]],
    }  # fmt: skip


def walk_failures(result: Mapping[str, Any]) -> list[str]:
    """What did not hold, one line each; empty when all held."""
    found = []
    if result["mismatches"]:
        found.append(f"{result['mismatches']} of {result['vectors']} vector(s) ended otherwise than the vectors say")
    if result.get("stray"):
        found.append(f"memory accesses that belong to no vector: {result['stray']}")
    return found


def walk_table(result: Mapping[str, Any]) -> RenderableType:
    """The whole report, for a console of 80 columns or more."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what the vectors are about")
    for column in ("vectors", "mismatches"):
        table.add_column(column, justify="right", no_wrap=True)
    for tag, (count, failed) in result["by_tag"].items():
        table.add_row(tag, f"{count:,}", f"{failed:,}" if failed else ".", style="bold red" if failed else "")
    table.add_section()
    table.add_row("all", f"{result['vectors']:,}", f"{result['mismatches']:,}", style="bold")
    return Group(_heading(result), table, *_mismatches(result["first"], result["mismatches"]))


def _heading(result: Mapping[str, Any]) -> Text:
    engine = "golden model" if result["engine"] == "golden" else f"RTL, preset {result['preset']}"
    text = Text.assemble((str(result["name"]), "bold"), f": {result['mode'].capitalize()} by the {engine}; ")
    if result["cached"]:
        return text.append(f"result of an earlier run ({result['wall_s']:.1f} s), from the cache; --fresh runs it again")
    text.append(f"{result['wall_s']:.1f} s")
    if "cycles" in result:
        text.append(f", {result['cycles']:,} cycles, {result['requests']:,} requests")
        text.append("\nanswered from a TLB: " + ", ".join(f"{phase} {count:,}" for phase, count in result["found"].items()))
    return text


def _mismatches(first: Sequence[Mapping[str, Any]], total: int) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for item in first:
        request = f"{item['mode'].capitalize()} {item['va']} {item['control']}" + (f", {item['phase']}" if item["phase"] else "")
        parts.append(Text(f"vector {item['vector']} ({item['tag']}): {request}", style="bold red"))
        parts += [Text(f"  expected {item['expected']}"), Text(f"  got      {item['got']}")]
    if total > len(first):
        parts.append(Text(f"and {total - len(first):,} more"))
    return parts

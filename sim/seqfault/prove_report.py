"""Proofs and their results for a person."""

import textwrap
from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seqfault_tb.formal.catalogue import Proof

from .prove import ProofResult

__all__ = ["list_table", "proof_table", "verdict_line"]

COLOURS = {"proved": "green", "bounded": "green", "failed": "red", "not closed": "yellow"}


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading == "seconds" else "left")
    return table


def list_table(proofs: Iterable[Proof]) -> RenderableType:
    """What there is to prove."""
    table = _table("Proofs", "proof", "statement", "planted bugs")
    for proof in proofs:
        table.add_row(proof.name, proof.statement, ", ".join(proof.bugs))
    return table


def extent(result: ProofResult) -> str:
    """How far the result reaches."""
    if result.result == "proved":
        return "all time"
    if result.result == "failed":
        return f"broken in cycle {result.bound}"
    return f"{result.bound} cycles from reset"


def proof_table(results: Iterable[ProofResult]) -> RenderableType:
    """The results; the counter-examples below them."""
    results = list(results)
    table = _table("Proofs", "proof", "statement", "result", "engine", "planted bugs (cycle in which found)", "seconds")
    for result in results:
        planted = ", ".join(f"{bug} ({'not found' if found is None else found})" for bug, found in result.planted.items())
        verdict = f"[{COLOURS[result.result]}]{result.result}[/]: {extent(result)}"
        table.add_row(result.proof.name, result.proof.statement, verdict, result.engine, planted, f"{result.seconds:.1f}")
    traces = [Text(f"{verdict_line(result)}\n{textwrap.indent(result.trace(), '  ')}\n", no_wrap=True) for result in results if result.waves]
    return Group(table, *traces)


def verdict_line(result: ProofResult) -> str:
    """What is wrong, in one line."""
    name = result.proof.name
    if result.result == "failed":
        return f"{name} failed: {', '.join(result.broken)} does not hold in cycle {result.bound}; waveform {result.waves}"
    if result.missed:
        return f"{name}: planted bug not found: {', '.join(result.missed)}"
    return f"{name}: not closed ({result.bound} cycles from reset checked)"

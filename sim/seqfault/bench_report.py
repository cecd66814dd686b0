"""What a person reads after `seqfault bench`: tables made from its JSON, with what the project wants to reach and what its peers were measured at.

The peers' figures (CVA6, CORE-V Wally, coreblocks, Rocket, the open RISC-V IOMMU) are those that the goals were set against, on a memory of the same
kind.
"""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .bench_fault_report import fault_sheets
from .bench_sheet import Goal, Record, Sheet, by_latency

__all__ = ["Goal", "Sheet", "bench_markdown", "bench_table", "sheets"]

WANTED_FAULTS, JUDGED_JOBS = 20_000, 2
"""Checked faults a minute, and with how many jobs."""
JUDGED_LATENCY = 50
"""The latency for which sustained walks have a goal."""


def _hit_goal(record: Record) -> Goal:
    level, ports, is_latency = record["params"]["level"], record["params"]["ports"], record["metric"] == "latency_cycles"
    if level == 1:
        if is_latency:
            return Goal(text="1", bound=lambda _: 1, peers="0-2")
        return Goal(text="1.000", bound=lambda _: 1.0, at_least=True, peers="IOMMU 0.33")
    return Goal(text="<= 4", bound=lambda _: 4, peers="2-3") if is_latency and ports == 1 else Goal()


def _walk_goal(params: Record) -> Goal:
    if (params["mode"], params["page"]) != ("Sv39", "4K"):
        return Goal()
    if params["cache"] == "cold":
        return Goal(text="<= 3L+6", bound=lambda latency: 3 * latency + 6, peers="3L+5 to 3L+9")
    return Goal(text="<= L+5", bound=lambda latency: latency + 5, peers="L+7")


def _sustained_goal(params: Record) -> Goal:
    wanted, peers = {"sequential": (250, "17.8"), "disjoint": (80, "6.4")}[params["pattern"]]
    if params["in_flight"] < 16:
        return Goal(peers=peers)
    return Goal(text=f">= {wanted}", bound=lambda _: wanted, at_least=True, peers=peers, latencies=(JUDGED_LATENCY,))


def _share_goal(params: Record) -> Goal:
    return Goal(text=">= 0.45", bound=lambda _: 0.45, at_least=True, peers="0.0") if params["requesters"] == 2 else Goal()


def sheets(records: Iterable[Record]) -> list[Sheet]:
    """The tables for what was measured."""
    records = list(records)
    hits = [record for record in records if record["bench"] == "hit"]
    walks: dict[str, list[Record]] = {name: [] for name in ("latency_cycles", "walks_per_1000_cycles", "share")}
    for record in records:
        if record["bench"] == "walk":
            walks[record["metric"]].append(record)
    single = by_latency(
        walks["latency_cycles"], ("mode", "page", "cache"), _walk_goal, "d", title="Latency of one walk alone, in cycles",
        notes="L: read latency of memory. cold: all caches invalidated; warm: the page's neighbour was asked for, so only its leaf is read.",
    )  # fmt: skip
    names = ("pattern", "in_flight", "requesters")
    rates = by_latency(
        walks["walks_per_1000_cycles"], names, _sustained_goal, ".1f", title="Walks per 1000 cycles, Sv39, 4 KiB pages, all of them different",
        notes=f"sequential: neighbours; disjoint: no two pages share a table below the root. Reach and peers: at L={JUDGED_LATENCY}. "
        "A port may have enough misses outstanding (port_misses) for its part of the walks.",
    )  # fmt: skip
    shares = by_latency(
        walks["share"], names, _share_goal, ".3f", title="Share of the slowest requester in these walks", 
        notes="Fair is 1 / requesters. CVA6 and Rocket let one of two requesters starve.",
    )  # fmt: skip
    return [sheet for sheet in (_hit_sheet(hits), single, rates, shares, *fault_sheets(records), _simulation_sheet(records)) if sheet.rows]


def _simulation_sheet(records: Sequence[Record]) -> Sheet:
    """Wall time, so only the rate that the project wants on two processors is judged, and by far."""
    goal = Goal(text=f">= {WANTED_FAULTS:,}", bound=lambda _: WANTED_FAULTS, at_least=True)
    names = {"cycles_per_second": "simulated cycles a second", "checked_faults_per_minute": "checked faults a minute"}
    rows = []
    for record in (record for record in records if record["bench"] == "simulation"):
        judged = goal if record["metric"] == "checked_faults_per_minute" and record["params"]["jobs"] == JUDGED_JOBS else Goal()
        value = record["value"]
        rows.append((names[record["metric"]], str(record["params"]["jobs"]), f"{value:,.0f}", judged.text, judged.verdict({0: value})))
    notes = "Mixed random programs, every step checked, wall time without the build; what else runs on the machine slows it down."
    return Sheet(title="Regressions", columns=("", "jobs", "measured", "reach", "verdict"), rows=rows, left=1, notes=notes)


def _hit_sheet(records: Sequence[Record]) -> Sheet:
    rows = []
    for metric, text, style in (("latency_cycles", "latency, cycles", "d"), ("rate_per_cycle", "answers per cycle and port", ".3f")):
        for record in records:
            if record["metric"] == metric:
                goal, value = _hit_goal(record), record["value"]
                params = record["params"]
                verdict = goal.verdict({0: value})
                rows.append((f"L{params['level']} {text}", str(params["ports"]), f"{value:{style}}", goal.text, goal.peers, verdict))
    notes = "Latency: of ports that ask in the same cycle, the slowest, from acceptance to answer. Rate: the slowest port's when all ask always."
    return Sheet(title="Hits", columns=("", "ports", "measured", "reach", "peers", "verdict"), rows=rows, left=1, notes=notes)


def bench_table(heading: str, records: Iterable[Record]) -> RenderableType:
    """The tables for a console of 100 columns or more."""
    parts: list[RenderableType] = [Text(heading), Text("")]
    for sheet in sheets(records):
        table = Table(
            title=sheet.title, title_justify="left", title_style="bold", caption=sheet.notes, caption_justify="left", box=box.SIMPLE_HEAD,
            pad_edge=False,
        )  # fmt: skip
        for index, column in enumerate(sheet.columns):
            table.add_column(column, justify="left" if index < sheet.left else "right", no_wrap=True)
        for row in sheet.rows:
            style = {"reached": "green", "MISSED": "bold red"}.get(row[-1], "")
            table.add_row(*row[:-1], Text(row[-1], style=style))
        parts += [table, Text("")]
    return Group(*parts)


def bench_markdown(heading: str, records: Iterable[Record]) -> str:
    """The same tables in Markdown."""
    parts = [heading]
    for sheet in sheets(records):
        rule = [":--" if index < sheet.left else "--:" for index in range(len(sheet.columns))]
        rows = [sheet.columns, rule, *sheet.rows]
        parts.append("\n".join([f"### {sheet.title}", "", *(f"| {' | '.join(row)} |" for row in rows), "", sheet.notes]))
    return "\n\n".join(parts)

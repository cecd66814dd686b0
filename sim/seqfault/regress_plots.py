"""The plots of a regression's page, as plotly's figures without colours: `meta.colour` of a trace names one of the page's, light or dark.

A plot is {"views": [{"name", "data", "layout"}]}: choices that a reader has, of which one is shown at a time.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from .errors import EnvironmentLacks
from .regress_tables import STEPS, AbortRow, kind_order, percentile

try:
    import plotly.graph_objects as go
    from plotly.offline import get_plotlyjs
    from plotly.subplots import make_subplots
except ModuleNotFoundError:
    raise EnvironmentLacks("the Python package plotly is missing (--html): pip install 'seqfault[regress]'") from None

__all__ = ["PHASES", "Segment", "abort_plot", "busy_plot", "latency_plot", "occupancy_plot", "plotly_script", "segments", "slowest_plot"]

BINS_PER_DECADE = 20
ROW_PIXELS, BAR_PIXELS = 66, 26
TOP, BOTTOM = 40, 50
"""Pixels above a plot, for a line of legend, and below it."""
MARKS = ((500, "p50", "circle"), (990, "p99", "diamond"), (999, "p99.9", "triangle-up"))
PHASES = (
    ("waits for walk and context", "line"), ("VMA", "a0"), ("walk, page cache", "a1"), ("frame", "a2"), ("commit", "a4"), ("parked: PTE lock", "a3"),
    ("mm lock", "a5"), ("undo, begin again", "text"), ("page request", "quiet"), ("steps not shown", "panel"),
)  # fmt: skip
"""What a fault's time goes to, with a colour of the page."""
WAITS, COMMIT, PARKED, NOT_SHOWN = 0, 4, 5, 9
PHASE_OF_STEP = {
    **dict.fromkeys(("R0", "UNDO"), 7), **dict.fromkeys(("R1", "R2", "R3", "R4", "R5", "R6"), 1), **dict.fromkeys(("R7", "PAGE"), 2),
    **dict.fromkeys(("R8", "R9", "FILL"), 3), **dict.fromkeys(("MM_READ_LOCK", "MM_READ_UNLOCK"), 6), **dict.fromkeys(("HANDOVER", "ANSWER"), 8),
}  # fmt: skip

Plot = dict[str, Any]


def plotly_script() -> str:
    """What draws them: all of plotly.js, which a page has in itself."""
    return str(get_plotlyjs())


def _view(figure: go.Figure, *, name: str = "", height: int, top: int = TOP, gap: float = 0.25) -> dict[str, Any]:
    """With what all plots have in common; `height`: of the plot itself, to which `top` and `BOTTOM` are added."""
    margin = {"l": 10, "r": 12, "t": top, "b": BOTTOM}
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top", "traceorder": "normal"}
    figure.update_layout(template="none", height=height + top + BOTTOM, margin=margin, legend=legend, bargap=gap, hoverlabel={"align": "left"})
    figure.update_layout(dragmode=False)
    figure.update_xaxes(automargin=True, fixedrange=True)
    figure.update_yaxes(automargin=True, fixedrange=True)
    return {"name": name, **json.loads(figure.to_json())}


def latency_plot(by_latency: Mapping[int, Mapping[str, Any]]) -> Plot:
    """A histogram for each kind, of the cycles from a fault's first event to that of its answer, on one logarithmic axis; a view for each L."""
    return {"views": [_latency_view(f"L = {latency}", statistics["kinds"]) for latency, statistics in by_latency.items()]}


def _latency_view(name: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
    order = kind_order(kinds)
    titles = [f"{kind}  ({sum(kinds[kind]['latency'].values()):,})" for kind in order]
    height = ROW_PIXELS * len(order)
    figure = make_subplots(rows=len(order), cols=1, shared_xaxes=True, vertical_spacing=min(22 / height, 1 / len(order)), subplot_titles=titles)
    for row, kind in enumerate(order, 1):
        for trace in _histogram(kind, kinds[kind]["latency"], first=row == 1):
            figure.add_trace(trace, row=row, col=1)
    values = [int(value) for kind in kinds.values() for value in kind["latency"]]
    low, high = floor(_log(min(values))), ceil(_log(max(values)) + 0.01)
    ticks = [factor * 10**decade for decade in range(low, high) for factor in (1, 2, 5)] + [10**high]
    figure.update_xaxes(range=[low, high], tickvals=[log10(tick) for tick in ticks], ticktext=[f"{tick:,}" for tick in ticks])
    figure.update_xaxes(title_text="cycles", row=len(order), col=1)
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, zeroline=True, range=[-0.5, 1.05])
    figure.update_annotations(x=0, xanchor="left", align="left", font_size=13)
    return _view(figure, name=name, height=height, top=TOP + 20, gap=0)


def _log(value: int) -> float:
    return log10(max(value, 1))


def _histogram(kind: str, histogram: Mapping[str, int], *, first: bool) -> list[go.Bar | go.Scatter]:
    """Bars as high as their share of the fullest one, and below them marks at percentiles."""
    bins: dict[int, int] = {}
    for cycles, count in histogram.items():
        place = floor(_log(int(cycles)) * BINS_PER_DECADE + 1e-9)
        bins[place] = bins.get(place, 0) + count
    total, most = sum(bins.values()), max(bins.values(), default=1)
    texts = [
        f"{kind}: {count:,} of {total:,} faults ({count / total:.1%})<br>{_edge(place):,} to {max(_edge(place + 1) - 1, _edge(place)):,} cycles"
        for place, count in bins.items()
    ]
    bars = go.Bar(
        x=[(place + 0.5) / BINS_PER_DECADE for place in bins], y=[count / most for count in bins.values()], width=0.92 / BINS_PER_DECADE,
        hovertext=texts, hoverinfo="text", showlegend=False, meta={"colour": "a0"},
    )  # fmt: skip
    marks = []
    for share, mark, symbol in MARKS:
        if (value := percentile(histogram, share)) is not None:
            marks.append(go.Scatter(
                x=[_log(value)], y=[-0.25], mode="markers", name=mark, legendgroup=mark, showlegend=first, marker={"symbol": symbol, "size": 9},
                hoverinfo="text", hovertext=f"{kind}: {mark} {value:,} cycles", cliponaxis=False, meta={"colour": "a3"},
            ))  # fmt: skip
    return [bars, *marks]


def _edge(place: int) -> int:
    return ceil(10 ** (place / BINS_PER_DECADE) - 1e-9)


def abort_plot(rows: Sequence[AbortRow]) -> Plot:
    """Bars of failed attempts, in the order of the protocol from the top."""
    names = [f"{row.step} {row.reason}" for row in rows]
    figure = go.Figure()
    for name, colour, counts in (
        ("tried again", "a0", [row.retried for row in rows]),
        ("ended the fault", "a3", [row.ended for row in rows]),
    ):
        texts = [f"{label} ({STEPS[row.step]}): {count:,} {name}" for label, row, count in zip(names, rows, counts, strict=True)]
        figure.add_bar(x=counts, y=names, orientation="h", name=name, hovertext=texts, hoverinfo="text", meta={"colour": colour})
    figure.update_layout(barmode="stack")
    figure.update_yaxes(autorange="reversed", tickmode="linear", showgrid=False)
    figure.update_xaxes(title_text="attempts", rangemode="tozero", tickformat=",d", nticks=6, tickangle=0)
    return {"views": [_view(figure, height=BAR_PIXELS * len(rows) + 20)]}


def occupancy_plot(views: Mapping[str, Mapping[str, Any]]) -> Plot:
    """Contexts busy and requests waiting (means), and what happened per 1000 cycles, over time; `views`: the occupancy of each by name."""
    return {"views": [_occupancy_view(name, occupancy) for name, occupancy in views.items()]}


def _occupancy_view(name: str, occupancy: Mapping[str, Any]) -> dict[str, Any]:
    titles = ("mean number", "per 1000 cycles")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.12, subplot_titles=titles, row_heights=[0.6, 0.4])
    pieces = [place for place, cycles in enumerate(occupancy["cycles"]) if cycles]
    middles = [(place + 0.5) * occupancy["width"] for place in pieces]
    for row, column, what, colour, scale in (
        (1, "waiting", "requests not answered", "a3", 1), (1, "busy", "contexts busy", "a0", 1),
        (2, "commands", "events of the command unit", "a2", 1000), (2, "faults", "faults ended", "a1", 1000),
    ):  # fmt: skip
        values = [round(occupancy[column][place] * scale / occupancy["cycles"][place], 3) for place in pieces]
        figure.add_scatter(
            x=middles, y=values, name=what, mode="lines", line={"width": 1.8, "shape": "hvh"}, meta={"colour": colour},
            hovertemplate=f"%{{y:,.1f}} {what}<extra>cycle %{{x:,.0f}}</extra>", row=row, col=1,
        )  # fmt: skip
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    figure.update_yaxes(rangemode="tozero", nticks=5)
    figure.update_xaxes(tickformat=",d", nticks=6, tickangle=0)
    figure.update_xaxes(title_text="cycle since reset", row=2, col=1)
    return _view(figure, name=name, height=320, top=TOP + 50)


def busy_plot(busy: Mapping[str, int]) -> Plot:
    """Share of all cycles by number of busy contexts."""
    total, levels = sum(busy.values()) or 1, sorted(busy, key=int)
    texts = [f"{level} busy: {busy[level] / total:.1%} of the cycles" for level in levels]
    figure = go.Figure()
    shares = [busy[level] / total for level in levels]
    figure.add_bar(x=levels, y=shares, hovertext=texts, hoverinfo="text", showlegend=False, meta={"colour": "a0"})
    figure.update_xaxes(title_text="contexts busy", type="category", nticks=17, showgrid=False)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=5)
    return {"views": [_view(figure, height=180, top=12)]}


Segment = tuple[int, int, int, str, str]
"""Phase (index into `PHASES`), start, end (cycles since the first event), steps and outcome of the event that ended it."""


def segments(fault: Mapping[str, Any]) -> Iterator[Segment]:
    """A fault's time, event by event."""
    at, parked = 0, False
    gap = len(fault["events"]) // 2 if fault["events_left_out"] else -1
    for place, (offset, steps, outcome) in enumerate(fault["events"]):
        phase = NOT_SHOWN if place == gap else PARKED if parked else PHASE_OF_STEP.get(steps.split("-")[0], COMMIT)
        yield phase, at, offset, steps, outcome
        at, parked = offset, outcome == "PTL_WAIT"


def slowest_plot(slowest: Sequence[Mapping[str, Any]]) -> Plot:
    """A bar for each fault, the slowest at the top, from its request (before 0) to its answer."""
    pieces: list[dict[str, list[Any]]] = [{"x": [], "y": [], "base": [], "hovertext": []} for _ in PHASES]
    for number, fault in enumerate(slowest, 1):
        for phase, start, end, text in _pieces(fault):
            for key, value in (("x", end - start), ("y", str(number)), ("base", start), ("hovertext", f"{number}. {PHASES[phase][0]}: {text}")):
                pieces[phase][key].append(value)
    figure = go.Figure()
    for (title, colour), piece in zip(PHASES, pieces, strict=True):
        if piece["x"]:
            figure.add_bar(**piece, orientation="h", name=title, hoverinfo="text", meta={"colour": colour})
    figure.update_layout(barmode="overlay")
    figure.update_yaxes(autorange="reversed", type="category", tickmode="linear", showgrid=False)
    figure.update_xaxes(title_text="cycles since the first step", tickformat=",d", nticks=6, tickangle=0, zeroline=True)
    return {"views": [_view(figure, height=BAR_PIXELS * len(slowest) + 20, top=TOP + 50)]}


def _pieces(fault: Mapping[str, Any]) -> list[tuple[int, int, int, str]]:
    """(phase, start, end, text) of each piece of time; those of one phase that follow each other are one."""
    found: list[tuple[int, int, int, str]] = []
    if fault["requested"] is not None:
        early = fault["requested"] - fault["began"]
        found.append((WAITS, early, 0, f"{-early:,} cycles"))
    for phase, begin, end, steps, outcome in segments(fault):
        start = found.pop()[1] if found and found[-1][0] == phase else begin
        found.append((phase, start, end, f"cycles {start:,} to {end:,}, ends with {steps} {outcome}"))
    return [piece for piece in found if piece[2] > piece[1]]

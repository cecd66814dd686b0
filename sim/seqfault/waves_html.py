"""The page of `seqfault waves --html`: the timeline as lanes, golden's view beside it, the first difference marked. Needs nothing but itself."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from .html_page import page_templates
from .timeline import agent_name
from .waves import WaveEvent
from .waves_golden import Difference, Golden
from .waves_lanes import OUTCOME_CLASSES, fault_lanes, other_lanes, step_row

__all__ = ["page"]

TEMPLATE = "waves.html"
VERDICTS = ("allowed", "not allowed", "not checked")


def page(waveform: Path, events: Sequence[WaveEvent], golden: Golden | None, *, what: str = "") -> str:
    """The page's HTML.

    Parameters
    ----------
    events : what is shown: all of the file, or those that were selected; `what` says how. golden : of the whole file, fitting it.
    """
    faults = fault_lanes(events)
    places = {event.cycle: place for place, event in enumerate(events)}  # "one event a cycle at the most"
    data = {
        "events": [step_row(event) for event in events],
        "faults": [fault.record() for fault in faults],
        "lanes": other_lanes(events),
        "agents": {agent: agent_name(agent) for agent in sorted({event.agent for event in events})},
        "golden": None if golden is None else _golden_rows(events, golden),
        "difference": None if golden is None or golden.first_difference is None else _difference(golden, golden.first_difference, places),
    }
    environment = page_templates()
    counts = Counter(fault.outcome for fault in faults)
    return environment.get_template(TEMPLATE).render(
        title=waveform.name.removeprefix("."), what=what, data=_embedded(data), golden=golden, steps=len(events), faults=len(faults),
        first_cycle=events[0].cycle if events else 0, last_cycle=events[-1].cycle if events else 0,
        outcomes=[(name, counts[name]) for name in OUTCOME_CLASSES if counts[name]],
        about={} if golden is None else {key: value for key, value in golden.header.get("about", {}).items() if value not in (None, {}, "")},
        stopped=None if golden is None else golden.end.get("stopped"), difference=golden.first_difference if golden else None,
    )  # fmt: skip


def _golden_rows(events: Sequence[WaveEvent], golden: Golden) -> list[list[Any] | None]:
    """For each event what golden holds: expected, next, snapshot, sequence, what the agent holds, verdict; None: golden has not seen it."""
    seen = {event["cycle"]: event for event in golden.events}
    return [None if (view := seen.get(event.cycle)) is None else _golden_row(view) for event in events]


def _golden_row(view: dict[str, Any]) -> list[Any]:
    verdict = VERDICTS.index(view["verdict"]) if view["verdict"] in VERDICTS else len(VERDICTS) - 1
    return [view.get("expected"), view.get("next"), view.get("snapshot"), view.get("sequence"), ", ".join(view.get("holds") or []), verdict]


def _difference(golden: Golden, difference: Difference, places: dict[int, int]) -> dict[str, Any]:
    """Its cycle, the place of its event among those shown (None: it is about none of them) and the text."""
    event = None if difference.event is None else places.get(golden.events[difference.event]["cycle"])
    return {"cycle": difference.cycle, "event": event, "text": difference.text}


def _embedded(data: dict[str, Any]) -> Markup:
    """JSON that may stand in a script element."""
    text = json.dumps(data, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))

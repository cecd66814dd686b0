"""A path from register to register as nextpnr reports it, told in blocks, signals and source lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from .synth_netlist import PIN, Netlist, Place

__all__ = ["path_steps", "path_summary"]


def _step(place: Place, *, cell: str, net: str, logic: float, routing: float) -> dict[str, Any]:
    return {
        "cell": cell, "net": net, "block": place.block, "signal": place.signal, "source": place.source, "delay_ns": round(logic + routing, 3),
        "logic_ns": round(logic, 3), "routing_ns": round(routing, 3),
    }  # fmt: skip


def path_steps(netlist: Netlist, path: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cells of a path in order: through the cell (clock to output, for the first) and along the net to the next one.

    The last step is the register at the end with its set-up time; its net is "".
    """
    steps, logic, net = [], 0.0, ""
    for part in path:
        if part["type"] != "routing":
            logic += part["delay"]
            continue
        cell, net = part["from"]["cell"], part["net"]
        steps.append(_step(netlist.place_of(cell, net), cell=cell, net=net, logic=logic, routing=part["delay"]))
        logic = 0.0
    if path:
        end = path[-1]["to"]["cell"]
        steps.append(_step(netlist.place_of(end, net), cell=end, net="", logic=logic, routing=0.0))
    return steps


def _name(place: Place) -> str:
    separator = " " if place.block == PIN else "."
    return f"{place.block}{separator}{place.signal}" if place.block else place.signal


def path_summary(netlist: Netlist, path: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Both ends of a path, where they are in the source, and its delay in logic and routing in ns."""
    if not path:
        return {}
    nets = [part["net"] for part in path if part["type"] == "routing"] or [""]
    ends = {"from": netlist.place_of(path[0]["from"]["cell"], nets[0]), "to": netlist.place_of(path[-1]["to"]["cell"], nets[-1])}
    routing = sum(part["delay"] for part in path if part["type"] == "routing")
    logic = sum(part["delay"] for part in path) - routing
    return {
        **{way: _name(place) for way, place in ends.items()},
        **{f"{way}_source": place.source for way, place in ends.items()},
        "logic_ns": round(logic, 3),
        "routing_ns": round(routing, 3),
    }

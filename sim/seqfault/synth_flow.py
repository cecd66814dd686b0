"""Synthesis and place and route of one component, each step kept in the cache under a hash of all that it depends on."""

import gzip
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CheckFailed
from .output import OutputFile
from .simulator import cache_folder
from .synth_netlist import TOP, Netlist
from .synth_target import FREQUENCY_MHZ, Device, Target
from .synth_tools import YOSYS, Program, require_programs, run_program
from .synth_wrapper import DUT

__all__ = ["Flow", "NoRoom", "Routed"]

_NO_ROOM = re.compile(r"ERROR: .*(?:[Uu]nable to (?:find (?:legal )?|)place|failed to place|no Bels remaining|BELs? .*available)")
"""What the nextpnrs say when a design has more cells than the device."""
_TOTAL_LUTS = re.compile(r"Total LUT4s:\s+(\d+)/")


class NoRoom(Exception):
    """The design does not fit into the device."""


@dataclass(frozen=True, kw_only=True)
class Routed:
    """Place and route with one seed.

    Parameters
    ----------
    seed : its seed. mhz : highest clock. path : the slowest path, steps as nextpnr reports them. luts : LUT4s as nextpnr counts them, with the
        wrapper's; 0 if it does not say.
    """

    seed: int
    mhz: float
    path: list[dict[str, Any]]
    luts: int


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The tools for one device.

    Parameters
    ----------
    target, device : what to build for.
    seconds : time limit of each run of a tool.
    fresh : do not use what the cache has.
    """

    target: Target
    device: Device
    seconds: float
    fresh: bool = False

    @property
    def programs(self) -> tuple[Program, Program]:
        return YOSYS, self.target.program

    def versions(self) -> dict[str, str]:
        """Version of each tool by package. Raises `EnvironmentLacks` when one is missing."""
        require_programs(self.programs)
        packages = ["amaranth", *(program.package for program in self.programs)]
        return {package: importlib.metadata.version(package) for package in packages}

    def synthesise(self, rtlil: str) -> Netlist:
        """The netlist of a wrapped component: its hierarchy is kept towards the wrapper and flattened inside.

        Raises `CheckFailed`, `UsageError` like `run_program`.
        """
        script = (
            f"read_rtlil {TOP}.il; hierarchy -check -top {TOP}; setattr -mod -set keep_hierarchy 1 {TOP}.{DUT}; "
            f"{self.target.command} {self.device.synthesis} -top {TOP} -json {TOP}.json"
        )
        place = _cache_place("netlist", [YOSYS.version, script, rtlil])
        text = None if self.fresh else _kept(place)
        if text is None:
            run = run_program(YOSYS, ["-q", "-p", script], inputs={f"{TOP}.il": rtlil}, outputs=[f"{TOP}.json"], seconds=self.seconds)
            run.demand()
            text = run.files[f"{TOP}.json"]
            _keep(place, text)
        return Netlist(text, rtlil, self.target)

    def route(self, netlist: Netlist, seed: int) -> Routed:
        """Place and route with one seed. Raises `NoRoom`; `CheckFailed`, `UsageError` like `run_program`."""
        program, log = self.target.program, "route.log"
        arguments = [
            *self.device.place, *self.target.arguments, "--json", f"{TOP}.json", "--report", "report.json", "--seed", str(seed), "--freq",
            str(FREQUENCY_MHZ), "--timing-allow-fail", "--quiet", "--log", log,
        ]  # fmt: skip
        place = _cache_place("route", [program.version, arguments, netlist.text])
        text = None if self.fresh else _kept(place)
        if text is None:
            run = run_program(program, arguments, inputs={f"{TOP}.json": netlist.text}, outputs=["report.json", log], seconds=self.seconds)
            if run.status and _NO_ROOM.search(run.output):
                raise NoRoom
            run.demand()
            text = json.dumps(_reduced(json.loads(run.files["report.json"]), run.files[log]))
            _keep(place, text)
        return Routed(seed=seed, **json.loads(text))


def _reduced(report: Mapping[str, Any], log: str) -> dict[str, Any]:
    """What is used of nextpnr's report: the one clock's frequency and its slowest path, and its count of LUTs."""
    if len(report["fmax"]) != 1:
        raise CheckFailed(f"nextpnr sees {len(report['fmax'])} clocks; seqfault synth is for components of one")
    clock, speed = next(iter(report["fmax"].items()))
    within = [path["path"] for path in report["critical_paths"] if path["from"] == path["to"] == f"posedge {clock}"]
    luts = _TOTAL_LUTS.search(log)
    return {"mhz": speed["achieved"], "path": within[0] if within else [], "luts": int(luts.group(1)) if luts else 0}


def _cache_place(kind: str, parts: list[Any]) -> Path:
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
    return cache_folder() / "synth" / f"{kind}-{key}.json.gz"


def _kept(place: Path) -> str | None:
    """A text of the cache; None if it is not there or damaged."""
    try:
        return gzip.decompress(place.read_bytes()).decode()
    except (OSError, EOFError, UnicodeDecodeError):
        return None


def _keep(place: Path, text: str) -> None:
    """Put a text into the cache, whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with OutputFile(place) as file:
        file.temporary.write_bytes(gzip.compress(text.encode(), 3, mtime=0))
        file.commit()

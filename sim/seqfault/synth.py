"""Area and speed of a component with the open FPGA flow: wraps it, synthesises it, places and routes it with several seeds."""

import importlib
import inspect
import os
import statistics
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import UnusedElaboratable
from amaranth.lib import wiring

from seqfault_rtl.config import EngineConfig

from .errors import CheckFailed, UsageError
from .synth_flow import Flow, NoRoom, Routed
from .synth_netlist import TOP, Netlist, short_sources
from .synth_path import path_steps, path_summary
from .synth_target import TARGETS, Device, Target
from .synth_wrapper import PinWrapper
from .verilog import SIMULATION_ONLY

__all__ = ["TOPS", "make_component", "run_synth", "wrapped_rtlil"]

TOPS = {"engine": "seqfault_rtl.engine:Engine", "mmu": "seqfault_rtl.mmu:Mmu"}
"""Names for `--top`; anything else is MODULE:CLASS."""
Progressing = Callable[[str], None]
"""Called with the stage that begins."""


def make_component(top: str, config: EngineConfig) -> wiring.Component:
    """The component that `--top` names, made with these parameters.

    Raises `UsageError` when there is no such class, or it is no component that a configuration alone makes.
    """
    module_name, colon, class_name = TOPS.get(top, top).partition(":")
    if not colon or not module_name or not class_name:
        raise UsageError(f"--top: {top!r} is neither {' nor '.join(TOPS)} nor of the form MODULE:CLASS")
    try:
        made = getattr(importlib.import_module(module_name), class_name, None)
    except (ImportError, SyntaxError, TypeError, ValueError) as error:
        raise UsageError(f"--top: {module_name} cannot be imported: {error}") from None
    if not (inspect.isclass(made) and issubclass(made, wiring.Component)):
        raise UsageError(f"--top: {module_name} has no component {class_name}")
    try:
        inspect.signature(made).bind(config)
        takes_config = made.__init__ is not wiring.Component.__init__
    except TypeError:
        takes_config = False
    try:
        component: wiring.Component = made(*([config] if takes_config else []))
    except Exception as error:
        raise _refused(f"--top: {class_name} cannot be made", error) from None
    return component


def wrapped_rtlil(component: wiring.Component, *, leave_out: tuple[str, ...] = ()) -> str:
    """A component in its wrapper as RTLIL with short source names. Raises `UsageError` when it does not elaborate."""
    try:
        text = rtlil.convert(PinWrapper(component, leave_out=leave_out), name=TOP)
    except Exception as error:
        raise _refused(f"{type(component).__name__} does not elaborate", error) from None
    return short_sources(text)


def _refused(what: str, error: Exception) -> Exception:
    """What to raise for an error of somebody's component: one line, or with SEQFAULT_TRACEBACK the error itself."""
    warnings.simplefilter("ignore", UnusedElaboratable)  # Amaranth warns of the parts that were left unused, whenever they are collected
    return error if os.environ.get("SEQFAULT_TRACEBACK") else UsageError(f"{what}: {type(error).__name__}: {error}")


def _fits(netlist: Netlist, flow: Flow) -> bool:
    used = {name: netlist.area[name] + netlist.wrapper_area[name] for name in flow.device.room}
    return all(used[name] <= room for name, room in flow.device.room.items())


def _route_all(flow: Flow, netlist: Netlist, seeds: int, jobs: int, progress: Progressing) -> list[Routed]:
    """Place and route with seeds 1 to `seeds`."""

    def route(seed: int) -> Routed:
        progress(f"place and route, seed {seed} of {seeds}")
        return flow.route(netlist, seed)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        running = [pool.submit(route, seed) for seed in range(1, seeds + 1)]
        try:
            return [future.result() for future in running]
        finally:
            pool.shutdown(cancel_futures=True)


def _build(
    target: Target, text: str, *, seeds: int, jobs: int, timeout: float, fresh: bool, progress: Progressing
) -> tuple[Flow, Netlist, list[Routed]]:
    """The result in the smallest device that has room. Raises `UsageError` when none has."""
    for device in target.devices:
        flow = Flow(target=target, device=device, seconds=timeout, fresh=fresh)
        progress(f"synthesis for {device.name}")
        netlist = flow.synthesise(text)
        if not seeds:
            return flow, netlist, []
        if _fits(netlist, flow):
            with suppress(NoRoom):
                return flow, netlist, _route_all(flow, netlist, seeds, jobs, progress)
    raise UsageError(_no_room(device, netlist))


def _no_room(device: Device, netlist: Netlist) -> str:
    needs = ", ".join(f"{netlist.area[name]:,} {name.upper()}" for name in device.room)
    pins = netlist.wrapper_area["ff"]
    has = ", ".join(f"{room:,} {name.upper()}" for name, room in device.room.items())
    return f"it does not fit: it needs {needs}, and {pins:,} FF at its pins; {device.name} has {has} (--seeds 0 gives the area alone)"


def run_synth(
    top: str, *, target: str, preset: str, config: EngineConfig, settings: dict[str, str], seeds: int, jobs: int, timeout: float, fresh: bool,
    progress: Progressing = lambda stage: None,
) -> dict[str, Any]:  # fmt: skip
    """Synthesise a component; the result is the JSON of `seqfault synth` (docs/synthesis.md).

    Parameters
    ----------
    top : "engine", "mmu" or MODULE:CLASS. target : a name in `TARGETS`. preset, settings : how `config` was made.
    seeds : place and route with seeds 1 to this; 0: area only. jobs : how many at a time.
    timeout : limit of each run of a tool in seconds. fresh : do not use the cache.

    Raises
    ------
    UsageError : no such component, it does not elaborate, it does not fit, or a tool took too long.
    EnvironmentLacks : a tool is missing. CheckFailed : a tool refused the design.
    """
    family = TARGETS[target]
    versions = Flow(target=family, device=family.devices[0], seconds=timeout).versions()
    progress("elaboration")
    component = make_component(top, config)
    text = wrapped_rtlil(component, leave_out=SIMULATION_ONLY if top == "engine" else ())
    flow, netlist, routed = _build(family, text, seeds=seeds, jobs=jobs, timeout=timeout, fresh=fresh, progress=progress)
    _compare_counts(netlist, routed)
    slowest = min(routed, key=lambda run: run.mhz, default=None)
    return {
        "target": target,
        "device": flow.device.name,
        "top": top,
        "preset": preset,
        "settings": settings,
        "area": {**netlist.area, "by_block": netlist.area_by_block},
        "fmax_mhz": _speeds(routed),
        "critical_path": path_steps(netlist, slowest.path) if slowest else [],
        "paths": [{"seed": run.seed, "mhz": run.mhz, **path_summary(netlist, run.path)} for run in routed],
        "tools": versions,
    }


def _compare_counts(netlist: Netlist, routed: list[Routed]) -> None:
    """Our count of LUTs is nextpnr's, which does not know the wrapper from the component. Raises `CheckFailed`."""
    ours = netlist.area["lut4"] + netlist.wrapper_area["lut4"]
    for run in routed:
        if run.luts not in (0, ours):
            raise CheckFailed(f"nextpnr counts {run.luts} LUT4 where {ours} were counted in the netlist")


def _speeds(routed: list[Routed]) -> dict[str, Any] | None:
    speeds = [round(run.mhz, 2) for run in routed]
    return {"median": statistics.median(speeds), "min": min(speeds), "max": max(speeds), "seeds": speeds} if speeds else None

"""Makes small waveforms as the simulated top writes them, and runs of the functional engine with golden's view beside such a waveform."""

from pathlib import Path

import vcd

from seqfault_golden import Safeguard
from seqfault_rtl.config import PRESETS
from seqfault_tb.checked import checked_kernel
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.regression.execute import run_at_once
from seqfault_tb.regression.generate import Shape
from seqfault_tb.regression.golden_view import GoldenView, golden_file
from seqfault_tb.regression.watch import Watcher, watch

__all__ = ["PERIOD", "RISE", "WIDTHS", "record_run", "write_wave"]

WIDTHS = {"valid": 1, "first": 6, "last": 6, "agent": 6, "outcome": 5, "space": 16, "vpn": 48, "id": 16, "seq": 32, "addr": 64, "data": 64}
PERIOD, RISE = 10, 5
CONFIG = PRESETS["small"]
OTHERS = {
    "fault_unit.valid": 1, "fault_unit.context.state": 5, "fault_unit.contexts[0]": 190, "pte_locks.held": 6, "sequences.begin": 1,
    "axi__araddr": 56, "axi__arvalid": 1, "status__cq_head": 32, "requests__0__payload.va": 64,
}  # fmt: skip
"""Some signals of the engine, besides the event port."""


def write_wave(path: Path, events: dict[int, dict[str, int]], *, cycles: int = 20, leave_out: str = "") -> Path:
    """A VCD as the simulated top writes it: at every rising edge the counter and the next cycle's event change at once."""
    with path.open("w") as file, vcd.VCDWriter(file, timescale="1ns") as writer:
        clock = writer.register_var("TOP.seqfault_sim", "clk", "wire", 1, init=0)
        counter = writer.register_var("TOP.seqfault_sim", "cycle", "wire", 64, init=0)
        event = {
            name: writer.register_var("TOP.seqfault_sim.engine", f"ev_{name}", "wire", width, init=0)
            for name, width in WIDTHS.items()
            if name != leave_out
        }
        others = {name: writer.register_var("TOP.seqfault_sim.engine", name, "wire", width, init=0) for name, width in OTHERS.items()}
        for cycle in range(1, cycles):
            edge = PERIOD * cycle + RISE
            writer.change(clock, edge, 1)
            writer.change(counter, edge, cycle)
            values = {name: 0 for name in event} | ({"valid": 1, **events[cycle]} if cycle in events else {})
            for name in event:
                writer.change(event[name], edge, values[name])
            writer.change(others["fault_unit.context.state"], edge, cycle % 8)
            writer.change(others["axi__araddr"], edge, cycle << 6)
            writer.change(clock, edge + PERIOD // 2, 0)
    return path


class _Keep(Watcher):
    """Keeps the events of a run."""

    name = "keep"

    def __init__(self) -> None:
        self.records: list[list[int]] = []

    def event(self, record: list[int]) -> None:
        self.records.append(record)


def record_run(path: Path, *, seed: int = 1, removed: Safeguard | None = None, faults: int = 60) -> str | None:
    """Run a random program on the functional engine; leaves a waveform of its event port, with golden's view beside it.

    Returns the checker's first difference.
    """
    machine = GoldenMachine.of(CONFIG, seed=seed)
    machine.engine.world.removed = frozenset({removed} if removed else ())
    kernel, checker, _ = checked_kernel(machine, CONFIG, "spec")
    keep = _Keep()
    with GoldenView(checker, golden_file(path), {"seed": seed}) as view:
        watch(machine, [view, keep])
        run_at_once(kernel, seed, Shape(faults=faults, faulters=6, pause_ns=1000))
        checker.finish(machine.read64)
    names = [name for name in WIDTHS if name != "valid"]
    events = {record[1]: dict(zip(names, record[2:], strict=True)) for record in keep.records}
    assert len(events) == len(keep.records), "one event a cycle at the most"
    write_wave(path, events, cycles=max(events, default=0) + 3)
    return checker.first_difference

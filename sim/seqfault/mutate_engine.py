"""Makes the Verilog of the engine with all its mutants: `python -m seqfault.mutate_engine FILE`, a process of its own.

FILE is JSON: {"modules": [...], "preset": str, "settings": {...}, "key": str, "verilog": path or null, "list": path}.
"""

import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path

from amaranth.hdl import Fragment

from seqfault_tb.mutants import runtime
from seqfault_tb.mutants.hook import PACKAGE, install
from seqfault_tb.mutants.sharing import share_expressions

__all__ = ["main"]


def main(job: dict) -> None:  # type: ignore[type-arg]
    """Write the list of the mutants that are in the engine, and its Verilog if that is asked for."""
    share_expressions()
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    mutants = install(Path(spec.origin).parent, job["modules"])
    from seqfault_rtl.config import PRESETS
    from seqfault_rtl.engine import Engine
    from seqfault_tb.harness_top import HarnessTop

    from .mutate_model import check_key
    from .verilog_text import component_verilog

    check_key(job)
    config = PRESETS[job["preset"]].with_settings(job["settings"])
    engine = Engine(config)
    engine.plant = runtime.ACTIVE
    harness = HarnessTop(config, engine)
    if job["verilog"] is None:
        Fragment.get(harness, None)
    else:
        Path(job["verilog"]).write_text(component_verilog(harness, name="harness_top"))
    live = [asdict(mutant) for mutant in mutants if mutant.number in runtime.LIVE]
    Path(job["list"]).write_text(json.dumps(live))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))

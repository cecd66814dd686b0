"""The Verilated engine in the harness of `seqfault run`: built once for each configuration and content of the RTL."""

from collections.abc import Callable
from pathlib import Path

import seqfault_tb
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.engine import Engine
from seqfault_tb import planted
from seqfault_tb.harness_top import HARNESS_FILES, MAIN_FILE, HarnessTop, harness_files, vector_bits

from . import coverage_verilog
from .coverage_verilog import sourced_verilog
from .simulator import Model, build_model
from .verilog_text import component_verilog, rtl_key

__all__ = ["HARNESS_TOP", "build_engine", "build_planted"]

HARNESS_TOP = "seqfault_sim"
COVERAGE_ARGUMENTS = ("--coverage-line", "--coverage-toggle")


def build_engine(
    config: EngineConfig, *, trace: str | None = None, engine: Callable[[EngineConfig], Engine] = Engine, key: str = "", coverage: bool = False,
    verilog: Callable[[], str] | None = None,
) -> Path:  # fmt: skip
    """Folder of the built simulation of this configuration; `trace` is None, "vcd" or "fst".

    `engine` makes what is built; `key` must tell apart those that are not `Engine` (with planted bugs, say).
    `coverage`: the simulation counts lines and toggles (see `coverage_rtl`); it takes minutes to build, and is slower.
    `verilog`: makes the text of `HarnessTop` instead (with the mutants in it, say), for `key`; quick to build rather than to run.
    Raises `SimulationFailed` if it does not build.
    """
    bits = dict(zip(("TO_HOST_BITS", "FROM_HOST_BITS"), vector_bits(config), strict=True))
    folder = Path(seqfault_tb.__file__).parent / "harness"
    sources = [Path(seqfault_tb.__file__).parent / "harness_top.py", *([Path(coverage_verilog.__file__)] if coverage else [])]
    model = Model(
        name="engine-coverage" if coverage else "engine",
        top=HARNESS_TOP,
        verilog=verilog or (lambda: (sourced_verilog if coverage else component_verilog)(HarnessTop(config, engine(config)), name="harness_top")),
        verilog_key=f"{rtl_key(*sources)} {config!r} {key}",
        generated=harness_files(config),
        files=[folder / name for name in HARNESS_FILES],
        main=folder / MAIN_FILE if trace else None,
        all_public=False,
        trace=trace,
        optimise=verilog is None,
        arguments=[
            "--timing",
            "-CFLAGS",
            "-std=c++20 -fcoroutines",
            "-LDFLAGS",
            "-rdynamic",
            *(COVERAGE_ARGUMENTS if coverage else ()),
            *(f"-D{name}={value}" for name, value in bits.items()),
        ],
    )
    return build_model(model)


def build_planted(config: EngineConfig, *, trace: str | None = None, coverage: bool = False) -> Path:
    """The same for the engine with bugs of which one can be switched on (`planted.py`)."""
    return build_engine(config, engine=planted.PlantedEngine, key=Path(planted.__file__).read_text(), trace=trace, coverage=coverage)

"""The Verilated engine in the harness of `seqfault run`: built once for each configuration and content of the RTL."""

from pathlib import Path

import seqfault_tb
from seqfault_rtl.config import EngineConfig
from seqfault_tb.harness_top import HARNESS_FILES, HarnessTop, harness_files

from .simulator import Model, build_model
from .verilog_text import component_verilog, rtl_key

__all__ = ["HARNESS_TOP", "build_engine"]

HARNESS_TOP = "seqfault_sim"


def build_engine(config: EngineConfig, *, trace: str | None = None, top: HarnessTop | None = None, key: str = "") -> Path:
    """Folder of the built simulation of this configuration; `trace` is None, "vcd" or "fst".

    `top` and `key` replace the engine by a changed one (a planted bug, say); `key` must tell apart what is changed.
    Raises `SimulationFailed` if it does not build.
    """
    harness = top if top is not None else HarnessTop(config)
    bits = {"TO_HOST_BITS": harness.to_host.shape().width, "FROM_HOST_BITS": harness.from_host.shape().width}
    folder = Path(seqfault_tb.__file__).parent / "harness"
    model = Model(
        name="engine",
        top=HARNESS_TOP,
        verilog=lambda: component_verilog(harness, name="harness_top"),
        verilog_key=f"{rtl_key(Path(seqfault_tb.__file__).parent / 'harness_top.py')} {config!r} {key}",
        generated=harness_files(config),
        files=[folder / name for name in HARNESS_FILES],
        all_public=False,
        trace=trace,
        optimise=True,
        arguments=[
            "--timing",
            "-CFLAGS",
            "-std=c++20 -fcoroutines",
            "-LDFLAGS",
            "-rdynamic",
            *(f"-D{name}={value}" for name, value in bits.items()),
        ],
    )
    return build_model(model)

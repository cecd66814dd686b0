"""The Verilated Mmu of `seqfault walk`: which configuration, built once for each and content of the RTL, and one simulation of vectors."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import seqfault_golden
import seqfault_tb
from seqfault_golden import PagingMode
from seqfault_rtl.config import EngineConfig
from seqfault_tb.walk_top import WalkTop

from .doctor import require_simulation_tools
from .errors import UsageError
from .job import failed, run_job
from .settings import configuration
from .simulator import Model, SimulationFailed, build_model
from .vectors import VectorSet
from .verilog_text import component_verilog, rtl_key
from .walk_result import mismatch, walk_record

__all__ = ["Simulation", "walk_config", "walk_model"]

TOP = "walk_top"
TEST = "seqfault.walk_job"
SIZE = {"ports": "2", "spaces": "512", "l2_sets": "16"}
"""What `seqfault walk` sets where `--set` says nothing: two ports for the two TLB levels, a space for each of many vectors, a small L2 TLB."""
_HERE, _TB, _GOLDEN = (Path(str(file)).parent for file in (__file__, seqfault_tb.__file__, seqfault_golden.__file__))
Progress = Callable[[int, int], None]


def walk_config(preset: str, settings: Mapping[str, str]) -> EngineConfig:
    """The configuration that is simulated. Raises `UsageError`."""
    without = () if configuration(preset, {}).l2_sets else ("l2_sets",)
    size = {name: value for name, value in SIZE.items() if name not in without}
    return replace(configuration(preset, {**size, **settings}), events=False)


def walk_model(config: EngineConfig, *, trace: str | None = None) -> Model:
    """What to build."""
    return Model(
        name="walk", top=TOP, verilog=lambda: component_verilog(WalkTop(config), name=TOP), verilog_key=f"{rtl_key(_TB / 'walk_top.py')} {config!r}",
        files=[_TB / "harness" / "walk_top.vlt"], all_public=False, trace=trace,
    )  # fmt: skip


class Simulation:
    """The vectors of one set in the Verilated Mmu.

    Parameters
    ----------
    vectors : as loaded; name, limit : where the simulation gets them again.
    config : as of `walk_config`. preset : its name. seed, latency, waves : of the simulation.
    model : what to build instead of `walk_model`: an Mmu with planted bugs. plant : number of the one to switch on.

    Raises
    ------
    UsageError : the configuration does not build what the vectors need.
    """

    def __init__(
        self, vectors: VectorSet, config: EngineConfig, *, preset: str, name: str, limit: int | None, seed: int, latency: int,
        waves: Path | None = None, model: Model | None = None, plant: int = 0,
    ) -> None:  # fmt: skip
        _require_built(vectors, config)
        trace = None if waves is None else waves.suffix.removeprefix(".")
        self._vectors, self._waves, self._seed, self._preset = vectors, waves, seed, preset
        self._model = model if model is not None else walk_model(config, trace=trace)
        path = Path(name)
        self._job = {
            "vectors": str(path.resolve()) if path.is_file() else name, "limit": limit, "config": asdict(config), "seed": seed,
            "latency": latency, "plant": plant,
        }  # fmt: skip

    def key(self) -> str:
        """Hash of everything that the result depends on, but for the vectors."""
        ours = [_HERE / name for name in ("job.py", "vectors.py", "walk_job.py", "walk_model.py", "walk_result.py")]
        sources = rtl_key(*sorted(_GOLDEN.glob("*.py")), *sorted(_TB.glob("walk_*.py")), *ours)
        return f"{self._model.key()} {sources} {self._preset} {[value for name, value in self._job.items() if name != 'vectors']}"

    def run(self, progress: Progress | None = None) -> dict[str, Any]:
        """Build the model and simulate; the JSON of `walk` with our additions. Raises `CheckFailed`, `EnvironmentLacks`."""
        require_simulation_tools(fst=self._waves is not None and self._waves.suffix == ".fst")
        total = len(self._vectors.vectors)

        def report_vectors(done: int) -> None:
            if progress is not None:
                progress(done, total)

        try:
            folder = build_model(self._model)
        except SimulationFailed as error:
            raise failed(error) from error
        report = run_job(folder, TOP, TEST, self._job, seed=self._seed, waves=self._waves, progress=report_vectors)
        by_number = {vector.number: vector for vector in self._vectors.vectors}
        differing = {row.pop("number"): row for row in report.pop("differences")}
        mismatches = {number: mismatch(self._vectors, by_number[number], **row) for number, row in differing.items()}
        return walk_record(self._vectors, mismatches, engine="rtl", preset=self._preset, **report)


def _require_built(vectors: VectorSet, config: EngineConfig) -> None:
    """The mode of the vectors is built, and Svadu where one of them has it."""
    mode = vectors.mode
    if mode is PagingMode.SV32 and not config.sv32:
        raise UsageError(f"{vectors.name} is about Sv32, which this configuration does not build (--set sv32=true)")
    if mode is not PagingMode.SV32 and mode.levels > config.levels:
        raise UsageError(f"{vectors.name} is about {mode.name.capitalize()}, which this configuration does not build (--set levels={mode.levels})")
    if not config.svadu and any(vector.control.adue for vector in vectors.vectors):
        raise UsageError(f"{vectors.name} has hardware updates of A and D, which this configuration does not build (--set svadu=true)")

"""`seqfault walk`: translation vectors through the RTL in Verilator, or through the golden model. [formats.md, Vectors]

Here is the process that the user started; inside the simulation runs `walk_job.py`. A simulation's result is kept by the content of
everything that it depends on: the vectors, the model, the testbench, the golden model and the options.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from seqfault_tb.walk_end import TRANSLATED, End, golden_end, reader

from .output import OutputFile
from .simulator import cache_folder
from .vectors import VectorSet, load_vectors
from .walk_result import mismatch, walk_record

__all__ = ["ENGINES", "run_walk"]

ENGINES = ("rtl", "golden")
Progress = Callable[[int, int], None]


def run_walk(
    name: str, *, engine: str = "rtl", limit: int | None = None, fresh: bool = False, preset: str = "default",
    settings: Mapping[str, str] | None = None, seed: int = 1, latency: int = 50, waves: Path | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run the vectors `name` (a path or the name of a packaged set); returns the JSON of `walk` with our additions.

    Parameters
    ----------
    engine : one of `ENGINES`. limit : only the first so many vectors. fresh : do not take the result from the cache.
    preset, settings, seed, latency, waves : of the RTL's simulation. progress : called now and then with vectors done and vectors in all.

    Raises
    ------
    UsageError : bad input. EnvironmentLacks : a tool is missing. CheckFailed : the simulation hung or died.
    """
    vectors = load_vectors(name, limit=limit)
    if engine == "golden":
        return _timed(lambda: run_golden(vectors, progress))
    from .walk_model import Simulation, walk_config

    config = walk_config(preset, settings or {})
    simulation = Simulation(vectors, config, preset=preset, name=name, limit=limit, seed=seed, latency=latency, waves=waves)
    key = hashlib.sha256(f"{vectors.name} {vectors.digest} {preset} {simulation.key()}".encode()).hexdigest()[:20]
    kept = cache_folder() / f"walked-{key}.json"
    if not fresh and waves is None:
        with suppress(OSError, ValueError):
            return {**json.loads(kept.read_text()), "cached": True}
    result = _timed(lambda: simulation.run(progress))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with OutputFile(kept) as file:
        file.write_text(json.dumps(result))
    return result


def _timed(execute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    started = time.monotonic()
    result = execute()
    return {**result, "wall_s": round(time.monotonic() - started, 3), "cached": False}


def run_golden(vectors: VectorSet, progress: Progress | None = None) -> dict[str, Any]:
    """Compare every vector with the golden model: status, cause, address, reads in order, A/D update."""
    failed = {}
    for done, vector in enumerate(vectors.vectors):
        read = reader(vectors.images[vector.image], vectors.limit)
        got = golden_end(vectors.mode, vector.root, vector.va, vector.control, read)._replace(pbmt=None, reason=None)
        updates = (vector.update,) if vector.update else ()
        expected = End(vector.status, vector.cause, vector.pa if vector.status == TRANSLATED else 0, vector.reads, updates)
        if got != expected:
            failed[vector.number] = mismatch(vectors, vector, str(expected), str(got))
        if progress is not None and done % 1000 == 0:
            progress(done, len(vectors.vectors))
    return walk_record(vectors, failed, engine="golden")

"""The engine with mutants as a Verilated model, and the list of them. The Verilog is made by a process of its own (`mutate_engine.py`)."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import seqfault_tb.mutants
from seqfault_rtl.config import PRESETS
from seqfault_tb.mutants.transform import Mutant

from . import mutate_engine
from .engine_model import build_engine
from .errors import CheckFailed
from .verilog_text import rtl_key

__all__ = ["PRESET", "SETTINGS", "build_mutants", "check_key", "list_mutants", "mutants_key"]

PRESET, SETTINGS = "small", {"svadu": "true"}
"""The smallest engine that has all that the protocol asks for."""


TRANSFORMATION = ("runtime.py", "transform.py", "hook.py")


def list_mutants(modules: Sequence[str]) -> list[Mutant]:
    """The mutants of these modules that are in the engine. Raises `CheckFailed` when it does not elaborate."""
    with tempfile.TemporaryDirectory(prefix="seqfault-mutants-") as scratch:
        found = _make(modules, Path(scratch), None)
    return [Mutant(**record) for record in found]


def build_mutants(modules: Sequence[str]) -> Path:
    """Folder of the simulation that has all of them. Raises `CheckFailed`, `SimulationFailed`."""

    def verilog() -> str:
        with tempfile.TemporaryDirectory(prefix="seqfault-mutants-") as scratch:
            text = Path(scratch) / "mutants.v"
            _make(modules, Path(scratch), text)
            return text.read_text()

    return build_engine(PRESETS[PRESET].with_settings(SETTINGS), verilog=verilog, key=mutants_key(modules))


def mutants_key(modules: Sequence[str]) -> str:
    """Hash of all that makes the mutants: the RTL and the transformation."""
    sources = sorted(Path(seqfault_tb.mutants.__file__).parent.glob("*.py"))
    return f"{rtl_key(Path(mutate_engine.__file__), *(source for source in sources if source.name in TRANSFORMATION))} {' '.join(modules)}"


def check_key(job: Mapping[str, Any]) -> None:
    """In a process that has imported mutants: raises `SystemExit` if they are not those that the job's `key` stands for."""
    if mutants_key(job["modules"]) != job["key"]:
        raise SystemExit("the RTL was changed while its mutants were tried")


def _make(modules: Sequence[str], scratch: Path, verilog: Path | None) -> list[dict[str, Any]]:
    job, mutants = scratch / "job.json", scratch / "list.json"
    job.write_text(json.dumps({
        "modules": list(modules), "preset": PRESET, "settings": SETTINGS, "verilog": verilog and str(verilog), "list": str(mutants),
        "key": mutants_key(modules),
    }))  # fmt: skip
    command = [sys.executable, "-m", "seqfault.mutate_engine", os.fspath(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CheckFailed("the mutants' Verilog could not be made", details=done.stdout + done.stderr)
    found: list[dict[str, Any]] = json.loads(mutants.read_text())
    return found

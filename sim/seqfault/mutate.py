"""`seqfault mutate`: tries mutants of the RTL on the regression's programs, then on the blocks' own tests, and keeps the verdicts.

Verdicts are kept in the cache, under a hash of the mutants and of what judges them: what was tried is not tried again.
"""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import seqfault_golden
import seqfault_tb
from seqfault_tb.mutants.blocks import modules_of
from seqfault_tb.mutants.programs import programs
from seqfault_tb.mutants.transform import Mutant
from seqfault_tb.regression.program import Program

from .engine_model import HARNESS_TOP
from .errors import CheckFailed, UsageError
from .job import failed, run_job
from .mutate_model import PRESET, SETTINGS, build_mutants, list_mutants, mutants_key
from .simulator import SimulationFailed, cache_folder

__all__ = ["Campaign", "Tried", "check_score", "choose_modules", "judge_by_tests", "prepare"]

JOB = "seqfault_tb.mutants.judge_job"
NO_LIMIT = 365 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A mutant and the verdict on it: see `Court.close`."""

    mutant: Mutant
    verdict: Mapping[str, Any]

    @property
    def killed(self) -> bool:
        return bool(self.verdict["killed"])


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """Mutants to be tried, in a random order, so that what is done at any time is a fair sample.

    Attributes
    ----------
    modules : of the RTL. found : all mutants in them. chosen : those to try, in order. programs : what they are tried on.
    verdicts : the file that keeps the verdicts, a line of JSON each.
    """

    modules: Sequence[str]
    found: Sequence[Mutant]
    chosen: Sequence[Mutant]
    programs: Sequence[Program]
    verdicts: Path

    def tried(self) -> list[Tried]:
        """Of the chosen ones, those with a verdict."""
        known = _read(self.verdicts)
        return [Tried(mutant=mutant, verdict=known[mutant.number]) for mutant in self.chosen if mutant.number in known]

    def run(self, *, jobs: int, limit: float | None, on_progress: Callable[[int, int], None], tests: Path | None = None) -> None:
        """Try the rest, `jobs` runs at a time, for `limit` seconds (None: all); then survivors on the tests in `tests`.

        Raises `CheckFailed`: it does not build, or the unchanged engine is not accepted.
        """
        until = time.time() + (NO_LIMIT if limit is None else limit)
        known = _read(self.verdicts)
        rest = [mutant.number for mutant in self.chosen if mutant.number not in known]
        self.verdicts.parent.mkdir(parents=True, exist_ok=True)
        if rest:
            self._run_programs(rest, jobs, until, on_progress)
        if tests is not None:
            self._run_tests(tests, until)

    def _run_programs(self, rest: Sequence[int], jobs: int, until: float, on_progress: Callable[[int, int], None]) -> None:
        try:
            model = build_mutants(self.modules)
        except SimulationFailed as error:
            raise failed(error) from error
        job = {
            "mutants": rest, "programs": [program.to_json() for program in self.programs], "jobs": jobs, "verdicts": str(self.verdicts),
            "until": until,
        }  # fmt: skip
        before, every = len(self.chosen) - len(rest), len(self.chosen)
        run_job(model, HARNESS_TOP, JOB, job, seed=1, progress=lambda done: on_progress(before + done, every))

    def _run_tests(self, tests: Path, until: float) -> None:
        """Modules with the same tests together: they share a build."""
        from .mutate_blocks import TESTS

        alive = [item.mutant for item in self.tried() if not item.killed and not item.verdict.get("tested")]
        for names in sorted(set(TESTS.values())):
            only = [module for module in self.modules if TESTS.get(module) == names]
            numbers = [mutant.number for mutant in alive if Path(mutant.file).stem in only]
            if numbers and time.time() < until:
                judge_by_tests(self.modules, only, numbers, [f"{tests.resolve()}/{name}" for name in names], until, self.verdicts)


def choose_modules(names: list[str]) -> list[str]:
    """The modules of these groups, or with these names; all without one. Raises `UsageError`."""
    try:
        return modules_of(names)
    except ValueError as error:
        raise UsageError(str(error)) from None


def prepare(modules: Sequence[str], *, sample: int | None, seed: int, verdicts: Path | None = None) -> Campaign:
    """The mutants of these modules in the order of `seed`; `sample`: only so many. Raises `CheckFailed` when the RTL does not elaborate.

    `verdicts`: the file to keep them in; without one there is a file for each state of the RTL, the golden model and the testbench.
    """
    found = list_mutants(modules)
    order = random.Random(seed).sample(found, len(found))
    judges = programs(PRESET, SETTINGS)
    digest = hashlib.sha256(repr([mutants_key(modules), _judge_key(), [program.to_json() for program in judges]]).encode()).hexdigest()[:16]
    kept = verdicts or cache_folder() / "mutants" / f"{digest}.jsonl"
    return Campaign(modules=modules, found=found, chosen=order[:sample], programs=judges, verdicts=kept)


def judge_by_tests(modules: Sequence[str], only: Sequence[str], numbers: Sequence[int], tests: Sequence[str], until: float, verdicts: Path) -> None:
    """Try mutants of some modules (`only`) on tests, in a process of its own. Raises `CheckFailed` when they fail without a mutant."""
    with tempfile.TemporaryDirectory(prefix="seqfault-mutants-") as scratch:
        job = Path(scratch) / "job.json"
        job.write_text(json.dumps({
            "modules": list(modules), "only": list(only), "key": mutants_key(modules), "numbers": list(numbers), "tests": list(tests),
            "until": until, "verdicts": str(verdicts),
        }))  # fmt: skip
        done = subprocess.run([sys.executable, "-m", "seqfault.mutate_blocks", str(job)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CheckFailed(f"the tests of {', '.join(only)} could not judge mutants", details=done.stdout + done.stderr)


def _judge_key() -> str:
    """Hash of what judges a run: the golden model, and the testbench."""
    digest = hashlib.sha256()
    for package in (seqfault_golden, seqfault_tb):
        for source in _sources(Path(str(package.__file__)).parent):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _sources(folder: Path) -> Iterable[Path]:
    """Python and C++, but no tests."""
    found = [*folder.rglob("*.py"), *folder.rglob("*.cpp")]
    return sorted(source for source in found if not source.name.startswith("test_"))


def _read(verdicts: Path) -> dict[int, dict[str, Any]]:
    """By mutant. A line that an interrupt cut is left out."""
    known: dict[int, dict[str, Any]] = {}
    for line in verdicts.read_text().splitlines() if verdicts.exists() else ():
        try:
            verdict = json.loads(line)
        except ValueError:
            continue
        number = verdict["mutant"]
        known[number] = {**known.get(number, {}), **verdict}  # a test's verdict comes after that of the programs
    return known


def check_score(tried: Sequence[Tried], at_least: float | None) -> None:
    """Raises `CheckFailed` for a score below `at_least` percent."""
    score = 100 * sum(item.killed for item in tried) / len(tried) if tried else 0.0
    if at_least is not None and score < at_least:
        raise CheckFailed(f"{score:.1f} % of {len(tried)} mutants were killed, less than {at_least:g} %")

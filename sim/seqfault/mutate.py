"""`seqfault mutate`: tries mutants of the RTL on the regression's programs, then on the blocks' own tests, and keeps the verdicts.

Verdicts are kept in the cache, under a hash of the mutants and of what judges them: what was tried is not tried again. Those of the blocks' tests
hold for these tests only (`mutate_verdicts.py`).
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
from functools import cached_property
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
from .mutate_verdicts import begin_verdicts, key_of_tests, read_verdicts
from .simulator import SimulationFailed, cache_folder

__all__ = ["Campaign", "Tried", "choose_modules", "judge_by_tests", "prepare"]

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
    verdicts : the file that keeps the verdicts. key : of the sources they hold for. tests : the folder tests/rtl, if survivors are tried on it.
    """

    modules: Sequence[str]
    found: Sequence[Mutant]
    chosen: Sequence[Mutant]
    programs: Sequence[Program]
    verdicts: Path
    key: str
    tests: Path | None = None

    @cached_property
    def tests_key(self) -> str | None:
        """Of the tests as they were at first: a verdict with another key does not count."""
        return None if self.tests is None else key_of_tests(self.tests)

    def tried(self) -> list[Tried]:
        """Of the chosen ones, those with a verdict. Raises `UsageError`: see `read_verdicts`."""
        known = read_verdicts(self.verdicts, self.key, self.tests_key)
        return [Tried(mutant=mutant, verdict=known[mutant.number]) for mutant in self.chosen if mutant.number in known]

    def run(self, *, jobs: int, limit: float | None, on_progress: Callable[[int, int], None]) -> None:
        """Try the rest, `jobs` runs at a time, for `limit` seconds (None: all); then survivors on the tests in `tests`.

        Raises `CheckFailed`: it does not build, or the unchanged engine is not accepted. `UsageError`: the verdicts cannot be kept.
        """
        until = time.time() + (NO_LIMIT if limit is None else limit)
        known = {item.mutant.number for item in self.tried()}
        rest = [mutant.number for mutant in self.chosen if mutant.number not in known]
        begin_verdicts(self.verdicts, self.key)
        if rest:
            self._run_programs(rest, jobs, until, on_progress)
        if self.tests is not None:
            self._run_tests(self.tests, until)

    def _run_programs(self, rest: Sequence[int], jobs: int, until: float, on_progress: Callable[[int, int], None]) -> None:
        try:
            model = build_mutants(self.modules)
        except SimulationFailed as error:
            raise failed(error) from error
        job = {
            "mutants": rest, "programs": [program.to_json() for program in self.programs], "jobs": jobs, "until": until,
            "verdicts": str(self.verdicts.resolve()),
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
                judge_by_tests(self.modules, only, numbers, tests, names, until, self.verdicts, key=str(self.tests_key))


def choose_modules(names: list[str]) -> list[str]:
    """The modules of these groups, or with these names; all without one. Raises `UsageError`."""
    try:
        return modules_of(names)
    except ValueError as error:
        raise UsageError(str(error)) from None


def prepare(modules: Sequence[str], *, sample: int | None, seed: int, verdicts: Path | None = None, tests: Path | None = None) -> Campaign:
    """The mutants of these modules in the order of `seed`; `sample`: only so many; `tests`: tried on the tests of this folder too.

    `verdicts`: the file to keep them in; without one there is a file for each state of the RTL, the golden model and the testbench.
    Raises `CheckFailed` when the RTL does not elaborate, `UsageError` when that file has other verdicts.
    """
    found = list_mutants(modules)
    order = random.Random(seed).sample(found, len(found))
    judges = programs(PRESET, SETTINGS)
    digest = hashlib.sha256(repr([mutants_key(modules), _judge_key(), [program.to_json() for program in judges]]).encode()).hexdigest()[:16]
    kept = verdicts or cache_folder() / "mutant-verdicts" / f"{digest}.jsonl"
    campaign = Campaign(modules=modules, found=found, chosen=order[:sample], programs=judges, verdicts=kept, key=digest, tests=tests)
    campaign.tried()
    return campaign


def judge_by_tests(
    modules: Sequence[str], only: Sequence[str], numbers: Sequence[int], folder: Path, names: Sequence[str], until: float, verdicts: Path, *, key: str
) -> None:
    """Try mutants of some modules (`only`) on the tests `names` in `folder`, in a process of its own.

    Raises `CheckFailed` when they fail without a mutant, or are not those that `key` stands for (`key_of_tests`).
    """
    with tempfile.TemporaryDirectory(prefix="seqfault-mutants-") as scratch:
        job = Path(scratch) / "job.json"
        job.write_text(json.dumps({
            "modules": list(modules), "only": list(only), "key": mutants_key(modules), "numbers": list(numbers), "folder": str(folder.resolve()),
            "tests": list(names), "tested": key, "until": until, "verdicts": str(verdicts),
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

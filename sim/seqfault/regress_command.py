"""The command `seqfault regress`. Imports what it needs when it runs, like the others."""

import os
import re
import shlex
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import json_output, report, show
from .errors import CheckFailed, UsageError
from .output import OutputFile, optional_file
from .settings import configuration, parse_settings
from .wave_output import check_wave_name, wave_output

if TYPE_CHECKING:
    from .regress import Regression
    from .regress_plan import Case

__all__ = ["regress"]

SEEDS, FAULTS = "20", 2000


def regress(
    seeds: Annotated[str | None, typer.Option("--seeds", metavar="N|A:B", help=f"The seeds 1 to N, or A to B. Default: {SEEDS}.")] = None,
    profile: Annotated[
        list[str] | None, typer.Option("--profile", metavar="NAME", help="What the programs are about; may be repeated. Default: mixed.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Name the profiles; run nothing.")] = False,
    races: Annotated[
        bool, typer.Option("--races", help="Sweep all directed races, under each policy, at two latencies; with --seeds: besides.")
    ] = False,
    race: Annotated[list[str] | None, typer.Option("--race", metavar="NAME", help="Likewise, only this race (R1 to R25); may be repeated.")] = None,
    preset: Annotated[list[str] | None, typer.Option("--preset", help="Named parameters of the engine; may be repeated.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one parameter; may be repeated.")] = None,
    faults: Annotated[int, typer.Option("--faults", min=1, max=1_000_000, help="Faults that a program makes.")] = FAULTS,
    policy: Annotated[str | None, typer.Option("--policy", help="Only this one: spec, vma-lock or mm-lock.")] = None,
    latency: Annotated[int | None, typer.Option("--latency", min=1, max=100_000, metavar="CYCLES", help="Only this latency of memory.")] = None,
    plant: Annotated[str | None, typer.Option("--plant", metavar="BUG", help="Plant a bug in the engine, to see that it is found.")] = None,
    program: Annotated[Path | None, typer.Option("--program", metavar="FILE", help="Run this program instead, as a failure leaves it.")] = None,
    waves: Annotated[Path | None, typer.Option("--waves", metavar="FILE", help="Record a waveform (.vcd or .fst) of the one program.")] = None,
    since: Annotated[int, typer.Option("--waves-from", min=0, metavar="CYCLE", help="Begin the waveform there (a cycle is about 10 kB of VCD).")] = 0,
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, max=256, help="Programs at a time; default: one per processor.")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster with this scheduler.")] = None,
    artifacts: Annotated[Path, typer.Option("--artifacts", metavar="DIR", help="Where the first failure leaves its program and waves.")] = Path(
        "regress-artifacts"
    ),
    shrink: Annotated[float, typer.Option("--shrink", min=0, metavar="SECONDS", help="How long the first failure is made smaller.")] = 60.0,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the outcomes as JUnit XML.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page about the run.")] = None,
    coverage: Annotated[Path | None, typer.Option("--coverage", metavar="FILE", help="Write functional and code coverage, with its holes.")] = None,
    goal: Annotated[
        float | None, typer.Option("--coverage-goal", min=0, max=100, metavar="PERCENT", help="Fail when fewer functional bins are reached.")
    ] = None,
    database: Annotated[
        Path | None, typer.Option("--coverage-database", metavar="FILE", help="Write cocotb-coverage's database (.xml, .yml) for its own tools.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")] = None,
) -> None:
    """Race random faults against random changes of their address spaces, every step checked by the golden model.

    A seed always makes the same program. Of the first failure a small program that still fails is left in a folder, with its waveform, and the
    commands that repeat failures are printed.
    """
    from .doctor import require_simulation_tools

    for module in ["regress_html"] * (html is not None) + ["regress_junit"] * (junit is not None):
        import_module(f".{module}", __package__)  # what they lack is said before the work begins
    if listed:
        _list_profiles(json_path)
        return
    check_wave_name(waves)
    if database is not None and database.suffix not in (".xml", ".yml", ".yaml"):
        raise UsageError(f"--coverage-database: {database} must end in .xml or .yml")
    _check_outputs(artifacts, waves=waves, junit=junit, html=html, coverage=coverage, coverage_database=database, json=json_path)
    of_programs = {
        "--profile": profile, "--preset": preset, "--set": settings, "--faults": None if faults == FAULTS else faults, "--plant": plant,
    }  # fmt: skip
    if program is not None:
        _refuse("--program", {"--seeds": seeds, "--races": races, "--race": race, "--policy": policy, "--latency": latency, **of_programs})
    elif (races or race) and seeds is None:
        _refuse("--races without --seeds", {name: value for name, value in of_programs.items() if name != "--plant"})
    from .regress_plan import parse_seeds, plan, read_program

    if program is not None:
        cases = [read_program(program)]
    else:
        cases = _races(race or [], policy, latency, plant) if races or race else []
        if seeds is not None or not cases:
            presets, parameters = preset or ["default"], parse_settings(settings)
            for name in presets:
                configuration(name, parameters)
            fixed = {"policy": policy, "latency": latency, "plant": plant}
            chosen = parse_seeds(SEEDS if seeds is None else seeds)
            cases += plan(chosen, profiles=profile or ["mixed"], presets=presets, settings=parameters, faults=faults, fixed=fixed)
    if coverage is not None:
        cases = [{**case, "code": True} for case in cases]
    if since and waves is None:
        raise UsageError("--waves-from goes with --waves")
    if waves is not None and len(cases) != 1:
        raise UsageError(f"--waves goes with one program, not {len(cases)}: `--seeds 3:3`, or --program FILE")
    with ExitStack() as stack:
        json_file = stack.enter_context(json_output(json_path))
        outputs = {"junit": junit, "html": html, "coverage": coverage, "database": database}
        files = {name: stack.enter_context(optional_file(path)) for name, path in outputs.items()}
        require_simulation_tools(fst=waves is not None and waves.suffix == ".fst")
        _regress(cases, jobs, scheduler, artifacts, shrink, waves, since, goal, files, json_path, json_file)


def _check_outputs(artifacts: Path, **outputs: Path | None) -> None:
    """No two outputs are one file, and there can be a folder for what a failure leaves."""
    seen: dict[Path, str] = {}
    for name, path in outputs.items():
        if path is not None and str(path) != "-" and not path.is_char_device():
            option = f"--{name.replace('_', '-')}"
            if (other := seen.setdefault(path.resolve(), option)) != option:
                raise UsageError(f"{option}: {path} is what {other} writes")
    existing = next(folder for folder in (artifacts.absolute(), *artifacts.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UsageError(
            f"--artifacts: {artifacts} cannot be a folder: {existing} is {'no folder' if existing.is_file() else 'not to be written to'}"
        )


def _refuse(what: str, options: dict[str, Any]) -> None:
    """What would have no effect is an error."""
    if given := [name for name, value in options.items() if value]:
        raise UsageError(f"{what} does not go with {', '.join(given)}")


def _regress(
    cases: "list[Case]", jobs: int | None, scheduler: str | None, artifacts: Path, shrink: float, waves: Path | None, since: int,
    goal: float | None, files: dict[str, OutputFile | None], json_path: Path | None, json_file: OutputFile | None,
) -> None:  # fmt: skip
    from .coverage_report import check_coverage, coverage_record
    from .regress import Regression, prepare
    from .regress_outputs import write_outputs
    from .regress_progress import regress_progress
    from .regress_report import failure_text, regress_record, regress_tables

    regression = Regression(cases)
    stopped: BaseException | None = None  # whatever it is, what is done is reported
    try:
        with regress_progress(len(cases)) as on_progress:
            if scheduler is None and waves is None:
                prepare(cases)
            with closing(_results(cases, jobs, scheduler, waves, since)) as results:
                regression.gather(results, on_progress)
    except (Exception, KeyboardInterrupt) as error:
        if not regression.results and not isinstance(error, KeyboardInterrupt):
            raise
        stopped = error
    regression.finish()
    left: list[str] = []
    if regression.failures and waves is None and stopped is None:
        try:
            left = _left(regression, artifacts, shrink)
        except (Exception, KeyboardInterrupt) as error:
            stopped = error
    command = f"seqfault {shlex.join(sys.argv[1:])}"
    coverage = coverage_record(regression.coverage)
    write_outputs(regression, files, command, coverage)
    tables = regress_tables(regression, coverage, whole=files["coverage"] is not None)
    report(regress_record(regression, command=command, coverage=coverage), tables, json_path, json_file)
    failures = regression.failures
    if failures and str(json_path) != "-":
        show(failure_text(failures, left))
    if stopped is not None:
        raise stopped
    if failures:
        first = failures[0]
        raise CheckFailed(f"{len(failures)} of {len(regression.results)} programs failed; the first: {first['repeat']}")
    check_coverage(coverage, goal or 0)


def _races(names: Sequence[str], policy: str | None, latency: int | None, plant: str | None) -> "list[Case]":
    from seqfault_tb.machine import POLICIES
    from seqfault_tb.planted import Plant

    from .regress_races import LATENCIES, races_cases

    if policy is not None and policy not in POLICIES:
        raise UsageError(f"--policy: unknown policy {policy!r}; known: {', '.join(POLICIES)}")
    if plant is not None and plant not in Plant.__members__:
        raise UsageError(f"--plant: unknown planted bug {plant!r}; known: {', '.join(Plant.__members__)}")
    cases = races_cases(names, policies=[policy] if policy else POLICIES, latencies=[latency] if latency else LATENCIES)
    return [{**case, "plant": plant} for case in cases]


def _results(
    cases: "list[Case]", jobs: int | None, scheduler: str | None, waves: Path | None, since: int
) -> Generator[tuple[int, dict[str, Any]], None, None]:
    """Number and result of each case, as they are done."""
    from .processors import processors
    from .regress_case import run_case
    from .regress_workers import run_here, run_on_cluster

    if waves is not None:
        with wave_output(waves) as file:
            assert file is not None
            yield 0, run_case(cases[0], waves=file, since=since)
    elif scheduler is not None:
        yield from run_on_cluster(cases, scheduler)
    else:
        yield from run_here(cases, min(jobs or processors(), len(cases)))


def _left(regression: "Regression", artifacts: Path, shrink: float) -> list[str]:
    """What the first failure leaves; the result names it too."""
    from .regress import investigate
    from .regress_progress import shrink_progress

    first = regression.failures[0]
    folder = artifacts / re.sub("[^A-Za-z0-9_-]+", "-", f"{first['profile'] or 'program'}-seed-{first['seed']}-{first['preset']}")
    with shrink_progress() as on_stage:
        _, paths = investigate(regression.cases[first["case"]], first, folder, seconds=shrink, on_stage=on_stage)
    for result in regression.results:
        if result["case"] == first["case"]:
            result["files"] = [str(path) for path in paths]
    return [str(path) for path in paths]


def _list_profiles(json_path: Path | None) -> None:
    from seqfault_tb.regression.generate import PROFILES

    with json_output(json_path) as json_file:
        about = {name: profile.about for name, profile in PROFILES.items()}
        report(about, "\n".join(f"{name:<10} {sentence}" for name, sentence in about.items()), json_path, json_file)

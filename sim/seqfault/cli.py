"""The command line `seqfault`. Exit status: 0 done and all checks held, 1 a check failed, 2 bad usage or input, 3 something is missing.

Commands raise; `run_command` turns what they raise into an exit status and one or two lines on standard error. Heavy modules are
imported by the command that needs them, so that `seqfault doctor` runs where they are missing.
"""

import importlib.metadata
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .bench_command import bench
from .console import complain, fail, json_output, report
from .errors import CheckFailed, UsageError
from .explore_command import explore
from .mutate_command import mutate
from .prove_command import prove
from .regress_command import regress
from .settings import configuration, parse_settings
from .synth_command import synth
from .walk_command import walk
from .wave_output import check_wave_name, wave_output
from .waves_command import waves

__all__ = ["app", "main", "run_command"]

INTERRUPTED, BROKEN_PIPE = 130, 141
"""Exit status after Ctrl-C and after the reader of our output went away: 128 + signal, as a shell would say."""

app = typer.Typer(
    name="seqfault", add_completion=False, pretty_exceptions_enable=False, invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="seqfault: a hardware page-fault engine, simulated, checked and inspected.",
)  # fmt: skip


class Policy(StrEnum):
    """How a fault is made safe against changes of the address space."""

    SPEC = "spec"
    VMA_LOCK = "vma-lock"
    MM_LOCK = "mm-lock"


class RunEngine(StrEnum):
    """Who serves the faults."""

    RTL = "rtl"
    GOLDEN = "golden"


PresetOption = Annotated[str, typer.Option("--preset", help="Named parameters of the engine.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one parameter; may be repeated.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"seqfault {importlib.metadata.version('seqfault')}")
        raise typer.Exit


@app.callback()
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(UsageError.exit_status)


@app.command()
def run(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A recorded program: a file, or the name of one that comes with seqfault.")],
    engine: Annotated[
        RunEngine, typer.Option("--engine", help="Who serves the faults: the RTL, simulated, or the golden model, whose cycles are turns.")
    ] = RunEngine.RTL,
    preset: PresetOption = "default",
    settings: SetOption = None,
    policy: Annotated[Policy, typer.Option("--policy", help="How faults are made safe.")] = Policy.SPEC,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 1,
    latency: Annotated[int, typer.Option("--latency", min=1, max=100_000, metavar="CYCLES", help="Read latency of memory (RTL).")] = 50,
    clock_mhz: Annotated[float, typer.Option("--clock-mhz", help="Clock of the engine; only converts cycles to time.")] = 100.0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N events.")] = None,
    waves: Annotated[Path | None, typer.Option("--waves", metavar="FILE", help="Record a waveform (.vcd or .fst).")] = None,
    json_path: JsonOption = None,
) -> None:
    """Replay a recorded program through the engine, every step checked by the golden model.

    The golden engine needs no simulator. It takes the protocol's steps in turns, one agent at a time, and counts turns instead of cycles: they
    order the steps and say nothing about time.
    """
    from .doctor import require_simulation_tools
    from .report import failures, progress_bar, run_table

    parameters = parse_settings(settings)
    configuration(preset, parameters)
    if not math.isfinite(clock_mhz) or clock_mhz <= 0:
        raise UsageError(f"--clock-mhz must be a positive number, not {clock_mhz}")
    check_wave_name(waves)
    if waves is not None and engine is RunEngine.GOLDEN:
        raise UsageError("--waves: the golden engine has no waveform")
    with json_output(json_path) as json_file, wave_output(waves) as wave_file:
        if engine is RunEngine.RTL:
            require_simulation_tools(fst=waves is not None and waves.suffix == ".fst")
        from .run import run_trace

        simulation = _simulation_errors() if engine is RunEngine.RTL else nullcontext()
        with progress_bar(f"replaying {trace}") as progress, simulation:
            result = run_trace(
                trace, engine=engine.value, policy=policy.value, preset=preset, settings=parameters, seed=seed, latency=latency, clock_mhz=clock_mhz,
                limit=limit, waves=wave_file, progress=progress,
            )  # fmt: skip
        report(result, run_table(result), json_path, json_file)
    found = failures(result)
    if found:
        raise CheckFailed("; ".join(found[:2]) + (f" (and {len(found) - 2} more)" if len(found) > 2 else ""))


@contextmanager
def _simulation_errors() -> Iterator[None]:
    """A simulation that failed is a failed check with the simulator's text as details."""
    from .simulator import SimulationFailed

    try:
        yield
    except SimulationFailed as error:
        first, _, rest = str(error).partition("\n")
        raise CheckFailed(first, details=rest) from error


@app.command()
def verilog(
    folder: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write into; made if it does not exist.")],
    preset: PresetOption = "default",
    settings: SetOption = None,
    json_path: JsonOption = None,
) -> None:
    """Write the engine as Verilog, with its C register header, a FuseSoC core file and a file list."""
    from .output import write_files
    from .verilog import synthesis_files

    config = configuration(preset, {"events": "false", **parse_settings(settings)})
    with json_output(json_path) as json_file:
        paths = [str(path) for path in write_files(folder, synthesis_files(config, preset=preset))]
        report({"preset": preset, "files": paths}, "\n".join(f"wrote {path}" for path in paths), json_path, json_file)


app.command()(bench)
app.command()(explore)
app.command()(mutate)
app.command()(prove)
app.command()(regress)
app.command()(walk)
app.command()(synth)
app.command()(waves)


@app.command()
def doctor(json_path: JsonOption = None) -> None:
    """Show which tools were found, their versions, and how to get what is missing."""
    from .doctor import EnvironmentLacks, doctor_table, examine, lacking, tool_record

    with json_output(json_path) as json_file:
        tools = examine()
        report([tool_record(tool) for tool in tools], doctor_table(tools), json_path, json_file)
    missing = lacking(tools)
    if missing:
        raise EnvironmentLacks("; ".join(tool.complaint() for tool in missing))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name); returns its exit status. Never raises, but for a debugging traceback."""
    try:
        command = typer.main.get_command(app)
        with command.make_context("seqfault", list(arguments)) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # what is still buffered has nowhere to go; without this the interpreter complains at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except Exception as error:
        return fail(error)
    return 0


def main() -> NoReturn:
    """The console script."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""How results and errors reach a person or a program: standard output, JSON files, one or two lines on standard error."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console, RenderableType

from .errors import EnvironmentLacks, SeqfaultError, UsageError
from .output import OutputFile, optional_file

__all__ = ["complain", "fail", "json_output", "report", "show"]

WIDTH = 100
"""Columns of output that is no terminal."""


class _Console(Console):
    """A console that leaves a broken pipe to `run_command`."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def show(content: RenderableType) -> None:
    """Print for a person: as wide as the terminal, or (into a file or pipe) 100 columns without colours or trailing blanks.

    A plain string is printed as it is.
    """
    if isinstance(content, str):
        print(content)
        return
    if sys.stdout.isatty():
        _Console().print(content)
        return
    console = Console(width=WIDTH, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(content)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


@contextmanager
def json_output(path: Path | None) -> Iterator[OutputFile | None]:
    """The JSON file, proved writable before the work begins; None for standard output and for no JSON."""
    with optional_file(None if path is None or str(path) == "-" else path) as file:
        yield file


def report(value: Any, content: RenderableType, path: Path | None, file: OutputFile | None) -> None:
    """The result, for a program where it is asked for, and for a person unless standard output belongs to the program."""
    text = json.dumps(value, indent=2) + "\n"
    if file is not None:
        file.write_text(text)
    if path is not None and str(path) == "-":
        print(text, end="")
    else:
        show(content)


def complain(message: str) -> None:
    """One line on standard error."""
    print(f"seqfault: {' '.join(message.split())}", file=sys.stderr)


def _keep_details(details: str) -> None:
    """Put a long explanation into a file and say where it is."""
    from .simulator import cache_folder

    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        path = cache_folder() / "last-failure.log"
        with OutputFile(path) as file:
            file.write_text(details)
    except (OSError, SeqfaultError):
        return
    print(f"seqfault: the simulator's output is in {path}", file=sys.stderr)


def fail(error: Exception) -> int:
    """Say what is wrong in one or two lines; returns the exit status."""
    if isinstance(error, SeqfaultError):
        complain(str(error))
        if error.details:
            _keep_details(error.details)
        return error.exit_status
    describe = getattr(error, "format_message", None)  # the command-line parser's errors; its classes have no stable place to import from
    if describe is not None:
        complain(f"{describe()} (seqfault --help)")
        return UsageError.exit_status
    if isinstance(error, ModuleNotFoundError):
        complain(f"the Python package {error.name} is missing; `seqfault doctor` shows what else is")
        return EnvironmentLacks.exit_status
    if isinstance(error, OSError) and error.strerror:
        complain(f"{error.strerror}{f': {error.filename}' if error.filename else ''}")
        return UsageError.exit_status
    if os.environ.get("SEQFAULT_TRACEBACK"):
        raise error
    complain(f"internal error: {type(error).__name__}: {error} (SEQFAULT_TRACEBACK=1 shows where)")
    return SeqfaultError.exit_status

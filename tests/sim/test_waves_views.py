"""Set-up files of GTKWave and Surfer: only signals that are there, groups, colours, names of values; read back as those programs read them."""

import re
from pathlib import Path

import pytest
import pywellen
from vcd.gtkw import GTKWFlag

from seqfault.cli import run_command
from seqfault.vcd_names import annotate_vcd, names_with_points, plain_name
from seqfault.waves import EVENT_ENUMS, OUTCOMES, STEPS
from seqfault.waves_file import WaveFile
from seqfault.waves_groups import NAMES, STATES, signal_groups
from seqfault.waves_outputs import write_set_up
from seqfault.waves_surfer import COLOURS, surfer_commands

from .waves_maker import RISE, write_wave

GROUPS = [
    "event port", "fault contexts", "locks", "sequence table", "AXI read", "requests and answers", "queues and registers", "contexts as stored",
]  # fmt: skip
THEME = {"Green", "Red", "Yellow", "Blue", "Pink", "Orange", "Gray", "Violet"}
"""Colours that every theme of Surfer has."""


@pytest.fixture
def wave(tmp_path: Path) -> Path:
    return write_wave(tmp_path / "a.vcd", {3: {"first": 0, "last": 0}, 5: {"first": 18, "last": 18}})


def traces(path: Path) -> dict[str, list[tuple[str, int, int, str]]]:
    """A save file as GTKWave reads it: group to its traces (name, flags, colour, file with names)."""
    found: dict[str, list[tuple[str, int, int, str]]] = {}
    group, flags, colour, names = "", 0, 0, ""
    for line in path.read_text().splitlines():
        if line.startswith("@"):
            flags = int(line[1:], 16)
        elif line.startswith("[color] "):
            colour = int(line.split()[1])
        elif line.startswith("^"):
            names = line.split(" ", 1)[1]
        elif line.startswith("-"):
            if flags & GTKWFlag.grp_begin.value:
                assert group == "", "groups do not nest here"
                group = line[1:]
                found[group] = []
            else:
                assert flags & GTKWFlag.grp_end.value
                assert line[1:] == group
                group = ""
        elif line and not line.startswith(("[", "*")):
            match = re.fullmatch(r"(?:\+\{[^}]*\} )?(\S+)", line)
            assert match, line
            translated = flags & GTKWFlag.ftranslated.value
            found[group].append((match[1], flags, colour, names if translated else ""))
    assert group == ""
    return found


def test_gtkw_has_the_signals_of_the_file_in_groups(wave: Path) -> None:
    save = wave.with_suffix(".gtkw")
    assert run_command(["waves", str(wave), "--gtkw", str(save)]) == 0
    groups = traces(save)
    assert list(groups) == GROUPS
    there = {re.sub(r"\.\[", "[", variable.full_name): variable.bitwidth for variable in pywellen.Waveform(str(wave)).all_vars()}
    for name, *_ in (trace for group in groups.values() for trace in group):
        bits = there[re.sub(r"\[\d+:0\]$", "", name).replace("\\", "")]
        assert name.endswith(f"[{bits - 1}:0]") == (bits > 1)
    assert len({colour for group in groups.values() for _, _, colour, _ in group}) > 4
    assert f'[dumpfile] "{wave}"' in save.read_text()
    assert "TOP.seqfault_sim.engine.\\requests__0__payload.va[63:0]" in [name for name, *_ in groups["requests and answers"]]


def test_gtkw_names_values_from_files(wave: Path) -> None:
    save = wave.with_suffix(".gtkw")
    written = write_set_up(WaveFile(wave), gtkw=save)
    with_names = {name.split("[")[0].rpartition(".")[2]: names for group in traces(save).values() for name, _, _, names in group if names}
    assert set(with_names) == {"ev_first", "ev_last", "ev_outcome", "state"}
    assert {Path(names) for names in with_names.values()} == set(written) - {save}
    steps = dict(line.split() for line in Path(with_names["ev_first"]).read_text().splitlines())
    assert {int(bits, 2): name for bits, name in steps.items()} == STEPS
    assert {len(bits) for bits in steps} == {6}
    states = dict(line.split() for line in Path(with_names["state"]).read_text().splitlines())
    assert {int(bits, 2): name for bits, name in states.items()} == STATES


def test_a_vcd_with_names_shows_them_as_they_are(wave: Path) -> None:
    assert annotate_vcd(wave, EVENT_ENUMS) == 3
    save = wave.with_suffix(".gtkw")
    write_set_up(WaveFile(wave), gtkw=save)
    (first,) = [trace for trace in traces(save)["event port"] if "ev_first" in trace[0]]
    assert first[0].endswith("ev_first_name")
    assert first[1] & GTKWFlag.ascii.value
    assert first[3] == ""


def test_set_up_goes_to_a_cycle(wave: Path) -> None:
    save, commands = wave.with_suffix(".gtkw"), wave.with_suffix(".sucl")
    write_set_up(WaveFile(wave), gtkw=save, surfer=commands, cycle=5)
    time = 5 * 10 + RISE
    assert f"[timestart] {time}\n" in save.read_text()
    assert f"cursor_set {time}\n" in commands.read_text()
    write_set_up(WaveFile(wave), surfer=commands, cycle=10**6)
    assert "cursor_set" not in commands.read_text()


class Surfer:
    """The part of Surfer's list of items that command files use, as its source has it: insertion below the focus, groups, places as letters."""

    def __init__(self, text: str, known: set[str]) -> None:
        self.items: list[dict[str, str | int]] = []
        self.focus: int | None = None
        for line in text.splitlines():
            command, _, argument = line.partition("#")[0].strip().partition(" ")
            if command:
                getattr(self, command)(argument, known)

    def variable_add(self, name: str, known: set[str]) -> None:
        assert name in known
        item: dict[str, str | int] = {"name": name, "level": 0}
        if self.focus is None:
            self.items.append(item)
            return
        at = self.items[self.focus]
        item["level"] = int(at["level"]) + ("group" in at)
        self.focus += 1
        self.items.insert(self.focus, item)

    def item_focus(self, argument: str, known: set[str]) -> None:
        letters, mark, _ = argument.partition("_")
        assert mark
        self.focus = int("".join(f"{ord(letter) - ord('a'):x}" for letter in letters), 16)
        assert self.focus < len(self.items)

    def item_unfocus(self, argument: str, known: set[str]) -> None:
        self.focus = None

    def group_marked(self, name: str, known: set[str]) -> None:
        assert re.fullmatch(r"\w+", name), "Surfer takes one word"
        assert self.focus is not None
        self.items.insert(self.focus, {"name": name, "level": 0, "group": 1})
        self.items[self.focus + 1]["level"] = 1

    def item_set_color(self, name: str, known: set[str]) -> None:
        assert name in THEME
        assert self.focus is not None
        self.items[self.focus]["colour"] = name

    def item_set_format(self, name: str, known: set[str]) -> None:
        assert name in ("Unsigned", "Hexadecimal")
        assert self.focus is not None
        self.items[self.focus]["format"] = name

    def zoom_fit(self, argument: str, known: set[str]) -> None:
        assert argument == ""


def test_surfer_commands_make_the_groups(wave: Path) -> None:
    commands = wave.with_suffix(".sucl")
    assert run_command(["waves", str(wave), "--surfer", str(commands)]) == 0
    file = WaveFile(wave)
    surfer = Surfer(commands.read_text(), set(file.variables))
    groups = signal_groups(file)
    expected = []
    for group in groups:
        expected.append((group.name.replace(" ", "_"), 0))
        expected += [(signal.full_name, 1) for signal in group.signals]
    assert [(item["name"], item["level"]) for item in surfer.items] == expected
    by_name = {str(item["name"]): item for item in surfer.items}
    assert by_name["TOP.seqfault_sim.engine.ev_agent"]["format"] == "Unsigned"
    assert by_name["TOP.seqfault_sim.engine.ev_addr"]["format"] == "Hexadecimal"
    assert by_name["TOP.seqfault_sim.engine.pte_locks.held"]["colour"] == "Red"
    assert set(COLOURS.values()) <= THEME
    assert surfer_commands([], time=None).splitlines()[1:] == ["item_unfocus", "zoom_fit"]


def test_places_beyond_sixteen_have_more_letters() -> None:
    from seqfault.waves_surfer import _letters

    assert [_letters(number) for number in (0, 15, 16, 255, 256)] == ["a", "p", "ba", "pp", "baa"]


def test_names_of_values_are_complete() -> None:
    assert NAMES["ev_outcome"][1] == OUTCOMES
    assert len(STATES) == 20


def test_names_that_gtkwave_cannot_read_are_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.vcd"
    head = "$timescale 1ns $end\n$scope module m $end\n$var wire 1 ! $auto$verilog_backend.cc:2355:dump_module$19 $end\n"
    path.write_text(f'{head}$var wire 4 " record.field [3:0] $end\n$upscope $end\n$enddefinitions $end\n#0\n0!\nb1 "\n')
    assert annotate_vcd(path, EVENT_ENUMS) == 0
    assert ":" not in path.read_text().replace("[3:0]", "")
    assert {variable.full_name for variable in pywellen.Waveform(str(path)).all_vars()} == {
        "m.$auto$verilog_backend_cc_2355_dump_module$19", "m.record.field",
    }  # fmt: skip
    assert names_with_points(path) == {"record.field"}
    assert plain_name("record.field") == "record.field"


def test_a_file_without_the_event_port_has_no_set_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_wave(tmp_path / "a.vcd", {}, leave_out="seq")
    for option in ("--gtkw", "--surfer", "--html"):
        assert run_command(["waves", str(path), option, str(tmp_path / "out")]) == 2
        assert "no event port" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]

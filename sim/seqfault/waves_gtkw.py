"""A save file for GTKWave (.gtkw), and the files with the names of values that it refers to."""

import io
import re
from collections.abc import Iterable
from pathlib import Path

from vcd.gtkw import GTKWColor, GTKWSave, make_translation_filter

from .vcd_names import names_with_points
from .waves_file import WaveFile
from .waves_groups import Group, Shown

__all__ = ["gtkw_files"]

SIGNALS_WIDTH = 260
WINDOW = (1400, 900)
TWIN_SUFFIX = "_code"
"""`seqfault_sim` has the enums of the event port as plain vectors too."""


def gtkw_files(file: WaveFile, save: Path, groups: Iterable[Group], *, marker: int | None) -> dict[Path, str]:
    """Texts by path: the save file, and beside it a file for each kind of names, as far as they are needed.

    Parameters
    ----------
    save : where the save file is to be; it names the waveform and the others by their whole paths. marker : time to go to; None: the beginning.
    """
    text = io.StringIO()
    writer = GTKWSave(text)
    filters: dict[Path, str] = {}
    names = _Names(file)
    writer.comment("seqfault waves")
    writer.dumpfile(str(file.path))
    writer.savefile(str(save))
    writer.timestart(0 if marker is None else marker)
    writer.zoom_markers(marker=-1 if marker is None else marker)
    writer.size(*WINDOW)
    writer.signals_width(SIGNALS_WIDTH)
    writer.sst_expanded(False)
    for group in groups:
        with writer.group(group.name, closed=group.closed):
            for signal in group.signals:
                _trace(writer, names.of(signal), signal, GTKWColor[group.colour], _names_file(save, signal, filters))
    return {save: text.getvalue(), **filters}


def _trace(writer: GTKWSave, name: str, signal: Shown, colour: GTKWColor, names: Path | None) -> None:
    radix = "bin" if names else {"text": "ascii"}.get(signal.radix, signal.radix)
    writer.trace(name, alias=signal.alias, color=colour, datafmt=radix, translate_filter_file=None if names is None else str(names.resolve()))


def _names_file(save: Path, signal: Shown, filters: dict[Path, str]) -> Path | None:
    """Where the names of the signal's values are, by their bits."""
    if signal.names is None:
        return None
    what, names = signal.names
    path = save.with_name(f"{save.stem}.{what}.names")
    filters[path] = make_translation_filter(list(names.items()), datafmt="bin", size=signal.bits) + "\n"
    return path


class _Names:
    """Signals as GTKWave names them in this file: vectors with their range (of the engine's all begin at bit 0).

    An array's element comes after its array's name (`contexts.[3]` is `contexts[3]`), in an FST file as `contexts.contexts[3]`. In a VCD file a name
    with points is one, behind a backslash. GTKWave gives no names from a file to a variable that is an enum in FST: its twin that is none is shown.
    """

    def __init__(self, file: WaveFile) -> None:
        self._variables = file.variables
        self._element = r"\1.\1[" if file.format == "FST" else r"\1["
        self._whole = names_with_points(file.path) if file.format == "VCD" else set()

    def of(self, signal: Shown) -> str:
        full_name = signal.full_name
        twin = f"{full_name}{TWIN_SUFFIX}"
        if twin in self._variables and self._variables[full_name].enum_type is not None:
            full_name = twin
        scopes = full_name.split(".")
        tails = (".".join(scopes[place:]) for place in range(1, len(scopes)))
        whole = next((tail for tail in tails if tail in self._whole), None)
        name = full_name if whole is None else f"{full_name.removesuffix(whole)}\\{whole}"
        return re.sub(r"(\w+)\.\[", self._element, name) + (f"[{signal.bits - 1}:0]" if signal.bits > 1 else "")

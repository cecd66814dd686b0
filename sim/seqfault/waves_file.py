"""A waveform file (VCD or FST): its variables, its event port, and at what time of the file each cycle begins and ends."""

from bisect import bisect_right
from pathlib import Path
from typing import Any

import pywellen

from .errors import UsageError

__all__ = ["CUT_SCOPE", "CYCLE_SIGNAL", "EVENT_FIELDS", "EVENT_SIGNALS", "WaveFile"]

EVENT_FIELDS = ("first", "last", "agent", "outcome", "space", "vpn", "id", "seq", "addr", "data")
EVENT_SIGNALS = ("ev_valid", *(f"ev_{name}" for name in EVENT_FIELDS))
CYCLE_SIGNAL = "cycle"
CUT_SCOPE = "seqfault_cut"
"""Scope of a file that was cut out of a longer one: constants that say what was running at its beginning (`waves_cut.py`)."""


class WaveFile:
    """A waveform file, opened.

    Attributes
    ----------
    variables : by full name, of those that share a name the first. format : "VCD" or "FST".

    Raises
    ------
    UsageError : no such file, not a waveform, cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wave, self.format = _open(path)
        self.variables: dict[str, Any] = {}
        for variable in self.wave.all_vars():
            self.variables.setdefault(variable.full_name, variable)
        self._port: dict[str, Any] | None = None

    def event_port(self) -> dict[str, Any]:
        """The variables of the event port (the outermost scope that has them all) and the cycle counter, by their names without scopes.

        Raises `UsageError` for a file without them.
        """
        if self._port is None:
            self._port = _event_port(self.path, self.variables)
        return self._port

    def signal(self, name: str) -> Any:
        """The changes of a signal of the event port, or of the cycle counter: (time, value) by index."""
        try:
            return self.event_port()[name].signal
        except RuntimeError as error:
            raise self.unreadable(error) from None

    def unreadable(self, error: BaseException) -> UsageError:
        """What the reader's complaint means to the user."""
        return UsageError(f"{self.path}: cannot be read: {_one_line(error)}")

    def times(self, first: int, last: int) -> tuple[int, int]:
        """The time at which cycle `first` begins, and the one at which cycle `last` ends; what is not in the file is left out.

        Raises `UsageError` when the file has none of these cycles.
        """
        counter = self.signal(CYCLE_SIGNAL)
        values = range(len(counter))
        begin = bisect_right(values, first, key=lambda index: _number(counter[index][1])) - 1
        end = bisect_right(values, last, key=lambda index: _number(counter[index][1]))
        begin, end = max(begin, 0), min(end, len(counter) - 1)
        if begin >= end:
            raise UsageError(f"{self.path}: has nothing in the cycles {first} to {last}")
        return counter[begin][0], counter[end][0]

    def time_of(self, cycle: int) -> int | None:
        """The time at which this cycle begins; None: the file does not have all of it."""
        counter = self.signal(CYCLE_SIGNAL)
        place = bisect_right(range(len(counter)), cycle, key=lambda index: _number(counter[index][1])) - 1
        there = 0 <= place < len(counter) - 1 and counter[place][1] == cycle
        return counter[place][0] if there else None

    def constants(self) -> dict[str, int]:
        """The constants of `CUT_SCOPE`; none: the file was not cut out of another."""
        prefix = f"{CUT_SCOPE}."
        found = {name.removeprefix(prefix): variable for name, variable in self.variables.items() if name.startswith(prefix)}
        return {name: value for name, variable in found.items() if isinstance(value := variable.signal[0][1], int)}


def _number(value: object) -> int:
    """A counter's value; unknown bits (before reset) count as before the beginning."""
    return value if isinstance(value, int) else -1


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _open(path: Path) -> tuple[Any, str]:
    try:
        with path.open("rb") as file:
            head = file.read(1)
            file.seek(max(0, path.stat().st_size - 1))
            tail = file.read(1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if not head:
        raise UsageError(f"{path}: is empty")
    try:
        wave = pywellen.Waveform(str(path))
        list(wave.all_vars())
    except BaseException as error:  # a panic of the Rust side is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UsageError(f"{path}: is no complete VCD or FST waveform ({_one_line(error)})") from None
    kind = str(wave.file_format).upper()
    if kind == "VCD" and tail != b"\n":
        raise UsageError(f"{path}: is cut off in the middle of a line")
    return wave, kind


def _event_port(path: Path, variables: dict[str, Any]) -> dict[str, Any]:
    scopes: dict[str, dict[str, Any]] = {}
    for full_name, variable in variables.items():
        if variable.name in EVENT_SIGNALS or variable.name == CYCLE_SIGNAL:
            scopes.setdefault(full_name.rpartition(".")[0], {})[variable.name] = variable
    by_depth = sorted(scopes, key=lambda scope: (scope.count("."), scope))
    port = next((scopes[scope] for scope in by_depth if all(name in scopes[scope] for name in EVENT_SIGNALS)), None)
    cycle = next((scopes[scope][CYCLE_SIGNAL] for scope in by_depth if CYCLE_SIGNAL in scopes[scope]), None)
    if port is None or cycle is None:
        known = {name for scope in scopes.values() for name in scope}
        missing = [name for name in (CYCLE_SIGNAL, *EVENT_SIGNALS) if name not in known]
        raise UsageError(f"{path}: has no event port of the engine (missing: {', '.join(missing) or 'one scope with all of its signals'})")
    return {CYCLE_SIGNAL: cycle, **{name: port[name] for name in EVENT_SIGNALS}}

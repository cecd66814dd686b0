"""Cuts some cycles out of a waveform: a small VCD with all signals, in which faults keep their numbers, and golden's view of these cycles."""

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vcd
from vcd.common import VarType
from vcd.writer import Variable

from .errors import UsageError
from .output import OutputFile
from .vcd_names import annotate_vcd, plain_name
from .waves import EVENT_ENUMS, WaveEvent
from .waves_faults import FaultNumbers
from .waves_file import CUT_SCOPE, WaveFile
from .waves_golden import Difference, Golden, golden_file, write_golden
from .waves_places import check_places

__all__ = ["cut_cycles", "cycles_of_fault"]

INTEGER_BITS = 32


def cycles_of_fault(path: Path, events: Sequence[WaveEvent], number: int, margin: int) -> tuple[int, int]:
    """The first and the last cycle of the fault of this number, and `margin` cycles more on both sides. Raises `UsageError`: there is none."""
    own = [event.cycle for event in events if event.fault == number]
    if not own:
        known = [event.fault for event in events if event.fault]
        there = f"its faults are {min(known)} to {max(known)}" if known else "it has no faults"
        raise UsageError(f"{path}: has no fault {number}; {there}")
    return max(0, own[0] - margin), own[-1] + margin


def cut_cycles(file: WaveFile, events: Sequence[WaveEvent], output: Path, first: int, last: int, golden: Golden | None) -> list[Path]:
    """Write the cycles `first` to `last` (as far as the file has them) as the VCD `output`, and their part of `golden` beside it.

    `events`: all that the file has. Returns the files written. Raises `UsageError` when the file has none of these cycles, or the place cannot be
    written or is that of the file itself.
    """
    if output.suffix != ".vcd":
        raise UsageError(f"{output}: must end in .vcd")
    check_places(file.path, [output, golden_file(output)])
    begin, end = file.times(first, last)
    constants = _numbers_at(file, events, first)
    with OutputFile(output) as target:
        try:
            with target.temporary.open("w") as text:
                _write(text, file, begin, end, constants, comment=f"cycles {first} to {last} of {file.path.name}")
        except OSError as error:
            raise UsageError(f"{output}: {error.strerror}") from None
        annotate_vcd(target.temporary, EVENT_ENUMS)
        if golden is None:
            golden_file(output).unlink(missing_ok=True)
            target.commit()
            return [output]
        cycles = {event.cycle for event in events if first <= event.cycle <= last}
        with OutputFile(golden_file(output)) as view:
            view.write_text(write_golden(_part(golden, cycles, first, last)))
        target.commit()
    return [output, golden_file(output)]


def _numbers_at(file: WaveFile, events: Sequence[WaveEvent], first: int) -> dict[str, int]:
    """What the numbering of faults needs at cycle `first`."""
    numbers = FaultNumbers(file.constants())
    for event in events:
        if event.cycle < first:
            numbers.number_of(event)
    return numbers.constants()


def _part(golden: Golden, cycles: set[int], first: int, last: int) -> Golden:
    """Golden's view of these cycles."""
    kept = [number for number, event in enumerate(golden.events) if event["cycle"] in cycles]
    places = {number: place for place, number in enumerate(kept)}
    differences = [
        Difference(text=difference.text, cycle=difference.cycle, event=None if difference.event is None else places[difference.event])
        for difference in golden.differences
        if (first <= difference.cycle <= last if difference.event is None else difference.event in places)
    ]
    events = [golden.events[number] for number in kept]
    end = {**golden.end, "events": len(events), "differences": len(differences)}
    return Golden(header={**golden.header, "cut": {"first": first, "last": last}}, events=events, differences=differences, end=end)


def _write(text: Any, file: WaveFile, begin: int, end: int, constants: dict[str, int], *, comment: str) -> None:
    scale = file.wave.timescale
    with vcd.VCDWriter(text, timescale=str(scale), comment=comment, version="seqfault waves", init_timestamp=begin) as writer:
        written: dict[str, Variable] = {}
        changes: list[tuple[int, int, Any]] = []
        variables: list[Variable] = []
        for full_name, variable in file.variables.items():
            scope, name = _place(full_name)
            if scope == (CUT_SCOPE,):
                continue
            name = _with_range(name, variable)
            shared = str(variable.signal_ref)
            if shared in written:
                writer.register_alias(scope, name, written[shared])
                continue
            signal = _signal(file, variable)
            written[shared] = _register(writer, scope, name, variable, signal.value_at(begin))
            changes += [(time, len(variables), value) for time, value in _changes(signal, begin, end)]
            variables.append(written[shared])
        for name, value in constants.items():
            writer.register_var(CUT_SCOPE, name, VarType.integer, size=INTEGER_BITS, init=value)
        changes.sort(key=lambda change: change[:2])
        for time, number, value in changes:
            writer.change(variables[number], time, value)


def _signal(file: WaveFile, variable: Any) -> Any:
    try:
        return variable.signal
    except RuntimeError as error:
        raise file.unreadable(error) from None


def _changes(signal: Any, begin: int, end: int) -> list[tuple[int, Any]]:
    """Those after `begin` and up to `end`, in order."""

    def time_of(index: int) -> int:
        return signal[index][0]

    indices = range(len(signal))
    return [signal[index] for index in range(bisect_right(indices, begin, key=time_of), bisect_right(indices, end, key=time_of))]


def _place(full_name: str) -> tuple[tuple[str, ...], str]:
    """Scopes and name. The reader splits names at points, which GTKWave does not: an array's element `contexts.[3]` is `contexts[3]`."""
    *scopes, name = full_name.split(".")
    if name.startswith("[") and scopes:
        name = scopes.pop() + name
    elif ":" in name and scopes:
        name = plain_name(f"{scopes.pop()}.{name}")
    return tuple(scopes), name


def _register(writer: vcd.VCDWriter, scope: tuple[str, ...], name: str, variable: Any, value: Any) -> Variable:
    if variable.is_string:
        return writer.register_var(scope, name, VarType.string, init=value or "")
    if variable.is_real:
        return writer.register_var(scope, name, VarType.real, init=value)
    return writer.register_var(scope, name, VarType.wire, size=max(1, variable.bitwidth or 1), init=value)


def _with_range(name: str, variable: Any) -> str:
    """A vector's name and range, as Verilator writes them."""
    bits = variable.bitwidth or 1
    return name if variable.is_string or variable.is_real or bits == 1 else f"{name} [{bits - 1}:0]"

"""What a failed run leaves for a person: the cycles of the fault that differs as a small waveform, set-up files for its viewers, and the timeline."""

import re
from collections.abc import Sequence
from pathlib import Path

from .errors import UsageError
from .output import OutputFile
from .waves import WaveEvent, read_events
from .waves_cut import cut_cycles, cycles_of_fault
from .waves_file import WaveFile
from .waves_golden import Golden, golden_file, read_golden
from .waves_html import page
from .waves_outputs import write_set_up
from .waves_places import is_same_file

__all__ = ["leave_evidence"]

MARGIN = 50
"""Cycles before and after the fault."""
LEAD = 400
"""Cycles before a difference that is about no fault."""
EARLIER, LATER = 200, 50
"""Faults that the page shows before and after the one that differs."""
PAGE = "timeline.html"
OWN = re.compile(rf"(fault|cycle)-\d+\.(vcd|vcd\.golden\.jsonl|gtkw|sucl|\w+\.names)|{re.escape(PAGE)}", re.ASCII)
"""The names of the files that are left."""


def leave_evidence(waveform: Path, folder: Path, *, cycle: int | None, since: int = 0) -> list[Path]:
    """Write into `folder` (made if needed) what is to be seen of the first difference of a recorded run; returns the files.

    What an earlier failure has left there goes, so that all that is there is of one run.

    Parameters
    ----------
    waveform : VCD or FST, with golden's view beside it if there is one. cycle : of the first difference; None: the end of the run.
    since : the cycle in which the view begins; the waveform may begin earlier.

    Raises
    ------
    UsageError : the waveform or the view cannot be used, or the folder cannot be written.
    """
    file = WaveFile(waveform)
    recorded = list(read_events(file))
    events = [event for event in recorded if event.cycle >= since]
    golden = read_golden(waveform)
    if golden is not None:
        golden.fit(waveform, events)
    folder.mkdir(parents=True, exist_ok=True)
    at = cycle if cycle is not None else events[-1].cycle if events else 0
    number = _fault_at(events, golden, at)
    own = cycles_of_fault(waveform, events, number, MARGIN) if number else None
    if own is not None and golden is not None and golden.first_difference is not None and golden.first_difference.cycle > own[1] + LEAD:
        own, at = None, golden.first_difference.cycle
    if own is not None:
        first, last = min(own[0], max(at - MARGIN, 0)), max(own[1], min(at + MARGIN, own[1] + LEAD))
    else:
        first, last = max(0, at - LEAD), at + MARGIN
    name = f"fault-{number}" if own is not None and not since else f"cycle-{at}"  # numbers count from the waveform's beginning
    _clear(folder, waveform)
    written = cut_cycles(file, recorded, folder / f"{name}.vcd", first, last, golden)
    small = WaveFile(folder / f"{name}.vcd")
    written += write_set_up(small, gtkw=folder / f"{name}.gtkw", surfer=folder / f"{name}.sucl", cycle=at)
    shown = _near(events, number)
    with OutputFile(folder / PAGE) as output:
        output.write_text(page(waveform, shown, golden, what="" if len(shown) == len(events) else f"near fault {number}, of {len(events)} events"))
    return [*written, folder / PAGE]


def _clear(folder: Path, waveform: Path) -> None:
    """Remove what earlier calls have left, but not the waveform itself."""
    kept = (waveform, golden_file(waveform))
    for path in folder.iterdir():
        if OWN.fullmatch(path.name) and not path.is_dir() and not any(is_same_file(path, other) for other in kept):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise UsageError(f"cannot remove {path}: {error.strerror}") from None


def _fault_at(events: Sequence[WaveEvent], golden: Golden | None, cycle: int) -> int:
    """The number of the fault that the difference is about, or else of the one that made the last step before; 0: none."""
    difference = golden.first_difference if golden is not None else None
    if golden is not None and difference is not None and difference.event is not None:
        place = golden.events[difference.event]["cycle"]
        return next((event.fault for event in events if event.cycle == place), 0)
    return next((event.fault for event in reversed(events) if event.fault and event.cycle <= cycle), 0)


def _near(events: Sequence[WaveEvent], number: int) -> list[WaveEvent]:
    """The events from the beginning of some faults before to the end of some after; where there are no more faults, to the events' own end."""
    cycles = [event.cycle for event in events if event.fault and number - EARLIER <= event.fault <= number + LATER]
    if not cycles or not number:
        return list(events)
    first = cycles[0] if any(0 < event.fault < number - EARLIER for event in events) else 0
    last = cycles[-1] if any(event.fault > number + LATER for event in events) else events[-1].cycle
    return [event for event in events if first <= event.cycle <= last]

"""Golden's view of a run, read from the file beside its waveform (format: tb/seqfault_tb/regression/golden_view.py)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqfault_tb.regression.golden_view import FORMAT, VERSION, golden_file

from .errors import UsageError
from .waves import WaveEvent

__all__ = ["Difference", "Golden", "golden_file", "is_whole", "keep_golden", "read_golden", "write_golden"]

SAME = ("cycle", "agent", "first", "last", "outcome")
"""What an event has in common with that of the waveform."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What the checker said. `event`: place of the event that it is about in `Golden.events`; None: it is about none."""

    text: str
    cycle: int
    event: int | None


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A file's content.

    Members
    -------
    header : its first object. events : the objects of the events, in order. differences : in order. end : its last object's `end`.
    """

    header: dict[str, Any]
    events: list[dict[str, Any]]
    differences: list[Difference]
    end: dict[str, Any] = field(default_factory=dict)

    @property
    def first_difference(self) -> Difference | None:
        return self.differences[0] if self.differences else None

    def fit(self, waveform: Path, events: Sequence[WaveEvent]) -> None:
        """Raise `UsageError` unless these are the events of all of `waveform`; either side may have some more at its end."""
        for number, (event, seen) in enumerate(zip(events, self.events, strict=False)):
            other = [key for key in SAME if getattr(event, key) != seen[key]]
            if other:
                key = other[0]
                raise UsageError(
                    f"{golden_file(waveform)}: does not fit {waveform} (of another run?): event {number + 1}, of cycle {event.cycle}, "
                    f"has {key} {getattr(event, key)} in the waveform and {seen[key]} there"
                )
        if bool(events) != bool(self.events):
            raise UsageError(f"{golden_file(waveform)}: does not fit {waveform} (of another run?): only one of them has events")


def read_golden(waveform: Path) -> Golden | None:
    """The view beside a waveform; None: there is none. Raises `UsageError` for a file that is no such view, or is cut off."""
    path = golden_file(waveform)
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or 'is no text'}") from None
    objects = list(_objects(path, lines))
    header = objects[0] if objects else {}
    if header.get("format") != FORMAT:
        raise UsageError(f"{path}: is no golden view")
    if header.get("version") != VERSION:
        raise UsageError(f"{path}: has version {header.get('version')} of the format; this seqfault reads version {VERSION}")
    if "end" not in objects[-1]:
        raise UsageError(f"{path}: is cut off")
    golden = Golden(header=header, events=[], differences=[], end=objects[-1]["end"])
    for number, item in enumerate(objects[1:-1], 2):
        try:
            if "difference" in item:
                golden.differences.append(Difference(text=str(item["difference"]), cycle=int(item["cycle"]), event=item["event"]))
            else:
                golden.events.append(item | {key: int(item[key]) for key in SAME} | {"verdict": str(item["verdict"])})
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: line {number} is no event and no difference ({type(error).__name__}: {error})") from None
    for difference in golden.differences:
        if difference.event is not None and not 0 <= difference.event < len(golden.events):
            raise UsageError(f"{path}: has a difference about event {difference.event}, and {len(golden.events)} events")
    return golden


def _objects(path: Path, lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise UsageError(f"{path}: {'is cut off' if number == len(lines) > 1 else f'line {number} is no JSON object'}")
        yield value


def write_golden(golden: Golden) -> str:
    """The text of a file with this content."""
    lines: list[dict[str, Any]] = [golden.header]
    about = {difference.event: difference for difference in golden.differences}
    for number, event in enumerate(golden.events):
        lines.append(event)
        if number in about:
            lines.append(_line(about.pop(number)))
    lines += [_line(difference) for difference in about.values()]
    lines.append({"end": golden.end})
    return "".join(json.dumps(line) + "\n" for line in lines)


def _line(difference: Difference) -> dict[str, Any]:
    return {"difference": difference.text, "cycle": difference.cycle, "event": difference.event}


def is_whole(path: Path) -> bool:
    """The file is there, and its last line is its end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (1 << 16)))
            last = file.read().splitlines()[-1:]
    except OSError:
        return False
    return bool(last) and last[0].startswith(b'{"end"')


def keep_golden(temporary: Path, waveform: Path) -> None:
    """The view beside the waveform `temporary` becomes that of `waveform`, if it is whole; an older one there goes in any case."""
    made, place = golden_file(temporary), golden_file(waveform)
    if is_whole(made):
        made.replace(place)
    else:
        made.unlink(missing_ok=True)
        place.unlink(missing_ok=True)

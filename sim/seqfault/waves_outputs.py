"""What `seqfault waves` makes of a waveform: the timeline as text or JSON, the page, the viewers' set-up files, the cut."""

from dataclasses import asdict, dataclass
from pathlib import Path

from .console import report
from .errors import UsageError
from .output import OutputFile
from .timeline import HEADING, event_line, event_record, select_events
from .waves import WaveEvent, read_events
from .waves_file import WaveFile
from .waves_golden import Golden, read_golden

__all__ = ["Filters", "text_timeline", "write_outputs", "write_set_up"]


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which events: of one agent, in the cycles `first` to `last`, at most `limit`; None: all."""

    context: int | None = None
    first: int | None = None
    last: int | None = None
    limit: int | None = None

    def describe(self) -> str:
        """In words; empty: all events."""
        words = {
            "context": f"only agent {self.context}", "first": f"from cycle {self.first}", "last": f"to cycle {self.last}",
            "limit": f"at most {self.limit} events",
        }  # fmt: skip
        return ", ".join(text for name, text in words.items() if getattr(self, name) is not None)


def text_timeline(path: Path, filters: Filters, json_path: Path | None, json_file: OutputFile | None) -> None:
    """Print the events, a line each; or give them as JSON."""
    selected = select_events(read_events(path), **asdict(filters))
    if json_path is None:
        number = -1
        for number, event in enumerate(selected):
            print(event_line(event) if number else f"{HEADING}\n{event_line(event)}")
        if number < 0:
            print(f"{path}: no such steps")
        return
    records = [event_record(event) for event in selected]
    report(records, f"{len(records)} step(s) written to {json_path}", json_path, json_file)


def write_outputs(
    path: Path, filters: Filters, *, html: Path | None = None, gtkw: Path | None = None, surfer: Path | None = None, fault: int | None = None,
    cut: Path | None = None, margin: int = 0,
) -> list[Path]:  # fmt: skip
    """Write the files asked for; returns their paths.

    Parameters
    ----------
    html, gtkw, surfer, cut : where to; None: not asked for. fault : the number of the fault to cut out, with `margin` cycles around it.

    Raises
    ------
    UsageError : the waveform or golden's view beside it cannot be used, there is no such fault, or a place cannot be written.
    """
    if fault is not None and cut is None:
        raise UsageError("--around needs -o FILE.vcd")
    file = WaveFile(path)
    events = list(read_events(file))
    written: list[Path] = []
    if html is not None or fault is not None:
        golden = read_golden(path)
        if golden is not None:
            golden.fit(path, events)
        if html is not None:
            written.append(_write_page(file, events, golden, filters, html))
        if fault is not None and cut is not None:
            from .waves_cut import cut_cycles, cycles_of_fault

            written += cut_cycles(file, events, cut, *cycles_of_fault(path, events, fault, margin), golden)
    return written + write_set_up(file, gtkw=gtkw, surfer=surfer)


def _write_page(file: WaveFile, events: list[WaveEvent], golden: Golden | None, filters: Filters, html: Path) -> Path:
    from .waves_html import page

    with OutputFile(html) as output:
        output.write_text(page(file.path, list(select_events(events, **asdict(filters))), golden, what=filters.describe()))
    return html


def write_set_up(file: WaveFile, *, gtkw: Path | None = None, surfer: Path | None = None, cycle: int | None = None) -> list[Path]:
    """Write the set-up files of GTKWave and Surfer; they go to `cycle`, if the file has it. Returns the paths."""
    from .waves_groups import signal_groups
    from .waves_gtkw import gtkw_files
    from .waves_surfer import surfer_commands

    if gtkw is None and surfer is None:
        return []
    groups = signal_groups(file)
    time = None if cycle is None else file.time_of(cycle)
    texts: dict[Path, str] = {}
    if gtkw is not None:
        texts |= gtkw_files(file, gtkw, groups, marker=time)
    if surfer is not None:
        texts[surfer] = surfer_commands(groups, time=time)
    for path, text in texts.items():
        with OutputFile(path) as output:
            output.write_text(text)
    return list(texts)

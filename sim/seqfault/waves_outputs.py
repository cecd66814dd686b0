"""What `seqfault waves` makes of a waveform: the timeline as text or JSON, the page, the viewers' set-up files, the cut."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from .console import report
from .errors import UsageError
from .output import OutputFile
from .timeline import HEADING, event_line, event_record, select_events
from .waves import WaveEvent, read_events
from .waves_file import WaveFile
from .waves_golden import Golden, golden_file, read_golden
from .waves_places import check_places

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
    """Print the events, a line each; or give them as JSON. Raises `UsageError` when the waveform cannot be used, or JSON would overwrite it."""
    check_places(path, _json_places(json_path))
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
    cut: Path | None = None, margin: int = 0, json_path: Path | None = None,
) -> list[Path]:  # fmt: skip
    """Write the files asked for; returns their paths. All that can be known before is checked before the first of them is there.

    Parameters
    ----------
    html, gtkw, surfer, cut : where to; None: not asked for. fault : the number of the fault to cut out, with `margin` cycles around it.
    json_path : where the caller writes the timeline: the others must be elsewhere.

    Raises
    ------
    UsageError : the waveform or golden's view beside it cannot be used, there is no such fault, a place cannot be written, or is that of another
        file.
    """
    if fault is not None and cut is None:
        raise UsageError("--around needs -o FILE.vcd")
    cuts = [] if cut is None or fault is None else [cut, golden_file(cut)]
    taken = [*_json_places(json_path), *cuts]
    check_places(path, [*taken, *(place for place in (html, gtkw, surfer) if place is not None)])
    file = WaveFile(path)
    events = list(read_events(file))
    golden = read_golden(path) if html is not None or cuts else None
    if golden is not None:
        golden.fit(path, events)
    texts: list[tuple[Path, str]] = []
    if html is not None:
        texts.append((html, _page(file, events, golden, filters)))
    texts += _set_up_texts(file, gtkw=gtkw, surfer=surfer)
    check_places(path, [*taken, *(place for place, _ in texts)])  # now with the files that go beside those asked for
    with ExitStack() as stack:
        outputs = [(stack.enter_context(OutputFile(place)), text) for place, text in texts]
        written: list[Path] = []
        if fault is not None and cut is not None:
            from .waves_cut import cut_cycles, cycles_of_fault

            written = cut_cycles(file, events, cut, *cycles_of_fault(path, events, fault, margin), golden)
        for output, text in outputs:
            output.write_text(text)
    return [*written, *(place for place, _ in texts)]


def _json_places(json_path: Path | None) -> list[Path]:
    return [] if json_path is None or str(json_path) == "-" else [json_path]


def _page(file: WaveFile, events: list[WaveEvent], golden: Golden | None, filters: Filters) -> str:
    from .waves_html import page

    return page(file.path, list(select_events(events, **asdict(filters))), golden, what=filters.describe())


def write_set_up(file: WaveFile, *, gtkw: Path | None = None, surfer: Path | None = None, cycle: int | None = None) -> list[Path]:
    """Write the set-up files of GTKWave and Surfer; they go to `cycle`, if the file has it. Returns the paths."""
    texts = _set_up_texts(file, gtkw=gtkw, surfer=surfer, cycle=cycle)
    for path, text in texts:
        with OutputFile(path) as output:
            output.write_text(text)
    return [path for path, _ in texts]


def _set_up_texts(file: WaveFile, *, gtkw: Path | None, surfer: Path | None, cycle: int | None = None) -> list[tuple[Path, str]]:
    """These files, the ones with names of values that GTKWave needs among them: where each goes, and its text."""
    from .waves_groups import signal_groups
    from .waves_gtkw import gtkw_files
    from .waves_surfer import surfer_commands

    if gtkw is None and surfer is None:
        return []
    groups = signal_groups(file)
    time = None if cycle is None else file.time_of(cycle)
    texts: list[tuple[Path, str]] = []
    if gtkw is not None:
        texts += gtkw_files(file, gtkw, groups, marker=time).items()
    if surfer is not None:
        texts.append((surfer, surfer_commands(groups, time=time)))
    return texts

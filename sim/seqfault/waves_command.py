"""The command `seqfault waves`. Imports what it needs when it runs, like the others."""

from pathlib import Path
from typing import Annotated

import typer

from .console import json_output
from .errors import UsageError

__all__ = ["waves"]


def waves(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A waveform of the engine, .vcd or .fst.")],
    context: Annotated[
        int | None, typer.Option("--context", min=0, max=63, metavar="N", help="Only this fault context (63: the command unit).")
    ] = None,
    first: Annotated[int | None, typer.Option("--from", min=0, metavar="CYCLE", help="From this cycle on.")] = None,
    last: Annotated[int | None, typer.Option("--to", min=0, metavar="CYCLE", help="Up to this cycle.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most N steps.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page: faults as lanes, golden's view beside them.")] = None,
    gtkw: Annotated[Path | None, typer.Option("--gtkw", metavar="FILE", help="Write a GTKWave save file (.gtkw).")] = None,
    surfer: Annotated[Path | None, typer.Option("--surfer", metavar="FILE", help="Write a Surfer command file (.sucl).")] = None,
    around: Annotated[str | None, typer.Option("--around", metavar="fault=N", help="Cut a small VCD of the N-th fault; needs -o.")] = None,
    margin: Annotated[int, typer.Option("--margin", min=0, metavar="CYCLES", help="With --around: so many cycles before and after it.")] = 20,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="With --around: the VCD to write.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")] = None,
) -> None:
    """Decode a waveform into the protocol's timeline: one line per step, or a page; set up GTKWave or Surfer; cut out one fault."""
    from .waves_outputs import Filters, text_timeline, write_outputs

    if around is None and output is not None:
        raise UsageError("-o goes with --around: the other files have options of their own")
    filters = Filters(context=context, first=first, last=last, limit=limit)
    fault = _fault_number(around)
    with json_output(json_path) as json_file:
        if any(option is not None for option in (html, gtkw, surfer, fault)):
            outputs = {"html": html, "gtkw": gtkw, "surfer": surfer, "cut": output, "json_path": json_path}
            written = write_outputs(file, filters, fault=fault, margin=margin, **outputs)
            if json_path is None:
                for path in written:
                    print(f"wrote {path}")
                return
        text_timeline(file, filters, json_path, json_file)


def _fault_number(text: str | None) -> int | None:
    """The N of `fault=N`."""
    if text is None:
        return None
    name, _, number = text.partition("=")
    if name != "fault" or not number.isdecimal() or int(number) < 1:
        raise UsageError(f"--around: must be fault=N, N from 1 on, not {text!r}")
    return int(number)

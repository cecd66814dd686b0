"""Reads mmtrace-1 files: what a real program did to its memory, event by event. [formats.md, Traces: mmtrace-1]

One gzip file of JSON lines: a header, then events by ascending time. Calls that this version does not know are kept with their raw fields.
"""

import gzip
import zlib
from pathlib import Path

from .trace_events import Call, Clone, Event, Exec, Exit, Fault, Map, MmExit, Trace, VmaLine
from .trace_reader import TraceError, TraceReader

__all__ = [
    "Call", "Clone", "Event", "Exec", "Exit", "Fault", "Map", "MmExit", "Trace", "TraceError", "VmaLine", "load_trace", "packaged_traces",
]  # fmt: skip

SUFFIX = ".jsonl.gz"
DATA = Path(__file__).parent / "data"


def packaged_traces() -> list[str]:
    """Names of the traces that come with the package."""
    return sorted(path.name.removesuffix(SUFFIX) for path in DATA.glob(f"*{SUFFIX}"))


def load_trace(path_or_name: str | Path, limit: int | None = None) -> Trace:
    """Read a trace: a path, or the name of a packaged one; `limit` keeps the first N events.

    Raises `TraceError`: not found, not gzip, cut off, not JSON, another format, a field missing or ill-typed, an unknown thread or mm.
    """
    path = _find(path_or_name)
    reader = TraceReader(path.name, limit)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return reader.read(file)
    except gzip.BadGzipFile:
        raise TraceError(f"{path}: not a gzip file") from None
    except (EOFError, zlib.error):
        raise TraceError(f"{path}: the gzip file is cut off or damaged after line {reader.line}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path}: line {reader.line + 1} is not text") from None
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error})") from None


def _find(path_or_name: str | Path) -> Path:
    path = Path(path_or_name)
    if path.is_file():
        return path
    packaged = DATA / f"{path_or_name}{SUFFIX}"
    if path.name == str(path_or_name) and packaged.is_file():
        return packaged
    if path.is_dir():
        raise TraceError(f"{path}: is a folder")
    raise TraceError(f"{path_or_name}: no such file, and no trace of that name comes with the package ({', '.join(packaged_traces())})")
